//! What would move a config next, in words.

use crate::balance::explain::ground::Ground;
use crate::balance::explanation::{Candidate, CheckExplanation, RuledOut};
use crate::balance::plan::{Plan, Stopped};
use crate::balance::policy::{BalancePolicy, Strategy};
use crate::balance::world::{Held, Load, RunnerIndex};
use crate::domain::handover::{Confirmation, Transfer};
use crate::domain::ids::NodeName;
use crate::domain::world::{DanglingReason, Presence};

/// The events, most likely first.
pub(super) fn what_moves_it_next(
    ground: &Ground<'_>,
    policy: &BalancePolicy,
    plan: &Plan,
    load: &Load,
    explained: &CheckExplanation,
) -> Vec<String> {
    let mut next = Vec::new();
    if let Some(quarantine) = &explained.quarantine {
        let killed = quarantine.killed.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        next.push(format!(
            "when its quarantine ends, by itself or with: muster clusterchecks release {} (it was on {killed})",
            load.digest
        ));
        return next;
    }
    if let Some(transfer) = &explained.transfer {
        next.push(arrival(transfer));
    }
    let Some(owner) = load.owner else {
        next.extend(explained.dangling.map(placement));
        return next;
    };
    let name = &ground.world.runners[owner].name;
    match ground.world.runners[owner].presence {
        Presence::Staying => {}
        Presence::HandingOver => next.push(format!("in a moment: {name} is on its way out, and its successor is about to register")),
        Presence::Draining => next.push(format!("when a node registers that may run it: {name} is on its way out")),
    }
    next.extend(for_balance(ground, policy, plan, load, owner, explained));
    if ground.world.runners[owner].presence == Presence::Staying {
        next.push(format!("when {name} leaves: its pod terminates, or it is silent until it expires"));
    }
    next
}

fn arrival(transfer: &Transfer) -> String {
    let to = transfer.to.as_ref().map_or("another node", |to| to.as_str());
    match transfer.waits_for {
        Confirmation::Stopped => format!("when {} has confirmed that it stopped, or is lost: then {to} gets it", transfer.from),
        Confirmation::Started => format!("when {to} has confirmed that it runs it: then {} stops", transfer.from),
    }
}

fn placement(reason: DanglingReason) -> String {
    match reason {
        DanglingReason::NoNode => "when a node registers: there is none",
        DanglingReason::NoEligibleNode => "when a node registers, or becomes free, that may run it",
        DanglingReason::WarmingUp => "when the warm-up ends",
        DanglingReason::GrantsUnknown => "when no grant of the leader before can be in force any more: it must not run twice",
        DanglingReason::Quarantined => "when its quarantine ends",
    }
    .to_owned()
}

/// What balancing does with a config that has an owner.
fn for_balance(
    ground: &Ground<'_>,
    policy: &BalancePolicy,
    plan: &Plan,
    load: &Load,
    owner: RunnerIndex,
    explained: &CheckExplanation,
) -> Vec<String> {
    let planned = explained.candidates.iter().find(|candidate| candidate.ruled_out == Some(RuledOut::Planned));
    if let Some(Candidate { node, .. }) = planned {
        let when = if policy.approval { "as soon as somebody approves it" } else { "or at once with: muster clusterchecks rebalance" };
        return vec![format!("with the next plan, to {node}, {when}")];
    }
    let elsewhere = |pin: &&NodeName| **pin != ground.world.runners[owner].name;
    let held = match load.held {
        None => None,
        Some(Held::Pinned) => Some(match load.pinned_to.as_ref().filter(elsewhere) {
            Some(pin) => format!("when {pin}, to which it is pinned, may take it"),
            None => format!("nothing for balance: it is pinned there (muster clusterchecks unpin {})", load.digest),
        }),
        Some(Held::Isolated) => {
            Some("nothing for balance: it is isolated there, until somebody ends that or forces a rebalance".to_owned())
        }
        Some(Held::NeverMoved) => Some("nothing for balance: it is in cluster_checks.exclude_checks_from_dispatching".to_owned()),
        Some(Held::CoolingDown) => {
            Some(format!("not for balance until {} min after its last move", policy.cooldown.as_secs().div_ceil(60)))
        }
        Some(Held::Moving) => Some("nothing for balance before it has arrived".to_owned()),
        Some(Held::Quarantined) => Some("when its quarantine ends".to_owned()),
        Some(Held::NeedUnknown) => Some("nothing for balance before its runner has told how long it takes".to_owned()),
    };
    if let Some(held) = held {
        return vec![held];
    }
    match policy.strategy {
        Strategy::Off => vec!["nothing for balance: that is off (muster.rebalance_strategy)".to_owned()],
        Strategy::Bounded => bounded(ground, plan, owner, explained),
        Strategy::Utilization => vec![utilization(policy, explained)],
        Strategy::Busyness => {
            vec!["when its runner is busier than the mean, and this is its heaviest check that fits elsewhere".to_owned()]
        }
    }
}

fn any<'c>(explained: &'c CheckExplanation, reason: &RuledOut) -> Option<&'c Candidate> {
    explained.candidates.iter().find(|candidate| candidate.ruled_out.as_ref() == Some(reason))
}

/// `bounded`: the conditions of phase 3, that which fails first.
fn bounded(ground: &Ground<'_>, plan: &Plan, owner: RunnerIndex, explained: &CheckExplanation) -> Vec<String> {
    let name = &ground.world.runners[owner].name;
    let (mean, tolerance, now) = (ground.mean, ground.tolerance, ground.utilization(owner));
    if let Some(candidate) = any(explained, &RuledOut::BudgetUsedUp) {
        let budget = plan.budget.unwrap_or(0);
        return vec![format!(
            "when the budget allows, to {}: {} of {budget} moves in 10 min are made",
            candidate.node,
            plan.spent + plan.moves.len()
        )];
    }
    let open = explained.candidates.iter().filter(|candidate| {
        matches!(
            candidate.ruled_out,
            Some(RuledOut::InsideBand | RuledOut::OwnerNotAboveMean | RuledOut::NotBelowMean | RuledOut::NoGain | RuledOut::OthersFirst)
        )
    });
    let Some(best) = open.max_by(|one, other| one.gain.unwrap_or(f64::MIN).total_cmp(&other.gain.unwrap_or(f64::MIN))) else {
        return vec!["when another node registers that may run it".to_owned()];
    };
    let uneven = format!(
        "when the load is less even: some runner more than {tolerance:.2} away from the mean of {mean:.2}, and {name} above it (now {now:.2})"
    );
    match best.ruled_out {
        Some(RuledOut::OthersFirst) if plan.stopped != Stopped::InsideBand => {
            vec![format!("when it still improves something after the {} moves that come first", plan.moves.len())]
        }
        Some(RuledOut::NoGain) => vec![format!(
            "when a move improves something: of the other nodes {} is the best one, with {:.2} where {name} has {now:.2}",
            best.node, best.with_it
        )],
        Some(RuledOut::NotBelowMean) => vec![format!("when a runner that may run it is below the mean of {mean:.2}, with {name} above it")],
        _ => vec![uneven],
    }
}

/// `utilization`: whether the new distribution would be carried out.
fn utilization(policy: &BalancePolicy, explained: &CheckExplanation) -> String {
    if let Some(candidate) = any(explained, &RuledOut::NotWorthIt) {
        return format!(
            "when the new distribution, in which it is on {}, is worth it ({:.0} % more even, fewer overloaded or fewer empty runners), or \
             with: muster clusterchecks rebalance --force",
            candidate.node, policy.min_improvement
        );
    }
    if let Some(candidate) = any(explained, &RuledOut::Sticky) {
        return format!("when {} is more than the preference for its present runner less used", candidate.node);
    }
    "when a new distribution, by need, gives it another runner".to_owned()
}
