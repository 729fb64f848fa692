//! What agents really are and run: plain arrays, one entry for each agent and each check.
//!
//! Nothing in here knows the cluster role. Who drives it says when an agent gets another set, dies or comes back; here it is added
//! up how long each check ran nowhere, and how long twice.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::config::{CheckConfig, Data, DispatchedConfig};
use crate::domain::handover::Handover;
use crate::domain::ids::{ConfigKey, NodeName};
use crate::domain::patch::{Dispatchable, PatchOptions, dispatched};
use crate::domain::world::NodeKind;
use crate::sim::fleet::scenario::{AgentVersion, Check, Lie, Node, Scenario};

/// Position of an agent in [`Model::agents`].
pub(super) type AgentIndex = usize;

/// Position of a check in [`Model::checks`].
pub(super) type CheckIndex = usize;

/// What an agent does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// It polls and runs its checks.
    Running,
    /// It stands still: it neither polls nor runs anything, and has everything when it goes on.
    Paused,
    /// It is gone, with everything.
    Dead,
}

/// One agent.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) name: NodeName,
    pub(super) address: String,
    pub(super) kind: NodeKind,
    pub(super) version: AgentVersion,
    /// What it really has.
    pub(super) workers: u32,
    /// What it says instead.
    pub(super) told_workers: Option<u32>,
    pub(super) lie: Option<Lie>,
    pub(super) life: Life,
    /// Whether the cluster role can be reached.
    pub(super) reachable: bool,
    /// Whether it is never to come back.
    pub(super) removed: bool,
    /// Version of its set; 0 = it has none yet.
    pub(super) last_change: i64,
    /// Whether its set came from the cluster role in this life.
    pub(super) collected: bool,
    /// Polls that were answered.
    pub(super) contacts: u64,
    /// Until when `at_most_once` checks may run.
    pub(super) granted_until: Duration,
    /// The checks it has, ascending.
    pub(super) set: Vec<CheckIndex>,
    /// Those of them that it runs now.
    running: Vec<CheckIndex>,
    /// Whether its grant ran out, so that it runs no `at_most_once` checks.
    pub(super) suspended: bool,
}

impl Agent {
    /// Whether it runs what it has at this moment.
    pub(super) fn runs(&self) -> bool {
        self.life == Life::Running
    }

    /// Whether it stops `at_most_once` checks by itself.
    pub(super) fn honours_grants(&self) -> bool {
        self.version == AgentVersion::Muster
    }

    /// The checks that it runs now, ascending.
    pub(super) fn running(&self) -> &[CheckIndex] {
        &self.running
    }
}

/// One check.
#[derive(Debug)]
pub(super) struct CheckState {
    pub(super) config: Arc<DispatchedConfig>,
    pub(super) handover: Handover,
    pub(super) interval: Duration,
    /// Workers it occupies at the start.
    pub(super) base_need: f64,
    /// Times that it occupies now.
    pub(super) factor: f64,
    /// Agents that run it now.
    pub(super) runs_on: u32,
    /// When an agent began or ceased to run it last.
    pub(super) changed_at: Duration,
    /// Until when it was added up.
    since: Duration,
    /// How long it has run nowhere.
    this_gap: Duration,
    /// Whether it ever ran; before that it has no gap, it waits to be placed.
    ran: bool,
    /// Since when it runs where it was started last.
    pub(super) started_at: Duration,
    pub(super) gap: Duration,
    pub(super) longest_gap: Duration,
    pub(super) double: Duration,
    pub(super) moves: u32,
}

impl CheckState {
    /// Workers it really occupies while it runs, without noise.
    pub(super) fn need(&self) -> f64 {
        // A run takes one worker, so no instance needs more than one. Source: cluster-checks 11.2.
        let instances = self.config.check_ids.len() as f64;
        (self.base_need * self.factor).min(instances)
    }

    /// Adds up until now.
    fn settle(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.since);
        match self.runs_on {
            0 if !self.ran => {}
            0 => {
                self.gap += passed;
                self.this_gap += passed;
                self.longest_gap = self.longest_gap.max(self.this_gap);
            }
            1 => {}
            _ => self.double += passed,
        }
        self.since = now;
    }

    fn change(&mut self, now: Duration, more: bool) {
        self.settle(now);
        self.changed_at = now;
        if more {
            self.runs_on += 1;
            self.started_at = now;
            self.this_gap = Duration::ZERO;
            self.ran = true;
        } else {
            self.runs_on = self.runs_on.saturating_sub(1);
        }
    }
}

/// All agents and checks.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) seed: u64,
    pub(super) noise: f64,
    pub(super) now: Duration,
    pub(super) agents: Vec<Agent>,
    pub(super) checks: Vec<CheckState>,
    pub(super) by_name: HashMap<NodeName, AgentIndex>,
    pub(super) by_address: HashMap<String, AgentIndex>,
    pub(super) by_key: HashMap<ConfigKey, CheckIndex>,
}

/// Runs of one check that are one config: as many instances as it needs workers.
fn instances(check: &Check) -> Vec<Data> {
    let count = check.workers_needed().ceil().max(1.0) as usize;
    let interval = check.interval_seconds;
    (0..count)
        .map(|part| {
            let name = serde_json::Value::from(check.name.as_str());
            let part = if count > 1 { format!("part: {part}\n") } else { String::new() };
            Data::from(format!("name: {name}\nmin_collection_interval: {interval}\n{part}"))
        })
        .collect()
}

/// The config of a check, as discovery finds it.
pub(super) fn discovered(check: &Check) -> Arc<CheckConfig> {
    let init_config = match check.handover {
        Handover::Any => "{}\n",
        Handover::Gap => "muster_handover: gap\n",
        Handover::Overlap => "muster_handover: overlap\n",
        Handover::AtMostOnce => "muster_handover: at_most_once\n",
    };
    Arc::new(CheckConfig {
        name: check.check_name.clone(),
        instances: instances(check),
        init_config: Some(Data::from(init_config)),
        provider: "file".to_owned(),
        source: format!("file:{}.yaml", check.name),
        service_id: check.service.clone(),
        cluster_check: true,
        ..CheckConfig::default()
    })
}

impl Model {
    /// The agents and checks of a scenario; what `node` of a check says is not done yet.
    pub(super) fn new(scenario: &Scenario, seed: u64) -> Self {
        let mut model = Self { seed, noise: scenario.noise, ..Self::default() };
        for check in &scenario.checks {
            // Instances are mappings that are written here, so patching cannot fail.
            let Ok(Dispatchable::Cluster(config)) = dispatched(&discovered(check), &PatchOptions::default()) else { continue };
            model.by_key.insert(config.key, model.checks.len());
            model.checks.push(CheckState {
                handover: check.handover,
                interval: Duration::from_secs(u64::from(check.interval_seconds)),
                base_need: check.workers_needed(),
                factor: 1.0,
                runs_on: 0,
                changed_at: Duration::ZERO,
                since: Duration::ZERO,
                this_gap: Duration::ZERO,
                ran: false,
                started_at: Duration::ZERO,
                gap: Duration::ZERO,
                longest_gap: Duration::ZERO,
                double: Duration::ZERO,
                moves: 0,
                config: Arc::new(config),
            });
        }
        let taken: BTreeSet<_> = scenario.nodes.iter().filter_map(|node| node.address.as_deref()).collect();
        for node in &scenario.nodes {
            model.add_agent(node, &taken);
        }
        model
    }

    /// An agent that runs, and has nothing yet.
    pub(super) fn add_agent(&mut self, node: &Node, taken: &BTreeSet<&str>) -> AgentIndex {
        let index = self.agents.len();
        let made_up = || {
            let mut number = index;
            loop {
                let address = format!("10.{}.{}.{}", number >> 16 & 255, number >> 8 & 255, number & 255);
                if !taken.contains(address.as_str()) && !self.by_address.contains_key(&address) {
                    return address;
                }
                number += 1 << 17;
            }
        };
        let address = node.address.clone().unwrap_or_else(made_up);
        let name = NodeName::from(node.name.as_str());
        self.by_name.insert(name.clone(), index);
        self.by_address.insert(address.clone(), index);
        self.agents.push(Agent {
            name,
            address,
            kind: node.kind,
            version: node.agent,
            workers: node.workers,
            told_workers: None,
            lie: None,
            life: Life::Running,
            reachable: true,
            removed: false,
            last_change: 0,
            collected: false,
            contacts: 0,
            granted_until: Duration::ZERO,
            set: Vec::new(),
            running: Vec::new(),
            suspended: false,
        });
        index
    }

    /// An agent gets another set; `set` is ascending.
    pub(super) fn give(&mut self, agent: AgentIndex, set: Vec<CheckIndex>) {
        self.agents[agent].set = set;
        self.follow(agent);
    }

    /// An agent dies, stands still or goes on.
    pub(super) fn set_life(&mut self, agent: AgentIndex, life: Life) {
        let of = &mut self.agents[agent];
        of.life = life;
        if life == Life::Dead {
            of.set.clear();
            (of.last_change, of.collected, of.suspended, of.granted_until) = (0, false, false, Duration::ZERO);
        }
        self.follow(agent);
    }

    /// The grant of an agent runs out, or it has one again.
    pub(super) fn suspend(&mut self, agent: AgentIndex, suspended: bool) {
        if self.agents[agent].suspended != suspended {
            self.agents[agent].suspended = suspended;
            self.follow(agent);
        }
    }

    /// Adds up what follows from what an agent has and how it is.
    fn follow(&mut self, agent: AgentIndex) {
        let of = &mut self.agents[agent];
        let running = match (of.runs(), of.suspended) {
            (false, _) => Vec::new(),
            (true, false) => of.set.clone(),
            (true, true) => of.set.iter().copied().filter(|check| self.checks[*check].handover != Handover::AtMostOnce).collect(),
        };
        let before = std::mem::replace(&mut of.running, running);
        let (mut old, mut new) = (before.iter().copied().peekable(), of.running.iter().copied().peekable());
        loop {
            let (left, right) = (old.peek().copied(), new.peek().copied());
            let Some(check) = left.into_iter().chain(right).min() else { break };
            let (had, has) = (old.next_if_eq(&check).is_some(), new.next_if_eq(&check).is_some());
            if had != has {
                self.checks[check].change(self.now, has);
            }
        }
    }

    /// Adds everything up until now.
    pub(super) fn settle(&mut self) {
        for check in &mut self.checks {
            check.settle(self.now);
        }
    }

    /// Workers that the checks of an agent really occupy.
    pub(super) fn load(&self, agent: AgentIndex) -> f64 {
        self.agents[agent].running.iter().map(|check| self.checks[*check].need()).sum()
    }

    /// How much a check costs in this minute, in parts of its need; the same for every strategy.
    pub(super) fn noise_of(&self, check: CheckIndex) -> f64 {
        if self.noise == 0.0 {
            return 1.0;
        }
        let minute = self.now.as_secs() / 60;
        1.0 + self.noise * (2.0 * unit(self.seed ^ (check as u64) << 32 ^ minute) - 1.0)
    }
}

/// A number in `[0, 1)` that depends on `of` only.
pub(super) fn unit(of: u64) -> f64 {
    // The finaliser of SplitMix64: one step spreads every bit over all.
    let mut bits = of.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((bits ^ bits >> 31) >> 11) as f64 / 9_007_199_254_740_992.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(checks: usize, agents: usize) -> Model {
        let checks: Vec<String> = (0..checks).map(|number| format!("{{\"name\": \"c{number}\", \"need\": 0.1}}")).collect();
        let nodes: Vec<String> = (0..agents).map(|number| format!("{{\"name\": \"n{number}\"}}")).collect();
        let text = format!("{{\"version\": 1, \"nodes\": [{}], \"checks\": [{}]}}", nodes.join(","), checks.join(","));
        Model::new(&Scenario::parse(&text).unwrap(), 1)
    }

    fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    #[test]
    fn gaps_and_double_runs_are_added_up() {
        let mut model = model(3, 2);
        model.now = seconds(10);
        model.give(0, vec![0, 1]);
        model.now = seconds(20);
        model.give(1, vec![1, 2]);
        model.now = seconds(25);
        model.give(0, vec![0]);
        model.now = seconds(30);
        model.set_life(1, Life::Paused);
        model.now = seconds(34);
        model.set_life(1, Life::Running);
        model.now = seconds(40);
        model.set_life(0, Life::Dead);
        model.now = seconds(41);
        model.settle();
        assert_eq!(model.agents[0].set, Vec::<usize>::new());
        let of = |check: usize| (model.checks[check].gap.as_secs(), model.checks[check].double.as_secs());
        assert_eq!((of(0), of(1), of(2)), ((1, 0), (4, 5), (4, 0)));
        assert_eq!(model.checks[2].longest_gap, seconds(4));
    }

    #[test]
    fn settling_twice_adds_nothing_and_keeps_the_longest_gap() {
        let mut model = model(2, 1);
        model.give(0, vec![0]);
        model.give(0, Vec::new());
        model.now = seconds(10);
        model.settle();
        model.now = seconds(30);
        model.settle();
        model.settle();
        assert_eq!((model.checks[0].gap, model.checks[0].longest_gap), (seconds(30), seconds(30)));
        assert_eq!(model.checks[1].gap, Duration::ZERO, "what never ran waits to be placed");
    }

    #[test]
    fn noise_stays_within_its_bounds_and_has_no_bias() {
        let mut model = model(1, 1);
        model.noise = 0.1;
        let drawn: Vec<f64> = (0..2000)
            .map(|minute| {
                model.now = seconds(60 * minute);
                model.noise_of(0)
            })
            .collect();
        assert!(drawn.iter().all(|noise| (0.9..1.1).contains(noise)));
        assert!((drawn.iter().sum::<f64>() / 2000.0 - 1.0).abs() < 0.01);
    }

    #[test]
    fn a_check_that_needs_several_workers_has_several_instances() {
        let check = Check { need: Some(2.5), ..serde_json::from_str(r#"{"name": "big"}"#).unwrap() };
        assert_eq!(discovered(&check).instances.len(), 3);
        let text = r#"{"version": 1, "nodes": [{"name": "a"}], "checks": [{"name": "big", "need": 2.5}]}"#;
        let mut model = Model::new(&Scenario::parse(text).unwrap(), 1);
        assert_eq!(model.checks[0].need(), 2.5);
        model.checks[0].factor = 100.0;
        assert_eq!(model.checks[0].need(), 3.0, "a run takes one worker");
    }
}
