//! What becomes of questions and commands. Each is one course; the actor only keeps what comes out of it.

use std::sync::Arc;

use crate::balance::isolation::{self, CannotIsolate};
use crate::balance::plan::{Plan, Trigger};
use crate::cluster::rebalancer::course::{ATTEMPTS, Course, order, order_of_balancing, same_moves};
use crate::cluster::rebalancer::lookup::{config_named, config_with_id, describe, node_named};
use crate::domain::config::DispatchedConfig;
use crate::domain::constraints::ConstraintChange;
use crate::domain::ids::{ConfigKey, NodeName};
use crate::domain::journal::Cause;
use crate::domain::world::ServedTable;
use crate::messages::dispatcher::ApplyPlan;
use crate::messages::rebalancer::{Command, Demand, Demanded, Evaluate, Isolate, Isolated, Refusal};

/// What became of a look.
pub(super) enum Verdict {
    /// The plan has no moves.
    Nothing(Arc<Plan>),
    /// Carried out; so many configs moved.
    Applied(Arc<Plan>, usize),
    /// It is only to be shown.
    Shown(Arc<Plan>),
    /// Somebody has to approve it.
    Waits(Arc<Plan>),
}

/// Makes a plan and carries it out, unless it has to wait for approval.
pub(super) async fn evaluate(course: Course, ask: Evaluate, approval: bool) -> Result<Verdict, Refusal> {
    course.balances()?;
    let asked_for = ask.trigger == Trigger::Manual;
    if asked_for {
        course.collect().await;
    }
    for _ in 0..ATTEMPTS {
        let plan = course.balance(ask.trigger, ask.force).await?;
        if ask.dry_run {
            return Ok(Verdict::Shown(plan));
        }
        if plan.moves.is_empty() && !ask.force {
            return Ok(Verdict::Nothing(plan));
        }
        if approval && !asked_for {
            return Ok(Verdict::Waits(plan));
        }
        if let Some(moved) = course.give(order_of_balancing(&plan)).await? {
            return Ok(if plan.moves.is_empty() { Verdict::Nothing(plan) } else { Verdict::Applied(plan, moved) });
        }
    }
    Err(Refusal::Stale)
}

/// Carries out a plan that somebody has seen. If the assignment has changed since and other moves would be made now, these wait instead.
pub(super) async fn approve(course: Course, seen: Arc<Plan>) -> Result<Verdict, Refusal> {
    course.balances()?;
    let mut plan = Arc::clone(&seen);
    for _ in 0..ATTEMPTS {
        if let Some(moved) = course.give(order_of_balancing(&plan)).await? {
            return Ok(Verdict::Applied(plan, moved));
        }
        plan = course.balance(seen.trigger, seen.force).await?;
        if plan.moves.is_empty() {
            return Ok(Verdict::Nothing(plan));
        }
        if !same_moves(&seen, &plan) {
            return Ok(Verdict::Waits(plan));
        }
    }
    Err(Refusal::Stale)
}

/// Moves everything else away from the runner of a check, and keeps it that way. Source: cluster-checks 4.7, 11.3.
pub(super) async fn isolate(course: Course, ask: Isolate) -> Result<Isolated, Refusal> {
    course.balances()?;
    course.collect().await;
    for _ in 0..ATTEMPTS {
        let served = course.settled().await?;
        let Some(key) = config_with_id(&served, &ask.check).map(|config| config.key) else {
            return Ok(not_isolated(CannotIsolate::CheckNotFound));
        };
        let planned = course.plan(&served, move |world, policy| isolation::isolate(world, policy, key)).await;
        let plan = match planned {
            Ok(plan) => plan,
            Err(why) => return Ok(not_isolated(why)),
        };
        let Some(node) = owner_of(&served, key) else { return Ok(not_isolated(CannotIsolate::CheckNotFound)) };
        let change = ConstraintChange::Isolate { node: node.clone(), key };
        if let Some(moved) = course.give(order(&plan, vec![change], Cause::Isolated)).await? {
            return Ok(Isolated { node: Some(node), reason: String::new(), moved });
        }
    }
    Err(Refusal::Stale)
}

fn not_isolated(why: CannotIsolate) -> Isolated {
    Isolated { reason: why.to_string(), ..Isolated::default() }
}

/// The node that a config is on, or is on its way to.
fn owner_of(served: &ServedTable, key: ConfigKey) -> Option<NodeName> {
    if let Some(moving) = served.moving.iter().find(|moving| moving.config.key == key) {
        return moving.transfer.to.clone();
    }
    let mut nodes = served.nodes.iter();
    nodes.find(|(_, entry)| entry.view.configs.iter().any(|config| config.key == key)).map(|(name, _)| name.clone())
}

/// Carries out what an operator demands. What has to move because of it, the dispatcher moves in the same change.
pub(super) async fn command(course: Course, ask: Command) -> Result<Demanded, Refusal> {
    let cause = match ask.demand {
        Demand::Pin { .. } | Demand::Unpin { .. } => Cause::Pinned,
        Demand::EndIsolation { .. } => Cause::Isolated,
        Demand::Release { .. } => Cause::Released,
    };
    for _ in 0..ATTEMPTS {
        let served = course.settled().await?;
        let (change, config) = change_for(&served, &ask.demand)?;
        let order = ApplyPlan {
            epoch: served.epoch,
            generation: served.shown,
            constraints: vec![change.clone()],
            moves: Vec::new(),
            cause,
            counts: false,
        };
        if let Some(moved) = course.give(order).await? {
            return Ok(Demanded { change, check: describe(&config), moved });
        }
    }
    Err(Refusal::Stale)
}

/// The change that a demand stands for, and the config it is about.
fn change_for(served: &ServedTable, demand: &Demand) -> Result<(ConstraintChange, Arc<DispatchedConfig>), Refusal> {
    let demands = &served.constraints;
    match demand {
        Demand::Pin { check, node } => {
            let (config, node) = (config_named(served, check)?, node_named(served, node)?);
            may_be_pinned(served, &config, &node)?;
            Ok((ConstraintChange::Pin { key: config.key, node }, config))
        }
        Demand::Unpin { check } => {
            let config = config_named(served, check)?;
            if !demands.pinned.contains_key(&config.key) {
                return Err(Refusal::NotInForce(format!("{} is not pinned", describe(&config))));
            }
            Ok((ConstraintChange::Unpin { key: config.key }, config))
        }
        Demand::EndIsolation { check } => end_of_isolation(served, check),
        Demand::Release { check } => {
            let config = config_named(served, check)?;
            if !demands.quarantined.contains_key(&config.key) {
                return Err(Refusal::NotInForce(format!("{} is not in quarantine", describe(&config))));
            }
            Ok((ConstraintChange::Release { key: config.key }, config))
        }
    }
}

/// `name` is the isolated check or its node.
fn end_of_isolation(served: &ServedTable, name: &str) -> Result<(ConstraintChange, Arc<DispatchedConfig>), Refusal> {
    let isolated = &served.constraints.isolated;
    if let Some(key) = isolated.get(name)
        && let Some(config) = served.nodes.get(name).and_then(|entry| entry.view.configs.iter().find(|config| config.key == *key))
    {
        return Ok((ConstraintChange::EndIsolation { node: name.into() }, Arc::clone(config)));
    }
    if served.nodes.contains_key(name) {
        return Err(Refusal::NotInForce(format!("no check is isolated on {name}")));
    }
    let config = config_named(served, name)?;
    match isolated.iter().find(|(_, key)| **key == config.key) {
        Some((node, _)) => Ok((ConstraintChange::EndIsolation { node: node.clone() }, config)),
        None => Err(Refusal::NotInForce(format!("{} is not isolated", describe(&config)))),
    }
}

/// Errors: [`Refusal::Impossible`].
fn may_be_pinned(served: &ServedTable, config: &DispatchedConfig, node: &NodeName) -> Result<(), Refusal> {
    let impossible = |why: String| Err(Refusal::Impossible(format!("{} cannot be pinned to {node}: {why}", describe(config))));
    let demands = &served.constraints;
    let Some(entry) = served.nodes.get(node) else { return Err(Refusal::UnknownNode(node.to_string())) };
    if !entry.facts.may_run(&config.config.name) {
        return impossible(format!("it declares that it does not run {}", config.config.name));
    }
    if !entry.presence.is_staying() {
        return impossible("it is on its way out".to_owned());
    }
    if demands.refuses(node, config.key) {
        return impossible("another check is isolated there".to_owned());
    }
    if demands.quarantined.contains_key(&config.key) {
        return impossible("it is in quarantine; release it first".to_owned());
    }
    Ok(())
}
