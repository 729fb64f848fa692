//! Handles by type and name, for diagnostics. Owned by a kernel, so there is no global state.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use serde::Serialize;

use crate::kernel::ask::AskError;
use crate::kernel::mailbox::Handle;
use crate::kernel::supervised::{Observe, Ping, Pong, Supervised};

/// A handle without its actor type.
trait Resident: Send + Sync {
    fn observe(&self, deadline: Duration) -> BoxFuture<'static, Result<serde_json::Value, AskError>>;
    fn ping(&self, deadline: Duration) -> BoxFuture<'static, Result<Pong, AskError>>;
    fn refused(&self) -> u64;
    fn alive(&self) -> bool;
    fn as_any(&self) -> &dyn Any;
}

impl<A: Supervised> Resident for Handle<A> {
    fn observe(&self, deadline: Duration) -> BoxFuture<'static, Result<serde_json::Value, AskError>> {
        let handle = self.clone();
        Box::pin(async move { handle.ask(Observe, deadline).await })
    }

    fn ping(&self, deadline: Duration) -> BoxFuture<'static, Result<Pong, AskError>> {
        let handle = self.clone();
        Box::pin(async move { handle.ask(Ping, deadline).await })
    }

    fn refused(&self) -> u64 {
        Handle::refused(self)
    }

    fn alive(&self) -> bool {
        self.current().is_some()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// What the kernel knows about one actor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ActorStatus {
    /// Name in health reports and diagnostics.
    pub name: String,
    /// Whether there is an incarnation now.
    pub alive: bool,
    /// Incarnations started after the first.
    pub restarts: u64,
    /// Incarnations that ended by a panic.
    pub panics: u64,
    /// Messages refused because the actor was down or its mailbox full.
    pub refused: u64,
}

/// One registered actor.
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) restarts: AtomicU64,
    pub(crate) panics: AtomicU64,
    resident: Box<dyn Resident>,
}

impl Entry {
    pub(crate) async fn ping(&self, deadline: Duration) -> Result<Pong, AskError> {
        self.resident.ping(deadline).await
    }

    pub(crate) fn alive(&self) -> bool {
        self.resident.alive()
    }

    fn status(&self) -> ActorStatus {
        ActorStatus {
            name: self.name.clone(),
            alive: self.resident.alive(),
            restarts: self.restarts.load(Ordering::Relaxed),
            panics: self.panics.load(Ordering::Relaxed),
            refused: self.resident.refused(),
        }
    }
}

/// All actors of one kernel by name. Cheap to clone, may be read from any thread.
#[derive(Clone, Default)]
pub struct Registry {
    entries: Arc<Mutex<BTreeMap<String, Arc<Entry>>>>,
}

impl Registry {
    /// Adds a handle. A second actor of the same name is listed as `name#2`.
    pub(crate) fn add<A: Supervised>(&self, handle: &Handle<A>) -> Arc<Entry> {
        let mut entries = self.lock();
        let mut name = handle.name().to_owned();
        let mut number = 1;
        while entries.contains_key(&name) {
            number += 1;
            name = format!("{}#{number}", handle.name());
        }
        let entry = Arc::new(Entry {
            name: name.clone(),
            restarts: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            resident: Box::new(handle.clone()),
        });
        entries.insert(name, Arc::clone(&entry));
        entry
    }

    /// Names of all actors, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// What the kernel knows about each actor, by name. Does not ask the actors.
    #[must_use]
    pub fn statuses(&self) -> Vec<ActorStatus> {
        self.lock().values().map(|entry| entry.status()).collect()
    }

    /// What the kernel knows about one actor.
    #[must_use]
    pub fn status(&self, name: &str) -> Option<ActorStatus> {
        self.lock().get(name).map(|entry| entry.status())
    }

    /// The handle of an actor if name and type agree.
    #[must_use]
    pub fn get<A: Supervised>(&self, name: &str) -> Option<Handle<A>> {
        self.lock().get(name)?.resident.as_any().downcast_ref::<Handle<A>>().cloned()
    }

    /// Asks every actor for its state, all at once; an actor that does not answer in time appears as `{"error": ...}`.
    pub async fn observe_all(&self, deadline: Duration) -> BTreeMap<String, serde_json::Value> {
        let entries: Vec<_> = self.lock().values().cloned().collect();
        let asks = entries.into_iter().map(|entry| async move {
            let answer = entry.resident.observe(deadline).await;
            (entry.name.clone(), answer.unwrap_or_else(|error| serde_json::json!({ "error": error.to_string() })))
        });
        join_all(asks).await.into_iter().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
