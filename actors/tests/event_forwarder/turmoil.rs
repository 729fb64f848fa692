//! Everything that may go wrong, at random: every event is safe with every output in the end, and the token passes none before.

use std::collections::BTreeSet;
use std::time::Duration;

use muster_actors::domain::kube::apiserver_check::ApiserverCheckOptions;
use muster_actors::kernel::universe::{self, Universe};
use muster_actors::messages::dispatcher::DiscoverySynced;
use muster_actors::messages::output::Fate;
use muster_actors::ports::ClusterReadError;
use muster_actors::testing::event_source::{FakeEventSource, event};
use muster_actors::testing::event_tokens::FakeEventTokens;

use crate::rig::{LOST, Replica, START, one_by_one, watching};

const NAMES: [&str; 2] = ["forwarder-a", "forwarder-b"];

/// Turns of a run; each takes up to five seconds.
const TURNS: usize = 300;

struct Turmoil {
    universe: Universe,
    source: FakeEventSource,
    tokens: FakeEventTokens,
    replicas: [Replica; 2],
    leader: usize,
    epoch: u64,
    /// Versions of the events that were made.
    made: Vec<u64>,
    /// What a stock replica forwarded in a term of its own.
    by_stock: BTreeSet<u64>,
    stock_leads: bool,
    last_stored: u64,
    last_crash: Duration,
    crashes: u64,
}

impl Turmoil {
    fn new(universe: &Universe, options: &ApiserverCheckOptions) -> Self {
        let (source, tokens) = (FakeEventSource::default(), FakeEventTokens::default());
        tokens.put("1", START);
        let replicas = NAMES.map(|name| Replica::start(universe, name, &source, &tokens, options.clone()));
        let universe = universe.clone();
        Self {
            universe,
            source,
            tokens,
            replicas,
            leader: 0,
            epoch: 0,
            made: Vec::new(),
            by_stock: BTreeSet::new(),
            stock_leads: false,
            last_stored: 0,
            last_crash: Duration::ZERO,
            crashes: 0,
        }
    }

    fn chance(&self, percent: u64) -> bool {
        self.universe.random().next_u64() % 100 < percent
    }

    fn below(&self, limit: u64) -> u64 {
        self.universe.random().next_u64() % limit
    }

    fn make(&mut self, count: u64) {
        for _ in 0..count {
            let version = self.source.version().max(1) + 1 + self.below(3);
            self.source.make(version, event(&format!("p{}", self.below(50)), &version.to_string()));
            self.made.push(version);
        }
    }

    /// Nobody leads for a while, or the other one at once.
    fn elect(&mut self) {
        self.replicas.iter().for_each(|replica| replica.follow(self.epoch));
        self.epoch += 1;
        self.stock_leads = self.chance(10);
        if !self.stock_leads && self.chance(70) {
            self.leader = self.below(2) as usize;
            self.replicas[self.leader].lead(self.epoch);
        }
    }

    fn crash(&mut self) {
        let now = self.universe.clock().monotonic();
        // Within what a supervisor puts up with.
        if now.saturating_sub(self.last_crash) > Duration::from_secs(20) {
            self.last_crash = now;
            self.universe.expect_panics(1);
            self.crashes += 1;
            assert!(self.universe.kernel().crash(NAMES[self.below(2) as usize]));
        }
    }

    fn disturb(&mut self) {
        let error = Some(ClusterReadError::Unavailable("restarting".to_owned()));
        match self.below(12) {
            0 | 1 => self.elect(),
            2 => self.crash(),
            3 => self.source.compact(self.source.version()),
            4 => self.source.fail_watches(self.chance(50).then(|| error.clone()).flatten()),
            5 => self.source.fail_lists(self.chance(50).then(|| error.clone()).flatten()),
            6 => self.source.end_watches_after(self.chance(50).then(|| 1 + self.below(5) as usize)),
            7 => self.tokens.fail_saves(self.chance(40)),
            8 => self.tokens.slow(Duration::from_millis(self.below(3_000))),
            9 => self.tokens.fail_loads(self.below(3)),
            _ => {
                let fate = [Some(Fate::Safe), Some(Fate::Safe), Some(LOST), None][self.below(4) as usize];
                self.replicas[self.below(2) as usize].outputs[self.below(2) as usize].let_be(fate);
            }
        }
        let output = &self.replicas[self.below(2) as usize].outputs[self.below(2) as usize];
        match self.below(4) {
            0 => output.settle(Fate::Safe),
            1 => output.settle(LOST),
            2 => output.crash(),
            _ => {}
        }
    }

    /// A stock replica forwards what is newer than the token, and moves it.
    fn stock(&mut self) {
        let stored: u64 = self.tokens.stored().unwrap().version.parse().unwrap();
        self.by_stock.extend(self.made.iter().filter(|version| **version > stored));
        self.tokens.put(&self.source.version().max(stored).to_string(), self.universe.clock().unix_seconds());
        self.stock_leads = false;
        self.epoch += 1;
        self.replicas[self.leader].lead(self.epoch);
    }

    fn heal(&mut self) {
        self.stock_leads = false;
        self.source.fail_lists(None);
        self.source.fail_watches(None);
        self.source.end_watches_after(None);
        self.tokens.fail_saves(false);
        self.tokens.fail_loads(0);
        self.tokens.slow(Duration::ZERO);
        for output in self.replicas.iter().flat_map(|replica| &replica.outputs) {
            output.let_be(Some(Fate::Safe));
            output.crash();
        }
        self.replicas.iter().for_each(|replica| replica.follow(self.epoch));
        self.epoch += 1;
        self.replicas[self.leader].lead(self.epoch);
    }

    /// An event is safe when both outputs of one replica have it: every replica has the same destinations.
    fn is_safe(&self, version: u64) -> bool {
        let text = version.to_string();
        self.by_stock.contains(&version)
            || [0, 1].iter().all(|output| self.replicas.iter().any(|replica| replica.outputs[*output].is_safe(&text)))
    }

    fn check(&mut self) {
        let stored: u64 = self.tokens.stored().unwrap().version.parse().unwrap();
        assert!(stored >= self.last_stored, "the token goes back from {} to {stored}", self.last_stored);
        self.last_stored = stored;
        let passed = self.made.iter().filter(|version| **version <= stored);
        let unsafe_ones: Vec<&u64> = passed.filter(|version| !self.is_safe(**version)).collect();
        assert!(unsafe_ones.is_empty(), "the token {stored} passes {unsafe_ones:?}");
    }

    async fn pass(&self, milliseconds: u64) {
        self.universe.advance(Duration::from_millis(milliseconds)).await;
        self.universe.settle().await;
    }
}

async fn run(universe: Universe, options: ApiserverCheckOptions) {
    let mut turmoil = Turmoil::new(&universe, &options);
    turmoil.replicas.iter().for_each(|replica| replica.forwarder.tell(DiscoverySynced::default()).unwrap());
    for _ in 0..TURNS {
        let count = turmoil.below(8);
        turmoil.make(count);
        if turmoil.chance(60) {
            turmoil.disturb();
        }
        turmoil.pass(turmoil.below(5_000)).await;
        if turmoil.stock_leads {
            turmoil.stock();
        }
        turmoil.check();
    }
    turmoil.heal();
    turmoil.pass(600_000).await;
    turmoil.check();
    let missing: Vec<&u64> = turmoil.made.iter().filter(|version| !turmoil.is_safe(**version)).collect();
    assert!(missing.is_empty(), "never delivered: {missing:?}");
    assert_eq!(turmoil.tokens.stored().unwrap().version, turmoil.source.version().to_string());
    assert!(turmoil.made.len() > 500 && turmoil.crashes > 0 && turmoil.epoch > 5);
}

#[test]
fn whatever_goes_wrong_every_event_goes_out_and_the_token_passes_none_before() {
    for seed in 0..12 {
        let options = ApiserverCheckOptions { max_events_per_run: 20, ..one_by_one() };
        universe::run(seed, |universe| run(universe, options));
    }
}

#[test]
fn the_same_with_a_watch_that_stays_open() {
    for seed in 100..112 {
        let options = ApiserverCheckOptions { max_events_per_run: 20, ..watching() };
        universe::run(seed, |universe| run(universe, options));
    }
}
