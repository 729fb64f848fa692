//! What no strategy can beat.

use crate::sim::fleet::model::{Life, Model};

/// Deviation from the mean that is tolerated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Band {
    /// Relative.
    pub(super) relative: f64,
    /// Least value, in utilization.
    pub(super) least: f64,
}

impl Band {
    pub(super) fn around(&self, mean: f64) -> f64 {
        (mean * self.relative).max(self.least)
    }
}

/// How even the load is at one moment, by what checks really need.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Evenness {
    pub(super) busiest: f64,
    pub(super) mean: f64,
    pub(super) outside_band: usize,
    pub(super) nodes: usize,
}

impl Evenness {
    pub(super) fn ratio(&self) -> f64 {
        if self.mean > 0.0 { self.busiest / self.mean } else { 1.0 }
    }
}

fn told_workers(model: &Model, agent: usize) -> u32 {
    let agent = &model.agents[agent];
    agent.told_workers.unwrap_or(agent.workers)
}

/// Agents that may hold something: they live and do not say that they have no workers.
fn usable(model: &Model) -> impl Iterator<Item = usize> + '_ {
    (0..model.agents.len()).filter(|agent| model.agents[*agent].life != Life::Dead && told_workers(model, *agent) > 0)
}

pub(super) fn evenness(model: &Model, band: Band) -> Evenness {
    let mut found = Evenness { nodes: model.agents.iter().filter(|agent| agent.life != Life::Dead).count(), ..Evenness::default() };
    let (mut load, mut workers) = (0.0, 0.0);
    let mut utilizations = Vec::with_capacity(model.agents.len());
    for agent in usable(model) {
        let (has, of) = (model.load(agent), f64::from(model.agents[agent].workers.max(1)));
        (load, workers) = (load + has, workers + of);
        utilizations.push(has / of);
        found.busiest = found.busiest.max(has / of);
    }
    if workers > 0.0 {
        found.mean = load / workers;
        let tolerance = band.around(found.mean) + 1e-9;
        found.outside_band = utilizations.iter().filter(|utilization| (**utilization - found.mean).abs() > tolerance).count();
    }
    found
}

/// The least busiest/mean of any assignment: some agent has to hold the largest config.
pub(super) fn best_possible(model: &Model) -> f64 {
    let workers: Vec<f64> = usable(model).map(|agent| f64::from(model.agents[agent].workers.max(1))).collect();
    let (all, most) = (workers.iter().sum::<f64>(), workers.iter().copied().fold(0.0, f64::max));
    let (total, largest) =
        model.checks.iter().fold((0.0, 0.0_f64), |(total, largest), check| (total + check.need(), largest.max(check.need())));
    if total <= 0.0 || most <= 0.0 { 1.0 } else { (largest / most * all / total).max(1.0) }
}

/// The fewest configs that bring new agents with so many workers together into the band.
pub(super) fn moves_to_fill(model: &Model, band: Band, workers: f64) -> u64 {
    let all: f64 = usable(model).map(|agent| f64::from(model.agents[agent].workers.max(1))).sum();
    let mut needs: Vec<f64> = model.checks.iter().map(super::model::CheckState::need).collect();
    let total: f64 = needs.iter().sum();
    let mean = if all > 0.0 { total / all } else { 0.0 };
    let mut missing = (mean - band.around(mean)) * workers;
    needs.sort_unstable_by(|left, right| right.total_cmp(left));
    let mut moves = 0;
    for need in needs {
        if missing <= 1e-9 {
            break;
        }
        missing -= need;
        moves += 1;
    }
    moves
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::fleet::scenario::Scenario;

    const BAND: Band = Band { relative: 0.05, least: 0.02 };

    fn model(needs: &[f64], workers: &[u32]) -> Model {
        let checks: Vec<_> = needs.iter().enumerate().map(|(at, need)| format!("{{\"name\": \"c{at}\", \"need\": {need}}}")).collect();
        let nodes: Vec<_> = workers.iter().enumerate().map(|(at, of)| format!("{{\"name\": \"n{at}\", \"workers\": {of}}}")).collect();
        let text = format!("{{\"version\": 1, \"nodes\": [{}], \"checks\": [{}]}}", nodes.join(","), checks.join(","));
        Model::new(&Scenario::parse(&text).unwrap(), 1)
    }

    #[test]
    fn the_busiest_agent_and_the_band() {
        let mut model = model(&[0.8, 0.4, 0.4], &[4, 4]);
        model.give(0, vec![0, 1]);
        model.give(1, vec![2]);
        let even = evenness(&model, BAND);
        assert!((even.mean - 0.2).abs() < 1e-9 && (even.ratio() - 1.5).abs() < 1e-9, "{even:?}");
        assert_eq!((even.outside_band, even.nodes), (2, 2));
        model.give(0, vec![0]);
        model.give(1, vec![1, 2]);
        assert_eq!(evenness(&model, BAND).outside_band, 0);
        model.agents[1].told_workers = Some(0);
        assert!((evenness(&model, BAND).mean - 0.2).abs() < 1e-9, "who has no workers is not counted");
    }

    #[test]
    fn the_largest_config_bounds_what_is_possible() {
        assert!((best_possible(&model(&[1.0, 0.5, 0.5], &[4, 4])) - 1.0).abs() < 1e-9);
        assert!((best_possible(&model(&[3.0, 0.5, 0.5], &[4, 4])) - 1.5).abs() < 1e-9);
        assert_eq!(best_possible(&model(&[], &[4])), 1.0);
    }

    #[test]
    fn a_new_agent_is_filled_with_the_largest_first() {
        // Mean 0.2 over 3 agents of 4 workers: the new one needs 0.72 at least.
        let model = model(&[0.4; 6], &[4, 4, 4]);
        assert_eq!((moves_to_fill(&model, BAND, 4.0), moves_to_fill(&model, BAND, 8.0)), (2, 4));
    }
}
