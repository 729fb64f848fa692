//! One run of `http_check`.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use muster_actors::domain::samples::ServiceStatus;
use muster_actors::kernel::clock::Clock;
use muster_actors::ports::{Check, LoadError, RunReport};
use reqwest::header::HeaderMap;
use reqwest::{Response, tls::TlsInfo};
use serde_json::{Map, Value as Json};

use super::super::common::{CommonKeys, Trust};
use super::super::http_client::{FailureKind, HttpClient, HttpFailure, HttpRequest, decode, read_body};
use super::super::normalize::normalize_tag;
use super::super::options::{Options, found};
use super::super::settings::CheckSettings;
use super::super::submission::Submission;
use super::expiry::{Expiry, examine};
use super::options::{self, HttpCheckOptions};

/// Longest message of a service check. Units: characters. Source: node-runner 10.1.
const MESSAGE_LIMIT: usize = 2500;
/// Bytes of a body that are looked at; the rest is not read. Why: no target may eat the memory of the agent.
const BODY_LIMIT: usize = 16 << 20;

/// A loaded instance.
pub(crate) struct HttpCheck {
    options: HttpCheckOptions,
    keys: CommonKeys,
    client: HttpClient,
    clock: Arc<dyn Clock>,
    metric_tags: Vec<String>,
    service_check_tags: Vec<String>,
}

/// What became of the request.
struct Outcome {
    /// `None` = up, else the message.
    problem: Option<String>,
    /// Value of the `http_outcome` tag.
    tag: String,
    /// Units: seconds until the headers came; `None` = they did not.
    response_time: Option<f64>,
    /// Certificate of the response, if the options ask for it.
    certificate: Option<Vec<u8>>,
}

impl HttpCheck {
    /// Loads an instance.
    pub(crate) fn load(instance: &Map<String, Json>, init: Options<'_>, trust: Trust, settings: &CheckSettings) -> Result<Self, LoadError> {
        let keys = CommonKeys::read("http_check", Options::new(instance, ""), init, None)?;
        let options = options::read(instance, init, trust, settings)?;
        let name = format!("instance:{}", normalize_tag(&options.name, keys.legacy_tags_normalization));
        let url = format!("url:{}", options.url);
        let mut metric_tags = keys.tags.clone();
        metric_tags.extend([url.clone(), name.clone()]);
        let mut service_check_tags = keys.tags.clone();
        service_check_tags.push(name);
        if !keys.tags.iter().any(|tag| tag.starts_with("url:")) {
            service_check_tags.push(url);
        }
        let client = HttpClient::new(options.http.clone(), options.target.clone());
        Ok(Self { options, keys, client, clock: Arc::clone(&settings.clock), metric_tags, service_check_tags })
    }

    async fn run_once(&mut self) -> RunReport {
        let outcome = self.request().await;
        let mut run = Submission::new(&self.keys);
        let mut tags = self.metric_tags.clone();
        if self.options.outcome_tag {
            tags.push(format!("http_outcome:{}", outcome.tag));
        }
        if let Some(seconds) = outcome.response_time.filter(|_| self.options.collect_response_time) {
            run.gauge("network.http.response_time", seconds, tags.clone());
        }
        let up = outcome.problem.is_none();
        run.gauge("network.http.can_connect", f64::from(up), tags.clone());
        run.gauge("network.http.cant_connect", f64::from(!up), tags);
        let status = if up { ServiceStatus::Ok } else { ServiceStatus::Critical };
        let message = capped(outcome.problem.unwrap_or_default());
        run.service_check("http.can_connect", status, self.service_check_tags.clone(), None, message);
        if let Some(expiry) = &self.options.expiry {
            let now = self.clock.unix_nanos() as f64 / 1e9;
            let state = examine(expiry, outcome.certificate, now).await;
            if let Some(seconds) = state.seconds_left {
                run.gauge("http.ssl.days_left", Expiry::days_left(seconds), self.metric_tags.clone());
                run.gauge("http.ssl.seconds_left", seconds, self.metric_tags.clone());
            }
            run.service_check("http.ssl_cert", state.status, self.service_check_tags.clone(), None, capped(state.message));
        }
        run.finish(None)
    }

    async fn request(&mut self) -> Outcome {
        let started = self.clock.monotonic();
        let request = HttpRequest { method: self.options.method.clone(), headers: HeaderMap::new(), body: self.options.body.clone() };
        let answer = match self.client.send(request).await {
            Ok(mut response) => {
                let response_time = self.clock.monotonic().saturating_sub(started).as_secs_f64();
                self.judge(&mut response, response_time).await
            }
            Err(failure) => Err(failure),
        };
        answer.unwrap_or_else(|failure| {
            let milliseconds = self.clock.monotonic().saturating_sub(started).as_millis();
            let (tag, prefix) = match failure.kind {
                FailureKind::Tls => ("ssl_error", ""),
                FailureKind::Timeout => ("timeout", ""),
                FailureKind::Connection => ("connection_error", ""),
                FailureKind::Other => ("socket_error", "Socket error: "),
            };
            let problem = format!("{prefix}{failure}. Connection failed after {milliseconds} ms");
            Outcome { problem: Some(problem), tag: tag.to_owned(), response_time: None, certificate: None }
        })
    }

    /// Judges a response. A body that breaks off makes the request a failed one, unless nobody wants the body.
    async fn judge(&self, response: &mut Response, response_time: f64) -> Result<Outcome, HttpFailure> {
        let options = &self.options;
        let code = response.status().as_str().to_owned();
        let from_response = options.expiry.as_ref().is_some_and(|expiry| expiry.from_response);
        let certificate = response.extensions().get::<TlsInfo>().and_then(TlsInfo::peer_certificate).filter(|_| from_response);
        let certificate = certificate.map(<[u8]>::to_vec);
        let expected = found(&options.expected_code, &code);
        let wants_content = (expected && options.content_match.is_some()) || options.include_content;
        let content = if wants_content || !options.stream {
            let body = read_body(response, BODY_LIMIT).await?;
            decode(response.headers(), body.bytes)
        } else {
            String::new()
        };
        let problem = if expected {
            self.content_problem(&content)
        } else {
            Some(format!("Incorrect HTTP return code for url {}. Expected {}, got {code}.", options.url, options.expected_text))
        };
        let problem = problem.map(|text| if options.include_content { format!("{text}\nContent: {content}") } else { text });
        Ok(Outcome { problem, tag: code, response_time: Some(response_time), certificate })
    }

    fn content_problem(&self, content: &str) -> Option<String> {
        let (pattern, text) = self.options.content_match.as_ref()?;
        match (found(pattern, content), self.options.reverse_content_match) {
            (true, true) => Some(format!("Content \"{text}\" found in response with the reverse_content_match")),
            (false, false) => Some(format!("Content \"{text}\" not found in response.")),
            _ => None,
        }
    }
}

impl Check for HttpCheck {
    fn run(&mut self) -> BoxFuture<'_, RunReport> {
        self.run_once().boxed()
    }
}

/// Cuts a message to what the intake takes.
fn capped(mut message: String) -> String {
    if let Some((end, _)) = message.char_indices().nth(MESSAGE_LIMIT) {
        message.truncate(end);
    }
    message
}
