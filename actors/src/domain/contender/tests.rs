//! The rules one by one; [`model`] lets several contenders compete.

mod model;

use super::*;

const LEASE: Duration = Duration::from_secs(60);
/// 2026-01-02T03:04:05Z
const START: i64 = 1_767_323_045_000_000_000;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn contender(identity: &str) -> Contender {
    let candidacy = Candidacy {
        identity: identity.to_owned(),
        address: Some(format!("{identity}:5005")),
        timings: LeaseTimings::from_lease(LEASE),
        release: true,
    };
    Contender::new(candidacy, Epoch(0))
}

fn stored(record: LockRecord, version: u32) -> StoredLock {
    StoredLock { record, version: LockVersion(version.to_string()) }
}

fn held_by(holder: &str, transitions: u64, renewed_at: i64) -> LockRecord {
    LockRecord { holder: holder.to_owned(), lease_seconds: 15, transitions, renewed_at, ..LockRecord::default() }
}

/// Unwraps a write.
fn record(action: Action) -> LockRecord {
    let Action::Write { record, .. } = action else { panic!("a write, not {action:?}") };
    record
}

/// A contender that holds the lock since 0 s, in version 2.
fn leader(identity: &str) -> (Contender, LockRecord) {
    let mut contender = contender(identity);
    assert_eq!(contender.wake(Duration::ZERO, START), Action::Read);
    let claim = record(contender.read(Duration::ZERO, START, Ok(Some(stored(LockRecord::default(), 1)))));
    assert_eq!(contender.written(Duration::ZERO, Ok(stored(claim.clone(), 2))), Action::Rest);
    assert_eq!(contender.leadership(Duration::ZERO).role, Role::Leader);
    (contender, claim)
}

#[test]
fn ca_l7_the_first_holder_of_an_empty_lock_is_its_first_change() {
    for (lock, version) in [(Some(stored(LockRecord::default(), 1)), Some(LockVersion("1".to_owned()))), (None, None)] {
        let mut contender = contender("dca-0");
        contender.wake(Duration::ZERO, START);
        let claim = contender.read(Duration::ZERO, START, Ok(lock));
        let expected = LockRecord {
            holder: "dca-0".to_owned(),
            lease_seconds: 60,
            acquired_at: START,
            renewed_at: START,
            transitions: 1,
            leader_address: Some("dca-0:5005".to_owned()),
            ..LockRecord::default()
        };
        assert_eq!(claim, Action::Write { record: expected, version });
    }
}

#[test]
fn ca_l8_a_renewal_changes_the_renew_time_only() {
    let (mut contender, claim) = leader("dca-0");
    let renewal = record(contender.wake(seconds(8), START + 8_000_000_000));
    assert_eq!(renewal, LockRecord { renewed_at: START + 8_000_000_000, ..claim });
}

#[test]
fn ca_l9_a_leader_that_stops_leaves_no_holder_and_one_second() {
    let (mut contender, claim) = leader("dca-0");
    contender.withdraw();
    assert_eq!(contender.leadership(Duration::ZERO).role, Role::Unknown, "silent before anyone can take over");
    let release = record(contender.wake(seconds(3), START + 3_000_000_000));
    let now = START + 3_000_000_000;
    let expected = LockRecord { holder: String::new(), lease_seconds: 1, acquired_at: now, renewed_at: now, leader_address: None, ..claim };
    assert_eq!(release, expected);
    assert_eq!(contender.written(seconds(3), Ok(stored(release, 3))), Action::Rest);
    assert_eq!(contender.wake(seconds(5), START), Action::Rest, "it does not come back");
    assert_eq!(contender.leadership(seconds(5)).role, Role::Unknown);
}

#[test]
fn ca_l10_a_follower_stays_one_when_the_leader_moves() {
    let mut contender = contender("c");
    contender.wake(Duration::ZERO, START);
    assert_eq!(contender.read(Duration::ZERO, START, Ok(Some(stored(held_by("a", 4, 1), 1)))), Action::Rest);
    let before = contender.leadership(Duration::ZERO);
    assert_eq!((before.role, before.epoch, before.leader.as_str()), (Role::Follower, Epoch(4), "a"));
    contender.wake(seconds(4), START);
    assert_eq!(contender.read(seconds(4), START, Ok(Some(stored(held_by("b", 5, 2), 2)))), Action::Rest);
    let after = contender.leadership(seconds(4));
    assert_eq!((after.role, after.epoch, after.leader.as_str()), (Role::Follower, Epoch(5), "b"));
    assert!(!before.leads(Duration::ZERO) && !after.leads(seconds(4)));
}

#[test]
fn a_foreign_holder_is_honoured_for_the_time_in_its_record_since_the_last_change_was_received() {
    let mut contender = contender("b");
    contender.wake(seconds(100), START);
    assert_eq!(contender.read(seconds(100), START, Ok(Some(stored(held_by("a", 4, 1), 1)))), Action::Rest);
    assert_eq!(contender.read(seconds(110), START, Ok(Some(stored(held_by("a", 4, 2), 2)))), Action::Rest);
    assert_eq!(contender.read(seconds(124), START, Ok(Some(stored(held_by("a", 4, 2), 2)))), Action::Rest);
    contender.wake(Duration::from_millis(124_500), START);
    assert_eq!(contender.next_wake(Duration::from_millis(124_500), 0.9), seconds(125), "not later than it may be taken");
    assert_eq!(contender.leadership(seconds(124)).role, Role::Follower);
    assert_eq!(contender.leadership(seconds(125)).role, Role::Unknown);
    let claim = record(contender.read(seconds(125), START, Ok(Some(stored(held_by("a", 4, 2), 2)))));
    assert_eq!((claim.holder.as_str(), claim.transitions), ("b", 5));
}

#[test]
fn a_lock_that_was_given_up_is_taken_at_once() {
    let mut contender = contender("b");
    contender.read(Duration::ZERO, START, Ok(Some(stored(held_by("a", 4, 1), 1))));
    let claim = record(contender.read(seconds(1), START, Ok(Some(stored(released(&held_by("a", 4, 1), START), 2)))));
    assert_eq!((claim.holder.as_str(), claim.transitions, claim.lease_seconds), ("b", 5, 60));
}

#[test]
fn a_lock_that_was_deleted_is_not_taken_before_its_holder_fell_silent() {
    let mut contender = contender("b");
    contender.read(Duration::ZERO, START, Ok(Some(stored(held_by("a", 4, 1), 1))));
    assert_eq!(contender.read(seconds(1), START, Ok(None)), Action::Rest);
    let Action::Write { record, version } = contender.read(seconds(15), START, Ok(None)) else { panic!("a write") };
    assert_eq!((record.holder.as_str(), record.transitions, version), ("b", 5, None), "and its epoch is later");
}

#[test]
fn the_own_name_of_an_earlier_process_is_claimed_at_once_in_a_new_epoch() {
    let mut contender = contender("a");
    contender.wake(Duration::ZERO, START);
    let found = LockRecord { acquired_at: 7, ..held_by("a", 4, START) };
    let claim = record(contender.read(Duration::ZERO, START, Ok(Some(stored(found, 1)))));
    assert_eq!((claim.transitions, claim.acquired_at), (5, START));
    assert_eq!(contender.leadership(Duration::ZERO).role, Role::Unknown, "not before the answer");
    contender.written(seconds(1), Ok(stored(claim, 2)));
    let leadership = contender.leadership(seconds(1));
    assert_eq!((leadership.role, leadership.epoch), (Role::Leader, Epoch(5)));
    assert_eq!(leadership.valid_until, Some(seconds(40)), "counted from when the claim was sent");
}

#[test]
fn a_claim_whose_answer_was_lost_is_renewed_in_its_epoch() {
    let mut contender = contender("a");
    let claim = record(contender.read(Duration::ZERO, START, Ok(None)));
    assert_eq!(contender.written(seconds(5), Err(LockError::Unavailable(String::new()))), Action::Rest);
    assert_eq!(contender.leadership(seconds(5)).role, Role::Unknown);
    assert_eq!(contender.wake(seconds(8), START), Action::Read);
    let renewal = record(contender.read(seconds(8), START, Ok(Some(stored(claim.clone(), 1)))));
    assert_eq!((renewal.transitions, renewal.acquired_at), (1, claim.acquired_at));
    contender.written(seconds(8), Ok(stored(renewal, 2)));
    assert_eq!(contender.leadership(seconds(8)).epoch, Epoch(1));
}

#[test]
fn a_leader_without_answers_falls_silent_at_its_deadline_and_returns_in_the_same_epoch() {
    let (mut contender, claim) = leader("a");
    contender.wake(seconds(8), START);
    assert_eq!(contender.written(seconds(13), Err(LockError::Unavailable(String::new()))), Action::Rest);
    assert_eq!(contender.next_wake(seconds(13), 0.0), seconds(16));
    assert!(contender.leadership(Duration::from_millis(39_999)).leads(Duration::from_millis(39_999)));
    assert_eq!(contender.leadership(seconds(40)).role, Role::Unknown);
    assert_eq!(contender.wake(seconds(50), START), Action::Read);
    let renewal = record(contender.read(seconds(50), START, Ok(Some(stored(claim, 2)))));
    contender.written(seconds(50), Ok(stored(renewal, 3)));
    let leadership = contender.leadership(seconds(50));
    assert_eq!((leadership.role, leadership.epoch, leadership.valid_until), (Role::Leader, Epoch(1), Some(seconds(90))));
}

#[test]
fn a_conflict_is_read_again_once_and_decided_again() {
    let mut contender = contender("a");
    contender.wake(Duration::ZERO, START);
    contender.read(Duration::ZERO, START, Ok(None));
    assert_eq!(contender.written(Duration::ZERO, Err(LockError::Conflict)), Action::Read);
    assert_eq!(contender.read(Duration::ZERO, START, Ok(Some(stored(held_by("b", 1, START), 1)))), Action::Rest);
    assert_eq!(contender.leadership(Duration::ZERO).leader, "b");

    let (mut contender, claim) = leader("a");
    contender.wake(seconds(8), START);
    assert_eq!(contender.written(seconds(8), Err(LockError::Conflict)), Action::Read, "somebody wrote a label");
    let again = contender.read(seconds(8), START, Ok(Some(stored(claim, 3))));
    assert!(matches!(&again, Action::Write { version, .. } if *version == Some(LockVersion("3".to_owned()))), "{again:?}");
    assert_eq!(contender.written(seconds(8), Err(LockError::Conflict)), Action::Rest, "no storm of writes");
}

#[test]
fn a_leader_that_finds_another_holder_is_silent_at_once() {
    let (mut contender, _) = leader("a");
    contender.wake(seconds(8), START);
    contender.written(seconds(8), Err(LockError::Conflict));
    contender.read(seconds(8), START, Ok(Some(stored(held_by("b", 2, START), 3))));
    let leadership = contender.leadership(seconds(8));
    assert_eq!((leadership.role, leadership.leader.as_str(), leadership.epoch), (Role::Follower, "b", Epoch(2)));
}

#[test]
fn an_older_epoch_than_one_already_seen_is_never_shown() {
    let mut contender = contender("b");
    contender.read(Duration::ZERO, START, Ok(Some(stored(held_by("a", 9, 1), 1))));
    contender.read(seconds(1), START, Ok(Some(stored(held_by("c", 1, 1), 2))));
    let leadership = contender.leadership(seconds(1));
    assert_eq!((leadership.role, leadership.leader.as_str(), leadership.epoch), (Role::Follower, "c", Epoch(9)));
}

#[test]
fn a_leader_that_learns_of_a_later_epoch_claims_one_beyond_it() {
    let (mut contender, _) = leader("a");
    contender.learn(Epoch(1));
    assert_eq!(contender.leadership(seconds(1)).role, Role::Leader);
    contender.learn(Epoch(70));
    assert_eq!(contender.leadership(seconds(1)).role, Role::Unknown);
    let claim = record(contender.wake(seconds(1), START));
    assert_eq!(claim.transitions, 71);
    contender.written(seconds(1), Ok(stored(claim, 3)));
    assert_eq!(contender.leadership(seconds(1)).epoch, Epoch(71));
}

#[test]
fn a_clock_that_goes_back_still_writes_a_later_renew_time() {
    let (mut contender, claim) = leader("a");
    let renewal = record(contender.wake(seconds(8), START - 3_600_000_000_000));
    assert_eq!(renewal.renewed_at, claim.renewed_at + SMALLEST_RENEWAL);
}

#[test]
fn what_newer_stock_replicas_wrote_is_kept() {
    let (strategy, preferred_holder) = (Some("OldestEmulationVersion".to_owned()), Some(String::new()));
    let found = LockRecord { strategy: strategy.clone(), preferred_holder: preferred_holder.clone(), ..LockRecord::default() };
    let claim = record(contender("a").read(Duration::ZERO, START, Ok(Some(stored(found, 1)))));
    assert_eq!((claim.strategy, claim.preferred_holder), (strategy, preferred_holder));
}

#[test]
fn a_leader_that_must_not_release_only_falls_silent() {
    let (mut contender, _) = leader("a");
    contender.candidacy.release = false;
    contender.withdraw();
    assert_eq!(contender.wake(seconds(1), START), Action::Rest);
    assert_eq!(contender.leadership(seconds(1)).role, Role::Unknown);
}

#[test]
fn a_claim_under_way_when_the_process_stops_is_given_up_too() {
    let mut contender = contender("a");
    let claim = record(contender.read(Duration::ZERO, START, Ok(None)));
    contender.withdraw();
    assert_eq!(contender.written(seconds(1), Ok(stored(claim.clone(), 1))), Action::Read);
    assert_eq!(contender.leadership(seconds(1)).role, Role::Unknown);
    let release = record(contender.read(seconds(1), START, Ok(Some(stored(claim, 1)))));
    assert!(release.is_free());
}

#[test]
fn a_record_without_a_duration_is_honoured_for_the_own_one() {
    let mut contender = contender("b");
    let found = LockRecord { lease_seconds: 0, ..held_by("a", 1, 1) };
    assert_eq!(contender.read(Duration::ZERO, START, Ok(Some(stored(found.clone(), 1)))), Action::Rest);
    assert_eq!(contender.read(seconds(59), START, Ok(Some(stored(found.clone(), 1)))), Action::Rest);
    assert_eq!(record(contender.read(seconds(60), START, Ok(Some(stored(found, 1))))).holder, "b");
}
