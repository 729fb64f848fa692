//! A replica of ours and one that keeps the lock as stock replicas do: both kinds of lock, both directions.

use std::time::Duration;

use jiff::Timestamp;
use muster_rig::{Identity, RigError, until};
use serde_json::{Value as Json, json};
use tokio::time::{Instant, sleep};

use crate::prober::Prober;
use crate::world::{LOCALHOST, Size, TOKEN, World};

const LEASE_SECONDS: u64 = 6;

const LOCK: &str = "muster-leader-election";

const ANNOTATION: &str = "control-plane.alpha.kubernetes.io/leader";

/// Where the record is kept.
#[derive(Debug, Clone, Copy)]
enum Kind {
    ConfigMap,
    Lease,
}

/// A contender that follows the rules of client-go, as far as they can be seen in the record.
struct Stock<'a> {
    api: &'a Identity,
    kind: Kind,
    name: &'static str,
    /// The record last seen, and when it changed.
    seen: Option<(Json, Instant)>,
}

impl<'a> Stock<'a> {
    fn new(api: &'a Identity, kind: Kind) -> Self {
        Self { api, kind, name: "stock-0", seen: None }
    }

    fn collection(&self) -> &'static str {
        match self.kind {
            Kind::ConfigMap => "/api/v1/namespaces/muster/configmaps",
            Kind::Lease => "/apis/coordination.k8s.io/v1/namespaces/muster/leases",
        }
    }

    async fn object(&self) -> Option<Json> {
        self.api.get(&format!("{}/{LOCK}", self.collection())).await.ok()
    }

    /// The record in the form of the annotation, whatever it is kept in.
    async fn record(&self) -> Option<Json> {
        let object = self.object().await?;
        Some(match self.kind {
            Kind::ConfigMap => serde_json::from_str(object["metadata"]["annotations"][ANNOTATION].as_str()?).expect("a record"),
            Kind::Lease => {
                let spec = &object["spec"];
                json!({
                    "holderIdentity": spec["holderIdentity"], "leaseDurationSeconds": spec["leaseDurationSeconds"],
                    "acquireTime": spec["acquireTime"], "renewTime": spec["renewTime"], "leaderTransitions": spec["leaseTransitions"],
                })
            }
        })
    }

    /// One turn of the loop: take the lock, renew it, or leave it alone. Tells whether it is held afterwards.
    async fn turn(&mut self) -> bool {
        let Some(mut object) = self.object().await else {
            let empty = json!({"metadata": {"name": LOCK}, "spec": if matches!(self.kind, Kind::Lease) { json!({}) } else { Json::Null }});
            drop(self.api.create(self.collection(), &empty).await);
            return false;
        };
        let record = self.record().await.unwrap_or(Json::Null);
        if self.seen.as_ref().is_none_or(|(seen, _)| *seen != record) {
            self.seen = Some((record.clone(), Instant::now()));
        }
        let holder = record["holderIdentity"].as_str().unwrap_or_default();
        let duration = Duration::from_secs(record["leaseDurationSeconds"].as_u64().unwrap_or_default());
        let changed_at = self.seen.as_ref().map(|(_, at)| *at).expect("set above");
        if !holder.is_empty() && holder != self.name && changed_at.elapsed() < duration {
            return false;
        }
        let transitions = record["leaderTransitions"].as_u64().unwrap_or_default();
        let now = Timestamp::now();
        let (acquired, transitions) =
            if holder == self.name { (record["acquireTime"].clone(), transitions) } else { (Json::Null, transitions + 1) };
        match self.kind {
            Kind::ConfigMap => {
                let time = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
                let acquired = if acquired.is_null() { json!(time) } else { acquired };
                let text = format!(
                    "{{\"holderIdentity\":\"{}\",\"leaseDurationSeconds\":{LEASE_SECONDS},\"acquireTime\":{acquired},\"renewTime\":\"{time}\",\"leaderTransitions\":{transitions},\"strategy\":\"\",\"preferredHolder\":\"\"}}",
                    self.name
                );
                object["metadata"]["annotations"][ANNOTATION] = json!(text);
            }
            Kind::Lease => {
                let time = now.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
                object["spec"]["holderIdentity"] = json!(self.name);
                object["spec"]["leaseDurationSeconds"] = json!(LEASE_SECONDS);
                object["spec"]["acquireTime"] = if acquired.is_null() { json!(time) } else { acquired };
                object["spec"]["renewTime"] = json!(time);
                object["spec"]["leaseTransitions"] = json!(transitions);
            }
        }
        let written: Result<Json, RigError> = self.api.replace(&format!("{}/{LOCK}", self.collection()), &object).await;
        written.is_ok()
    }

    async fn until_held(&mut self) -> Duration {
        let began = Instant::now();
        while !self.turn().await {
            assert!(began.elapsed() < Duration::from_secs(60), "{:?}: stock never takes the lock: {:?}", self.kind, self.record().await);
            sleep(Duration::from_millis(500)).await;
        }
        began.elapsed()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stock_and_ours_agree_who_leads() {
    let size = Size { nodes: 1, runners: 0, cluster_checks: 0, endpoint_checks: 0, mistakes: 0, replicas: 0, lease_seconds: LEASE_SECONDS };
    let mut world = World::start(size).await;
    for (kind, resource) in [(Kind::ConfigMap, "configmap"), (Kind::Lease, "lease")] {
        world.replicas[0].set("DD_LEADER_ELECTION_DEFAULT_RESOURCE", resource);
        let admin = world.admin.clone();
        let mut stock = Stock::new(&admin, kind);
        stock.until_held().await;
        let before = stock.record().await.unwrap();

        // Stock leads: ours must not, however long it runs.
        let prober = Prober::start([world.replicas[0].port], TOKEN, "runner-of-nobody", LOCALHOST);
        world.start_replica(0);
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(2 * LEASE_SECONDS) {
            assert!(stock.turn().await, "{kind:?}: ours took a lock that was held: {:?}", stock.record().await);
            assert_eq!(prober.leader(), None, "{kind:?}: ours leads beside a stock leader");
            sleep(Duration::from_secs(1)).await;
        }

        // Stock dies: ours takes over after the lease that the record names.
        let silent_since = Instant::now();
        let led = until("ours leads", async || prober.leader().is_some()).await;
        assert!(led.is_ok(), "{kind:?}: ours never leads: {:?}\n{}", stock.record().await, world.words());
        let waited = silent_since.elapsed();
        assert!(waited >= Duration::from_secs(LEASE_SECONDS - 2), "{kind:?}: ours leads after {waited:?}, before the lease ended");
        let record = stock.record().await.unwrap();
        assert_eq!(record["holderIdentity"], json!(world.replicas[0].name), "{kind:?}: {record}");
        assert_eq!(record["leaseDurationSeconds"], json!(LEASE_SECONDS), "{kind:?}: {record}");
        assert_eq!(record["leaderTransitions"], json!(before["leaderTransitions"].as_u64().unwrap() + 1), "{kind:?}: {record}");

        // Ours leads: stock must not.
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(2 * LEASE_SECONDS) {
            assert!(!stock.turn().await, "{kind:?}: stock took a lock that ours held: {:?}", stock.record().await);
            sleep(Duration::from_secs(1)).await;
        }

        // Ours stops and gives the lock up: stock need not wait for the lease.
        world.stop_replica(0).await;
        let released = stock.record().await.unwrap();
        assert_eq!((&released["holderIdentity"], &released["leaseDurationSeconds"]), (&json!(""), &json!(1)), "{kind:?}: {released}");
        let waited = stock.until_held().await;
        assert!(waited < Duration::from_secs(LEASE_SECONDS), "{kind:?}: stock waits {waited:?} for a lock that was released");
    }
}
