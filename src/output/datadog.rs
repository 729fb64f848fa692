//! The Datadog intake as a transport. Source: node-runner 14.1 to 14.5, cluster-agent-kubernetes 6.1 to 6.4.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use muster_actors::domain::delivery::{Contents, Encoded, KeyState, Payload, Route, SendErrorKind, SendResult};
use muster_actors::domain::samples::{Batch, CheckRun, Event};
use muster_actors::ports::OutputTransport;
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tracing::debug;
use url::Url;

use crate::carried::carried;
use crate::config::ApiKey;
use crate::config::settings::{BodyLimits, Compressor, EnabledPayloads, IntakeSettings};
use crate::output::connections::Connections;
use crate::output::error::OutputError;
use crate::output::prepare::{PreparedSeries, PreparedSketch};
use crate::output::split::Recipe;
use crate::output::{address, check_run, compress, events, http, prepare, series_v1, series_v2, sketches};

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";

/// Series as protobuf.
pub const SERIES_V2: Route = Route { name: "series_v2", path: "/api/v2/series", content_type: PROTOBUF };
/// Series as JSON.
pub const SERIES_V1: Route = Route { name: "series_v1", path: "/api/v1/series", content_type: JSON };
/// Distributions.
pub const SKETCHES: Route = Route { name: "sketches_v2", path: "/api/beta/sketches", content_type: PROTOBUF };
/// Service checks.
pub const CHECK_RUN: Route = Route { name: "check_run_v1", path: "/api/v1/check_run", content_type: JSON };
/// Events.
pub const INTAKE: Route = Route { name: "intake", path: "/intake/", content_type: JSON };

/// What the process tells about itself.
pub const METADATA: Route = Route { name: "metadata_v1", path: "/api/v1/metadata", content_type: JSON };

/// Version of the protobuf schema that series v2 and sketches follow, header `DD-Agent-Payload`.
const PAYLOAD_SCHEMA_VERSION: &str = "v5.0.0";

/// Longest time of a question about the key. Source: cluster-agent-kubernetes 6.4.
const KEY_CHECK_TIMEOUT: Duration = Duration::from_secs(10);

static API_KEY_HEADER: HeaderName = HeaderName::from_static("dd-api-key");
static ALLOW_ARBITRARY_TAGS: HeaderName = HeaderName::from_static("allow-arbitrary-tag-value");

/// A key, and the headers of every request with it.
struct Credentials {
    key: ApiKey,
    headers: HeaderMap,
}

/// One intake with one key, which may be exchanged.
pub struct DatadogTransport {
    connections: Connections,
    /// Where requests are sent from and answers received, away from the thread of the actors.
    carrier: Handle,
    base: String,
    /// `base` without user name and password.
    shown: String,
    validation_url: String,
    credentials: ArcSwap<Credentials>,
    /// The key was refused since the last look.
    refused: Arc<Notify>,
    compressor: Compressor,
    series_limits: BodyLimits,
    other_limits: BodyLimits,
    series_v2: bool,
    enabled: EnabledPayloads,
    hostname: String,
}

impl DatadogTransport {
    /// Sets up sending to one intake: `url` is its `dd_url` or key of `additional_endpoints`, `None` the one of `site`. Everything is sent
    /// and received on `carrier`.
    ///
    /// Errors: [`OutputError`] for a URL, key or proxy that cannot be used.
    pub fn try_new(settings: &IntakeSettings, url: Option<&str>, key: ApiKey, carrier: Handle) -> Result<Self, OutputError> {
        let base = address::base_url(url, &settings.site, &settings.version);
        let parsed = Url::parse(&base).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let shown = address::without_credentials(&base);
        let parsed = parsed.ok_or_else(|| OutputError::Url { found: shown.clone() })?;
        let mut headers = HeaderMap::new();
        headers.insert(API_KEY_HEADER.clone(), key_header(&key, &shown)?);
        if let Ok(version) = HeaderValue::from_str(&settings.version) {
            headers.insert(HeaderName::from_static("dd-agent-version"), version);
        }
        if settings.allow_arbitrary_tags {
            headers.insert(ALLOW_ARBITRARY_TAGS.clone(), HeaderValue::from_static("true"));
        }
        Ok(Self {
            connections: Connections::open(settings, parsed, &shown, &carrier)?,
            carrier,
            validation_url: address::validation_url(url, &settings.site),
            base,
            shown,
            credentials: ArcSwap::from_pointee(Credentials { key, headers }),
            refused: Arc::default(),
            compressor: settings.compressor,
            series_limits: settings.series_limits,
            other_limits: settings.other_limits,
            series_v2: settings.series_v2,
            enabled: settings.enabled,
            hostname: settings.hostname.clone(),
        })
    }

    /// Base URL, without secrets.
    #[must_use]
    pub fn destination(&self) -> &str {
        &self.shown
    }

    /// Sends everything from now on with this key.
    ///
    /// Errors: [`OutputError::UnusableKey`]; the one before stays.
    pub fn use_key(&self, key: ApiKey) -> Result<(), OutputError> {
        let mut headers = self.credentials.load().headers.clone();
        headers.insert(API_KEY_HEADER.clone(), key_header(&key, &self.shown)?);
        self.credentials.store(Arc::new(Credentials { key, headers }));
        Ok(())
    }

    /// Ends when the intake refuses the key, or did so since the last call ended.
    pub async fn refused(&self) {
        self.refused.notified().await;
    }

    fn encode_series(&self, batch: &Batch, encoded: &mut Encoded) {
        let (route, limits) = if self.series_v2 { (SERIES_V2, self.series_limits) } else { (SERIES_V1, self.other_limits) };
        let assemble = if self.series_v2 { series_v2::body } else { series_v1::body };
        let max_points = usize::try_from(limits.points).unwrap_or(usize::MAX);
        let (series, invalid) = prepare::series(&batch.series, max_points);
        encoded.invalid += invalid;
        let recipe = Recipe {
            route,
            limits,
            compressor: self.compressor,
            contents: &PreparedSeries::contents,
            least_bytes: &PreparedSeries::least_bytes,
            assemble: &|chunk: &[PreparedSeries<'_>]| assemble(chunk),
        };
        recipe.encode(&series, encoded);
    }

    fn encode_sketches(&self, batch: &Batch, encoded: &mut Encoded) {
        let (all, invalid) = prepare::sketches(&batch.sketches);
        encoded.invalid += invalid;
        let recipe = Recipe {
            route: SKETCHES,
            limits: self.other_limits,
            compressor: self.compressor,
            contents: &PreparedSketch::contents,
            least_bytes: &PreparedSketch::least_bytes,
            assemble: &|chunk: &[PreparedSketch<'_>]| sketches::body(chunk),
        };
        recipe.encode(&all, encoded);
    }

    fn encode_check_runs(&self, batch: &Batch, encoded: &mut Encoded) {
        let recipe = Recipe {
            route: CHECK_RUN,
            limits: self.other_limits,
            compressor: self.compressor,
            contents: &|_: &CheckRun| Contents { check_runs: 1, ..Contents::default() },
            least_bytes: &check_run::least_bytes,
            assemble: &check_run::body,
        };
        recipe.encode(&batch.check_runs, encoded);
    }

    fn encode_events(&self, batch: &Batch, encoded: &mut Encoded) {
        let recipe = Recipe {
            route: INTAKE,
            limits: self.other_limits,
            compressor: self.compressor,
            contents: &|_: &Event| Contents { events: 1, ..Contents::default() },
            least_bytes: &events::least_bytes,
            assemble: &|chunk: &[Event]| events::body(chunk, &self.hostname),
        };
        recipe.encode(&batch.events, encoded);
    }

    fn encode_metadata(&self, batch: &Batch, encoded: &mut Encoded) {
        let recipe = Recipe {
            route: METADATA,
            limits: self.other_limits,
            compressor: self.compressor,
            contents: &|_: &String| Contents::default(),
            least_bytes: &|document: &String| document.len() as u64,
            assemble: &|chunk: &[String]| chunk.concat().into_bytes(),
        };
        for document in &batch.metadata {
            // One for each body.
            recipe.encode(std::slice::from_ref(document), encoded);
        }
    }
}

/// Errors: [`OutputError::UnusableKey`].
fn key_header(key: &ApiKey, shown: &str) -> Result<HeaderValue, OutputError> {
    let value = HeaderValue::from_str(key.expose()).ok().filter(|_| !key.is_empty());
    let mut value = value.ok_or_else(|| OutputError::UnusableKey { url: shown.to_owned(), ending: key.ending() })?;
    value.set_sensitive(true);
    Ok(value)
}

impl OutputTransport for DatadogTransport {
    fn encode(&self, batch: &Batch) -> Encoded {
        let mut encoded = Encoded::default();
        if self.enabled.series {
            self.encode_series(batch, &mut encoded);
        }
        if self.enabled.sketches {
            self.encode_sketches(batch, &mut encoded);
        }
        if self.enabled.service_checks {
            self.encode_check_runs(batch, &mut encoded);
        }
        if self.enabled.events {
            self.encode_events(batch, &mut encoded);
        }
        self.encode_metadata(batch, &mut encoded);
        encoded
    }

    fn send(&self, payload: &Payload) -> BoxFuture<'static, SendResult> {
        let route = payload.route;
        let credentials = self.credentials.load_full();
        let mut request = self
            .connections
            .client()
            .post(format!("{}{}", self.base, route.path))
            .headers(credentials.headers.clone())
            .header(CONTENT_TYPE, route.content_type)
            .header(ACCEPT, "*/*");
        // A body from the disk was made with the settings of its time.
        if let Some(encoding) = compress::encoding_of(&payload.body) {
            request = request.header(CONTENT_ENCODING, encoding);
        }
        if route.content_type == PROTOBUF {
            request = request.header("dd-agent-payload", PAYLOAD_SCHEMA_VERSION);
        }
        let request = request.body(payload.body.clone());
        let refused = Arc::clone(&self.refused);
        let attempt = carried(&self.carrier, async move {
            match request.send().await {
                Ok(response) => {
                    let status = response.status();
                    http::finish(response).await;
                    if status == StatusCode::FORBIDDEN {
                        refused.notify_one();
                    }
                    SendResult::Answered(status.as_u16())
                }
                Err(error) => http::failure(error, &credentials.key),
            }
        });
        Box::pin(attempt.map(|ended| {
            ended.unwrap_or_else(|error| SendResult::Failed { kind: SendErrorKind::CantSend, text: format!("attempt not ended: {error}") })
        }))
    }

    fn route(&self, name: &str) -> Option<Route> {
        [SERIES_V2, SERIES_V1, SKETCHES, CHECK_RUN, INTAKE, METADATA].into_iter().find(|route| route.name == name)
    }

    fn connections(&self) -> u64 {
        self.connections.made()
    }

    fn check_key(&self) -> Option<BoxFuture<'static, KeyState>> {
        let credentials = self.credentials.load_full();
        if credentials.key.is_always_valid() {
            return Some(Box::pin(async { KeyState::Valid }));
        }
        // The key travels in the header: URLs end up in the logs of proxies.
        let request = self.connections.client().get(&self.validation_url).headers(credentials.headers.clone()).timeout(KEY_CHECK_TIMEOUT);
        let (refused, url) = (Arc::clone(&self.refused), address::without_credentials(&self.validation_url));
        let question = carried(&self.carrier, async move {
            match request.send().await.map(|response| response.status()) {
                Ok(StatusCode::OK) => KeyState::Valid,
                Ok(StatusCode::FORBIDDEN) => {
                    refused.notify_one();
                    KeyState::Invalid
                }
                Ok(status) => {
                    debug!(url, status = status.as_u16(), "no answer about the API key");
                    KeyState::Unknown
                }
                Err(error) => {
                    debug!(url, error = ?http::failure(error, &credentials.key), "no answer about the API key");
                    KeyState::Unknown
                }
            }
        });
        Some(Box::pin(question.map(|ended| ended.unwrap_or(KeyState::Unknown))))
    }
}

#[cfg(test)]
mod tests {
    use muster_actors::domain::samples::{Series, SeriesKind, ServiceStatus, SketchSeries};
    use prost::Message as _;

    use super::*;
    use crate::config::Secret;
    use crate::config::settings::ProxySettings;
    use crate::output::series_v2::MetricPayload;

    fn transport(settings: &IntakeSettings) -> DatadogTransport {
        try_new(settings, "http://intake.invalid", "0123456789abcdef").unwrap()
    }

    /// Nothing is sent here, so the carrier need not run.
    fn try_new(settings: &IntakeSettings, url: &str, key: &str) -> Result<DatadogTransport, OutputError> {
        rustls::crypto::ring::default_provider().install_default().ok();
        let carrier = tokio::runtime::Builder::new_current_thread().build().unwrap();
        DatadogTransport::try_new(settings, Some(url), ApiKey::new(key), carrier.handle().clone())
    }

    fn plain() -> IntakeSettings {
        IntakeSettings { compressor: Compressor::Identity, ..IntakeSettings::default() }
    }

    fn series(name: &str, points: i64) -> Series {
        Series {
            name: name.to_owned(),
            points: (0..points).map(|at| (at, 1.0)).collect(),
            tags: vec![],
            host: "h".to_owned(),
            kind: SeriesKind::Gauge,
            interval: 0,
            source_type_name: "System".to_owned(),
            no_index: false,
        }
    }

    fn run(message: &str) -> CheckRun {
        CheckRun {
            name: "c".to_owned(),
            host: "h".to_owned(),
            timestamp: 1,
            status: ServiceStatus::Ok,
            message: message.to_owned(),
            tags: vec![],
        }
    }

    #[test]
    fn nr_t51_ten_thousand_and_one_points_make_two_payloads() {
        let many = Batch { series: (0..10_001).map(|index| series(&format!("m{index}"), 1)).collect(), ..Batch::default() };
        let one = Batch { series: vec![series("m", 10_001)], ..Batch::default() };
        for batch in [many, one] {
            let encoded = transport(&plain()).encode(&batch);
            let points: Vec<u64> = encoded.payloads.iter().map(|payload| payload.contents.points).collect();
            assert_eq!(points, [10_000, 1]);
            for payload in &encoded.payloads {
                let decoded = MetricPayload::decode(payload.body.as_slice()).unwrap();
                let decoded: usize = decoded.series.iter().map(|series| series.points.len()).sum();
                assert_eq!(decoded as u64, payload.contents.points);
            }
        }
    }

    #[test]
    fn every_kind_takes_its_route() {
        let batch = Batch {
            series: vec![series("m", 1)],
            sketches: vec![SketchSeries {
                name: "d".to_owned(),
                tags: vec![],
                host: "h".to_owned(),
                timestamp: 1,
                count: 1,
                min: 1.0,
                max: 1.0,
                average: 1.0,
                sum: 1.0,
                bins: vec![(1338, 1)],
            }],
            check_runs: vec![run("")],
            events: vec![Event::default()],
            metadata: vec!["{\"a\":1}".to_owned(), "{}".to_owned()],
        };
        let routes = |settings: &IntakeSettings| -> Vec<&str> {
            transport(settings).encode(&batch).payloads.iter().map(|payload| payload.route.path).collect()
        };
        assert_eq!(
            routes(&plain()),
            ["/api/v2/series", "/api/beta/sketches", "/api/v1/check_run", "/intake/", "/api/v1/metadata", "/api/v1/metadata"]
        );
        let v1 = IntakeSettings { series_v2: false, ..plain() };
        assert_eq!(routes(&v1)[0], "/api/v1/series");
        let none = EnabledPayloads { series: false, sketches: false, service_checks: false, events: true };
        assert_eq!(routes(&IntakeSettings { enabled: none, ..plain() }), ["/intake/", "/api/v1/metadata", "/api/v1/metadata"]);
        let bodies = transport(&plain()).encode(&batch).payloads.split_off(4);
        assert_eq!(bodies.iter().map(|payload| payload.body.as_slice()).collect::<Vec<_>>(), [b"{\"a\":1}".as_slice(), b"{}"]);
    }

    #[test]
    fn bodies_stay_within_the_limits_of_the_intake() {
        let long = "x".repeat(100_000);
        let batch = Batch { check_runs: (0..60).map(|_| run(&long)).collect(), ..Batch::default() };
        let encoded = transport(&plain()).encode(&batch);
        assert!(encoded.payloads.iter().all(|payload| payload.body.len() as u64 <= plain().other_limits.compressed));
        assert_eq!(encoded.payloads.iter().map(|payload| payload.contents.check_runs).sum::<u64>(), 60);
        let compressed = transport(&IntakeSettings::default()).encode(&batch);
        assert_eq!(compressed.payloads.len(), 2, "6 MB before compression, 4 MiB allowed");
    }

    #[test]
    fn an_item_larger_than_any_body_is_dropped_alone() {
        let batch = Batch { check_runs: vec![run(&"x".repeat(5_000_000)), run("small")], ..Batch::default() };
        let encoded = transport(&plain()).encode(&batch);
        assert_eq!(encoded.oversize.check_runs, 1);
        assert_eq!(encoded.payloads.len(), 1);
    }

    #[test]
    fn the_default_limits_are_those_of_the_intake() {
        let settings = IntakeSettings::default();
        assert_eq!(settings.series_limits, BodyLimits { compressed: 512_000, uncompressed: 5_242_880, points: 10_000 });
        assert_eq!((settings.other_limits.compressed, settings.other_limits.uncompressed), (2_621_440, 4_194_304));
        assert_eq!(settings.timeout, Duration::from_secs(20));
    }

    #[test]
    fn settings_that_cannot_work_are_named() {
        let error = |url, settings: &IntakeSettings, key: &str| {
            try_new(settings, url, key).err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert!(error("ftp://x", &plain(), "k").contains("ftp://x"));
        assert!(error("intake", &plain(), "k").contains("allowed: http://"));
        assert!(error("http://x", &plain(), "secret\nkey12345").contains("12345"));
        let proxy = ProxySettings { http: Some(Secret::new("http://user:password@:::".to_owned())), ..ProxySettings::default() };
        let text = error("http://x", &IntakeSettings { proxy, ..plain() }, "k");
        assert!(text.contains("proxy.http") && !text.contains("password"), "{text}");
    }
}
