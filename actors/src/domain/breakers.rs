//! Which routes of a destination may be tried now.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::backoff::{Backoff, BackoffPolicy};
use crate::domain::delivery::Route;

/// Attempts that began between two failures of a route; they fail together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wave(u64);

#[derive(Debug, Default)]
struct Breaker {
    backoff: Backoff,
    /// Monotonic time until which nothing is sent.
    blocked_until: Duration,
    wave: Wave,
}

/// Backoff of each route of one destination. Source: cluster-agent-kubernetes 6.4.
#[derive(Debug)]
pub struct Breakers {
    policy: BackoffPolicy,
    routes: BTreeMap<Route, Breaker>,
}

impl Breakers {
    /// All routes are open.
    #[must_use]
    pub fn new(policy: BackoffPolicy) -> Self {
        Self { policy, routes: BTreeMap::new() }
    }

    /// Whether a further attempt may begin, when `in_flight` of the route are under way.
    ///
    /// A route with errors is tried with one request at a time: a destination that comes back is not met by all at once.
    #[must_use]
    pub fn allow(&self, route: &Route, now: Duration, in_flight: usize) -> bool {
        self.routes.get(route).is_none_or(|breaker| breaker.blocked_until <= now && (in_flight == 0 || breaker.backoff.errors() == 0))
    }

    /// To be remembered with an attempt that begins now.
    #[must_use]
    pub fn wave(&self, route: &Route) -> Wave {
        self.routes.get(route).map(|breaker| breaker.wave).unwrap_or_default()
    }

    /// Counts a success.
    pub fn succeeded(&mut self, route: Route) {
        self.routes.entry(route).or_default().backoff.succeeded(&self.policy);
    }

    /// Counts a failure, and says how long the route is blocked from now. `unit` is a random number in `[0, 1)`.
    ///
    /// Several attempts of one wave count once: ten requests that a restart of the intake cuts off are one outage.
    pub fn failed(&mut self, route: Route, wave: Wave, now: Duration, unit: f64) -> Duration {
        let breaker = self.routes.entry(route).or_default();
        if breaker.wave == wave {
            breaker.wave = Wave(wave.0 + 1);
            breaker.blocked_until = now + breaker.backoff.failed(&self.policy, unit);
        }
        breaker.blocked_until.saturating_sub(now)
    }

    /// Monotonic time at which a blocked route opens; `None` if it is not blocked.
    #[must_use]
    pub fn opens_at(&self, route: &Route, now: Duration) -> Option<Duration> {
        self.routes.get(route).map(|breaker| breaker.blocked_until).filter(|blocked_until| *blocked_until > now)
    }

    /// Errors that the backoff of a route counts.
    #[must_use]
    pub fn errors(&self, route: &Route) -> u32 {
        self.routes.get(route).map_or(0, |breaker| breaker.backoff.errors())
    }

    /// Opens all routes for one more attempt.
    pub fn open_all(&mut self) {
        self.routes.values_mut().for_each(|breaker| breaker.blocked_until = Duration::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTE: Route = Route { name: "intake", path: "/intake/", content_type: "" };
    const OTHER: Route = Route { name: "series_v2", path: "/api/v2/series", content_type: "" };
    const NOW: Duration = Duration::from_secs(100);

    #[test]
    fn attempts_that_fail_together_count_as_one_error() {
        let mut breakers = Breakers::new(BackoffPolicy::default());
        let wave = breakers.wave(&ROUTE);
        for _ in 0..10 {
            assert_eq!(breakers.failed(ROUTE, wave, NOW, 0.0), Duration::from_secs(2));
        }
        assert_eq!(breakers.errors(&ROUTE), 1);
        assert_eq!(breakers.failed(ROUTE, breakers.wave(&ROUTE), NOW, 0.0), Duration::from_secs(4), "the next one is another");
    }

    #[test]
    fn a_route_that_recovers_is_tried_one_request_at_a_time() {
        let mut breakers = Breakers::new(BackoffPolicy::default());
        assert!(breakers.allow(&ROUTE, NOW, 9), "no errors, no limit");
        let wave = breakers.wave(&ROUTE);
        breakers.failed(ROUTE, wave, NOW, 0.0);
        assert!(!breakers.allow(&ROUTE, NOW, 0) && breakers.allow(&OTHER, NOW, 5), "only this route is blocked");
        let opens_at = breakers.opens_at(&ROUTE, NOW).expect("it is blocked");
        assert!(breakers.allow(&ROUTE, opens_at, 0) && !breakers.allow(&ROUTE, opens_at, 1));
        breakers.succeeded(ROUTE);
        assert!(breakers.allow(&ROUTE, opens_at, 5) && breakers.opens_at(&ROUTE, opens_at).is_none());
    }

    #[test]
    fn an_orderly_end_opens_all_once_more() {
        let mut breakers = Breakers::new(BackoffPolicy::default());
        breakers.failed(ROUTE, Wave::default(), NOW, 0.0);
        breakers.open_all();
        assert!(breakers.allow(&ROUTE, NOW, 0));
        assert_eq!(breakers.errors(&ROUTE), 1, "and nothing is forgotten");
    }
}
