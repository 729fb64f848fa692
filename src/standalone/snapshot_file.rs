//! The snapshot of several stand-alone replicas: one file beside the lock that they share.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt as _};
use muster_actors::ports::{SaveOutcome, SnapshotStore, StillLeads, StoreError};

use crate::standalone::state_folder::write_atomically_if;

/// A snapshot file. Only the leader writes it.
///
/// A file has no version to compare, so one that hangs exactly between its last look at the lock and the change of the name may
/// still replace what its successor saved; then the next save mends it.
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

    fn save(&self, snapshot: Vec<u8>, leads: StillLeads) -> BoxFuture<'static, Result<SaveOutcome, StoreError>> {
        let path = self.path.clone();
        work(format!("write {}", path.display()), move || {
            let saved = write_atomically_if(&path, &snapshot, || leads())?;
            Ok(if saved { SaveOutcome::Saved } else { SaveOutcome::NotLeading })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leads() -> StillLeads {
        Arc::new(|| true)
    }

    #[tokio::test]
    async fn a_deposed_leader_leaves_the_file_of_its_successor_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshot");
        let (old, new) = (FileSnapshotStore::new(path.clone()), FileSnapshotStore::new(path));
        assert_eq!(old.save(b"first".to_vec(), leads()).await.unwrap(), SaveOutcome::Saved);
        let successor = new.clone();
        // The other one takes over and saves while this one writes: the lock is gone before the file changes its name.
        let deposed: StillLeads = Arc::new(move || {
            let written = write_atomically_if(&successor.path, b"of the successor", || true);
            assert!(written.unwrap());
            false
        });
        assert_eq!(old.save(b"late".to_vec(), deposed).await.unwrap(), SaveOutcome::NotLeading);
        assert_eq!(new.load().await.unwrap().as_deref(), Some(b"of the successor".as_slice()));
        assert_eq!(new.save(b"next".to_vec(), leads()).await.unwrap(), SaveOutcome::Saved);
        assert_eq!(old.load().await.unwrap().as_deref(), Some(b"next".as_slice()));
    }

    #[tokio::test]
    async fn what_was_saved_last_is_loaded_and_a_folder_that_is_gone_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let store = FileSnapshotStore::new(folder.path().join("snapshot"));
        assert_eq!(store.load().await.unwrap(), None);
        store.save(b"one".to_vec(), leads()).await.unwrap();
        store.save(b"two".to_vec(), leads()).await.unwrap();
        assert_eq!(store.load().await.unwrap().as_deref(), Some(b"two".as_slice()));
        let nowhere = FileSnapshotStore::new(folder.path().join("gone/snapshot"));
        let error = nowhere.save(Vec::new(), leads()).await.unwrap_err();
        assert!(error.to_string().contains("gone/snapshot"), "{error}");
    }
}
