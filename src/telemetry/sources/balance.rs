//! Metrics of balancing. Source: cluster-checks 14.1.

use std::time::Duration;

use muster_actors::balance::rebalancing::RebalancerView;
use muster_actors::domain::figures::Figures;
use muster_actors::domain::world::{ServedTable, Standing};

use super::{JOIN, Metric, Scrape};

/// Fills what runners told and what balancing did with it; a node that is not in the table any more has no series. `now` is monotonic.
///
/// Nothing on a replica that does not dispatch: what it knew in an earlier term says nothing.
pub fn balance(table: &ServedTable, figures: &Figures, view: &RebalancerView, now: Duration, scrape: &mut Scrape) {
    if table.standing != Standing::Active {
        return;
    }
    if figures.collected_at.is_some() {
        scrape.set(Metric::UpdatingStatsDuration, &[JOIN], figures.took.as_secs_f64());
    }
    for (node, runner) in figures.runners.iter().filter(|(node, _)| table.nodes.contains_key(*node)) {
        scrape.set(Metric::FailedStatsCollection, &[node.as_str(), JOIN], runner.failures as f64);
        if let Some(at) = runner.collected_at {
            scrape.set(Metric::Busyness, &[node.as_str(), JOIN], runner.busyness as f64);
            scrape.set(Metric::StatsAge, &[node.as_str()], now.saturating_sub(at).as_secs_f64());
        }
    }
    for metric in [Metric::RebalancingDecisions, Metric::SuccessfulRebalancingMoves] {
        scrape.set(metric, &[JOIN], view.moves as f64);
    }
    if let Some(last) = view.last.as_ref().filter(|last| last.plan.epoch == table.epoch) {
        scrape.set(Metric::RebalancingDuration, &[JOIN], last.took.as_secs_f64());
        for forecast in last.plan.forecast.iter().filter(|forecast| table.nodes.contains_key(&forecast.runner)) {
            scrape.set(Metric::PredictedUtilization, &[forecast.runner.as_str(), JOIN], forecast.after);
        }
    }
}
