//! Configuration: the key table, the sources, the effective values, and the settings made from them.

mod api_key;
mod duration;
mod effective;
mod env;
mod file;
mod handles;
pub mod keys;
mod log_level;
pub mod option;
mod problem;
mod runtime;
mod scrub;
pub mod settings;
mod source;
pub mod tokens;
mod value;

pub use api_key::ApiKey;
pub use duration::{go_text, parse_go};
pub use effective::{Config, DEFAULT_DIRECTORY, Request, Role};
pub use env::Environment;
pub use handles::SecretUse;
pub use log_level::LogLevel;
pub use muster_actors::domain::secret::Secret;
pub use problem::{ConfigError, Problem, Severity};
pub use runtime::{ApplyLogLevel, RuntimeConfig, RuntimeError};
pub use settings::{ClusterSettings, CommonSettings, NodeSettings, SettingsError};
pub use source::{Source, Sourced};
pub use value::Value;
