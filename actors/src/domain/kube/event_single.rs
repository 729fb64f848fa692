//! One event for one Kubernetes event. Source: cluster-agent-kubernetes 3.7.

use super::event::KubeEvent;
use super::event_hosts::EventHost;
use super::event_tags::{aggregation_key, alert_type, object_tags, provider_tag, readable_key, reporter_tags};
use crate::domain::samples::Event;

/// The event as it is forwarded; `tags` are those of all that the check submits.
///
/// Its time is 0 if the Kubernetes event has none; its host is empty if it is about none.
#[must_use]
pub fn single(event: &KubeEvent, host: EventHost, source: &str, tags: &[String]) -> Event {
    let mut all = object_tags(&event.involved);
    all.extend(reporter_tags(event));
    all.push(format!("event_reason:{}", event.reason));
    all.extend(provider_tag(&host));
    all.extend_from_slice(tags);
    all.sort_unstable();
    all.dedup();
    Event {
        title: format!("{}: {}", readable_key(&event.involved), event.reason),
        text: event.message.clone(),
        timestamp: event.last_seen.or(event.event_time).unwrap_or_default(),
        priority: "normal".to_owned(),
        host: host.name,
        tags: all,
        alert_type: alert_type(&event.event_type).to_owned(),
        aggregation_key: aggregation_key(&event.involved),
        source_type_name: source.to_owned(),
        event_type: "kubernetes_apiserver".to_owned(),
    }
}
