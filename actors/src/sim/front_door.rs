//! What the HTTP listener does with polls, without HTTP. Keep in step with `src/api/cluster_checks.rs`.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::ids::NodeName;
use crate::domain::node::CheckCompatibility;
use crate::domain::world::{NodeKind, ServedTable, Standing};
use crate::kernel::mailbox::Outlet;
use crate::kernel::published::Reader;
use crate::messages::dispatcher::Poll;
use crate::messages::membership::Heartbeat;
use crate::ports::{ClusterAgentError, FetchedConfigs, UpToDate};

const POLL_DEADLINE: Duration = Duration::from_millis(500);

/// The way into a running server.
#[derive(Clone)]
pub(super) struct FrontDoor {
    pub(super) served: Reader<ServedTable>,
    pub(super) heartbeats: Outlet<Heartbeat>,
    pub(super) polls: Outlet<Poll>,
}

fn unavailable(why: impl ToString) -> ClusterAgentError {
    ClusterAgentError::Remote(why.to_string())
}

impl FrontDoor {
    pub(super) async fn post_status(self, node: NodeName, last_change: i64) -> Result<UpToDate, ClusterAgentError> {
        let startup = || unavailable("Startup in progress");
        if self.served.peek().standing == Standing::Starting {
            return Err(startup());
        }
        let beat = Heartbeat { node: node.clone(), address: None, kind: NodeKind::Runner, compatibility: CheckCompatibility::default() };
        let known = self.served.peek().is_up_to_date(&node, last_change);
        if let Some(up_to_date) = known {
            self.heartbeats.post(beat);
            return Ok(UpToDate(up_to_date));
        }
        self.heartbeats.ask(beat, POLL_DEADLINE).await.map_err(unavailable)?;
        let answer = self.polls.ask(Poll { node, last_change }, POLL_DEADLINE).await.map_err(unavailable)?;
        if answer.standing == Standing::Starting { Err(startup()) } else { Ok(UpToDate(answer.up_to_date)) }
    }

    pub(super) fn fetch(&self, node: &NodeName) -> Result<FetchedConfigs, ClusterAgentError> {
        let table = self.served.peek();
        if table.standing != Standing::Active {
            return Err(unavailable("Startup in progress"));
        }
        let Some(entry) = table.nodes.get(node) else {
            return Err(unavailable(format!("node {node} is unknown")));
        };
        let configs = entry.view.configs.iter().map(|config| Arc::new(config.config.clone())).collect();
        Ok(FetchedConfigs { last_change: entry.view.stamp.0, configs })
    }
}
