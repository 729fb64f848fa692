//! What a run showed.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Which world is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorldKind {
    /// One server that keeps the assignment on its own disk.
    Single,
    /// Two or three replicas, one lock, and the assignment on every replica.
    Replicas,
    /// A small fleet whose load is balanced.
    Fleet,
}

impl fmt::Display for WorldKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Single => "single",
            Self::Replicas => "replicas",
            Self::Fleet => "fleet",
        })
    }
}

/// No world has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("worlds are `single`, `replicas` and `fleet`, not `{0}`")]
pub struct UnknownWorld(String);

impl FromStr for WorldKind {
    type Err = UnknownWorld;

    fn from_str(name: &str) -> Result<Self, UnknownWorld> {
        match name {
            "single" => Ok(Self::Single),
            "replicas" => Ok(Self::Replicas),
            "fleet" => Ok(Self::Fleet),
            other => Err(UnknownWorld(other.to_owned())),
        }
    }
}

/// What a run showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The world.
    pub world: WorldKind,
    /// The seed; the same one gives the same run.
    pub seed: u64,
    /// Hash over everything that happened.
    pub trace_hash: u32,
    /// What happened, one line per event: virtual seconds and text.
    pub trace: Vec<String>,
    /// What must not happen and did.
    pub violations: Vec<String>,
    /// Faults that were played, by kind.
    pub faults: BTreeMap<String, u64>,
    /// Times a process of a server was killed.
    pub server_kills: u64,
    /// Times another process, or the same one in a new term, began to lead.
    pub leader_changes: u64,
    /// Most checks that ran on two agents at one moment.
    pub most_double_runs: u64,
}
