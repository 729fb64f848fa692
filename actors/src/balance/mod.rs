//! Where a config goes: functions over values.

pub mod collection;
pub mod demands;
pub mod eligibility;
pub mod explanation;
pub mod least_count;
pub mod need;
pub mod plan;
pub mod policy;
pub mod rebalancing;
pub mod succession;
pub mod world;
