//! Handlers of the check routes: answered from the published table, without waiting for an actor where the agent is known.
//!
//! Source: cluster-checks 3, 4, 7 (ProcessStatus, GetConfigs), 8.3, 9.3. The rule behind every 503: an agent that gets a 200 with a
//! wrong set drops its checks, one that gets a 5xx keeps them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_http::StatusCode;
use bytes::Bytes;
use muster_actors::domain::ids::NodeName;
use muster_actors::domain::world::{NodeKind, NodeView, ServedTable, Standing};
use muster_actors::kernel::mailbox::{AskError, Outlet};
use muster_actors::kernel::published::Reader;
use muster_actors::messages::dispatcher::{Poll, PollReply};
use muster_actors::messages::membership::Heartbeat;

use crate::api::go_json::NodeStatus;
use crate::api::heartbeats::HeartbeatGatherer;
use crate::api::leader::LeaderGate;
use crate::api::reply::{self, Reply};
use crate::api::wire;

/// Longest wait for an actor on the poll path.
///
/// Source: style 9.5; a stock agent waits 3 s for response headers.
const POLL_DEADLINE: Duration = Duration::from_millis(500);

/// What the check routes answer from.
#[derive(Debug, Clone)]
pub struct ClusterChecks {
    /// The published assignment.
    pub served: Reader<ServedTable>,
    /// To `Membership`, for agents that are in the table.
    pub gatherer: Arc<HeartbeatGatherer>,
    /// To `Membership`, for agents that are not.
    pub heartbeats: Outlet<Heartbeat>,
    /// To `Dispatcher`, for agents that are not in the table.
    pub polls: Outlet<Poll>,
    /// Whether this replica may answer at all.
    pub leader: LeaderGate,
    /// Time for which agents that honour grants are granted what runs at most once: the expiration time of nodes.
    pub grant: Duration,
}

impl ClusterChecks {
    /// POST status: a heartbeat, and whether the agent's set is current.
    ///
    /// `real_ip` is the value of `X-Real-Ip`; empty counts as absent.
    pub async fn post_status(&self, node: NodeName, real_ip: Option<&[u8]>, body: &[u8]) -> Reply {
        if !self.leader.leads() || self.served.peek().standing == Standing::Starting {
            return reply::startup_in_progress();
        }
        let status = match NodeStatus::decode(body) {
            Ok(status) => status,
            Err(error) => return reply::text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        };
        let address = match client_address(real_ip) {
            Ok(address) => address,
            Err(text) => return reply::text(StatusCode::INTERNAL_SERVER_ERROR, &text),
        };
        let kind = NodeKind::from_wire(status.node_type);
        let NodeStatus { last_change, compatibility, honours_grants, .. } = status;
        let heartbeat = Heartbeat { node: node.clone(), address, kind, compatibility, honours_grants, last_change };
        let known = self.served.peek().is_up_to_date(&node, last_change).is_some();
        let up_to_date = if known {
            self.gatherer.take(heartbeat);
            // Read only now: who is told that its set is current must have been heard before anybody concludes from its silence that
            // it stopped (`domain::grants`).
            let table = self.served.peek();
            match table.is_up_to_date(&node, last_change) {
                Some(up_to_date) => up_to_date,
                None => return reply::startup_in_progress(),
            }
        } else {
            match self.introduce(heartbeat, last_change).await {
                Ok(PollReply { standing: Standing::Starting, .. }) => return reply::startup_in_progress(),
                Ok(_) if !self.leader.leads() => return reply::startup_in_progress(),
                Ok(answer) => answer.up_to_date,
                Err(error) => return unavailable(&error),
            }
        };
        let grant = if self.served.peek().grants() { self.grant.as_secs() } else { 0 };
        reply::json(wire::status_body(up_to_date, honours_grants.then_some(grant)))
    }

    /// An agent that is not in the table: register it, then ask whoever decides.
    async fn introduce(&self, heartbeat: Heartbeat, last_change: i64) -> Result<PollReply, AskError> {
        let node = heartbeat.node.clone();
        self.heartbeats.ask(heartbeat, POLL_DEADLINE).await?;
        self.polls.ask(Poll { node, last_change }, POLL_DEADLINE).await
    }

    /// GET configs: the set of an agent. The caller knows that this replica leads, as with every route that
    /// [`crate::api::routes::Route::is_leader_only`] names.
    pub fn get_configs(&self, node: &str) -> Reply {
        let table = self.served.peek();
        if table.standing != Standing::Active {
            return reply::startup_in_progress();
        }
        match table.nodes.get(node) {
            Some(entry) => configs(&entry.view),
            None => reply::text(StatusCode::INTERNAL_SERVER_ERROR, &format!("node {node} is unknown")),
        }
    }

    /// GET endpoint configs: the endpoint checks of a Kubernetes node; an unknown one has none.
    pub fn get_endpoint_configs(&self, kubernetes_node: &str) -> Reply {
        let table = self.served.peek();
        if table.standing != Standing::Active || !table.discovery_synced {
            return reply::startup_in_progress();
        }
        match table.endpoints.get(kubernetes_node) {
            Some(view) => configs(view),
            None => reply::json(Bytes::from_static(wire::NO_CONFIGS)),
        }
    }

    /// GET all endpoint configs, for the command line.
    pub fn get_all_endpoint_configs(&self) -> Reply {
        let table = self.served.peek();
        if table.standing == Standing::Starting || !table.discovery_synced {
            return reply::startup_in_progress();
        }
        reply::json(wire::all_endpoints_body(&table))
    }

    /// GET state, for the command line; answered in every standing.
    pub fn get_state(&self, scrub: wire::Scrub<'_>) -> Reply {
        reply::json(wire::state_body(&self.served.current(), self.leader.not_running(), scrub))
    }

    /// GET assignments: the state with stamps, digests and reasons.
    pub fn get_assignments(&self, scrub: wire::Scrub<'_>) -> Reply {
        reply::json(wire::assignments_body(&self.served.current(), scrub))
    }
}

fn configs(view: &Arc<NodeView>) -> Reply {
    reply::json(Bytes::from_owner(wire::configs_body(view)))
}

fn unavailable(error: &AskError) -> Reply {
    tracing::warn!(error = %error, "status poll not answered");
    reply::startup_in_progress()
}

/// The runner address of a poll, `None` when the header is absent or empty.
fn client_address(real_ip: Option<&[u8]>) -> Result<Option<String>, String> {
    let Some(value) = real_ip.map(<[u8]>::trim_ascii).filter(|value| !value.is_empty()) else { return Ok(None) };
    let text = String::from_utf8_lossy(value);
    if text.parse::<IpAddr>().is_ok() { Ok(Some(text.into_owned())) } else { Err(format!("cannot parse CLC runner address: {text}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_address_is_absent_and_a_wrong_one_is_named() {
        assert_eq!(client_address(None), Ok(None));
        assert_eq!(client_address(Some(b"")), Ok(None));
        assert_eq!(client_address(Some(b" ")), Ok(None));
        assert_eq!(client_address(Some(b"10.0.0.1 ")), Ok(Some("10.0.0.1".to_owned())));
        assert_eq!(client_address(Some(b"fd00::7")), Ok(Some("fd00::7".to_owned())));
        assert_eq!(client_address(Some(b"::ffff:1.2.3.4")), Ok(Some("::ffff:1.2.3.4".to_owned())));
        for wrong in ["10.0.0.300", "1.2.3", "fe80::1%eth0", "[::1]", "host"] {
            assert_eq!(client_address(Some(wrong.as_bytes())), Err(format!("cannot parse CLC runner address: {wrong}")));
        }
    }
}
