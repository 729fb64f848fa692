//! A forwarder with everything around it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use muster_actors::domain::config::{CheckConfig, Data};
use muster_actors::domain::delivery::DropReason;
use muster_actors::domain::event_token::EventToken;
use muster_actors::domain::ids::Epoch;
use muster_actors::domain::kube::apiserver_check::{ApiserverCheckOptions, EventMode, EventSelector};
use muster_actors::domain::lease::{Leadership, Role};
use muster_actors::domain::samples::{Batch, Event};
use muster_actors::kernel::clock::VirtualClock;
use muster_actors::kernel::mailbox::{Handle, Outlet};
use muster_actors::kernel::published::{Publisher, Reader};
use muster_actors::kernel::universe::{Recorded, Universe};
use muster_actors::messages::aggregator::Commit;
use muster_actors::messages::dispatcher::{ConfigsDiscovered, DiscoverySynced};
use muster_actors::messages::event_forwarder::EventForwarderStats;
use muster_actors::messages::output::{Enqueue, Fate, Receipt};
use muster_actors::messages::resolver::ReplayDiscovery;
use muster_actors::shared::event_forwarder::EventForwarder;
use muster_actors::shared::event_forwarder::parts::EventForwarderParts;
use muster_actors::testing::event_source::FakeEventSource;
use muster_actors::testing::event_tokens::FakeEventTokens;

/// When every test begins. Units: seconds since the Unix epoch.
pub const START: i64 = VirtualClock::START_UNIX_SECONDS;

pub const LOST: Fate = Fate::Lost(DropReason::QueueFull);
pub const REFUSED: Fate = Fate::Refused(DropReason::BadRequest);

/// Polls, and forwards events of pods one by one, so that a text names an event.
pub fn one_by_one() -> ApiserverCheckOptions {
    let pods = EventSelector { kind: "Pod".to_owned(), ..EventSelector::default() };
    ApiserverCheckOptions { collect_events: true, unbundle: true, collected: vec![pods], ..ApiserverCheckOptions::default() }
}

/// The same with a watch that stays open.
pub fn watching() -> ApiserverCheckOptions {
    ApiserverCheckOptions { mode: EventMode::Watch, ..one_by_one() }
}

#[derive(Default)]
struct Desk {
    /// What becomes of the next batches; `None` = nothing yet.
    fate: Option<Fate>,
    got: Vec<Arc<Batch>>,
    held: Vec<(Receipt, Arc<Batch>)>,
    safe: BTreeSet<String>,
}

/// An output that tells of batches what the test says.
#[derive(Clone, Default)]
pub struct FakeOutput(Arc<Mutex<Desk>>);

impl FakeOutput {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.0.lock().unwrap()
    }

    pub fn outlet(&self, universe: &Universe, name: &'static str) -> Outlet<Enqueue> {
        let output = self.clone();
        universe.stub(name, move |Enqueue { batch, receipt }| {
            let mut desk = output.desk();
            desk.got.push(Arc::clone(&batch));
            desk.held.push((receipt.unwrap(), batch));
            if let Some(fate) = desk.fate {
                drop(desk);
                output.settle(fate);
            }
        })
    }

    /// What becomes of batches from now on; `None` = they are held.
    pub fn let_be(&self, fate: Option<Fate>) {
        self.desk().fate = fate;
    }

    /// Tells this of everything that is held.
    pub fn settle(&self, fate: Fate) {
        let held = std::mem::take(&mut self.desk().held);
        for (receipt, batch) in held {
            if fate == Fate::Safe {
                self.desk().safe.extend(batch.events.iter().map(|event| event.text.clone()));
            }
            receipt.settle(fate);
        }
    }

    /// Forgets everything that is held without a word, as an output that crashes.
    pub fn crash(&self) {
        let held = std::mem::take(&mut self.desk().held);
        drop(held);
    }

    /// The events that came since the last call.
    pub fn events(&self) -> Vec<Event> {
        std::mem::take(&mut self.desk().got).iter().flat_map(|batch| batch.events.clone()).collect()
    }

    /// Their texts.
    pub fn texts(&self) -> Vec<String> {
        self.events().into_iter().map(|event| event.text).collect()
    }

    pub fn is_safe(&self, text: &str) -> bool {
        self.desk().safe.contains(text)
    }
}

/// One replica.
pub struct Replica {
    pub leadership: Publisher<Leadership>,
    pub forwarder: Handle<EventForwarder>,
    pub stats: Reader<EventForwarderStats>,
    pub gauges: Recorded<Commit>,
    pub replays: Recorded<ReplayDiscovery>,
    pub outputs: [FakeOutput; 2],
}

impl Replica {
    pub fn start(
        universe: &Universe,
        name: &'static str,
        source: &FakeEventSource,
        tokens: &FakeEventTokens,
        defaults: ApiserverCheckOptions,
    ) -> Self {
        let leadership = Publisher::new(Leadership::default());
        let (published, forwarder) = (Arc::new(Publisher::new(EventForwarderStats::default())), Handle::new(name));
        let (aggregator, gauges) = universe.recorder("aggregator");
        let (replay, replays) = universe.recorder("resolver");
        let outputs = [FakeOutput::default(), FakeOutput::default()];
        for output in &outputs {
            output.let_be(Some(Fate::Safe));
        }
        let stats = published.reader();
        let parts = EventForwarderParts {
            clock: universe.clock(),
            leadership: leadership.reader(),
            source: Arc::new(source.clone()),
            tokens: Arc::new(tokens.clone()),
            outputs: outputs.iter().map(|output| output.outlet(universe, "output")).collect(),
            settled: forwarder.outlet(),
            aggregator,
            replay: Some(replay),
            defaults,
            source_detection: false,
            cluster_name: "c1".to_owned(),
            global_tags: vec!["kube_cluster_name:c1".to_owned()],
            hostname: "agent-host".to_owned(),
            published,
        };
        universe.bind(&forwarder, move || EventForwarder::new(parts.clone()));
        Self { leadership, forwarder, stats, gauges, replays, outputs }
    }

    pub fn lead(&self, epoch: u64) {
        self.leadership.publish(Leadership { role: Role::Leader, epoch: Epoch(epoch), ..Leadership::default() });
    }

    pub fn follow(&self, epoch: u64) {
        self.leadership.publish(Leadership { role: Role::Follower, epoch: Epoch(epoch), ..Leadership::default() });
    }
}

/// One replica, its cluster, and what most tests do with them.
pub struct Rig {
    pub universe: Universe,
    pub source: FakeEventSource,
    pub tokens: FakeEventTokens,
    pub replica: Replica,
}

impl Rig {
    /// A forwarder that knows its options, on a replica that does not lead yet.
    pub fn new(universe: &Universe, defaults: ApiserverCheckOptions) -> Self {
        let rig = Self::unsynced(universe, defaults);
        rig.replica.forwarder.tell(DiscoverySynced::default()).unwrap();
        rig
    }

    /// A forwarder to which discovery has not said anything.
    pub fn unsynced(universe: &Universe, defaults: ApiserverCheckOptions) -> Self {
        let (source, tokens) = (FakeEventSource::default(), FakeEventTokens::default());
        let replica = Replica::start(universe, "EventForwarder", &source, &tokens, defaults);
        Self { universe: universe.clone(), source, tokens, replica }
    }

    pub async fn advance(&self, seconds: u64) {
        self.universe.advance(Duration::from_secs(seconds)).await;
        self.universe.settle().await;
    }

    /// Makes an event of each of these versions, with the version as its text.
    pub fn make(&self, versions: impl IntoIterator<Item = u64>) {
        for version in versions {
            self.source.make(version, muster_actors::testing::event_source::event(&format!("p{version}"), &version.to_string()));
        }
    }

    /// What came to the first output since the last call; the second one has the same.
    pub fn texts(&self) -> Vec<String> {
        let texts = self.replica.outputs[0].texts();
        assert_eq!(self.replica.outputs[1].texts(), texts);
        texts
    }

    pub fn stored(&self) -> Option<(String, i64)> {
        self.tokens.stored().map(|EventToken { version, listed_at }| (version, listed_at))
    }

    pub fn stats(&self) -> Arc<EventForwarderStats> {
        self.replica.stats.current()
    }

    pub fn let_be(&self, fate: Option<Fate>) {
        self.replica.outputs.iter().for_each(|output| output.let_be(fate));
    }

    pub fn settle(&self, fate: Fate) {
        self.replica.outputs.iter().for_each(|output| output.settle(fate));
    }

    /// Discovery finds a config of the check.
    pub fn configure(&self, source: &str, instances: &[&str]) -> Arc<CheckConfig> {
        self.configure_as(source, instances, false)
    }

    /// The same, with `cluster_check`.
    pub fn configure_as(&self, source: &str, instances: &[&str], cluster_check: bool) -> Arc<CheckConfig> {
        let config = Arc::new(CheckConfig {
            name: "kubernetes_apiserver".to_owned(),
            instances: instances.iter().map(|text| Data::from(*text)).collect(),
            source: source.to_owned(),
            cluster_check,
            ..CheckConfig::default()
        });
        self.replica.forwarder.tell(ConfigsDiscovered { added: vec![Arc::clone(&config)], removed: Vec::new() }).unwrap();
        config
    }
}
