//! What was looked at, what was found, what would mend it.

use serde::Serialize;

/// Where a finding stands in the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Section {
    Configuration,
    ApiServer,
    Identity,
    Rights,
    Lock,
    ClusterId,
    Tokens,
    Ports,
}

impl Section {
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Configuration => "Configuration",
            Self::ApiServer => "API server",
            Self::Identity => "Identity",
            Self::Rights => "Rights",
            Self::Lock => "Lock",
            Self::ClusterId => "Cluster id",
            Self::Tokens => "Tokens",
            Self::Ports => "Ports",
        }
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    Well,
    /// It works without; the exit code stays 0.
    Advice,
    /// It does not work.
    Mend,
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) section: Section,
    pub(super) subject: String,
    pub(super) state: State,
    pub(super) found: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mend: Option<String>,
    /// Rules of a Role or ClusterRole that mend it, as YAML.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) rules: Vec<String>,
}

impl Finding {
    pub(super) fn well(section: Section, subject: impl Into<String>, found: impl Into<String>) -> Self {
        Self { section, subject: subject.into(), state: State::Well, found: found.into(), mend: None, rules: Vec::new() }
    }

    pub(super) fn advice(section: Section, subject: impl Into<String>, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { state: State::Advice, mend: Some(mend.into()), ..Self::well(section, subject, found) }
    }

    pub(super) fn mend(section: Section, subject: impl Into<String>, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { state: State::Mend, ..Self::advice(section, subject, found, mend) }
    }
}
