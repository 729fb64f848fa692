//! A secret backend that knows what the test tells it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};

use crate::domain::secret::Secret;
use crate::domain::secrets::{Handles, SecretError, SecretValues};
use crate::ports::SecretBackend;

/// Answers after a while with the values that were put in.
#[derive(Debug, Default)]
pub struct FakeSecretBackend {
    values: Mutex<SecretValues>,
    delay: Duration,
    calls: AtomicU64,
}

impl FakeSecretBackend {
    /// One that takes this long to answer.
    #[must_use]
    pub fn slow(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }

    /// From now on the handle has this value.
    pub fn put(&self, handle: &str, value: &str) {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        values.insert(handle.to_owned(), Secret::new(value.to_owned()));
    }

    /// How often it was asked.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

impl SecretBackend for FakeSecretBackend {
    fn resolve(&self, handles: Handles) -> BoxFuture<'static, Result<SecretValues, SecretError>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let known = self.values.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let delay = self.delay;
        async move {
            tokio::time::sleep(delay).await;
            let value =
                |handle: String| known.get(&handle).cloned().map(|value| (handle.clone(), value)).ok_or(SecretError::Missing(handle));
            handles.into_iter().map(value).collect()
        }
        .boxed()
    }
}
