//! The HTTP servers on real listeners: free ports, TLS on, tokens on.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests panic as tests do")]

mod balancer;
mod client;
mod site;

mod admin;
mod balance;
mod checks;
mod dispatching;
mod hangs;
mod malformed;
mod metadata;
mod ports;
mod relay;
mod replicas;
mod runner;
mod tls;
mod tokens;
