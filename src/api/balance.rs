//! Routes of balancing: the two of stock servers, and our own commands and questions.
//!
//! Source: cluster-checks 3, 4.6, 4.7, 11; style 9.8. Only the leader answers them; what decides is the `Rebalancer`.

mod answers;
mod fields;

use std::time::Duration;

use actix_http::StatusCode;
use muster_actors::balance::plan::Trigger;
use muster_actors::domain::world::ServedTable;
use muster_actors::kernel::mailbox::{AskError, Outlet};
use muster_actors::kernel::published::Reader;
use muster_actors::messages::rebalancer::{Approve, Command, Demand, Evaluate, ExplainCheck, ExplainNode, Isolate, PendingPlan, Refusal};

use self::fields::{FieldError, Fields};
use crate::api::path::query_value;
use crate::api::reply::{self, Reply};

/// Longest time for a command. Source: style 9.5.
pub const COMMAND_DEADLINE: Duration = Duration::from_secs(10);

/// What a path of [`BalanceRoute::Isolate`] begins with; the rest of it is the check id, which may hold slashes.
pub const ISOLATE_PREFIX: &str = "/api/v1/clusterchecks/isolate/check/";

/// A route of this file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BalanceRoute {
    /// `/api/v1/clusterchecks/rebalance`
    Rebalance,
    /// `/api/v1/clusterchecks/isolate/check/{checkID}`
    Isolate(String),
    /// `/api/v1/muster/plan`
    Plan,
    /// `/api/v1/muster/plan/approve`
    Approve,
    /// `/api/v1/muster/explain`
    Explain,
    /// `/api/v1/muster/pin`
    Pin,
    /// `/api/v1/muster/unpin`
    Unpin,
    /// `/api/v1/muster/isolate/end`
    EndIsolation,
    /// `/api/v1/muster/release`
    Release,
    /// `/api/v1/muster/constraints`
    Constraints,
}

impl BalanceRoute {
    /// Looks a path up, without [`ISOLATE_PREFIX`].
    pub fn find(segments: &[&str]) -> Option<Self> {
        Some(match segments {
            ["api", "v1", "clusterchecks", "rebalance"] => Self::Rebalance,
            ["api", "v1", "muster", "plan"] => Self::Plan,
            ["api", "v1", "muster", "plan", "approve"] => Self::Approve,
            ["api", "v1", "muster", "explain"] => Self::Explain,
            ["api", "v1", "muster", "pin"] => Self::Pin,
            ["api", "v1", "muster", "unpin"] => Self::Unpin,
            ["api", "v1", "muster", "isolate", "end"] => Self::EndIsolation,
            ["api", "v1", "muster", "release"] => Self::Release,
            ["api", "v1", "muster", "constraints"] => Self::Constraints,
            _ => return None,
        })
    }

    /// Methods it answers, as in the `Allow` header.
    pub fn methods(&self) -> &'static str {
        match self {
            Self::Plan | Self::Explain | Self::Constraints => "GET",
            _ => "POST",
        }
    }

    /// Label in request telemetry. Source: cluster-checks 14.1.
    pub fn handler(&self) -> Option<&'static str> {
        match self {
            Self::Rebalance => Some("postRebalanceChecks"),
            Self::Isolate(_) => Some("postIsolateCheck"),
            _ => None,
        }
    }

    /// A body that would be accepted, to name in errors.
    fn example(&self) -> &'static str {
        match self {
            Self::Rebalance => r#"{"force":false}"#,
            Self::Approve => r#"{"number":1}"#,
            Self::Pin => r#"{"check":"http_check:example:1f00aa","node":"runner-1"}"#,
            _ => r#"{"check":"http_check:example:1f00aa"}"#,
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Failed {
    /// The request cannot be used.
    #[error(transparent)]
    Request(#[from] FieldError),
    /// It can, but not now or not with these names.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Nobody decides at the moment.
    #[error("no answer from balancing: {0}; try again, and see: muster cluster status")]
    Unanswered(#[from] AskError),
}

impl Failed {
    /// Stock routes know one status for everything that goes wrong. Source: cluster-checks 3.1.
    fn status(&self, stock: bool) -> StatusCode {
        match self {
            Self::Refused(Refusal::NotDispatching | Refusal::Stale) | Self::Unanswered(_) => StatusCode::SERVICE_UNAVAILABLE,
            _ if stock => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Request(_) => StatusCode::BAD_REQUEST,
            Self::Refused(Refusal::AdvancedDispatchingOff) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Refused(Refusal::UnknownCheck(_) | Refusal::UnknownNode(_) | Refusal::NoSuchPlan(_)) => StatusCode::NOT_FOUND,
            Self::Refused(Refusal::Ambiguous { .. } | Refusal::NotInForce(_) | Refusal::Impossible(_)) => StatusCode::CONFLICT,
        }
    }
}

/// What these routes lead to: all of it is the `Rebalancer`, but for what is published.
#[derive(Debug, Clone)]
pub struct BalanceRoutes {
    /// The published assignment, for names and demands.
    pub served: Reader<ServedTable>,
    /// Makes a plan.
    pub evaluate: Outlet<Evaluate>,
    /// Carries the plan out that waits.
    pub approve: Outlet<Approve>,
    /// Tells which plan waits.
    pub pending: Outlet<PendingPlan>,
    /// Isolates a check.
    pub isolate: Outlet<Isolate>,
    /// Pins, unpins, ends isolations and quarantines.
    pub command: Outlet<Command>,
    /// Explains a check.
    pub explain_check: Outlet<ExplainCheck>,
    /// Explains a node.
    pub explain_node: Outlet<ExplainNode>,
}

impl BalanceRoutes {
    /// Answers a route. The caller knows that this replica leads.
    pub async fn answer(&self, route: BalanceRoute, query: Option<&str>, body: &[u8]) -> Reply {
        let stock = route.handler().is_some();
        match self.try_answer(route, query, body).await {
            Ok(reply) => reply,
            Err(failed) => reply::text(failed.status(stock), &failed.to_string()),
        }
    }

    async fn try_answer(&self, route: BalanceRoute, query: Option<&str>, body: &[u8]) -> Result<Reply, Failed> {
        let fields = || Fields::decode(body, route.example());
        match &route {
            BalanceRoute::Rebalance => self.rebalance(&fields()?).await,
            BalanceRoute::Isolate(check) => {
                let answer = self.isolate.ask(Isolate { check: check.clone() }, COMMAND_DEADLINE).await??;
                Ok(reply::json_value(&answers::isolated(check, &answer)))
            }
            BalanceRoute::Plan => self.plan().await,
            BalanceRoute::Approve => {
                let approval = Approve { number: fields()?.number("number")? };
                let evaluated = self.approve.ask(approval, COMMAND_DEADLINE).await??;
                Ok(reply::json_value(&answers::evaluated(&evaluated, &self.served.current())))
            }
            BalanceRoute::Explain => self.explain(query).await,
            BalanceRoute::Pin => {
                let fields = fields()?;
                self.demand(Demand::Pin { check: fields.text("check")?, node: fields.text("node")? }).await
            }
            BalanceRoute::Unpin => self.demand(Demand::Unpin { check: fields()?.text("check")? }).await,
            BalanceRoute::EndIsolation => self.demand(Demand::EndIsolation { check: fields()?.text("check")? }).await,
            BalanceRoute::Release => self.demand(Demand::Release { check: fields()?.text("check")? }).await,
            BalanceRoute::Constraints => Ok(reply::json_value(&answers::constraints(&self.served.current()))),
        }
    }

    /// `details` is ours: the answer is then an object with the whole plan, and not the array of stock servers.
    async fn rebalance(&self, fields: &Fields) -> Result<Reply, Failed> {
        let (force, dry_run) = (fields.flag("force")?, fields.flag("dry_run")?);
        let details = fields.flag("details")?;
        let evaluated = self.evaluate.ask(Evaluate { trigger: Trigger::Manual, force, dry_run }, COMMAND_DEADLINE).await??;
        let answer = answers::evaluated(&evaluated, &self.served.current());
        Ok(if details { reply::json_value(&answer) } else { reply::json_value(&answer.moves) })
    }

    async fn plan(&self) -> Result<Reply, Failed> {
        let question = Evaluate { trigger: Trigger::Manual, force: false, dry_run: true };
        let next = self.evaluate.ask(question, COMMAND_DEADLINE).await??;
        let pending = self.pending.ask(PendingPlan, COMMAND_DEADLINE).await?;
        Ok(reply::json_value(&answers::plans(&next, pending.as_ref(), &self.served.current())))
    }

    async fn explain(&self, query: Option<&str>) -> Result<Reply, Failed> {
        let named = |name: &str| query_value(query, name).filter(|value| !value.is_empty());
        match (named("check"), named("node")) {
            (Some(check), None) => Ok(reply::json_value(&self.explain_check.ask(ExplainCheck { check }, COMMAND_DEADLINE).await??)),
            (None, Some(node)) => Ok(reply::json_value(&self.explain_node.ask(ExplainNode { node }, COMMAND_DEADLINE).await??)),
            _ => Err(FieldError::Question.into()),
        }
    }

    async fn demand(&self, demand: Demand) -> Result<Reply, Failed> {
        let demanded = self.command.ask(Command { demand }, COMMAND_DEADLINE).await??;
        Ok(reply::json_value(&answers::demanded(&demanded)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stock_routes_answer_500_where_ours_tell_apart_what_is_wrong() {
        let unknown = Failed::Refused(Refusal::UnknownCheck("x".to_owned()));
        assert_eq!((unknown.status(true).as_u16(), unknown.status(false).as_u16()), (500, 404));
        let off = Failed::Refused(Refusal::AdvancedDispatchingOff);
        assert_eq!((off.status(true).as_u16(), off.status(false).as_u16()), (500, 500));
        let wrong = Failed::Request(FieldError::Question);
        assert_eq!((wrong.status(true).as_u16(), wrong.status(false).as_u16()), (500, 400));
        let stale = Failed::Refused(Refusal::Stale);
        assert_eq!((stale.status(true).as_u16(), stale.status(false).as_u16()), (503, 503));
    }

    #[test]
    fn routes_and_their_methods() {
        for (path, methods, handler) in [
            ("api/v1/clusterchecks/rebalance", "POST", Some("postRebalanceChecks")),
            ("api/v1/muster/plan", "GET", None),
            ("api/v1/muster/plan/approve", "POST", None),
            ("api/v1/muster/explain", "GET", None),
            ("api/v1/muster/constraints", "GET", None),
            ("api/v1/muster/isolate/end", "POST", None),
        ] {
            let route = BalanceRoute::find(&path.split('/').collect::<Vec<_>>()).unwrap();
            assert_eq!((route.methods(), route.handler()), (methods, handler), "{path}");
        }
        assert_eq!(BalanceRoute::find(&["api", "v1", "muster", "isolate"]), None);
        assert_eq!(BalanceRoute::Isolate("a:1".to_owned()).handler(), Some("postIsolateCheck"));
    }
}
