//! What of the configured discovery this API server allows.

use muster_actors::domain::kube::plan::DiscoveryOptions;
use muster_actors::domain::kube::version::ServerVersion;

/// The options as configured, without EndpointSlices if the API server is too old for them. `version` is its `gitVersion`; one that is
/// not known is taken for new. Source: autodiscovery 3.1.
#[must_use]
pub fn discovery_options(configured: &DiscoveryOptions, version: Option<&str>) -> DiscoveryOptions {
    let has_slices = version.and_then(ServerVersion::parse).is_none_or(|version| version.has_endpoint_slices());
    DiscoveryOptions { use_endpoint_slices: configured.use_endpoint_slices && has_slices, ..configured.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_used_if_they_are_wanted_and_the_server_is_not_known_to_lack_them() {
        let uses = |wanted, version| {
            let configured = DiscoveryOptions { use_endpoint_slices: wanted, ..DiscoveryOptions::default() };
            discovery_options(&configured, version).use_endpoint_slices
        };
        assert!(uses(true, Some("v1.33.2")) && uses(true, None) && uses(true, Some("unknown")));
        assert!(!uses(true, Some("v1.20.15")) && !uses(false, Some("v1.33.2")) && !uses(false, None));
    }
}
