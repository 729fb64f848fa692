//! Settings of the events of the cluster. Source: cluster-agent-kubernetes 3.1, 3.3, 7.4.

use muster_actors::domain::kube::apiserver_check::{ApiserverCheckOptions, EventSelector};

use super::read::read;
use crate::config::effective::Config;

/// Which events are forwarded, and where it is kept how far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventSettings {
    /// Forward events where no check says otherwise.
    pub collect: bool,
    /// Name of the ConfigMap of the token.
    pub token_name: String,
    /// Tell which integration an event is from.
    pub source_detection: bool,
    /// Components whose events are always among those that are forwarded one by one.
    pub autoscalers: Vec<&'static str>,
}

impl EventSettings {
    pub(super) fn from_config(config: &Config) -> Self {
        let autoscalers = [
            ("autoscaling.workload.enabled", "datadog-workload-autoscaler"),
            ("autoscaling.cluster.enabled", "datadog-cluster-autoscaler"),
        ];
        Self {
            collect: read(config, "collect_kubernetes_events"),
            token_name: read(config, "cluster_agent.token_name"),
            source_detection: read(config, "kubernetes_events_source_detection.enabled"),
            autoscalers: autoscalers.into_iter().filter(|(key, _)| read(config, key)).map(|(_, component)| component).collect(),
        }
    }

    /// The options of the check `kubernetes_apiserver` without a config, and of what a config does not say.
    #[must_use]
    pub fn defaults(&self) -> ApiserverCheckOptions {
        let selector = |component: &&str| EventSelector { source: (*component).to_owned(), ..EventSelector::default() };
        ApiserverCheckOptions {
            collect_events: self.collect,
            collected: self.autoscalers.iter().map(selector).collect(),
            ..ApiserverCheckOptions::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Request, Role};

    fn settings(environment: &[(&str, &str)]) -> EventSettings {
        let directory = tempfile::tempdir().unwrap();
        let environment = Environment::from_pairs(environment.iter().copied());
        let request = Request { role: Role::Cluster, path: Some(directory.path().to_owned()), environment, overrides: Vec::new() };
        EventSettings::from_config(&Config::load(request).unwrap())
    }

    #[test]
    fn nothing_is_forwarded_unless_told() {
        let settings = settings(&[]);
        assert_eq!((settings.collect, settings.token_name.as_str(), settings.source_detection), (false, "datadogtoken", false));
        assert_eq!(settings.defaults(), ApiserverCheckOptions::default());
    }

    #[test]
    fn every_option_arrives() {
        let settings = settings(&[
            ("DD_COLLECT_KUBERNETES_EVENTS", "true"),
            ("DD_CLUSTER_AGENT_TOKEN_NAME", "shoptoken"),
            ("DD_KUBERNETES_EVENTS_SOURCE_DETECTION_ENABLED", "true"),
            ("DD_AUTOSCALING_WORKLOAD_ENABLED", "true"),
        ]);
        assert_eq!((settings.token_name.as_str(), settings.source_detection), ("shoptoken", true));
        let defaults = settings.defaults();
        assert!(defaults.collect_events);
        let autoscaler = EventSelector { source: "datadog-workload-autoscaler".to_owned(), ..EventSelector::default() };
        assert_eq!(defaults.collected, [autoscaler]);
    }
}
