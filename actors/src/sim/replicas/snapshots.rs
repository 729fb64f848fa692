//! The snapshot as one replica reaches it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};

use crate::domain::snapshot;
use crate::ports::{SaveOutcome, SnapshotStore, StillLeads, StoreError};
use crate::sim::replicas::overseer::Overseer;
use crate::sim::replicas::process::ProcessDoor;
use crate::testing::snapshot_store::FakeSnapshotStore;

/// Time that a call takes.
const CALL_TIME: Duration = Duration::from_millis(7);

/// What all replicas share, as one of them sees it.
pub(super) struct SharedSnapshot {
    pub(super) replica: String,
    pub(super) store: FakeSnapshotStore,
    pub(super) overseer: Overseer,
    /// Where calls go on while the caller stands still.
    pub(super) outside: ProcessDoor,
    /// Never in production.
    pub(super) forgets: bool,
}

fn unanswered() -> StoreError {
    StoreError { step: "reach the snapshot".to_owned(), source: Arc::new(std::io::Error::other("the simulation ends")) }
}

impl SnapshotStore for SharedSnapshot {
    fn load(&self) -> BoxFuture<'static, Result<Option<Vec<u8>>, StoreError>> {
        let (store, outside) = (self.store.clone(), self.outside.clone());
        let (overseer, replica, forgets) = (self.overseer.clone(), self.replica.clone(), self.forgets);
        async move {
            let called = outside.call(async move {
                tokio::time::sleep(CALL_TIME).await;
                store.load().await
            });
            let bytes = called.await.unwrap_or_else(|| Err(unanswered()))?.filter(|_| !forgets);
            if let Some(table) = bytes.as_deref().and_then(snapshot::read_whole) {
                overseer.has_copy(&replica, &table.to_delta());
            }
            Ok(bytes)
        }
        .boxed()
    }

    fn save(&self, bytes: Vec<u8>, leads: StillLeads) -> BoxFuture<'static, Result<SaveOutcome, StoreError>> {
        let (store, outside) = (self.store.clone(), self.outside.clone());
        let (overseer, replica) = (self.overseer.clone(), self.replica.clone());
        let Some(term) = overseer.term_of(&replica) else {
            // The process was killed at this moment.
            return std::future::pending().boxed();
        };
        async move {
            let called = outside.call(async move {
                tokio::time::sleep(CALL_TIME).await;
                let table = snapshot::read_whole(&bytes);
                let saved = store.save(bytes, leads).await;
                if let (Ok(SaveOutcome::Saved), Some(table)) = (&saved, table) {
                    overseer.snapshot_saved(&replica, term, &table);
                }
                saved
            });
            called.await.unwrap_or_else(|| Err(unanswered()))
        }
        .boxed()
    }
}
