//! Rules that are broken on purpose, to prove that the auditor of fleets notices it.

use std::fmt;
use std::str::FromStr;

/// A broken rule. Production code stays as it is; what is broken is what it is told, or what agents do with its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// Balancing may move everything at once.
    BudgetIgnored,
    /// Agents run `at_most_once` checks on when their grant has ended.
    GrantsIgnored,
    /// Agents go on with what was taken from them.
    SetsKept,
    /// Agents leave out one check of each set.
    CheckLeftOut,
    /// What configs demand of a change of their owner does not reach the server.
    HandoverUnknown,
    /// Nothing is balanced.
    BalancingOff,
    /// What discovery tells after a restart is half of what there is.
    ListingCutShort,
    /// Moves for balance are not counted as such.
    ReasonsForgotten,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::BudgetIgnored,
        Self::GrantsIgnored,
        Self::SetsKept,
        Self::CheckLeftOut,
        Self::HandoverUnknown,
        Self::BalancingOff,
        Self::ListingCutShort,
        Self::ReasonsForgotten,
    ];
}

impl fmt::Display for Mutant {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self:?}")
    }
}

/// No mutant has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no mutant of fleets is called `{0}`")]
pub struct UnknownMutant(String);

impl FromStr for Mutant {
    type Err = UnknownMutant;

    fn from_str(name: &str) -> Result<Self, UnknownMutant> {
        Self::ALL.into_iter().find(|mutant| mutant.to_string() == name).ok_or_else(|| UnknownMutant(name.to_owned()))
    }
}
