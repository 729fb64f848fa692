//! Where a config goes: functions over values.

pub mod advice;
mod alike;
mod board;
mod bounded;
mod busyness;
pub mod collection;
pub mod demands;
pub mod eligibility;
pub mod explain;
pub mod explanation;
pub mod isolation;
pub mod least_count;
pub mod measure;
pub mod need;
pub mod placement;
mod placer;
pub mod plan;
pub mod planner;
pub mod policy;
pub mod quarantine;
pub mod rebalancing;
mod repairs;
pub mod succession;
mod suits;
mod units;
mod utilization;
pub mod world;
