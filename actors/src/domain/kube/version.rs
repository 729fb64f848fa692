//! The version of the API server, and what follows from it.

use std::fmt;

/// Version of an API server. Source: semantic versioning, as `gitVersion` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerVersion {
    /// Major, minor, patch.
    number: (u32, u32, u32),
    /// It is one before that number, for example a beta.
    pre_release: bool,
    text: String,
}

/// Oldest version that is known to work. Source: cluster-agent-kubernetes 2.2.
const OLDEST: (u32, u32, u32) = (1, 14, 0);
/// First version with EndpointSlices v1. Source: autodiscovery 3.1.
const SLICES: (u32, u32, u32) = (1, 21, 0);
/// First version that knows the parameter for streamed listings, and refuses it if the feature is off.
const STREAMING: (u32, u32, u32) = (1, 27, 0);

/// First version that need not have component statuses. Source: cluster-agent-kubernetes 3.8.
const NO_COMPONENT_STATUS: (u32, u32, u32) = (1, 35, 0);

impl ServerVersion {
    /// Reads `gitVersion`, for example `v1.33.1+k3s1`.
    #[must_use]
    pub fn parse(git_version: &str) -> Option<Self> {
        let text = git_version.trim();
        let (version, _) = text.split_once('+').unwrap_or((text, ""));
        let (number, pre_release) = version
            .strip_prefix('v')
            .unwrap_or(version)
            .split_once('-')
            .map_or_else(|| (version.strip_prefix('v').unwrap_or(version), false), |(number, _)| (number, true));
        let mut parts = number.split('.').map(str::parse);
        let number = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
        parts.next().is_none().then(|| Self { number, pre_release, text: text.to_owned() })
    }

    fn is_at_least(&self, number: (u32, u32, u32)) -> bool {
        self.number > number || (self.number == number && !self.pre_release)
    }

    /// It has EndpointSlices v1: 1.21.0 or newer. Source: autodiscovery 3.1.
    #[must_use]
    pub fn has_endpoint_slices(&self) -> bool {
        self.is_at_least(SLICES)
    }

    /// A listing may be asked for as a stream; older ones would ignore the wish and never end the listing.
    #[must_use]
    pub fn may_stream_listings(&self) -> bool {
        self.is_at_least(STREAMING)
    }

    /// It has component statuses for certain: older than 1.35.0. Source: cluster-agent-kubernetes 3.8.
    #[must_use]
    pub fn has_component_status(&self) -> bool {
        !self.is_at_least(NO_COMPONENT_STATUS)
    }

    /// It is older than the oldest version that is known to work.
    #[must_use]
    pub fn is_too_old(&self) -> bool {
        self.number < OLDEST
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slices(text: &str) -> bool {
        ServerVersion::parse(text).unwrap().has_endpoint_slices()
    }

    #[test]
    fn slices_are_used_from_1_21_0_on() {
        for old in ["v1.20.15", "v1.21.0-beta.1", "1.21.0-rc.0", "v0.99.0"] {
            assert!(!slices(old), "{old}");
        }
        for new in ["v1.21.0", "v1.21.0+k3s1", "v1.21.5-eks-bc4871b", "v1.23.0-beta.0", "1.33.1", "v2.0.0"] {
            assert!(slices(new), "{new}");
        }
    }

    #[test]
    fn old_servers_are_told_and_listings_are_streamed_by_new_ones_only() {
        let version = |text: &str| ServerVersion::parse(text).unwrap();
        assert!(version("v1.13.12").is_too_old() && !version("v1.14.0").is_too_old());
        assert!(!version("v1.26.9").may_stream_listings() && version("v1.27.0").may_stream_listings());
        assert!(version("v1.34.9").has_component_status() && !version("v1.35.0").has_component_status());
        assert_eq!(version(" v1.33.1+k3s1\n").to_string(), "v1.33.1+k3s1");
    }

    #[test]
    fn other_texts_are_no_versions() {
        for text in ["", "v1", "v1.2", "1.x.0", "v1.2.3.4", "unknown"] {
            assert_eq!(ServerVersion::parse(text), None, "{text}");
        }
    }
}
