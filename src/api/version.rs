//! The version agents see.

use bytes::Bytes;
use serde::Serialize;

/// A version in the form of `/version`. Source: cluster-checks 3.3, node-runner 8.1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AgentVersion {
    /// First number.
    pub major: u64,
    /// Second number; agents look for 21 and 55.
    pub minor: u64,
    /// Third number.
    pub patch: u64,
    /// Pre-release, for example `rc.3`.
    pub pre: String,
    /// Build metadata, for example `git.238.453e769`.
    pub meta: String,
    /// Commit the program was built from.
    pub commit: String,
}

/// A version text that is not `major.minor.patch[-pre][+meta]`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read version {0:?}: expected major.minor.patch[-pre][+meta]")]
pub struct VersionError(String);

impl AgentVersion {
    /// Reads `major.minor.patch[-pre][+meta]`.
    ///
    /// Errors: [`VersionError`].
    pub fn parse(text: &str, commit: &str) -> Result<Self, VersionError> {
        let error = || VersionError(text.to_owned());
        let (rest, meta) = text.split_once('+').unwrap_or((text, ""));
        let (numbers, pre) = rest.split_once('-').unwrap_or((rest, ""));
        let mut parts = numbers.split('.').map(str::parse::<u64>);
        let (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch)), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(error());
        };
        Ok(Self { major, minor, patch, pre: pre.to_owned(), meta: meta.to_owned(), commit: commit.to_owned() })
    }

    /// The body of `/version`.
    pub fn body(&self) -> Bytes {
        // Plain strings and numbers always serialise.
        Bytes::from(serde_json::to_vec(self).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nr_t14_parts_of_a_version() {
        let version = AgentVersion::parse("7.81.0-rc.1+git.5.abc", "0a1b2c3").unwrap();
        assert_eq!(version.body(), r#"{"Major":7,"Minor":81,"Patch":0,"Pre":"rc.1","Meta":"git.5.abc","Commit":"0a1b2c3"}"#.as_bytes());
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "7", "7.81", "7.81.1.2", "7.x.1", "v7.81.1"] {
            assert!(AgentVersion::parse(text, "").is_err(), "{text}");
        }
    }
}
