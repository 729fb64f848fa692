//! The lock in a Lease or in an annotation of a ConfigMap.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{GetParams, PostParams};
use kube::core::{Request, Resource as _};
use muster_actors::domain::lock_record::{LockError, LockRecord, LockVersion, StoredLock};
use muster_actors::ports::LeaseStore;
use serde_json::Value;
use tracing::{debug, info};

use super::call::{Call, bounded};
use super::record::{self, Object, ObjectKind};
use crate::config::settings::LockKind;
use crate::kube::error::{Class, class};

/// Which object the lock is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockPlace {
    /// Its kind.
    pub kind: LockKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// The lock as an object of the API server.
///
/// A ConfigMap or Lease is written as a whole in the version in which it was read, so that of two writers one is told.
pub struct KubeLock {
    shared: Arc<Shared>,
}

struct Shared {
    client: kube::Client,
    place: LockPlace,
    limit: Duration,
    /// Found out with the first call.
    kind: OnceLock<ObjectKind>,
    config_map_ensured: AtomicBool,
    /// The object as it came last, with everything that is not ours.
    last: Mutex<Option<Object>>,
}

/// What is done with the object.
#[derive(Clone, Copy)]
enum Operation<'a> {
    Get,
    Create(&'a Value),
    Update(&'a Value),
}

impl KubeLock {
    /// A lock whose calls take at most `limit` each.
    #[must_use]
    pub fn new(client: kube::Client, place: LockPlace, limit: Duration) -> Self {
        let shared =
            Shared { client, place, limit, kind: OnceLock::new(), config_map_ensured: AtomicBool::new(false), last: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }

    /// Reads the lock and changes nothing, not even what a replica makes sure of; `None` if it is not there.
    ///
    /// Errors: [`LockError`].
    pub async fn look(&self) -> Result<Option<LockRecord>, LockError> {
        let lock = bounded("read the lock", self.shared.limit, self.shared.read()).await?;
        Ok(lock.map(|lock| lock.record))
    }
}

impl LeaseStore for KubeLock {
    fn read(&self) -> BoxFuture<'static, Result<Option<StoredLock>, LockError>> {
        let shared = Arc::clone(&self.shared);
        async move {
            let lock = bounded("read the lock", shared.limit, shared.read()).await;
            shared.ensure_config_map().await;
            lock
        }
        .boxed()
    }

    fn write(&self, record: LockRecord, version: Option<LockVersion>) -> BoxFuture<'static, Result<StoredLock, LockError>> {
        let shared = Arc::clone(&self.shared);
        async move { bounded("write the lock", shared.limit, shared.write(&record, version)).await }.boxed()
    }
}

impl Shared {
    async fn read(&self) -> Result<Option<StoredLock>, LockError> {
        let kind = self.kind().await?;
        let object = self.send(kind, Operation::Get).await?;
        object.map(|object| self.keep(kind, object)).transpose()
    }

    async fn write(&self, record: &LockRecord, version: Option<LockVersion>) -> Result<StoredLock, LockError> {
        let kind = self.kind().await?;
        let mut object = match version {
            // First an empty object, as stock does it: its first holder counts as a change.
            None => self.create(kind).await?,
            Some(version) => self.in_version(kind, &version).await?,
        };
        record::write(kind, &mut object, record);
        let written = self.send(kind, Operation::Update(&Value::Object(object))).await?;
        self.keep(kind, written.ok_or(LockError::Conflict)?)
    }

    /// Kind of the object. Source: cluster-agent-kubernetes 2.1, "Lock kind".
    async fn kind(&self) -> Result<ObjectKind, LockError> {
        if let Some(kind) = self.kind.get() {
            return Ok(*kind);
        }
        let kind = match self.place.kind {
            LockKind::Lease => ObjectKind::Lease,
            LockKind::ConfigMap => ObjectKind::ConfigMap,
            LockKind::Discover => self.discover().await?,
        };
        info!(kind = kind.resource(), namespace = self.place.namespace, name = self.place.name, "lock of the leader election");
        Ok(*self.kind.get_or_init(|| kind))
    }

    async fn discover(&self) -> Result<ObjectKind, LockError> {
        match self.client.list_api_group_resources("coordination.k8s.io/v1").await {
            Ok(list) if list.resources.iter().any(|resource| resource.name == "leases") => Ok(ObjectKind::Lease),
            Ok(_) => Ok(ObjectKind::ConfigMap),
            Err(error) if class(&error) == Class::NotFound => Ok(ObjectKind::ConfigMap),
            Err(error) => Err(Call { name: "coordination.k8s.io/v1", ..self.call("discover", ObjectKind::Lease) }.error(&error)),
        }
    }

    fn call(&self, verb: &'static str, kind: ObjectKind) -> Call<'_> {
        Call { verb, resource: kind.resource(), namespace: &self.place.namespace, name: &self.place.name }
    }

    /// Sends a request; `None` if the object is not there.
    async fn send(&self, kind: ObjectKind, operation: Operation<'_>) -> Result<Option<Object>, LockError> {
        let LockPlace { namespace, name, .. } = &self.place;
        let requests = Request::new(match kind {
            ObjectKind::Lease => Lease::url_path(&(), Some(namespace)),
            ObjectKind::ConfigMap => ConfigMap::url_path(&(), Some(namespace)),
        });
        let (verb, request) = match operation {
            Operation::Get => ("get", requests.get(name, &GetParams::default())),
            Operation::Create(object) => ("create", requests.create(&PostParams::default(), object.to_string().into_bytes())),
            Operation::Update(object) => ("update", requests.replace(name, &PostParams::default(), object.to_string().into_bytes())),
        };
        let answer = async { self.client.request::<Object>(request.map_err(kube::Error::BuildRequest)?).await };
        match answer.await {
            Ok(object) => Ok(Some(object)),
            Err(error) if class(&error) == Class::NotFound => Ok(None),
            Err(error) => Err(self.call(verb, kind).error(&error)),
        }
    }

    async fn create(&self, kind: ObjectKind) -> Result<Object, LockError> {
        let LockPlace { namespace, name, .. } = &self.place;
        let created = self.send(kind, Operation::Create(&kind.empty(namespace, name))).await?;
        created.ok_or_else(|| LockError::Unavailable(format!("create {}: there is no namespace {namespace}", kind.resource())))
    }

    /// The object as it was in that version.
    async fn in_version(&self, kind: ObjectKind, version: &LockVersion) -> Result<Object, LockError> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let object = match last.filter(|last| record::version(last) == version.0) {
            Some(last) => Some(last),
            None => self.send(kind, Operation::Get).await?,
        };
        object.filter(|object| record::version(object) == version.0).ok_or(LockError::Conflict)
    }

    fn keep(&self, kind: ObjectKind, object: Object) -> Result<StoredLock, LockError> {
        let read = record::read(kind, &object);
        let record = read.map_err(|error| LockError::Unavailable(format!("{}/{}: {error}", self.place.namespace, self.place.name)))?;
        let version = LockVersion(record::version(&object).to_owned());
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(object);
        Ok(StoredLock { record, version })
    }

    /// Makes an empty ConfigMap of the same name beside a Lease, once, because tools and stock replicas look for it.
    ///
    /// Nothing depends on it: where rights are missing there is none. Source: cluster-agent-kubernetes 2.1.
    async fn ensure_config_map(&self) {
        let needed = self.kind.get() == Some(&ObjectKind::Lease) && !self.config_map_ensured.swap(true, Ordering::Relaxed);
        if !needed {
            return;
        }
        let ensured = bounded("look for the ConfigMap", self.limit, async {
            if self.send(ObjectKind::ConfigMap, Operation::Get).await?.is_none() {
                self.create(ObjectKind::ConfigMap).await?;
            }
            Ok(())
        });
        if let Err(error) = ensured.await {
            debug!(%error, "no ConfigMap beside the Lease");
        }
    }
}
