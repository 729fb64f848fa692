//! An output as a process of its own, killed again and again while its intake is down: whatever its source was told to be safe
//! arrives when the intake is back.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod intake;
mod sender;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use muster_actors::kernel::clock::{Clock as _, SystemClock};
use muster_actors::kernel::rng::{Random as _, SeededRandom};

use crate::intake::{Intake, Mode};

/// The key of all tests: it must show up in no file.
pub const KEY: &str = "0123456789abcdef0123456789abcdef";

/// How often the sender is killed while the intake is down.
const KILLS: u64 = 50;

/// Catches hangs; nothing is judged by how long it takes.
const HANG: Duration = Duration::from_secs(120);

struct Sender {
    process: Child,
    lines: BufReader<ChildStdout>,
}

impl Sender {
    /// Starts `sender::the_sender` of this same program. With `events` = 0 it only sends what it finds on the disk.
    fn start(url: &str, folder: &Path, life: u64, events: u64) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "sender::the_sender", "--nocapture", "--test-threads", "1"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        writeln!(process.stdin.as_mut().unwrap(), "{url} {} {life} {events}", folder.display()).unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap());
        Self { process, lines }
    }

    /// The next event that is safe; `None` at the end of the process.
    fn next_safe(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).unwrap() == 0 || !line.ends_with('\n') {
                return None;
            }
            if let Some((_, id)) = line.trim_end().split_once("safe ") {
                return Some(id.to_owned());
            }
        }
    }

    /// Kills it, and takes in what it said before.
    fn kill(mut self) -> Vec<String> {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        std::iter::from_fn(|| self.next_safe()).collect()
    }
}

#[test]
fn fifty_kills_while_the_intake_is_down_lose_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let intake = Intake::start();
    let random = SeededRandom::new(6);
    let mut safe = BTreeSet::new();
    for life in 0..KILLS {
        intake.set(if life % 2 == 0 { Mode::Answers503 } else { Mode::Resets });
        let mut sender = Sender::start(&intake.url(), folder.path(), life, u64::MAX);
        // Somewhere in the middle of its work, or of its start.
        for _ in 0..(random.unit() * 40.0) as u64 {
            safe.insert(sender.next_safe().expect("it goes on until it is killed"));
        }
        pause(Duration::from_micros((random.unit() * 20_000.0) as u64));
        safe.extend(sender.kill());
    }
    assert!(intake.arrived().is_empty(), "it was down");
    assert!(safe.len() as u64 > KILLS * 10, "{} events", safe.len());
    nobody_else_may_read(folder.path());

    intake.set(Mode::Accepts);
    let sender = Sender::start(&intake.url(), folder.path(), KILLS, 0);
    let clock = SystemClock::new();
    while !intake.arrived().keys().cloned().collect::<BTreeSet<_>>().is_superset(&safe) {
        let missing = safe.iter().filter(|id| !intake.arrived().contains_key(*id)).count();
        assert!(clock.monotonic() < HANG, "{missing} of {} never arrived", safe.len());
        pause(Duration::from_millis(20));
    }
    sender.kill();
    let arrived = intake.arrived();
    let duplicates: u64 = arrived.values().map(|times| times - 1).sum();
    let unacknowledged = arrived.keys().filter(|id| !safe.contains(*id)).count();
    println!(
        "{} acknowledged, all arrived; {unacknowledged} more that were stored when the sender was killed; {duplicates} duplicates",
        safe.len()
    );
    assert!(unacknowledged as u64 <= KILLS * sender::OUTSTANDING, "only what was under way at a kill");
}

#[test]
fn kills_while_the_intake_works_cost_duplicates_at_most() {
    let folder = tempfile::tempdir().unwrap();
    let intake = Intake::start();
    intake.set(Mode::Accepts);
    let random = SeededRandom::new(7);
    let mut safe = BTreeSet::new();
    for life in 0..10 {
        let mut sender = Sender::start(&intake.url(), folder.path(), life, u64::MAX);
        for _ in 0..=(random.unit() * 40.0) as u64 {
            safe.insert(sender.next_safe().expect("it goes on until it is killed"));
        }
        safe.extend(sender.kill());
    }
    let sender = Sender::start(&intake.url(), folder.path(), 10, 0);
    let clock = SystemClock::new();
    while !safe.iter().all(|id| intake.arrived().contains_key(id)) {
        assert!(clock.monotonic() < HANG, "some never arrived");
        pause(Duration::from_millis(20));
    }
    sender.kill();
    let duplicates: u64 = intake.arrived().values().map(|times| times - 1).sum();
    assert!(duplicates <= 11 * sender::MOST_UNCONFIRMED, "{duplicates} duplicates: what was sent and not yet removed at each kill");
}

fn nobody_else_may_read(folder: &Path) {
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let mut files = 0;
    for destination in std::fs::read_dir(folder).unwrap() {
        let destination = destination.unwrap().path();
        assert_eq!(mode(&destination), 0o700);
        for file in std::fs::read_dir(&destination).unwrap() {
            let file = file.unwrap().path();
            assert_eq!(mode(&file), 0o600);
            let bytes = std::fs::read(&file).unwrap();
            assert!(!bytes.windows(KEY.len()).any(|window| window == KEY.as_bytes()), "the key is in {}", file.display());
            files += 1;
        }
    }
    assert!(files > 1);
}

#[expect(clippy::disallowed_methods, reason = "waits for other processes")]
fn pause(length: Duration) {
    std::thread::sleep(length);
}
