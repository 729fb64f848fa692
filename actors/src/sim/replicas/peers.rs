//! How replicas talk to each other, without HTTP. Keep in step with `src/api/replica.rs`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};

use crate::domain::assignment::{Placement, TableDelta};
use crate::domain::ids::Stamp;
use crate::domain::lease::Leadership;
use crate::domain::replication::{Content, Position, Shipment, decode, encode};
use crate::kernel::clock::Clock;
use crate::kernel::mailbox::Outlet;
use crate::kernel::published::Reader;
use crate::messages::replica::{FetchDeltas, HOLD, OfferTable};
use crate::ports::{ReplicaClient, ReplicaError};
use crate::sim::network::Network;
use crate::sim::replicas::mutants::Mutant;
use crate::sim::replicas::overseer::Overseer;
use crate::sim::replicas::process::ProcessDoor;

/// How long an answer may take on the side of the leader.
const FETCH_DEADLINE: Duration = HOLD.saturating_add(Duration::from_secs(2));

/// How long the actor may take to look at an offer.
const OFFER_DEADLINE: Duration = Duration::from_secs(1);

/// How long a follower waits for anything.
const PATIENCE: Duration = HOLD.saturating_add(Duration::from_secs(5));

/// The routes for replicas of a running process.
#[derive(Clone)]
pub(super) struct PeerDoor {
    pub(super) process: ProcessDoor,
    pub(super) fetches: Outlet<FetchDeltas>,
    pub(super) offers: Outlet<OfferTable>,
    pub(super) leadership: Reader<Leadership>,
    pub(super) clock: Arc<dyn Clock>,
}

impl PeerDoor {
    async fn deltas(self, question: FetchDeltas) -> Result<Shipment, ReplicaError> {
        let leadership = self.leadership.current();
        if !leadership.leads(self.clock.monotonic()) {
            return Ok(Shipment { epoch: leadership.epoch, discovery_synced: false, content: Content::NotLeader });
        }
        self.fetches.ask(question, FETCH_DEADLINE).await.map_err(unreachable)
    }
}

/// The doors of all processes that run, by name. Clones share them.
#[derive(Clone, Default)]
pub(super) struct PeerDoors(Arc<Mutex<BTreeMap<String, PeerDoor>>>);

impl PeerDoors {
    fn doors(&self) -> MutexGuard<'_, BTreeMap<String, PeerDoor>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn open(&self, name: &str, door: PeerDoor) {
        self.doors().insert(name.to_owned(), door);
    }

    pub(super) fn close(&self, name: &str) {
        self.doors().remove(name);
    }

    fn find(&self, name: &str) -> Result<PeerDoor, ReplicaError> {
        self.doors().get(name).cloned().ok_or_else(|| unreachable(format!("connection to {name} refused")))
    }
}

/// How one replica calls the others.
#[derive(Clone)]
pub(super) struct Peers {
    pub(super) own_name: String,
    pub(super) doors: PeerDoors,
    pub(super) network: Network,
    pub(super) overseer: Overseer,
    /// Where calls go on while the caller stands still.
    pub(super) outside: ProcessDoor,
    pub(super) mutant: Option<Mutant>,
}

fn unreachable(error: impl ToString) -> ReplicaError {
    ReplicaError::Unreachable(error.to_string())
}

fn over_the_wire(shipment: &Shipment) -> Result<Shipment, ReplicaError> {
    decode(&encode(shipment).map_err(unreachable)?).map_err(unreachable)
}

impl Peers {
    /// The answer of the replica at this address, as it leaves the wire.
    async fn shipment(self, address: String, question: FetchDeltas) -> Result<Shipment, ReplicaError> {
        let (network, own_name) = (self.network.clone(), self.own_name.clone());
        let (doors, overseer, leader) = (self.doors.clone(), self.overseer.clone(), address.clone());
        let deliver = async move {
            let door = doors.find(&leader)?;
            let process = door.process.clone();
            let handled = process.call(async move {
                let (asker, asked_at) = (question.replica.clone(), overseer.now());
                let shipment = door.deltas(question).await?;
                overseer.told(&leader, &asker, asked_at, &shipment);
                over_the_wire(&shipment)
            });
            handled.await.unwrap_or_else(|| Err(unreachable("connection closed")))
        };
        let carried = self.outside.call(async move { network.carry(&own_name, &address, PATIENCE, deliver).await });
        carried.await.flatten().unwrap_or_else(|| Err(unreachable("no answer in time")))
    }

    async fn acknowledge_early(&self, address: &str, shipment: &Shipment) {
        let Content::Deltas(deltas) = &shipment.content else { return };
        let Some(last) = deltas.last() else { return };
        let position = Some(Position::after(last));
        let question = FetchDeltas { replica: self.own_name.clone(), position };
        let asking = self.clone().shipment(address.to_owned(), question);
        actix_rt::spawn(async move { drop(asking.await) });
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

impl ReplicaClient for Peers {
    fn fetch(&self, address: &str, question: FetchDeltas) -> BoxFuture<'static, Result<Shipment, ReplicaError>> {
        let (peers, address) = (self.clone(), address.to_owned());
        async move {
            let mut shipment = peers.clone().shipment(address.clone(), question).await?;
            if peers.mutant == Some(Mutant::AcknowledgedBeforeApplied) {
                peers.acknowledge_early(&address, &shipment).await;
            }
            match &shipment.content {
                Content::Deltas(deltas) => deltas.iter().for_each(|delta| peers.overseer.has_copy(&peers.own_name, delta)),
                Content::Table(table) => peers.overseer.has_copy(&peers.own_name, table),
                Content::NoTable | Content::NotLeader => {}
            }
            shipment.content = damaged(shipment.content, peers.mutant);
            Ok(shipment)
        }
        .boxed()
    }

    fn offer(&self, address: &str, offer: OfferTable) -> BoxFuture<'static, Result<bool, ReplicaError>> {
        let (peers, leader) = (self.clone(), address.to_owned());
        async move {
            let whole = Arc::new(offer.mirror.table.to_delta());
            let (epoch, discovery_synced) = (offer.mirror.confirmed, offer.mirror.discovery_synced);
            over_the_wire(&Shipment { epoch, discovery_synced, content: Content::Table(Arc::clone(&whole)) })?;
            let (network, doors, overseer) = (peers.network.clone(), peers.doors.clone(), peers.overseer.clone());
            let (own_name, address) = (peers.own_name.clone(), leader.clone());
            let deliver = async move {
                let door = doors.find(&leader)?;
                let process = door.process.clone();
                let handled = process.call(async move {
                    let wanted = door.offers.ask(offer, OFFER_DEADLINE).await.map_err(unreachable)?;
                    if wanted {
                        overseer.has_copy(&leader, &whole);
                    }
                    Ok(wanted)
                });
                handled.await.unwrap_or_else(|| Err(unreachable("connection closed")))
            };
            let carried = peers.outside.call(async move { network.carry(&own_name, &address, PATIENCE, deliver).await });
            carried.await.flatten().unwrap_or_else(|| Err(unreachable("no answer in time")))
        }
        .boxed()
    }
}

/// What a follower gets instead of what was sent.
fn damaged(content: Content, mutant: Option<Mutant>) -> Content {
    let damage: fn(&TableDelta) -> TableDelta = match mutant {
        Some(Mutant::StampsLost) => without_stamps,
        Some(Mutant::CopiesEmpty) => without_nodes,
        _ => return content,
    };
    match content {
        Content::Deltas(deltas) => Content::Deltas(deltas.iter().map(|delta| Arc::new(damage(delta))).collect()),
        Content::Table(table) => Content::Table(Arc::new(damage(&table))),
        other => other,
    }
}

fn without_stamps(delta: &TableDelta) -> TableDelta {
    let mut delta = TableDelta { highest_stamp: Stamp(1), ..delta.clone() };
    for (_, node) in &mut delta.nodes_put {
        node.stamp = Stamp(1);
    }
    for row in &mut delta.rows_put {
        if let Placement::Moving(transfer) = &mut row.placement {
            transfer.stamp = Stamp(1);
        }
    }
    delta
}

fn without_nodes(delta: &TableDelta) -> TableDelta {
    TableDelta { rows_put: Vec::new(), nodes_put: Vec::new(), ..delta.clone() }
}
