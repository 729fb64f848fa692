//! A snapshot in memory that can be slow, fail and be damaged.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};

use crate::ports::{SaveOutcome, SnapshotStore, StillLeads, StoreError};

#[derive(Debug, Default)]
struct Shelf {
    bytes: Option<Vec<u8>>,
    failing: bool,
    saves: u64,
    delay: Duration,
}

/// A store for tests. Clones share the snapshot.
#[derive(Debug, Clone, Default)]
pub struct FakeSnapshotStore {
    shelf: Arc<Mutex<Shelf>>,
}

impl FakeSnapshotStore {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on everything fails, or nothing any more.
    pub fn fail(&self, failing: bool) {
        self.shelf().failing = failing;
    }

    /// Everything takes this (virtual) time from now on.
    pub fn slow(&self, delay: Duration) {
        self.shelf().delay = delay;
    }

    /// Puts these bytes there.
    pub fn put(&self, bytes: Vec<u8>) {
        self.shelf().bytes = Some(bytes);
    }

    /// Loses the snapshot.
    pub fn clear(&self) {
        self.shelf().bytes = None;
    }

    /// What was saved last.
    #[must_use]
    pub fn bytes(&self) -> Option<Vec<u8>> {
        self.shelf().bytes.clone()
    }

    /// How often something was saved.
    #[must_use]
    pub fn saves(&self) -> u64 {
        self.shelf().saves
    }

    async fn work<T>(self, step: &'static str, work: impl FnOnce(&mut Shelf) -> T) -> Result<T, StoreError> {
        let delay = self.shelf().delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let mut shelf = self.shelf();
        if shelf.failing {
            return Err(StoreError { step: step.to_owned(), source: Arc::new(std::io::Error::other("forbidden")) });
        }
        Ok(work(&mut shelf))
    }
}

impl SnapshotStore for FakeSnapshotStore {
    fn load(&self) -> BoxFuture<'static, Result<Option<Vec<u8>>, StoreError>> {
        self.clone().work("load the snapshot", |shelf| shelf.bytes.clone()).boxed()
    }

    fn save(&self, snapshot: Vec<u8>, leads: StillLeads) -> BoxFuture<'static, Result<SaveOutcome, StoreError>> {
        let save = move |shelf: &mut Shelf| {
            if !leads() {
                return SaveOutcome::NotLeading;
            }
            shelf.bytes = Some(snapshot);
            shelf.saves += 1;
            SaveOutcome::Saved
        };
        self.clone().work("save the snapshot", save).boxed()
    }
}
