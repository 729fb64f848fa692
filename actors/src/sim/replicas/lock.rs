//! The lock of the election as one replica reaches it.

use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};

use crate::domain::lock_record::{LockError, LockRecord, LockVersion, StoredLock};
use crate::kernel::rng::Random;
use crate::ports::LeaseStore;
use crate::sim::network::Network;
use crate::sim::replicas::process::ProcessDoor;
use crate::testing::lease_store::{FakeLeaseStore, LockService};

/// The name of the lock in the network.
pub(super) const LOCK: &str = "lock";

/// What a replica finds when it calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum LockWay {
    #[default]
    Up,
    Refuses,
    /// Nothing is written.
    Hangs,
    /// What was to be written is.
    LosesAnswers,
    /// Calls take up to three times what a caller waits for, and happen all the same.
    Slow,
}

impl LockWay {
    pub(super) const BAD: [Self; 4] = [Self::Refuses, Self::Hangs, Self::LosesAnswers, Self::Slow];
}

/// The way of one replica to the lock. Outlives its processes; clones share it.
#[derive(Clone)]
pub(super) struct WayToLock {
    pub(super) replica: String,
    pub(super) network: Network,
    pub(super) random: Arc<dyn Random>,
    /// Where calls go on that the caller does not wait for any more.
    pub(super) outside: ProcessDoor,
    pub(super) lock: FakeLeaseStore,
    pub(super) call_limit: Duration,
    pub(super) way: Arc<Mutex<LockWay>>,
    /// Never in production.
    pub(super) ignores_versions: bool,
    /// Never in production.
    pub(super) shortens_lease: bool,
}

impl WayToLock {
    pub(super) fn set(&self, way: LockWay) {
        *self.way.lock().unwrap_or_else(PoisonError::into_inner) = way;
        self.lock.set(match way {
            LockWay::Refuses => LockService::Refuses,
            LockWay::Hangs => LockService::Hangs,
            LockWay::LosesAnswers => LockService::LosesAnswers,
            LockWay::Up | LockWay::Slow => LockService::Up,
        });
    }

    fn call<T: Send + 'static>(
        &self,
        act: impl Fn(FakeLeaseStore) -> BoxFuture<'static, Result<T, LockError>> + Send + Sync + 'static,
    ) -> BoxFuture<'static, Result<T, LockError>> {
        let (way, limit) = (self.clone(), self.call_limit);
        let outside = self.outside.clone();
        async move {
            let called = outside.call(async move {
                if *way.way.lock().unwrap_or_else(PoisonError::into_inner) == LockWay::Slow {
                    tokio::time::sleep(limit.mul_f64(3.0 * way.random.unit())).await;
                }
                // Longer than anybody waits: the call is on its way and arrives.
                let patience = limit * 10;
                way.network.carry(&way.replica, LOCK, patience, act(way.lock)).await
            });
            let answer = async move {
                match called.await.flatten() {
                    Some(answer) => answer,
                    None => pending().await,
                }
            };
            let no_answer = || Err(LockError::Unavailable("no answer from the lock in time".to_owned()));
            tokio::time::timeout(limit, answer).await.unwrap_or_else(|_| no_answer())
        }
        .boxed()
    }
}

impl LeaseStore for WayToLock {
    fn read(&self) -> BoxFuture<'static, Result<Option<StoredLock>, LockError>> {
        let shortens_lease = self.shortens_lease;
        self.call(move |lock| {
            let read = lock.read();
            async move {
                let mut stored = read.await?;
                if let Some(stored) = stored.as_mut().filter(|_| shortens_lease) {
                    stored.record.lease_seconds /= 3;
                }
                Ok(stored)
            }
            .boxed()
        })
    }

    fn write(&self, record: LockRecord, version: Option<LockVersion>) -> BoxFuture<'static, Result<StoredLock, LockError>> {
        let ignores_versions = self.ignores_versions;
        self.call(move |lock| {
            let (record, mut version) = (record.clone(), version.clone());
            async move {
                if ignores_versions {
                    version = lock.read().await?.map(|stored| stored.version);
                }
                lock.write(record, version).await
            }
            .boxed()
        })
    }
}
