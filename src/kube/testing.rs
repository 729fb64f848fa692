//! A scripted API server without a socket: expected requests in order, each with its answer.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower::service_fn;

/// What the server answers.
pub(crate) enum Reply {
    /// A status and a body.
    Text(u16, String),
    /// 200 and lines; then the stream ends, or stays open for ever.
    Lines { lines: Vec<String>, ends: bool },
    /// 200, and after so much time the stream ends.
    Ends(Duration),
    /// No answer: the connection breaks.
    Broken(&'static str),
    /// No answer, and the connection stays open.
    Silence,
}

impl Reply {
    pub(crate) fn text(status: u16, text: &str) -> Self {
        Self::Text(status, text.to_owned())
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::Text(status, body.to_string())
    }

    /// An error as the API server words it.
    pub(crate) fn status(code: u16, reason: &str, message: &str) -> Self {
        Self::json(code, &status(code, reason, message))
    }

    /// A watch that stays open after these events.
    pub(crate) fn watch(events: &[Value]) -> Self {
        Self::Lines { lines: events.iter().map(Value::to_string).collect(), ends: false }
    }

    /// A watch that ends after these events.
    pub(crate) fn ending(events: &[Value]) -> Self {
        Self::Lines { lines: events.iter().map(Value::to_string).collect(), ends: true }
    }
}

/// An object of the kind `Status`.
pub(crate) fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message})
}

struct Step {
    method: &'static str,
    target: String,
    reply: Reply,
}

#[derive(Default)]
struct State {
    steps: VecDeque<Step>,
    targets: Vec<String>,
    bodies: Vec<Value>,
    surprises: Vec<String>,
}

/// The script. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Script(Arc<Mutex<State>>);

impl Script {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Next, a request of this method whose path and query contain `target` is expected.
    pub(crate) fn on(self, method: &'static str, target: &str, reply: Reply) -> Self {
        self.state().steps.push_back(Step { method, target: target.to_owned(), reply });
        self
    }

    /// A client of this server.
    pub(crate) fn client(&self) -> Client {
        let script = self.clone();
        let service = service_fn(move |request: Request<Body>| {
            let script = script.clone();
            async move { script.answer(request).await }
        });
        Client::new(service, "default")
    }

    /// Paths and queries asked for so far.
    pub(crate) fn targets(&self) -> Vec<String> {
        self.state().targets.clone()
    }

    /// Bodies received so far.
    pub(crate) fn bodies(&self) -> Vec<Value> {
        self.state().bodies.clone()
    }

    /// Checks that all that was expected was asked for, and nothing else.
    pub(crate) fn finish(&self) {
        let state = self.state();
        assert_eq!(state.surprises, Vec::<String>::new(), "unexpected requests");
        let left: Vec<_> = state.steps.iter().map(|step| (step.method, step.target.as_str())).collect();
        assert_eq!(left, [], "requests that did not come");
    }

    async fn answer(&self, request: Request<Body>) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>, io::Error> {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await.map_err(io::Error::other)?;
        let target = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
        let reply = {
            let mut state = self.state();
            if !body.is_empty() {
                state.bodies.push(serde_json::from_slice(&body).unwrap_or_default());
            }
            state.targets.push(target.clone());
            match state.steps.pop_front() {
                Some(step) if step.method == parts.method.as_str() && target.contains(&step.target) => step.reply,
                expected => {
                    let expected = expected.map(|step| format!("{} {}", step.method, step.target));
                    state.surprises.push(format!("{} {target}, expected {expected:?}", parts.method));
                    Reply::Silence
                }
            }
        };
        let (status, body) = match reply {
            Reply::Text(status, text) => (status, Full::from(text).boxed_unsync()),
            Reply::Lines { lines, ends } => (200, line_body(lines, ends)),
            Reply::Ends(after) => (200, late_end(after)),
            Reply::Broken(text) => return Err(io::Error::other(text)),
            Reply::Silence => std::future::pending().await,
        };
        Ok(Response::builder().status(status).header("content-type", "application/json").body(body).unwrap())
    }
}

fn late_end(after: Duration) -> UnsyncBoxBody<Bytes, Infallible> {
    let nothing = stream::once(tokio::time::sleep(after)).filter_map(|()| std::future::ready(None));
    StreamBody::new(nothing).boxed_unsync()
}

fn line_body(lines: Vec<String>, ends: bool) -> UnsyncBoxBody<Bytes, Infallible> {
    let lines = stream::iter(lines).map(|line| Ok(Frame::data(Bytes::from(line + "\n"))));
    if ends { StreamBody::new(lines).boxed_unsync() } else { StreamBody::new(lines.chain(stream::pending())).boxed_unsync() }
}
