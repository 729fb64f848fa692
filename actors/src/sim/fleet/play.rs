//! What happens in a world, made of the few things that can be done to agents and to the server.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::kernel::rng::Random as _;
use crate::sim::fleet::bounds::moves_to_fill;
use crate::sim::fleet::deed::Deed;
use crate::sim::fleet::model::{AgentIndex, CheckIndex, Life, Model};
use crate::sim::fleet::pods::FIRST_TEMPLATE;
use crate::sim::fleet::report::Mark;
use crate::sim::fleet::runner_stats::lock;
use crate::sim::fleet::scenario::{Action, AgentVersion, Lie, Node, Which};
use crate::sim::fleet::words::{describe, kind};
use crate::sim::fleet::world::World;

/// From the deletion of a pod to the end of its process.
const ENDS_AFTER: Duration = Duration::from_secs(2);

/// From the start of a pod to its first poll, at least.
const STARTS_AFTER: Duration = Duration::from_secs(5);

/// From the start of a new pod to the deletion of the one that it replaces.
const REPLACES_AFTER: Duration = Duration::from_secs(25);

impl World {
    pub(super) async fn carry_out(&mut self, deed: Deed) {
        let now = lock(&self.model).now;
        match deed {
            Deed::Happen(action) => {
                self.marks.push(Mark { at_seconds: now.as_secs_f64(), kind: kind(&action), what: describe(&action) });
                self.happen(now, action).await;
            }
            Deed::Stop(agent) => lock(&self.model).set_life(agent, Life::Dead),
            Deed::Start(agent) => {
                let mut model = lock(&self.model);
                if !model.agents[agent].removed && model.agents[agent].life == Life::Dead {
                    model.set_life(agent, Life::Running);
                }
            }
            Deed::Reach(agent, reachable) => lock(&self.model).agents[agent].reachable = reachable,
            Deed::GoOn(agent) => {
                let mut model = lock(&self.model);
                if model.agents[agent].life == Life::Paused {
                    model.set_life(agent, Life::Running);
                    self.crew.resumed(agent);
                }
            }
            Deed::Delete(agent) => self.delete(now, agent),
            Deed::End(agent) => {
                lock(&self.model).set_life(agent, Life::Dead);
                if let Some(pods) = &self.ground.pods {
                    let name = lock(&self.model).agents[agent].name.clone();
                    pods.end(&name);
                }
            }
            Deed::Replace(agent) => self.replace(now, agent),
            Deed::StartServer => {
                if self.server.is_none() {
                    self.start_server();
                }
            }
            Deed::Cost(checks, factor) => {
                let mut model = lock(&self.model);
                for check in checks {
                    model.checks[check].factor = factor;
                }
            }
            Deed::EndLie(agent) => lock(&self.model).agents[agent].lie = None,
            Deed::EndWorkers(agent) => lock(&self.model).agents[agent].told_workers = None,
        }
    }

    async fn happen(&mut self, now: Duration, action: Action) {
        match action {
            Action::RemoveRunners(which) => {
                for agent in self.choose(&which) {
                    self.delete(now, agent);
                }
            }
            Action::AddRunners { count, workers } => {
                for _ in 0..count {
                    self.added += 1;
                    let name = format!("added-{}", self.added);
                    self.add(
                        now,
                        &Node { name, kind: crate::domain::world::NodeKind::Runner, workers, address: None, agent: AgentVersion::Muster },
                    );
                }
                self.filled += moves_to_fill(&lock(&self.model), self.band, f64::from(count) * f64::from(workers));
            }
            Action::RollAll { each } => {
                self.rolls += 1;
                let living = living(&lock(&self.model));
                for (position, agent) in living.into_iter().enumerate() {
                    self.later(now + each.0 * position as u32, Deed::Replace(agent));
                }
            }
            Action::Kill { runners, lasts } => {
                for agent in self.choose(&runners) {
                    let mut model = lock(&self.model);
                    model.set_life(agent, Life::Dead);
                    model.agents[agent].removed = lasts.is_none();
                    drop(model);
                    if let Some(lasts) = lasts {
                        self.later(now + lasts.0, Deed::Start(agent));
                    }
                }
            }
            Action::Partition { runners, lasts } => {
                for agent in self.choose(&runners) {
                    lock(&self.model).agents[agent].reachable = false;
                    self.later(now + lasts.0, Deed::Reach(agent, true));
                }
            }
            Action::Pause { runners, lasts } => {
                for agent in self.choose(&runners) {
                    lock(&self.model).set_life(agent, Life::Paused);
                    self.later(now + lasts.0, Deed::GoOn(agent));
                }
            }
            Action::Flap { runners, times, every } => {
                for agent in self.choose(&runners) {
                    for time in 0..times {
                        self.later(now + every.0 * time, Deed::Stop(agent));
                        self.later(now + every.0 * time + every.0 / 2, Deed::Start(agent));
                    }
                }
            }
            Action::LeaderAway(lasts) => {
                self.stop_server().await;
                self.later(now + lasts.0, Deed::StartServer);
            }
            Action::CostChange { check, check_name, factor, lasts } => {
                let checks = self.checks_called(check.as_deref(), check_name.as_deref());
                if let Some(lasts) = lasts {
                    self.later(now + lasts.0, Deed::Cost(checks.clone(), 1.0));
                }
                self.later(now, Deed::Cost(checks, factor));
            }
            Action::Lie { runners, says, lasts } => self.lie(now, &runners, says, lasts.0),
            Action::Workers { runners, workers, lasts } => {
                for agent in self.choose(&runners) {
                    lock(&self.model).agents[agent].told_workers = Some(workers);
                    if let Some(lasts) = lasts {
                        self.later(now + lasts.0, Deed::EndWorkers(agent));
                    }
                }
            }
            Action::ClockJump(seconds) => self.universe.virtual_clock().step_wall(seconds.saturating_mul(1_000_000_000)),
            Action::CrashActor(name) => {
                if self.server.as_ref().is_some_and(|server| server.crash(&name)) {
                    self.universe.expect_panics(1);
                    self.crashes += 1;
                    self.watch.uncounted = true;
                }
            }
        }
    }

    fn lie(&mut self, now: Duration, runners: &Which, says: Lie, lasts: Duration) {
        for agent in self.choose(runners) {
            lock(&self.model).agents[agent].lie = Some(says);
            self.later(now + lasts, Deed::EndLie(agent));
        }
    }

    /// An agent goes in good order.
    fn delete(&mut self, now: Duration, agent: AgentIndex) {
        let name = {
            let mut model = lock(&self.model);
            model.agents[agent].removed = true;
            model.agents[agent].name.clone()
        };
        if let Some(pods) = &self.ground.pods {
            pods.delete(&name);
        }
        self.later(now + ENDS_AFTER, Deed::End(agent));
    }

    /// An agent comes.
    fn add(&mut self, now: Duration, node: &Node) -> AgentIndex {
        let agent = {
            let mut model = lock(&self.model);
            let agent = model.add_agent(node, &BTreeSet::new());
            model.set_life(agent, Life::Dead);
            agent
        };
        if let Some(pods) = &self.ground.pods {
            let template = if self.rolls == 0 { FIRST_TEMPLATE.to_owned() } else { format!("r{}", self.rolls) };
            pods.start(&node.name.as_str().into(), &template);
        }
        self.crew.join(agent, self.seed);
        self.later(now + STARTS_AFTER, Deed::Start(agent));
        agent
    }

    fn replace(&mut self, now: Duration, agent: AgentIndex) {
        let successor = {
            let model = lock(&self.model);
            let of = &model.agents[agent];
            if of.removed {
                return;
            }
            let name = format!("{}-r{}", of.name.as_str().split("-r").next().unwrap_or_default(), self.rolls);
            // A name may be taken where names of agents end so already.
            let name = if model.by_name.contains_key(name.as_str()) { format!("{}-r{}", of.name, self.rolls) } else { name };
            Node { name, kind: of.kind, workers: of.workers, address: None, agent: of.version }
        };
        self.add(now, &successor);
        self.later(now + REPLACES_AFTER, Deed::Delete(agent));
    }

    fn choose(&mut self, which: &Which) -> Vec<AgentIndex> {
        let model = lock(&self.model);
        match which {
            Which::Named(names) => {
                let known = names.iter().filter_map(|name| model.by_name.get(name.as_str()).copied());
                known.filter(|agent| !model.agents[*agent].removed).collect()
            }
            Which::Count(count) => {
                let mut living = living(&model);
                let mut chosen = Vec::new();
                while chosen.len() < *count as usize && !living.is_empty() {
                    chosen.push(living.swap_remove(self.random.below(living.len() as u64) as usize));
                }
                chosen.sort_unstable();
                chosen
            }
        }
    }

    fn checks_called(&self, check: Option<&str>, check_name: Option<&str>) -> Vec<CheckIndex> {
        let model = lock(&self.model);
        let source = check.map(|name| format!("file:{name}.yaml"));
        let called = |index: &CheckIndex| {
            let config = &model.checks[*index].config.config;
            source.as_ref().is_some_and(|source| config.source == *source) || check_name.is_some_and(|name| config.name == name)
        };
        (0..model.checks.len()).filter(called).collect()
    }
}

/// Agents that run and stay.
fn living(model: &Model) -> Vec<AgentIndex> {
    let stays = |agent: &AgentIndex| model.agents[*agent].life == Life::Running && !model.agents[*agent].removed;
    (0..model.agents.len()).filter(stays).collect()
}
