//! `clusterchecks plan`: what balancing would do next, and what waits for approval.

use std::fmt::Write as _;

use muster_actors::balance::plan::Plan;
use muster_actors::messages::rebalancer::Outcome;
use serde::Deserialize;
use serde_json::json;

use super::call::{Call, failure};
use super::forecast;
use super::options::PlanOptions;
use crate::cli::failure::CommandResult;
use crate::cli::render::columns;
use crate::telemetry::in_words::bars::percent;
use crate::telemetry::in_words::{counted, reasons};

/// A move as stock servers tell it. Every key may be missing: there were two forms.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct StockMove {
    check_id: String,
    digest: String,
    check_name: String,
    pub(super) check_weight: i64,
    pub(super) source_node_name: String,
    pub(super) source_diff: i64,
    pub(super) dest_node_name: String,
    pub(super) dest_diff: i64,
}

impl StockMove {
    /// The best name there is.
    pub(super) fn id(&self) -> String {
        match (self.check_id.as_str(), self.check_name.as_str(), self.digest.as_str()) {
            ("", "", digest) => digest.to_owned(),
            ("", name, "") => name.to_owned(),
            ("", name, digest) => format!("{name}:{digest}"),
            (id, _, _) => id.to_owned(),
        }
    }
}

/// A plan and what became of it.
#[derive(Debug, Deserialize)]
pub(super) struct Evaluated {
    pub(super) outcome: Outcome,
    pub(super) plan: Plan,
    pub(super) moves: Vec<StockMove>,
}

#[derive(Debug, Deserialize)]
struct Pending {
    number: u64,
    plan: Plan,
    moves: Vec<StockMove>,
}

#[derive(Debug, Deserialize)]
struct Plans {
    next: Evaluated,
    pending: Option<Pending>,
}

pub(super) async fn run(call: &Call, options: PlanOptions) -> CommandResult {
    if let Some(number) = options.approve {
        let body = call.api.post_json("/api/v1/muster/plan/approve", &json!({"number": number})).await.map_err(failure)?;
        return call.show(body, |answer: &Evaluated| render_approved(number, answer));
    }
    let body = call.api.get("/api/v1/muster/plan").await.map_err(failure)?;
    call.show(body, render)
}

fn render_approved(number: u64, answer: &Evaluated) -> String {
    let Evaluated { outcome, plan, moves } = answer;
    let head = match outcome {
        Outcome::AwaitsApproval(other) => format!(
            "The assignment has changed since plan {number} was made, and other moves would be made now. Nothing has moved: these wait as \
             plan {other}, for: muster cluster clusterchecks plan --approve {other}"
        ),
        Outcome::Nothing => {
            format!("The assignment has changed since plan {number} was made, and nothing needs to move now: {}.", reasons::stopped(plan))
        }
        Outcome::Applied | Outcome::DryRun => format!("Plan {number} is carried out, with {}.", counted(moves.len(), "move")),
    };
    format!("{head}\n\n{}", details(plan, moves))
}

fn render(plans: &Plans) -> String {
    let mut text = String::new();
    if let Some(Pending { number, plan, moves }) = &plans.pending {
        let _ = write!(text, "=== Plan {number} waits for approval ===\nMade because {}.\n\n", reasons::trigger(plan.trigger));
        text.push_str(&details(plan, moves));
        let _ = write!(text, "\nApprove it with: muster cluster clusterchecks plan --approve {number}\n\n");
    }
    let Evaluated { plan, moves, .. } = &plans.next;
    text.push_str("=== Next plan ===\n");
    if moves.is_empty() {
        let _ = writeln!(text, "Nothing would move: {}.", reasons::stopped(plan));
    } else {
        let _ = writeln!(text, "{} would move. Nothing has moved yet.", counted(moves.len(), "check"));
    }
    let _ = writeln!(text, "Strategy: {}. Budget: {}.\n", plan.strategy.as_str(), budget(plan));
    text.push_str(&details(plan, moves));
    text
}

/// How many moves this window still allows.
fn budget(plan: &Plan) -> String {
    match plan.budget {
        Some(budget) => format!("{} of {budget} moves in 10 minutes are spent", plan.spent),
        None => "any number of moves".to_owned(),
    }
}

/// The moves as a table, every runner before and after, and why there are no more moves.
pub(super) fn details(plan: &Plan, stock: &[StockMove]) -> String {
    let mut text = String::new();
    if !plan.moves.is_empty() {
        let head = ["Check", "Need", "From", "To", "Gain", "Cost"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        for (position, one) in plan.moves.iter().enumerate() {
            let id = stock.get(position).map_or_else(|| one.check_name.clone(), StockMove::id);
            let at = |name: &str, utilization: f64| format!("{name} ({})", percent(utilization));
            let gain = if one.gain > 0.0 { format!("{:.3}", one.gain) } else { "-".to_owned() };
            let places = [at(one.from.as_str(), one.from_utilization), at(one.to.as_str(), one.to_utilization)];
            let [from, to] = places;
            rows.push(vec![id, format!("{:.2}", one.need), from, to, gain, format!("{:.1}", one.cost)]);
        }
        text.push_str(&columns(&rows, 3));
        text.push_str("Need: workers it occupies. Gain: how much evener the load gets. Cost: 1 = a usual move.\n\n");
    }
    if !plan.forecast.is_empty() {
        text.push_str(&forecast::table(&plan.forecast));
    }
    if !plan.moves.is_empty() {
        let _ = writeln!(text, "No more moves, because {}.", reasons::stopped(plan));
    }
    text
}

#[cfg(test)]
pub(super) mod tests {
    use muster_actors::balance::plan::{Forecast, Move, Stopped, Trigger};
    use muster_actors::balance::policy::Strategy;
    use muster_actors::domain::ids::{ConfigKey, Digest, Epoch, Seq};
    use serde_json::Value as Json;

    use super::*;

    /// The plan of T44: one check goes from the full runner to the one with room.
    pub(in crate::cli::balance) fn plan() -> Plan {
        let runner = |name: &str, workers: f64, before: f64, after: f64, configs_before: usize, configs_after: usize| Forecast {
            runner: name.into(),
            workers,
            before,
            after,
            configs_before,
            configs_after,
        };
        Plan {
            epoch: Epoch(1),
            generation: Seq(9),
            strategy: Strategy::Bounded,
            trigger: Trigger::Membership,
            force: false,
            moves: vec![Move {
                key: ConfigKey(1),
                digest: Digest(0x2c0d),
                check_name: "postgres".to_owned(),
                from: "r2".into(),
                to: "r1".into(),
                need: 1.0,
                gain: 1.25,
                cost: 1.0,
                from_utilization: 1.0,
                to_utilization: 0.0625,
                check_weight: 1000,
                source_diff: 1000,
                dest_diff: 62,
            }],
            forecast: vec![runner("r1", 8.0, 0.0625, 0.1875, 1, 2), runner("r2", 2.0, 1.0, 0.5, 2, 1)],
            mean: 0.25,
            tolerance: 0.02,
            budget: Some(5),
            spent: 2,
            stopped: Stopped::NothingImproves,
        }
    }

    pub(in crate::cli::balance) fn stock_moves() -> Json {
        json!([{"digest":"2c0d","check_name":"postgres","check_weight":1000,"source_node_name":"r2","source_diff":1000,"dest_node_name":"r1","dest_diff":62,"check_id":"postgres:1b29"}])
    }

    #[test]
    fn the_next_plan_and_the_one_that_waits() {
        let answer = json!({"outcome": "dry_run", "plan": plan(), "moves": stock_moves()});
        let pending = json!({"number": 3, "plan": plan(), "moves": stock_moves()});
        let text = render(&serde_json::from_value(json!({"next": answer, "pending": pending})).unwrap());
        let details = "Check           Need   From           To           Gain    Cost\n\
                       postgres:1b29   1.00   r2 (100.0 %)   r1 (6.2 %)   1.250   1.0\n\
                       Need: workers it occupies. Gain: how much evener the load gets. Cost: 1 = a usual move.\n\n\
                       Runner  Utilization before             Utilization after             Configs\n\
                       r1      #...................  6.2 %    ####................  18.8 %  1 -> 2\n\
                       r2      ####################  100.0 %  ##########..........  50.0 %  2 -> 1\n\
                       A full bar is 100.0 %.\n\
                       No more moves, because no single move would make the load more even.\n";
        let expected = format!(
            "=== Plan 3 waits for approval ===\nMade because runners came or went a moment ago.\n\n{details}\n\
             Approve it with: muster cluster clusterchecks plan --approve 3\n\n\
             === Next plan ===\n1 check would move. Nothing has moved yet.\n\
             Strategy: bounded. Budget: 2 of 5 moves in 10 minutes are spent.\n\n{details}"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn an_approval_says_what_became_of_it() {
        let text = |outcome: Outcome| {
            let answer = json!({"outcome": outcome, "plan": plan(), "moves": stock_moves()});
            render_approved(3, &serde_json::from_value(answer).unwrap())
        };
        assert!(text(Outcome::Applied).starts_with("Plan 3 is carried out, with 1 move.\n\nCheck  "));
        assert!(text(Outcome::AwaitsApproval(4)).contains("these wait as plan 4, for: muster cluster clusterchecks plan --approve 4\n"));
        assert!(text(Outcome::Nothing).contains("nothing needs to move now"));
    }

    #[test]
    fn an_empty_plan_says_why() {
        let plan = Plan { moves: Vec::new(), stopped: Stopped::InsideBand, budget: None, ..plan() };
        let next = json!({"outcome": "nothing", "plan": plan, "moves": []});
        let text = render(&serde_json::from_value(json!({"next": next, "pending": null})).unwrap());
        let head = "=== Next plan ===\nNothing would move: the load is even: every runner is within 2.0 % of the mean of 25.0 %.\n\
                    Strategy: bounded. Budget: any number of moves.\n\nRunner  ";
        assert!(text.starts_with(head), "{text}");
    }

    #[test]
    fn moves_of_servers_of_every_age_have_a_name() {
        let id = |json: &str| serde_json::from_str::<StockMove>(json).unwrap().id();
        assert_eq!(id(r#"{"check_id":"a:1"}"#), "a:1");
        assert_eq!(id(r#"{"digest":"2c","check_name":"a"}"#), "a:2c");
        assert_eq!(id(r#"{"digest":"2c","check_name":""}"#), "2c");
    }
}
