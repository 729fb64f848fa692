//! Who holds the lock, and since when. Source: cluster-agent-kubernetes 2.1, 2.4.

use std::collections::BTreeMap;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::Api;
use serde::Deserialize;

use super::finding::{Finding, Section};
use crate::config::settings::{ElectionSettings, LockKind};
use crate::kube::config_map::ConfigMaps;
use crate::kube::error::ObjectError;

/// Annotation of a ConfigMap that is a lock.
const RECORD: &str = "control-plane.alpha.kubernetes.io/leader";

/// Annotation in which our leaders say where they are.
const ADDRESS: &str = "muster.io/leader-address";

/// What the object says; as in the annotation of a ConfigMap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Record {
    holder_identity: String,
    lease_duration_seconds: i64,
    renew_time: Option<Timestamp>,
    leader_transitions: i64,
    #[serde(skip)]
    address: Option<String>,
}

/// `now`: seconds since the Unix epoch.
pub(super) async fn examine(client: &Client, election: &ElectionSettings, namespace: &str, now: i64) -> Finding {
    if !election.enabled {
        return Finding::well(Section::Lock, "election", "off: this replica leads, and must be the only one");
    }
    let kind = if election.lock == LockKind::ConfigMap { "ConfigMap" } else { "Lease" };
    let subject = format!("{kind} {namespace}/{}", election.lock_name);
    let found = if election.lock == LockKind::ConfigMap {
        from_config_map(client, namespace, &election.lock_name).await
    } else {
        from_lease(client, namespace, &election.lock_name).await
    };
    match found {
        Ok(record) => judge(subject, &record, now),
        Err(ObjectError::NotFound) => Finding::well(Section::Lock, subject, "not there yet: the first replica that starts makes it"),
        Err(error @ ObjectError::Forbidden { .. }) => Finding::mend(Section::Lock, subject, error.to_string(), "see the rights above"),
        Err(error) => Finding::mend(Section::Lock, subject, error.to_string(), "see the API server above"),
    }
}

async fn from_lease(client: &Client, namespace: &str, name: &str) -> Result<Record, ObjectError> {
    let lease = Api::<Lease>::namespaced(client.clone(), namespace).get(name).await;
    let lease = lease.map_err(|error| ObjectError::classify("get", "leases", name, &error))?;
    let spec = lease.spec.unwrap_or_default();
    Ok(Record {
        holder_identity: spec.holder_identity.unwrap_or_default(),
        lease_duration_seconds: spec.lease_duration_seconds.unwrap_or_default().into(),
        renew_time: spec.renew_time.map(|time| time.0),
        leader_transitions: spec.lease_transitions.unwrap_or_default().into(),
        address: address(lease.metadata.annotations),
    })
}

async fn from_config_map(client: &Client, namespace: &str, name: &str) -> Result<Record, ObjectError> {
    let map = ConfigMaps::new(client.clone(), namespace).get(name).await?;
    let text = map.metadata.annotations.as_ref().and_then(|annotations| annotations.get(RECORD)).cloned();
    // An object that nobody has written to is a lock that nobody holds; so is one with a record that nobody can read.
    let record: Record = text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    Ok(Record { address: address(map.metadata.annotations), ..record })
}

fn address(annotations: Option<BTreeMap<String, String>>) -> Option<String> {
    annotations?.remove(ADDRESS)
}

fn judge(subject: String, record: &Record, now: i64) -> Finding {
    let advice =
        |found: String| Finding::advice(Section::Lock, subject.clone(), found, "start a replica, or look at the log of those that run");
    if record.holder_identity.is_empty() {
        return advice("nobody holds it".to_owned());
    }
    let address = match &record.address {
        Some(address) => format!(" at {address}"),
        None => " (no address annotation: a stock replica, looked up by its pod name)".to_owned(),
    };
    let age = record.renew_time.map(|time| (now - time.as_second()).max(0));
    let renewed = age.map_or_else(|| "never renewed".to_owned(), |age| format!("renewed {age} s ago"));
    let (duration, epoch) = (record.lease_duration_seconds, record.leader_transitions);
    let found = format!("held by {:?}{address}, {renewed}, lease {duration} s, epoch {epoch}", record.holder_identity);
    if age.is_none_or(|age| age > duration) { advice(format!("run out: {found}")) } else { Finding::well(Section::Lock, subject, found) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::finding::State;
    use super::*;
    use crate::config::settings::KubernetesSettings;
    use crate::config::{Config, Role};
    use crate::kube::testing::{Reply, Script};

    /// 2026-11-21T17:00:00Z.
    const NOW: i64 = 1_795_280_400;

    fn election(lock: LockKind) -> ElectionSettings {
        let settings = KubernetesSettings::from_config(&Config::defaults(Role::Cluster)).election;
        ElectionSettings { enabled: true, lock, lock_name: "lock".to_owned(), ..settings }
    }

    async fn found(lock: LockKind, path: &str, reply: Reply) -> (State, String) {
        let script = Script::new().on("GET", path, reply);
        let finding = examine(&script.client(), &election(lock), "ns", NOW).await;
        script.finish();
        (finding.state, format!("{}: {}", finding.subject, finding.found))
    }

    fn lease(spec: &serde_json::Value, annotations: &serde_json::Value) -> Reply {
        let metadata = json!({"name": "lock", "namespace": "ns", "annotations": annotations});
        Reply::json(200, &json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}))
    }

    const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/ns/leases/lock";

    #[tokio::test]
    async fn the_holder_of_a_lease_is_named_with_address_and_age() {
        let held =
            |renewed: &str| json!({"holderIdentity": "a-1", "leaseDurationSeconds": 15, "renewTime": renewed, "leaseTransitions": 7});
        let reply = lease(&held("2026-11-21T16:59:57.000000Z"), &json!({"muster.io/leader-address": "10.1.0.7:5005"}));
        let expected = "Lease ns/lock: held by \"a-1\" at 10.1.0.7:5005, renewed 3 s ago, lease 15 s, epoch 7";
        assert_eq!(found(LockKind::Lease, LEASE, reply).await, (State::Well, expected.to_owned()));
        let reply = lease(&held("2026-11-21T16:59:44.000000Z"), &json!({}));
        let (state, text) = found(LockKind::Discover, LEASE, reply).await;
        assert!(state == State::Advice && text.contains("run out: ") && text.contains("(no address annotation: a stock replica"), "{text}");
        assert_eq!(found(LockKind::Lease, LEASE, lease(&json!({}), &json!({}))).await.1, "Lease ns/lock: nobody holds it");
    }

    #[tokio::test]
    async fn the_record_of_a_stock_config_map_is_read() {
        let record = "{\"holderIdentity\":\"b-2\",\"leaseDurationSeconds\":60,\"acquireTime\":\"2026-11-21T16:00:00Z\",\
                      \"renewTime\":\"2026-11-21T16:59:30Z\",\"leaderTransitions\":1,\"strategy\":\"\",\"preferredHolder\":\"\"}";
        let map = |annotations| {
            let metadata = json!({"name": "lock", "namespace": "ns", "annotations": annotations});
            Reply::json(200, &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}))
        };
        let path = "/api/v1/namespaces/ns/configmaps/lock";
        let (state, text) = found(LockKind::ConfigMap, path, map(json!({RECORD: record}))).await;
        assert!(
            state == State::Well && text.contains("held by \"b-2\"") && text.contains("renewed 30 s ago, lease 60 s, epoch 1"),
            "{text}"
        );
        assert_eq!(found(LockKind::ConfigMap, path, map(json!({}))).await.1, "ConfigMap ns/lock: nobody holds it");
    }

    #[tokio::test]
    async fn no_lock_yet_is_well_and_no_right_is_not() {
        let (state, text) = found(LockKind::Lease, LEASE, Reply::status(404, "NotFound", "no")).await;
        assert!(state == State::Well && text.contains("not there yet"), "{text}");
        let (state, text) = found(LockKind::Lease, LEASE, Reply::status(403, "Forbidden", "no")).await;
        assert!(state == State::Mend && text.contains("get leases \"lock\" is forbidden"), "{text}");
    }

    #[tokio::test]
    async fn without_election_nothing_is_asked() {
        let script = Script::new();
        let off = ElectionSettings { enabled: false, ..election(LockKind::Lease) };
        assert_eq!(examine(&script.client(), &off, "ns", NOW).await.state, State::Well);
        script.finish();
    }
}
