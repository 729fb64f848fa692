//! The `LeaderElection` actor on a lock in memory.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _, ready};
use muster_actors::cluster::leader_election::{Election, LeaderElection, LeaderElectionParts, RELEASE_LIMIT};
use muster_actors::domain::contender::Candidacy;
use muster_actors::domain::ids::Epoch;
use muster_actors::domain::lease::{Leadership, LeaseTimings, Role};
use muster_actors::domain::lock_record::LockRecord;
use muster_actors::kernel::clock::Clock;
use muster_actors::kernel::mailbox::Handle;
use muster_actors::kernel::published::{Publisher, Reader};
use muster_actors::kernel::supervised::Observe;
use muster_actors::kernel::universe::{self, Recorded, Universe};
use muster_actors::messages::leader_election::{AnnounceLeadership, EpochSeen, LeadershipChanged, Release};
use muster_actors::ports::LeaderDirectory;
use muster_actors::testing::lease_store::{FakeLeaseStore, LockService};

const LEASE: Duration = Duration::from_secs(15);
/// Of a lease of 15 s.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_secs(2);

struct Replica {
    actor: Handle<LeaderElection>,
    leadership: Reader<Leadership>,
    told: Recorded<LeadershipChanged>,
    clock: Arc<dyn Clock>,
}

impl Replica {
    fn start(universe: &Universe, name: &'static str, store: &FakeLeaseStore, directory: Option<Arc<dyn LeaderDirectory>>) -> Self {
        let timings = LeaseTimings::from_lease(LEASE);
        let candidacy = Candidacy { identity: name.to_owned(), address: Some(format!("{name}:5005")), timings, release: true };
        let store = Arc::new(store.clone());
        Self::with(universe, name, Election::Contend { store, candidacy, directory, random: universe.random() })
    }

    fn with(universe: &Universe, name: &'static str, election: Election) -> Self {
        let published = Arc::new(Publisher::new(Leadership::default()));
        let leadership = published.reader();
        let (subscriber, told) = universe.recorder(name);
        let parts = LeaderElectionParts { clock: universe.clock(), election, published, subscribers: vec![subscriber] };
        let actor = universe.start(name, move || LeaderElection::new(parts.clone()));
        Self { actor, leadership, told, clock: universe.clock() }
    }

    fn leads(&self) -> bool {
        self.leadership.peek().leads(self.clock.monotonic())
    }

    fn role(&self) -> Role {
        self.leadership.peek().role
    }
}

fn changed(role: Role, epoch: u64, leader: &str, address: Option<&str>) -> LeadershipChanged {
    LeadershipChanged { role, epoch: Epoch(epoch), leader: leader.to_owned(), address: address.map(str::to_owned) }
}

#[test]
fn alone_a_replica_leads_for_ever_and_says_so_once() {
    universe::run(1, |universe| async move {
        let alone = Replica::with(&universe, "a", Election::Alone { epoch: Epoch(7) });
        universe.advance(Duration::from_secs(3_600)).await;
        let expected = Leadership { role: Role::Leader, epoch: Epoch(7), ..Leadership::default() };
        assert_eq!(**alone.leadership.peek(), expected);
        assert_eq!(alone.told.take(), [changed(Role::Leader, 7, "", None)]);
        alone.actor.tell(AnnounceLeadership).unwrap();
        universe.settle().await;
        assert_eq!(alone.told.take().len(), 1);
        alone.actor.ask(Release, RELEASE_LIMIT).await.unwrap();
    });
}

#[test]
fn alone_a_replica_whose_clock_was_set_back_goes_beyond_what_it_finds() {
    universe::run(1, |universe| async move {
        let alone = Replica::with(&universe, "a", Election::Alone { epoch: Epoch(7) });
        universe.settle().await;
        drop(alone.told.take());
        alone.actor.tell(EpochSeen { epoch: Epoch(5) }).unwrap();
        alone.actor.tell(EpochSeen { epoch: Epoch(40) }).unwrap();
        universe.settle().await;
        assert_eq!(alone.told.take(), [changed(Role::Leader, 41, "", None)]);
    });
}

#[test]
fn the_first_takes_the_lock_and_the_second_follows_it() {
    universe::run(2, |universe| async move {
        let store = FakeLeaseStore::default();
        let first = Replica::start(&universe, "a", &store, None);
        universe.settle().await;
        let second = Replica::start(&universe, "b", &store, None);
        universe.advance(LEASE * 4).await;
        assert!(first.leads() && !second.leads());
        assert_eq!(first.told.take(), [changed(Role::Leader, 1, "a", Some("a:5005"))]);
        assert_eq!(second.told.take(), [changed(Role::Follower, 1, "a", Some("a:5005"))]);
        let record = store.record().unwrap();
        assert_eq!((record.holder.as_str(), record.lease_seconds, record.transitions), ("a", 15, 1));
    });
}

#[test]
fn every_renewal_moves_the_end_of_the_validity_and_tells_nobody() {
    universe::run(3, |universe| async move {
        let store = FakeLeaseStore::default();
        let leader = Replica::start(&universe, "a", &store, None);
        universe.settle().await;
        let _ = leader.told.take();
        let mut until = leader.leadership.peek().valid_until.unwrap();
        for _ in 0..10 {
            universe.advance(RETRY + Duration::from_millis(1)).await;
            let next = leader.leadership.peek().valid_until.unwrap();
            assert!(next > until, "{next:?} after {until:?}");
            until = next;
        }
        assert_eq!(leader.told.take(), []);
    });
}

#[test]
fn a_leader_whose_lock_hangs_falls_silent_by_itself_and_returns_in_its_epoch() {
    universe::run(4, |universe| async move {
        for service in [LockService::Hangs, LockService::Refuses] {
            let store = FakeLeaseStore::default();
            let leader = Replica::start(&universe, "a", &store, None);
            universe.settle().await;
            let _ = leader.told.take();
            store.set(service);
            let until = leader.leadership.peek().valid_until.unwrap();
            universe.advance(until.saturating_sub(leader.clock.monotonic() + Duration::from_millis(5))).await;
            assert_eq!(leader.role(), Role::Leader);
            universe.advance(Duration::from_millis(10)).await;
            assert_eq!(leader.role(), Role::Unknown);
            assert_eq!(leader.told.take(), [changed(Role::Unknown, 1, "", None)]);
            store.set(LockService::Up);
            universe.advance(RETRY * 2).await;
            assert_eq!(leader.told.take(), [changed(Role::Leader, 1, "a", Some("a:5005"))]);
            leader.actor.ask(Release, RELEASE_LIMIT).await.unwrap();
        }
    });
}

#[test]
fn a_follower_cut_off_for_longer_than_the_lease_knows_nobody_and_does_not_lead() {
    universe::run(5, |universe| async move {
        let store = FakeLeaseStore::default();
        store.replace(Some(LockRecord { holder: "b".to_owned(), lease_seconds: 15, transitions: 3, ..LockRecord::default() }));
        let follower = Replica::start(&universe, "a", &store, None);
        universe.settle().await;
        assert_eq!(follower.role(), Role::Follower);
        store.set(LockService::Hangs);
        universe.advance(LEASE + RETRY).await;
        assert_eq!(follower.role(), Role::Unknown);
        universe.advance(LEASE * 10).await;
        assert_eq!(follower.told.take(), [changed(Role::Follower, 3, "b", None), changed(Role::Unknown, 3, "", None)]);
    });
}

#[test]
fn a_leader_that_is_asked_to_release_is_silent_first_and_another_leads_within_two_seconds() {
    universe::run(6, |universe| async move {
        let store = FakeLeaseStore::default();
        let first = Replica::start(&universe, "a", &store, None);
        universe.settle().await;
        let second = Replica::start(&universe, "b", &store, None);
        universe.advance(Duration::from_secs(7)).await;
        let asked_at = first.clock.monotonic();
        first.actor.ask(Release, RELEASE_LIMIT * 2).await.unwrap();
        assert!(first.clock.monotonic().saturating_sub(asked_at) < Duration::from_millis(5), "answered when it is done");
        assert_eq!(first.role(), Role::Unknown);
        let record = store.record().unwrap();
        assert_eq!((record.holder.as_str(), record.lease_seconds, record.transitions), ("", 1, 1));
        assert_eq!(record.leader_address, None);
        universe.advance(Duration::from_secs(2)).await;
        assert!(second.leads());
        assert_eq!(second.leadership.peek().epoch, Epoch(2));
        universe.advance(LEASE * 3).await;
        assert!(second.leads() && !first.leads(), "it does not come back");
        assert_eq!(first.actor.ask(Observe, RETRY).await.unwrap()["contends"], false);
    });
}

#[test]
fn a_release_without_answer_ends_after_two_seconds() {
    universe::run(7, |universe| async move {
        let store = FakeLeaseStore::default();
        let leader = Replica::start(&universe, "a", &store, None);
        universe.advance(RETRY / 2).await;
        store.set(LockService::LosesAnswers);
        universe.advance(RETRY).await;
        store.set(LockService::Hangs);
        let asked_at = leader.clock.monotonic();
        leader.actor.ask(Release, RELEASE_LIMIT * 2).await.unwrap();
        let took = leader.clock.monotonic().saturating_sub(asked_at);
        assert!(took <= RELEASE_LIMIT + Duration::from_millis(5), "{took:?}");
        assert_eq!(leader.role(), Role::Unknown);
    });
}

#[test]
fn a_release_that_fails_is_tried_again() {
    universe::run(14, |universe| async move {
        let store = FakeLeaseStore::default();
        let leader = Replica::start(&universe, "a", &store, None);
        universe.settle().await;
        store.set(LockService::Refuses);
        let release = leader.actor.ask(Release, RELEASE_LIMIT * 2);
        let back = async {
            universe.advance(Duration::from_millis(500)).await;
            store.set(LockService::Up);
        };
        let (released, ()) = futures_util::future::join(release, back).await;
        released.unwrap();
        assert!(store.record().unwrap().is_free());
    });
}

#[test]
fn a_leader_cut_off_from_the_lock_is_silent_before_the_other_one_leads() {
    universe::run(15, |universe| async move {
        let store = FakeLeaseStore::default();
        let (way, other_way) = (store.another_way(), store.another_way());
        let first = Replica::start(&universe, "a", &way, None);
        universe.settle().await;
        let second = Replica::start(&universe, "b", &other_way, None);
        universe.advance(Duration::from_secs(20)).await;
        way.set(LockService::Hangs);
        let mut silent = Duration::ZERO;
        let step = Duration::from_millis(10);
        while !second.leads() {
            universe.advance(step).await;
            assert!(!(first.leads() && second.leads()));
            silent += if first.leads() { Duration::ZERO } else { step };
        }
        assert!(silent > RETRY && silent < LEASE, "{silent:?}");
        way.set(LockService::Up);
        universe.advance(RETRY).await;
        assert_eq!((first.role(), first.leadership.peek().leader.as_str()), (Role::Follower, "b"));
    });
}

#[test]
fn a_follower_that_stops_leaves_the_lock_alone() {
    universe::run(8, |universe| async move {
        let store = FakeLeaseStore::default();
        let record = LockRecord { holder: "b".to_owned(), lease_seconds: 15, transitions: 3, ..LockRecord::default() };
        store.replace(Some(record.clone()));
        let follower = Replica::start(&universe, "a", &store, None);
        universe.settle().await;
        follower.actor.ask(Release, RELEASE_LIMIT).await.unwrap();
        universe.advance(LEASE * 2).await;
        assert_eq!(store.record(), Some(record));
    });
}

#[test]
fn an_incarnation_after_a_panic_takes_its_own_lock_at_once_in_a_new_epoch() {
    universe::run(9, |universe| async move {
        let store = FakeLeaseStore::default();
        let leader = Replica::start(&universe, "a", &store, None);
        universe.advance(Duration::from_secs(5)).await;
        let _ = leader.told.take();
        universe.expect_panics(1);
        assert!(universe.kernel().crash("a"));
        universe.settle().await;
        assert!(leader.leads());
        assert_eq!(leader.told.take(), [changed(Role::Unknown, 1, "", None), changed(Role::Leader, 2, "a", Some("a:5005"))]);
    });
}

#[test]
fn a_later_epoch_seen_elsewhere_is_surpassed() {
    universe::run(10, |universe| async move {
        let store = FakeLeaseStore::default();
        let leader = Replica::start(&universe, "a", &store, None);
        universe.settle().await;
        let _ = leader.told.take();
        leader.actor.tell(EpochSeen { epoch: Epoch(40) }).unwrap();
        universe.settle().await;
        assert_eq!(leader.told.take(), [changed(Role::Unknown, 40, "", None), changed(Role::Leader, 41, "a", Some("a:5005"))]);
        assert_eq!(store.record().unwrap().transitions, 41);
    });
}

/// Knows one leader, from some moment on, and counts questions.
#[derive(Default)]
struct OneLeader {
    address: std::sync::Mutex<Option<String>>,
    asked: AtomicU64,
}

impl LeaderDirectory for OneLeader {
    fn address_of(&self, leader: &str) -> BoxFuture<'static, Option<String>> {
        assert_eq!(leader, "stock");
        self.asked.fetch_add(1, Ordering::Relaxed);
        ready(self.address.lock().unwrap().clone()).boxed()
    }
}

#[test]
fn ca_l12_the_address_of_a_leader_that_did_not_tell_it_is_looked_up() {
    universe::run(11, |universe| async move {
        let (store, directory) = (FakeLeaseStore::default(), Arc::new(OneLeader::default()));
        let renewed = |at| Some(LockRecord { holder: "stock".to_owned(), lease_seconds: 60, renewed_at: at, ..LockRecord::default() });
        store.replace(renewed(1));
        let follower = Replica::start(&universe, "a", &store, Some(directory.clone()));
        universe.settle().await;
        assert_eq!(follower.told.take(), [changed(Role::Follower, 0, "stock", None)]);
        *directory.address.lock().unwrap() = Some("10.1.2.3:5005".to_owned());
        universe.advance(RETRY).await;
        assert_eq!(follower.told.take(), [changed(Role::Follower, 0, "stock", Some("10.1.2.3:5005"))]);
        assert_eq!(follower.leadership.peek().address.as_deref(), Some("10.1.2.3:5005"));
        // An address in the lock is the better one.
        store.replace(renewed(2).map(|record| LockRecord { leader_address: Some("10.9.9.9:5005".to_owned()), ..record }));
        universe.advance(RETRY).await;
        assert_eq!(follower.told.take(), [changed(Role::Follower, 0, "stock", Some("10.9.9.9:5005"))]);
    });
}

#[test]
fn ca_l11_a_leader_looks_nobody_up() {
    universe::run(12, |universe| async move {
        let directory = Arc::new(OneLeader::default());
        let leader = Replica::start(&universe, "a", &FakeLeaseStore::default(), Some(directory.clone()));
        universe.advance(LEASE).await;
        assert!(leader.leads());
        assert_eq!(directory.asked.load(Ordering::Relaxed), 0);
    });
}

#[test]
fn a_wall_clock_that_jumps_moves_no_leader() {
    universe::run(13, |universe| async move {
        let store = FakeLeaseStore::default();
        let first = Replica::start(&universe, "a", &store, None);
        universe.settle().await;
        let second = Replica::start(&universe, "b", &store, None);
        for hours in [5, -10, 8, -3] {
            universe.virtual_clock().step_wall(hours * 3_600_000_000_000);
            universe.advance(RENEW_DEADLINE).await;
            assert!(first.leads() && !second.leads(), "after a jump of {hours} h");
        }
        assert_eq!(store.record().unwrap().transitions, 1);
    });
}
