//! What every server does with a request before it looks at what is asked.

use actix_http::header;
use actix_http::{HttpMessage as _, Method, Payload, Request, StatusCode};

use crate::api::auth::{self, PathClass, Tokens};
use crate::api::body::{self, BodyLimits};
use crate::api::listener::Answer;
use crate::api::path::Path;
use crate::api::reply::{self, Reply};

/// Takes the body out of a request. A stream without an announced length (CONNECT, an upgrade) is not a body.
pub(crate) fn take_body(request: &mut Request) -> Payload {
    let payload = request.take_payload();
    let announced =
        |headers: &header::HeaderMap| headers.contains_key(header::CONTENT_LENGTH) || headers.contains_key(header::TRANSFER_ENCODING);
    if matches!(payload, Payload::None) || announced(request.headers()) { payload } else { Payload::None }
}

/// Answers at once when no body is to come, else after it was read away.
///
/// Why: an answer before the body would close the connection, and an agent with a wrong token would pay a handshake per poll.
pub(crate) fn after_body(reply: Reply, payload: Payload, limits: BodyLimits) -> Answer {
    if matches!(payload, Payload::None) {
        return Answer::Now(reply);
    }
    Answer::Later(Box::pin(async move {
        body::discard(payload, limits).await;
        reply
    }))
}

/// Checks the token for a path; only then is a path that cannot be decoded refused.
///
/// `class_of` gets the segments of the path; of one that cannot be decoded, none.
///
/// Errors: 401, 403 or 400.
pub(crate) fn admit<'a>(request: &'a Request, tokens: &Tokens, class_of: fn(&[&str]) -> PathClass) -> Result<Path<'a>, Reply> {
    let path = Path::parse(request.path());
    let class = path.as_ref().map_or_else(|_| class_of(&[]), |path| class_of(path.segments().as_slice()));
    let header = request.headers().get(header::AUTHORIZATION).map(header::HeaderValue::as_bytes);
    auth::authorize(class, header, tokens).map_err(|refusal| refusal.reply())?;
    path.map_err(|error| reply::text(StatusCode::BAD_REQUEST, &error.to_string()))
}

/// Compares the method with the allowed ones.
///
/// Errors: 405.
pub(crate) fn check_method(allowed: &'static str, method: &Method) -> Result<(), Reply> {
    let fits = allowed.split(", ").any(|allowed| allowed == method.as_str());
    if fits { Ok(()) } else { Err(reply::method_not_allowed(allowed)) }
}
