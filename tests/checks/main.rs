//! The native checks against real servers. Source: node-runner 10 and 17.

mod harness;
mod http_check;
mod malformed;
mod server;
mod tcp_check;
