//! Replicas, runners and node agents as processes and models against a real control plane. Needs what `tests/run.sh` installs.
//!
//! `MUSTER_E2E=full` plays all rounds with the lease of the manifests (15 s) instead of a few with a short one, and takes the intake of events
//! away for a minute instead of seconds.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests panic as tests do")]

mod agents;
mod balance;
mod before;
mod cold_start;
mod discovery;
mod events;
mod intake;
mod leader_changes;
mod ledger;
mod metadata;
mod mixed_election;
mod prober;
mod replica;
mod rights;
mod runners;
mod scenery;
mod statistics;
mod world;
