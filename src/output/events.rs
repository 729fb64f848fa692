//! Events as JSON. Source: node-runner 14.4, cluster-agent-kubernetes 6.3.

use std::collections::BTreeMap;

use muster_actors::domain::samples::Event;
use serde::Serialize;

#[derive(Serialize)]
struct Body<'a> {
    // Always empty: the key travels in a header.
    #[serde(rename = "apiKey")]
    api_key: &'a str,
    events: BTreeMap<&'a str, Vec<EventJson<'a>>>,
    #[serde(rename = "internalHostname")]
    internal_hostname: &'a str,
}

/// One event as the intake and stdout show it: title, text, time and host always, the rest when not empty.
#[derive(Serialize)]
pub struct EventJson<'a> {
    msg_title: &'a str,
    msg_text: &'a str,
    timestamp: i64,
    #[serde(skip_serializing_if = "str::is_empty")]
    priority: &'a str,
    host: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    tags: &'a [String],
    #[serde(skip_serializing_if = "str::is_empty")]
    alert_type: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    aggregation_key: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    source_type_name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    event_type: &'a str,
}

impl<'a> From<&'a Event> for EventJson<'a> {
    fn from(event: &'a Event) -> Self {
        Self {
            msg_title: &event.title,
            msg_text: &event.text,
            timestamp: event.timestamp,
            priority: &event.priority,
            host: &event.host,
            tags: &event.tags,
            alert_type: &event.alert_type,
            aggregation_key: &event.aggregation_key,
            source_type_name: &event.source_type_name,
            event_type: &event.event_type,
        }
    }
}

/// Writes a body: events grouped by source, sorted; `api` where the source is empty.
#[must_use]
pub fn body(events: &[Event], internal_hostname: &str) -> Vec<u8> {
    let mut grouped: BTreeMap<&str, Vec<EventJson<'_>>> = BTreeMap::new();
    for event in events {
        let source = if event.source_type_name.is_empty() { "api" } else { &event.source_type_name };
        grouped.entry(source).or_default().push(EventJson::from(event));
    }
    // Strings and integers only: writing them to memory has no way to fail.
    serde_json::to_vec(&Body { api_key: "", events: grouped, internal_hostname }).unwrap_or_default()
}

/// Lower bound of the bytes of one event.
#[must_use]
pub fn least_bytes(event: &Event) -> u64 {
    let tags = event.tags.iter().map(|tag| tag.len() + 3).sum::<usize>();
    (event.title.len() + event.text.len() + event.host.len() + event.aggregation_key.len() + tags + 50) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_grouped_by_source_and_empty_keys_left_out() {
        let bare = Event { timestamp: 1_700_000_000, ..Event::default() };
        let full = Event {
            title: "Version 7.81.1".to_owned(),
            text: "a <b> & c".to_owned(),
            priority: "normal".to_owned(),
            host: "node-1".to_owned(),
            tags: vec!["a:b".to_owned()],
            alert_type: "info".to_owned(),
            aggregation_key: "k".to_owned(),
            source_type_name: "System".to_owned(),
            event_type: "Agent Startup".to_owned(),
            ..bare.clone()
        };
        assert_eq!(
            String::from_utf8(body(&[bare, full], "node-1")).unwrap(),
            concat!(
                r#"{"apiKey":"","events":{"System":[{"msg_title":"Version 7.81.1","msg_text":"a <b> & c","timestamp":1700000000,"priority":"normal","#,
                r#""host":"node-1","tags":["a:b"],"alert_type":"info","aggregation_key":"k","source_type_name":"System","event_type":"Agent Startup"}],"#,
                r#""api":[{"msg_title":"","msg_text":"","timestamp":1700000000,"host":""}]},"internalHostname":"node-1"}"#
            )
        );
    }

    #[test]
    fn ca_e3_a_bundle_of_kubernetes_events_in_the_body() {
        let text = concat!(
            "%%% \n2 **Pulled**: Image ok\n 1 **Started**: Container started\n \n _Events emitted by the kubelet seen at ",
            "1970-01-01 00:03:20 +0000 UTC since 1970-01-01 00:02:30 +0000 UTC_ \n\n %%%"
        );
        let tags = [
            "kube_kind:Pod",
            "kube_name:web-1",
            "kubernetes_kind:Pod",
            "name:web-1",
            "kube_namespace:default",
            "namespace:default",
            "pod_name:web-1",
            "source_component:kubelet",
            "orchestrator:kubernetes",
            "reporting_controller:kubelet",
            "host_provider_id:i-1",
        ];
        let event = Event {
            title: "Events from the Pod default/web-1".to_owned(),
            text: text.to_owned(),
            timestamp: 200,
            priority: "normal".to_owned(),
            host: "node-a-prod".to_owned(),
            tags: tags.map(str::to_owned).to_vec(),
            alert_type: "info".to_owned(),
            aggregation_key: "kubernetes_apiserver:u1".to_owned(),
            source_type_name: "kubernetes".to_owned(),
            event_type: "kubernetes_apiserver".to_owned(),
        };
        assert_eq!(
            String::from_utf8(body(&[event], "dca-host")).unwrap(),
            concat!(
                r#"{"apiKey":"","events":{"kubernetes":[{"msg_title":"Events from the Pod default/web-1","msg_text":"#,
                r#""%%% \n2 **Pulled**: Image ok\n 1 **Started**: Container started\n \n _Events emitted by the kubelet seen at "#,
                r#"1970-01-01 00:03:20 +0000 UTC since 1970-01-01 00:02:30 +0000 UTC_ \n\n %%%","timestamp":200,"priority":"normal","#,
                r#""host":"node-a-prod","tags":["kube_kind:Pod","kube_name:web-1","kubernetes_kind:Pod","name:web-1","kube_namespace:default","#,
                r#""namespace:default","pod_name:web-1","source_component:kubelet","orchestrator:kubernetes","reporting_controller:kubelet","#,
                r#""host_provider_id:i-1"],"alert_type":"info","aggregation_key":"kubernetes_apiserver:u1","source_type_name":"kubernetes","event_type":"kubernetes_apiserver"}]},"#,
                r#""internalHostname":"dca-host"}"#
            )
        );
    }
}
