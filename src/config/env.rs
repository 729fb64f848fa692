//! The environment: the only place that reads it.

use std::collections::BTreeMap;

/// The variables of the process as they were at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

impl Environment {
    /// Takes the variables of this process.
    #[must_use]
    pub fn capture() -> Self {
        let text = |part: std::ffi::OsString| part.to_string_lossy().into_owned();
        Self { variables: std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect() }
    }

    /// Variables made up by the caller.
    #[must_use]
    pub fn from_pairs<N: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        Self { variables: pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect() }
    }

    /// A variable; one that is set to the empty string counts as not set.
    ///
    /// Source: cluster-agent-kubernetes 7.1.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// All variables that are set, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_counts_as_not_set() {
        let environment = Environment::from_pairs([("DD_SITE", ""), ("DD_ENV", "prod")]);
        assert_eq!(environment.get("DD_SITE"), None);
        assert_eq!(environment.get("DD_ENV"), Some("prod"));
        assert_eq!(environment.iter().collect::<Vec<_>>(), [("DD_ENV", "prod")]);
    }
}
