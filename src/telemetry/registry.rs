//! Recording metrics and writing them as Prometheus text.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, TextEncoder};

use super::metrics::{Metric, MetricKind};
use super::process;
use super::scrape::Scrape;

/// Fills values at scrape from published snapshots.
type Source = Box<dyn Fn(&mut Scrape) + Send + Sync>;

/// The metrics of one process. Clones share them.
#[derive(Clone)]
pub struct Metrics {
    counters: Arc<BTreeMap<Metric, IntCounterVec>>,
    histograms: Arc<BTreeMap<Metric, HistogramVec>>,
    sources: Arc<RwLock<Vec<Source>>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// No values yet.
    #[must_use]
    pub fn new() -> Self {
        let mut counters = BTreeMap::new();
        let mut histograms = BTreeMap::new();
        for metric in Metric::ALL {
            let spec = metric.spec();
            match spec.kind {
                MetricKind::Counter => {
                    counters
                        .extend(IntCounterVec::new(Opts::new(spec.name, spec.help), spec.labels).ok().map(|counter| (*metric, counter)));
                }
                MetricKind::Histogram { buckets } => {
                    let options = HistogramOpts::new(spec.name, spec.help).buckets(buckets.to_vec());
                    histograms.extend(HistogramVec::new(options, spec.labels).ok().map(|histogram| (*metric, histogram)));
                }
                MetricKind::Gauge => {}
            }
        }
        Self { counters: Arc::new(counters), histograms: Arc::new(histograms), sources: Arc::default() }
    }

    /// Counts one event.
    pub fn increment(&self, metric: Metric, labels: &[&str]) {
        self.add(metric, labels, 1);
    }

    /// Counts several events.
    pub fn add(&self, metric: Metric, labels: &[&str], events: u64) {
        let series = self.counters.get(&metric).and_then(|counter| counter.get_metric_with_label_values(labels).ok());
        debug_assert!(series.is_some(), "{metric:?} is no counter with {} labels", labels.len());
        if let Some(series) = series {
            series.inc_by(events);
        }
    }

    /// Records one duration.
    pub fn observe(&self, metric: Metric, labels: &[&str], elapsed: Duration) {
        let series = self.histograms.get(&metric).and_then(|histogram| histogram.get_metric_with_label_values(labels).ok());
        debug_assert!(series.is_some(), "{metric:?} is no histogram with {} labels", labels.len());
        if let Some(series) = series {
            series.observe(elapsed.as_secs_f64());
        }
    }

    /// Records one answer of a route: counter and time. Source: cluster-agent-kubernetes 1.8.
    pub fn request(&self, handler: &str, status: u16, forwarded: bool, elapsed: Duration) {
        let labels = [handler, &status.to_string(), if forwarded { "true" } else { "false" }];
        self.increment(Metric::ApiRequests, &labels);
        self.observe(Metric::ApiElapsed, &labels, elapsed);
    }

    /// Adds a function that fills values at every scrape.
    pub fn add_source(&self, source: impl Fn(&mut Scrape) + Send + Sync + 'static) {
        self.sources.write().unwrap_or_else(PoisonError::into_inner).push(Box::new(source));
    }

    /// All values in Prometheus text form 0.0.4, by name.
    #[must_use]
    pub fn render(&self) -> String {
        let mut scrape = Scrape::default();
        process::fill(&mut scrape);
        for source in self.sources.read().unwrap_or_else(PoisonError::into_inner).iter() {
            source(&mut scrape);
        }
        let recorded = self.counters.values().flat_map(Collector::collect).chain(self.histograms.values().flat_map(Collector::collect));
        let mut families: Vec<_> = recorded.chain(scrape.families()).filter(|family| !family.get_metric().is_empty()).collect();
        families.sort_by(|a, b| a.name().cmp(b.name()));
        // Fails only on families without values, which are left out above.
        TextEncoder::new().encode_to_string(&families).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_values_are_written_under_their_upstream_names() {
        let metrics = Metrics::new();
        metrics.request("postCheckStatus", 200, false, Duration::from_millis(20));
        metrics.add(Metric::ApiRequests, &["postCheckStatus", "200", "false"], 2);
        let text = metrics.render();
        assert!(text.contains("# TYPE api_requests counter\n"), "{text}");
        assert!(text.contains("api_requests{forwarded=\"false\",handler=\"postCheckStatus\",status=\"200\"} 3\n"), "{text}");
        assert!(
            text.contains("api_elapsed_bucket{forwarded=\"false\",handler=\"postCheckStatus\",status=\"200\",le=\"0.01\"} 0\n"),
            "{text}"
        );
        assert!(
            text.contains("api_elapsed_bucket{forwarded=\"false\",handler=\"postCheckStatus\",status=\"200\",le=\"0.025\"} 1\n"),
            "{text}"
        );
        assert!(text.contains("api_elapsed_count{forwarded=\"false\",handler=\"postCheckStatus\",status=\"200\"} 1\n"), "{text}");
    }

    #[test]
    fn a_series_that_is_not_filled_any_more_is_gone() {
        let metrics = Metrics::new();
        let nodes = Arc::new(RwLock::new(vec!["a", "b"]));
        let source = Arc::clone(&nodes);
        metrics.add_source(move |scrape| {
            for node in source.read().unwrap().iter() {
                scrape.set(Metric::ConfigsDispatched, &[node, "true"], 2.0);
            }
        });
        assert!(metrics.render().contains("cluster_checks_configs_dispatched{join_leader=\"true\",node=\"b\"} 2\n"));
        nodes.write().unwrap().pop();
        let text = metrics.render();
        assert!(text.contains("node=\"a\"") && !text.contains("node=\"b\""), "{text}");
    }

    #[test]
    fn the_process_describes_itself() {
        let text = Metrics::new().render();
        for name in ["process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds", "process_start_time_seconds"] {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in {text}"));
            let value: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
            assert!(value >= 0.0 && (value > 0.0 || name == "process_cpu_seconds_total"), "{line}");
        }
    }
}
