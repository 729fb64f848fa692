use muster_actors::domain::assignment::{NodeRow, Placement, Row};
use muster_actors::domain::ids::{Epoch, Seq, Stamp};
use muster_actors::kernel::clock::SystemClock;
use muster_actors::testing::configs::config;
use tempfile::TempDir;

use super::*;

fn delta(seq: u64) -> Arc<TableDelta> {
    Arc::new(TableDelta {
        epoch: Epoch(1),
        seq: Seq(seq),
        highest_stamp: Stamp(seq as i64 * 10),
        rows_put: vec![Row { config: config(seq), placement: Placement::Owned("a".into()) }],
        nodes_put: vec![("a".into(), NodeRow { stamp: Stamp(seq as i64 * 10), ..NodeRow::default() })],
        ..TableDelta::default()
    })
}

/// What the table is after the first `count` changes.
fn table(count: u64) -> AssignmentTable {
    let mut table = AssignmentTable::default();
    for seq in 1..=count {
        table.apply(&delta(seq));
    }
    table
}

struct Place {
    run_path: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { run_path: tempfile::tempdir().unwrap() }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.run_path.path().join("assignment").join(file)
    }

    fn try_open(&self) -> Result<FileAssignmentStore, OpenError> {
        FileAssignmentStore::open(Arc::new(StateFolder::open(self.run_path.path()).unwrap()), SystemClock::shared())
    }

    fn load(&self) -> StoredTable {
        block_on(self.try_open().unwrap().load()).unwrap()
    }

    fn damaged_files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path("")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains(".damaged-")).collect()
    }

    /// A snapshot of 2 changes and a log of 3 more.
    fn filled() -> Self {
        let place = Self::new();
        let store = place.try_open().unwrap();
        block_on(async {
            store.append(vec![delta(1), delta(2)]).await.unwrap();
            store.replace(table(2)).await.unwrap();
            store.append(vec![delta(3)]).await.unwrap();
            store.append(vec![delta(4), delta(5)]).await.unwrap();
        });
        place
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

#[test]
fn an_empty_folder_is_a_cold_start() {
    let stored = Place::new().load();
    assert!(!stored.restored && stored.table.is_empty() && stored.findings.is_empty());
}

#[test]
fn what_was_acknowledged_is_loaded() {
    let stored = Place::filled().load();
    assert!(stored.restored && stored.findings.is_empty());
    assert_eq!(stored.table, table(5));
    assert!(stored.size.snapshot > 0 && stored.size.log > 0);
}

#[test]
fn a_log_cut_off_at_any_byte_loads_the_changes_before_the_cut() {
    let place = Place::filled();
    let log = std::fs::read(place.path("log")).unwrap();
    let mut seen = Vec::new();
    for length in 0..=log.len() {
        std::fs::write(place.path("log"), &log[..length]).unwrap();
        let stored = place.load();
        let changes = stored.table.seq().0;
        assert_eq!(stored.table, table(changes), "cut at {length}");
        assert!(stored.restored && (2..=5).contains(&changes), "cut at {length}");
        assert!(place.damaged_files().is_empty(), "cut at {length}");
        // Appending goes on behind the last whole change.
        let store = place.try_open().unwrap();
        block_on(async {
            store.load().await.unwrap();
            store.append(vec![delta(changes + 1)]).await.unwrap();
        });
        drop(store);
        let stored = place.load();
        assert_eq!((stored.table.seq().0, stored.findings.len()), (changes + 1, 0), "cut at {length}");
        seen.push(changes);
    }
    assert!(seen.is_sorted() && seen.first() == Some(&2) && seen.last() == Some(&5));
}

#[test]
fn findings_are_shown_until_the_process_ends() {
    let place = Place::filled();
    let log = std::fs::read(place.path("log")).unwrap();
    std::fs::write(place.path("log"), &log[..log.len() - 1]).unwrap();
    let findings = Arc::new(Publisher::new(Vec::new()));
    let shown = findings.reader();
    let store = place.try_open().unwrap().showing_findings(findings);
    let found = block_on(store.load()).unwrap().findings;
    assert!(found.len() == 1 && found[0].contains("cut off"), "{found:?}");
    assert_eq!(*shown.current(), found);
    assert!(block_on(store.load()).unwrap().findings.is_empty());
    assert_eq!(*shown.current(), found, "also after the store was read again");
}

#[test]
fn a_flipped_bit_in_the_log_is_set_aside_and_reported() {
    let log = std::fs::read(Place::filled().path("log")).unwrap();
    for position in (HEADER_BYTES..log.len()).step_by(7) {
        let place = Place::filled();
        let mut flipped = log.clone();
        flipped[position] ^= 0x10;
        std::fs::write(place.path("log"), &flipped).unwrap();
        let stored = place.load();
        let changes = stored.table.seq().0;
        assert!((2..5).contains(&changes) && stored.table == table(changes), "byte {position}");
        assert_eq!((stored.restored, stored.findings.len(), place.damaged_files().len()), (true, 1, 1), "byte {position}");
        assert!(stored.findings[0].contains(".damaged-"));
        let again = place.load();
        assert_eq!((again.table, again.findings.len()), (stored.table, 0), "repaired once");
    }
}

#[test]
fn a_damaged_snapshot_is_a_cold_start_with_stamps_that_go_on() {
    let place = Place::filled();
    let mut bytes = std::fs::read(place.path("snapshot")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(place.path("snapshot"), bytes).unwrap();
    let stored = place.load();
    assert!(!stored.restored && stored.table.is_empty());
    assert_eq!(stored.table.highest_stamp(), Stamp(50));
    assert_eq!(place.damaged_files().len(), 1);
}

#[test]
fn a_log_whose_snapshot_was_deleted_is_not_taken_for_the_table() {
    let place = Place::filled();
    std::fs::remove_file(place.path("snapshot")).unwrap();
    let stored = place.load();
    assert!(!stored.restored && stored.table.is_empty());
    assert!(stored.findings[0].contains("the snapshot before it is missing"), "{:?}", stored.findings);
    assert_eq!(stored.table.highest_stamp(), Stamp(50));
}

#[test]
fn a_crash_between_the_new_snapshot_and_the_empty_log_changes_nothing() {
    let place = Place::filled();
    let old_log = std::fs::read(place.path("log")).unwrap();
    let store = place.try_open().unwrap();
    block_on(store.replace(table(5))).unwrap();
    drop(store);
    std::fs::write(place.path("log"), old_log).unwrap();
    let stored = place.load();
    assert_eq!((stored.table, stored.findings.len()), (table(5), 0));
}

#[test]
fn files_of_a_newer_program_are_refused_and_left_alone() {
    let place = Place::filled();
    let mut bytes = std::fs::read(place.path("snapshot")).unwrap();
    bytes[8] = 9;
    std::fs::write(place.path("snapshot"), &bytes).unwrap();
    let Err(error) = place.try_open() else { panic!("opened") };
    let mend = error.source().unwrap().to_string();
    assert!(error.to_string().ends_with("snapshot") && mend.contains("move the folder away"), "{error}: {mend}");
    assert_eq!(std::fs::read(place.path("snapshot")).unwrap(), bytes);
}

#[test]
fn another_file_in_place_of_the_log_is_set_aside() {
    let place = Place::filled();
    std::fs::write(place.path("log"), b"this is not a log at all").unwrap();
    let stored = place.load();
    assert_eq!((stored.table, place.damaged_files().len()), (table(2), 1));
}

#[test]
fn after_a_failed_write_only_a_snapshot_helps() {
    let place = Place::new();
    let store = place.try_open().unwrap();
    std::fs::create_dir(place.path("log")).unwrap();
    block_on(async {
        let error = store.append(vec![delta(1)]).await.unwrap_err();
        assert!(error.step.starts_with("append to") && error.step.ends_with("log"), "{error}");
        std::fs::remove_dir(place.path("log")).unwrap();
        assert!(store.append(vec![delta(2)]).await.is_err());
        store.replace(table(2)).await.unwrap();
        store.append(vec![delta(3)]).await.unwrap();
        assert_eq!(store.load().await.unwrap().table, table(3));
    });
}

#[test]
fn files_of_an_older_program_are_set_aside() {
    let place = Place::new();
    drop(place.try_open().unwrap());
    let mut old = snapshot::header();
    old[8] = 2;
    std::fs::write(place.path("snapshot"), old).unwrap();
    std::fs::write(place.path("log"), old).unwrap();
    let store = place.try_open().unwrap();
    let (before, after) = block_on(async {
        let before = store.load().await.unwrap();
        store.append(vec![delta(1)]).await.unwrap();
        (before, store.load().await.unwrap())
    });
    assert!(!before.restored && before.table.is_empty());
    assert!(before.findings.len() == 2 && before.findings.iter().all(|finding| finding.contains("read format 2")), "{:?}", before.findings);
    assert_eq!(after.table.seq().0, 1);
    assert!(after.findings.is_empty());
}
