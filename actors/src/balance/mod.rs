//! Where a config goes: functions over values.

pub mod advice;
pub mod eligibility;
pub mod explanation;
pub mod least_count;
pub mod plan;
pub mod policy;
pub mod quarantine;
pub mod succession;
pub mod world;
