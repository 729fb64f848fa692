//! Measures the way of samples to the intake: payload building and compression beside the compressor alone, samples per second from
//! a check's run to a payload on one core, and the memory of a million points that wait for an intake that does not answer.
//! Run with `cargo bench --bench payloads`; results belong in docs/BENCHMARKS.md.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that fails has nothing better to do than stop and say where")]

#[expect(dead_code, reason = "it is shared with the measurements of servers")]
mod wire;

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use muster::config::ApiKey;
use muster::config::settings::{BodyLimits, Compressor, IntakeSettings, OutputKind};
use muster::output::datadog::DatadogTransport;
use muster::output::plan::{self, OutputPlan};
use muster::output::settings::OutputSettings;
use muster_actors::domain::check_options::CheckOptions;
use muster_actors::domain::delivery::{Encoded, Payload, SendResult};
use muster_actors::domain::sample_state::HistogramPolicy;
use muster_actors::domain::sampler::{RunTime, Sampler};
use muster_actors::domain::samples::{Batch, CheckRun, Event, RunSamples, Sample, SampleKind, Series, SeriesKind, ServiceStatus};
use muster_actors::kernel::clock::{Clock, SystemClock};
use muster_actors::kernel::mailbox::{Handle, STATE_OWNER_CAPACITY};
use muster_actors::kernel::published::Reader;
use muster_actors::kernel::rng::SeededRandom;
use muster_actors::kernel::supervisor::Kernel;
use muster_actors::messages::aggregator::{Commit, FlushNow};
use muster_actors::messages::output::{Enqueue, OutputStats};
use muster_actors::ports::OutputTransport;
use muster_actors::shared::aggregator::{Aggregator, AggregatorPolicy};
use muster_actors::shared::output::{Output, OutputPolicy};
use tikv_jemallocator::Jemalloc;
use tokio::runtime::Runtime;

use crate::wire::{cpu_seconds, machine, memory_kb};

// As in the program.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

const ROUNDS: usize = 9;
/// Items of one kind in a batch.
const ITEMS: usize = 10_000;
/// Samples of one run of a check.
const SAMPLES: usize = 1_000;
/// Runs whose samples are brought through the actors.
const RUNS: usize = 2_000;
/// Runs between two flushes.
const RUNS_PER_FLUSH: usize = 100;
/// Points that wait, and the batches they come in.
const WAITING: usize = 1_000_000;
const BATCHES: usize = 100;
const MEGABYTE: f64 = 1e6;

fn main() {
    rustls::crypto::ring::default_provider().install_default().ok();
    match std::env::args().nth(1).as_deref() {
        Some("queued") => return wait_for_nobody(true),
        Some("unencoded") => return wait_for_nobody(false),
        _ => {}
    }
    let clock = SystemClock::new();
    println!("Machine: {}", machine());
    println!("\nBodies, one thread, median of {ROUNDS} rounds, MB/s of bodies before compression ({ITEMS} items a batch)");
    println!("{:<26} {:>9} {:>9} {:>14} {:>9} {:>12} {:>7}", "kind", "MB", "packed", "build", "compress", "both", "ratio");
    for (name, series_v2, batch) in [
        ("series v2, zstd 1", true, series_batch()),
        ("series v1, zstd 1", false, series_batch()),
        ("check runs, zstd 1", true, check_run_batch()),
        ("events, zstd 1", true, event_batch()),
    ] {
        bodies(&clock, name, series_v2, Compressor::Zstd { level: 1 }, &batch);
    }
    bodies(&clock, "series v2, zlib", true, Compressor::Zlib, &series_batch());
    println!("ratio = compressor alone / building and compressing: the time of the compressor as a part of the whole; 1 is the limit.");

    samples_to_payload(&clock);
    through_the_actors(&clock);

    println!("\nMemory of {WAITING} points that wait, in a process of its own");
    for (form, what) in
        [("unencoded", "as they come from the aggregator"), ("queued", "as payloads in an output whose intake does not answer")]
    {
        let child = Command::new(std::env::current_exe().unwrap()).arg(form).output().unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
        println!("{what:<52} {}", String::from_utf8_lossy(&child.stdout).trim());
    }
}

fn time(clock: &dyn Clock, work: impl FnOnce()) -> f64 {
    let begin = clock.monotonic();
    work();
    clock.monotonic().saturating_sub(begin).as_secs_f64()
}

/// Rounds alternate between the parts, so that a slow minute of the machine hits all of them.
fn median(mut times: Vec<f64>) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}

fn bodies(clock: &dyn Clock, name: &str, series_v2: bool, compressor: Compressor, batch: &Batch) {
    // Nothing is sent, so the carrier need not run.
    let carrier = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // Without a limit after compression, so that both transports cut alike.
    let open = |limits: BodyLimits| BodyLimits { compressed: u64::MAX, ..limits };
    let transport = |compressor| {
        let plain = IntakeSettings::default();
        let (series_limits, other_limits) = (open(plain.series_limits), open(plain.other_limits));
        let settings = IntakeSettings { compressor, series_v2, series_limits, other_limits, ..plain };
        DatadogTransport::try_new(&settings, Some("http://intake.invalid"), ApiKey::new("k"), carrier.handle().clone()).unwrap()
    };
    let (building, both) = (transport(Compressor::Identity), transport(compressor));
    let raw: Vec<Vec<u8>> = building.encode(batch).payloads.into_iter().map(|payload| payload.body).collect();
    let (mut build_times, mut compress_times, mut both_times) = (Vec::new(), Vec::new(), Vec::new());
    let mut packed = 0;
    for _ in 0..ROUNDS {
        build_times.push(time(clock, || drop(std::hint::black_box(building.encode(batch)))));
        let copies = raw.clone();
        compress_times.push(time(clock, || {
            for body in copies {
                drop(std::hint::black_box(compressor.compress(body).unwrap()));
            }
        }));
        both_times.push(time(clock, || packed = bytes(&std::hint::black_box(both.encode(batch)))));
    }
    let megabytes = raw.iter().map(Vec::len).sum::<usize>() as f64 / MEGABYTE;
    let (build, compress, both) = (median(build_times), median(compress_times), median(both_times));
    println!(
        "{name:<26} {megabytes:>9.2} {:>9.2} {:>14.0} {:>9.0} {:>12.0} {:>7.2}",
        packed as f64 / MEGABYTE,
        megabytes / build,
        megabytes / compress,
        megabytes / both,
        compress / both,
    );
}

fn bytes(encoded: &Encoded) -> u64 {
    encoded.payloads.iter().map(|payload| payload.body.len() as u64).sum()
}

/// The same functions that the actors call, one after the other.
fn samples_to_payload(clock: &dyn Clock) {
    let carrier = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let settings = IntakeSettings::default();
    let transport =
        DatadogTransport::try_new(&settings, Some("http://intake.invalid"), ApiKey::new("k"), carrier.handle().clone()).unwrap();
    let mut sampler = Sampler::new(HistogramPolicy::default());
    let (mut settle, mut sample, mut encode) = (Vec::new(), Vec::new(), Vec::new());
    // The first round makes the series, which later ones find.
    for round in 0..ROUNDS * 5 {
        let mut runs: Vec<RunSamples> = (0..10).map(|_| run(round)).collect();
        settle.push(time(clock, || {
            for run in &mut runs {
                OPTIONS.settle(run, "node-1", 0);
            }
        }));
        let mut batch = Batch::default();
        sample.push(time(clock, || {
            for run in runs {
                let at = RunTime { monotonic: clock.monotonic(), unix_seconds: 1_700_000_000 + round as i64 };
                let (part, _) = sampler.take_run(run, at);
                batch.series.extend(part.series);
            }
        }));
        encode.push(time(clock, || drop(std::hint::black_box(transport.encode(&batch)))));
    }
    let per_second = |seconds: f64| 10.0 * SAMPLES as f64 / seconds / MEGABYTE;
    let (settle, sample, encode) = (median(settle), median(sample), median(encode));
    println!("\nSamples of checks to payloads, one thread, million samples/s (runs of {SAMPLES}, {TAGS} tags each)");
    println!("{:<44} {:>8.2}", "hosts and tags settled", per_second(settle));
    println!("{:<44} {:>8.2}", "through the sampler", per_second(sample));
    println!("{:<44} {:>8.2}", "series to payloads", per_second(encode));
    println!(
        "{:<44} {:>8.2}   (limit: payloads alone, ratio {:.2})",
        "all of it",
        per_second(settle + sample + encode),
        encode / (settle + sample + encode)
    );
}

const OPTIONS: CheckOptions = CheckOptions { interval: Duration::from_secs(15), empty_default_hostname: false };

/// Encodes as the intake wants it, and answers in its place.
struct Answering {
    encoder: DatadogTransport,
    /// Whether it answers at all.
    answers: bool,
}

impl OutputTransport for Answering {
    fn encode(&self, batch: &Batch) -> Encoded {
        self.encoder.encode(batch)
    }

    fn send(&self, _: &Payload) -> BoxFuture<'static, SendResult> {
        if self.answers { Box::pin(async { SendResult::Answered(202) }) } else { Box::pin(std::future::pending()) }
    }
}

/// An output that does not leave this process.
fn output(answers: bool, carrier: &Runtime) -> OutputPlan {
    let settings = IntakeSettings {
        api_key: Some(ApiKey::new("0123456789abcdef")),
        url: Some("http://intake.invalid".to_owned()),
        ..IntakeSettings::default()
    };
    let encoder = DatadogTransport::try_new(&settings, Some("http://intake.invalid"), ApiKey::new("k"), carrier.handle().clone()).unwrap();
    let policy = OutputPolicy { max_queue_bytes: 4 << 30, key_check_interval: None, ..OutputPolicy::default() };
    let mut plan =
        plan::build(&OutputSettings { outputs: vec![OutputKind::Datadog], intake: settings, policy }, carrier.handle()).unwrap().remove(0);
    plan.transport = Arc::new(Answering { encoder, answers });
    plan
}

async fn until(stats: &Reader<OutputStats>, done: impl Fn(&OutputStats) -> bool) {
    while !done(&stats.peek()) {
        actix_rt::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Runs of checks as messages to the real aggregator and output; the work is counted in seconds of the processor, on whichever thread.
fn through_the_actors(clock: &dyn Clock) {
    let carrier = Runtime::new().unwrap();
    let plan = output(true, &carrier);
    let parts = plan.parts(SystemClock::shared(), Arc::new(SeededRandom::new(1)));
    let stats = parts.publisher.reader();
    let mut sampler = Sampler::new(HistogramPolicy::default());
    let prepared: Vec<RunSamples> = (0..RUNS).map(run).collect();
    let (mut cpu, mut wall) = (0.0, 0.0);
    actix_rt::System::new().block_on(async {
        let kernel = Kernel::start(SystemClock::shared(), |_| {});
        let (output, aggregator) = (Handle::<Output>::new(plan.name), Handle::<Aggregator>::new("Aggregator"));
        let outlets = vec![output.outlet::<Enqueue>()];
        let group = kernel.one_for_one("payloads", None);
        group.child(&output, STATE_OWNER_CAPACITY, move || Output::new(parts.clone()));
        let policy = AggregatorPolicy { flush_interval: Duration::from_secs(3600), global_tags: None };
        group.child(&aggregator, STATE_OWNER_CAPACITY, move || Aggregator::new(policy.clone(), outlets.clone()));
        let (cpu_before, began) = (cpu_seconds(std::process::id()), clock.monotonic());
        for (number, mut run) in prepared.into_iter().enumerate() {
            OPTIONS.settle(&mut run, "node-1", 0);
            let at = RunTime { monotonic: clock.monotonic(), unix_seconds: 1_700_000_000 + number as i64 };
            aggregator.ask(Commit { batch: sampler.take_run(run, at).0 }, Duration::from_secs(60)).await.unwrap();
            if (number + 1) % RUNS_PER_FLUSH == 0 {
                aggregator.ask(FlushNow, Duration::from_secs(60)).await.unwrap();
                let flushed = ((number + 1) * SAMPLES) as u64;
                until(&stats, |stats| stats.sent.points >= flushed).await;
            }
        }
        (cpu, wall) = (cpu_seconds(std::process::id()) - cpu_before, clock.monotonic().saturating_sub(began).as_secs_f64());
        kernel.shutdown(Duration::from_secs(10)).await;
    });
    let samples = (RUNS * SAMPLES) as f64 / MEGABYTE;
    let (sent, packed) = (stats.peek().sent.points, stats.peek().sent.bytes as f64 / MEGABYTE);
    assert_eq!(sent, (RUNS * SAMPLES) as u64, "everything arrived");
    println!("\nThe same through the real aggregator and output, {samples:.1} million samples, {packed:.1} MB sent");
    println!("{:<44} {:>8.2}   (million samples per second of one core; wall {:.2})", "checks to payloads", samples / cpu, samples / wall);
}

/// A million points wait; tells what they take.
fn wait_for_nobody(encoded: bool) {
    let id = std::process::id();
    let batch = |number: usize| {
        let series = (0..WAITING / BATCHES).map(|index| series(number * 7 + index, 1_700_000_000 + number as i64)).collect();
        Arc::new(Batch { series, ..Batch::default() })
    };
    if !encoded {
        let before = memory_kb(id, "VmRSS");
        let kept: Vec<Arc<Batch>> = (0..BATCHES).map(batch).collect();
        tell(before, id, None);
        drop(kept);
        return;
    }
    let carrier = Runtime::new().unwrap();
    let plan = output(false, &carrier);
    let parts = plan.parts(SystemClock::shared(), Arc::new(SeededRandom::new(1)));
    let stats = parts.publisher.reader();
    actix_rt::System::new().block_on(async {
        let kernel = Kernel::start(SystemClock::shared(), |_| {});
        let output = Handle::<Output>::new(plan.name);
        kernel.one_for_one("payloads", None).child(&output, STATE_OWNER_CAPACITY, move || Output::new(parts.clone()));
        // What encoding needs once is there before anything is counted.
        output.tell(Enqueue::new(batch(BATCHES))).unwrap();
        until(&stats, |stats| stats.queued.payloads > 0).await;
        let (before, first) = (memory_kb(id, "VmRSS"), stats.current().queued);
        for number in 0..BATCHES {
            let payloads = stats.peek().queued.payloads;
            output.tell(Enqueue::new(batch(number))).unwrap();
            until(&stats, |stats| stats.queued.payloads > payloads).await;
        }
        // The allocator gives back what was only needed in between within 10 s.
        actix_rt::time::sleep(Duration::from_secs(15)).await;
        let queued = stats.current().queued - first;
        assert_eq!(queued.points, WAITING as u64);
        tell(before, id, Some(queued.bytes));
    });
}

fn tell(before: u64, id: u32, bytes: Option<u64>) {
    let grown = (memory_kb(id, "VmRSS") - before) as f64 * 1024.0;
    let per_point = grown / WAITING as f64;
    let ratio =
        bytes.map(|bytes| format!(", {:.1} MB of bodies, ratio {:.2}", bytes as f64 / MEGABYTE, grown / bytes as f64)).unwrap_or_default();
    println!("{:>7.1} MB, {per_point:>6.1} bytes a point{ratio}", grown / MEGABYTE);
}

/// Tags of one series.
const TAGS: usize = 10;

fn tags(index: usize) -> Vec<String> {
    let mut tags: Vec<String> = (0..TAGS - 2).map(|number| format!("label_{number}:value-{}", index % (number + 2))).collect();
    tags.push(format!("kube_namespace:team-{}", index % 40));
    // Real names end in words of chance, which do not compress.
    let chance = mixed(index);
    tags.push(format!("pod_name:service-{}-{:08x}-{:05x}", index % 300, chance >> 32, chance & 0xF_FFFF));
    tags.sort_unstable();
    tags
}

/// A number that looks like chance and is the same in every run.
fn mixed(index: usize) -> u64 {
    let mixed = (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9)
}

fn series(index: usize, at: i64) -> Series {
    Series {
        name: format!("service.requests.metric_{}", index % 200),
        points: vec![(at, (mixed(index) >> 40) as f64 / 1000.0)],
        tags: tags(index),
        host: "node-1".to_owned(),
        kind: SeriesKind::Gauge,
        interval: 0,
        source_type_name: "System".to_owned(),
        no_index: false,
    }
}

fn series_batch() -> Batch {
    Batch { series: (0..ITEMS).map(|index| series(index, 1_700_000_000)).collect(), ..Batch::default() }
}

fn check_run_batch() -> Batch {
    let run = |index: usize| CheckRun {
        name: "http.can_connect".to_owned(),
        host: "node-1".to_owned(),
        timestamp: 1_700_000_000,
        status: if index.is_multiple_of(9) { ServiceStatus::Critical } else { ServiceStatus::Ok },
        message: if index.is_multiple_of(9) { format!("connect to 10.0.0.{}: refused", index % 256) } else { String::new() },
        tags: tags(index),
    };
    Batch { check_runs: (0..ITEMS).map(run).collect(), ..Batch::default() }
}

fn event_batch() -> Batch {
    let event = |index: usize| Event {
        title: format!("Events from the Pod team-{}/service-{index}", index % 40),
        text: format!("%%% \n1 **Killing**: Stopping container web-{index} \n2 **Pulled**: Container image already present \n %%%"),
        timestamp: 1_700_000_000,
        priority: "normal".to_owned(),
        host: "node-1".to_owned(),
        tags: tags(index),
        alert_type: "info".to_owned(),
        aggregation_key: format!("kubernetes_apiserver:{:016x}{:016x}", mixed(index), mixed(index + ITEMS)),
        source_type_name: "kubernetes".to_owned(),
        event_type: "kubernetes_apiserver".to_owned(),
    };
    Batch { events: (0..ITEMS).map(event).collect(), ..Batch::default() }
}

/// What one run submits: the same series every time, with other values.
fn run(round: usize) -> RunSamples {
    let sample = |index: usize| Sample {
        name: format!("service.requests.metric_{}", index % 200),
        kind: SampleKind::Gauge,
        value: (index * 31 + round) as f64,
        tags: tags(index),
        host: None,
        flush_first_value: false,
        no_index: false,
    };
    RunSamples { samples: (0..SAMPLES).map(sample).collect(), ..RunSamples::default() }
}
