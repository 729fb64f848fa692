//! The few things that can be done to agents and to the server.

use crate::sim::fleet::model::{AgentIndex, CheckIndex};
use crate::sim::fleet::scenario::Action;

/// Something that is done.
#[derive(Clone, Debug)]
pub(super) enum Deed {
    /// Something of the scenario happens.
    Happen(Action),
    /// An agent dies.
    Stop(AgentIndex),
    /// An agent starts, with nothing.
    Start(AgentIndex),
    /// An agent and the cluster role can reach each other, or cannot.
    Reach(AgentIndex, bool),
    /// An agent that stood still goes on.
    GoOn(AgentIndex),
    /// The pod of an agent is deleted.
    Delete(AgentIndex),
    /// The pod of an agent is gone, and the agent with it.
    End(AgentIndex),
    /// An agent gets a successor, and then goes.
    Replace(AgentIndex),
    /// A server starts.
    StartServer,
    /// Checks cost so many times what they cost at the start.
    Cost(Vec<CheckIndex>, f64),
    /// An agent tells the truth again.
    EndLie(AgentIndex),
    /// An agent tells its real workers again.
    EndWorkers(AgentIndex),
}
