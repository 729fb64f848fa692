//! Answers in the form stock servers give them.

use actix_http::header::{self, HeaderName, HeaderValue};
use actix_http::{Response, StatusCode};
use bytes::Bytes;

/// What an application sends back: always a complete body.
pub type Reply = Response<Bytes>;

const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// An answer without a content type and with an empty body.
pub fn empty(status: StatusCode) -> Reply {
    Response::with_body(status, Bytes::new())
}

/// A text in the style of the Go standard library: plain text, not to be sniffed, one final newline.
///
/// Source: cluster-checks 2 (error bodies everywhere).
pub fn text(status: StatusCode, text: &str) -> Reply {
    let mut reply = Response::with_body(status, Bytes::from(format!("{text}\n")));
    reply.headers_mut().insert(header::CONTENT_TYPE, PLAIN);
    reply.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    reply
}

/// 200 with JSON that is already serialised.
pub fn json(body: impl Into<Bytes>) -> Reply {
    with_type(body, JSON)
}

/// 200 with a body of the given content type.
pub fn with_type(body: impl Into<Bytes>, content_type: HeaderValue) -> Reply {
    let mut reply = Response::with_body(StatusCode::OK, body.into());
    reply.headers_mut().insert(header::CONTENT_TYPE, content_type);
    reply
}

/// 200 with a value as JSON; 500 if it cannot be serialised.
pub fn json_value(value: &impl serde::Serialize) -> Reply {
    match serde_json::to_vec(value) {
        Ok(body) => json(body),
        Err(error) => json_error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// `{"error":"..."}` with a final newline, in the headers of an error text.
///
/// Source: cluster-agent-kubernetes 1.7.
pub fn json_error(status: StatusCode, message: &str) -> Reply {
    text(status, &serde_json::json!({ "error": message }).to_string())
}

/// 404 as the Go router words it.
pub fn not_found() -> Reply {
    text(StatusCode::NOT_FOUND, "404 page not found")
}

/// 405 with the methods that would work, and an empty body.
pub fn method_not_allowed(allow: &'static str) -> Reply {
    let mut reply = empty(StatusCode::METHOD_NOT_ALLOWED);
    reply.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    reply
}

/// Adds a header to a reply.
pub fn with_header(mut reply: Reply, name: HeaderName, value: HeaderValue) -> Reply {
    reply.headers_mut().insert(name, value);
    reply
}

/// 503 while the role is not known or the state is not authoritative: agents keep what they run.
pub fn startup_in_progress() -> Reply {
    text(StatusCode::SERVICE_UNAVAILABLE, "Startup in progress")
}
