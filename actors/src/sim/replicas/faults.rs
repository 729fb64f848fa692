//! What goes wrong in a run with replicas, and when. Drawn from the seed before the run begins.

use std::time::Duration;

use crate::kernel::rng::Random;
use crate::sim::discovery::LISTING_TIME;
use crate::sim::replicas::lock::LockWay;

/// Number of places for agents.
pub(super) const AGENTS: u64 = 4;

/// Time before the first fault: election, the warm-up of the cold start and the first polls.
const CALM_BEFORE: Duration = Duration::from_secs(55);

/// Actors of a replica that may panic.
const ACTORS: [&str; 7] = ["Dispatcher", "Membership", "LeaderElection", "Replica", "Journal", "Resolver", "Informer.pods"];

/// Which replica a fault hits, chosen when it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// Whoever leads, or any if nobody does.
    Leader,
    /// One that does not lead.
    Follower(u64),
}

/// Something that goes wrong, or changes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fault {
    /// A replica is killed and started again under the same name, with nothing.
    KillReplica {
        which: Which,
        down: Duration,
    },
    /// A replica is stopped, gives the lock up if it holds it, and is started again.
    StopReplica {
        which: Which,
        down: Duration,
    },
    /// Every replica is replaced by one of a new name, one after the other, the new one first.
    RollReplicas {
        each: Duration,
    },
    /// A replica stands still.
    PauseReplica {
        which: Which,
        lasts: Duration,
    },
    /// The way of a replica to the lock is bad.
    BadLock {
        which: Which,
        way: LockWay,
        lasts: Duration,
    },
    /// Nobody can use the lock.
    LockDown {
        way: LockWay,
        lasts: Duration,
    },
    /// A replica and the lock do not reach each other.
    CutLock {
        which: Which,
        lasts: Duration,
    },
    /// Somebody deletes the lock.
    DeleteLock,
    /// Leader and follower do not reach each other.
    PartReplicas {
        follower: u64,
        lasts: Duration,
    },
    /// Nobody reaches a replica, and it reaches nobody.
    IsolateReplica {
        which: Which,
        lasts: Duration,
    },
    /// All replicas end at once.
    KillAll {
        down: Duration,
    },
    /// Snapshots cannot be saved and read.
    SnapshotFails {
        lasts: Duration,
    },
    /// An actor panics.
    CrashActor {
        which: Which,
        actor: &'static str,
    },
    /// The wall clock of a replica is set.
    StepClock {
        which: Which,
        nanos: i64,
    },
    /// Discovery takes its time.
    SlowDiscovery {
        time: Duration,
        lasts: Duration,
    },
    /// An agent dies; it comes back under the same name if it was down already.
    ToggleAgent(u64),
    /// An agent dies and comes back after a while with nothing.
    RestartAgent {
        agent: u64,
        down: Duration,
    },
    /// The provider of an agent panics: it begins anew with version 0 while the checks run on.
    CrashProvider(u64),
    /// The pod of an agent is replaced by one of a newer template.
    RollAgent {
        agent: u64,
        overlap: Duration,
    },
    /// The pod of an agent is deleted, and none comes instead.
    RemoveAgent {
        agent: u64,
    },
    /// Nobody reaches an agent.
    IsolateAgent {
        agent: u64,
        lasts: Duration,
    },
    /// The network loses, and duplicates what agents send.
    Lossy {
        loss: f64,
        lasts: Duration,
    },
    AddConfigs(u64),
    RemoveConfig(u64),
    ChangeConfig(u64),
    /// The files change, so that there is something to decide and to copy when the next fault comes.
    ChangeManyConfigs(u64),
}

impl Fault {
    /// Whether a set may change because of it.
    pub(super) fn touches_agents(&self) -> bool {
        matches!(
            self,
            Self::ToggleAgent(_)
                | Self::RestartAgent { .. }
                | Self::CrashProvider(_)
                | Self::RollAgent { .. }
                | Self::RemoveAgent { .. }
                | Self::IsolateAgent { .. }
                | Self::Lossy { .. }
                | Self::AddConfigs(_)
                | Self::RemoveConfig(_)
                | Self::ChangeConfig(_)
                | Self::ChangeManyConfigs(_)
        )
    }

    /// How long it lasts by itself.
    fn lasts(&self) -> Duration {
        match self {
            Self::KillReplica { down, .. } | Self::StopReplica { down, .. } | Self::KillAll { down } => *down,
            Self::PauseReplica { lasts, .. }
            | Self::BadLock { lasts, .. }
            | Self::LockDown { lasts, .. }
            | Self::CutLock { lasts, .. }
            | Self::PartReplicas { lasts, .. }
            | Self::IsolateReplica { lasts, .. }
            | Self::SlowDiscovery { lasts, .. }
            | Self::SnapshotFails { lasts } => *lasts,
            _ => Duration::ZERO,
        }
    }

    /// Whether it hits those who decide, so that it is more telling while a decision is on its way.
    fn hits_deciders(&self) -> bool {
        matches!(
            self,
            Self::KillReplica { .. }
                | Self::StopReplica { .. }
                | Self::PauseReplica { .. }
                | Self::KillAll { .. }
                | Self::CrashActor { .. }
                | Self::PartReplicas { .. }
        )
    }
}

/// The plan of a run.
#[derive(Debug, PartialEq)]
pub(super) struct Plan {
    /// 2 or 3.
    pub(super) replicas: u64,
    /// Whether nothing happens to agents and configs after the first fault, and faults come one after the other.
    pub(super) quiet: bool,
    /// Faults with the time each waits after the one before.
    pub(super) faults: Vec<(Duration, Fault)>,
}

fn seconds(random: &dyn Random, from: u64, below: u64) -> Duration {
    Duration::from_millis(from * 1_000 + random.below((below - from) * 1_000))
}

fn which(random: &dyn Random) -> Which {
    if random.below(3) < 2 { Which::Leader } else { Which::Follower(random.next_u64()) }
}

/// A replica that dies is back at once, or after its lease.
fn down(random: &dyn Random) -> Duration {
    if random.below(2) == 0 { seconds(random, 0, 3) } else { seconds(random, 3, 40) }
}

fn bad_way(random: &dyn Random) -> LockWay {
    LockWay::BAD[random.below(LockWay::BAD.len() as u64) as usize]
}

/// A fault of replicas, the lock, or what they share.
fn of_replicas(random: &dyn Random, crashes_left: &mut u64) -> Fault {
    let which = which(random);
    match random.below(18) {
        0..=2 => Fault::KillReplica { which, down: down(random) },
        3 => Fault::StopReplica { which, down: seconds(random, 0, 20) },
        4 => Fault::RollReplicas { each: seconds(random, 3, 12) },
        5..=7 => Fault::PauseReplica { which, lasts: seconds(random, 1, 40) },
        8 => Fault::BadLock { which, way: bad_way(random), lasts: seconds(random, 2, 40) },
        9 => Fault::LockDown { way: bad_way(random), lasts: seconds(random, 2, 30) },
        10 => Fault::CutLock { which, lasts: seconds(random, 5, 40) },
        11 => Fault::DeleteLock,
        12 => Fault::PartReplicas { follower: random.next_u64(), lasts: seconds(random, 5, 40) },
        13 => Fault::IsolateReplica { which, lasts: seconds(random, 5, 40) },
        14 => Fault::KillAll { down: seconds(random, 0, 15) },
        15 | 16 if *crashes_left > 0 => {
            *crashes_left -= 1;
            Fault::CrashActor { which, actor: ACTORS[random.below(ACTORS.len() as u64) as usize] }
        }
        15 => Fault::SlowDiscovery { time: seconds(random, 1, 20), lasts: seconds(random, 20, 60) },
        _ => Fault::StepClock { which, nanos: random.below(14_400_000_000_000) as i64 - 7_200_000_000_000 },
    }
}

/// A fault of agents, or a change of configs.
fn of_agents(random: &dyn Random) -> Fault {
    let agent = random.below(AGENTS);
    match random.below(12) {
        0 => Fault::ToggleAgent(agent),
        1 => Fault::RestartAgent { agent, down: seconds(random, 0, 45) },
        2 => Fault::CrashProvider(agent),
        3 => Fault::RollAgent { agent, overlap: seconds(random, 1, 20) },
        4 => Fault::RemoveAgent { agent },
        5 => Fault::IsolateAgent { agent, lasts: seconds(random, 1, 60) },
        6 => Fault::Lossy { loss: random.unit() * 0.3, lasts: seconds(random, 5, 40) },
        7 => Fault::SnapshotFails { lasts: seconds(random, 5, 40) },
        8 => Fault::AddConfigs(1 + random.below(5)),
        9 => Fault::RemoveConfig(random.next_u64()),
        _ => Fault::ChangeConfig(random.next_u64()),
    }
}

/// The plan of a seed.
pub(super) fn plan(random: &dyn Random) -> Plan {
    let (replicas, quiet) = (2 + random.below(2), random.below(3) == 0);
    let mut crashes_left = 3;
    let mut faults = vec![(CALM_BEFORE, Fault::StepClock { which: Which::Leader, nanos: 0 })];
    let mut lasting = Duration::ZERO;
    for _ in 0..6 + random.below(6) {
        let mut wait = seconds(random, 0, 20) + Duration::from_millis(500);
        if quiet {
            wait += lasting + Duration::from_secs(12);
        }
        let fault = if quiet || random.below(5) < 3 { of_replicas(random, &mut crashes_left) } else { of_agents(random) };
        lasting = fault.lasts();
        if !quiet && fault.hits_deciders() && random.below(3) > 0 {
            // Faults at quiet moments prove little: let this one hit a decision that is on its way to followers and agents.
            faults.push((wait, Fault::ChangeManyConfigs(random.next_u64())));
            wait = LISTING_TIME + Duration::from_micros(random.below(250_000));
        }
        faults.push((wait, fault));
    }
    Plan { replicas, quiet, faults }
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
    fn a_quiet_plan_touches_no_agent_and_every_kind_of_fault_is_planned_somewhere() {
        let plans: Vec<_> = (0..200).map(|seed| plan(&SeededRandom::new(seed))).collect();
        let quiet = plans.iter().filter(|plan| plan.quiet);
        assert!(quiet.flat_map(|plan| &plan.faults).all(|(_, fault)| !fault.touches_agents()));
        let kind = |fault: &Fault| format!("{fault:?}").split(|letter: char| !letter.is_alphanumeric()).next().map(str::to_owned);
        let kinds: std::collections::BTreeSet<_> = plans.iter().flat_map(|plan| &plan.faults).map(|(_, fault)| kind(fault)).collect();
        assert_eq!(kinds.len(), 26, "{kinds:?}");
    }
}
