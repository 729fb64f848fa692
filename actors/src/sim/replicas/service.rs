//! The service in front of the replicas, and what the HTTP layer of a replica does with requests for the leader.
//!
//! Keep [`ReplicaDoor::handle`] in step with `ClusterApi::begin` and `ClusterApi::elsewhere` in `src/api/cluster.rs`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};

use crate::domain::ids::NodeName;
use crate::domain::world::Standing;
use crate::kernel::rng::Random;
use crate::ports::ClusterAgentError;
use crate::sim::agent::Service;
use crate::sim::auditor::Auditor;
use crate::sim::discovery::Files;
use crate::sim::front_door::{FrontDoor, GRANT, Lead, Reply, Request, unavailable};
use crate::sim::network::Network;
use crate::sim::replicas::overseer::Overseer;
use crate::sim::replicas::process::ProcessDoor;

/// Longest time until the head of a relayed answer. As in `RelayLimits`.
const RELAY_LIMIT: Duration = Duration::from_secs(5);

type Answer = Result<Reply, ClusterAgentError>;

/// The port of a running process.
#[derive(Clone)]
pub(super) struct ReplicaDoor {
    pub(super) name: String,
    pub(super) process: ProcessDoor,
    pub(super) front: FrontDoor,
    /// Never in production.
    pub(super) answers_as_follower: bool,
}

/// What requests need on their way. Clones share it.
#[derive(Clone)]
pub(super) struct Street {
    pub(super) doors: Arc<Mutex<BTreeMap<String, ReplicaDoor>>>,
    pub(super) network: Network,
    /// Where calls go on while the caller stands still.
    pub(super) outside: ProcessDoor,
    pub(super) overseer: Overseer,
    pub(super) auditor: Auditor,
    pub(super) files: Files,
}

impl Street {
    pub(super) fn doors(&self) -> MutexGuard<'_, BTreeMap<String, ReplicaDoor>> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request arrives at the port of a replica.
    async fn knock(self, name: String, request: Request, forwarded: bool) -> Answer {
        let door = self.doors().get(&name).cloned();
        let Some(door) = door else { return Err(unavailable("connection refused")) };
        let process = door.process.clone();
        let handled = process.call(door.handle(self, request, forwarded));
        handled.await.unwrap_or_else(|| Err(unavailable("connection closed")))
    }
}

impl ReplicaDoor {
    fn handle(self, street: Street, request: Request, forwarded: bool) -> BoxFuture<'static, Answer> {
        async move {
            match self.front.lead() {
                Lead::Here => self.decide(&street, request).await,
                Lead::Unknown => Err(unavailable("Startup in progress")),
                Lead::Elsewhere(_) if self.answers_as_follower && matches!(request, Request::Status { .. }) => {
                    street.overseer.answered(&self.name);
                    Ok(Reply::Status { up_to_date: true, standing: Standing::Active, grant: Some(GRANT) })
                }
                Lead::Elsewhere(_) if forwarded => Err(unavailable("508 Query was already forwarded")),
                Lead::Elsewhere(Some(leader)) if leader != self.name => self.relay(street, leader, request).await,
                Lead::Elsewhere(_) => Err(unavailable("503")),
            }
        }
        .boxed()
    }

    async fn decide(&self, street: &Street, request: Request) -> Answer {
        let asker = match &request {
            Request::Configs { node } => Some(node.clone()),
            Request::Status { .. } => None,
        };
        let answer = self.front.answer(request).await;
        if answer.is_ok() {
            street.overseer.answered(&self.name);
            if let Some(node) = asker {
                street.auditor.answered(&node, &self.front.served.peek(), || street.files.expected());
            }
        }
        answer
    }

    async fn relay(self, street: Street, leader: String, request: Request) -> Answer {
        let outside = street.outside.clone();
        let relayed = outside.call(async move {
            let network = street.network.clone();
            let arrived = street.knock(leader.clone(), request, true);
            network.carry(&self.name, &leader, RELAY_LIMIT, arrived).await
        });
        relayed.await.flatten().unwrap_or_else(|| Err(unavailable("502")))
    }
}

/// Leads each connection of an agent to one replica, and the next one to another if it fails.
pub(super) struct ReplicaService {
    pub(super) street: Street,
    pub(super) random: Arc<dyn Random>,
    pub(super) connections: Arc<Mutex<BTreeMap<NodeName, Connection>>>,
}

/// To which replica an agent is connected.
#[derive(Debug, Clone)]
pub(super) enum Connection {
    Open(String),
    /// The last one broke; another one is chosen next time.
    Broken(String),
}

impl ReplicaService {
    fn connect(&self, agent: &NodeName) -> Option<String> {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let avoided = match connections.get(agent) {
            Some(Connection::Open(name)) => return Some(name.clone()),
            Some(Connection::Broken(name)) => Some(name.clone()),
            None => None,
        };
        let names: Vec<String> = self.street.doors().keys().cloned().collect();
        let others: Vec<&String> = names.iter().filter(|name| Some(*name) != avoided.as_ref()).collect();
        let choices = if others.is_empty() { names.iter().collect() } else { others };
        let chosen = choices.get(self.random.below(choices.len() as u64) as usize).map(|name| (*name).clone())?;
        connections.insert(agent.clone(), Connection::Open(chosen.clone()));
        Some(chosen)
    }
}

impl Service for ReplicaService {
    fn ask(&self, agent: &NodeName, request: Request) -> BoxFuture<'static, Answer> {
        let Some(name) = self.connect(agent) else { return async { Err(unavailable("no endpoints")) }.boxed() };
        let (street, agent, connections) = (self.street.clone(), agent.clone(), Arc::clone(&self.connections));
        async move {
            let (network, to) = (street.network.clone(), name.clone());
            let deliver = move || street.clone().knock(to.clone(), request.clone(), false).boxed();
            let answer = network.exchange(agent.as_str(), &name, deliver).await;
            let answer = answer.unwrap_or_else(|| Err(unavailable("no answer in time")));
            if answer.is_err() {
                connections.lock().unwrap_or_else(PoisonError::into_inner).insert(agent, Connection::Broken(name));
            }
            answer
        }
        .boxed()
    }
}
