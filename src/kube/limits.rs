//! How long a request may take. Watches last as long as they last.

use std::time::Duration;

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use tokio::time::timeout;
use tower::service_fn;

/// Longest time until a watch is opened, and of one page of a listing.
///
/// Why: the API server itself gives a listing up after a minute; without a limit a frozen server would be waited for for ever.
const INFORMER_LIMIT: Duration = Duration::from_secs(60);

/// Whether this request opens a watch.
pub(super) fn is_watch(request: &Request<Body>) -> bool {
    has_parameter(request, "watch=true")
}

fn has_parameter(request: &Request<Body>, wanted: &str) -> bool {
    request.uri().query().is_some_and(|query| query.split('&').any(|parameter| parameter.starts_with(wanted)))
}

/// This client with a limit for each request: `limit` in general, a minute for pages of listings and for opening a watch.
pub(super) fn with_time_limits(client: Client, limit: Duration) -> Client {
    let namespace = client.default_namespace().to_owned();
    Client::new(service_fn(move |request| limited(client.clone(), request, limit)), namespace)
}

async fn limited(client: Client, request: Request<Body>, limit: Duration) -> Result<Response<Body>, kube::Error> {
    let (whole, limit) = match (is_watch(&request), has_parameter(&request, "limit=")) {
        (true, _) => (false, INFORMER_LIMIT),
        (false, true) => (true, INFORMER_LIMIT),
        (false, false) => (true, limit),
    };
    let answer = async {
        let response = client.send(request).await?;
        if !whole {
            return Ok(response);
        }
        // The client collects the body anyway, but waits for it without a limit.
        let (head, body) = response.into_parts();
        Ok(Response::from_parts(head, Body::from(body.collect_bytes().await?)))
    };
    match timeout(limit, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(kube::Error::Service(format!("no answer within {} s", limit.as_secs_f64()).into())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::time::Instant;

    use super::*;
    use crate::kube::config_map::ConfigMaps;
    use crate::kube::error::ObjectError;
    use crate::kube::testing::{Reply, Script};

    const LIMIT: Duration = Duration::from_secs(10);

    fn get(uri: &str) -> Request<Body> {
        Request::get(uri).body(Body::empty()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_without_an_answer_fails_in_time() {
        let silent = || Reply::Lines { lines: vec!["{".to_owned()], ends: false };
        let script = Script::new().on("GET", "/configmaps/", Reply::Silence).on("GET", "/configmaps/", silent());
        let maps = ConfigMaps::new(with_time_limits(script.client(), LIMIT), "ns");
        for _ in 0..2 {
            let begun = Instant::now();
            let error = maps.get("m").await.unwrap_err();
            assert_eq!(error, ObjectError::Unavailable("ServiceError: no answer within 10 s".to_owned()));
            assert_eq!(begun.elapsed().as_secs(), 10);
        }
        script.finish();
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_and_the_opening_of_a_watch_have_a_minute_and_an_open_watch_has_no_limit() {
        let watch = Reply::Lines { lines: vec![json!({}).to_string()], ends: false };
        let script =
            Script::new().on("GET", "?limit=5", Reply::Silence).on("GET", "watch=true", Reply::Silence).on("GET", "watch=true", watch);
        let client = with_time_limits(script.client(), LIMIT);
        for uri in ["/api/v1/pods?limit=5", "/api/v1/pods?watch=true"] {
            let begun = Instant::now();
            client.send(get(uri)).await.unwrap_err();
            assert_eq!(begun.elapsed().as_secs(), 60);
        }
        let open = client.send(get("/api/v1/pods?watch=true")).await.unwrap();
        let reading = timeout(Duration::from_secs(86_400), open.into_body().collect_bytes()).await;
        assert!(reading.is_err(), "it stays open for a day");
        script.finish();
    }
}
