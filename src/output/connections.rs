//! The connections to one intake, made anew now and then. Source: cluster-agent-kubernetes 6.4.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use reqwest::Client;
use tokio::runtime::Handle;
use tracing::warn;
use url::Url;

use crate::config::settings::IntakeSettings;
use crate::output::error::OutputError;
use crate::output::http;

/// The client of the moment, with the connections it keeps.
pub struct Connections {
    current: Arc<ArcSwap<Client>>,
    made: Arc<AtomicU64>,
}

impl Connections {
    /// Sets a client up; nothing is connected yet. `shown` is the URL without secrets. With `forwarder_connection_reset_interval` a task on
    /// `carrier` replaces the client, for as long as this is there.
    ///
    /// Errors: those of [`http::client`].
    pub fn open(settings: &IntakeSettings, base: Url, shown: &str, carrier: &Handle) -> Result<Self, OutputError> {
        let made = Arc::<AtomicU64>::default();
        let current = Arc::new(ArcSwap::from_pointee(http::client(settings, &base, shown, &made)?));
        if !settings.connection_reset_interval.is_zero() {
            carrier.spawn(renew(Arc::downgrade(&current), settings.clone(), base, shown.to_owned(), Arc::clone(&made)));
        }
        Ok(Self { current, made })
    }

    /// The client of the moment. An attempt keeps the one it began with.
    #[must_use]
    pub fn client(&self) -> Client {
        (**self.current.load()).clone()
    }

    /// Connections made so far, to the intake or to the proxy before it.
    #[must_use]
    pub fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }
}

/// Replaces the client again and again; the old one closes its connections when its last attempt ends.
///
/// Why: behind a balancer of connections an intake that grew gets its share only from connections that are made anew.
async fn renew(current: Weak<ArcSwap<Client>>, settings: IntakeSettings, base: Url, shown: String, made: Arc<AtomicU64>) {
    loop {
        tokio::time::sleep(settings.connection_reset_interval).await;
        let Some(current) = current.upgrade() else { return };
        match http::client(&settings, &base, &shown, &made) {
            Ok(client) => current.store(Arc::new(client)),
            Err(error) => warn!(error = crate::errors::chain(&error), "connections not made anew, the old ones stay"),
        }
    }
}
