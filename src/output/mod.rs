//! Destinations of what checks submit: transports for the `Output` actor, and which of them are chosen.

pub mod check_run;
pub mod compress;
pub mod events;
pub mod prepare;
pub mod series_v1;
pub mod series_v2;
pub mod sketches;
pub mod split;
