//! Stands in for the `Rebalancer`: remembers what it is asked, and answers what a test wants.

use std::sync::{Arc, Mutex};

use actix::{Actor, Context, Handler, MessageResult};
use muster::api::balance::BalanceRoutes;
use muster_actors::balance::explanation::{Candidate, CheckExplanation, NodeExplanation, RuledOut};
use muster_actors::balance::plan::{Move, Plan, Stopped, Trigger};
use muster_actors::balance::policy::Strategy;
use muster_actors::domain::constraints::ConstraintChange;
use muster_actors::domain::handover::Handover;
use muster_actors::domain::ids::{ConfigKey, Digest, Epoch, Seq};
use muster_actors::domain::world::ServedTable;
use muster_actors::kernel::mailbox::Handle;
use muster_actors::kernel::published::Reader;
use muster_actors::kernel::supervised::Observed;
use muster_actors::messages::rebalancer::{
    Approve, Command, Demand, Demanded, Evaluate, Evaluated, ExplainCheck, ExplainNode, Isolate, Isolated, Outcome, PendingPlan, Refusal,
};
use muster_actors::supervised;
use serde_json::Value as Json;

/// What tests look at and arrange.
#[derive(Default)]
pub struct Desk {
    /// Everything that was asked, in order.
    pub asked: Vec<String>,
    /// What is answered to everything, if set.
    pub refusal: Option<Refusal>,
    /// The moves of every plan.
    pub moves: Vec<Move>,
}

pub type SharedDesk = Arc<Mutex<Desk>>;

pub struct FakeBalancer {
    pub desk: SharedDesk,
}

impl Actor for FakeBalancer {
    type Context = Context<Self>;
}

impl Observed for FakeBalancer {
    fn observe(&self) -> Json {
        Json::Null
    }
}

supervised!(FakeBalancer);

/// The way to it.
pub fn routes(balancer: &Handle<FakeBalancer>, served: Reader<ServedTable>) -> BalanceRoutes {
    BalanceRoutes {
        served,
        evaluate: balancer.outlet(),
        approve: balancer.outlet(),
        pending: balancer.outlet(),
        isolate: balancer.outlet(),
        command: balancer.outlet(),
        explain_check: balancer.outlet(),
        explain_node: balancer.outlet(),
    }
}

/// A move of the config that `site::config` makes of this name.
pub fn movement(check_name: &str) -> Move {
    let key = check_name.bytes().fold(0, |key, byte| key * 256 + u128::from(byte));
    Move {
        key: ConfigKey(key),
        digest: Digest(0x2c0d),
        check_name: check_name.to_owned(),
        from: "r1".into(),
        to: "r2".into(),
        need: 0.5,
        gain: 0.1,
        cost: 1.0,
        from_utilization: 0.6,
        to_utilization: 0.15,
        check_weight: 500,
        source_diff: 600,
        dest_diff: 150,
    }
}

fn plan(moves: Vec<Move>) -> Arc<Plan> {
    Arc::new(Plan {
        epoch: Epoch(1),
        generation: Seq(7),
        strategy: Strategy::Bounded,
        trigger: Trigger::Manual,
        force: false,
        moves,
        forecast: Vec::new(),
        mean: 0.3,
        tolerance: 0.02,
        budget: Some(5),
        spent: 0,
        stopped: Stopped::InsideBand,
    })
}

impl FakeBalancer {
    fn note(&self, question: String) -> Result<(), Refusal> {
        let mut desk = self.desk.lock().unwrap();
        desk.asked.push(question);
        desk.refusal.clone().map_or(Ok(()), Err)
    }

    fn plan(&self) -> Arc<Plan> {
        plan(self.desk.lock().unwrap().moves.clone())
    }
}

impl Handler<Evaluate> for FakeBalancer {
    type Result = MessageResult<Evaluate>;

    fn handle(&mut self, question: Evaluate, _: &mut Self::Context) -> Self::Result {
        let outcome = if question.dry_run { Outcome::DryRun } else { Outcome::Applied };
        let noted = self.note(format!("evaluate force={} dry_run={}", question.force, question.dry_run));
        MessageResult(noted.map(|()| Evaluated { plan: self.plan(), outcome }))
    }
}

impl Handler<Approve> for FakeBalancer {
    type Result = MessageResult<Approve>;

    fn handle(&mut self, approval: Approve, _: &mut Self::Context) -> Self::Result {
        let noted = self.note(format!("approve {}", approval.number));
        let known = noted.and(if approval.number == 3 { Ok(()) } else { Err(Refusal::NoSuchPlan(approval.number)) });
        MessageResult(known.map(|()| Evaluated { plan: self.plan(), outcome: Outcome::Applied }))
    }
}

impl Handler<PendingPlan> for FakeBalancer {
    type Result = MessageResult<PendingPlan>;

    fn handle(&mut self, _: PendingPlan, _: &mut Self::Context) -> Self::Result {
        MessageResult(Some((3, plan(vec![movement("postgres")]))))
    }
}

impl Handler<Isolate> for FakeBalancer {
    type Result = MessageResult<Isolate>;

    fn handle(&mut self, question: Isolate, _: &mut Self::Context) -> Self::Result {
        let noted = self.note(format!("isolate {}", question.check));
        MessageResult(noted.map(|()| match question.check.as_str() {
            "nosuch:1" => Isolated { reason: "Unable to find check".to_owned(), ..Isolated::default() },
            "alone:1" => Isolated { reason: "No other runners available".to_owned(), ..Isolated::default() },
            _ => Isolated { node: Some("r1".into()), moved: 4, ..Isolated::default() },
        }))
    }
}

impl Handler<Command> for FakeBalancer {
    type Result = MessageResult<Command>;

    fn handle(&mut self, Command { demand }: Command, _: &mut Self::Context) -> Self::Result {
        let noted = self.note(format!("{demand:?}"));
        let change = match demand {
            Demand::Pin { node, .. } => ConstraintChange::Pin { key: ConfigKey(1), node: node.as_str().into() },
            Demand::Unpin { .. } => ConstraintChange::Unpin { key: ConfigKey(1) },
            Demand::EndIsolation { .. } => ConstraintChange::EndIsolation { node: "r1".into() },
            Demand::Release { .. } => ConstraintChange::Release { key: ConfigKey(1) },
        };
        MessageResult(noted.map(|()| Demanded { change, check: "redisdb (redisdb:1f00aa)".to_owned(), moved: 1 }))
    }
}

impl Handler<ExplainCheck> for FakeBalancer {
    type Result = MessageResult<ExplainCheck>;

    fn handle(&mut self, ExplainCheck { check }: ExplainCheck, _: &mut Self::Context) -> Self::Result {
        let noted = self.note(format!("explain check {check}"));
        let candidate = Candidate {
            node: "r2".into(),
            workers: 4.0,
            configs: 3,
            utilization: 0.25,
            with_it: 0.375,
            gain: Some(0.01),
            ruled_out: Some(RuledOut::InsideBand),
        };
        MessageResult(noted.map(|()| {
            Box::new(CheckExplanation {
                key: ConfigKey(1),
                digest: Digest(0x2c0d),
                check_name: "redisdb".to_owned(),
                check_ids: vec!["redisdb:1f00aa".into()],
                source: "file:redisdb.yaml".to_owned(),
                node: Some("r1".into()),
                dangling: None,
                transfer: None,
                since_unix_nanos: Some(1),
                need: Some(0.5),
                counted: 0.5,
                move_cost: 1.0,
                handover: Handover::Any,
                held: None,
                pinned_to: None,
                quarantine: None,
                candidates: vec![candidate],
                history: Vec::new(),
                next: vec!["the loss of r1".to_owned()],
            })
        }))
    }
}

impl Handler<ExplainNode> for FakeBalancer {
    type Result = MessageResult<ExplainNode>;

    fn handle(&mut self, ExplainNode { node }: ExplainNode, _: &mut Self::Context) -> Self::Result {
        let noted = self.note(format!("explain node {node}"));
        MessageResult(noted.map(|()| {
            Box::new(NodeExplanation {
                node: node.as_str().into(),
                workers: 4.0,
                workers_known: true,
                utilization: 0.3,
                mean: 0.3,
                tolerance: 0.02,
                remarks: Vec::new(),
                figures_age_seconds: None,
                configs: Vec::new(),
                history: Vec::new(),
                planned: Vec::new(),
                stopped: Stopped::InsideBand,
            })
        }))
    }
}
