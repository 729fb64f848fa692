use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;

use muster_actors::domain::delivery::{Contents, Route};

use super::*;

const ROUTE: Route = Route { name: "intake", path: "/intake/", content_type: "application/json" };

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn payload(text: &str) -> Payload {
    Payload::new(ROUTE, text.as_bytes().to_vec(), Contents { events: 1, ..Contents::default() })
}

fn payloads(texts: &[&str]) -> Vec<Payload> {
    texts.iter().map(|text| payload(text)).collect()
}

/// What a disk holds after its process or its power is gone.
#[derive(Clone, Copy, Debug)]
enum Afterlife {
    /// All that the process did.
    Killed,
    /// Only what was synced.
    PowerLost,
    /// All names, although their folder was not synced, but not what was not synced of the files.
    PowerLostAfterNames,
}

/// What goes wrong at an operation.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// The process ends before it; nothing happens any more.
    EndsBefore,
    /// The process ends in the middle of it.
    EndsWithin,
    /// It fails, and those after it work.
    Fails,
}

#[derive(Clone, Default)]
struct Content {
    bytes: Vec<u8>,
    synced: bool,
}

#[derive(Default)]
struct State {
    files: BTreeMap<u64, Content>,
    names: BTreeMap<String, u64>,
    lasting_names: BTreeMap<String, u64>,
    operations: usize,
    fault: Option<(usize, Fault)>,
    /// Which reading does not work, given the name of the file and how much is read of it.
    unreadable: Option<fn(&str, Option<usize>) -> bool>,
}

/// A disk of which every operation can be the last.
#[derive(Clone, Default)]
struct Model(Arc<Mutex<State>>);

impl Model {
    fn new(fault: Option<(usize, Fault)>) -> Self {
        Self(Arc::new(Mutex::new(State { fault, ..State::default() })))
    }

    fn spool(&self) -> FileSpool {
        FileSpool::on(Box::new(self.clone()), PathBuf::from("model"))
    }

    fn cannot_read(&self, which: fn(&str, Option<usize>) -> bool) {
        self.0.lock().unwrap().unreadable = Some(which);
    }

    /// Does an operation that changes something, given whether only half of it.
    fn change(&self, work: impl FnOnce(&mut State, bool)) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        let now = state.operations;
        state.operations += 1;
        match state.fault {
            Some((at, Fault::EndsWithin)) if at == now => work(&mut state, true),
            Some((at, Fault::Fails)) if at != now => work(&mut state, false),
            Some((at, _)) if at <= now => {}
            _ => {
                work(&mut state, false);
                return Ok(());
            }
        }
        if matches!(state.fault, Some((at, Fault::Fails)) if at != now) { Ok(()) } else { Err(io::Error::other("fault")) }
    }

    fn afterwards(&self, afterlife: Afterlife) -> Self {
        let state = self.0.lock().unwrap();
        let mut files = state.files.clone();
        if !matches!(afterlife, Afterlife::Killed) {
            files.values_mut().filter(|file| !file.synced).for_each(|file| file.bytes.truncate(file.bytes.len() / 2));
        }
        let names = if matches!(afterlife, Afterlife::PowerLost) { &state.lasting_names } else { &state.names }.clone();
        Self(Arc::new(Mutex::new(State { files, lasting_names: names.clone(), names, ..State::default() })))
    }
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk for Model {
    fn claim(&self) -> io::Result<()> {
        Ok(())
    }

    fn inherit(&self, _: &mut dyn FnMut() -> String) -> io::Result<u64> {
        Ok(0)
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let state = self.0.lock().unwrap();
        Ok(state.names.iter().map(|(name, file)| (name.clone(), state.files[file].bytes.len() as u64)).collect())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.change(|state, half| {
            let file = state.files.len() as u64;
            let written = if half { bytes.len() / 2 } else { bytes.len() };
            state.files.insert(file, Content { bytes: bytes[..written].to_vec(), synced: false });
            assert!(state.names.insert(name.to_owned(), file).is_none(), "{name} is written over");
        })
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.change(|state, half| {
            let file = state.names[name];
            state.files.get_mut(&file).unwrap().synced = !half;
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change(|state, _| {
            let file = state.names.remove(from).unwrap();
            state.names.insert(to.to_owned(), file);
        })
    }

    fn sync_folder(&self) -> io::Result<()> {
        self.change(|state, half| {
            if !half {
                state.lasting_names.clone_from(&state.names);
            }
        })
    }

    fn read(&self, name: &str, at_most: Option<usize>) -> io::Result<Vec<u8>> {
        let state = self.0.lock().unwrap();
        if state.unreadable.is_some_and(|unreadable| unreadable(name, at_most)) {
            return Err(io::Error::from_raw_os_error(5));
        }
        let bytes = &state.files[state.names.get(name).ok_or_else(missing)?].bytes;
        Ok(bytes[..at_most.unwrap_or(usize::MAX).min(bytes.len())].to_vec())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let there = self.0.lock().unwrap().names.contains_key(name);
        if !there {
            return Err(missing());
        }
        self.change(|state, _| {
            state.names.remove(name);
        })
    }

    fn space(&self) -> io::Result<DiskSpace> {
        Ok(DiskSpace { total: 0, available: 0 })
    }
}

/// What a process knows at its end.
#[derive(Default)]
struct Told {
    stored: BTreeSet<String>,
    /// Payloads that it began to remove.
    removed: BTreeSet<String>,
    refused: BTreeSet<String>,
}

/// Stores, sends and removes, as far as the disk lets it.
fn live(spool: &Shared) -> Told {
    let mut told = Told::default();
    if spool.open().is_err() {
        return told;
    }
    let mut first = None;
    for group in [["a", "b"].as_slice(), &["c"], &["d", "e", "f"]] {
        let texts = group.iter().map(|text| (*text).to_owned());
        match spool.store(&payloads(group), 1) {
            Ok(stored) => {
                told.stored.extend(texts);
                first = first.or(Some(stored.ids[0]));
            }
            Err(_) => told.refused.extend(texts),
        }
        if let Some(id) = first.take() {
            told.removed.extend(spool.body(id).ok().flatten().map(|body| String::from_utf8(body).unwrap()));
            let _ = spool.disk.remove(&whole(id.0));
        }
    }
    told
}

fn found(spool: &Shared) -> (BTreeSet<String>, SpoolListing) {
    let listing = spool.open().unwrap();
    let body = |payload: &Spooled| String::from_utf8(spool.body(payload.id).unwrap().unwrap()).unwrap();
    (listing.payloads.iter().map(body).collect(), listing)
}

#[test]
fn wherever_it_ends_what_was_told_is_there_and_nothing_is_half() {
    let whole_life = Model::default();
    let told = live(&whole_life.spool().shared);
    assert_eq!((told.stored.len(), told.refused.len()), (6, 0));
    let operations = whole_life.0.lock().unwrap().operations;
    assert!(operations > 20, "{operations}");
    let mut unfinished = 0;
    for at in 0..=operations {
        for fault in [Fault::EndsBefore, Fault::EndsWithin] {
            for afterlife in [Afterlife::Killed, Afterlife::PowerLost, Afterlife::PowerLostAfterNames] {
                let disk = Model::new(Some((at, fault)));
                let told = live(&disk.spool().shared);
                let next = disk.afterwards(afterlife);
                let case = format!("{fault:?} operation {at}, {afterlife:?}");
                let (found, listing) = found(&next.spool().shared);
                let owed: BTreeSet<String> = told.stored.difference(&told.removed).cloned().collect();
                assert!(found.is_superset(&owed), "{case}: {owed:?} owed, {found:?} found");
                assert!(found.iter().all(|text| "abcdef".contains(text.as_str())), "{case}: {found:?}");
                assert_eq!(listing.damaged, 0, "{case}: no file has its last name before it is synced");
                unfinished += listing.unfinished;
                // The next life can go on.
                let spool = next.spool();
                spool.shared.open().unwrap();
                spool.shared.store(&payloads(&["g"]), 2).unwrap();
                assert!(self::found(&spool.shared).0.contains("g"), "{case}");
            }
        }
    }
    assert!(unfinished > 0, "some ends left something behind");
}

#[test]
fn a_group_is_stored_whole_or_not_at_all() {
    for at in 0..25 {
        let disk = Model::new(Some((at, Fault::Fails)));
        let told = live(&disk.spool().shared);
        let (found, _) = found(&disk.spool().shared);
        assert!(found.is_disjoint(&told.refused), "operation {at}: {found:?}");
        assert!(found.is_superset(&told.stored.difference(&told.removed).cloned().collect()), "operation {at}: {found:?}");
    }
}

#[test]
fn a_disk_that_reads_nothing_for_a_while_costs_nothing() {
    let disk = Model::default();
    let spool = disk.spool();
    spool.shared.open().unwrap();
    spool.shared.store(&payloads(&["a", "b", "c"]), 1).unwrap();
    disk.cannot_read(|_, _| true);
    assert!(spool.shared.body(SpoolId(0)).is_err());
    for _ in 0..3 {
        assert!(spool.shared.open().is_err());
    }
    disk.cannot_read(|_, _| false);
    assert_eq!(found(&spool.shared).0.len(), 3);
}

#[test]
fn a_file_that_cannot_be_read_again_while_others_can_is_damaged() {
    let disk = Model::default();
    let spool = disk.spool();
    spool.shared.open().unwrap();
    spool.shared.store(&payloads(&["a", "b", "c"]), 1).unwrap();
    disk.cannot_read(|name, _| name == whole(0));
    assert!(spool.shared.open().is_err(), "perhaps it is the disk");
    let listing = spool.shared.open().unwrap();
    assert_eq!((listing.damaged, listing.payloads.len()), (1, 2));

    disk.cannot_read(|name, at_most| name == whole(1) && at_most.is_none());
    assert!(spool.shared.body(SpoolId(1)).is_err());
    assert_eq!(spool.shared.open().unwrap().payloads.len(), 2);
    assert_eq!(spool.shared.body(SpoolId(1)).unwrap(), None);
    assert_eq!(found(&spool.shared).0, BTreeSet::from(["c".to_owned()]));
}

#[test]
fn a_disk_that_hangs_costs_one_thread() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let disk = Model::default();
    let spool = disk.spool();
    let hanging = disk.0.lock().unwrap();
    for _ in 0..3 {
        let opened = runtime.block_on(async { tokio::join!(spool.open(), tokio::time::advance(PATIENCE * 2)).0 });
        assert_eq!(opened.unwrap_err().source.to_string(), "the disk does not answer");
    }
    assert_eq!(Arc::strong_count(&spool.shared), 2, "one call has it besides this test");
    drop(hanging);
    while runtime.block_on(spool.open()).is_err() {
        std::thread::yield_now();
    }
}

struct Place {
    root: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    fn spool(&self, key: &str) -> FileSpool {
        FileSpool::new(self.root.path(), "http://intake", key, true)
    }

    fn file(&self, number: u64) -> PathBuf {
        self.root.path().join(folder_name("http://intake", KEY)).join(whole(number))
    }
}

#[test]
fn what_one_life_stores_the_next_one_finds_oldest_first() {
    let place = Place::new();
    {
        let spool = place.spool(KEY);
        assert_eq!(spool.shared.open().unwrap().payloads, []);
        spool.shared.store(&payloads(&["new"]), 20).unwrap();
        spool.shared.store(&payloads(&["old", "older"]), 10).unwrap();
    }
    let spool = place.spool(KEY);
    let listing = spool.shared.open().unwrap();
    let expected = |number, since| Spooled {
        id: SpoolId(number),
        route: "intake".to_owned(),
        contents: listing.payloads.iter().find(|payload| payload.id.0 == number).unwrap().contents,
        since,
    };
    assert_eq!(listing.payloads, [expected(1, 10), expected(2, 10), expected(0, 20)]);
    assert_eq!(listing.payloads[0].contents, payload("old").contents);
    assert!(listing.disk.unwrap().total > 0);
    let stored = spool.shared.store(&payloads(&["next"]), 30).unwrap();
    assert_eq!(stored.ids, [SpoolId(3)], "numbers go on");
    assert_eq!(spool.shared.body(SpoolId(1)).unwrap().unwrap(), b"old");
    assert_eq!(spool.shared.body(SpoolId(9)).unwrap(), None);
}

#[test]
fn nobody_else_can_read_it_and_the_key_is_nowhere() {
    let place = Place::new();
    let spool = place.spool(KEY);
    spool.shared.open().unwrap();
    spool.shared.store(&payloads(&["a"]), 1).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let folder = place.file(0).parent().unwrap().to_owned();
    assert_eq!((mode(&folder), mode(&place.file(0)), mode(&folder.join("lock"))), (0o700, 0o600, 0o600));
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        assert!(!path.to_str().unwrap().contains(KEY));
        assert!(!std::fs::read(path).unwrap().windows(8).any(|window| KEY.as_bytes().starts_with(window)));
    }
    assert_ne!(folder_name("http://intake", KEY), folder_name("http://intake", "other"));
    assert_ne!(folder_name("http://intake", KEY), folder_name("http://other", KEY));
}

#[test]
fn damaged_files_are_removed_and_counted_and_those_of_newer_programs_wait() {
    let place = Place::new();
    {
        let spool = place.spool(KEY);
        spool.shared.open().unwrap();
        spool.shared.store(&payloads(&["cut off", "flipped head", "flipped body", "newer", "good"]), 1).unwrap();
    }
    let change = |number, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = std::fs::read(place.file(number)).unwrap();
        change(&mut bytes);
        std::fs::write(place.file(number), bytes).unwrap();
    };
    change(0, &|bytes| bytes.truncate(bytes.len() - 1));
    change(1, &|bytes| bytes[20] ^= 1);
    change(2, &|bytes| *bytes.last_mut().unwrap() ^= 1);
    change(3, &|bytes| bytes[8] = 9);
    std::fs::write(place.file(7).with_extension("new"), "half").unwrap();
    std::fs::write(place.file(8).with_extension("txt"), "not ours").unwrap();
    let spool = place.spool(KEY);
    let listing = spool.shared.open().unwrap();
    assert_eq!(listing.payloads.iter().map(|payload| payload.id.0).collect::<Vec<_>>(), [2, 4]);
    assert_eq!((listing.damaged, listing.unfinished), (2, 1));
    assert_eq!(spool.shared.body(SpoolId(2)).unwrap(), None, "found when it is read");
    assert!(!place.file(2).exists() && !place.file(0).exists() && place.file(3).exists());
    assert!(place.file(8).with_extension("txt").exists(), "what is not ours is left alone");
    assert_eq!(spool.shared.store(&payloads(&["x"]), 1).unwrap().ids, [SpoolId(8)]);
}

#[test]
fn a_folder_may_be_relative_and_those_on_the_way_are_made() {
    let here = tempfile::tempdir_in(".").unwrap();
    for root in [PathBuf::from(here.path().file_name().unwrap()), here.path().join("b/c")] {
        let spool = FileSpool::new(&root, "http://intake", KEY, true);
        spool.shared.open().unwrap();
        assert!(root.join(folder_name("http://intake", KEY)).is_dir());
    }
    let mode = |folder: &str| std::fs::metadata(here.path().join(folder)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("b"), mode("b/c")), (0o700, 0o700));
}

#[test]
fn a_second_process_is_refused() {
    let place = Place::new();
    let first = place.spool(KEY);
    first.shared.open().unwrap();
    assert_eq!(place.spool(KEY).shared.open().unwrap_err().to_string(), "another process uses it");
    drop(first);
    assert!(place.spool(KEY).shared.open().is_ok());
}

#[test]
fn a_changed_key_inherits_what_the_old_one_stored() {
    let place = Place::new();
    {
        let old = place.spool("old-key");
        old.shared.open().unwrap();
        old.shared.store(&payloads(&["a", "b"]), 1).unwrap();
        let other = FileSpool::new(place.root.path(), "http://other", "old-key", true);
        other.shared.open().unwrap();
        other.shared.store(&payloads(&["not mine"]), 1).unwrap();
    }
    let one_of_several = FileSpool::new(place.root.path(), "http://intake", "key-2", false);
    assert_eq!(one_of_several.shared.open().unwrap().payloads, [], "whose it would be is not known");
    drop(one_of_several);
    let spool = place.spool(KEY);
    let (found, _) = found(&spool.shared);
    assert_eq!(found, BTreeSet::from(["a".to_owned(), "b".to_owned()]));
    assert!(!place.root.path().join(folder_name("http://intake", "old-key")).exists());
    assert!(place.root.path().join(folder_name("http://other", "old-key")).exists());
}

#[test]
fn only_the_first_opening_inherits() {
    let place = Place::new();
    let old = place.spool("old-key");
    old.shared.open().unwrap();
    old.shared.store(&payloads(&["a"]), 1).unwrap();
    let spool = place.spool(KEY);
    assert_eq!(spool.shared.open().unwrap().payloads, [], "somebody still uses it");
    drop(old);
    assert_eq!(spool.shared.open().unwrap().payloads, [], "an output removes what it finds strange when it opens again");
    drop(spool);
    assert_eq!(found(&place.spool(KEY).shared).0, BTreeSet::from(["a".to_owned()]));
}

#[actix_rt::test]
async fn a_folder_that_cannot_be_made_or_went_away_is_an_error_that_names_it() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let spool = FileSpool::new(file.path(), "http://intake", KEY, true);
    let error = spool.open().await.unwrap_err();
    assert!(error.step.starts_with("open spool ") && error.step.contains(file.path().to_str().unwrap()), "{error}");

    let place = Place::new();
    let spool = place.spool(KEY);
    spool.open().await.unwrap();
    let stored = spool.store(payloads(&["a"]), 1).await.unwrap();
    std::fs::remove_dir_all(place.root.path()).unwrap();
    assert_eq!(spool.body(stored.ids[0]).await.unwrap(), None);
    assert_eq!(spool.remove(stored.ids).await, [], "gone is gone");
    assert!(spool.store(payloads(&["b"]), 1).await.is_ok(), "the folder is made again");
}
