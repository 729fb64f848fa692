//! What the key table is made of: one [`KeySpec`] per configuration key.

use std::time::Duration;

/// Which role reads a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The cluster role only.
    Cluster,
    /// The node role only.
    Node,
    /// Both roles.
    Both,
}

/// How far a key is honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It changes what the program does.
    Used,
    /// Stock knows it; it is recognised so that nobody is warned, and changes nothing yet.
    Accepted,
}

/// Unit of a duration that is written as a bare number, and the form it is shown in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Milliseconds, shown as a number.
    Milliseconds,
    /// Seconds, shown as a number.
    Seconds,
    /// Minutes, shown as a number.
    Minutes,
    /// Seconds, shown in Go style (`10m0s`).
    GoStyle,
}

impl Unit {
    /// Length of one unit.
    #[must_use]
    pub const fn length(self) -> Duration {
        match self {
            Self::Milliseconds => Duration::from_millis(1),
            Self::Seconds | Self::GoStyle => Duration::from_secs(1),
            Self::Minutes => Duration::from_secs(60),
        }
    }

    /// Its name in help texts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Milliseconds => "milliseconds",
            Self::Seconds | Self::GoStyle => "seconds",
            Self::Minutes => "minutes",
        }
    }
}

/// Type of a value together with what is allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// Whole number between two inclusive bounds.
    Integer {
        /// Smallest allowed.
        min: i64,
        /// Largest allowed.
        max: i64,
    },
    /// Number between two inclusive bounds.
    Number {
        /// Smallest allowed.
        min: f64,
        /// Largest allowed.
        max: f64,
    },
    /// Length of time.
    Duration {
        /// Meaning of a bare number.
        unit: Unit,
        /// Shortest allowed.
        min: Duration,
    },
    /// Any text.
    Text,
    /// One of some words, any case.
    Choice {
        /// Allowed words, lower case.
        allowed: &'static [&'static str],
    },
    /// List of texts; when `allowed` is not empty, of these words.
    List {
        /// Allowed words, lower case; empty = any text.
        allowed: &'static [&'static str],
    },
    /// Map from text to anything.
    Map,
    /// List of maps.
    Maps,
    /// A whole part of the configuration that is recognised without its keys being listed.
    Tree,
}

impl Kind {
    /// What is allowed, as said in error messages and in the documentation.
    #[must_use]
    pub fn allowed(self) -> String {
        match self {
            Self::Bool => "true or false (also 1, t, T, TRUE, True, 0, f, F, FALSE, False)".to_owned(),
            Self::Integer { min, max: i64::MAX } => format!("a whole number, {min} or more"),
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::Number { min, max: f64::MAX } => format!("a number, {min} or more"),
            Self::Number { min, max } => format!("a number from {min} to {max}"),
            Self::Duration { unit, min } => {
                let least = if min.is_zero() { String::new() } else { format!(", at least {}", super::duration::go_text(min)) };
                format!("a number of {} or a duration such as 10m or 1h30m{least}", unit.name())
            }
            Self::Text => "any text".to_owned(),
            Self::Choice { allowed } => format!("one of {}", allowed.join(", ")),
            Self::List { allowed: [] } => "a list of texts (in the environment: a JSON array, or words separated by blanks)".to_owned(),
            Self::List { allowed } => format!("a list of {}", allowed.join(", ")),
            Self::Map => "a map (in the environment: a JSON object)".to_owned(),
            Self::Maps => "a list of maps (in the environment: a JSON array of objects)".to_owned(),
            Self::Tree => "anything".to_owned(),
        }
    }

    /// Name of the type in the documentation.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bool => "boolean",
            Self::Integer { .. } => "integer",
            Self::Number { .. } => "number",
            Self::Duration { .. } => "duration",
            Self::Text => "text",
            Self::Choice { .. } => "choice",
            Self::List { .. } => "list",
            Self::Map => "map",
            Self::Maps => "list of maps",
            Self::Tree => "section",
        }
    }
}

/// One configuration key: everything that loading, messages and documentation need to know about it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KeySpec {
    /// Dotted name.
    pub key: &'static str,
    /// Type and bounds.
    pub kind: Kind,
    /// Default, written as in the environment; empty = no value (empty text, list or map).
    pub default: &'static str,
    /// Further names in the environment, besides the mechanical one.
    pub aliases: &'static [&'static str],
    /// Who reads it.
    pub scope: Scope,
    /// Never shown.
    pub secret: bool,
    /// Whether it does something.
    pub support: Support,
    /// What it means, one sentence.
    pub help: &'static str,
}

impl KeySpec {
    /// A key that both roles use.
    #[must_use]
    pub const fn new(key: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Self {
        Self { key, kind, default, aliases: &[], scope: Scope::Both, secret: false, support: Support::Used, help }
    }

    /// Only the cluster role reads it.
    #[must_use]
    pub const fn cluster(mut self) -> Self {
        self.scope = Scope::Cluster;
        self
    }

    /// Only the node role reads it.
    #[must_use]
    pub const fn node(mut self) -> Self {
        self.scope = Scope::Node;
        self
    }

    /// Its value is never shown.
    #[must_use]
    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// It has more names in the environment.
    #[must_use]
    pub const fn also(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// It is recognised and not used yet.
    #[must_use]
    pub const fn accepted(mut self) -> Self {
        self.support = Support::Accepted;
        self
    }

    /// Names in the environment, strongest first: `MUSTER_*` wins over `DD_*`, the mechanical name over its aliases.
    ///
    /// Source: node-runner 2.
    #[must_use]
    pub fn environment_names(&self) -> Vec<String> {
        let upper = self.key.replace('.', "_").to_uppercase();
        if upper.starts_with("MUSTER_") {
            return vec![upper];
        }
        let mut names = vec![format!("MUSTER_{upper}"), format!("DD_{upper}")];
        names.extend(self.aliases.iter().map(|alias| (*alias).to_owned()));
        names
    }
}

/// A boolean key.
pub(super) const fn flag(key: &'static str, default: &'static str, help: &'static str) -> KeySpec {
    KeySpec::new(key, Kind::Bool, default, help)
}

/// An integer key.
pub(super) const fn integer(key: &'static str, default: &'static str, min: i64, max: i64, help: &'static str) -> KeySpec {
    KeySpec::new(key, Kind::Integer { min, max }, default, help)
}

/// A TCP port that must be used.
pub(super) const fn port(key: &'static str, default: &'static str, help: &'static str) -> KeySpec {
    integer(key, default, 1, 65_535, help)
}

/// A TCP port where 0 switches off.
pub(super) const fn port_or_off(key: &'static str, default: &'static str, help: &'static str) -> KeySpec {
    integer(key, default, 0, 65_535, help)
}

/// A number key.
pub(super) const fn number(key: &'static str, default: &'static str, min: f64, max: f64, help: &'static str) -> KeySpec {
    KeySpec::new(key, Kind::Number { min, max }, default, help)
}

/// A duration key that may be zero.
pub(super) const fn duration(key: &'static str, unit: Unit, default: &'static str, help: &'static str) -> KeySpec {
    KeySpec::new(key, Kind::Duration { unit, min: Duration::ZERO }, default, help)
}

/// A duration key of at least one second.
pub(super) const fn duration_from_one(key: &'static str, unit: Unit, default: &'static str, help: &'static str) -> KeySpec {
    KeySpec::new(key, Kind::Duration { unit, min: Duration::from_secs(1) }, default, help)
}

/// A text key.
pub(super) const fn text(key: &'static str, default: &'static str, help: &'static str) -> KeySpec {
    KeySpec::new(key, Kind::Text, default, help)
}

/// A key with some allowed words.
pub(super) const fn choice(key: &'static str, default: &'static str, allowed: &'static [&'static str], help: &'static str) -> KeySpec {
    KeySpec::new(key, Kind::Choice { allowed }, default, help)
}

/// A list of texts.
pub(super) const fn list(key: &'static str, default: &'static str, help: &'static str) -> KeySpec {
    KeySpec::new(key, Kind::List { allowed: &[] }, default, help)
}

/// A map.
pub(super) const fn map(key: &'static str, default: &'static str, help: &'static str) -> KeySpec {
    KeySpec::new(key, Kind::Map, default, help)
}

/// A recognised part of the configuration.
pub(super) const fn tree(key: &'static str, help: &'static str) -> KeySpec {
    KeySpec::new(key, Kind::Tree, "", help).accepted()
}
