//! What is wrong with a configuration, told so that it can be mended.

use std::fmt;
use std::path::PathBuf;

use super::handles::SecretUse;
use super::option::KeySpec;
use super::source::Source;

/// How much a problem matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth a debug line.
    Note,
    /// Probably a slip; nothing is affected but what was meant does not happen.
    Warning,
    /// The value is not used; the default is.
    Error,
}

/// One problem with one key.
#[derive(Clone, Debug, PartialEq)]
pub enum Problem {
    /// The value does not fit the key.
    InvalidValue {
        /// The key.
        spec: &'static KeySpec,
        /// What was found, as JSON or text.
        found: String,
        /// Where.
        source: Source,
    },
    /// Nobody knows the key.
    UnknownKey {
        /// Its name.
        name: String,
        /// Where.
        source: Source,
        /// What was probably meant.
        nearest: Option<String>,
    },
    /// A secret is named, and nobody is there who knows it. Stock takes the text for the value, too.
    SecretLeftAlone(SecretUse),
}

impl Problem {
    /// How much it matters. Why: see docs/adr/020-invalid-values.md.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::InvalidValue { .. } => Severity::Error,
            Self::UnknownKey { source: Source::Environment { name }, nearest: None, .. } if name.starts_with("DD_") => Severity::Note,
            Self::UnknownKey { .. } | Self::SecretLeftAlone(_) => Severity::Warning,
        }
    }

    /// Whether the program must not start with it: an invalid value of a key of our own.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::InvalidValue { spec, .. } if spec.key.starts_with("muster."))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidValue { spec, found, source } => {
                let found = if spec.secret { "***" } else { found };
                let allowed = spec.kind.allowed();
                let default = if spec.default.is_empty() { "no value".to_owned() } else { format!("the default {}", spec.default) };
                write!(out, "{}: invalid value {found} ({source}); allowed: {allowed}; correct it, or remove it to use {default}", spec.key)
            }
            Self::UnknownKey { name, source, nearest } => {
                match source {
                    Source::Environment { .. } => write!(out, "unknown {source}")?,
                    _ => write!(out, "unknown key {name} ({source})")?,
                }
                match nearest {
                    Some(nearest) => write!(out, "; did you mean {nearest}?"),
                    None => out.write_str("; it is ignored"),
                }
            }
            Self::SecretLeftAlone(used) => {
                write!(out, "{used} is used as it is written, because secret_backend_command is not set; set it")
            }
        }
    }
}

/// Why there is no configuration to start with.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file exists, or was asked for, and cannot be read.
    #[error("read configuration file {}", path.display())]
    ReadFile {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is no YAML.
    #[error("parse configuration file {}: {text}", path.display())]
    ParseFile {
        /// Which.
        path: PathBuf,
        /// What the parser found, with line and column.
        text: String,
    },
    /// The file is YAML and no mapping.
    #[error("parse configuration file {}: expected a mapping of keys to values, found {found}", path.display())]
    NotAMapping {
        /// Which.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// Keys of our own have invalid values; all of them are listed.
    #[error("use the configuration:{}", lines(problems))]
    Invalid {
        /// All of them.
        problems: Vec<Problem>,
    },
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().fold(String::new(), |text, problem| text + "\n  " + &problem.to_string())
}
