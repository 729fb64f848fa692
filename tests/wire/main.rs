//! Recorded traffic of stock agents and servers, replayed against ours: the same answer, or a better one that is listed with its reason.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests panic as tests do")]

#[path = "../http/balancer.rs"]
mod balancer;
#[path = "../http/client.rs"]
#[expect(dead_code, reason = "the crate of the HTTP tests uses the rest")]
mod client;
#[path = "../http/site.rs"]
#[expect(dead_code, reason = "the crate of the HTTP tests uses the rest")]
mod site;

mod agents;
mod differences;
mod eras;
mod recording;
mod server;
