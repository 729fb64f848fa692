//! Where a config goes: functions over values.

pub mod eligibility;
pub mod least_count;
pub mod succession;
