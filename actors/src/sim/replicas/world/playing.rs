//! What each fault does to the world.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::World;
use crate::domain::handover::Handover;
use crate::domain::ids::NodeName;
use crate::domain::journal::Cause;
use crate::domain::lease::Role;
use crate::messages::dispatcher::{ApplyPlan, PlannedMove};
use crate::sim::agent::Agent;
use crate::sim::discovery::{Files, LISTING_TIME};
use crate::sim::replicas::clock::WallError;
use crate::sim::replicas::faults::{Fault, Which};
use crate::sim::replicas::lock::{LOCK, LockWay, WayToLock};
use crate::sim::replicas::mutants::Mutant;
use crate::sim::replicas::server::{Machine, ReplicaServer, timings};

/// Time from the deletion of a pod to the end of its agent, and from there to the end of the pod.
const TERMINATION: Duration = Duration::from_secs(2);

/// Configs that one plan moves at most.
const MOVES: usize = 4;

/// Time in which every replica has looked at a lock that works again.
const LOOKS: Duration = Duration::from_secs(4);

/// Time after which a lock that was deleted is free for everybody. Until then nobody may start who did not see it before.
const AFTER_DELETION: Duration = Duration::from_secs(17);

impl World {
    pub(super) async fn happen(self: &Rc<Self>, fault: Fault) {
        match fault {
            Fault::KillReplica { which, down } => {
                if let Some(name) = self.choose(which) {
                    self.end_replica(&name, false).await;
                    self.later(down, move |world| world.start_replica(&name));
                }
            }
            Fault::StopReplica { which, down } => {
                if let Some(name) = self.choose(which) {
                    self.end_replica(&name, true).await;
                    self.later(down, move |world| world.start_replica(&name));
                }
            }
            Fault::RollReplicas { each } => self.roll_replicas(each).await,
            Fault::PauseReplica { which, lasts } => {
                if let Some(name) = self.choose(which) {
                    self.with_replica(&name, |replica| replica.process.stand_still());
                    self.later(lasts, move |world| world.with_replica(&name, |replica| replica.process.go_on()));
                }
            }
            Fault::KillAll { down } => {
                for name in self.running_replicas() {
                    self.end_replica(&name, false).await;
                }
                self.later(down, Self::start_all_replicas);
            }
            Fault::CrashActor { which, actor } => {
                if let Some(name) = self.choose(which)
                    && self.replicas.borrow().get(&name).is_some_and(|replica| replica.crash(actor))
                {
                    self.universe.expect_panics(1);
                    if actor == "Replica" {
                        self.cluster.overseer.loses_contact(&name);
                    }
                }
            }
            Fault::StepClock { which, nanos } => {
                if let Some(machine) = self.choose(which).and_then(|name| self.machines.borrow().get(&name).cloned()) {
                    machine.wall.step(nanos);
                }
            }
            Fault::SnapshotFails { lasts } => {
                self.cluster.snapshot.fail(true);
                self.later(lasts, |world| world.cluster.snapshot.fail(false));
            }
            Fault::SlowDiscovery { time, lasts } => {
                self.cluster.pace.set(time);
                self.later(lasts, |world| world.cluster.pace.set(LISTING_TIME));
            }
            Fault::BadLock { .. } | Fault::LockDown { .. } | Fault::CutLock { .. } | Fault::DeleteLock => self.harm_lock(fault).await,
            Fault::PartReplicas { .. } | Fault::IsolateReplica { .. } | Fault::IsolateAgent { .. } | Fault::Lossy { .. } => {
                self.harm_network(fault);
            }
            Fault::AddConfigs(count) => self.change_files(|files| files.add(count)),
            Fault::RemoveConfig(choice) => self.change_files(|files| files.remove(choice)),
            Fault::ChangeConfig(choice) => self.change_files(|files| files.change(choice)),
            Fault::ChangeManyConfigs(choice) => self.change_files(|files| {
                for offset in 0..8 {
                    files.change(choice.wrapping_add(offset));
                }
                files.add(3);
                files.remove(choice);
            }),
            Fault::ToggleAgent(place) => self.toggle_agent(place).await,
            Fault::RestartAgent { agent, down } => {
                if self.stop_agent(agent).await {
                    self.later(down, move |world| world.start_agent(agent));
                }
            }
            Fault::CrashProvider(place) => {
                let node = self.places.borrow().get(&place).cloned();
                if node.is_some_and(|node| self.agents.borrow().get(&node).is_some_and(Agent::crash_provider)) {
                    self.universe.expect_panics(1);
                }
            }
            Fault::RollAgent { agent, overlap } => self.roll_agent(agent, overlap),
            Fault::RemoveAgent { agent } => {
                if let Some(node) = self.places.borrow_mut().remove(&agent) {
                    self.remove_pod(node);
                }
            }
        }
    }

    /// Some configs that demand an order go from a living agent to another one, as a plan would have it.
    pub(super) fn rebalance(&self, step: usize) {
        let leader = self.cluster.overseer.leaders().first().cloned();
        let Some(served) = leader.as_ref().and_then(|leader| self.served(leader)) else { return };
        let mut staying: Vec<_> = served.nodes.iter().filter(|(_, entry)| entry.presence.is_staying()).collect();
        staying.sort_unstable_by_key(|(name, _)| *name);
        if staying.len() < 2 {
            return;
        }
        let ((from, entry), (to, _)) = (staying[step % staying.len()], staying[(step + 1) % staying.len()]);
        let on_their_way: Vec<_> = served.moving.iter().map(|moving| moving.config.key).collect();
        let demanding = entry.view.configs.iter().filter(|config| config.traits.handover != Handover::Any);
        let moves: Vec<_> = demanding
            .filter(|config| !on_their_way.contains(&config.key))
            .map(|config| PlannedMove { key: config.key, from: from.clone(), to: to.clone() })
            .take(MOVES)
            .collect();
        self.cluster.overseer.unrest();
        self.cluster.trace.note(format_args!("{} configs are to go from {from} to {to}", moves.len()));
        let plan = ApplyPlan {
            epoch: served.epoch,
            generation: served.decided,
            constraints: Vec::new(),
            moves,
            cause: Cause::Rebalanced,
            counts: false,
        };
        if let Some(leader) = leader {
            self.with_replica(&leader, |replica| replica.carry_out(plan));
        }
    }

    async fn harm_lock(self: &Rc<Self>, fault: Fault) {
        match fault {
            Fault::BadLock { which, way, lasts } => {
                if let Some(name) = self.choose(which) {
                    self.set_way(&name, way);
                    self.later(lasts, move |world| world.set_way(&name, LockWay::Up));
                }
            }
            Fault::LockDown { way, lasts } => {
                self.set_all_ways(way);
                self.later(lasts, |world| world.set_all_ways(LockWay::Up));
            }
            Fault::CutLock { which, lasts } => {
                if let Some(name) = self.choose(which) {
                    self.cluster.street.network.part(&name, LOCK, true);
                    self.later(lasts, move |world| world.cluster.street.network.part(&name, LOCK, false));
                }
            }
            Fault::DeleteLock => self.delete_lock().await,
            _ => {}
        }
    }

    fn harm_network(self: &Rc<Self>, fault: Fault) {
        let network = &self.cluster.street.network;
        match fault {
            Fault::PartReplicas { follower, lasts } => {
                if let (Some(one), Some(other)) = (self.choose(Which::Leader), self.choose(Which::Follower(follower))) {
                    network.part(&one, &other, true);
                    self.later(lasts, move |world| world.cluster.street.network.part(&one, &other, false));
                }
            }
            Fault::IsolateReplica { which, lasts } => {
                if let Some(name) = self.choose(which) {
                    network.isolate(&name, true);
                    self.later(lasts, move |world| world.cluster.street.network.isolate(&name, false));
                }
            }
            Fault::IsolateAgent { agent, lasts } => {
                if let Some(node) = self.places.borrow().get(&agent).cloned() {
                    network.isolate(node.as_str(), true);
                    self.later(lasts, move |world| {
                        world.cluster.overseer.unrest();
                        world.cluster.street.network.isolate(node.as_str(), false);
                    });
                }
            }
            Fault::Lossy { loss, lasts } => {
                network.set_loss(loss, 0.1);
                self.later(lasts, |world| {
                    world.cluster.overseer.unrest();
                    world.cluster.street.network.set_loss(0.0, 0.0);
                });
            }
            _ => {}
        }
    }

    pub(super) fn later(self: &Rc<Self>, wait: Duration, act: impl FnOnce(&Self) + 'static) {
        let world = Rc::clone(self);
        actix_rt::spawn(async move {
            tokio::time::sleep(wait).await;
            act(&world);
        });
    }

    /// A running replica.
    fn choose(&self, which: Which) -> Option<String> {
        let (names, leaders) = (self.running_replicas(), self.cluster.overseer.leaders());
        let (leading, following): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| leaders.contains(name));
        match which {
            Which::Leader => leading.first().or(following.first()).cloned(),
            Which::Follower(choice) => following.get((choice % following.len().max(1) as u64) as usize).cloned(),
        }
    }

    fn with_replica(&self, name: &str, act: impl FnOnce(&ReplicaServer)) {
        if let Some(replica) = self.replicas.borrow().get(name) {
            act(replica);
        }
    }

    fn set_way(&self, name: &str, way: LockWay) {
        if let Some(machine) = self.machines.borrow().get(name) {
            machine.way_to_lock.set(way);
        }
    }

    fn set_all_ways(&self, way: LockWay) {
        self.machines.borrow().values().for_each(|machine| machine.way_to_lock.set(way));
    }

    /// Deletes the lock while everybody who runs has seen it, and waits until it is free for everybody.
    ///
    /// Why so careful: a replica that never saw a lock that was deleted cannot know that somebody still leads; that gap is known
    /// (docs/adr/016-the-lock-and-its-epochs.md).
    async fn delete_lock(self: &Rc<Self>) {
        self.cluster.street.network.heal();
        self.set_all_ways(LockWay::Up);
        self.universe.advance(LOOKS).await;
        let wanted = self.wanted.borrow().len();
        let everybody_knows = self.replicas.borrow().len() == wanted
            && self
                .replicas
                .borrow()
                .values()
                .all(|replica| !replica.process.stands_still() && replica.leadership.peek().role != Role::Unknown);
        if !everybody_knows {
            self.cluster.trace.note(format_args!("the lock is not deleted: not everybody has seen it"));
            return;
        }
        self.lock.replace(None);
        self.universe.advance(AFTER_DELETION).await;
    }

    pub(super) fn start_new_replica(&self) {
        let number = self.replicas_so_far.get() + 1;
        self.replicas_so_far.set(number);
        let name = format!("replica-{number}");
        let way_to_lock = WayToLock {
            replica: name.clone(),
            network: self.cluster.street.network.clone(),
            random: self.universe.random(),
            outside: self.outside.door(),
            lock: self.lock.another_way(),
            call_limit: timings().call_limit(),
            way: Arc::default(),
            ignores_versions: self.cluster.mutant == Some(Mutant::LockWithoutVersions),
            shortens_lease: self.cluster.mutant == Some(Mutant::LeaseCutShort),
        };
        self.machines.borrow_mut().insert(name.clone(), Machine { way_to_lock, wall: WallError::default() });
        self.wanted.borrow_mut().push(name.clone());
        self.start_replica(&name);
    }

    /// Starts a replica unless it runs, or is not wanted any more.
    pub(super) fn start_replica(&self, name: &str) {
        let machine = self.machines.borrow().get(name).cloned();
        let Some(machine) = machine else { return };
        if self.replicas.borrow().contains_key(name) || !self.wanted.borrow().iter().any(|wanted| wanted == name) {
            return;
        }
        self.cluster.trace.note(format_args!("{name} starts"));
        let replica = ReplicaServer::start(&self.universe, &self.cluster, &machine, name);
        self.replicas.borrow_mut().insert(name.to_owned(), replica);
    }

    pub(super) fn start_all_replicas(&self) {
        let wanted = self.wanted.borrow().clone();
        for name in wanted {
            self.start_replica(&name);
        }
    }

    pub(super) async fn end_replica(&self, name: &str, orderly: bool) {
        let replica = self.replicas.borrow_mut().remove(name);
        let Some(replica) = replica else { return };
        self.kills.set(self.kills.get() + 1);
        self.cluster.trace.note(format_args!("{name} {}", if orderly { "is stopped" } else { "is killed" }));
        if orderly { replica.stop().await } else { replica.kill().await }
    }

    async fn roll_replicas(self: &Rc<Self>, each: Duration) {
        let old = self.wanted.borrow().clone();
        for name in old {
            self.start_new_replica();
            self.universe.advance(each).await;
            self.wanted.borrow_mut().retain(|wanted| *wanted != name);
            self.end_replica(&name, true).await;
        }
    }

    fn change_files(&self, change: impl FnOnce(&Files)) {
        change(&self.cluster.files);
        self.replicas.borrow().values().for_each(ReplicaServer::notice_files);
    }

    pub(super) fn start_new_agent(&self, place: u64) {
        let generation = self.generations.get() + 1;
        self.generations.set(generation);
        let node = NodeName::from(format!("runner-{place}-{generation}"));
        // Every replacement is of a newer template.
        self.cluster.pods.run(node.as_str(), &format!("template{generation}"));
        self.places.borrow_mut().insert(place, node);
        self.start_agent(place);
    }

    /// Starts the agent of a place unless it runs.
    fn start_agent(&self, place: u64) {
        let Some(node) = self.places.borrow().get(&place).cloned() else { return };
        if !self.agents.borrow().contains_key(&node) {
            self.cluster.overseer.unrest();
            let agent = Agent::start(&self.universe, &node, &self.links);
            self.agents.borrow_mut().insert(node, agent);
        }
    }

    /// An agent dies, or one starts where none runs.
    pub(super) async fn toggle_agent(&self, place: u64) {
        if self.stop_agent(place).await {
            return;
        }
        if self.places.borrow().contains_key(&place) {
            self.start_agent(place);
        } else {
            self.start_new_agent(place);
        }
    }

    /// Whether it ran.
    async fn stop_agent(&self, place: u64) -> bool {
        let node = self.places.borrow().get(&place).cloned();
        match node {
            Some(node) => self.end_agent(&node).await,
            None => false,
        }
    }

    /// Whether it ran.
    async fn end_agent(&self, node: &NodeName) -> bool {
        let agent = self.agents.borrow_mut().remove(node);
        let Some(agent) = agent else { return false };
        self.links.auditor.gone(node);
        agent.kill().await;
        true
    }

    fn roll_agent(self: &Rc<Self>, place: u64, overlap: Duration) {
        let old = self.places.borrow_mut().remove(&place);
        self.start_new_agent(place);
        if let Some(old) = old {
            let world = Rc::clone(self);
            self.later(overlap, move |_| world.remove_pod(old));
        }
    }

    /// The pod of an agent is deleted; the agent goes on for a moment.
    fn remove_pod(self: &Rc<Self>, node: NodeName) {
        self.cluster.overseer.unrest();
        self.cluster.pods.terminate(node.as_str());
        let world = Rc::clone(self);
        actix_rt::spawn(async move {
            tokio::time::sleep(TERMINATION).await;
            world.end_agent(&node).await;
            tokio::time::sleep(TERMINATION).await;
            world.cluster.overseer.unrest();
            world.cluster.pods.delete(node.as_str());
        });
    }
}
