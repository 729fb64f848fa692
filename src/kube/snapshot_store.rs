//! The snapshot of the assignment table in a ConfigMap. Source: cluster-agent-kubernetes 9.1.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::{BoxFuture, FutureExt as _};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use muster_actors::ports::{SaveOutcome, SnapshotStore, StillLeads, StoreError};
use tokio::sync::Mutex;
use tracing::{info, warn};

use super::config_map::ConfigMaps;
use super::error::ObjectError;

/// Name of the ConfigMap.
pub const NAME: &str = "muster-state";

/// Key in `binaryData`.
const KEY: &str = "snapshot";

/// Largest snapshot, as it is written.
///
/// Units: bytes. Why: the API server takes at most 1 MiB of data in a ConfigMap, all keys together.
const LARGEST: usize = 900_000;

/// Attempts to write against others that write at the same moment.
const ATTEMPTS: u32 = 3;

#[derive(Debug, thiserror::Error)]
#[error("{size} bytes, {LARGEST} fit into a ConfigMap; set muster.snapshot to false, or dispatch fewer configs")]
struct TooLarge {
    size: usize,
}

struct Inner {
    maps: ConfigMaps,
    place: String,
    /// What was read or written last, so that writing takes one request.
    known: Mutex<Option<ObjectMeta>>,
    /// A right was missing the last time, and that was said.
    refused: AtomicBool,
}

/// Keeps opaque bytes over the end of all replicas. Without the right to do so it keeps nothing, and says so once.
#[derive(Clone)]
pub struct ConfigMapSnapshot {
    inner: Arc<Inner>,
}

impl ConfigMapSnapshot {
    /// In this namespace, the one for resources.
    #[must_use]
    pub fn new(client: Client, namespace: &str) -> Self {
        let inner = Inner {
            maps: ConfigMaps::new(client, namespace),
            place: format!("config map {namespace}/{NAME}"),
            known: Mutex::default(),
            refused: AtomicBool::new(false),
        };
        Self { inner: Arc::new(inner) }
    }
}

impl SnapshotStore for ConfigMapSnapshot {
    fn load(&self) -> BoxFuture<'static, Result<Option<Vec<u8>>, StoreError>> {
        let inner = Arc::clone(&self.inner);
        async move { inner.load().await }.boxed()
    }

    /// Does nothing if a right is missing.
    fn save(&self, bytes: Vec<u8>, leads: StillLeads) -> BoxFuture<'static, Result<SaveOutcome, StoreError>> {
        let inner = Arc::clone(&self.inner);
        async move { inner.save(bytes, leads).await }.boxed()
    }
}

impl Inner {
    async fn load(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let object = match self.maps.get(NAME).await {
            Ok(object) => object,
            Err(ObjectError::NotFound) => return Ok(None),
            Err(error) => return self.refuse("read", error).map(|()| None),
        };
        *self.known.lock().await = Some(object.metadata);
        Ok(object.binary_data.and_then(|mut data| data.remove(KEY)).map(|ByteString(bytes)| bytes))
    }

    async fn save(&self, bytes: Vec<u8>, leads: StillLeads) -> Result<SaveOutcome, StoreError> {
        if bytes.len() > LARGEST {
            return Err(self.failed("write", TooLarge { size: bytes.len() }));
        }
        let data = BTreeMap::from([(KEY.to_owned(), ByteString(bytes))]);
        let mut known = self.known.lock().await;
        let mut outcome = Err(ObjectError::Conflict);
        for _ in 0..ATTEMPTS {
            outcome = self.write(&mut known, &data, &leads).await;
            // Who may have changed or removed it is not known, so it is looked at first.
            if !matches!(outcome, Err(ObjectError::Conflict | ObjectError::NotFound)) {
                break;
            }
            *known = None;
        }
        match outcome {
            Ok(Some(metadata)) => {
                *known = Some(metadata);
                if self.refused.swap(false, Ordering::Relaxed) {
                    info!("the right to keep a snapshot is there, it is kept");
                }
                Ok(SaveOutcome::Saved)
            }
            Ok(None) => Ok(SaveOutcome::NotLeading),
            Err(error) => self.refuse("write", error).map(|()| SaveOutcome::Saved),
        }
    }

    /// `None` if this replica does not lead any more. Whoever leads after that question writes a later version than the one that is
    /// known here, and this write is refused.
    async fn write(
        &self,
        known: &mut Option<ObjectMeta>,
        data: &BTreeMap<String, ByteString>,
        leads: &StillLeads,
    ) -> Result<Option<ObjectMeta>, ObjectError> {
        if known.is_none() {
            *known = match self.maps.get(NAME).await {
                Ok(object) => Some(object.metadata),
                Err(ObjectError::NotFound) => None,
                Err(error) => return Err(error),
            };
        }
        if !leads() {
            return Ok(None);
        }
        let metadata = known.clone().unwrap_or_else(|| ConfigMaps::empty(NAME).metadata);
        let object = ConfigMap { metadata, binary_data: Some(data.clone()), ..ConfigMap::default() };
        let written = if known.is_some() { self.maps.update(&object).await } else { self.maps.create(&object).await };
        written.map(|object| Some(object.metadata))
    }

    /// A missing right is said once and lived with; everything else is an error. It is asked for again with the next change, because an
    /// API server that has just started refuses everything for some seconds.
    fn refuse(&self, step: &str, error: ObjectError) -> Result<(), StoreError> {
        if !matches!(error, ObjectError::Forbidden { .. }) {
            return Err(self.failed(step, error));
        }
        if !self.refused.swap(true, Ordering::Relaxed) {
            warn!(%error, "no right to keep a snapshot: if all replicas end together, checks are placed anew");
        }
        Ok(())
    }

    fn failed(&self, step: &str, source: impl std::error::Error + Send + Sync + 'static) -> StoreError {
        StoreError { step: format!("{step} snapshot in {}", self.place), source: Arc::new(source) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use serde_json::{Value, json};

    use super::*;
    use crate::errors::chain;
    use crate::kube::testing::{Reply, Script};

    const PATH: &str = "/api/v1/namespaces/ns/configmaps";

    fn stored(version: &str, data: Option<&Value>) -> Reply {
        let metadata = json!({"name": NAME, "namespace": "ns", "resourceVersion": version, "labels": {"kept": "yes"}});
        Reply::json(200, &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "binaryData": data}))
    }

    fn not_found() -> Reply {
        Reply::status(404, "NotFound", "not found")
    }

    fn leads() -> StillLeads {
        Arc::new(|| true)
    }

    /// Leads as often as it is asked so many times.
    fn leads_for(questions: u32) -> StillLeads {
        let left = AtomicU32::new(questions);
        Arc::new(move || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok())
    }

    fn store(script: &Script) -> ConfigMapSnapshot {
        ConfigMapSnapshot::new(script.client(), "ns")
    }

    #[tokio::test]
    async fn what_was_saved_is_loaded_again() {
        let first = Script::new().on("GET", PATH, not_found()).on("GET", PATH, not_found()).on("POST", PATH, stored("1", None));
        let bytes = b"a table ".repeat(1000);
        let before = store(&first);
        assert_eq!(before.load().await.unwrap(), None);
        before.save(bytes.clone(), leads()).await.unwrap();
        let body = first.bodies().pop().unwrap();
        assert_eq!(body["metadata"]["name"], NAME);
        let second = Script::new().on("GET", &format!("{PATH}/{NAME}"), stored("1", Some(&body["binaryData"])));
        assert_eq!(store(&second).load().await.unwrap(), Some(bytes));
        first.finish();
        second.finish();
    }

    #[tokio::test]
    async fn writing_again_takes_one_request_and_keeps_labels() {
        let script = Script::new().on("GET", PATH, stored("1", None)).on("PUT", PATH, stored("2", None)).on("PUT", PATH, stored("3", None));
        let store = store(&script);
        store.save(vec![1], leads()).await.unwrap();
        store.save(vec![2], leads()).await.unwrap();
        let versions: Vec<_> = script.bodies().iter().map(|body| body["metadata"]["resourceVersion"].clone()).collect();
        assert_eq!(versions, ["1", "2"]);
        assert_eq!(script.bodies()[1]["metadata"]["labels"], json!({"kept": "yes"}));
        script.finish();
    }

    #[tokio::test]
    async fn it_is_read_again_after_somebody_else_wrote_or_removed_it() {
        let conflict = || Reply::status(409, "Conflict", "modified");
        let script = Script::new()
            .on("GET", PATH, stored("1", None))
            .on("PUT", PATH, conflict())
            .on("GET", PATH, stored("5", None))
            .on("PUT", PATH, stored("6", None))
            .on("PUT", PATH, not_found())
            .on("GET", PATH, not_found())
            .on("POST", PATH, stored("7", None));
        let store = store(&script);
        store.save(vec![1], leads()).await.unwrap();
        store.save(vec![2], leads()).await.unwrap();
        script.finish();
        let script = Script::new();
        let script = (0..ATTEMPTS).fold(script, |script, _| script.on("GET", PATH, stored("1", None)).on("PUT", PATH, conflict()));
        let error = ConfigMapSnapshot::new(script.client(), "ns").save(vec![1], leads()).await.unwrap_err();
        assert_eq!(chain(&error), "write snapshot in config map ns/muster-state: it was changed by somebody else");
        script.finish();
    }

    #[tokio::test]
    async fn a_deposed_leader_leaves_the_snapshot_of_its_successor_alone() {
        let script = Script::new()
            .on("GET", PATH, stored("1", None))
            .on("PUT", PATH, stored("2", None))
            // The successor wrote version 5, and this one learns it by the conflict.
            .on("PUT", PATH, Reply::status(409, "Conflict", "modified"))
            .on("GET", PATH, stored("5", None));
        let old = store(&script);
        assert_eq!(old.save(vec![1], leads()).await.unwrap(), SaveOutcome::Saved);
        assert_eq!(old.save(vec![2], leads_for(1)).await.unwrap(), SaveOutcome::NotLeading);
        // It knows version 5 now, and still must not use it.
        assert_eq!(old.save(vec![3], leads_for(0)).await.unwrap(), SaveOutcome::NotLeading);
        script.finish();
    }

    #[tokio::test]
    async fn a_leader_that_is_deposed_while_it_reads_writes_nothing() {
        let script = Script::new().on("GET", PATH, not_found());
        assert_eq!(store(&script).save(vec![1], leads_for(0)).await.unwrap(), SaveOutcome::NotLeading);
        script.finish();
    }

    #[tokio::test]
    async fn without_the_right_nothing_is_kept_and_with_it_again() {
        let forbidden = || Reply::status(403, "Forbidden", "no");
        let script = Script::new().on("GET", PATH, forbidden()).on("GET", PATH, forbidden()).on("GET", PATH, not_found());
        let script = script.on("POST", PATH, Reply::json(201, &json!({"metadata": {"name": NAME, "resourceVersion": "1"}})));
        let store = store(&script);
        assert_eq!(store.load().await.unwrap(), None);
        store.save(vec![1], leads()).await.unwrap();
        store.save(vec![1], leads()).await.unwrap();
        script.finish();
    }

    #[tokio::test]
    async fn a_snapshot_that_is_too_large_is_an_error_that_says_so() {
        let script = Script::new();
        let error = chain(&store(&script).save(vec![0; LARGEST + 1], leads()).await.unwrap_err());
        assert!(error.contains("900001 bytes, 900000 fit into a ConfigMap; set muster.snapshot to false"), "{error}");
        script.finish();
    }
}
