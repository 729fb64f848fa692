//! What was gathered for the outputs: `aggregatorStats`, with stock's keys and texts. Source: cluster-agent-kubernetes 8.3.

use muster_actors::messages::aggregator::AggregatorStats;
use serde::Serialize;

/// What was handed to the outputs since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AggregatorStatus {
    /// Series.
    pub series_flushed: u64,
    /// Sketches.
    pub sketches_flushed: u64,
    /// Service checks.
    pub service_check_flushed: u64,
    /// Events, without those that go straight to the outputs.
    pub events_flushed: u64,
    /// Flushes with something in them.
    pub number_of_flush: u64,
}

impl AggregatorStatus {
    /// What the aggregator says of itself.
    #[must_use]
    pub fn of(stats: &AggregatorStats) -> Self {
        Self {
            series_flushed: stats.series,
            sketches_flushed: stats.sketches,
            service_check_flushed: stats.check_runs,
            events_flushed: stats.events,
            number_of_flush: stats.flushes,
        }
    }

    pub(in crate::telemetry) fn lines(self) -> Vec<String> {
        let mut lines = vec![
            format!("Events Flushed: {}", self.events_flushed),
            format!("Number Of Flushes: {}", self.number_of_flush),
            format!("Series Flushed: {}", self.series_flushed),
            format!("Service Checks Flushed: {}", self.service_check_flushed),
        ];
        if self.sketches_flushed > 0 {
            lines.push(format!("Sketches Flushed: {}", self.sketches_flushed));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_stand_under_the_texts_of_stock() {
        let status = AggregatorStatus::of(&AggregatorStats { flushes: 2, series: 9, check_runs: 4, ..AggregatorStats::default() });
        assert_eq!(status.lines(), ["Events Flushed: 0", "Number Of Flushes: 2", "Series Flushed: 9", "Service Checks Flushed: 4"]);
        assert_eq!(serde_json::to_value(status).unwrap()["NumberOfFlush"], 2);
    }
}
