//! The node role on paused time: providers, scheduler, pool, statistics and aggregator together, with a scripted outside.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod grants;
mod receiving;
mod running;
mod world;
