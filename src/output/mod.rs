//! Destinations of what checks submit: transports for the `Output` actor, and which of them are chosen.

pub mod address;
pub mod check_run;
pub mod compress;
pub mod connections;
pub mod datadog;
pub mod error;
pub mod events;
pub mod http;
pub mod key_refresh;
pub mod metadata;
pub mod plan;
pub mod prepare;
pub mod proxy;
pub mod series_v1;
pub mod series_v2;
pub mod settings;
pub mod sketches;
pub mod split;
pub mod spool;
pub mod stdout;
