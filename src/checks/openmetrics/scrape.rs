//! One scrape of an endpoint.

use std::borrow::Cow;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use muster_actors::domain::samples::{SampleKind, ServiceStatus};
use muster_actors::kernel::clock::Clock;
use muster_actors::ports::{Check, LoadError, RunReport};
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Response};

use super::super::common::{CommonKeys, Trust};
use super::super::http_client::{FailureKind, HttpClient, HttpFailure, HttpRequest, decode, read_body};
use super::super::http_options::HttpOptions;
use super::super::options::Options;
use super::super::settings::CheckSettings;
use super::super::submission::Submission;
use super::labels::SharedLabels;
use super::names::Names;
use super::options::{self, ScrapeOptions};
use super::parser::{Exposition, Family, Format, ParseError};
use super::transform::Transform;

/// Largest exposition that is read. Units: bytes after decompression. Why: no target may eat the memory of the agent.
const BODY_LIMIT: usize = 64 << 20;
/// Bytes parsed before other tasks of the thread get their turn.
const TURN: usize = 1 << 20;
/// Metrics of one run unless `max_returned_metrics` says otherwise.
const METRIC_LIMIT: u64 = 2000;

/// A loaded instance.
pub(crate) struct OpenMetricsCheck {
    keys: CommonKeys,
    options: ScrapeOptions,
    client: HttpClient,
    clock: Arc<dyn Clock>,
    /// When this process started, seconds since the Unix epoch.
    started_at: f64,
    state: ScrapeState,
}

/// What is kept between scrapes.
#[derive(Debug)]
pub(super) struct ScrapeState {
    pub(super) names: Names,
    pub(super) shared: SharedLabels,
    /// Whether running totals count from their first value; `None` before the first good scrape.
    pub(super) flush_first_value: Option<bool>,
}

/// A received exposition.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) text: String,
    pub(super) format: Format,
    /// Units: bytes as the target counts them, else as received.
    pub(super) size: u64,
}

impl OpenMetricsCheck {
    /// Loads an instance.
    pub(crate) fn load(instance: Options<'_>, init: Options<'_>, trust: Trust, settings: &CheckSettings) -> Result<Self, LoadError> {
        let keys = CommonKeys::read("openmetrics", instance, init, Some(METRIC_LIMIT))?;
        let (options, names, shared) = options::read(instance, &keys.tags)?;
        let client = HttpClient::new(HttpOptions::read(instance, init, trust, settings)?, options.target.clone());
        let state = ScrapeState { names, shared, flush_first_value: None };
        Ok(Self { keys, options, client, clock: Arc::clone(&settings.clock), started_at: settings.started_at, state })
    }

    async fn run_once(&mut self) -> RunReport {
        let Self { keys, options, client, clock, started_at, state } = self;
        let mut run = Submission::new(keys);
        let failed_before = state.flush_first_value.map(|_| false);
        match fetch(client, options).await {
            Err(failure) => {
                state.flush_first_value = failed_before;
                health(options, &mut run, ServiceStatus::Critical, &failure.text);
                if options.ignore_connection_errors && failure.kind != FailureKind::Other {
                    run.warn(format!("OpenMetrics endpoint {} is not accessible", options.endpoint));
                    return run.finish(None);
                }
                run.finish(Some(scrape_error(options, &failure)))
            }
            Ok(page) => {
                health(options, &mut run, ServiceStatus::Ok, "");
                let now = clock.unix_nanos() as f64 / 1e9;
                let outcome = process(&page, options, state, &mut run, now, *started_at).await;
                state.flush_first_value = if outcome.is_ok() { Some(true) } else { failed_before };
                run.finish(outcome.err().map(|problem| scrape_error(options, &problem)))
            }
        }
    }
}

impl Check for OpenMetricsCheck {
    fn run(&mut self) -> BoxFuture<'_, RunReport> {
        self.run_once().boxed()
    }
}

fn scrape_error(options: &ScrapeOptions, problem: &dyn std::error::Error) -> String {
    format!("There was an error scraping endpoint {}: {problem}", options.endpoint)
}

fn health(options: &ScrapeOptions, run: &mut Submission<'_>, status: ServiceStatus, message: &str) {
    if options.health {
        let name = format!("{}openmetrics.health", options.prefix);
        run.service_check(&name, status, options.static_tags.clone(), None, message.to_owned());
    }
}

async fn fetch(client: &mut HttpClient, options: &ScrapeOptions) -> Result<Page, HttpFailure> {
    let accept = if options.use_latest_spec {
        "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1"
    } else {
        "text/plain"
    };
    let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
    let mut response = client.send(HttpRequest { method: Method::GET, headers, body: None }).await?;
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        let side = if status.is_client_error() { "Client" } else { "Server" };
        let reason = status.canonical_reason().unwrap_or_default();
        return Err(HttpFailure::other(format!("{} {side} Error: {reason} for url: {}", status.as_u16(), options.endpoint)));
    }
    let format = if options.use_latest_spec || is_openmetrics(&response) { Format::OpenMetrics } else { Format::Prometheus };
    let announced = response.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let body = read_body(&mut response, BODY_LIMIT).await?;
    if body.truncated {
        return Err(HttpFailure::other("the response is larger than 64 MiB"));
    }
    let size = announced.unwrap_or(body.bytes.len() as u64);
    Ok(Page { text: decode(response.headers(), body.bytes), format, size })
}

fn is_openmetrics(response: &Response) -> bool {
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.split(';').next().is_some_and(|media| media.trim() == "application/openmetrics-text")
}

/// Parses a page and submits what is wanted of it. Lets other tasks run every [`TURN`] bytes.
pub(super) async fn process(
    page: &Page,
    options: &ScrapeOptions,
    state: &mut ScrapeState,
    run: &mut Submission<'_>,
    now: f64,
    started_at: f64,
) -> Result<(), ParseError> {
    let first = state.flush_first_value.is_none();
    let mut flush_first_value = state.flush_first_value.unwrap_or(false);
    let shared = &mut state.shared;
    let collect_first = shared.begin();
    if collect_first || (first && options.use_process_start_time) {
        let mut process_started: Option<f64> = None;
        let mut walk = Walk::new(page, options);
        while walk.next().await? {
            if collect_first {
                shared.collect(&walk.family);
            }
            if walk.family.name == "process_start_time_seconds" {
                process_started = walk.family.samples.iter().map(|sample| sample.value).chain(process_started).reduce(f64::min);
            }
            if !options.use_process_start_time && !shared.is_waiting() {
                break;
            }
        }
        // Totals of a process younger than this agent have not been missed, so they count in full.
        flush_first_value |= first && options.use_process_start_time && process_started.is_some_and(|start| start > started_at);
    }
    let (mut input, mut ignored, mut processed) = (0, 0, 0);
    let mut walk = Walk::new(page, options);
    let mut outcome = Ok(true);
    while outcome == Ok(true) {
        outcome = walk.next().await;
        if outcome != Ok(true) {
            break;
        }
        let family = &walk.family;
        let samples = family.samples.len() as u64;
        input += samples;
        if !collect_first {
            shared.collect(family);
        }
        if options.excludes(&family.name) {
            ignored += samples;
            continue;
        }
        if let Some((name, treatment)) = state.names.find(&family.name, family.kind) {
            let mut transform = Transform { options, shared, run, flush_first_value, now, processed: 0 };
            transform.family(family, &name, &treatment);
            processed += transform.processed;
        }
    }
    if options.telemetry {
        let counts = [("input", input), ("ignored", ignored), ("processed", processed), ("blacklist", walk.exposition.filtered_lines)];
        for (what, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            let name = format!("{}telemetry.metrics.{what}.count", options.prefix);
            run.metric(SampleKind::Count, &name, count as f64, options.static_tags.clone(), None);
        }
        run.gauge(&format!("{}telemetry.payload.size", options.prefix), page.size as f64, options.static_tags.clone());
    }
    outcome?;
    shared.succeed();
    Ok(())
}

/// Goes through the families of a page, names without the raw prefix.
struct Walk<'a> {
    exposition: Exposition<'a>,
    family: Family<'a>,
    raw_metric_prefix: &'a str,
    yielded_at: usize,
}

impl<'a> Walk<'a> {
    fn new(page: &'a Page, options: &'a ScrapeOptions) -> Self {
        Self {
            exposition: Exposition::new(&page.text, page.format, &options.line_filters),
            family: Family::default(),
            raw_metric_prefix: &options.raw_metric_prefix,
            yielded_at: 0,
        }
    }

    async fn next(&mut self) -> Result<bool, ParseError> {
        if self.exposition.position() - self.yielded_at > TURN {
            self.yielded_at = self.exposition.position();
            tokio::task::yield_now().await;
        }
        let more = self.exposition.next_family(&mut self.family)?;
        if let Some(stem) = self.family.name.strip_prefix(self.raw_metric_prefix).filter(|_| !self.raw_metric_prefix.is_empty()) {
            self.family.name = Cow::Owned(stem.to_owned());
        }
        Ok(more)
    }
}
