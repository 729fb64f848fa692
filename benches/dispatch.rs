//! Measures deciding: placement of 10 000 configs on 500 runners from nothing, and the way of a changed file from discovery to the table
//! that the owner's next poll reads, with the assignment on disk. Run with `cargo bench --bench dispatch`.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that fails has nothing better to do than stop and say where")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use muster::standalone::assignment_store::FileAssignmentStore;
use muster::standalone::epoch_counter::EpochCounter;
use muster::standalone::state_folder::StateFolder;
use muster_actors::balance::least_count::place_batch;
use muster_actors::cluster::dispatcher::parts::DispatchPolicy;
use muster_actors::cluster::leader_election::Election;
use muster_actors::cluster::wiring::{Balancing, Dispatching, DispatchingParts, Storage};
use muster_actors::domain::assignment::AssignmentTable;
use muster_actors::domain::config::{CheckConfig, Data};
use muster_actors::domain::discovery::DiscoveryReport;
use muster_actors::domain::ids::{Epoch, NodeName};
use muster_actors::domain::journal::Cause;
use muster_actors::domain::lease::Leadership;
use muster_actors::domain::node::{CheckCompatibility, NodeFacts};
use muster_actors::domain::patch::{Dispatchable, PatchOptions, dispatched};
use muster_actors::domain::turn::Turn;
use muster_actors::domain::world::{DanglingReason, NodeKind, ServedTable, Standing};
use muster_actors::kernel::clock::{Clock, SystemClock};
use muster_actors::kernel::mailbox::{Handle, STATE_OWNER_CAPACITY};
use muster_actors::kernel::published::Publisher;
use muster_actors::kernel::supervisor::Kernel;
use muster_actors::messages::membership::Heartbeat;
use muster_actors::messages::resolver::ProviderListing;
use muster_actors::shared::resolver::{DiscoverySubscriber, Resolver};

const ROUNDS: usize = 15;
const CHANGES: usize = 300;
const RUNNERS: usize = 50;

fn main() {
    for (configs, runners) in [(1_000, 500), (10_000, 500), (100_000, 500)] {
        placement(configs, runners);
    }
    actix_rt::System::new().block_on(file_to_poll());
}

fn config(number: usize, version: usize) -> Arc<CheckConfig> {
    let text = format!("name: service-{number}\nurl: http://10.0.0.1:80/health/{number}?v={version}\ntags:\n- team:a\n");
    Arc::new(CheckConfig {
        name: "http_check".to_owned(),
        instances: vec![Data::from(text)],
        init_config: Some(Data::from("{}\n")),
        provider: "file".to_owned(),
        source: format!("file:/conf.d/http_check.d/{number}.yaml"),
        cluster_check: true,
        ..CheckConfig::default()
    })
}

/// Medians of whole turns: choosing owners only, and the turn with table, stamps and delta.
fn placement(configs: usize, runners: usize) {
    let clock = SystemClock::new();
    let patched: Vec<_> = (0..configs)
        .map(|number| match dispatched(&config(number, 0), &PatchOptions::default()).unwrap() {
            Dispatchable::Cluster(config) => Arc::new(config),
            other => panic!("not a cluster check: {other:?}"),
        })
        .collect();
    let mut choosing = Vec::new();
    let mut turns = Vec::new();
    for _ in 0..ROUNDS {
        let mut table = AssignmentTable::default();
        let mut turn = Turn::begin(&mut table);
        for number in 0..runners {
            turn.put_node(&NodeName::from(format!("runner-{number:04}")), NodeFacts { kind: NodeKind::Runner, ..NodeFacts::default() });
        }
        turn.finish(Epoch(1), clock.unix_nanos()).unwrap();

        let began = clock.monotonic();
        let mut turn = Turn::begin(&mut table);
        for config in &patched {
            turn.put_config(Arc::clone(config), DanglingReason::NoNode);
        }
        let chosen_from = clock.monotonic();
        let keys: Vec<_> = turn.table().dangling().iter().copied().collect();
        let placements = place_batch(turn.table(), keys);
        choosing.push(clock.monotonic().saturating_sub(chosen_from));
        for (key, placement) in placements {
            turn.place(key, placement, Cause::Discovered);
        }
        let committed = turn.finish(Epoch(1), clock.unix_nanos()).unwrap();
        turns.push(clock.monotonic().saturating_sub(began));
        assert_eq!(committed.decisions.len(), configs);
    }
    println!(
        "Placement of {configs:>7} configs on {runners} runners from nothing: choosing {:>8.2} ms, whole turn with table, stamps and delta {:>8.2} ms   {}",
        1000.0 * median(&mut choosing).as_secs_f64(),
        1000.0 * median(&mut turns).as_secs_f64(),
        if configs == 10_000 { "(goal <= 50 ms)" } else { "" }
    );
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn percentile(times: &mut [Duration], percent: usize) -> f64 {
    times.sort();
    1000.0 * times[(times.len() * percent / 100).min(times.len() - 1)].as_secs_f64()
}

/// From the listing with a changed file to the published table with the new set, that is what the next poll is answered from.
async fn file_to_poll() {
    let folder = tempfile::tempdir().unwrap();
    let clock = SystemClock::shared();
    let kernel = Kernel::start(Arc::clone(&clock), |reason| panic!("{reason}"));
    let state = Arc::new(StateFolder::open(folder.path()).unwrap());
    let epoch = EpochCounter::open(&state, &*clock).unwrap().epoch();
    let store = FileAssignmentStore::open(state, Arc::clone(&clock)).unwrap();
    let served = Arc::new(Publisher::new(ServedTable::default()));
    let reader = served.reader();
    let dispatching = Dispatching::default();
    let resolver = Handle::<Resolver>::new("Resolver");
    dispatching.start(
        &kernel,
        DispatchingParts {
            clock: Arc::clone(&clock),
            patch: Arc::new(PatchOptions::default()),
            policy: DispatchPolicy { warmup: Duration::ZERO, ..DispatchPolicy::default() },
            storage: Storage::Local(Arc::new(store)),
            election: Election::Alone { epoch },
            leadership: Arc::new(Publisher::new(Leadership::default())),
            published: served,
            replay: resolver.outlet(),
            watched: None,
            balancing: Balancing::default(),
        },
    );
    let dispatcher = &dispatching.dispatcher;
    let subscriber = DiscoverySubscriber { started: dispatcher.outlet(), configs: dispatcher.outlet(), synced: dispatcher.outlet() };
    let report = Arc::new(Publisher::new(DiscoveryReport::default()));
    kernel
        .one_for_one("discovery", None)
        .child(&resolver, STATE_OWNER_CAPACITY, move || Resolver::new(Vec::new(), vec![subscriber.clone()], Arc::clone(&report)));
    let mut listing: Vec<Arc<CheckConfig>> = (0..1_000).map(|number| config(number, 0)).collect();
    let tell = |configs: &[Arc<CheckConfig>]| ProviderListing {
        provider: "file",
        configs: configs.to_vec(),
        errors: Vec::new(),
        warnings: BTreeMap::new(),
    };
    resolver.tell(tell(&listing)).unwrap();
    for number in 0..RUNNERS {
        let node = NodeName::from(format!("runner-{number:04}"));
        let heartbeat = Heartbeat {
            node,
            address: None,
            kind: NodeKind::Runner,
            compatibility: CheckCompatibility::default(),
            honours_grants: false,
            last_change: 0,
        };
        dispatching.membership.tell(heartbeat).unwrap();
    }
    while reader.peek().standing != Standing::Active
        || reader.peek().nodes.values().map(|node| node.view.configs.len()).sum::<usize>() != 1_000
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    let mut times = Vec::new();
    for change in 0..CHANGES {
        let number = change * 7 % listing.len();
        listing[number] = config(number, change + 1);
        let wanted = format!("?v={}\n", change + 1);
        let began = clock.monotonic();
        resolver.tell(tell(&listing)).unwrap();
        loop {
            let table = reader.current();
            let mut shown = table.nodes.values().flat_map(|node| node.view.configs.iter());
            if shown.any(|config| config.config.source == listing[number].source && config.config.instances[0].text().contains(&wanted)) {
                break;
            }
            tokio::task::yield_now().await;
        }
        times.push(clock.monotonic().saturating_sub(began));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let mut syncs = Vec::new();
    let mut file = File::create(folder.path().join("limit")).unwrap();
    for _ in 0..CHANGES {
        let began = clock.monotonic();
        file.write_all(&[7; 512]).unwrap();
        file.sync_data().unwrap();
        syncs.push(clock.monotonic().saturating_sub(began));
    }
    println!(
        "Changed file to the table of the next poll, without the watch delay, 1 000 configs, {RUNNERS} runners: p50 {:.2} ms, p99 {:.2} ms   (goal p99 <= 50 ms)",
        percentile(&mut times, 50),
        percentile(&mut times, 99)
    );
    println!(
        "  limit in the same run, 512 bytes written and synchronised to disk: p50 {:.2} ms, p99 {:.2} ms",
        percentile(&mut syncs, 50),
        percentile(&mut syncs, 99)
    );
    kernel.shutdown(Duration::from_secs(5)).await;
    actix_rt::System::current().stop();
}
