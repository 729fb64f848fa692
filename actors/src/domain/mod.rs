//! The pure core: rules as functions over values. No actors, no clock, no I/O, no logging.

pub mod assignment;
pub mod buckets;
pub mod check_options;
pub mod config;
pub mod config_manager;
pub mod digest;
pub mod discovery;
pub mod ids;
pub mod invariants;
pub mod journal;
pub mod lease;
pub mod liveness;
pub mod patch;
pub mod provider_state;
pub mod run_stats;
pub mod sample_state;
pub mod sampler;
pub mod samples;
pub mod scrub;
pub mod sketch;
pub mod snapshot;
pub mod stamp;
pub mod template;
pub mod world;
pub mod yaml;
