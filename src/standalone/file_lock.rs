//! The lock of several stand-alone replicas: one JSON file on a machine or folder they share.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use muster_actors::domain::lock_record::{LockError, LockRecord, LockVersion, StoredLock};
use muster_actors::ports::LeaseStore;

use crate::standalone::state_folder::{FILE_MODE, write_atomically};

/// Pause between two attempts while another process writes, which takes it a few milliseconds.
const PAUSE: Duration = Duration::from_millis(5);

/// A lock in a file. Its version is its content: the same content is the same lock.
///
/// The file is replaced whole under a lock of the system on a file beside it, `<file>.guard`, which goes with its process.
#[derive(Clone, Debug)]
pub struct FileLock {
    file: Arc<PathBuf>,
    limit: Duration,
}

impl FileLock {
    /// A lock whose calls take at most `limit` each. The folder of the file has to exist; the file need not.
    #[must_use]
    pub fn new(file: PathBuf, limit: Duration) -> Self {
        Self { file: Arc::new(file), limit }
    }

    fn load(&self) -> Result<Option<StoredLock>, LockError> {
        let text = match std::fs::read_to_string(&*self.file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed("read", &error)),
        };
        match serde_json::from_str::<LockRecord>(&text) {
            Ok(record) => Ok(Some(StoredLock { record, version: LockVersion(text) })),
            Err(error) => Err(LockError::Unavailable(format!(
                "read lock file {}: it is not a record of a leader election ({error}); delete it, and a leader is elected",
                self.file.display()
            ))),
        }
    }

    /// One attempt; `None` while another process writes.
    fn try_replace(&self, record: &LockRecord, version: Option<&LockVersion>) -> Result<Option<StoredLock>, LockError> {
        let guard = self.guard().map_err(|error| self.failed("guard", &error))?;
        match guard.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(self.failed("guard", &error)),
        }
        if self.load()?.map(|lock| lock.version).as_ref() != version {
            return Err(LockError::Conflict);
        }
        let text = serde_json::to_string(record).map_err(|error| self.failed("write", &error))?;
        write_atomically(&self.file, text.as_bytes()).map_err(|error| self.failed("write", &error))?;
        // The guard is let go when it is closed.
        Ok(Some(StoredLock { record: record.clone(), version: LockVersion(text) }))
    }

    fn guard(&self) -> io::Result<File> {
        let mut path = self.file.as_os_str().to_owned();
        path.push(".guard");
        OpenOptions::new().write(true).create(true).truncate(false).mode(FILE_MODE).open(path)
    }

    fn failed(&self, step: &str, error: &dyn std::error::Error) -> LockError {
        LockError::Unavailable(format!("{step} lock file {}: {error}; see muster.lock_file", self.file.display()))
    }

    /// Runs `act` where waiting for the disk holds nobody up, unless nobody waits for it any more when its turn comes: whoever was told
    /// that it is not done must not have it done later.
    async fn on_disk<T: Send + 'static>(&self, act: impl FnOnce(&Self) -> Result<T, LockError> + Send + 'static) -> Result<T, LockError> {
        let lock = self.clone();
        let waiting = Arc::new(());
        let wanted = Arc::downgrade(&waiting);
        let act = move || if wanted.strong_count() == 0 { Err(lock.late()) } else { act(&lock) };
        let done = tokio::task::spawn_blocking(act).await;
        drop(waiting);
        done.unwrap_or_else(|error| Err(self.failed("use", &error)))
    }

    fn late(&self) -> LockError {
        LockError::Unavailable(format!("use lock file {}: not done within {:?}", self.file.display(), self.limit))
    }

    async fn bounded<T>(&self, call: impl Future<Output = Result<T, LockError>>) -> Result<T, LockError> {
        tokio::time::timeout(self.limit, call).await.unwrap_or_else(|_| Err(self.late()))
    }
}

impl LeaseStore for FileLock {
    fn read(&self) -> BoxFuture<'static, Result<Option<StoredLock>, LockError>> {
        let lock = self.clone();
        async move { lock.bounded(lock.on_disk(Self::load)).await }.boxed()
    }

    fn write(&self, record: LockRecord, version: Option<LockVersion>) -> BoxFuture<'static, Result<StoredLock, LockError>> {
        let lock = self.clone();
        async move {
            let attempts = async {
                loop {
                    let (record, version) = (record.clone(), version.clone());
                    if let Some(stored) = lock.on_disk(move |lock| lock.try_replace(&record, version.as_ref())).await? {
                        return Ok(stored);
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            };
            lock.bounded(attempts).await
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    fn held_by(holder: &str, transitions: u64) -> LockRecord {
        LockRecord { holder: holder.to_owned(), lease_seconds: 15, transitions, ..LockRecord::default() }
    }

    #[tokio::test]
    async fn a_record_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (FileLock::new(folder.path().join("lock"), LIMIT), FileLock::new(folder.path().join("lock"), LIMIT));
        assert_eq!(one.read().await, Ok(None));
        let record = LockRecord { leader_address: Some("127.0.0.1:5005".to_owned()), acquired_at: 7, ..held_by("a", 1) };
        let written = one.write(record.clone(), None).await.unwrap();
        assert_eq!(written.record, record);
        assert_eq!(other.read().await, Ok(Some(written)));
    }

    #[tokio::test]
    async fn what_another_one_wrote_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let lock = FileLock::new(folder.path().join("lock"), LIMIT);
        let first = lock.write(held_by("a", 1), None).await.unwrap();
        assert_eq!(lock.write(held_by("b", 1), None).await, Err(LockError::Conflict));
        let second = lock.write(held_by("a", 2), Some(first.version.clone())).await.unwrap();
        assert_eq!(lock.write(held_by("b", 3), Some(first.version)).await, Err(LockError::Conflict));
        assert_eq!(lock.read().await.unwrap(), Some(second.clone()));
        std::fs::remove_file(folder.path().join("lock")).unwrap();
        assert_eq!(lock.write(held_by("b", 3), Some(second.version)).await, Err(LockError::Conflict));
    }

    #[tokio::test]
    async fn of_many_writers_at_once_exactly_one_succeeds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let before = FileLock::new(path.clone(), LIMIT).write(held_by("", 0), None).await.unwrap();
        let writers = (0..16).map(|number| {
            let (lock, version) = (FileLock::new(path.clone(), LIMIT), before.version.clone());
            tokio::spawn(async move { lock.write(held_by(&format!("w{number}"), 1), Some(version)).await })
        });
        let mut won = Vec::new();
        for writer in writers.collect::<Vec<_>>() {
            match writer.await.unwrap() {
                Ok(stored) => won.push(stored),
                Err(error) => assert_eq!(error, LockError::Conflict),
            }
        }
        assert_eq!(won.len(), 1);
        assert_eq!(FileLock::new(path, LIMIT).read().await.unwrap(), won.pop());
    }

    #[tokio::test]
    async fn a_process_that_stands_still_while_it_writes_holds_nobody_up_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let lock = FileLock::new(folder.path().join("lock"), Duration::from_millis(50));
        let guard = lock.guard().unwrap();
        guard.lock().unwrap();
        let error = lock.write(held_by("a", 1), None).await.unwrap_err();
        assert!(error.to_string().contains("not done within 50ms"), "{error}");
        drop(guard);
        // With more patience: the machine that runs this test may be slow.
        let patient = FileLock::new(folder.path().join("lock"), LIMIT);
        assert!(patient.write(held_by("a", 1), None).await.is_ok());
    }

    #[tokio::test]
    async fn a_file_that_is_no_record_and_a_folder_that_is_not_there_are_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("lock"), "{").unwrap();
        let error = FileLock::new(folder.path().join("lock"), LIMIT).read().await.unwrap_err();
        assert!(error.to_string().contains("delete it"), "{error}");
        let error = FileLock::new(folder.path().join("none/lock"), LIMIT).write(held_by("a", 1), None).await.unwrap_err();
        assert!(error.to_string().contains("none/lock") && error.to_string().contains("muster.lock_file"), "{error}");
    }
}
