//! Time and memory of one pod, from the line of a watch to the object that actors share.

use std::hint::black_box;
use std::time::Duration;

use kube::api::WatchEvent;
use muster::kube::decode::{Form as _, Interner, PodForm, Slim};
use muster_actors::domain::kube::objects::KubeObject;
use tokio::time::sleep;

use crate::api::Listing;
use crate::report::Report;
use crate::wire::memory_kb;

const ROUNDS: usize = 5;

/// Longer than freed memory is kept.
const DECAY: Duration = Duration::from_secs(3);

pub async fn measure(listing: &Listing, report: &mut Report) {
    let lines = &listing.lines;
    let length = lines.iter().map(String::len).sum::<usize>() as f64 / lines.len() as f64;
    // In turn, so that a slow moment of the machine hits all.
    let mut rounds = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        rounds[0].push(time(lines, |line| {
            black_box(line.bytes().fold(0_u8, |sum, byte| sum ^ byte));
        }));
        rounds[1].push(time(lines, |line| {
            black_box(serde_json::from_str::<serde::de::IgnoredAny>(line).unwrap());
        }));
        let mut interner = Interner::default();
        rounds[2].push(time(lines, |line| {
            black_box(object(line, &mut interner));
        }));
    }
    let [touch, skip, decode] = rounds.map(|mut times| {
        times.sort_unstable();
        times[ROUNDS / 2].as_secs_f64() * 1e6 / lines.len() as f64
    });
    report.row(
        &format!("decoding a pod of {length:.0} bytes of JSON, as the API server sent it"),
        format!("{decode:.1} us, {:.2} us per kB", decode * 1e3 / length),
        format!("goal <= 8 us; touching every byte {touch:.2} us, finding the end of the JSON {skip:.1} us, same run"),
    );

    // The decoder's own buffers are there before memory is taken.
    black_box(held(&lines[..lines.len() / 10]));
    sleep(DECAY).await;
    let before = memory_kb(std::process::id(), "VmRSS");
    let pods = held(lines);
    sleep(DECAY).await;
    let grown = memory_kb(std::process::id(), "VmRSS").saturating_sub(before);
    let each = grown as f64 / pods.0.len() as f64;
    report.row(
        &format!("resident memory of one pod, {} held", pods.0.len()),
        format!("{each:.2} KB"),
        "goal <= 2.5 KB; k8s_openapi's `Pod` 35 KB",
    );
}

/// Processor time, because the machine may have other work.
fn time(lines: &[String], mut each: impl FnMut(&str)) -> Duration {
    let begun = on_cpu();
    for line in lines {
        each(line);
    }
    on_cpu().saturating_sub(begun)
}

/// Time that this thread was on a processor.
fn on_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

/// What a watch makes of a line.
fn object(line: &str, interner: &mut Interner) -> KubeObject {
    let WatchEvent::Added(pod) = serde_json::from_str::<WatchEvent<Slim<PodForm>>>(line).unwrap() else { panic!("a listed pod") };
    pod.form.into_object(interner)
}

fn held(lines: &[String]) -> (Vec<KubeObject>, Interner) {
    let mut interner = Interner::default();
    let pods = lines.iter().map(|line| object(line, &mut interner)).collect();
    (pods, interner)
}
