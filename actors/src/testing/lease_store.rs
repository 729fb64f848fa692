//! A lock in memory that several replicas share, with outages.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};

use crate::domain::lock_record::{LockError, LockRecord, LockVersion, StoredLock};
use crate::ports::LeaseStore;

/// What a call finds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LockService {
    /// An answer.
    #[default]
    Up,
    /// An error at once.
    Refuses,
    /// An error after the limit of a call; nothing is written.
    Hangs,
    /// An error after the limit of a call; what was to be written is.
    LosesAnswers,
}

#[derive(Debug, Default)]
struct Shared {
    lock: Option<LockRecord>,
    version: u64,
    calls: u64,
}

/// A lock for tests. Clones share it and the way to it.
#[derive(Debug, Clone, Default)]
pub struct FakeLeaseStore {
    shared: Arc<Mutex<Shared>>,
    service: Arc<Mutex<LockService>>,
}

impl FakeLeaseStore {
    /// Time after which a call without an answer ends.
    pub const CALL_LIMIT: Duration = Duration::from_secs(1);

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same lock with a way of its own, for another replica.
    #[must_use]
    pub fn another_way(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), service: Arc::default() }
    }

    /// From now on calls this way find this.
    pub fn set(&self, service: LockService) {
        *self.service.lock().unwrap_or_else(PoisonError::into_inner) = service;
    }

    /// What the lock says; `None` if there is none.
    #[must_use]
    pub fn record(&self) -> Option<LockRecord> {
        self.shared().lock.clone()
    }

    /// Somebody else writes or deletes the lock.
    pub fn replace(&self, record: Option<LockRecord>) {
        let mut shared = self.shared();
        shared.version += 1;
        shared.lock = record;
    }

    /// Calls so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.shared().calls
    }

    /// Serves one call.
    fn call<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Shared) -> Result<T, LockError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, LockError>> {
        let store = self.clone();
        async move {
            store.shared().calls += 1;
            let service = *store.service.lock().unwrap_or_else(PoisonError::into_inner);
            match service {
                LockService::Up => return act(&mut store.shared()),
                LockService::Refuses => {}
                LockService::Hangs => tokio::time::sleep(Self::CALL_LIMIT).await,
                LockService::LosesAnswers => {
                    let _ = act(&mut store.shared());
                    tokio::time::sleep(Self::CALL_LIMIT).await;
                }
            }
            Err(LockError::Unavailable("the test does not want it".to_owned()))
        }
        .boxed()
    }
}

impl Shared {
    fn stored(&self) -> Option<StoredLock> {
        let record = self.lock.clone()?;
        Some(StoredLock { record, version: LockVersion(self.version.to_string()) })
    }
}

impl LeaseStore for FakeLeaseStore {
    fn read(&self) -> BoxFuture<'static, Result<Option<StoredLock>, LockError>> {
        self.call(|shared| Ok(shared.stored()))
    }

    fn write(&self, record: LockRecord, version: Option<LockVersion>) -> BoxFuture<'static, Result<StoredLock, LockError>> {
        self.call(move |shared| {
            if shared.stored().map(|lock| lock.version) != version {
                return Err(LockError::Conflict);
            }
            shared.version += 1;
            shared.lock = Some(record);
            shared.stored().ok_or(LockError::Conflict)
        })
    }
}
