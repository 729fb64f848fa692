//! The lock against an API server in memory that keeps whole objects.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, Request, Response};
use kube::client::Body;
use muster_actors::domain::lock_record::{LockError, LockRecord, LockVersion, StoredLock};
use muster_actors::kernel::clock::Clock;
use muster_actors::ports::{LeaderDirectory as _, LeaseStore as _};
use serde_json::{Value, json};

use super::directory::ServiceDirectoryParts;
use super::*;
use crate::config::settings::LockKind;

const LIMIT: Duration = Duration::from_secs(2);
const NAME: &str = "datadog-leader-election";
/// 2026-01-02T03:04:05Z
const START: i64 = 1_767_323_045_000_000_000;
const CONFIG_MAP: &str = "/api/v1/namespaces/monitoring/configmaps/datadog-leader-election";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/monitoring/leases/datadog-leader-election";

/// What the server has and what it was asked.
#[derive(Default)]
struct Server {
    objects: BTreeMap<String, Value>,
    version: u64,
    asked: Vec<String>,
    /// Paths that are answered with an error.
    refused: BTreeMap<String, u16>,
    /// Nothing is answered.
    silent: bool,
}

impl Server {
    fn put(&mut self, path: &str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.objects.insert(path.to_owned(), object.clone());
        object
    }

    fn answer(&mut self, method: &Method, path: &str, body: &[u8]) -> (u16, Value) {
        self.asked.push(format!("{method} {path}"));
        if let Some(code) = self.refused.get(path) {
            return (*code, Value::Null);
        }
        match *method {
            Method::GET => self.objects.get(path).map_or((404, Value::Null), |object| (200, object.clone())),
            Method::POST => {
                let object: Value = serde_json::from_slice(body).unwrap();
                let path = format!("{path}/{}", object["metadata"]["name"].as_str().unwrap());
                if self.objects.contains_key(&path) { (409, Value::Null) } else { (201, self.put(&path, object)) }
            }
            Method::PUT => {
                let object: Value = serde_json::from_slice(body).unwrap();
                match self.objects.get(path) {
                    None => (404, Value::Null),
                    Some(stored) if stored["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"] => (409, Value::Null),
                    Some(_) => (200, self.put(path, object)),
                }
            }
            _ => panic!("{method} {path}"),
        }
    }
}

#[derive(Clone, Default)]
struct Api(Arc<Mutex<Server>>);

impl Api {
    fn server(&self) -> std::sync::MutexGuard<'_, Server> {
        self.0.lock().unwrap()
    }

    fn object(&self, path: &str) -> Value {
        self.server().objects[path].clone()
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.server().asked)
    }

    fn client(&self) -> kube::Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap();
                if api.server().silent {
                    std::future::pending::<()>().await;
                }
                let (code, answer) = api.server().answer(&parts.method, parts.uri.path(), &body);
                let reason = json!({ "kind": "Status", "status": "Failure", "code": code, "message": "no", "reason": "Test" });
                let answer = if code < 400 { answer } else { reason };
                Ok::<_, Infallible>(Response::builder().status(code).body(Body::from(answer.to_string().into_bytes())).unwrap())
            }
        });
        kube::Client::new(service, "default")
    }

    fn lock(&self, kind: LockKind) -> KubeLock {
        KubeLock::new(self.client(), LockPlace { kind, namespace: "monitoring".to_owned(), name: NAME.to_owned() }, LIMIT)
    }
}

fn claim() -> LockRecord {
    LockRecord {
        holder: "dca-0".to_owned(),
        lease_seconds: 60,
        acquired_at: START,
        renewed_at: START,
        transitions: 1,
        ..LockRecord::default()
    }
}

fn annotation(object: &Value, name: &str) -> String {
    object["metadata"]["annotations"][name].as_str().unwrap_or_default().to_owned()
}

const RECORD: &str = "control-plane.alpha.kubernetes.io/leader";

#[tokio::test]
async fn ca_l7_a_config_map_lock_taken_for_the_first_time_reads_as_stock_wrote_it() {
    let api = Api::default();
    let lock = api.lock(LockKind::ConfigMap);
    assert_eq!(lock.read().await, Ok(None));
    let stored = lock.write(claim(), None).await.unwrap();
    assert_eq!(stored.record, claim());
    let expected = r#"{"holderIdentity":"dca-0","leaseDurationSeconds":60,"acquireTime":"2026-01-02T03:04:05Z","renewTime":"2026-01-02T03:04:05Z","leaderTransitions":1}"#;
    assert_eq!(annotation(&api.object(CONFIG_MAP), RECORD), expected);
    let collection = CONFIG_MAP.strip_suffix(&format!("/{NAME}")).unwrap();
    assert_eq!(
        api.asked(),
        [format!("GET {CONFIG_MAP}"), format!("POST {collection}"), format!("PUT {CONFIG_MAP}")],
        "an empty object comes first"
    );
}

#[tokio::test]
async fn ca_l8_a_renewal_changes_the_renew_time_only() {
    for (kind, path) in [(LockKind::ConfigMap, CONFIG_MAP), (LockKind::Lease, LEASE)] {
        let api = Api::default();
        let lock = api.lock(kind);
        let stored = lock.write(claim(), None).await.unwrap();
        let before = api.object(path);
        api.asked();
        let renewed = LockRecord { renewed_at: START + 8_123_456_789, ..stored.record };
        lock.write(renewed, Some(stored.version)).await.unwrap();
        assert_eq!(api.asked(), [format!("PUT {path}")], "a renewal is one call");
        let mut expected = before.clone();
        if kind == LockKind::Lease {
            expected["spec"]["renewTime"] = "2026-01-02T03:04:13.123456Z".into();
        } else {
            let text =
                annotation(&before, RECORD).replace(r#""renewTime":"2026-01-02T03:04:05Z""#, r#""renewTime":"2026-01-02T03:04:13Z""#);
            expected["metadata"]["annotations"][RECORD] = text.into();
        }
        expected["metadata"]["resourceVersion"] = "3".into();
        assert_eq!(api.object(path), expected);
    }
}

#[tokio::test]
async fn ca_l9_a_lock_that_is_given_up_has_no_holder_one_second_and_no_address() {
    for (kind, path) in [(LockKind::ConfigMap, CONFIG_MAP), (LockKind::Lease, LEASE)] {
        let api = Api::default();
        let lock = api.lock(kind);
        let held = LockRecord { leader_address: Some("10.1.2.3:5005".to_owned()), ..claim() };
        let stored = lock.write(held.clone(), None).await.unwrap();
        assert_eq!(stored.record, held);
        assert_eq!(annotation(&api.object(path), "muster.io/leader-address"), "10.1.2.3:5005");
        let released = LockRecord { holder: String::new(), lease_seconds: 1, leader_address: None, ..held };
        assert_eq!(lock.write(released.clone(), Some(stored.version)).await.unwrap().record, released);
        let object = api.object(path);
        let record: Value = match kind {
            LockKind::Lease => object["spec"].clone(),
            _ => serde_json::from_str(&annotation(&object, RECORD)).unwrap(),
        };
        assert_eq!((&record["holderIdentity"], &record["leaseDurationSeconds"]), (&json!(""), &json!(1)));
        assert!(!object.to_string().contains("muster.io"), "{object}");
    }
}

#[tokio::test]
async fn ca_l7_a_lease_lock_has_microseconds_and_a_config_map_beside_it() {
    let api = Api::default();
    let lock = api.lock(LockKind::Lease);
    assert_eq!(lock.read().await, Ok(None));
    lock.write(LockRecord { renewed_at: START + 1_500_000, ..claim() }, None).await.unwrap();
    let expected = json!({
        "holderIdentity": "dca-0",
        "leaseDurationSeconds": 60,
        "acquireTime": "2026-01-02T03:04:05.000000Z",
        "renewTime": "2026-01-02T03:04:05.001500Z",
        "leaseTransitions": 1,
    });
    let object = api.object(LEASE);
    assert_eq!(object["spec"], expected);
    assert_eq!((&object["apiVersion"], &object["kind"]), (&json!("coordination.k8s.io/v1"), &json!("Lease")));
    assert!(api.object(CONFIG_MAP)["metadata"]["annotations"].is_null(), "an empty one");
}

#[tokio::test]
async fn a_lease_works_where_config_maps_are_forbidden_and_asks_for_one_once() {
    let api = Api::default();
    api.server().refused.insert(CONFIG_MAP.to_owned(), 403);
    let lock = api.lock(LockKind::Lease);
    for _ in 0..3 {
        assert_eq!(lock.read().await, Ok(None));
    }
    assert_eq!(api.asked().iter().filter(|call| call.ends_with(CONFIG_MAP)).count(), 1);
}

#[tokio::test]
async fn records_of_stock_replicas_are_read_and_everything_else_in_the_object_is_kept() {
    let api = Api::default();
    let text = r#"{"holderIdentity":"stock-1","leaseDurationSeconds":15,"acquireTime":"2026-01-02T03:04:05Z","renewTime":"2026-01-02T03:05:05Z","leaderTransitions":7,"strategy":"","preferredHolder":""}"#;
    let metadata = json!({ "name": NAME, "labels": { "app": "x" }, "annotations": { RECORD: text, "other": "kept" }, "managedFields": [{ "manager": "stock" }] });
    api.server().put(CONFIG_MAP, json!({ "kind": "ConfigMap", "metadata": metadata, "data": { "k": "v" }, "unheardOf": [1] }));
    let lock = api.lock(LockKind::ConfigMap);
    let found = lock.read().await.unwrap().unwrap();
    let expected = LockRecord {
        holder: "stock-1".to_owned(),
        lease_seconds: 15,
        acquired_at: START,
        renewed_at: START + 60_000_000_000,
        transitions: 7,
        strategy: Some(String::new()),
        preferred_holder: Some(String::new()),
        leader_address: None,
    };
    assert_eq!(found, StoredLock { record: expected.clone(), version: LockVersion("1".to_owned()) });
    lock.write(LockRecord { holder: "dca-0".to_owned(), transitions: 8, ..expected }, Some(found.version)).await.unwrap();
    let object = api.object(CONFIG_MAP);
    assert_eq!(annotation(&object, RECORD), text.replace("stock-1", "dca-0").replace(":7,", ":8,"));
    assert_eq!(annotation(&object, "other"), "kept");
    assert_eq!((&object["metadata"]["labels"]["app"], &object["data"]["k"], &object["unheardOf"]), (&json!("x"), &json!("v"), &json!([1])));
    assert_eq!(object["metadata"]["managedFields"], json!([{ "manager": "stock" }]));
}

#[tokio::test]
async fn a_lease_of_a_stock_replica_is_read_and_kept() {
    let api = Api::default();
    let spec = json!({
        "holderIdentity": "stock-1", "leaseDurationSeconds": 15, "leaseTransitions": 7,
        "acquireTime": "2026-01-02T03:04:05.000000Z", "renewTime": "2026-01-02T03:04:05.250000Z",
        "strategy": "OldestEmulationVersion", "preferredHolder": "stock-2", "unheardOf": 1,
    });
    api.server().put(LEASE, json!({ "kind": "Lease", "metadata": { "name": NAME }, "spec": spec }));
    let lock = api.lock(LockKind::Lease);
    let found = lock.read().await.unwrap().unwrap();
    assert_eq!((found.record.holder.as_str(), found.record.transitions, found.record.renewed_at), ("stock-1", 7, START + 250_000_000));
    lock.write(LockRecord { holder: "dca-0".to_owned(), transitions: 8, ..found.record }, Some(found.version)).await.unwrap();
    let mut expected = spec;
    expected["holderIdentity"] = "dca-0".into();
    expected["leaseTransitions"] = 8.into();
    assert_eq!(api.object(LEASE)["spec"], expected);
}

#[tokio::test]
async fn an_address_counts_only_for_the_holder_who_wrote_it() {
    for (kind, path) in [(LockKind::ConfigMap, CONFIG_MAP), (LockKind::Lease, LEASE)] {
        let api = Api::default();
        let lock = api.lock(kind);
        let ours = LockRecord { leader_address: Some("10.1.2.3:5005".to_owned()), ..claim() };
        lock.write(ours, None).await.unwrap();
        // A stock replica takes over and leaves annotations it does not know.
        let mut object = api.object(path);
        let text = annotation(&object, RECORD).replace("dca-0", "stock-1");
        if kind == LockKind::Lease {
            object["spec"]["holderIdentity"] = "stock-1".into();
        } else {
            object["metadata"]["annotations"][RECORD] = text.into();
        }
        api.server().put(path, object);
        let record = lock.read().await.unwrap().unwrap().record;
        assert_eq!((record.holder.as_str(), record.leader_address), ("stock-1", None));
    }
}

#[tokio::test]
async fn what_somebody_else_wrote_is_a_conflict_and_nothing_is_overwritten() {
    let api = Api::default();
    let (lock, other) = (api.lock(LockKind::ConfigMap), api.lock(LockKind::ConfigMap));
    let first = lock.write(claim(), None).await.unwrap();
    assert_eq!(other.write(claim(), None).await, Err(LockError::Conflict), "it exists already");
    let found = other.read().await.unwrap().unwrap();
    let theirs = other.write(LockRecord { holder: "dca-1".to_owned(), ..claim() }, Some(found.version)).await.unwrap();
    assert_eq!(lock.write(claim(), Some(first.version.clone())).await, Err(LockError::Conflict));
    assert_eq!(lock.read().await.unwrap(), Some(theirs));
    // A lock that forgot the object, or was started anew, looks first.
    assert_eq!(api.lock(LockKind::ConfigMap).write(claim(), Some(first.version)).await, Err(LockError::Conflict));
    api.server().objects.clear();
    assert_eq!(lock.read().await, Ok(None));
    assert_eq!(lock.write(claim(), Some(LockVersion("3".to_owned()))).await, Err(LockError::Conflict), "it is gone");
}

#[tokio::test]
async fn a_missing_right_is_named_with_its_mend() {
    let api = Api::default();
    api.server().refused.insert(CONFIG_MAP.to_owned(), 403);
    let error = api.lock(LockKind::ConfigMap).read().await.unwrap_err();
    let expected = "get configmaps monitoring/datadog-leader-election: forbidden; a Role in namespace monitoring must grant the \
                    ServiceAccount `get` on `configmaps`";
    assert_eq!(error, LockError::Forbidden(expected.to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_costs_the_limit_of_a_call() {
    let api = Api::default();
    api.server().silent = true;
    let lock = api.lock(LockKind::ConfigMap);
    let began = tokio::time::Instant::now();
    assert!(matches!(lock.read().await, Err(LockError::Unavailable(text)) if text.contains("within 2s")));
    assert!(matches!(lock.write(claim(), None).await, Err(LockError::Unavailable(_))));
    assert_eq!(began.elapsed().as_secs(), 4);
}

#[tokio::test]
async fn an_annotation_that_is_no_record_says_what_to_do() {
    let api = Api::default();
    api.server().put(CONFIG_MAP, json!({ "metadata": { "name": NAME, "annotations": { RECORD: "dca-0" } } }));
    let error = api.lock(LockKind::ConfigMap).read().await.unwrap_err();
    assert!(error.to_string().contains("remove it"), "{error}");
}

#[tokio::test]
async fn ca_l6_an_unset_kind_is_a_lease_where_there_are_leases() {
    let group = "/apis/coordination.k8s.io/v1";
    let list = |names: &[&str]| {
        let resource = |name| json!({ "name": name, "kind": "X", "namespaced": true, "singularName": "", "verbs": [] });
        json!({ "groupVersion": "coordination.k8s.io/v1", "resources": names.iter().map(resource).collect::<Vec<_>>() })
    };
    for (resources, path) in [(Some(list(&["leases"])), LEASE), (Some(list(&[])), CONFIG_MAP), (None, CONFIG_MAP)] {
        let api = Api::default();
        api.server().objects.extend(resources.map(|resources| (group.to_owned(), resources)));
        let lock = api.lock(LockKind::Discover);
        lock.write(claim(), None).await.unwrap();
        let holder = lock.read().await.unwrap().unwrap().record.holder;
        assert_eq!(holder, "dca-0");
        assert!(api.server().objects.contains_key(path), "{path}");
        assert_eq!(api.asked().iter().filter(|call| call.ends_with(group)).count(), 1, "asked once");
    }
    let api = Api::default();
    api.server().refused.insert(group.to_owned(), 503);
    let lock = api.lock(LockKind::Discover);
    assert!(matches!(lock.read().await, Err(LockError::Unavailable(_))), "not known yet, so nothing is chosen");
    api.server().refused.clear();
    assert_eq!(lock.read().await, Ok(None));
}

#[tokio::test]
async fn an_error_of_the_server_is_told_once() {
    let api = Api::default();
    api.server().refused.insert(LEASE.to_owned(), 500);
    let error = api.lock(LockKind::Lease).read().await.unwrap_err();
    let expected = "get leases.coordination.k8s.io monitoring/datadog-leader-election: 500 no";
    assert_eq!(error, LockError::Unavailable(expected.to_owned()));
}

#[derive(Default)]
struct Hands(Mutex<Duration>);

impl Clock for Hands {
    fn monotonic(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    fn unix_nanos(&self) -> i64 {
        START
    }
}

fn directory(api: &Api, clock: &Arc<Hands>, slices: bool) -> ServiceDirectory {
    ServiceDirectory::new(ServiceDirectoryParts {
        client: api.client(),
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        slices,
        namespace: "monitoring".to_owned(),
        service: "datadog-cluster-agent".to_owned(),
        port: 5005,
        limit: LIMIT,
    })
}

const ENDPOINTS: &str = "/api/v1/namespaces/monitoring/endpoints/datadog-cluster-agent";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/monitoring/endpointslices";

fn of_pod(name: &str) -> Value {
    json!({ "kind": "Pod", "name": name })
}

#[tokio::test]
async fn ca_l12_a_stock_leader_is_found_in_the_endpoints_of_the_service_and_asked_for_once_in_five_minutes() {
    let (api, clock) = (Api::default(), Arc::new(Hands::default()));
    let addresses = json!([{ "ip": "10.1.2.2", "targetRef": of_pod("dca-0") }, { "ip": "10.1.2.3", "targetRef": of_pod("dca-1") }]);
    api.server().put(ENDPOINTS, json!({ "metadata": { "name": "datadog-cluster-agent" }, "subsets": [{ "addresses": addresses }] }));
    let directory = directory(&api, &clock, false);
    for seconds in [0, 299] {
        *clock.0.lock().unwrap() = Duration::from_secs(seconds);
        assert_eq!(directory.address_of("dca-1").await.as_deref(), Some("10.1.2.3:5005"));
    }
    assert_eq!(api.asked(), [format!("GET {ENDPOINTS}")]);
    *clock.0.lock().unwrap() = Duration::from_secs(300);
    assert_eq!(directory.address_of("dca-1").await.as_deref(), Some("10.1.2.3:5005"));
    assert_eq!(directory.address_of("dca-0").await.as_deref(), Some("10.1.2.2:5005"));
    assert_eq!(api.asked().len(), 2);
}

#[tokio::test]
async fn a_stock_leader_is_found_in_slices() {
    let (api, clock) = (Api::default(), Arc::new(Hands::default()));
    let slice = |endpoints: Value| json!({ "metadata": { "name": "s" }, "addressType": "IPv6", "endpoints": endpoints });
    let items = [slice(json!([])), slice(json!([{ "addresses": ["fd00::3"], "targetRef": of_pod("dca-1") }]))];
    api.server().put(SLICES, json!({ "metadata": {}, "items": items }));
    let directory = directory(&api, &clock, true);
    assert_eq!(directory.address_of("dca-1").await.as_deref(), Some("[fd00::3]:5005"));
}

#[tokio::test]
async fn a_leader_that_is_not_found_is_looked_for_again() {
    for refused in [None, Some(403), Some(503)] {
        let (api, clock) = (Api::default(), Arc::new(Hands::default()));
        api.server().refused.extend(refused.map(|code| (ENDPOINTS.to_owned(), code)));
        let directory = directory(&api, &clock, false);
        assert_eq!(directory.address_of("dca-1").await, None);
        assert_eq!(directory.address_of("dca-1").await, None);
        assert_eq!(api.asked().len(), 2, "{refused:?} is not kept");
    }
}
