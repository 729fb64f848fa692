//! Actors of the node role: run checks, keep statistics, aggregate what they submit. Source: node-runner 15.

mod local_configs;
mod run_stats;
mod running;
mod scheduler;
mod start;
mod worker_pool;

pub use run_stats::RunStats;
pub use scheduler::{Scheduler, SchedulerLinks, SchedulerPolicy};
pub use start::{Node, NodePolicy, NodePorts, ProviderPlan, start};
pub use worker_pool::{PoolLinks, PoolPolicy, WorkerPool};
