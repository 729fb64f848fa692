//! Requests that are carried out on the threads of the client, and how their errors are told to actors.

use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use muster_actors::ports::ClusterReadError;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::error::{Class, class, describe};
use crate::carried::carried;

/// Carries it out on this runtime, so that decoding keeps no actor waiting. Dropping the answer ends it.
pub(super) fn carry<T: Send + 'static>(
    runtime: &Handle,
    request: impl Future<Output = Result<T, ClusterReadError>> + Send + 'static,
) -> BoxFuture<'static, Result<T, ClusterReadError>> {
    let answer = carried(runtime, request);
    async move { answer.await.unwrap_or_else(|error| Err(ClusterReadError::Unavailable(format!("the request ended early: {error}")))) }
        .boxed()
}

/// The answer, if it comes in time.
pub(super) async fn answer_in<T>(
    limit: Duration,
    what: &str,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, ClusterReadError> {
    match timeout(limit, request).await {
        Ok(answer) => answer.map_err(|error| classify(what, &error)),
        Err(_) => Err(ClusterReadError::Unavailable(format!("{what}: no answer within {} s", limit.as_secs_f64()))),
    }
}

/// Puts what the client says into its class. `what` was asked for, for example `list events`.
pub(super) fn classify(what: &str, error: &kube::Error) -> ClusterReadError {
    let text = || format!("{what}: {}", describe(error));
    match class(error) {
        Class::Expired => ClusterReadError::Expired(text()),
        Class::Forbidden => ClusterReadError::Forbidden(text()),
        Class::NotFound => ClusterReadError::NotFound(text()),
        Class::Conflict | Class::Other => ClusterReadError::Unavailable(text()),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn api(code: u16, reason: &str) -> kube::Error {
        let status = Status { code, reason: reason.to_owned(), message: "because".to_owned(), ..Status::default() };
        kube::Error::Api(Box::new(status))
    }

    #[test]
    fn errors_that_have_different_consequences_are_told_apart() {
        let class = |code, reason| classify("list events", &api(code, reason));
        assert_eq!(class(410, "Expired"), ClusterReadError::Expired("list events: 410 because".to_owned()));
        assert_eq!(class(410, "Gone"), ClusterReadError::Expired("list events: 410 because".to_owned()));
        assert_eq!(class(403, "Forbidden"), ClusterReadError::Forbidden("list events: 403 because".to_owned()));
        assert_eq!(class(404, "NotFound"), ClusterReadError::NotFound("list events: 404 because".to_owned()));
        assert_eq!(class(500, "InternalError"), ClusterReadError::Unavailable("list events: 500 because".to_owned()));
    }

    #[tokio::test]
    async fn a_request_that_panics_is_an_error() {
        let answer = carry::<()>(&Handle::current(), async { panic!("oh") }).await;
        assert!(matches!(answer, Err(ClusterReadError::Unavailable(text)) if text.starts_with("the request ended early")));
    }
}
