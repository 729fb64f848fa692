//! New values of the API keys that are secrets. Source: cluster-agent-kubernetes 6.4 and 7.9, autodiscovery 8.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;
use muster_actors::kernel::clock::Clock;
use muster_actors::kernel::mailbox::Outlet;
use muster_actors::kernel::rng::Random;
use muster_actors::messages::output::KeyChanged;
use tracing::{error, info, warn};

use crate::config::ApiKey;
use crate::config::settings::SecretRefreshSettings;
use crate::errors;
use crate::output::plan::SecretKey;
use crate::secrets::{Refreshed, SecretCommand};

/// Asks for secrets again, in time and when an intake refuses a key that is one, and gives new keys to the outputs.
pub struct KeyRefresh {
    /// Who knows the secrets.
    pub secrets: SecretCommand,
    /// Keys that are secrets, and the output of each.
    pub keys: Vec<(SecretKey, Outlet<KeyChanged>)>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
}

impl KeyRefresh {
    /// Whether there is anything to do ever.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        let settings = self.secrets.refresh_settings();
        let ever = !settings.interval.is_zero() || !settings.on_refused_key.is_zero();
        ever && !self.keys.is_empty()
    }

    /// Does it without end.
    pub async fn run(self) {
        let SecretRefreshSettings { interval, scatter, on_refused_key } = self.secrets.refresh_settings();
        let first = if scatter { interval.mul_f64(self.random.unit()) } else { interval };
        let mut due = self.clock.monotonic() + first;
        let mut refused_at: Option<Duration> = None;
        loop {
            tokio::select! {
                () = self.reached(due, interval) => due = self.clock.monotonic() + interval,
                () = self.refused(on_refused_key) => {
                    let now = self.clock.monotonic();
                    if refused_at.is_some_and(|before| now.saturating_sub(before) < on_refused_key) {
                        continue;
                    }
                    refused_at = Some(now);
                    info!("an API key was refused, asking for secrets again");
                }
            }
            self.refresh().await;
        }
    }

    async fn reached(&self, due: Duration, interval: Duration) {
        if interval.is_zero() {
            pending::<()>().await;
        }
        tokio::time::sleep(due.saturating_sub(self.clock.monotonic())).await;
    }

    /// Ends when an intake refused one of the keys.
    async fn refused(&self, on_refused_key: Duration) {
        if on_refused_key.is_zero() || self.keys.is_empty() {
            pending::<()>().await;
        }
        select_all(self.keys.iter().map(|(key, _)| Box::pin(key.transport.refused()))).await;
    }

    async fn refresh(&self) {
        let Refreshed { mut changed, failure } = self.secrets.refresh().await;
        if let Some(error) = failure {
            warn!(%error, "secrets not asked for again, the values before stay");
        }
        for (key, output) in &self.keys {
            let Some(value) = changed.get(&key.handle) else { continue };
            let new = ApiKey::of_secret(&key.handle, value.expose());
            let ending = new.ending();
            match key.transport.use_key(new) {
                Ok(()) => output.post(KeyChanged { ending }),
                Err(error) => error!(error = errors::chain(&error), handle = key.handle, "new API key not used, the one before stays"),
            }
        }
        changed.retain(|handle, _| self.keys.iter().all(|(key, _)| key.handle != *handle));
        if !changed.is_empty() {
            let handles: Vec<&String> = changed.keys().collect();
            info!(?handles, "secrets changed: used by check configurations found from now on, and by this process after a restart");
        }
    }
}
