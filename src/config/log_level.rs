//! Log levels in stock words.

use std::fmt;

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// Stock's level above error; the same as error here.
    Critical,
    /// Data lost, invariant broken, operator must act.
    Error,
    /// Unexpected, recovered.
    Warn,
    /// What an operator wants in a month-old log.
    #[default]
    Info,
    /// Per config.
    Debug,
    /// Per message.
    Trace,
}

impl LogLevel {
    /// Reads the word in any case; `warning` is the same as `warn`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word.trim().to_lowercase().as_str() {
            "off" => Self::Off,
            "critical" => Self::Critical,
            "error" => Self::Error,
            "warn" | "warning" => Self::Warn,
            "info" => Self::Info,
            "debug" => Self::Debug,
            "trace" => Self::Trace,
            _ => return None,
        })
    }

    /// The stock word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Critical => "critical",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ca_i9_levels_are_read_in_any_case() {
        for word in ["off", "critical", "error", "warn", "info", "debug", "trace"] {
            assert_eq!(LogLevel::parse(&word.to_uppercase()).map(LogLevel::word), Some(word));
        }
        assert_eq!(LogLevel::parse("warning"), Some(LogLevel::Warn));
        assert_eq!(LogLevel::parse("loud"), None);
    }
}
