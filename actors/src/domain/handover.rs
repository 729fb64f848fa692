//! In which order a check changes its owner.

use serde::{Deserialize, Serialize};

use crate::domain::ids::{NodeName, Stamp};

/// What a config demands of a change of its owner. Set by `muster_handover` in its `init_config`.
///
/// Why it matters: both owners learn of a move at polls of their own, up to 10 s apart (cluster-checks 16.8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Handover {
    /// Both learn of it at once; for up to a poll interval both run it, or none.
    #[default]
    Any,
    /// The next owner gets it after the former one has confirmed that it does not run it any more, or is lost.
    Gap,
    /// The former owner keeps it until the next one has confirmed that it has it, or is lost.
    Overlap,
    /// As [`Self::Gap`]; and of a lost owner it is known that its grant ran out. Source: style 8, invariant 8.
    AtMostOnce,
}

impl Handover {
    /// Key in the `init_config` of a config.
    pub const KEY: &'static str = "muster_handover";

    /// Values of the key, as messages name them.
    pub const ALLOWED: &'static str = "any, gap, overlap or at_most_once";

    /// Reads a value of [`Self::KEY`]; `None` if there is no such value.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "any" => Some(Self::Any),
            "gap" => Some(Self::Gap),
            "overlap" => Some(Self::Overlap),
            "at_most_once" => Some(Self::AtMostOnce),
            _ => None,
        }
    }
}

/// A config on its way from one node to another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Who had it.
    pub from: NodeName,
    /// Who gets it; `None` = not chosen, because the one that was chosen is gone or there was none.
    pub to: Option<NodeName>,
    /// Who is waited for.
    pub waits_for: Confirmation,
    /// The version of that node's set from which on it has confirmed.
    pub stamp: Stamp,
}

/// Who has to confirm before a transfer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confirmation {
    /// The former owner, that it stopped; until then nobody has it in its set.
    Stopped,
    /// The next owner, that it started; until then both have it in their sets.
    Started,
}
