//! Reasons in words that a person understands who has never seen this program before.

use muster_actors::balance::explanation::RuledOut;
use muster_actors::balance::plan::{Plan, Stopped, Trigger};
use muster_actors::balance::world::Held;
use muster_actors::domain::handover::{Confirmation, Handover, Transfer};
use muster_actors::domain::journal::{Cause, Decision};
use muster_actors::domain::world::DanglingReason;

use crate::telemetry::in_words::bars::percent;

/// Why a plan was made.
pub(crate) fn trigger(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Period => "it was time again (cluster_checks.rebalance_period)",
        Trigger::Membership => "runners came or went a moment ago",
        Trigger::Manual => "somebody asked",
        Trigger::Isolation => "somebody isolates a check",
    }
}

/// Why a plan has no more moves.
pub(crate) fn stopped(plan: &Plan) -> String {
    match plan.stopped {
        Stopped::InsideBand if plan.tolerance > 0.0 => {
            format!("the load is even: every runner is within {} of the mean of {}", percent(plan.tolerance), percent(plan.mean))
        }
        Stopped::InsideBand => "the load is even".to_owned(),
        Stopped::BudgetUsedUp => {
            let budget =
                plan.budget.map_or_else(String::new, |budget| format!(" ({budget} moves in 10 minutes, {} spent before)", plan.spent));
            format!(
                "the budget of moves is used up{budget}; the rest follows later, or at once with: muster cluster clusterchecks rebalance --force"
            )
        }
        Stopped::NothingImproves => "no single move would make the load more even".to_owned(),
        Stopped::NotWorthIt => {
            "the gain is too small to be worth the moves (cluster_checks.rebalance_min_percentage_improvement)".to_owned()
        }
        Stopped::Off => "balancing is off (muster.rebalance_strategy)".to_owned(),
        Stopped::TooFewRunners => "there are fewer than two runners to balance between".to_owned(),
    }
}

/// Why a config came to where a decision put it.
pub(crate) fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Discovered => "it was new",
        Cause::NodeExpired => "its runner stopped reporting",
        Cause::NodeJoined => "a runner joined that may run it",
        Cause::NotEligible => "its runner said that it does not run this check any more",
        Cause::WarmedUp => "the server had started and knew its runners",
        Cause::LeaseRenewed => "the lease was renewed after a pause",
        Cause::Updated => "its content changed, for example its tags; it stayed in its place",
        Cause::Removed => "its source is gone",
        Cause::NodeDraining => "its runner is on its way out",
        Cause::NodeDeleted => "the pod of its runner is gone",
        Cause::Succeeded => "the pod of its runner was replaced, and the new pod took the whole set over",
        Cause::Rebalanced => "balancing evened the load out",
        Cause::Isolated => "it made room for an isolated check",
        Cause::Pinned => "somebody pinned it",
        Cause::Quarantined => "its runners died in a row, so it was put into quarantine",
        Cause::Released => "its quarantine ended",
        Cause::HandedOver => "the handover that it was in ended",
    }
}

/// Why a config is on the node where a decision put it, as the end of a sentence.
pub(crate) fn why_there(decision: &Decision) -> String {
    let node = decision.to.as_ref().map_or("there", |node| node.as_str());
    let reason = cause(decision.cause);
    match decision.cause {
        Cause::Discovered
        | Cause::NodeExpired
        | Cause::NotEligible
        | Cause::WarmedUp
        | Cause::LeaseRenewed
        | Cause::NodeDraining
        | Cause::NodeDeleted
        | Cause::Released => {
            format!("{reason}, and {node} had the most room of those that may run it")
        }
        Cause::NodeJoined => format!("it had no place until {node} reported"),
        _ => reason.to_owned(),
    }
}

/// Why balancing leaves a config where it is.
pub(crate) fn held(held: Held) -> &'static str {
    match held {
        Held::NeverMoved => "balancing never moves this check (cluster_checks.exclude_checks_from_dispatching)",
        Held::Pinned => "it is pinned (end that with: muster cluster clusterchecks unpin)",
        Held::Isolated => "it is isolated (end that with: muster cluster clusterchecks isolate --end)",
        Held::CoolingDown => "it was moved for balance a while ago and stays for now (muster.rebalance_cooldown)",
        Held::Moving => "it is on its way to another node at this moment",
        Held::Quarantined => "it is in quarantine (end that with: muster cluster clusterchecks release)",
        Held::NeedUnknown => "nothing is known about its load yet; it has to run a few times first",
    }
}

/// Why a config is not on a node.
pub(crate) fn ruled_out(reason: &RuledOut) -> String {
    match reason {
        RuledOut::Leaving => "is on its way out".to_owned(),
        RuledOut::NoWorkers => "told that it has no workers".to_owned(),
        RuledOut::NotDeclared => "declared that it does not run this check".to_owned(),
        RuledOut::OthersDeclared => "others declared that they run this check, and go first".to_owned(),
        RuledOut::IsolatedFor { check_name } => format!("is kept for {check_name} alone, which is isolated there"),
        RuledOut::NoGrants => "does not promise to stop at most-once checks in time; others do, and go first".to_owned(),
        RuledOut::Held { held: reason } => held(*reason).to_owned(),
        RuledOut::HasOne => "has such a check already, and an agent runs only one of it".to_owned(),
        RuledOut::NotYet => "nothing is placed at this moment: the server has just started, or the change is being made".to_owned(),
        RuledOut::Off => "balancing is off (muster.rebalance_strategy)".to_owned(),
        RuledOut::GoesElsewhere { node } => format!("the next plan moves it to {node}"),
        RuledOut::OwnerNotAboveMean => "the node it is on is no busier than the mean, so nothing leaves it".to_owned(),
        RuledOut::NotBelowMean => "is as busy as the mean or more, so nothing comes to it".to_owned(),
        RuledOut::NotWorthIt => {
            "would be its place, but the whole new distribution is not worth its moves (cluster_checks.rebalance_min_percentage_improvement)"
                .to_owned()
        }
        RuledOut::Sticky => "would be its place, if the rule did not prefer the node it is on (cluster_checks.stickiness_*)".to_owned(),
        RuledOut::NotChosen => "the rule gives it another place".to_owned(),
        RuledOut::NoGain => "the load would not be more even".to_owned(),
        RuledOut::InsideBand => "the load is even enough: every runner is close to the mean".to_owned(),
        RuledOut::BudgetUsedUp => "would help; waits until the budget of moves allows it".to_owned(),
        RuledOut::OthersFirst => "would help now, but others help more, and after them it would not".to_owned(),
        RuledOut::Planned => "goes there with the next plan".to_owned(),
    }
}

/// Why a config runs nowhere.
pub(crate) fn dangling(reason: DanglingReason) -> &'static str {
    match reason {
        DanglingReason::NoNode => "no runner reports",
        DanglingReason::NoEligibleNode => "no runner that reports may run it",
        DanglingReason::WarmingUp => "the server has just started and waits for its runners",
        DanglingReason::GrantsUnknown => {
            "nobody knows yet whether a former runner of it has stopped; until that is sure it must not run twice"
        }
        DanglingReason::Quarantined => "it is in quarantine, because its runners died in a row",
    }
}

/// What happens when a config changes its node.
pub(crate) fn handover(handover: Handover) -> &'static str {
    match handover {
        Handover::Any => "both nodes learn of a move with their next poll; for up to 10 s both run it, or none",
        Handover::Gap => "the next node gets it after the former one has stopped it: a gap, never twice",
        Handover::Overlap => "the former node keeps it until the next one has started it: no gap, for a moment twice",
        Handover::AtMostOnce => "the next node gets it only when the former one has stopped it for sure: never twice",
    }
}

/// Where a config on its way is.
pub(crate) fn transfer(transfer: &Transfer) -> String {
    let to = transfer.to.as_ref().map_or("a node that is still to be chosen", |node| node.as_str());
    let waits = match transfer.waits_for {
        Confirmation::Stopped => format!("waits until {} confirms that it stopped it; nobody runs it meanwhile", transfer.from),
        Confirmation::Started => format!("waits until {to} confirms that it started it; both run it meanwhile"),
    };
    format!("from {} to {to}: {waits}", transfer.from)
}
