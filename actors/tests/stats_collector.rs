//! The collector of statistics on scripted runners, in virtual time.

#![expect(clippy::unwrap_used, reason = "tests panic")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use muster_actors::cluster::stats_collector::{AT_A_TIME, CALL_LIMIT, COLLECTION_PERIOD, StatsCollector, StatsCollectorParts};
use muster_actors::domain::config::DispatchedConfig;
use muster_actors::domain::figures::{CheckFigures, Figures};
use muster_actors::domain::ids::{CheckId, ConfigKey, Epoch, NodeName, Seq};
use muster_actors::domain::lease::{Leadership, Role};
use muster_actors::domain::node::NodeFacts;
use muster_actors::domain::world::{NodeEntry, NodeKind, NodeView, Presence, ServedTable, Standing};
use muster_actors::kernel::mailbox::Handle;
use muster_actors::kernel::published::{Publisher, Reader};
use muster_actors::kernel::supervised::Observe;
use muster_actors::kernel::universe::{self, Universe};
use muster_actors::messages::stats_collector::CollectNow;
use muster_actors::ports::RunnerError;
use muster_actors::testing::configs::named_config;
use muster_actors::testing::runner_stats::FakeRunnerStats;

const LONG: Duration = Duration::from_secs(600);

fn took(milliseconds: i64) -> CheckFigures {
    CheckFigures { average_execution_time: milliseconds, metric_samples: 1, ..CheckFigures::default() }
}

fn check(number: u64) -> CheckId {
    named_config(number, "a").check_ids[0].clone()
}

/// Runners and the configs they own, by name; the address is `ip-<name>`, unless it is told.
#[derive(Clone, Default)]
struct Nodes(BTreeMap<String, (String, Vec<u64>)>);

impl Nodes {
    fn with(mut self, name: &str, configs: &[u64]) -> Self {
        self.0.insert(name.to_owned(), (format!("ip-{name}"), configs.to_vec()));
        self
    }

    fn at(mut self, name: &str, address: &str, configs: &[u64]) -> Self {
        self.0.insert(name.to_owned(), (address.to_owned(), configs.to_vec()));
        self
    }

    fn table(&self, epoch: u64, standing: Standing) -> ServedTable {
        let entry = |(name, (address, numbers)): (&String, &(String, Vec<u64>))| {
            let configs: Vec<Arc<DispatchedConfig>> = numbers.iter().map(|number| named_config(*number, "a")).collect();
            let facts = NodeFacts { kind: NodeKind::Runner, address: address.clone(), ..NodeFacts::default() };
            let view = Arc::new(NodeView { configs: configs.into(), ..NodeView::default() });
            (NodeName::from(name.as_str()), NodeEntry { facts, presence: Presence::Staying, view })
        };
        ServedTable { standing, epoch: Epoch(epoch), nodes: self.0.iter().map(entry).collect(), ..ServedTable::default() }
    }
}

struct Rig {
    universe: Universe,
    served: Publisher<ServedTable>,
    leadership: Publisher<Leadership>,
    runners: FakeRunnerStats,
    figures: Reader<Figures>,
    collector: Handle<StatsCollector>,
}

impl Rig {
    /// A collector on a replica that does not lead yet.
    fn new(universe: &Universe) -> Self {
        let (served, leadership) = (Publisher::new(ServedTable::default()), Publisher::new(Leadership::default()));
        let (runners, figures) = (FakeRunnerStats::default(), Arc::new(Publisher::new(Figures::default())));
        let reader = figures.reader();
        let parts = StatsCollectorParts {
            clock: universe.clock(),
            served: served.reader(),
            leadership: leadership.reader(),
            runners: Arc::new(runners.clone()),
            figures,
            period: COLLECTION_PERIOD,
        };
        let collector = universe.start("StatsCollector", move || StatsCollector::new(parts.clone()));
        Self { universe: universe.clone(), served, leadership, runners, figures: reader, collector }
    }

    fn lead(&self, epoch: u64, nodes: &Nodes) {
        self.leadership.publish(Leadership { role: Role::Leader, epoch: Epoch(epoch), ..Leadership::default() });
        self.served.publish(nodes.table(epoch, Standing::Active));
    }

    fn follow(&self, epoch: u64) {
        self.leadership.publish(Leadership { role: Role::Follower, epoch: Epoch(epoch), ..Leadership::default() });
        self.served.publish(ServedTable::default());
    }

    async fn advance(&self, seconds: u64) {
        self.universe.advance(Duration::from_secs(seconds)).await;
        self.universe.settle().await;
    }

    /// Asks for a round and returns how long the answer took.
    async fn collect_now(&self) -> Duration {
        let asked_at = self.universe.clock().monotonic();
        self.collector.ask(CollectNow, LONG).await.unwrap();
        self.universe.clock().monotonic().saturating_sub(asked_at)
    }

    async fn rounds(&self) -> u64 {
        self.collector.ask(Observe, LONG).await.unwrap()["rounds"].as_u64().unwrap()
    }

    fn need(&self, number: u128) -> Option<f64> {
        self.figures.current().configs.get(&ConfigKey(number)).map(|config| (config.smoothed * 1e6).round() / 1e6)
    }
}

#[test]
fn it_asks_nobody_unless_this_replica_dispatches() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe);
        let nodes = Nodes::default().with("r1", &[1]);
        rig.runners.tell("ip-r1", []);
        for (role, standing) in [(Role::Unknown, Standing::Active), (Role::Follower, Standing::Active), (Role::Leader, Standing::WarmingUp)]
        {
            rig.leadership.publish(Leadership { role, epoch: Epoch(1), ..Leadership::default() });
            rig.served.publish(nodes.table(1, standing));
            rig.advance(120).await;
            assert_eq!(rig.collect_now().await, Duration::ZERO);
        }
        // The table of a term that is over.
        rig.leadership.publish(Leadership { role: Role::Leader, epoch: Epoch(2), ..Leadership::default() });
        rig.served.publish(nodes.table(1, Standing::Active));
        rig.advance(120).await;
        // A validity that is over.
        rig.leadership.publish(Leadership {
            role: Role::Leader,
            epoch: Epoch(1),
            valid_until: Some(Duration::from_secs(1)),
            ..Leadership::default()
        });
        rig.advance(120).await;
        assert_eq!(rig.runners.calls("ip-r1"), 0);
        assert_eq!(rig.figures.current().collected_at, None);
    });
}

#[test]
fn the_first_round_comes_at_once_and_then_one_a_minute() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe);
        rig.advance(5).await;
        rig.runners.tell("ip-r1", [(check(1), took(1500))]);
        rig.lead(1, &Nodes::default().with("r1", &[1]));
        rig.advance(1).await;
        assert_eq!((rig.rounds().await, rig.need(1)), (1, Some(0.1)));
        rig.runners.tell("ip-r1", [(check(1), took(3000))]);
        rig.advance(57).await;
        assert_eq!(rig.rounds().await, 1);
        rig.advance(3).await;
        assert_eq!((rig.rounds().await, rig.need(1)), (2, Some(0.13)));
        rig.advance(600).await;
        assert_eq!(rig.rounds().await, 12);
        assert_eq!(rig.runners.calls("ip-r1"), 24, "statistics and workers");
    });
}

#[test]
fn a_runner_that_joins_is_asked_before_the_balance_is_looked_at() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe);
        rig.runners.tell("ip-a", [(check(1), took(1500))]);
        rig.runners.set_workers("ip-b", Ok(8));
        let before = Nodes::default().with("a", &[1]);
        rig.lead(1, &before);
        rig.advance(2).await;
        let show = |nodes: &Nodes, seq| rig.served.publish(ServedTable { shown: Seq(seq), ..nodes.table(1, Standing::Active) });
        show(&before.clone().with("b", &[]), 7);
        rig.advance(10).await;
        assert_eq!(rig.rounds().await, 2, "ten seconds after the round before, not sixty");
        assert_eq!(rig.figures.current().runners[&NodeName::from("b")].workers, Some(8));
        show(&before.with("b", &[]), 8);
        rig.advance(20).await;
        assert_eq!(rig.rounds().await, 2, "nobody is new in the next table");
    });
}

#[test]
fn whoever_wants_newer_figures_waits_for_the_end_of_a_round() {
    universe::run(1, |universe| async move {
        let nodes = Nodes::default().with("r1", &[1]);
        let rig = Rig::new(&universe);
        rig.runners.tell("ip-r1", [(check(1), took(1500))]);
        rig.runners.slow("ip-r1", Duration::from_secs(1));
        rig.lead(1, &nodes);
        assert_eq!(rig.collect_now().await, Duration::from_secs(2), "the round that begins with it");
        assert_eq!(rig.need(1), Some(0.1));
        assert_eq!(rig.collect_now().await, Duration::ZERO, "they are young enough");
        rig.runners.slow("ip-r1", Duration::from_millis(1900));
        rig.universe.advance(COLLECTION_PERIOD + Duration::from_millis(500)).await;
        assert_eq!(rig.rounds().await, 1, "the next round has begun by itself and not ended");
        let (first, second) = tokio::join!(rig.collect_now(), rig.collect_now());
        assert!(first > Duration::ZERO && first < Duration::from_millis(3800) && first == second, "{first:?} {second:?}");
        assert_eq!((rig.rounds().await, rig.runners.calls("ip-r1")), (2, 4));
    });
}

#[test]
fn cc_t49_a_runner_that_fails_keeps_its_statistics_with_their_age_and_its_failures_are_counted() {
    universe::run(1, |universe| async move {
        let nodes = Nodes::default().with("r1", &[1]).with("r2", &[2]);
        let rig = Rig::new(&universe);
        rig.runners.tell("ip-r1", [(check(1), took(1500)), ("".into(), took(9))]);
        rig.runners.set_workers("ip-r1", Err(RunnerError::Refused { status: 404, body: "404 page not found".to_owned() }));
        rig.runners.tell("ip-r2", [(check(2), took(1500))]);
        rig.runners.set_workers("ip-r2", Ok(9));
        rig.lead(1, &nodes);
        rig.advance(2).await;
        let first = rig.figures.current();
        assert_eq!(first.runners["r1"].checks.len(), 1);
        assert_eq!((first.runners["r1"].workers, first.workers(&"r1".into())), (None, Some(4.0)));
        assert_eq!(first.workers(&"r2".into()), Some(9.0));

        rig.runners.fail("ip-r1", RunnerError::Refused { status: 500, body: "no".to_owned() });
        rig.runners.tell("ip-r2", [(check(2), took(3000))]);
        rig.runners.set_workers("ip-r2", Err(RunnerError::Garbled("Count is missing".to_owned())));
        rig.advance(60).await;
        let second = rig.figures.current();
        let failed = &second.runners["r1"];
        assert_eq!((&failed.checks, failed.collected_at), (&first.runners["r1"].checks, first.runners["r1"].collected_at));
        assert_eq!((failed.failures, failed.last_error.as_deref()), (1, Some("runner answered 500: no")));
        assert_eq!(rig.need(1), Some(0.1));
        assert_eq!((rig.need(2), second.workers(&"r2".into())), (Some(0.13), Some(9.0)), "the other one is not affected");
        rig.advance(60).await;
        assert_eq!(rig.figures.current().runners["r1"].failures, 2);
        rig.runners.tell("ip-r1", [(check(1), took(1500))]);
        rig.advance(60).await;
        let back = rig.figures.current();
        assert_eq!((back.runners["r1"].failures, &back.runners["r1"].last_error), (2, &None));
    });
}

#[test]
fn sixteen_runners_are_asked_at_the_same_time_and_no_more() {
    universe::run(1, |universe| async move {
        let names: Vec<String> = (0..100).map(|number| format!("r{number:03}")).collect();
        let nodes = names.iter().fold(Nodes::default(), |nodes, name| nodes.with(name, &[]));
        let rig = Rig::new(&universe);
        for name in &names {
            rig.runners.tell(&format!("ip-{name}"), []);
            rig.runners.slow(&format!("ip-{name}"), Duration::from_millis(100));
        }
        rig.lead(1, &nodes);
        rig.collect_now().await;
        assert_eq!(rig.runners.most_under_way(), AT_A_TIME);
        let figures = rig.figures.current();
        assert_eq!(figures.runners.len(), 100);
        // Seven turns of two calls; each timer may be a millisecond late.
        assert!(figures.took >= Duration::from_millis(1400) && figures.took < Duration::from_millis(1420), "{:?}", figures.took);
    });
}

#[test]
fn a_runner_that_hangs_costs_two_seconds_and_nobody_else_anything() {
    universe::run(1, |universe| async move {
        let names: Vec<String> = (0..AT_A_TIME).map(|number| format!("hung-{number:02}")).collect();
        let nodes = names.iter().fold(Nodes::default().with("well", &[1]), |nodes, name| nodes.with(name, &[]));
        let rig = Rig::new(&universe);
        rig.runners.tell("ip-well", [(check(1), took(1500))]);
        for name in &names {
            rig.runners.slow(&format!("ip-{name}"), LONG);
        }
        rig.lead(1, &nodes);
        rig.collect_now().await;
        let figures = rig.figures.current();
        assert!(figures.took >= CALL_LIMIT && figures.took < CALL_LIMIT + Duration::from_millis(20), "{:?}", figures.took);
        assert_eq!(rig.need(1), Some(0.1));
        for name in &names {
            let runner = &figures.runners[name.as_str()];
            assert_eq!((runner.failures, runner.collected_at, runner.workers), (1, None, None));
            assert_eq!(runner.last_error.as_deref(), Some("runner not reached: no answer within 2s"));
            assert_eq!(rig.runners.calls(&format!("ip-{name}")), 1, "whoever does not answer is not asked for its workers");
        }
        assert_eq!(rig.runners.under_way(), 0, "calls are given up");
    });
}

#[test]
fn an_address_reaches_the_way_to_the_runners_as_it_was_told() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe);
        rig.runners.tell("fd00::7", [(check(1), took(1500))]);
        rig.lead(1, &Nodes::default().at("r1", "fd00::7", &[1]).at("nowhere", "", &[2]));
        rig.advance(2).await;
        assert_eq!(rig.need(1), Some(0.1));
        assert!(!rig.figures.current().runners.contains_key("nowhere"));
    });
}

#[test]
fn runners_and_configs_that_are_gone_are_forgotten() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe);
        rig.runners.tell("ip-r1", [(check(1), took(1500)), (check(2), took(1500))]);
        rig.runners.tell("ip-r2", [(check(3), took(1500))]);
        rig.lead(1, &Nodes::default().with("r1", &[1, 2]).with("r2", &[3]));
        rig.advance(2).await;
        assert_eq!(rig.figures.current().configs.len(), 3);
        rig.lead(1, &Nodes::default().with("r1", &[1]));
        rig.advance(60).await;
        let figures = rig.figures.current();
        assert_eq!((figures.runners.len(), figures.configs.len()), (1, 1));
    });
}

#[test]
fn another_term_of_office_begins_anew_and_at_once() {
    universe::run(1, |universe| async move {
        let nodes = Nodes::default().with("r1", &[1]);
        let rig = Rig::new(&universe);
        rig.runners.tell("ip-r1", [(check(1), took(1500))]);
        rig.lead(1, &nodes);
        rig.advance(2).await;
        assert_eq!(rig.need(1), Some(0.1));

        rig.follow(2);
        rig.advance(2).await;
        assert_eq!((rig.figures.current().collected_at, rig.need(1)), (None, None), "a follower has nothing to say");
        rig.runners.tell("ip-r1", [(check(1), took(3000))]);
        rig.advance(300).await;
        assert_eq!(rig.rounds().await, 1);
        rig.lead(3, &nodes);
        rig.advance(1).await;
        assert_eq!((rig.rounds().await, rig.need(1)), (2, Some(0.2)), "nothing of the first term is in it");
        // It may lead again before anybody looked.
        rig.runners.tell("ip-r1", [(check(1), took(1500))]);
        rig.lead(5, &nodes);
        rig.advance(1).await;
        assert_eq!((rig.rounds().await, rig.need(1)), (3, Some(0.1)));
    });
}

#[test]
fn a_round_that_the_term_of_office_does_not_outlive_is_given_up() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe);
        rig.runners.tell("ip-r1", [(check(1), took(1500))]);
        rig.runners.slow("ip-r1", Duration::from_millis(1900));
        rig.lead(1, &Nodes::default().with("r1", &[1]));
        let waiting = async {
            rig.collector.ask(CollectNow, LONG).await.unwrap();
            rig.universe.clock().monotonic()
        };
        let lose = async {
            rig.universe.advance(Duration::from_millis(500)).await;
            rig.follow(2);
        };
        let (answered_at, ()) = tokio::join!(waiting, lose);
        assert!(answered_at < Duration::from_millis(1500), "{answered_at:?}");
        rig.advance(60).await;
        assert_eq!((rig.runners.under_way(), rig.figures.current().collected_at), (0, None));
        assert_eq!(rig.rounds().await, 0);
    });
}

#[test]
fn a_dispatcher_that_restarts_in_its_term_costs_nothing() {
    universe::run(1, |universe| async move {
        let nodes = Nodes::default().with("r1", &[1]);
        let rig = Rig::new(&universe);
        rig.runners.tell("ip-r1", [(check(1), took(1500))]);
        rig.lead(1, &nodes);
        rig.advance(2).await;
        rig.served.publish(ServedTable::default());
        rig.advance(3).await;
        assert_eq!(rig.need(1), Some(0.1));
        rig.lead(1, &nodes);
        rig.runners.tell("ip-r1", [(check(1), took(3000))]);
        rig.advance(58).await;
        assert_eq!((rig.rounds().await, rig.need(1)), (2, Some(0.13)));
    });
}

#[test]
fn many_answers_are_worked_on_elsewhere_and_come_to_the_same() {
    universe::run(1, |universe| async move {
        let numbers: Vec<u64> = (1..=5_000).collect();
        let nodes = Nodes::default().with("big", &numbers).with("liar", &[9_999]);
        let rig = Rig::new(&universe);
        rig.runners.tell("ip-big", numbers.iter().map(|number| (check(*number), took(15))));
        rig.runners.tell("ip-liar", (0..100_000).map(|number| (CheckId::from(format!("x{number}")), took(i64::MIN))));
        rig.lead(1, &nodes);
        rig.collect_now().await;
        let figures = rig.figures.current();
        assert_eq!((figures.configs.len(), rig.need(5_000)), (5_000, Some(0.001)));
        assert!(figures.runners["liar"].checks.len() <= 10_000);
    });
}
