//! What the HTTP listener does with polls, without HTTP. Keep in step with `src/api/cluster_checks.rs` and `src/api/leader.rs`.

use std::sync::Arc;
use std::time::Duration;

use crate::balance::quarantine::QuarantinePolicy;
use crate::cluster::dispatcher::parts::DispatchPolicy;
use crate::domain::ids::{NodeName, Stamp};
use crate::domain::lease::{Leadership, Role};
use crate::domain::node::CheckCompatibility;
use crate::domain::world::{NodeKind, ServedTable, Standing};
use crate::kernel::clock::Clock;
use crate::kernel::mailbox::Outlet;
use crate::kernel::published::Reader;
use crate::messages::dispatcher::{Poll, PollReply};
use crate::messages::membership::Heartbeat;
use crate::ports::{ClusterAgentError, FetchedConfigs};

/// Time of a grant: the expiration time of nodes.
pub(super) const GRANT: Duration = Duration::from_secs(30);

const POLL_DEADLINE: Duration = Duration::from_millis(500);

/// What an agent asks.
#[derive(Debug, Clone)]
pub(super) enum Request {
    Status { node: NodeName, last_change: i64, honours_grants: bool },
    Configs { node: NodeName },
}

/// An answer with status 200.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    Status {
        up_to_date: bool,
        /// Not sent: what the answer is worth.
        standing: Standing,
        /// For agents that honour grants.
        grant: Option<Duration>,
    },
    Configs(FetchedConfigs),
}

/// Who answers for the cluster, as `Lead` in `src/api/leader.rs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lead {
    Here,
    Elsewhere(Option<String>),
    Unknown,
}

/// The way into a running server.
#[derive(Clone)]
pub(super) struct FrontDoor {
    pub(super) served: Reader<ServedTable>,
    pub(super) heartbeats: Outlet<Heartbeat>,
    pub(super) polls: Outlet<Poll>,
    pub(super) leadership: Reader<Leadership>,
    pub(super) clock: Arc<dyn Clock>,
    /// Believes what was published last, without asking the clock. Never in production.
    pub(super) trusts_role: bool,
    /// How long agents are granted their sets; in production the expiration time of nodes.
    pub(super) grant: Duration,
    /// Takes a poll of one agent for polls of all with their present versions. Never in production.
    pub(super) confirms_for_agents: bool,
}

pub(super) fn unavailable(why: impl ToString) -> ClusterAgentError {
    ClusterAgentError::Remote(why.to_string())
}

fn startup() -> ClusterAgentError {
    unavailable("Startup in progress")
}

impl FrontDoor {
    pub(super) fn leads(&self) -> bool {
        let leadership = self.leadership.peek();
        leadership.leads(self.clock.monotonic()) || self.trusts_role && leadership.role == Role::Leader
    }

    pub(super) fn lead(&self) -> Lead {
        let leadership = self.leadership.current();
        match leadership.role {
            Role::Leader if self.leads() => Lead::Here,
            Role::Follower => Lead::Elsewhere(leadership.address.clone()),
            Role::Leader | Role::Unknown => Lead::Unknown,
        }
    }

    /// The answer of this server. As in `src/api/cluster.rs`, the caller asks [`Self::lead`] first.
    pub(super) async fn answer(&self, request: Request) -> Result<Reply, ClusterAgentError> {
        match request {
            Request::Status { node, last_change, honours_grants } => self.post_status(node, last_change, honours_grants).await,
            Request::Configs { node } => self.fetch(&node).map(Reply::Configs),
        }
    }

    async fn post_status(&self, node: NodeName, last_change: i64, honours_grants: bool) -> Result<Reply, ClusterAgentError> {
        if !self.leads() || self.served.peek().standing == Standing::Starting {
            return Err(startup());
        }
        let beat = Heartbeat {
            node: node.clone(),
            address: None,
            kind: NodeKind::Runner,
            compatibility: CheckCompatibility::default(),
            honours_grants,
            last_change,
        };
        if self.confirms_for_agents {
            self.confirm_for_all();
        }
        let granted = || honours_grants.then(|| if self.served.peek().grants() { self.grant } else { Duration::ZERO });
        if self.served.peek().is_up_to_date(&node, last_change).is_some() {
            self.heartbeats.post(beat);
            let (known, standing) = {
                let served = self.served.peek();
                (served.is_up_to_date(&node, last_change), served.standing)
            };
            return known.map(|up_to_date| Reply::Status { up_to_date, standing, grant: granted() }).ok_or_else(startup);
        }
        self.heartbeats.ask(beat, POLL_DEADLINE).await.map_err(unavailable)?;
        match self.polls.ask(Poll { node, last_change }, POLL_DEADLINE).await.map_err(unavailable)? {
            PollReply { standing: Standing::Starting, .. } => Err(startup()),
            _ if !self.leads() => Err(startup()),
            PollReply { standing, up_to_date, .. } => Ok(Reply::Status { up_to_date, standing, grant: granted() }),
        }
    }

    /// Lets every agent count as having confirmed its present version.
    fn confirm_for_all(&self) {
        let served = self.served.current();
        for (node, entry) in &served.nodes {
            let facts = entry.facts.clone();
            self.heartbeats.post(Heartbeat {
                node: node.clone(),
                address: None,
                kind: facts.kind,
                compatibility: facts.compatibility,
                honours_grants: facts.honours_grants,
                last_change: entry.view.stamp.0,
            });
        }
    }

    fn fetch(&self, node: &NodeName) -> Result<FetchedConfigs, ClusterAgentError> {
        let table = self.served.peek();
        if table.standing != Standing::Active {
            return Err(startup());
        }
        let Some(entry) = table.nodes.get(node) else {
            return Err(unavailable(format!("node {node} is unknown")));
        };
        let configs = entry.view.configs.iter().map(|config| Arc::new(config.config.clone())).collect();
        let Stamp(last_change) = entry.view.stamp;
        Ok(FetchedConfigs { last_change, configs })
    }
}

/// The rules of dispatching of these worlds: the default ones without the quarantine, which the fleet's worlds have and audit.
///
/// Why: agents die so often here that a check is suspected now and then, and these auditors expect every check to run.
pub(super) fn dispatch_policy() -> DispatchPolicy {
    DispatchPolicy { quarantine: QuarantinePolicy { enabled: false, ..QuarantinePolicy::default() }, ..DispatchPolicy::default() }
}
