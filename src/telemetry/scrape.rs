//! Gauges and counters that are filled at scrape, so that what is gone leaves no series behind.

use std::collections::BTreeMap;

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{CounterVec, GaugeVec, Opts};

use super::metrics::{Metric, MetricKind};

/// Values of one scrape.
#[derive(Default)]
pub struct Scrape {
    gauges: BTreeMap<Metric, GaugeVec>,
    counters: BTreeMap<Metric, CounterVec>,
}

impl Scrape {
    /// Sets a value. `labels` are the values of the metric's labels, in their order; of the same series the last value counts.
    ///
    /// A counter takes its value since the start of the process.
    pub fn set(&mut self, metric: Metric, labels: &[&str], value: f64) {
        let spec = metric.spec();
        let options = || Opts::new(spec.name, spec.help);
        let wrong = match spec.kind {
            MetricKind::Gauge => {
                if let std::collections::btree_map::Entry::Vacant(vacant) = self.gauges.entry(metric)
                    && let Ok(gauge) = GaugeVec::new(options(), spec.labels)
                {
                    vacant.insert(gauge);
                }
                let series = self.gauges.get(&metric).and_then(|gauge| gauge.get_metric_with_label_values(labels).ok());
                series.map(|series| series.set(value)).is_none()
            }
            MetricKind::Counter => {
                if let std::collections::btree_map::Entry::Vacant(vacant) = self.counters.entry(metric)
                    && let Ok(counter) = CounterVec::new(options(), spec.labels)
                {
                    vacant.insert(counter);
                }
                let series = self.counters.get(&metric).and_then(|counter| counter.get_metric_with_label_values(labels).ok());
                series
                    .map(|series| {
                        series.reset();
                        series.inc_by(value.max(0.0));
                    })
                    .is_none()
            }
            MetricKind::Histogram { .. } => true,
        };
        debug_assert!(!wrong, "{} is filled with other labels than {:?}, or is a histogram", spec.name, spec.labels);
    }

    pub(super) fn families(&self) -> Vec<MetricFamily> {
        self.gauges.values().flat_map(Collector::collect).chain(self.counters.values().flat_map(Collector::collect)).collect()
    }
}
