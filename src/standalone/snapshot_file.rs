//! The snapshot of several stand-alone replicas: one file beside the lock that they share.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt as _};
use muster_actors::ports::{SnapshotStore, StoreError};

use crate::standalone::state_folder::write_atomically;

/// A snapshot file. Only the leader writes it.
#[derive(Debug, Clone)]
pub struct FileSnapshotStore {
    path: PathBuf,
}

impl FileSnapshotStore {
    /// Uses the file of this path; it need not be there yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }
}

/// Runs disk work on a blocking thread.
fn work<T: Send + 'static>(
    step: String,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> BoxFuture<'static, Result<T, StoreError>> {
    async move {
        let done = tokio::task::spawn_blocking(work).await;
        let done = done.unwrap_or_else(|error| Err(io::Error::other(error)));
        done.map_err(|source| StoreError { step, source: Arc::new(source) })
    }
    .boxed()
}

impl SnapshotStore for FileSnapshotStore {
    fn load(&self) -> BoxFuture<'static, Result<Option<Vec<u8>>, StoreError>> {
        let path = self.path.clone();
        work(format!("read {}", path.display()), move || match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        })
    }

    fn save(&self, snapshot: Vec<u8>) -> BoxFuture<'static, Result<(), StoreError>> {
        let path = self.path.clone();
        work(format!("write {}", path.display()), move || write_atomically(&path, &snapshot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_saved_last_is_loaded_and_a_folder_that_is_gone_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let store = FileSnapshotStore::new(folder.path().join("snapshot"));
        assert_eq!(store.load().await.unwrap(), None);
        store.save(b"one".to_vec()).await.unwrap();
        store.save(b"two".to_vec()).await.unwrap();
        assert_eq!(store.load().await.unwrap().as_deref(), Some(b"two".as_slice()));
        let nowhere = FileSnapshotStore::new(folder.path().join("gone/snapshot"));
        let error = nowhere.save(Vec::new()).await.unwrap_err();
        assert!(error.to_string().contains("gone/snapshot"), "{error}");
    }
}
