//! A token in memory that can be slow, fail, and be moved by somebody else.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};

use crate::domain::event_token::EventToken;
use crate::ports::{EventTokens, SaveOutcome, StillLeads, StoreError};

#[derive(Debug, Default)]
struct Shelf {
    token: Option<EventToken>,
    saved: Vec<EventToken>,
    loads: u64,
    failing_loads: u64,
    failing_saves: bool,
    delay: Duration,
}

/// Tokens for tests. Clones share the token.
#[derive(Debug, Clone, Default)]
pub struct FakeEventTokens {
    shelf: Arc<Mutex<Shelf>>,
}

impl FakeEventTokens {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a token, as somebody else would.
    pub fn put(&self, version: &str, listed_at: i64) {
        self.shelf().token = Some(EventToken { version: version.to_owned(), listed_at });
    }

    /// What is stored; `None` = there is no ConfigMap.
    #[must_use]
    pub fn stored(&self) -> Option<EventToken> {
        self.shelf().token.clone()
    }

    /// Everything that was saved through the port, in order.
    #[must_use]
    pub fn saved(&self) -> Vec<EventToken> {
        self.shelf().saved.clone()
    }

    /// How often it was read.
    #[must_use]
    pub fn loads(&self) -> u64 {
        self.shelf().loads
    }

    /// The next `count` reads fail.
    pub fn fail_loads(&self, count: u64) {
        self.shelf().failing_loads = count;
    }

    /// From now on saves fail, or do not any more.
    pub fn fail_saves(&self, failing: bool) {
        self.shelf().failing_saves = failing;
    }

    /// Every call takes this (virtual) time from now on.
    pub fn slow(&self, delay: Duration) {
        self.shelf().delay = delay;
    }

    async fn wait(&self) {
        let delay = self.shelf().delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }
}

fn failure(step: &str) -> StoreError {
    StoreError { step: step.to_owned(), source: Arc::new(std::io::Error::other("forbidden")) }
}

impl EventTokens for FakeEventTokens {
    fn load(&self, now_unix_seconds: i64) -> BoxFuture<'static, Result<EventToken, StoreError>> {
        let tokens = self.clone();
        async move {
            tokens.wait().await;
            let mut shelf = tokens.shelf();
            shelf.loads += 1;
            if shelf.failing_loads > 0 {
                shelf.failing_loads -= 1;
                return Err(failure("could not create the ConfigMap"));
            }
            let made = || EventToken { version: String::new(), listed_at: now_unix_seconds };
            Ok(shelf.token.get_or_insert_with(made).clone())
        }
        .boxed()
    }

    fn save(&self, token: EventToken, leads: StillLeads) -> BoxFuture<'static, Result<SaveOutcome, StoreError>> {
        let tokens = self.clone();
        async move {
            tokens.wait().await;
            let mut shelf = tokens.shelf();
            if shelf.failing_saves {
                return Err(failure("update the ConfigMap"));
            }
            if !leads() {
                return Ok(SaveOutcome::NotLeading);
            }
            shelf.token = Some(token.clone());
            shelf.saved.push(token);
            Ok(SaveOutcome::Saved)
        }
        .boxed()
    }
}
