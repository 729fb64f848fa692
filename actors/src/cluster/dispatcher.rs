//! Decides which node runs which config.

mod discovery;
mod discovery_inbox;
mod handlers;
mod harvester;
pub mod parts;
mod plans;
mod quarantine;
mod transfers;
mod waiting_polls;
mod warm_up;
mod warming_up;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tracing::{debug, error, info, warn};

use crate::balance::quarantine::DeathWatch;
use crate::balance::{demands, least_count, placement};
use crate::cluster::dispatcher::harvester::Harvester;
use crate::cluster::dispatcher::parts::DispatcherParts;
use crate::cluster::dispatcher::waiting_polls::WaitingPolls;
use crate::cluster::dispatcher::warm_up::WarmUp;
use crate::domain::advanced::AdvancedDispatching;
use crate::domain::assignment::{AssignmentTable, Placement};
use crate::domain::exposure::Exposure;
use crate::domain::grants::GrantWatch;
use crate::domain::ids::{Epoch, NodeName, Seq, Stamp};
use crate::domain::invariants::{self, Permitted, Violation};
use crate::domain::journal::Cause;
use crate::domain::lease::{Role, counts};
use crate::domain::stamp::is_up_to_date;
use crate::domain::turn::{Committed, Turn};
use crate::domain::unscheduled::UnscheduledWatch;
use crate::domain::world::{Dangling, DispatcherCounters, ServedTable, Standing};
use crate::messages::dispatcher::{Origin, PollReply};
use crate::messages::journal::RecordDecisions;
use crate::messages::membership::NodesRestored;
use crate::messages::persistence::SaveDelta;
use crate::messages::resolver::ReplayDiscovery;

/// Time between two looks at what changes by waiting alone: unscheduled checks, advanced dispatching, a lease that is renewed late.
const TICK: Duration = Duration::from_secs(1);

/// Owns the assignment table. The only one that decides, and only on the replica that leads; on others it has no table.
///
/// After a restart it waits for the role and the table, then asks `Membership` and discovery for what changed meanwhile; the
/// published table of before keeps being served, because nothing was decided in between.
pub struct Dispatcher {
    parts: DispatcherParts,
    /// `None` until it is loaded.
    table: Option<AssignmentTable>,
    /// Where it is from, until it is known whether a warm-up has to come first.
    origin: Origin,
    role: Role,
    epoch: Epoch,
    /// Whether this replica dispatches: table loaded and role is leader.
    deciding: bool,
    /// The lease is about to run out: nothing is decided, and what happens meanwhile is told again afterwards.
    paused: bool,
    warm_up: WarmUp,
    exposure: Exposure,
    polls: WaitingPolls,
    settled: Seq,
    harvester: Harvester,
    continuing: bool,
    /// The last change that the first complete listing made; `None` = there was none yet.
    discovery_synced: Option<Seq>,
    advanced: AdvancedDispatching,
    unscheduled: UnscheduledWatch,
    /// Who died lately, and what came to them before.
    deaths: DeathWatch,
    grants: GrantWatch,
    /// Whether agents are granted nothing for now.
    grants_withheld: bool,
    counters: DispatcherCounters,
}

impl Dispatcher {
    /// A dispatcher that knows nothing.
    #[must_use]
    pub fn new(parts: DispatcherParts) -> Self {
        let policy = parts.policy;
        let harvester = Harvester::new(Arc::clone(&parts.patch));
        Self {
            parts,
            table: None,
            origin: Origin::Nothing,
            role: Role::Unknown,
            epoch: Epoch(0),
            deciding: false,
            paused: false,
            warm_up: WarmUp::default(),
            exposure: Exposure::default(),
            polls: WaitingPolls::default(),
            settled: Seq(0),
            harvester,
            continuing: false,
            discovery_synced: None,
            advanced: AdvancedDispatching::new(policy.advanced_dispatching),
            unscheduled: UnscheduledWatch::new(policy.unscheduled_threshold, policy.node_expiration),
            deaths: DeathWatch::new(policy.quarantine),
            grants: GrantWatch::default(),
            grants_withheld: false,
            counters: DispatcherCounters::default(),
        }
    }

    fn standing(&self) -> Standing {
        match (self.deciding, self.warm_up.is_over(self.exposure.shown())) {
            (false, _) => Standing::Starting,
            (true, false) => Standing::WarmingUp,
            (true, true) => Standing::Active,
        }
    }

    /// Begins to decide as soon as table and role are known.
    fn begin(&mut self, context: &mut Context<Self>) {
        let Some(table) = self.table.as_ref().filter(|_| self.role == Role::Leader && !self.deciding) else {
            return;
        };
        if !counts(table.epoch(), self.epoch) {
            error!(
                saved = table.epoch().0,
                granted = self.epoch.0,
                "the saved assignment is of a later epoch than the lease: restore the epoch file, or move the assignment folder away"
            );
            self.counters.stale_epoch_dropped += 1;
            return;
        }
        self.deciding = true;
        self.paused = false;
        let origin = std::mem::replace(&mut self.origin, Origin::Current);
        let in_doubt = origin != Origin::Current;
        let aged = origin == Origin::Aged && !table.nodes().is_empty();
        let unheard = aged.then(|| table.nodes().keys().cloned().collect());
        info!(epoch = self.epoch.0, configs = table.rows().len(), nodes = table.nodes().len(), ?origin, "dispatching begins");
        self.begin_grants(in_doubt);
        self.restore_nodes(true);
        self.parts.outlets.replay.post(ReplayDiscovery);
        if origin != Origin::Current && !self.parts.policy.warmup.is_zero() {
            self.begin_warm_up(unheard, context);
        } else if !self.warm_up.on {
            self.decide(Cause::WarmedUp, |_| Permitted::default());
        }
        self.follow_nodes();
        self.publish();
        self.work_off_discovery(context);
    }

    /// Whether this replica may change the assignment at this moment.
    ///
    /// If not although it leads, everything that happens is dropped here until [`Self::go_on`] asks for it again: half a listing
    /// proves nothing.
    fn may_decide(&mut self) -> bool {
        if !self.deciding {
            return false;
        }
        let leadership = self.parts.leadership.peek();
        let may = leadership.epoch == self.epoch && leadership.decides(self.parts.clock.monotonic());
        if !may && !self.paused {
            warn!(epoch = self.epoch.0, "the lease was not renewed in time, nothing is dispatched for now");
            self.paused = true;
            self.harvester.forget();
        }
        !self.paused
    }

    /// The lease was renewed after all: asks everybody for what happened meanwhile.
    fn go_on(&mut self) {
        let leadership = self.parts.leadership.current();
        if !self.paused || leadership.epoch != self.epoch || !leadership.decides(self.parts.clock.monotonic()) {
            return;
        }
        info!(epoch = self.epoch.0, "the lease is renewed, dispatching goes on");
        self.paused = false;
        self.restore_nodes(false);
        self.parts.outlets.replay.post(ReplayDiscovery);
        self.decide(Cause::LeaseRenewed, |_| Permitted::default());
        self.publish();
    }

    /// Another replica may decide from now on: forgets everything, and answers for nobody.
    fn step_down(&mut self, context: &mut Context<Self>) {
        if self.deciding {
            info!(epoch = self.epoch.0, role = ?self.role, "this replica does not lead any more, nothing is dispatched");
        }
        if let Some(end) = self.warm_up.end.take() {
            context.cancel_future(end);
        }
        let policy = self.parts.policy;
        self.table = None;
        (self.origin, self.warm_up) = (Origin::Nothing, WarmUp::default());
        (self.deciding, self.paused) = (false, false);
        (self.settled, self.discovery_synced) = (Seq(0), None);
        self.exposure = Exposure::default();
        self.harvester = Harvester::new(Arc::clone(&self.parts.patch));
        self.advanced = AdvancedDispatching::new(policy.advanced_dispatching);
        self.unscheduled = UnscheduledWatch::new(policy.unscheduled_threshold, policy.node_expiration);
        self.deaths = DeathWatch::new(policy.quarantine);
        self.grants = GrantWatch::default();
        self.parts.published.publish(ServedTable { epoch: self.epoch, counters: self.counters.clone(), ..ServedTable::default() });
        self.polls.give_up();
        // Agents poll elsewhere from now on; their silence here would count against them when this replica leads again.
        self.parts.outlets.nodes.post(NodesRestored { anew: true, ..NodesRestored::default() });
    }

    /// Changes the table in one turn and places whatever dangles then. `cause` is why a dangling config finds a place.
    ///
    /// Returns how many configs have another owner than before.
    fn decide(&mut self, cause: Cause, change: impl FnOnce(&mut Turn<'_>) -> Permitted) -> usize {
        if !self.may_decide() {
            return 0;
        }
        let (monotonic, now) = (self.now(), self.parts.clock.unix_nanos());
        let Some(table) = self.table.as_mut() else { return 0 };
        let demands_before = Arc::clone(table.constraints());
        let mut turn = Turn::begin(table);
        let mut permitted = change(&mut turn);
        Self::mind_grants(&self.grants, &mut turn, monotonic);
        if !self.warm_up.on {
            permitted.moved.extend(demands::enforce(&mut turn, now));
            turn.drain();
            demands::end_isolations(&mut turn);
            let dangling: Vec<_> = turn.table().dangling().iter().copied().collect();
            let placed = if self.advanced.on() {
                placement::place_batch(turn.table(), &self.parts.figures.peek(), dangling)
            } else {
                least_count::place_batch(turn.table(), dangling)
            };
            for (key, placement) in placed {
                turn.place(key, placement, cause);
            }
        }
        let Some(committed) = turn.finish(self.epoch, now) else { return 0 };
        let mut violations = invariants::check_turn(table, &committed, &permitted);
        if cfg!(debug_assertions) {
            violations.extend(invariants::check_table(table));
            violations.extend(invariants::check_grants(table));
            if !self.warm_up.on {
                violations.extend(invariants::check_planned(table));
            }
        }
        self.exposure.decide(table, &committed.delta);
        self.follow_deaths(&committed, &demands_before);
        self.remember_abandoned(&committed);
        self.report(violations);
        self.follow_dangling();
        let moves = committed.decisions.iter().filter(|decision| decision.to.is_some() && decision.to != decision.from).count();
        self.hand_on(committed);
        moves
    }

    /// Counts a decision, and sends it to the disk or the followers, and to the journal.
    fn hand_on(&mut self, committed: Committed) {
        for decision in &committed.decisions {
            self.counters.count(decision);
            debug!(
                key = %decision.key, check = decision.check_name, from = ?decision.from, to = ?decision.to,
                cause = decision.cause.as_str(), "decided"
            );
        }
        // Not to be lost: agents see this change only after it is saved.
        self.parts.outlets.save.post(SaveDelta { delta: Arc::new(committed.delta) });
        if !committed.decisions.is_empty() {
            self.parts.outlets.journal.post(RecordDecisions { decisions: committed.decisions });
        }
    }

    fn report(&mut self, violations: Vec<Violation>) {
        for violation in violations {
            error!(name = violation.name, detail = violation.detail, "invariant broken");
            *self.counters.invariant_violations.entry(violation.name).or_default() += 1;
            debug_assert!(false, "invariant broken: {violation}");
        }
    }

    fn publish(&mut self) {
        if self.standing() == Standing::Active {
            self.warm_up.unheard = None;
        }
        let Some(table) = &self.table else { return };
        let dangling = table.dangling().iter().filter_map(|key| {
            let row = table.rows().get(key)?;
            let Placement::Dangling(reason) = row.placement else { return None };
            Some(Dangling { config: Arc::clone(&row.config), reason, flagged: self.unscheduled.is_flagged(*key) })
        });
        let served = ServedTable {
            standing: self.standing(),
            epoch: self.epoch,
            roll_call: self.warm_up.unheard.is_some(),
            nodes: self.exposure.nodes().clone(),
            endpoints: self.exposure.endpoints().clone(),
            grants_withheld: self.grants_withheld,
            discovery_synced: self.discovery_synced.is_some_and(|complete| self.exposure.shown() >= complete),
            dangling: dangling.collect(),
            moving: self.exposure.moving().cloned().collect(),
            constraints: Arc::clone(table.constraints()),
            ledger: Arc::clone(table.ledger()),
            decided: table.seq(),
            advanced_dispatching: self.advanced.on(),
            shown: self.exposure.shown(),
            rejected: self.harvester.rejected(),
            counters: self.counters.clone(),
        };
        let mut violations = invariants::check_exposure(&self.exposure, self.settled);
        if cfg!(debug_assertions) {
            violations.extend(invariants::check_served(&served));
        }
        self.parts.published.publish(served);
        self.report(violations);
        let mut polls = std::mem::take(&mut self.polls);
        polls.answer(|node, last_change| self.reply_to(node, last_change));
        self.polls = polls;
    }

    /// The answer to a poll; `None` while its node is registered and agents may not see that yet.
    fn reply_to(&self, node: &NodeName, last_change: i64) -> Option<PollReply> {
        let standing = self.standing();
        let registered = self.table.as_ref().is_some_and(|table| table.nodes().contains_key(node));
        if !self.exposure.nodes().contains_key(node) {
            match standing {
                Standing::Active if registered => return None,
                // `Membership` believes that we know it: nothing true can be said about its set.
                Standing::Active => return Some(PollReply { standing: Standing::Starting, up_to_date: false, stamp: Stamp(0) }),
                Standing::Starting | Standing::WarmingUp => {}
            }
        }
        let stamp = self.exposure.stamp(node);
        let up_to_date = match standing {
            Standing::Starting => false,
            Standing::WarmingUp => true,
            Standing::Active => is_up_to_date(last_change, stamp),
        };
        Some(PollReply { standing, up_to_date, stamp })
    }

    /// Tells `Membership` which nodes are in the table; what it knows beyond that, it reports again.
    fn restore_nodes(&self, begins: bool) {
        if let Some(table) = self.table.as_ref().filter(|_| self.deciding) {
            let nodes = table.nodes().iter().map(|(name, node)| (name.clone(), node.facts.clone())).collect();
            let departing = table.nodes().iter().filter(|(_, node)| !node.presence.is_staying());
            let departing = departing.map(|(name, node)| (name.clone(), node.presence)).collect();
            self.parts.outlets.nodes.post(NodesRestored { anew: false, begins, nodes, departing });
        }
    }

    fn tick(&mut self, context: &mut Context<Self>) {
        self.go_on();
        if !self.may_decide() {
            return;
        }
        self.call_roll(context);
        self.look_at_deaths();
        self.look_at_grants();
        let was_on = self.advanced.on();
        self.follow_nodes();
        self.follow_dangling();
        let flagged = self.unscheduled.scan(self.parts.clock.monotonic());
        if let Some(table) = &self.table {
            for config in flagged.iter().filter_map(|key| table.config(*key)) {
                warn!(check = config.config.name, source = config.config.source, "config has no node for too long");
            }
        }
        if !flagged.is_empty() || was_on != self.advanced.on() {
            self.publish();
        }
    }

    /// Not only after changes: what dangled before a restart waits too.
    fn follow_dangling(&mut self) {
        if let Some(table) = self.table.as_ref().filter(|_| !self.warm_up.on) {
            self.unscheduled.follow(table.dangling(), self.parts.clock.monotonic());
        }
    }

    fn follow_nodes(&mut self) {
        let Some(table) = &self.table else { return };
        let was_on = self.advanced.on();
        self.advanced.follow(table.has_node_agent(), self.parts.clock.monotonic());
        if was_on != self.advanced.on() {
            info!(on = self.advanced.on(), "advanced dispatching changed");
        }
    }
}
