//! What goes wrong in a run, and when. Drawn from the seed before the run begins.

use std::time::Duration;

use crate::kernel::rng::Random;
use crate::sim::discovery::LISTING_TIME;

/// Number of agents of a run.
pub(super) const AGENTS: u64 = 5;

/// Time before the first fault: the warm-up of the cold start and the first polls.
const CALM_BEFORE: Duration = Duration::from_secs(50);

/// Something that goes wrong, or changes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fault {
    /// An agent dies; it comes back under the same name if it was down already.
    ToggleAgent(u64),
    /// An agent dies and comes back after a while, before or after its expiry, with nothing.
    RestartAgent {
        agent: u64,
        down: Duration,
    },
    /// The provider of an agent panics: it begins anew with version 0 while the checks run on.
    CrashProvider(u64),
    /// No agent and the server can reach each other; after half a minute nobody is left.
    Outage {
        lasts: Duration,
    },
    /// The server is replaced by one that starts cold, as when agents migrate from a stock server.
    ReplaceServer {
        down: Duration,
    },
    /// An agent and the server cannot reach each other.
    Partition {
        agent: u64,
        lasts: Duration,
    },
    /// The network loses and duplicates.
    Lossy {
        loss: f64,
        lasts: Duration,
    },
    /// The server is killed, and started again after a while.
    KillServer {
        down: Duration,
        written_fraction: f64,
    },
    /// An actor panics.
    CrashActor(&'static str),
    /// The files change, so that there is something to decide and to write when the next fault comes.
    ChangeManyConfigs(u64),
    /// The wall clock is set.
    ClockStep {
        nanos: i64,
    },
    /// No write succeeds for a while.
    DiskFails {
        lasts: Duration,
    },
    AddConfigs(u64),
    RemoveConfig(u64),
    ChangeConfig(u64),
}

/// The faults of a run with the time each waits after the one before.
pub(super) fn plan(random: &dyn Random) -> Vec<(Duration, Fault)> {
    // What was shown while the disk failed may be lost by a kill, as documented; so a run has one or the other.
    let disk_fails = random.below(3) == 0;
    let mut crashes_left = 3;
    let mut faults = vec![(CALM_BEFORE, Fault::AddConfigs(random.below(4)))];
    for _ in 0..8 + random.below(8) {
        let mut wait = Duration::from_millis(500 + random.below(25_000));
        let fault = match random.below(16) {
            0 | 1 => Fault::ToggleAgent(random.below(AGENTS)),
            2 => Fault::Partition { agent: random.below(AGENTS), lasts: Duration::from_secs(1 + random.below(60)) },
            3 => Fault::Lossy { loss: random.unit() * 0.3, lasts: Duration::from_secs(5 + random.below(40)) },
            4 | 5 if disk_fails => Fault::DiskFails { lasts: Duration::from_secs(1 + random.below(20)) },
            4 | 5 => Fault::KillServer { down: Duration::from_secs(random.below(25)), written_fraction: random.unit() },
            6 if crashes_left > 0 => {
                crashes_left -= 1;
                Fault::CrashActor(["Dispatcher", "Membership", "Persistence", "Journal"][random.below(4) as usize])
            }
            6 | 7 => Fault::ClockStep { nanos: random.below(7_200_000_000_000) as i64 - 3_600_000_000_000 },
            8 => Fault::AddConfigs(1 + random.below(5)),
            9 => Fault::RemoveConfig(random.next_u64()),
            10 => Fault::RestartAgent { agent: random.below(AGENTS), down: Duration::from_millis(500 + random.below(45_000)) },
            11 => Fault::CrashProvider(random.below(AGENTS)),
            12 => Fault::Outage { lasts: Duration::from_secs(20 + random.below(40)) },
            13 | 14 if !disk_fails => Fault::ReplaceServer { down: Duration::from_secs(random.below(45)) },
            _ => Fault::ChangeConfig(random.next_u64()),
        };
        let hits_writers = matches!(fault, Fault::KillServer { .. } | Fault::ReplaceServer { .. } | Fault::CrashActor(_));
        if hits_writers && random.below(4) > 0 {
            // Faults at quiet moments prove little: let this one hit a decision that is on its way to the disk and to the agents.
            faults.push((wait, Fault::ChangeManyConfigs(random.next_u64())));
            wait = LISTING_TIME + Duration::from_micros(random.below(60_000));
        }
        faults.push((wait, fault));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::rng::SeededRandom;

    #[test]
    fn a_seed_has_one_plan_and_seeds_differ() {
        let of = |seed| plan(&SeededRandom::new(seed));
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
    }

    #[test]
    fn no_run_has_both_a_failing_disk_and_a_kill() {
        for seed in 0..200 {
            let faults = plan(&SeededRandom::new(seed));
            let has = |wanted: fn(&Fault) -> bool| faults.iter().any(|(_, fault)| wanted(fault));
            assert!(
                !(has(|fault| matches!(fault, Fault::DiskFails { .. }))
                    && has(|fault| matches!(fault, Fault::KillServer { .. } | Fault::ReplaceServer { .. })))
            );
        }
    }
}
