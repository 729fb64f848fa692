//! The simulated server: one life of the cluster role's process.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::cluster::leader_election::Election;
use crate::cluster::wiring::{Balancing, Dispatching, DispatchingParts, Storage};
use crate::domain::discovery::DiscoveryReport;
use crate::domain::ids::Epoch;
use crate::domain::lease::Leadership;
use crate::domain::patch::PatchOptions;
use crate::domain::world::ServedTable;
use crate::kernel::clock::Clock;
use crate::kernel::mailbox::{Handle, STATE_OWNER_CAPACITY};
use crate::kernel::published::{Publisher, Reader};
use crate::kernel::supervisor::Kernel;
use crate::kernel::universe::Universe;
use crate::ports::{AssignmentStore, DiscoverySource};
use crate::shared::resolver::{DiscoverySubscriber, Resolver};
use crate::sim::discovery::{FileSource, Files, Pace};
use crate::sim::front_door::{FrontDoor, GRANT, dispatch_policy};
use crate::sim::trace::Trace;
use crate::testing::assignment_store::FakeAssignmentStore;

/// One process.
pub(super) struct Server {
    kernel: Kernel,
    core: Dispatching,
    source: Arc<FileSource>,
    pub(super) served: Reader<ServedTable>,
    leadership: Reader<Leadership>,
    clock: Arc<dyn Clock>,
}

impl Server {
    pub(super) fn start(universe: &Universe, trace: &Trace, epoch: u64, store: &FakeAssignmentStore, files: &Files) -> Self {
        let given_up = trace.clone();
        let kernel = universe.another_kernel(move |reason| given_up.violation(format_args!("the server gave up: {reason}")));
        let core = Dispatching::default();
        let resolver: Handle<Resolver> = Handle::new("Resolver");
        let published = Arc::new(Publisher::new(ServedTable::default()));
        let served = published.reader();
        let leadership = Arc::new(Publisher::new(Leadership::default()));
        let leads = leadership.reader();
        let store: Arc<dyn AssignmentStore> = Arc::new(store.after_restart());
        core.start(
            &kernel,
            DispatchingParts {
                clock: universe.clock(),
                patch: Arc::new(PatchOptions::default()),
                policy: dispatch_policy(),
                storage: Storage::Local(store),
                election: Election::Alone { epoch: Epoch(epoch) },
                leadership,
                published,
                replay: resolver.outlet(),
                watched: None,
                balancing: Balancing::default(),
            },
        );
        let source =
            Arc::new(FileSource { files: files.clone(), resolver: resolver.outlet(), pace: Pace::default(), cut_short: Mutex::default() });
        let subscriber = DiscoverySubscriber::of(&core.dispatcher);
        let report = Arc::new(Publisher::new(DiscoveryReport::default()));
        let sources = vec![Arc::clone(&source) as Arc<dyn DiscoverySource>];
        kernel
            .one_for_one("discovery", None)
            .child(&resolver, STATE_OWNER_CAPACITY, move || Resolver::new(sources.clone(), vec![subscriber.clone()], Arc::clone(&report)));
        Self { kernel, core, source, served, leadership: leads, clock: universe.clock() }
    }

    pub(super) fn front_door(&self) -> FrontDoor {
        FrontDoor {
            served: self.served.clone(),
            heartbeats: self.core.membership.outlet(),
            polls: self.core.dispatcher.outlet(),
            leadership: self.leadership.clone(),
            clock: Arc::clone(&self.clock),
            trusts_role: false,
            grant: GRANT,
            confirms_for_agents: false,
        }
    }

    /// The files changed.
    pub(super) fn notice_files(&self) {
        self.source.request_listing();
    }

    pub(super) fn crash(&self, actor: &str) -> bool {
        self.kernel.crash(actor)
    }

    /// The process is gone. Its disk must have lost power before, and its front door be shut.
    pub(super) async fn kill(self) {
        self.kernel.shutdown(Duration::from_secs(1)).await;
    }
}
