//! The command line. One file per command; `render` for layout, `connection` for talking to the process of this machine.

mod arguments;
mod balance;
mod clusterchecks;
mod completions;
mod config_text;
mod configcheck;
mod connection;
mod context;
mod demo;
mod docs;
mod doctor;
mod failure;
mod health;
mod metamap;
mod metric_text;
mod render;
mod run;
mod secret_helper;
mod settings;
mod simulate;
mod start;
mod status;
mod stop;
mod telemetry;
mod trust;
mod version;

pub use demo::DemoOptions;
pub use run::{Command, run};
pub use start::Start;
