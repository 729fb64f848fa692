//! The real binary as real processes: killed, cut off, stopped, started wrongly, and started on damaged files.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod apiserver_check;
mod damage;
mod demo;
mod pretend_agent;
mod readme;
mod replica_kills;
mod runner_kills;
mod scene;
mod server_kills;
mod starts;
mod stops;
