//! Measures the spool beside plain files that are written and synced alike: append (a payload is safe when it returns) and replay (the
//! beginnings of all files, then each body). Run with `cargo bench --bench spool`, in a folder of the disk that is meant: `TMPDIR`.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that fails has nothing better to do than stop and say where")]

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use muster::output::spool::FileSpool;
use muster_actors::domain::delivery::{Contents, Payload, Route};
use muster_actors::kernel::clock::{Clock as _, SystemClock};
use muster_actors::ports::{Spool as _, SpoolId};

const ROUTE: Route = Route { name: "intake", path: "/intake/", content_type: "application/json" };

/// Runs of which the median is shown.
const ROUNDS: usize = 5;

/// One row: so many payloads of this size, stored so many at a time.
struct Load {
    bytes: usize,
    payloads: usize,
    group: usize,
}

fn main() {
    println!("payload   at once |   append   plain files  ratio |   replay   plain files  ratio    (MB/s, medians of {ROUNDS})");
    for load in [
        Load { bytes: 1_000, payloads: 300, group: 1 },
        Load { bytes: 1_000, payloads: 2_000, group: 50 },
        Load { bytes: 64_000, payloads: 400, group: 8 },
        Load { bytes: 500_000, payloads: 200, group: 8 },
        Load { bytes: 2_600_000, payloads: 40, group: 1 },
    ] {
        actix_rt::System::new().block_on(row(&load));
    }
}

async fn row(load: &Load) {
    // In turns, so that a disk that gets slower is slower for both.
    let (mut ours, mut plain) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(spool(load).await);
        plain.push(plain_files(load));
    }
    let speed = |times: &[(Duration, Duration)], pick: fn(&(Duration, Duration)) -> Duration| {
        let mut times: Vec<Duration> = times.iter().map(pick).collect();
        times.sort();
        (load.bytes * load.payloads) as f64 / 1e6 / times[times.len() / 2].as_secs_f64()
    };
    let (append, plain_append) = (speed(&ours, |times| times.0), speed(&plain, |times| times.0));
    let (replay, plain_replay) = (speed(&ours, |times| times.1), speed(&plain, |times| times.1));
    println!(
        "{:>7} B  {:>7} | {append:>8.1} {plain_append:>13.1} {:>6.2} | {replay:>8.1} {plain_replay:>13.1} {:>6.2}",
        load.bytes,
        load.group,
        append / plain_append,
        replay / plain_replay
    );
}

/// Bytes that no disk makes smaller.
fn body(bytes: usize, number: usize) -> Vec<u8> {
    let mut state = number as u64 + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..bytes).map(|_| next()).collect()
}

async fn spool(load: &Load) -> (Duration, Duration) {
    let clock = SystemClock::new();
    let folder = tempfile::tempdir().unwrap();
    let contents = Contents { events: 1, ..Contents::default() };
    let payloads: Vec<Payload> = (0..load.payloads).map(|number| Payload::new(ROUTE, body(load.bytes, number), contents)).collect();
    let spool = FileSpool::new(folder.path(), "http://intake", "key", true);
    spool.open().await.unwrap();
    let groups: Vec<Vec<Payload>> = payloads.chunks(load.group).map(<[Payload]>::to_vec).collect();
    let began = clock.monotonic();
    for group in groups {
        spool.store(group, 1).await.unwrap();
    }
    let append = clock.monotonic().saturating_sub(began);
    drop(spool);

    let began = clock.monotonic();
    let spool = FileSpool::new(folder.path(), "http://intake", "key", true);
    let listing = spool.open().await.unwrap();
    let ids: Vec<SpoolId> = listing.payloads.iter().map(|payload| payload.id).collect();
    let mut bytes = 0;
    for id in ids {
        bytes += spool.body(id).await.unwrap().unwrap().len();
    }
    let replay = clock.monotonic().saturating_sub(began);
    assert_eq!(bytes, load.bytes * load.payloads);
    (append, replay)
}

/// The same policy with nothing else: each file synced, then once their folder; no checksums, no names changed, no other threads.
fn plain_files(load: &Load) -> (Duration, Duration) {
    let clock = SystemClock::new();
    let folder = tempfile::tempdir().unwrap();
    let bodies: Vec<Vec<u8>> = (0..load.payloads).map(|number| body(load.bytes, number)).collect();
    let path = |number: usize| folder.path().join(number.to_string());
    let began = clock.monotonic();
    for (index, group) in bodies.chunks(load.group).enumerate() {
        let files: Vec<File> = (index * load.group..).zip(group).map(|(number, body)| write(&path(number), body)).collect();
        for file in files {
            file.sync_all().unwrap();
        }
        File::open(folder.path()).unwrap().sync_all().unwrap();
    }
    let append = clock.monotonic().saturating_sub(began);

    let began = clock.monotonic();
    let mut bytes = 0;
    for entry in fs::read_dir(folder.path()).unwrap() {
        bytes += fs::read(entry.unwrap().path()).unwrap().len();
    }
    let replay = clock.monotonic().saturating_sub(began);
    assert_eq!(bytes, load.bytes * load.payloads);
    (append, replay)
}

fn write(path: &Path, body: &[u8]) -> File {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).unwrap();
    file.write_all(body).unwrap();
    file
}
