//! The native checks against real servers. Source: node-runner 10 and 17.

#![expect(clippy::unwrap_used, reason = "tests panic where something is not as it should be")]

mod harness;
mod http_check;
mod malformed;
mod openmetrics;
mod server;
mod tcp_check;
