//! Checks that run inside the program, and the loader that builds them from configs. Source: node-runner 9 and 10.

mod certificate;
mod common;
mod http_check;
mod http_client;
mod http_options;
mod kubernetes_apiserver;
mod loader;
mod normalize;
pub(crate) mod openmetrics;
mod options;
mod settings;
mod submission;
mod tcp_check;
mod tls;

pub use kubernetes_apiserver::{ApiserverLink, Reached};
pub use loader::NativeLoader;
pub use settings::{AgentProxy, CheckSettings};
