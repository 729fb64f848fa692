//! The config files of the simulated server.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::config::CheckConfig;
use crate::domain::patch::{Dispatchable, PatchOptions, dispatched};
use crate::kernel::mailbox::Outlet;
use crate::messages::resolver::ProviderListing;
use crate::ports::DiscoverySource;
use crate::sim::auditor::{RunningSet, running_set};
use crate::testing::configs::{discovered, discovered_with};

const PROVIDER: &str = "file";

/// Time to read the files.
pub(super) const LISTING_TIME: Duration = Duration::from_millis(20);

#[derive(Debug, Default)]
struct Inner {
    files: BTreeMap<u64, Arc<CheckConfig>>,
    next: u64,
    version: u64,
}

/// The files. Clones share them; they survive the server.
#[derive(Debug, Clone, Default)]
pub(super) struct Files {
    inner: Arc<Mutex<Inner>>,
}

impl Files {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(number: u64, version: u64) -> Arc<CheckConfig> {
        // Every fifth is a check of which an agent runs one instance only.
        let name = if number % 5 == 4 { "cpu" } else { "http_check" };
        let instance = format!("name: c{number}\nurl: http://127.0.0.1/{version}\n");
        // Half of them demand an order in which they change their owner.
        let handover = match number % 8 {
            1 | 5 => "at_most_once",
            3 => "gap",
            6 => "overlap",
            _ => return discovered(name, &instance),
        };
        discovered_with(name, &instance, handover)
    }

    pub(super) fn add(&self, count: u64) {
        let mut inner = self.inner();
        for _ in 0..count {
            let number = inner.next;
            inner.files.insert(number, Self::file(number, 0));
            inner.next += 1;
        }
    }

    pub(super) fn remove(&self, choice: u64) {
        let mut inner = self.inner();
        let chosen = pick(&inner.files, choice);
        chosen.and_then(|number| inner.files.remove(&number));
    }

    pub(super) fn change(&self, choice: u64) {
        let mut inner = self.inner();
        inner.version += 1;
        if let Some(number) = pick(&inner.files, choice) {
            let changed = Self::file(number, inner.version);
            inner.files.insert(number, changed);
        }
    }

    pub(super) fn all(&self) -> Vec<Arc<CheckConfig>> {
        self.inner().files.values().map(Arc::clone).collect()
    }

    /// What is to run somewhere.
    pub(super) fn expected(&self) -> RunningSet {
        let options = PatchOptions::default();
        let patched = self.all().into_iter().filter_map(|config| match dispatched(&config, &options) {
            Ok(Dispatchable::Cluster(config)) => Some(config.config),
            _ => None,
        });
        running_set(&patched.collect::<Vec<_>>())
    }
}

fn pick(files: &BTreeMap<u64, Arc<CheckConfig>>, choice: u64) -> Option<u64> {
    let count = files.len() as u64;
    if count == 0 { None } else { files.keys().nth((choice % count) as usize).copied() }
}

/// The files as one running server reads them.
pub(super) struct FileSource {
    pub(super) files: Files,
    pub(super) resolver: Outlet<ProviderListing>,
    pub(super) pace: Pace,
    /// The next listing names half of what there is. Never in production.
    pub(super) cut_short: Mutex<bool>,
}

/// How long listings take. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Pace(Arc<Mutex<Duration>>);

impl Default for Pace {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(LISTING_TIME)))
    }
}

impl Pace {
    pub(super) fn set(&self, time: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = time;
    }

    fn get(&self) -> Duration {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DiscoverySource for FileSource {
    fn provider(&self) -> &'static str {
        PROVIDER
    }

    fn request_listing(&self) {
        let (files, resolver, time) = (self.files.clone(), self.resolver.clone(), self.pace.get());
        let cut_short = std::mem::take(&mut *self.cut_short.lock().unwrap_or_else(PoisonError::into_inner));
        actix_rt::spawn(async move {
            tokio::time::sleep(time).await;
            let mut configs = files.all();
            if cut_short {
                configs.truncate(configs.len() / 2);
            }
            resolver.post(ProviderListing { provider: PROVIDER, configs, errors: Vec::new(), warnings: BTreeMap::new() });
        });
    }
}
