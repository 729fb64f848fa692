//! Runners with statistics, balanced by the production actors.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use muster_actors::balance::plan::Trigger;
use muster_actors::balance::policy::BalancePolicy;
use muster_actors::domain::digest::config_key;
use muster_actors::domain::figures::CheckFigures;
use muster_actors::domain::ids::{ConfigKey, Stamp};
use muster_actors::domain::node::CheckCompatibility;
use muster_actors::domain::world::NodeKind;
use muster_actors::kernel::universe::Universe;
use muster_actors::messages::rebalancer::{Command, Demand, Demanded, Evaluate, Evaluated, Refusal};

use crate::cluster::{Cluster, instance};

/// A default interval. Units: milliseconds.
const INTERVAL: f64 = 15_000.0;

pub(crate) struct Pool {
    universe: Universe,
    pub(crate) cluster: Cluster,
    polling: RefCell<BTreeSet<&'static str>>,
    needs: RefCell<BTreeMap<ConfigKey, (u32, f64)>>,
}

impl Pool {
    /// These runners, each with four workers, long enough that nobody looks because they came.
    pub(crate) async fn start(universe: &Universe, runners: &[&'static str], balance: BalancePolicy) -> Self {
        Self::of(universe, Cluster::balanced_by(universe, &[], balance).await, runners).await
    }

    pub(crate) async fn of(universe: &Universe, cluster: Cluster, runners: &[&'static str]) -> Self {
        let pool = Self { universe: universe.clone(), cluster, polling: RefCell::default(), needs: RefCell::default() };
        for runner in runners {
            pool.join(runner).await;
        }
        pool.pass(40).await;
        pool
    }

    /// The same after the server was killed and started on the same disk, with its figures.
    pub(crate) async fn restarted(self, universe: &Universe) -> Self {
        let (polling, needs) = (self.polling.clone(), self.needs.clone());
        let cluster = self.cluster.kill_and_restart().await;
        let pool = Self { universe: universe.clone(), cluster, polling, needs };
        pool.pass(5).await;
        pool
    }

    pub(crate) async fn join(&self, runner: &'static str) {
        self.polling.borrow_mut().insert(runner);
        self.beat(runner, NodeKind::Runner, CheckCompatibility::default()).await;
        self.universe.settle().await;
    }

    pub(crate) async fn beat(&self, node: &str, kind: NodeKind, compatibility: CheckCompatibility) {
        self.cluster.beat(node, Some(&format!("ip-{node}")), kind, compatibility).await;
    }

    /// It polls no more.
    pub(crate) fn dies(&self, runner: &str) {
        self.polling.borrow_mut().remove(runner);
    }

    /// Discovery finds these checks; each occupies so many workers.
    pub(crate) async fn find(&self, needs: &[(u32, f64)]) {
        let known = needs.iter().map(|(number, need)| (config_key(&instance(*number)), (*number, *need)));
        self.needs.borrow_mut().extend(known);
        let configs: Vec<_> = needs.iter().map(|(number, _)| instance(*number)).collect();
        self.cluster.discover(&configs).await;
    }

    /// Runners tell what they run.
    fn measure(&self) {
        for (name, entry) in &self.cluster.served().nodes {
            let mut checks = Vec::new();
            for config in entry.view.configs.iter() {
                let need = self.needs.borrow().get(&config.key).map_or(0.0, |(_, need)| *need);
                let figures =
                    CheckFigures { average_execution_time: (need * INTERVAL) as i64, metric_samples: 1, ..CheckFigures::default() };
                checks.push((config.check_ids[0].clone(), figures));
            }
            self.cluster.runners.tell(&format!("ip-{name}"), checks);
        }
    }

    /// Seconds go by; everybody polls and tells figures.
    pub(crate) async fn pass(&self, seconds: u64) {
        for _ in 0..seconds {
            let polling = self.polling.borrow().clone();
            for runner in polling {
                self.beat(runner, NodeKind::Runner, CheckCompatibility::default()).await;
            }
            self.measure();
            self.universe.advance(Duration::from_secs(1)).await;
        }
    }

    /// What each node has, by number.
    pub(crate) fn sets(&self) -> BTreeMap<String, BTreeSet<u32>> {
        let needs = self.needs.borrow();
        let served = self.cluster.served();
        let numbers = |configs: &[std::sync::Arc<muster_actors::domain::config::DispatchedConfig>]| {
            configs.iter().map(|config| needs[&config.key].0).collect::<BTreeSet<u32>>()
        };
        served.nodes.iter().map(|(name, entry)| (name.to_string(), numbers(&entry.view.configs))).collect()
    }

    pub(crate) fn set(&self, node: &str) -> BTreeSet<u32> {
        self.sets().remove(node).unwrap_or_default()
    }

    pub(crate) fn stamps(&self) -> BTreeMap<String, Stamp> {
        self.cluster.served().nodes.iter().map(|(name, entry)| (name.to_string(), entry.view.stamp)).collect()
    }

    /// The check id of a config.
    pub(crate) fn id(&self, number: u32) -> String {
        let served = self.cluster.served();
        let key = config_key(&instance(number));
        let mut all = served.nodes.values().flat_map(|entry| entry.view.configs.iter());
        all.find(|config| config.key == key).map(|config| config.check_ids[0].to_string()).expect("it is on a node")
    }

    /// Puts checks on a node by pins, and lets them go.
    pub(crate) async fn put(&self, node: &str, numbers: &[u32]) {
        for number in numbers {
            let check = self.id(*number);
            self.command(Demand::Pin { check: check.clone(), node: node.to_owned() }).await.expect("it can be pinned");
            self.command(Demand::Unpin { check }).await.expect("it is pinned");
            self.universe.settle().await;
        }
    }

    pub(crate) async fn command(&self, demand: Demand) -> Result<Demanded, Refusal> {
        self.cluster.rebalancer(Command { demand }).await
    }

    pub(crate) async fn pin(&self, number: u32, node: &str) -> Result<Demanded, Refusal> {
        self.command(Demand::Pin { check: self.id(number), node: node.to_owned() }).await
    }

    /// A rebalance that somebody asks for.
    pub(crate) async fn rebalance(&self) -> Result<Evaluated, Refusal> {
        self.evaluate(false, false).await
    }

    pub(crate) async fn evaluate(&self, force: bool, dry_run: bool) -> Result<Evaluated, Refusal> {
        let evaluated = self.cluster.rebalancer(Evaluate { trigger: Trigger::Manual, force, dry_run }).await;
        self.universe.settle().await;
        evaluated
    }
}
