//! The strategies of muster: its table, its collection of figures, its planners, its rule for who takes over a whole set.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use muster_actors::balance::collection::{Told, ToldChecks, ToldWorkers, collected};
use muster_actors::balance::placement::place_batch;
use muster_actors::balance::plan::Trigger;
use muster_actors::balance::planner::plan;
use muster_actors::balance::policy::{BalancePolicy, Strategy};
use muster_actors::balance::succession::{Candidate, Leaver, Succession, block, successions};
use muster_actors::balance::world::World;
use muster_actors::domain::assignment::{AssignmentTable, Placement};
use muster_actors::domain::config::{CheckConfig, Data, DispatchedConfig};
use muster_actors::domain::figures::{CheckFigures, Figures};
use muster_actors::domain::ids::{ConfigKey, Epoch, NodeName};
use muster_actors::domain::journal::Cause;
use muster_actors::domain::kube::objects::Kind;
use muster_actors::domain::node::NodeFacts;
use muster_actors::domain::patch::{Dispatchable, PatchOptions, dispatched};
use muster_actors::domain::pod_evidence::{PodEvidence, Report};
use muster_actors::domain::turn::Turn;
use muster_actors::domain::world::{DanglingReason, NodeEntry, NodeKind, NodeView, ServedTable};
use muster_actors::testing::pods::{NAMESPACE, deployed, observed};

use crate::fleet::Fleet;
use crate::loads::WORKERS;

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(600);

/// Between a pod and the next one of a rolling update, with a look after each.
const PACE: Duration = Duration::from_secs(60);

/// Looks in a row without a move until it counts as settled; longer than the cooldown.
const QUIET_LOOKS: usize = 4;

/// Looks after which a rule is taken to go on for ever.
const MOST_LOOKS: usize = 60;

/// A rule of muster with its table.
#[derive(Clone)]
pub struct Ours {
    policy: BalancePolicy,
    table: AssignmentTable,
    figures: Figures,
    keys: Vec<ConfigKey>,
    needs: Vec<f64>,
    now: Duration,
}

impl Ours {
    pub fn new(policy: BalancePolicy) -> Self {
        let (table, figures) = (AssignmentTable::default(), Figures::default());
        Self { policy, table, figures, keys: Vec::new(), needs: Vec::new(), now: PERIOD }
    }

    fn unix_nanos(&self) -> i64 {
        self.now.as_nanos() as i64
    }

    fn change(&mut self, change: impl FnOnce(&mut Turn<'_>)) {
        let now = self.unix_nanos();
        let mut turn = Turn::begin(&mut self.table);
        change(&mut turn);
        // There are no followers to tell.
        drop(turn.finish(Epoch(1), now));
    }

    /// Puts everything that has no owner somewhere; returns how much.
    fn place_orphans(&mut self, cause: Cause) -> usize {
        let placements = place_batch(&self.table, &self.figures, self.table.dangling().iter().copied());
        let placed = placements.len();
        self.change(|turn| placements.into_iter().for_each(|(key, placement)| turn.place(key, placement, cause)));
        placed
    }

    fn served(&self) -> ServedTable {
        let nodes = self.table.nodes().iter().map(|(name, node)| {
            let configs = self.table.configs_of(name).map(Arc::clone).collect();
            let view = Arc::new(NodeView { stamp: node.stamp, configs, ..NodeView::default() });
            (name.clone(), NodeEntry { facts: node.facts.clone(), presence: node.presence, view })
        });
        ServedTable {
            epoch: Epoch(1),
            nodes: nodes.collect::<HashMap<_, _>>(),
            ledger: Arc::clone(self.table.ledger()),
            decided: self.table.seq(),
            shown: self.table.seq(),
            ..ServedTable::default()
        }
    }

    /// Every runner tells its statistics.
    fn collect(&mut self) {
        let served = self.served();
        let needs: HashMap<ConfigKey, f64> = self.keys.iter().copied().zip(self.needs.iter().copied()).collect();
        let told = served.nodes.iter().map(|(name, node)| {
            let checks = node.view.configs.iter().map(|config| (config.check_ids[0].clone(), figures_of(needs[&config.key])));
            let checks = ToldChecks::new(checks.collect(), &node.view);
            (name.clone(), Told { at: self.now, checks: Ok(checks), workers: ToldWorkers::Number(WORKERS as u32) })
        });
        self.figures = collected(&self.figures, &served, told.collect::<BTreeMap<_, _>>(), self.now, Duration::ZERO);
    }

    /// Looks once, and does what the plan says.
    fn look(&mut self) -> usize {
        let served = self.served();
        let world = World::of(&served, &self.figures, &self.policy, self.unix_nanos());
        let plan = plan(&world, &self.policy, Trigger::Period, false);
        let (now, kept, bounded) = (self.unix_nanos(), self.policy.cooldown, self.policy.strategy == Strategy::Bounded);
        self.change(|turn| {
            for one in &plan.moves {
                turn.place(one.key, Placement::Owned(one.to.clone()), Cause::Rebalanced);
            }
            if bounded {
                turn.spend(plan.moves.iter().map(|one| one.key), now, kept);
            }
        });
        plan.moves.len()
    }

    fn register(&mut self, runner: &str) {
        let facts = NodeFacts { kind: NodeKind::Runner, address: "10.0.0.1".to_owned(), ..NodeFacts::default() };
        self.change(|turn| {
            turn.put_node(&NodeName::from(runner), facts);
        });
        self.collect();
    }

    fn remove(&mut self, runner: &str) -> usize {
        self.change(|turn| {
            turn.remove_node(&NodeName::from(runner), Cause::NodeExpired);
        });
        self.place_orphans(Cause::NodeExpired)
    }

    /// What the rule for replaced pods moves from one to the other, both being pods of one Deployment.
    fn hand_over(&mut self, old: &NodeName, new: &NodeName) -> usize {
        let pods: Vec<_> = [old, new].iter().map(|name| observed(&deployed("runner", "77", name.as_str()))).collect();
        let mut evidence = PodEvidence::new(NAMESPACE, "");
        evidence.take_in(&Report { kind: Kind::Pods, reset: true, applied: &pods, gone: &[], synced: true }, Duration::ZERO);
        let held = |name: &NodeName| self.table.set_of(name).len();
        let (kind, leaving_for) = (NodeKind::Runner, Some(Duration::ZERO));
        let leaver = Leaver { node: old, kind, lineage: evidence.lineage(old), held: held(old), leaving_for };
        let Some(lineage) = evidence.lineage(new) else { return 0 };
        let candidate = Candidate { node: new, kind, lineage, held: held(new), registered_at: self.now };
        let decided = successions(&[leaver], &[candidate], &BTreeMap::new());
        let [Succession::By(heir)] = decided.as_slice() else { return 0 };
        let keys = block(&self.table, old, heir);
        self.change(|turn| keys.iter().for_each(|key| turn.place(*key, Placement::Owned(heir.clone()), Cause::NodeDraining)));
        keys.len()
    }
}

impl Fleet for Ours {
    fn start(&mut self, runners: &[String], needs: &[f64]) -> usize {
        for runner in runners {
            self.register(runner);
        }
        let configs: Vec<Arc<DispatchedConfig>> = (0..needs.len()).map(config).collect();
        (self.keys, self.needs) = (configs.iter().map(|config| config.key).collect(), needs.to_vec());
        self.change(|turn| {
            for config in configs {
                turn.put_config(config, DanglingReason::NoNode);
            }
        });
        // Nothing is known about them yet.
        self.place_orphans(Cause::Discovered);
        self.rest()
    }

    fn lose(&mut self, runner: &str) -> usize {
        self.remove(runner) + self.rest()
    }

    fn join(&mut self, runner: &str) -> usize {
        self.register(runner);
        self.rest()
    }

    fn measure(&mut self, needs: &[f64]) -> usize {
        self.needs = needs.to_vec();
        self.now += PERIOD;
        self.collect();
        self.look()
    }

    fn replace(&mut self, old: &str, new: &str, as_block: bool) -> usize {
        self.register(new);
        let handed = if as_block { self.hand_over(&NodeName::from(old), &NodeName::from(new)) } else { 0 };
        let placed = self.remove(old);
        self.now += PACE;
        self.collect();
        handed + placed + self.look()
    }

    fn rest(&mut self) -> usize {
        let (mut moves, mut quiet) = (0, 0);
        for _ in 0..MOST_LOOKS {
            self.now += PERIOD;
            self.collect();
            let moved = self.look();
            moves += moved;
            quiet = if moved == 0 { quiet + 1 } else { 0 };
            if quiet == QUIET_LOOKS {
                break;
            }
        }
        moves
    }

    fn copy(&self) -> Box<dyn Fleet> {
        Box::new(self.clone())
    }

    fn shares(&self) -> Vec<(f64, f64)> {
        self.table.nodes().keys().map(|name| (self.needs_of(name.as_str()).iter().sum(), WORKERS)).collect()
    }

    fn needs_of(&self, runner: &str) -> Vec<f64> {
        let set = self.table.set_of(&NodeName::from(runner));
        self.keys.iter().zip(&self.needs).filter(|(key, _)| set.contains(*key)).map(|(_, need)| *need).collect()
    }
}

fn config(number: usize) -> Arc<DispatchedConfig> {
    let config = CheckConfig {
        name: "http_check".to_owned(),
        instances: vec![Data::from(format!("name: service-{number}\nurl: http://10.0.0.1:80/{number}\n"))],
        init_config: Some(Data::from("{}\n")),
        provider: "file".to_owned(),
        source: format!("file:/conf.d/http_check.d/{number}.yaml"),
        cluster_check: true,
        ..CheckConfig::default()
    };
    match dispatched(&config, &PatchOptions::default()) {
        Ok(Dispatchable::Cluster(config)) => Arc::new(config),
        other => panic!("not a cluster check: {other:?}"),
    }
}

/// Samples in proportion to the need: the case that suits `busyness` best.
fn figures_of(need: f64) -> CheckFigures {
    CheckFigures {
        // The usual interval of 15 s.
        average_execution_time: (need * 15_000.0).round().max(1.0) as i64,
        metric_samples: (need * 10_000.0).round() as i64,
        total_runs: Some(40),
        ..CheckFigures::default()
    }
}
