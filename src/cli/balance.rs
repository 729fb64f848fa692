//! Commands of balancing: `clusterchecks rebalance`, `isolate`, `pin`, `unpin`, `release`, `plan`, `constraints`, `record`, and `explain`.
//!
//! Source: cluster-agent-kubernetes 8.6, cluster-checks 11. They ask the server of this machine; a follower asks its leader.

mod call;
mod constraints;
mod demands;
mod explain;
mod explain_node;
mod forecast;
mod history;
pub(super) mod options;
mod plan;
mod rebalance;
mod record;

use self::call::Call;
use self::options::{BalanceCommand, IsolateOptions};
use super::context::Context;
use super::failure::{CommandResult, Failure};
use crate::config::Role;

/// Carries a command out.
pub(super) async fn run(context: &Context, command: &BalanceCommand, json: bool) -> CommandResult {
    if let BalanceCommand::Isolate(IsolateOptions { check_id: None, end: None }) = command {
        return Err(Failure::new("checkID must be specified"));
    }
    let (_, api) = context.api(Some(Role::Cluster))?;
    let call = Call { api, json, paint: context.paint };
    match command {
        BalanceCommand::Rebalance(options) => rebalance::run(&call, *options).await,
        BalanceCommand::Isolate(options) => demands::isolate(&call, options).await,
        BalanceCommand::Pin { check, node } => demands::pin(&call, check, node).await,
        BalanceCommand::Unpin { check } => demands::unpin(&call, check).await,
        BalanceCommand::Release { check } => demands::release(&call, check).await,
        BalanceCommand::Plan(options) => plan::run(&call, *options).await,
        BalanceCommand::Explain(subject) => explain::run(&call, subject).await,
        BalanceCommand::Constraints => constraints::run(&call).await,
        BalanceCommand::Record(options) => record::run(&call, options).await,
    }
}
