//! Measures over time.

use std::time::Duration;

use crate::sim::fleet::bounds::{Band, Evenness, evenness};
use crate::sim::fleet::model::Model;
use crate::sim::fleet::report::{Balance, Point};
use crate::sim::fleet::watch::TableWatch;

/// Points of a series at most.
const POINTS: u128 = 1440;

/// Collects points.
#[derive(Debug)]
pub(super) struct Meter {
    band: Band,
    step: Duration,
    pub(super) series: Vec<Point>,
    weighed: f64,
    outside: f64,
    weight: f64,
    last: Option<(Duration, Evenness)>,
}

impl Meter {
    /// Measures a run of this length.
    pub(super) fn new(band: Band, length: Duration) -> Self {
        let seconds = (length.as_millis() / POINTS / 1000).max(10);
        let step = Duration::from_secs(seconds as u64);
        Self { band, step, series: Vec::new(), weighed: 0.0, outside: 0.0, weight: 0.0, last: None }
    }

    /// When it measures next.
    pub(super) fn next_after(&self, now: Duration) -> Duration {
        let steps = now.as_nanos() / self.step.as_nanos() + 1;
        self.step * steps as u32
    }

    pub(super) fn measure(&mut self, model: &Model, watch: &TableWatch) {
        let even = evenness(model, self.band);
        if let Some((at, before)) = self.last {
            let passed = model.now.saturating_sub(at).as_secs_f64();
            self.weighed += before.ratio() * passed;
            self.outside += before.outside_band as f64 * passed;
            self.weight += passed;
        }
        self.last = Some((model.now, even));
        self.series.push(Point {
            at_seconds: model.now.as_secs_f64(),
            busiest_over_mean: even.ratio(),
            utilization: even.mean,
            moves: watch.total_moves(),
            outside_band: even.outside_band,
            not_running: model.checks.iter().filter(|check| check.runs_on == 0).count(),
            doubled: model.checks.iter().filter(|check| check.runs_on > 1).count(),
            nodes: even.nodes,
        });
    }

    /// What it comes to, at the end.
    pub(super) fn balance(&self, best_possible: f64) -> Balance {
        let ratio = |point: Option<&Point>| point.map_or(1.0, |point| point.busiest_over_mean);
        let over_time = |sum: f64| if self.weight > 0.0 { sum / self.weight } else { 0.0 };
        let last = self.series.last();
        Balance {
            at_start: ratio(self.series.first()),
            at_end: ratio(last),
            worst: self.series.iter().map(|point| point.busiest_over_mean).fold(0.0, f64::max),
            mean: over_time(self.weighed),
            best_possible,
            outside_band_at_end: last.map_or(0, |point| point.outside_band),
            outside_band_mean: over_time(self.outside),
            utilization_at_end: last.map_or(0.0, |point| point.utilization),
        }
    }
}
