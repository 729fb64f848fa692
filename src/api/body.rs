//! Request bodies, bounded in size and in time.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::{ConnectionType, Payload, StatusCode};
use bytes::{Bytes, BytesMut};
use futures_util::Stream as _;
use tokio::time::{Sleep, sleep};

use crate::api::reply::{self, Reply};

/// How much a client may send, and how long it may take.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// Largest body that is read.
    ///
    /// Units: bytes, inclusive. Why: the largest body of a stock agent on these routes is a status of some dozen bytes.
    pub max_bytes: usize,
    /// Time from the head to the last byte.
    pub timeout: Duration,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self { max_bytes: 1024 * 1024, timeout: Duration::from_secs(10) }
    }
}

/// Most of an unwanted body that is read away so that the connection can be kept.
///
/// Units: bytes. Source: the Go server does the same with 256 KiB.
const DRAINED: usize = 256 * 1024;

/// Why a body was not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// More bytes than allowed: 413.
    #[error("request body is larger than {0} bytes")]
    TooLarge(usize),
    /// The end did not arrive in time: 408.
    #[error("request body did not arrive within {0:?}")]
    TooSlow(Duration),
    /// Bad chunks, or the client went away: 400.
    #[error("request body is incomplete or badly encoded")]
    Broken,
}

impl BodyError {
    /// The answer; the connection is closed after it, because the rest of the body is still to come.
    pub fn reply(&self) -> Reply {
        let status = match self {
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Broken => StatusCode::BAD_REQUEST,
        };
        let mut reply = reply::text(status, &self.to_string());
        reply.head_mut().set_connection_type(ConnectionType::Close);
        reply
    }
}

/// Reads a body to its end.
///
/// Errors: [`BodyError`].
pub async fn read(payload: Payload, limits: BodyLimits) -> Result<Bytes, BodyError> {
    let mut payload = pin!(payload);
    let mut reader = Reader { first: Bytes::new(), rest: BytesMut::new(), polled_again: false, timer: None };
    poll_fn(|context| reader.poll(payload.as_mut(), limits, context)).await
}

/// Reads away what is left of a body nobody wants, if it is short.
pub async fn discard(payload: Payload, limits: BodyLimits) {
    // A body that is too long or too slow stays unread; the server then closes the connection after the answer.
    let _unwanted = read(payload, BodyLimits { max_bytes: DRAINED, ..limits }).await;
}

struct Reader {
    /// The only chunk of almost every body, not copied.
    first: Bytes,
    rest: BytesMut,
    polled_again: bool,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Reader {
    fn poll(&mut self, mut payload: Pin<&mut Payload>, limits: BodyLimits, context: &mut Context<'_>) -> Poll<Result<Bytes, BodyError>> {
        loop {
            match payload.as_mut().poll_next(context) {
                Poll::Ready(Some(Ok(chunk))) => {
                    if self.first.len() + self.rest.len() + chunk.len() > limits.max_bytes {
                        return Poll::Ready(Err(BodyError::TooLarge(limits.max_bytes)));
                    }
                    if self.first.is_empty() && self.rest.is_empty() {
                        self.first = chunk;
                    } else {
                        if self.rest.is_empty() {
                            self.rest.extend_from_slice(&std::mem::take(&mut self.first));
                        }
                        self.rest.extend_from_slice(&chunk);
                    }
                }
                Poll::Ready(None) if self.rest.is_empty() => return Poll::Ready(Ok(std::mem::take(&mut self.first))),
                Poll::Ready(None) => return Poll::Ready(Ok(std::mem::take(&mut self.rest).freeze())),
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Err(BodyError::Broken)),
                Poll::Pending => return self.wait(limits.timeout, context),
            }
        }
    }

    /// The HTTP engine polls a handler once before it looks at the body it has already received, so the first wait needs no timer,
    /// only the promise of another poll. (Feeding the body wakes the task as well, so this costs nothing.)
    fn wait(&mut self, timeout: Duration, context: &mut Context<'_>) -> Poll<Result<Bytes, BodyError>> {
        if !self.polled_again {
            self.polled_again = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(timeout)));
        timer.as_mut().poll(context).map(|()| Err(BodyError::TooSlow(timeout)))
    }
}

#[cfg(test)]
mod tests {
    use actix_http::error::PayloadError;
    use futures_util::{StreamExt as _, stream};

    use super::*;

    fn payload(chunks: Vec<Result<&'static str, PayloadError>>) -> Payload {
        let chunks = chunks.into_iter().map(|chunk| chunk.map(|text| Bytes::from_static(text.as_bytes())));
        Payload::Stream { payload: Box::pin(stream::iter(chunks.collect::<Vec<_>>())) }
    }

    fn limits(max_bytes: usize) -> BodyLimits {
        BodyLimits { max_bytes, timeout: Duration::from_secs(1) }
    }

    #[tokio::test]
    async fn a_body_of_exactly_the_limit_is_read_and_one_more_byte_is_too_large() {
        assert_eq!(read(payload(vec![Ok("ab"), Ok("cd")]), limits(4)).await.unwrap(), "abcd");
        assert_eq!(read(payload(vec![Ok("abcd")]), limits(4)).await.unwrap(), "abcd");
        assert_eq!(read(payload(vec![Ok("ab"), Ok("cde")]), limits(4)).await, Err(BodyError::TooLarge(4)));
        assert_eq!(read(Payload::None, limits(4)).await.unwrap(), "");
    }

    #[tokio::test]
    async fn a_broken_body_is_400() {
        let broken = payload(vec![Ok("a"), Err(PayloadError::EncodingCorrupted)]);
        let error = read(broken, limits(4)).await.unwrap_err();
        assert_eq!(error.reply().status(), StatusCode::BAD_REQUEST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_408() {
        let started = stream::iter([Ok(Bytes::from_static(b"a"))]).chain(stream::pending());
        let error = read(Payload::Stream { payload: Box::pin(started) }, limits(4)).await.unwrap_err();
        assert_eq!(error, BodyError::TooSlow(Duration::from_secs(1)));
        assert_eq!(error.reply().status(), StatusCode::REQUEST_TIMEOUT);
    }
}
