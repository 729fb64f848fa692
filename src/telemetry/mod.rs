//! What operators see: logs, metrics, the status document, error chains.

pub mod build;
pub mod destination;
pub(crate) mod in_words;
mod log_file;
mod log_format;
pub mod logs;
pub mod metrics;
mod process;
mod registry;
mod scrape;
pub mod sources;
pub mod status;
mod status_text;

pub use logs::{LogHandle, LogSetupError};
pub use metrics::Metric;
pub use registry::Metrics;
pub use scrape::Scrape;
