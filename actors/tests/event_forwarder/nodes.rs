//! The check on nodes, dispatched as a cluster check: it moves from one to another, and the token stays behind.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use muster_actors::domain::config::{CheckConfig, Data};
use muster_actors::domain::digest::config_key;
use muster_actors::domain::kube::apiserver_check::ApiserverCheckOptions;
use muster_actors::kernel::universe::{self, Universe};
use muster_actors::messages::dispatcher::ConfigsDiscovered;
use muster_actors::messages::event_forwarder::Duty;
use muster_actors::messages::output::Fate;
use muster_actors::testing::event_source::{FakeEventSource, event};
use muster_actors::testing::event_tokens::FakeEventTokens;

use crate::rig::{LOST, Replica, START};

/// Two nodes that never lead, and the cluster that both see.
struct Nodes {
    universe: Universe,
    source: FakeEventSource,
    tokens: FakeEventTokens,
    both: [Replica; 2],
    config: Arc<CheckConfig>,
    last: u64,
}

impl Nodes {
    fn new(universe: &Universe, mode: &str) -> Self {
        let (source, tokens) = (FakeEventSource::default(), FakeEventTokens::default());
        tokens.put("1", START);
        let instance = format!(
            "{{collect_events: true, skip_leader_election: true, event_collection_mode: {mode}, unbundle_events: true, \
             collected_event_types: [{{kind: Pod}}], min_collection_interval: 5}}"
        );
        let config =
            CheckConfig { name: "kubernetes_apiserver".to_owned(), instances: vec![Data::from(instance)], ..CheckConfig::default() };
        let start = |name| Replica::start(universe, name, &source, &tokens, ApiserverCheckOptions::default());
        let both = [start("first"), start("second")];
        Self { universe: universe.clone(), source, tokens, both, config: Arc::new(config), last: 1 }
    }

    /// A run of the check on this node.
    fn run_on(&self, node: usize) {
        let told = ConfigsDiscovered { added: vec![Arc::clone(&self.config)], removed: Vec::new() };
        self.both[node].forwarder.tell(told).unwrap();
    }

    /// The check leaves this node.
    fn leave(&self, node: usize) {
        let told = ConfigsDiscovered { added: Vec::new(), removed: vec![config_key(&self.config)] };
        self.both[node].forwarder.tell(told).unwrap();
    }

    /// So many seconds in which a pod does something every second.
    async fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.last += 1;
            self.source.make(self.last, event(&format!("p{}", self.last), &self.last.to_string()));
            self.universe.advance(Duration::from_secs(1)).await;
            self.universe.settle().await;
        }
    }

    fn let_be(&self, fate: Option<Fate>) {
        self.both.iter().flat_map(|node| &node.outputs).for_each(|output| output.let_be(fate));
    }

    fn duties(&self) -> [Duty; 2] {
        [0, 1].map(|node: usize| self.both[node].stats.current().duty)
    }
}

#[test]
fn a_check_that_moves_from_node_to_node_loses_no_event() {
    for (seed, mode) in [(1, "poll"), (2, "watch")] {
        universe::run(seed, |universe| async move {
            let mut nodes = Nodes::new(&universe, mode);
            nodes.pass(20).await;
            assert_eq!((nodes.duties(), nodes.source.take_calls().len()), ([Duty::Standby; 2], 0), "nobody runs the check");
            nodes.run_on(0);
            nodes.pass(20).await;
            assert_eq!(nodes.duties(), [Duty::Active, Duty::Standby]);
            // In the middle of a round whose events the outputs do not have in safety yet.
            nodes.let_be(None);
            nodes.pass(8).await;
            nodes.leave(0);
            nodes.pass(3).await;
            assert_eq!(nodes.duties(), [Duty::Standby; 2]);
            nodes.both[0].outputs.iter().for_each(|output| output.settle(LOST));
            nodes.let_be(Some(Fate::Safe));
            nodes.run_on(1);
            nodes.pass(30).await;
            assert_eq!(nodes.duties(), [Duty::Standby, Duty::Active]);
            // Back, and for a while both have it.
            nodes.run_on(0);
            nodes.pass(7).await;
            nodes.leave(1);
            nodes.pass(7).await;
            let end = nodes.last;
            for _ in 0..30 {
                nodes.universe.advance(Duration::from_secs(1)).await;
                nodes.universe.settle().await;
            }
            let missing = |output: usize| -> BTreeSet<u64> {
                let safe = |text: &str| nodes.both.iter().any(|node| node.outputs[output].is_safe(text));
                (2..=end).filter(|version| !safe(&version.to_string())).collect()
            };
            assert_eq!((missing(0), missing(1)), (BTreeSet::new(), BTreeSet::new()), "{mode}");
            assert_eq!(nodes.tokens.stored().unwrap().version, end.to_string(), "{mode}");
        });
    }
}

#[test]
fn a_node_whose_forwarder_crashes_goes_on_with_the_next_run_of_the_check() {
    universe::run(1, |universe| async move {
        let mut nodes = Nodes::new(&universe, "poll");
        nodes.run_on(0);
        nodes.pass(10).await;
        universe.expect_panics(1);
        assert!(universe.kernel().crash("first"));
        nodes.pass(5).await;
        assert_eq!(nodes.duties()[0], Duty::Standby, "it does not know what to do");
        nodes.run_on(0);
        nodes.pass(10).await;
        assert_eq!(nodes.duties()[0], Duty::Active);
        let end = nodes.last - 8;
        assert!((2..=end).all(|version| nodes.both[0].outputs[0].is_safe(&version.to_string())));
    });
}
