//! Rules that are broken on purpose, to prove that a run notices it.

use std::fmt;
use std::str::FromStr;

/// A broken rule. Production code stays as it is; what is broken is what it stands on, or how it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// The HTTP layer believes the published role and does not ask how long it is valid.
    ValidityIgnored,
    /// Whoever looks at the lock takes its lease for a third of what it is.
    LeaseCutShort,
    /// The lock can be written in any version.
    LockWithoutVersions,
    /// Followers acknowledge changes before they have them.
    AcknowledgedBeforeApplied,
    /// Copies of the assignment come without stamps.
    StampsLost,
    /// A cold start dispatches at once.
    NoWarmUp,
    /// Followers answer polls themselves.
    FollowersAnswer,
    /// The first listing of a process names half of what there is.
    ListingCutShort,
    /// Snapshots are saved and forgotten.
    SnapshotsForgotten,
    /// Followers keep an empty copy.
    CopiesEmpty,
    /// Agents are granted what runs at most once for longer than the dispatcher waits.
    GrantsTooLong,
    /// Agents count as having confirmed what they were not even told.
    ConfirmedUnheard,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::ValidityIgnored,
        Self::LeaseCutShort,
        Self::LockWithoutVersions,
        Self::AcknowledgedBeforeApplied,
        Self::StampsLost,
        Self::NoWarmUp,
        Self::FollowersAnswer,
        Self::ListingCutShort,
        Self::SnapshotsForgotten,
        Self::CopiesEmpty,
        Self::GrantsTooLong,
        Self::ConfirmedUnheard,
    ];
}

impl fmt::Display for Mutant {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self:?}")
    }
}

/// No mutant has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no mutant is called `{0}`")]
pub struct UnknownMutant(String);

impl FromStr for Mutant {
    type Err = UnknownMutant;

    fn from_str(name: &str) -> Result<Self, UnknownMutant> {
        Self::ALL.into_iter().find(|mutant| mutant.to_string() == name).ok_or_else(|| UnknownMutant(name.to_owned()))
    }
}
