//! Outputs on the metrics port. Source: cluster-agent-kubernetes 6.7 (`transactions__*`), node-runner 14.9.

use muster_actors::domain::delivery::Contents;
use muster_actors::kernel::published::Reader;
use muster_actors::messages::output::OutputStats;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGaugeVec, Opts};

/// Protocol of all requests, label `proto_version`.
const PROTOCOL: &str = "HTTP/1.1";

/// Shows the published counts of all outputs; asks no actor. Register one per process.
///
/// Two keys of one intake add up, because a key is no label value.
pub struct OutputCollector {
    outputs: Vec<Reader<OutputStats>>,
    descriptions: Vec<Desc>,
}

/// All families, empty.
struct Families {
    success: IntCounterVec,
    success_bytes: IntCounterVec,
    dropped: IntCounterVec,
    errors: IntCounterVec,
    http_errors: IntCounterVec,
    sent_items: IntCounterVec,
    dropped_items: IntCounterVec,
    retries: IntCounterVec,
    queued_bytes: IntGaugeVec,
    queued_payloads: IntGaugeVec,
}

impl Families {
    fn try_new() -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let gauge = |name: &str, help: &str| IntGaugeVec::new(Opts::new(name, help), &["output"]);
        Ok(Self {
            success: counter("transactions__success", "Payloads the intake accepted", &["domain", "endpoint", "proto_version"])?,
            success_bytes: counter("transactions__success_bytes", "Bytes the intake accepted", &["domain", "endpoint"])?,
            dropped: counter("transactions__dropped", "Payloads the intake refused for good", &["domain", "endpoint"])?,
            errors: counter("transactions__errors", "Failed attempts by class", &["domain", "endpoint", "error_type"])?,
            http_errors: counter("transactions__http_errors", "Answers of 400 or more", &["domain", "endpoint", "code"])?,
            sent_items: counter("muster_output_sent_items_total", "Items sent", &["output", "kind"])?,
            dropped_items: counter("muster_output_dropped_items_total", "Items lost", &["output", "kind", "reason"])?,
            retries: counter("muster_output_retries_total", "Attempts that will be repeated", &["output"])?,
            queued_bytes: gauge("muster_output_queued_bytes", "Bytes of payloads that wait")?,
            queued_payloads: gauge("muster_output_queued_payloads", "Payloads that wait")?,
        })
    }

    fn all(&self) -> [&dyn Collector; 10] {
        [
            &self.success,
            &self.success_bytes,
            &self.dropped,
            &self.errors,
            &self.http_errors,
            &self.sent_items,
            &self.dropped_items,
            &self.retries,
            &self.queued_bytes,
            &self.queued_payloads,
        ]
    }

    fn fill(&self, stats: &OutputStats) {
        let output = stats.destination.as_str();
        for (kind, count) in items(&stats.sent) {
            self.sent_items.with_label_values(&[output, kind]).inc_by(count);
        }
        for (reason, dropped) in &stats.dropped {
            for (kind, count) in items(dropped).into_iter().filter(|(_, count)| *count > 0) {
                self.dropped_items.with_label_values(&[output, kind, reason.as_str()]).inc_by(count);
            }
        }
        self.retries.with_label_values(&[output]).inc_by(stats.retries);
        self.queued_bytes.with_label_values(&[output]).add(signed(stats.queued.bytes));
        self.queued_payloads.with_label_values(&[output]).add(signed(stats.queued.payloads));
        if stats.key_ending.is_some() {
            self.fill_transactions(output, stats);
        }
    }

    /// Only intakes have transactions; lines on stdout are none.
    fn fill_transactions(&self, domain: &str, stats: &OutputStats) {
        for (endpoint, route) in &stats.routes {
            self.success.with_label_values(&[domain, endpoint, PROTOCOL]).inc_by(route.success);
            self.success_bytes.with_label_values(&[domain, endpoint]).inc_by(route.success_bytes);
            self.dropped.with_label_values(&[domain, endpoint]).inc_by(route.dropped);
            for (kind, count) in &route.errors {
                self.errors.with_label_values(&[domain, endpoint, kind.as_str()]).inc_by(*count);
            }
            for (code, count) in &route.http_errors {
                self.http_errors.with_label_values(&[domain, endpoint, &code.to_string()]).inc_by(*count);
            }
        }
    }
}

fn items(contents: &Contents) -> [(&'static str, u64); 4] {
    [("points", contents.points), ("sketches", contents.sketches), ("check_runs", contents.check_runs), ("events", contents.events)]
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl OutputCollector {
    /// Shows these outputs.
    ///
    /// Errors: none in practice; names and labels are fixed above.
    pub fn try_new(outputs: Vec<Reader<OutputStats>>) -> prometheus::Result<Self> {
        let descriptions = Families::try_new()?.all().iter().flat_map(|family| family.desc()).cloned().collect();
        Ok(Self { outputs, descriptions })
    }
}

impl Collector for OutputCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // The same names were accepted when this collector was made.
        let Ok(families) = Families::try_new() else { return Vec::new() };
        for output in &self.outputs {
            families.fill(&output.current());
        }
        families.all().iter().flat_map(|family| family.collect()).filter(|family| !family.get_metric().is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use muster_actors::domain::delivery::{DropReason, SendErrorKind};
    use muster_actors::kernel::published::Publisher;
    use muster_actors::messages::output::RouteStats;
    use prometheus::{Registry, TextEncoder};

    use super::*;

    fn intake() -> OutputStats {
        let route = RouteStats {
            success: 2,
            success_bytes: 30,
            dropped: 1,
            errors: BTreeMap::from([(SendErrorKind::Gt400, 3)]),
            http_errors: BTreeMap::from([(503, 2), (413, 1)]),
            backoff_errors: 0,
        };
        OutputStats {
            destination: "http://intake".to_owned(),
            key_ending: Some("bcdef".to_owned()),
            sent: Contents { payloads: 2, bytes: 30, points: 7, ..Contents::default() },
            dropped: BTreeMap::from([(DropReason::TooLarge, Contents { payloads: 1, points: 4, ..Contents::default() })]),
            queued: Contents { payloads: 5, bytes: 500, ..Contents::default() },
            retries: 2,
            routes: BTreeMap::from([("series_v2", route)]),
            ..OutputStats::default()
        }
    }

    #[test]
    fn names_and_labels_are_those_of_stock_and_ours() {
        let stdout = OutputStats { destination: "stdout".to_owned(), retries: 1, ..OutputStats::default() };
        // A second key of the same intake: the counts add up.
        let publishers = [intake(), intake(), stdout].map(Publisher::new);
        let registry = Registry::new();
        let readers = publishers.iter().map(Publisher::reader).collect();
        registry.register(Box::new(OutputCollector::try_new(readers).unwrap())).unwrap();
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#') && !line.ends_with(" 0")).collect();
        assert_eq!(
            lines,
            [
                r#"muster_output_dropped_items_total{kind="points",output="http://intake",reason="too_large"} 8"#,
                r#"muster_output_queued_bytes{output="http://intake"} 1000"#,
                r#"muster_output_queued_payloads{output="http://intake"} 10"#,
                r#"muster_output_retries_total{output="http://intake"} 4"#,
                r#"muster_output_retries_total{output="stdout"} 1"#,
                r#"muster_output_sent_items_total{kind="points",output="http://intake"} 14"#,
                r#"transactions__dropped{domain="http://intake",endpoint="series_v2"} 2"#,
                r#"transactions__errors{domain="http://intake",endpoint="series_v2",error_type="gt_400"} 6"#,
                r#"transactions__http_errors{code="413",domain="http://intake",endpoint="series_v2"} 2"#,
                r#"transactions__http_errors{code="503",domain="http://intake",endpoint="series_v2"} 4"#,
                r#"transactions__success{domain="http://intake",endpoint="series_v2",proto_version="HTTP/1.1"} 4"#,
                r#"transactions__success_bytes{domain="http://intake",endpoint="series_v2"} 60"#,
            ]
        );
    }
}
