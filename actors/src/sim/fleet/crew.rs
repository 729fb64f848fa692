//! All agents at once: who polls when, and what follows. Keep in step with `src/api/cluster_checks.rs` and `domain/provider_state.rs`.
//!
//! A poll is a few comparisons: what an agent is shown is looked up once for each published table, not for each poll.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::ids::Stamp;
use crate::domain::lease::Leadership;
use crate::domain::liveness::NODE_EXPIRATION_SECONDS;
use crate::domain::node::{CheckCompatibility, NodeFacts};
use crate::domain::stamp::is_up_to_date;
use crate::domain::world::{NodeView, ServedTable, Standing};
use crate::kernel::clock::Clock;
use crate::kernel::mailbox::Outlet;
use crate::kernel::published::Reader;
use crate::messages::dispatcher::{Poll, PollReply};
use crate::messages::membership::{Heartbeat, Heartbeats};
use crate::sim::fleet::model::{Agent, AgentIndex, Life, Model, unit};
use crate::sim::fleet::mutant::Mutant;
use crate::sim::fleet::runner_stats::{SharedModel, lock};
use crate::sim::fleet::watch::TableWatch;

/// Time between two polls of an agent. Source: cluster-checks 9.1.
pub(super) const POLL_INTERVAL: Duration = Duration::from_secs(10);

/// Heartbeats in one message, as in `src/api/heartbeats.rs`.
const BATCH: usize = 256;

const POLL_DEADLINE: Duration = Duration::from_millis(500);

/// How long a set is granted, from the question on.
const GRANT: Duration = Duration::from_secs(NODE_EXPIRATION_SECONDS);

/// With more agents, polls are gathered to the second and every other heartbeat that says nothing new is kept back.
const MANY: usize = 200;

/// The way into a running server.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) served: Reader<ServedTable>,
    pub(super) leadership: Reader<Leadership>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) beats: Outlet<Heartbeats>,
    pub(super) introductions: Outlet<Heartbeat>,
    pub(super) polls: Outlet<Poll>,
}

impl Door {
    fn leads(&self) -> bool {
        self.leadership.peek().leads(self.clock.monotonic())
    }

    /// Whether polls are answered at all.
    fn answers(&self) -> bool {
        self.leads() && self.served.peek().standing != Standing::Starting
    }
}

/// What an agent tells about itself.
pub(super) fn facts(agent: &Agent) -> NodeFacts {
    NodeFacts {
        kind: agent.kind,
        address: agent.address.clone(),
        compatibility: CheckCompatibility::default(),
        honours_grants: agent.honours_grants(),
    }
}

fn beat(agent: &Agent, address: bool) -> Heartbeat {
    Heartbeat {
        node: agent.name.clone(),
        address: address.then(|| agent.address.clone()),
        kind: agent.kind,
        compatibility: CheckCompatibility::default(),
        honours_grants: agent.honours_grants(),
        last_change: agent.last_change,
    }
}

/// An agent takes over the set that it was given.
fn take(model: &mut Model, agent: AgentIndex, view: &NodeView, mutant: Option<Mutant>) {
    let mut set: Vec<_> = view.configs.iter().filter_map(|config| model.by_key.get(&config.key).copied()).collect();
    if mutant == Some(Mutant::SetsKept) {
        set.extend_from_slice(&model.agents[agent].set);
    }
    set.sort_unstable();
    set.dedup();
    if mutant == Some(Mutant::CheckLeftOut) {
        set.pop();
    }
    let Stamp(last_change) = view.stamp;
    (model.agents[agent].last_change, model.agents[agent].collected) = (last_change, true);
    model.give(agent, set);
}

/// An agent was answered: what it has is granted from now on, if it is current, or was just fetched.
fn contact(model: &mut Model, agent: AgentIndex, current: bool) -> bool {
    model.agents[agent].contacts += 1;
    if current {
        model.agents[agent].granted_until = model.now + GRANT;
        model.suspend(agent, false);
    }
    current
}

/// When which agent polls, and what it said last.
#[derive(Debug)]
pub(super) struct Crew {
    /// Polls of one interval: offset, agents.
    wheel: BTreeMap<Duration, Vec<AgentIndex>>,
    gathered: bool,
    /// Agents at the start.
    expected: usize,
    /// Whether the last heartbeat of an agent was kept back, and the version that it said last.
    said: Vec<(bool, i64)>,
    /// Agents that were granted nothing at their last poll.
    silent: BTreeSet<AgentIndex>,
    mutant: Option<Mutant>,
    pub(super) polls: u64,
}

impl Crew {
    /// Nobody polls yet.
    pub(super) fn new(expected: usize, mutant: Option<Mutant>) -> Self {
        Self { wheel: BTreeMap::new(), gathered: expected > MANY, expected, said: Vec::new(), silent: BTreeSet::new(), mutant, polls: 0 }
    }

    /// An agent polls from now on.
    pub(super) fn join(&mut self, agent: AgentIndex, seed: u64) {
        let offset = if self.gathered {
            // Neighbours poll together: what is near in time is near in memory.
            let seconds = POLL_INTERVAL.as_secs();
            Duration::from_secs((agent as u64 * seconds / self.expected as u64).wrapping_add(seed) % seconds)
        } else {
            let share = unit(seed.rotate_left(17) ^ agent as u64);
            Duration::from_millis((share * POLL_INTERVAL.as_millis() as f64) as u64 / 10 * 10)
        };
        self.wheel.entry(offset).or_default().push(agent);
        self.said.resize(self.said.len().max(agent + 1), (false, i64::MIN));
    }

    /// When somebody polls next, after `now`.
    pub(super) fn next_after(&self, now: Duration) -> Option<Duration> {
        let round = now.as_nanos() / POLL_INTERVAL.as_nanos();
        let begin = POLL_INTERVAL * round as u32;
        let offset = now.saturating_sub(begin);
        let later = self.wheel.range((std::ops::Bound::Excluded(offset), std::ops::Bound::Unbounded)).next();
        let later = later.map(|(offset, _)| begin + *offset);
        later.or_else(|| self.wheel.keys().next().map(|first| begin + POLL_INTERVAL + *first))
    }

    /// Everybody whose time has come polls. `door` is `None` while there is no server.
    pub(super) fn poll(&mut self, at: Duration, door: Option<&Door>, watch: &TableWatch, shared: &SharedModel) {
        let offset = Duration::from_nanos((at.as_nanos() % POLL_INTERVAL.as_nanos()) as u64);
        let Some(due) = self.wheel.get(&offset) else { return };
        let door = door.filter(|door| door.answers());
        let mut beats = Vec::with_capacity(BATCH.min(due.len()));
        let mut model = lock(shared);
        for &agent in due {
            let of = &model.agents[agent];
            if of.life != Life::Running {
                continue;
            }
            self.polls += 1;
            let Some((door, table)) = door.zip(watch.table.as_ref()).filter(|_| of.reachable) else {
                self.silent.insert(agent);
                continue;
            };
            let Some(shown) = watch.shown.get(agent).and_then(Option::as_ref).filter(|_| !table.roll_call) else {
                actix_rt::spawn(introduce(door.clone(), Arc::clone(shared), agent, self.mutant));
                continue;
            };
            let up_to_date = table.standing == Standing::WarmingUp || is_up_to_date(of.last_change, shown.view.stamp);
            let (kept_back, said) = &mut self.said[agent];
            *kept_back = self.gathered && !*kept_back && up_to_date && *said == of.last_change;
            if !*kept_back {
                *said = of.last_change;
                beats.push(beat(of, !self.gathered));
                if beats.len() == BATCH {
                    door.beats.post(Heartbeats { beats: std::mem::take(&mut beats) });
                }
            }
            let fetches = (!up_to_date || !of.collected) && table.standing == Standing::Active;
            if fetches {
                take(&mut model, agent, &shown.view, self.mutant);
            }
            let current = table.grants();
            if !contact(&mut model, agent, current) {
                self.silent.insert(agent);
            } else if !self.silent.is_empty() {
                self.silent.remove(&agent);
            }
        }
        if let Some(door) = door.filter(|_| !beats.is_empty()) {
            door.beats.post(Heartbeats { beats });
        }
    }

    /// An agent goes on after it stood still: its grant may have run out.
    pub(super) fn resumed(&mut self, agent: AgentIndex) {
        self.silent.insert(agent);
    }

    /// Agents whose grant has run out stop what may run once only. Returns when the next one will.
    pub(super) fn end_grants(&mut self, model: &mut Model) -> Option<Duration> {
        let now = model.now;
        let mut next = None;
        let ignored = self.mutant == Some(Mutant::GrantsIgnored);
        self.silent.retain(|agent| {
            let of = &model.agents[*agent];
            if of.life == Life::Dead || of.suspended || !of.honours_grants() || ignored {
                return false;
            }
            if of.granted_until <= now {
                model.suspend(*agent, true);
                return false;
            }
            next = Some(next.map_or(of.granted_until, |next: Duration| next.min(of.granted_until)));
            true
        });
        next
    }
}

/// An agent that is not in the table: it is registered first.
async fn introduce(door: Door, model: SharedModel, agent: AgentIndex, mutant: Option<Mutant>) {
    let beat = beat(&lock(&model).agents[agent], true);
    let (node, last_change) = (beat.node.clone(), beat.last_change);
    if door.introductions.ask(beat, POLL_DEADLINE).await.is_err() {
        return;
    }
    let Ok(reply) = door.polls.ask(Poll { node: node.clone(), last_change }, POLL_DEADLINE).await else { return };
    let PollReply { standing, up_to_date, .. } = reply;
    if standing == Standing::Starting || !door.leads() {
        return;
    }
    let table = door.served.current();
    let mut model = lock(&model);
    model.now = door.clock.monotonic();
    if model.agents[agent].life != Life::Running {
        return;
    }
    let active = table.standing == Standing::Active;
    if (!up_to_date || !model.agents[agent].collected)
        && let Some(entry) = table.nodes.get(&node).filter(|_| active)
    {
        take(&mut model, agent, &entry.view, mutant);
    }
    let current = table.grants() && table.nodes.get(&node).is_some_and(|entry| entry.view.stamp.0 == model.agents[agent].last_change);
    contact(&mut model, agent, current);
}
