//! What a replica reports about itself, and when, in virtual time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use muster_actors::cluster::metadata_reporter::{FIRST_REPORT, MetadataReporter, MetadataReporterParts, REPORT_PERIOD};
use muster_actors::cluster::self_telemetry::{SelfTelemetry, SelfTelemetryParts};
use muster_actors::domain::samples::{Batch, Event, SeriesKind, ServiceStatus};
use muster_actors::kernel::universe::{self, Recorded, Universe};
use muster_actors::messages::output::Enqueue;
use muster_actors::shared::aggregator::{Aggregator, AggregatorPolicy};

const FLUSH: Duration = Duration::from_secs(15);

/// Starts both actors and returns what was flushed in so much time.
async fn flushed_in(universe: &Universe, start_told: &Arc<AtomicBool>, time: Duration) -> Vec<Arc<Batch>> {
    let (output, flushed) = universe.recorder::<Enqueue>("output");
    let global_tags = ["zone:a", "kube_cluster_name:prod", "env:prod"].map(str::to_owned).to_vec();
    let policy = AggregatorPolicy { flush_interval: FLUSH, global_tags: Some(global_tags) };
    let aggregator = universe.start("aggregator", move || Aggregator::new(policy.clone(), vec![output.clone()]));
    let parts = SelfTelemetryParts {
        clock: universe.clock(),
        commits: aggregator.outlet(),
        flush_interval: FLUSH,
        version: "7.81.1".to_owned(),
        hostname: "node-1".to_owned(),
        start_told: Arc::clone(start_told),
    };
    universe.start("self_telemetry", move || SelfTelemetry::new(parts.clone()));
    universe.advance(time).await;
    flushed.take().into_iter().map(|enqueue| enqueue.batch).collect()
}

fn names(batch: &Batch) -> Vec<&str> {
    batch.series.iter().map(|series| series.name.as_str()).collect()
}

#[test]
fn the_start_is_told_once_and_that_it_runs_with_every_flush() {
    universe::run(1, |universe| async move {
        let batches = flushed_in(&universe, &Arc::default(), FLUSH * 4).await;
        let running = ["datadog.cluster_agent.running", "n_o_i_n_d_e_x.datadog.cluster_agent.payload.dropped"];
        assert_eq!(names(&batches[0]), [&["datadog.cluster_agent.started"], running.as_slice()].concat());
        for batch in &batches[1..] {
            assert_eq!((names(batch), batch.events.len(), batch.check_runs.len()), (running.to_vec(), 0, 1));
        }
        assert!(batches.len() >= 3, "{}", batches.len());

        let first = &batches[0];
        let (host, tags) = ("node-1", ["env:prod", "kube_cluster_name:prod", "zone:a"]);
        let with_version = ["env:prod", "kube_cluster_name:prod", "version:7.81.1", "zone:a"];
        let at = first.series[0].points[0].0;
        let [started, running, dropped] = first.series.as_slice() else { panic!("three series") };
        assert_eq!((started.kind, started.interval, started.source_type_name.as_str()), (SeriesKind::Count, 10, ""));
        assert_eq!((running.kind, running.interval, running.source_type_name.as_str()), (SeriesKind::Gauge, 0, "System"));
        assert_eq!((&started.points, &running.points, &dropped.points), (&vec![(at, 1.0)], &vec![(at, 1.0)], &vec![(at, 0.0)]));
        assert_eq!(
            (started.tags.as_slice(), running.tags.as_slice()),
            (&with_version.map(str::to_owned)[..], &with_version.map(str::to_owned)[..])
        );
        assert_eq!(dropped.tags, tags);
        assert!(dropped.no_index && !running.no_index && !started.no_index);
        assert!(first.series.iter().all(|series| series.host == host));

        let up = &first.check_runs[0];
        assert_eq!(
            (up.name.as_str(), up.host.as_str(), up.status, up.message.as_str()),
            ("datadog.cluster_agent.up", host, ServiceStatus::Ok, "")
        );
        assert_eq!(up.tags, tags);
        let expected = Event {
            text: "Version 7.81.1 - Datadog Cluster Agent".to_owned(),
            timestamp: at,
            host: host.to_owned(),
            tags: tags.map(str::to_owned).to_vec(),
            source_type_name: "System".to_owned(),
            event_type: "Agent Startup".to_owned(),
            ..Event::default()
        };
        assert_eq!(first.events, [expected]);
    });
}

#[test]
fn a_restart_of_the_actor_is_no_start_of_the_process() {
    universe::run(1, |universe| async move {
        let told = Arc::new(AtomicBool::new(true));
        let batches = flushed_in(&universe, &told, FLUSH * 2).await;
        assert!(!batches.is_empty());
        assert!(batches.iter().all(|batch| batch.events.is_empty() && !names(batch).contains(&"datadog.cluster_agent.started")));
        assert!(told.load(Ordering::Relaxed));
    });
}

#[test]
fn metadata_is_told_after_a_minute_and_then_every_ten() {
    universe::run(1, |universe| async move {
        let (outlets, posted): (Vec<_>, Vec<_>) = ["one", "other"].map(|name| universe.recorder::<Enqueue>(name)).into_iter().unzip();
        let parts = MetadataReporterParts { outputs: outlets, describe: Arc::new(|| "{}".to_owned()) };
        universe.start("metadata_reporter", move || MetadataReporter::new(parts.clone()));
        let documents = |posted: &[Recorded<Enqueue>]| -> Vec<Vec<String>> {
            posted.iter().map(|one| one.take().iter().flat_map(|enqueue| enqueue.batch.metadata.clone()).collect()).collect()
        };
        universe.advance(FIRST_REPORT.saturating_sub(Duration::from_secs(1))).await;
        assert_eq!(documents(&posted), [Vec::<String>::new(), Vec::new()]);
        universe.advance(Duration::from_secs(2)).await;
        assert_eq!(documents(&posted), [["{}"], ["{}"]]);
        universe.advance(REPORT_PERIOD * 3).await;
        assert_eq!(documents(&posted), [["{}"; 3], ["{}"; 3]]);
    });
}
