//! Where a value came from.

use std::fmt;
use std::path::PathBuf;

/// Origin of a value, weakest first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The key table.
    Default,
    /// The configuration file.
    File {
        /// Which file.
        path: PathBuf,
        /// Line of the value, from 1.
        line: usize,
    },
    /// An environment variable.
    Environment {
        /// Its name.
        name: String,
    },
    /// Changed while running.
    Runtime,
    /// Given on the command line.
    CommandLine,
}

impl Source {
    /// Its name in `/config/by-source` and `?sources=true`, as stock writes it.
    #[must_use]
    pub const fn stock_name(&self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File { .. } => "file",
            Self::Environment { .. } => "environment-variable",
            Self::Runtime => "agent-runtime",
            Self::CommandLine => "cli",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => out.write_str("default"),
            Self::File { path, line } => write!(out, "{}, line {line}", path.display()),
            Self::Environment { name } => write!(out, "environment variable {name}"),
            Self::Runtime => out.write_str("changed while running"),
            Self::CommandLine => out.write_str("command line"),
        }
    }
}

/// A value with its origin.
#[derive(Clone, Debug, PartialEq)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub source: Source,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_strongest_and_the_default_weakest() {
        let file = Source::File { path: "/etc/datadog-agent/datadog.yaml".into(), line: 3 };
        let environment = Source::Environment { name: "DD_SITE".to_owned() };
        assert!(Source::Default < file && file < environment && environment < Source::Runtime && Source::Runtime < Source::CommandLine);
        assert_eq!(file.to_string(), "/etc/datadog-agent/datadog.yaml, line 3");
    }
}
