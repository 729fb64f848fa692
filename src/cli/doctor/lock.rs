//! Who holds the lock, and since when. Source: cluster-agent-kubernetes 2.1, 2.4.

use kube::Client;
use muster_actors::domain::lock_record::{LockError, LockRecord};

use super::finding::{Finding, Section};
use crate::config::settings::{KubernetesSettings, LockKind};
use crate::kube::lock::{KubeLock, LockPlace};

/// `now`: seconds since the Unix epoch.
pub(super) async fn examine(client: &Client, settings: &KubernetesSettings, namespace: &str, now: i64) -> Finding {
    let election = &settings.election;
    if !election.enabled {
        return Finding::well(Section::Lock, "election", "off: this replica leads, and must be the only one");
    }
    let kind = match election.lock {
        LockKind::ConfigMap => "ConfigMap",
        LockKind::Lease => "Lease",
        LockKind::Discover => "Lease or ConfigMap",
    };
    let subject = format!("{kind} {namespace}/{}", election.lock_name);
    let place = LockPlace { kind: election.lock, namespace: namespace.to_owned(), name: election.lock_name.clone() };
    match KubeLock::new(client.clone(), place, settings.api_server.timeout).look().await {
        Ok(Some(record)) => judge(subject, &record, now),
        Ok(None) => Finding::well(Section::Lock, subject, "not there yet: the first replica that starts makes it"),
        Err(error @ LockError::Forbidden(_)) => Finding::mend(Section::Lock, subject, error.to_string(), "see the rights above"),
        Err(error) => Finding::mend(Section::Lock, subject, error.to_string(), "see the API server above"),
    }
}

fn judge(subject: String, record: &LockRecord, now: i64) -> Finding {
    let advice = |found| Finding::advice(Section::Lock, subject.clone(), found, "start a replica, or look at the log of those that run");
    if record.is_free() {
        return advice("nobody holds it".to_owned());
    }
    let address = match &record.leader_address {
        Some(address) => format!(" at {address}"),
        None => " (no address annotation: a stock replica, looked up by its pod name)".to_owned(),
    };
    let age = (now - record.renewed_at / 1_000_000_000).max(0);
    let renewed = if record.renewed_at == 0 { "never renewed".to_owned() } else { format!("renewed {age} s ago") };
    let LockRecord { holder, lease_seconds, transitions, .. } = record;
    let found = format!("held by {holder:?}{address}, {renewed}, lease {lease_seconds} s, epoch {transitions}");
    if age > i64::from(*lease_seconds) { advice(format!("run out: {found}")) } else { Finding::well(Section::Lock, subject, found) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::finding::State;
    use super::*;
    use crate::config::{Config, Role};
    use crate::kube::testing::{Reply, Script};

    /// 2026-11-21T17:00:00Z.
    const NOW: i64 = 1_795_280_400;

    fn settings(lock: LockKind) -> KubernetesSettings {
        let mut settings = KubernetesSettings::from_config(&Config::defaults(Role::Cluster));
        settings.election.enabled = true;
        settings.election.lock = lock;
        settings.election.lock_name = "lock".to_owned();
        settings
    }

    async fn found(lock: LockKind, path: &str, reply: Reply) -> (State, String) {
        let script = Script::new().on("GET", path, reply);
        let finding = examine(&script.client(), &settings(lock), "ns", NOW).await;
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
        let reply = lease(
            &held("2026-11-21T16:59:57.000000Z"),
            &json!({"muster.io/leader-address": "10.1.0.7:5005", "muster.io/leader-address-of": "a-1"}),
        );
        let expected = "Lease ns/lock: held by \"a-1\" at 10.1.0.7:5005, renewed 3 s ago, lease 15 s, epoch 7";
        assert_eq!(found(LockKind::Lease, LEASE, reply).await, (State::Well, expected.to_owned()));
        let reply = lease(&held("2026-11-21T16:59:44.000000Z"), &json!({}));
        let (state, text) = found(LockKind::Lease, LEASE, reply).await;
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
        let (state, text) = found(LockKind::ConfigMap, path, map(json!({"control-plane.alpha.kubernetes.io/leader": record}))).await;
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
        assert!(state == State::Mend && text.contains("leases"), "{text}");
    }

    #[tokio::test]
    async fn without_election_nothing_is_asked() {
        let script = Script::new();
        let mut off = settings(LockKind::Lease);
        off.election.enabled = false;
        assert_eq!(examine(&script.client(), &off, "ns", NOW).await.state, State::Well);
        script.finish();
    }
}
