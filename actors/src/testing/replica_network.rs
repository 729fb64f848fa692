//! Replicas of one process that talk to each other: the wire form is the real one, the way can be cut and slow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};

use crate::domain::replication::{Content, Shipment, decode, encode};
use crate::kernel::mailbox::Outlet;
use crate::messages::replica::{FetchDeltas, HOLD, OfferTable};
use crate::ports::{ReplicaClient, ReplicaError};

/// Longest time of a call.
const PATIENCE: Duration = HOLD.saturating_mul(2);

#[derive(Clone)]
struct Server {
    fetches: Outlet<FetchDeltas>,
    offers: Outlet<OfferTable>,
}

#[derive(Default)]
struct Ways {
    servers: BTreeMap<String, Server>,
    cut: BTreeSet<String>,
    delay: Duration,
}

/// All replicas by address. Cheap to clone.
#[derive(Clone, Default)]
pub struct ReplicaNetwork {
    ways: Arc<Mutex<Ways>>,
}

impl ReplicaNetwork {
    fn ways(&self) -> MutexGuard<'_, Ways> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A replica answers at this address.
    pub fn serve(&self, address: &str, fetches: Outlet<FetchDeltas>, offers: Outlet<OfferTable>) {
        self.ways().servers.insert(address.to_owned(), Server { fetches, offers });
    }

    /// Nobody answers there any more.
    pub fn vanish(&self, address: &str) {
        self.ways().servers.remove(address);
    }

    /// Calls of this replica reach nobody, or everybody again.
    pub fn cut(&self, caller: &str, cut: bool) {
        if cut {
            self.ways().cut.insert(caller.to_owned())
        } else {
            self.ways().cut.remove(caller)
        };
    }

    /// Time that each way takes from now on.
    pub fn slow(&self, delay: Duration) {
        self.ways().delay = delay;
    }

    /// How this replica calls the others.
    #[must_use]
    pub fn client(&self, caller: &str) -> Arc<dyn ReplicaClient> {
        Arc::new(Caller { network: self.clone(), name: caller.to_owned() })
    }

    async fn way(&self, caller: &str, address: &str) -> Result<Server, ReplicaError> {
        let delay = self.ways().delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let ways = self.ways();
        let server = ways.servers.get(address).filter(|_| !ways.cut.contains(caller));
        server.cloned().ok_or_else(|| ReplicaError::Unreachable(format!("no way to {address}")))
    }
}

struct Caller {
    network: ReplicaNetwork,
    name: String,
}

fn unreachable(error: impl ToString) -> ReplicaError {
    ReplicaError::Unreachable(error.to_string())
}

fn over_the_wire(shipment: &Shipment) -> Result<Shipment, ReplicaError> {
    decode(&encode(shipment).map_err(unreachable)?).map_err(unreachable)
}

impl ReplicaClient for Caller {
    fn fetch(&self, address: &str, question: FetchDeltas) -> BoxFuture<'static, Result<Shipment, ReplicaError>> {
        let (network, caller, address) = (self.network.clone(), self.name.clone(), address.to_owned());
        async move {
            let server = network.way(&caller, &address).await?;
            let shipment = server.fetches.ask(question, PATIENCE).await.map_err(unreachable)?;
            network.way(&caller, &address).await?;
            over_the_wire(&shipment)
        }
        .boxed()
    }

    fn offer(&self, address: &str, offer: OfferTable) -> BoxFuture<'static, Result<bool, ReplicaError>> {
        let (network, caller, address) = (self.network.clone(), self.name.clone(), address.to_owned());
        async move {
            let server = network.way(&caller, &address).await?;
            let mirror = &offer.mirror;
            let content = Content::Table(Arc::new(mirror.table.to_delta()));
            over_the_wire(&Shipment { epoch: mirror.confirmed, discovery_synced: mirror.discovery_synced, content })?;
            server.offers.ask(offer, PATIENCE).await.map_err(unreachable)
        }
        .boxed()
    }
}
