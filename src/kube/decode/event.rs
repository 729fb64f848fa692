//! Events. Source: cluster-agent-kubernetes 3.4 to 3.7.

use jiff::Timestamp;
use muster_actors::domain::kube::event::{InvolvedObject, KubeEvent};
use serde::Deserialize;

use super::head::or_empty;

/// An event: the fields that are forwarded. All of them may be missing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EventForm {
    #[serde(deserialize_with = "or_empty")]
    metadata: EventHead,
    #[serde(deserialize_with = "or_empty")]
    involved_object: Involved,
    #[serde(deserialize_with = "or_empty")]
    reason: String,
    #[serde(deserialize_with = "or_empty")]
    message: String,
    #[serde(rename = "type", deserialize_with = "or_empty")]
    event_type: String,
    #[serde(deserialize_with = "or_empty")]
    count: i64,
    first_timestamp: Option<Box<str>>,
    last_timestamp: Option<Box<str>>,
    event_time: Option<Box<str>>,
    #[serde(deserialize_with = "or_empty")]
    source: EventOrigin,
    #[serde(deserialize_with = "or_empty")]
    reporting_component: String,
}

/// Its `metadata`: everything else in it is larger than the event.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct EventHead {
    #[serde(deserialize_with = "or_empty")]
    resource_version: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Involved {
    #[serde(deserialize_with = "or_empty")]
    kind: String,
    #[serde(deserialize_with = "or_empty")]
    namespace: String,
    #[serde(deserialize_with = "or_empty")]
    name: String,
    #[serde(deserialize_with = "or_empty")]
    uid: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct EventOrigin {
    #[serde(deserialize_with = "or_empty")]
    component: String,
    #[serde(deserialize_with = "or_empty")]
    host: String,
}

impl EventForm {
    /// The event as it is forwarded.
    #[must_use]
    pub fn into_event(self) -> KubeEvent {
        let Involved { kind, namespace, name, uid } = self.involved_object;
        KubeEvent {
            version: self.metadata.resource_version,
            involved: InvolvedObject { kind, namespace, name, uid },
            reason: self.reason,
            message: self.message,
            event_type: self.event_type,
            count: self.count,
            first_seen: seconds(self.first_timestamp.as_deref()),
            last_seen: seconds(self.last_timestamp.as_deref()),
            event_time: seconds(self.event_time.as_deref()),
            component: self.source.component,
            host: self.source.host,
            controller: self.reporting_component,
        }
    }
}

/// Seconds since the Unix epoch of an RFC 3339 time; what is none counts as not told.
fn seconds(text: Option<&str>) -> Option<i64> {
    text?.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn decoded(event: &Value) -> KubeEvent {
        serde_json::from_str::<EventForm>(&event.to_string()).unwrap().into_event()
    }

    #[test]
    fn what_is_forwarded_is_read_and_the_rest_is_not() {
        let event = decoded(&json!({
            "kind": "Event", "apiVersion": "v1",
            "metadata": {"name": "web-1.17", "namespace": "default", "resourceVersion": "125", "managedFields": [{"fieldsV1": {"f:a": {}}}]},
            "involvedObject": {"kind": "Pod", "namespace": "default", "name": "web-1", "uid": "u1", "fieldPath": "spec.containers{a}"},
            "reason": "Pulled", "message": "Image ok", "type": "Normal", "count": 2,
            "firstTimestamp": "1970-01-01T00:01:40Z", "lastTimestamp": "1970-01-01T00:03:20Z", "eventTime": "1970-01-01T00:00:42.123456Z",
            "source": {"component": "kubelet", "host": "node-a"}, "reportingComponent": "kubelet", "reportingInstance": "node-a",
        }));
        let involved = InvolvedObject { kind: "Pod".into(), namespace: "default".into(), name: "web-1".into(), uid: "u1".into() };
        let expected = KubeEvent {
            version: "125".into(),
            involved,
            reason: "Pulled".into(),
            message: "Image ok".into(),
            event_type: "Normal".into(),
            count: 2,
            first_seen: Some(100),
            last_seen: Some(200),
            event_time: Some(42),
            component: "kubelet".into(),
            host: "node-a".into(),
            controller: "kubelet".into(),
        };
        assert_eq!(event, expected);
    }

    #[test]
    fn nothing_has_to_be_there() {
        assert_eq!(decoded(&json!({})), KubeEvent::default());
        let nulls = json!({
            "metadata": {"resourceVersion": "7"}, "involvedObject": null, "reason": null, "count": null, "firstTimestamp": null,
            "lastTimestamp": "yesterday", "eventTime": null, "source": null, "reportingComponent": null, "newField": {"deep": [1]},
        });
        assert_eq!(decoded(&nulls), KubeEvent { version: "7".into(), ..KubeEvent::default() });
    }
}
