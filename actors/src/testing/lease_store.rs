//! A lease that is always granted.

use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::{BoxFuture, FutureExt as _, ready};

use crate::domain::ids::Epoch;
use crate::domain::lease::LeaseGrant;
use crate::ports::{LeaseError, LeaseStore};

/// Grants the epoch that the test sets; 0 = nobody leads.
#[derive(Debug)]
pub struct FakeLeaseStore {
    epoch: AtomicU64,
}

impl FakeLeaseStore {
    /// A lease that is granted in this epoch.
    #[must_use]
    pub fn granting(epoch: u64) -> Self {
        Self { epoch: AtomicU64::new(epoch) }
    }

    /// From now on the lease is granted in this epoch, or not at all if it is 0.
    pub fn grant(&self, epoch: u64) {
        self.epoch.store(epoch, Ordering::Relaxed);
    }
}

impl LeaseStore for FakeLeaseStore {
    fn acquire(&self) -> BoxFuture<'static, Result<LeaseGrant, LeaseError>> {
        let answer = match self.epoch.load(Ordering::Relaxed) {
            0 => Err(LeaseError("the test does not grant it".to_owned())),
            epoch => Ok(LeaseGrant { epoch: Epoch(epoch) }),
        };
        ready(answer).boxed()
    }
}
