//! muster: a drop-in Datadog Cluster Agent and its node side. This library is what the program `muster` is made of.

mod accepted_certificate;
pub mod api;
pub mod app;
pub mod autodiscovery;
pub mod carried;
pub mod checks;
pub mod cli;
pub mod client;
pub mod config;
pub mod demo;
pub mod errors;
pub mod kube;
pub mod output;
pub mod roles;
pub mod sealed_snapshots;
pub mod secrets;
pub mod simulate;
pub mod standalone;
pub mod telemetry;
