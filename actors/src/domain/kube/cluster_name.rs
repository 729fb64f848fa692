//! The name of the cluster as labels of our node tell it. Source: cluster-agent-kubernetes 5.2.

use super::objects::Texts;

/// Labels that are looked at when none is configured, and whether they outrank a name found before.
const LABELS: [(&str, bool); 3] =
    [("alpha.eksctl.io/cluster-name", false), ("kubernetes.azure.com/cluster", false), ("ad.datadoghq.com/cluster-name", true)];

/// The labels that are looked at.
pub fn cluster_name_labels(configured: Option<&str>) -> impl Iterator<Item = &str> {
    let usual = LABELS.iter().map(|(label, _)| *label).filter(move |_| configured.is_none());
    configured.into_iter().chain(usual)
}

/// The name, in lower case; empty when nobody knows one.
///
/// `before` is what the configuration or the cloud said, or empty. `configured` is the label to look at instead of the usual ones; it
/// outranks what was found before.
#[must_use]
pub fn cluster_name(before: &str, labels: &Texts, configured: Option<&str>) -> String {
    let configured = configured.map(|label| [(label, true)]);
    let mut name = before;
    for (label, outranks) in configured.as_ref().map_or(&LABELS[..], |label| &label[..]) {
        if let Some(value) = labels.get(*label)
            && (*outranks || name.is_empty())
        {
            name = value;
        }
    }
    name.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EKSCTL: (&str, &str) = ("alpha.eksctl.io/cluster-name", "eks");
    const AZURE: (&str, &str) = ("kubernetes.azure.com/cluster", "MC_Azure");
    const OWN: (&str, &str) = ("ad.datadoghq.com/cluster-name", "own");
    const CUSTOM: (&str, &str) = ("example.com/cluster", "Custom");

    fn name(before: &str, labels: &[(&str, &str)], configured: Option<&str>) -> String {
        let labels = labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        cluster_name(before, &labels, configured)
    }

    #[test]
    fn labels_of_clouds_are_used_if_nothing_was_found_before() {
        assert_eq!(name("", &[EKSCTL], None), "eks");
        assert_eq!(name("", &[AZURE], None), "mc_azure");
        assert_eq!(name("", &[EKSCTL, AZURE], None), "eks");
        assert_eq!(name("Before", &[EKSCTL, AZURE], None), "before");
    }

    #[test]
    fn the_own_label_outranks_everything() {
        assert_eq!(name("before", &[EKSCTL, OWN], None), "own");
    }

    #[test]
    fn a_configured_label_outranks_and_replaces_the_usual_ones() {
        assert_eq!(name("before", &[CUSTOM, OWN], Some(CUSTOM.0)), "custom");
        assert_eq!(name("before", &[EKSCTL, OWN], Some(CUSTOM.0)), "before");
        assert_eq!(name("", &[EKSCTL, OWN], Some(CUSTOM.0)), "");
    }
}
