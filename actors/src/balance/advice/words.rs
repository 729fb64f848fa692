//! What can be advised, and how it is said.

use serde::{Deserialize, Serialize};

use crate::balance::world::{Held, Load};
use crate::domain::ids::{ConfigKey, Digest, NodeName};

/// One advice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "advice")]
pub enum Advice {
    /// The runners are too full.
    TooFewRunners {
        /// How many there are.
        runners: usize,
        /// Their mean utilization.
        mean: f64,
        /// How many more of the usual size would bring it to the aim.
        more: usize,
        /// The mean utilization that should be.
        aim: f64,
    },
    /// The runners have next to nothing to do.
    TooManyRunners {
        /// How many there are.
        runners: usize,
        /// Their mean utilization.
        mean: f64,
        /// How many would do.
        enough: usize,
        /// Mean utilization of that many.
        then: f64,
    },
    /// A config needs more than any runner has that may run it.
    TooLargeForAnyRunner {
        /// Which.
        check: Subject,
        /// Workers it occupies.
        need: f64,
        /// Workers of the largest runner that may run it.
        largest: f64,
    },
    /// Configs of a check take as long as their interval, so they are always late.
    AlwaysLate {
        /// The one that occupies the most.
        check: Subject,
        /// Workers that it occupies.
        need: f64,
        /// How many configs of this check name are late.
        configs: usize,
    },
    /// A runner is far from the mean, and no move mends it.
    StuckRunner {
        /// Which.
        runner: NodeName,
        /// Its utilization.
        utilization: f64,
        /// Mean of all.
        mean: f64,
        /// The config that makes it so.
        check: Subject,
        /// Workers it occupies.
        need: f64,
        /// Why it stays; `None` = it is too large to be better off anywhere else.
        held: Option<Held>,
    },
    /// A runner that has configs tells neither its workers nor anything about its checks.
    NoFigures {
        /// Which.
        runner: NodeName,
        /// How many configs it has.
        configs: usize,
    },
    /// A runner told that it has no workers.
    NoWorkers {
        /// Which.
        runner: NodeName,
    },
    /// Configs that no runner may run.
    Unrunnable {
        /// Their check name.
        check_name: String,
        /// How many.
        configs: usize,
        /// Why, as far as there is one reason.
        because: Unrunnable,
    },
}

/// A config, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Which.
    pub key: ConfigKey,
    /// Its stock digest.
    pub digest: Digest,
    /// Its check name.
    pub check_name: String,
}

/// Why no runner may run a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unrunnable {
    /// Every runner declared that it does not run it.
    NotDeclared,
    /// Those that would are isolated for other checks, on their way out, or without workers.
    NotFree,
}

impl Subject {
    pub(super) fn of(load: &Load) -> Self {
        Self { key: load.key, digest: load.digest, check_name: load.check_name.to_string() }
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} ({})", self.check_name, self.digest)
    }
}

fn percent(part: f64) -> String {
    format!("{:.0} %", part * 100.0)
}

impl Advice {
    /// What is the case, with the figures, and what to do about it.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::TooFewRunners { runners, mean, more, aim } => format!(
                "Too few runners: {runners} of them are busy {} of the time on average. {more} more of the usual size would bring that to {}.",
                percent(*mean),
                percent(*aim)
            ),
            Self::TooManyRunners { runners, mean, enough, then } => format!(
                "More runners than needed: {runners} of them are busy {} of the time on average. {enough} would do, at {}.",
                percent(*mean),
                percent(*then)
            ),
            Self::TooLargeForAnyRunner { check, need, largest } => format!(
                "No runner can hold {check}: it occupies {need:.2} workers, the largest runner that may run it has {largest:.0}. Split its \
                 instances over several configs, raise its min_collection_interval, or give runners more workers (check_runners)."
            ),
            Self::AlwaysLate { check, need, configs } => format!(
                "{check} is always late{}: it runs as long as its interval or longer, and occupies {need:.2} workers. Raise its \
                 min_collection_interval, or find out why it takes so long.",
                if *configs > 1 { format!(", as {} other configs of this check", configs - 1) } else { String::new() }
            ),
            Self::StuckRunner { runner, utilization, mean, check, need, held } => format!(
                "{runner} is busy {} of the time, the mean is {}, and no move mends it: {check} alone occupies {need:.2} workers{}",
                percent(*utilization),
                percent(*mean),
                match held {
                    None =>
                        " and would do the same elsewhere. Split its instances over several configs, or raise its \
                             min_collection_interval.",
                    Some(Held::Pinned) => " and is pinned there. Unpin it with: muster clusterchecks unpin.",
                    Some(_) => " and is never moved (cluster_checks.exclude_checks_from_dispatching).",
                }
            ),
            Self::NoFigures { runner, configs } => format!(
                "{runner} has {configs} configs and has told nothing about them, so they count with estimates. See that its API is on \
                 (clc_runner_enabled) and can be reached from here."
            ),
            Self::NoWorkers { runner } => format!("{runner} says that it has no workers, and gets nothing. Set check_runners there."),
            Self::Unrunnable { check_name, configs, because } => format!(
                "No runner may run {check_name} ({configs} configs): {}",
                match because {
                    Unrunnable::NotDeclared => "each of them declared that it does not. Change what they declare, or add one that does.",
                    Unrunnable::NotFree =>
                        "those that would are isolated for another check, on their way out, or have no workers. Add one, or end an \
                         isolation.",
                }
            ),
        }
    }
}
