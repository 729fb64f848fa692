//! Discovery of configs outside Kubernetes: files, the watcher that notices their changes, and the views of what was found.

mod advanced;
#[cfg(test)]
mod bad_files_tests;
pub mod configcheck;
mod file_config;
mod file_provider;
#[cfg(test)]
mod tests;
mod walk;
mod watch;
#[cfg(test)]
mod watch_tests;

pub use file_config::MAX_FILE_BYTES;
pub use file_provider::{EMPTY_GRACE, FileDiscovery, FileOptions, FileProvider, PROVIDER};
pub use watch::{FileWatch, Listeners, PassObserver, WatchOptions};
