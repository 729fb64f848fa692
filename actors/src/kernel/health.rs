//! Which components are alive, ready and started. Written by the kernel, read by the threads of the health port.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::kernel::clock::Clock;

/// Time between two liveness pings of an actor. Source: style 4.11.
pub const PING_INTERVAL: Duration = Duration::from_secs(5);

/// Time without an answer after which a component is unhealthy; exactly this long is still healthy.
///
/// Source: cluster-agent-kubernetes 6.8, two missed beats of 15 s.
pub const UNHEALTHY_AFTER: Duration = Duration::from_secs(30);

/// Name under which the catalogue reports on itself. Source: cluster-agent-kubernetes 6.8.
pub const SELF_NAME: &str = "healthcheck";

/// The question asked about the components.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HealthKind {
    /// Is it worth keeping this process?
    Liveness,
    /// Should this process get requests? Contains all liveness components.
    Readiness,
    /// Has this process finished starting?
    Startup,
}

/// Component names, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct HealthReport {
    /// Components that beat recently, or whose flag is set.
    pub healthy: Vec<String>,
    /// All others.
    pub unhealthy: Vec<String>,
}

impl HealthReport {
    /// Whether nothing is unhealthy.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.unhealthy.is_empty()
    }
}

/// A component whose owner says whether it is fine. Starts unhealthy.
#[derive(Debug, Clone)]
pub struct HealthFlag {
    set: Arc<AtomicBool>,
}

impl HealthFlag {
    /// Says whether the component is fine from now on.
    pub fn set(&self, healthy: bool) {
        self.set.store(healthy, Ordering::Relaxed);
    }
}

#[derive(Debug)]
enum Component {
    /// Alive while it answers pings; holds the time of the last answer.
    Beating { last_beat_at: Option<Duration> },
    /// As its owner says.
    Flag(Arc<AtomicBool>),
}

/// All components of one kernel.
///
/// Verdicts are computed from the last answers when the report is read, so that a stuck actor thread shows.
pub struct HealthCatalogue {
    clock: Arc<dyn Clock>,
    components: Mutex<BTreeMap<(HealthKind, String), Component>>,
}

impl HealthCatalogue {
    /// A catalogue that knows only itself, unhealthy until its first beat.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let catalogue = Self { clock, components: Mutex::default() };
        catalogue.watch(SELF_NAME);
        catalogue
    }

    /// Adds a component that has to beat; it is unhealthy until its first beat.
    pub(crate) fn watch(&self, name: &str) {
        self.lock().insert((HealthKind::Liveness, name.to_owned()), Component::Beating { last_beat_at: None });
    }

    /// Notes that a watched component answered now.
    pub(crate) fn beat(&self, name: &str) {
        let now = self.clock.monotonic();
        if let Some(Component::Beating { last_beat_at }) = self.lock().get_mut(&(HealthKind::Liveness, name.to_owned())) {
            *last_beat_at = Some(now);
        }
    }

    /// Adds a component whose owner sets its health. A second flag of the same kind and name replaces the first.
    pub fn flag(&self, kind: HealthKind, name: &str) -> HealthFlag {
        let set = Arc::new(AtomicBool::new(false));
        self.lock().insert((kind, name.to_owned()), Component::Flag(Arc::clone(&set)));
        HealthFlag { set }
    }

    /// The components of a kind; readiness also contains liveness.
    #[must_use]
    pub fn report(&self, kind: HealthKind) -> HealthReport {
        let now = self.clock.monotonic();
        let mut verdicts: BTreeMap<String, bool> = BTreeMap::new();
        for ((component_kind, name), component) in self.lock().iter() {
            if *component_kind == kind || (kind == HealthKind::Readiness && *component_kind == HealthKind::Liveness) {
                let healthy = match component {
                    Component::Beating { last_beat_at } => last_beat_at.is_some_and(|at| now.saturating_sub(at) <= UNHEALTHY_AFTER),
                    Component::Flag(set) => set.load(Ordering::Relaxed),
                };
                // A name that is both live and ready is only healthy if it is both.
                verdicts.entry(name.clone()).and_modify(|verdict| *verdict &= healthy).or_insert(healthy);
            }
        }
        let mut report = HealthReport::default();
        for (name, healthy) in verdicts {
            if healthy { report.healthy.push(name) } else { report.unhealthy.push(name) }
        }
        report
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(HealthKind, String), Component>> {
        self.components.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    #[derive(Default)]
    struct Seconds(AtomicU64);

    impl Clock for Seconds {
        fn monotonic(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::Relaxed))
        }

        fn unix_nanos(&self) -> i64 {
            0
        }
    }

    #[test]
    fn a_component_is_healthy_up_to_and_including_thirty_seconds_after_its_beat() {
        let clock = Arc::new(Seconds::default());
        let catalogue = HealthCatalogue::new(Arc::<Seconds>::clone(&clock));
        catalogue.beat(SELF_NAME);
        clock.0.store(30, Ordering::Relaxed);
        assert!(catalogue.report(HealthKind::Liveness).passes());
        clock.0.store(31, Ordering::Relaxed);
        assert_eq!(catalogue.report(HealthKind::Liveness).unhealthy, [SELF_NAME]);
    }

    #[test]
    fn a_name_that_is_live_and_ready_needs_both_to_be_healthy() {
        let catalogue = HealthCatalogue::new(Arc::new(Seconds::default()));
        catalogue.beat(SELF_NAME);
        let ready = catalogue.flag(HealthKind::Readiness, SELF_NAME);
        assert_eq!(catalogue.report(HealthKind::Readiness).unhealthy, [SELF_NAME]);
        ready.set(true);
        assert!(catalogue.report(HealthKind::Readiness).passes());
    }
}
