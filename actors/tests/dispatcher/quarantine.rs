//! Configs whose owners die one after the other.

use std::time::Duration;

use muster_actors::domain::config::CheckConfig;
use muster_actors::domain::constraints::{ConstraintChange, Quarantine};
use muster_actors::domain::digest::config_key;
use muster_actors::domain::ids::{ConfigKey, NodeName};
use muster_actors::domain::journal::{Cause, Decision, JournalFilter};
use muster_actors::domain::world::DanglingReason;
use muster_actors::kernel::universe::{self, Universe};
use muster_actors::messages::dispatcher::{ApplyPlan, PlanReply};
use muster_actors::messages::journal::QueryJournal;

use crate::cluster::{Cluster, instance};

const RUNNERS: [&str; 6] = ["r0", "r1", "r2", "r3", "r4", "r5"];

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn killer() -> CheckConfig {
    (*instance(999)).clone()
}

/// Six runners, on which 30 innocent configs have been for 11 minutes, and a killer that has just come.
struct Site {
    cluster: Cluster,
    alive: Vec<&'static str>,
    key: ConfigKey,
}

impl Site {
    async fn new(universe: &Universe) -> Self {
        let cluster = Cluster::active(universe, &RUNNERS).await;
        cluster.discover(&(0..30).map(instance).collect::<Vec<_>>()).await;
        cluster.keep_polling(&RUNNERS, seconds(660)).await;
        cluster.discover(&[killer().into()]).await;
        Self { cluster, alive: RUNNERS.to_vec(), key: config_key(&killer()) }
    }

    fn owner(&self) -> Option<&'static str> {
        self.alive.iter().copied().find(|node| self.cluster.keys(node).contains(&self.key))
    }

    async fn pass(&self, time: u64) {
        self.cluster.keep_polling(&self.alive, seconds(time)).await;
    }

    /// The owner polls a few times more, and then never again.
    async fn owner_dies(&mut self) -> NodeName {
        let owner = self.owner().expect("it has an owner");
        self.pass(3).await;
        self.alive.retain(|node| *node != owner);
        self.pass(33).await;
        owner.into()
    }

    /// The process of the owner crashes, and another one begins without a set.
    async fn owner_restarts(&self) -> &'static str {
        let owner = self.owner().expect("it has an owner");
        let stamp = self.cluster.stamp(owner).0;
        self.cluster.poll(owner, stamp).await;
        self.pass(3).await;
        self.cluster.poll(owner, 0).await;
        self.pass(1).await;
        owner
    }

    fn quarantine(&self) -> Option<Quarantine> {
        self.cluster.served().constraints.quarantined.get(&self.key).cloned()
    }

    async fn last_decision(&self) -> Decision {
        let filter = JournalFilter { key: Some(self.key), ..JournalFilter::default() };
        self.cluster.query(QueryJournal { filter }).await.decisions.remove(0)
    }

    fn innocent_on_runners(&self) -> usize {
        self.alive.iter().flat_map(|node| self.cluster.keys(node)).filter(|key| *key != self.key).count()
    }
}

#[test]
fn a_config_that_kills_two_runners_is_kept_off_the_others() {
    universe::run(1, |universe| async move {
        let mut site = Site::new(&universe).await;
        let first = site.owner_dies().await;
        assert_eq!(site.quarantine(), None);
        let second = site.owner_dies().await;
        let quarantine = site.quarantine().expect("it is quarantined");
        assert_eq!(quarantine.killed, [first, second.clone()]);
        assert_eq!(quarantine.until_unix_nanos - quarantine.since_unix_nanos, 1_800_000_000_000);
        let served = site.cluster.served();
        assert_eq!(served.dangling.iter().map(|dangling| dangling.reason).collect::<Vec<_>>(), [DanglingReason::Quarantined]);
        assert_eq!(site.innocent_on_runners(), 30);
        let decision = site.last_decision().await;
        assert_eq!((decision.cause, decision.from, decision.to), (Cause::Quarantined, Some(second), None));
        site.pass(60).await;
        assert_eq!(site.owner(), None);
    });
}

#[test]
fn a_quarantine_ends_by_itself_and_one_more_death_begins_another_one() {
    universe::run(2, |universe| async move {
        let mut site = Site::new(&universe).await;
        site.owner_dies().await;
        site.owner_dies().await;
        site.pass(1790).await;
        assert!(site.quarantine().is_some());
        site.pass(15).await;
        assert_eq!(site.quarantine(), None);
        assert!(site.owner().is_some());
        let decision = site.last_decision().await;
        assert_eq!((decision.cause, decision.from), (Cause::Released, None));
        site.owner_dies().await;
        assert!(site.quarantine().is_some());
    });
}

#[test]
fn who_takes_a_quarantine_back_vouches_for_the_config() {
    universe::run(3, |universe| async move {
        let mut site = Site::new(&universe).await;
        site.owner_dies().await;
        site.owner_dies().await;
        let served = site.cluster.served();
        let release = ApplyPlan {
            epoch: served.epoch,
            generation: served.decided,
            constraints: vec![ConstraintChange::Release { key: site.key }],
            moves: Vec::new(),
            cause: Cause::Released,
            counts: false,
        };
        assert!(matches!(site.cluster.apply_plan(release).await, PlanReply::Applied { .. }));
        assert!(site.owner().is_some());
        site.owner_dies().await;
        assert_eq!(site.quarantine(), None);
    });
}

#[test]
fn a_config_that_crashes_agents_in_place_is_taken_off_the_living() {
    universe::run(4, |universe| async move {
        let site = Site::new(&universe).await;
        let owner = site.owner_restarts().await;
        assert_eq!(site.owner_restarts().await, owner);
        assert_eq!(site.quarantine(), None, "it may be the runner");
        site.owner_restarts().await;
        assert!(site.quarantine().is_some());
        assert_eq!(site.owner(), None);
        assert_eq!(site.innocent_on_runners(), 30);
        let killed: Vec<_> = site.quarantine().expect("it is").killed.iter().map(ToString::to_string).collect();
        assert_eq!(killed, [owner; 3]);
    });
}

#[test]
fn an_agent_that_comes_back_with_the_set_it_had_was_never_dead() {
    universe::run(5, |universe| async move {
        let mut site = Site::new(&universe).await;
        for _ in 0..3 {
            let owner = site.owner().expect("it has an owner");
            let stamp = site.cluster.stamp(owner).0;
            site.owner_dies().await;
            site.alive.push(owner);
            site.cluster.poll(owner, stamp).await;
            site.pass(2).await;
        }
        assert_eq!(site.quarantine(), None);
    });
}

#[test]
fn runners_that_fall_silent_together_quarantine_nothing() {
    universe::run(6, |universe| async move {
        let mut site = Site::new(&universe).await;
        site.pass(3).await;
        let owner = site.owner().expect("it has an owner");
        site.alive.retain(|node| *node != owner);
        site.alive.truncate(2);
        site.pass(33).await;
        site.owner_dies().await;
        assert!(site.cluster.served().constraints.quarantined.is_empty());
    });
}
