//! Routes about the process. Source: cluster-agent-kubernetes 1.7, vectors H17 to H19.

use crate::client::Call;
use crate::site::{CLUSTER, LOCAL, Mood, Site};

fn local(call: Call) -> Call {
    call.bearer(LOCAL)
}

#[actix_rt::test]
async fn ca_h17_h18_reading_settings() {
    let site = Site::start().await;
    let reply = site.call(&local(Call::get("/config/nope"))).await;
    assert_eq!((reply.status, reply.text().as_str()), (400, "{\"error\":\"setting nope not found\"}\n"));
    let reply = site.call(&local(Call::get("/config/log_level"))).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, r#"{"value":"info"}"#));
    let reply = site.call(&local(Call::get("/config/log_level?sources=true"))).await;
    assert_eq!(reply.json()["sources_value"][0]["Source"], "default");
    site.stop().await;
}

#[actix_rt::test]
async fn changing_settings() {
    let site = Site::start().await;
    let set = |name: &str, body: &str| local(Call::post(&format!("/config/{name}"), body));
    let reply = site.call(&set("log_level", "value=debug")).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, ""));
    site.call(&set("log_level", "value=a%26lt%3Bb")).await;
    let reply = site.call(&set("log_level", "value=nosuch")).await;
    assert_eq!((reply.status, reply.text().as_str()), (500, "{\"error\":\"unknown log level: nosuch\"}\n"));
    assert_eq!(site.call(&set("nope", "value=x")).await.status, 400);
    let changes = site.admin.changes.lock().unwrap().clone();
    assert_eq!(changes, [("log_level".to_owned(), "debug".to_owned()), ("log_level".to_owned(), "a<b".to_owned())]);
    site.stop().await;
}

#[actix_rt::test]
async fn ca_h19_stop_answers_and_then_stops() {
    let site = Site::start().await;
    let reply = site.call(&local(Call::post("/stop", ""))).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, "\"\""));
    assert_eq!(*site.admin.stops.lock().unwrap(), 1);
    site.stop().await;
}

#[actix_rt::test]
async fn status_in_every_format() {
    let site = Site::start().await;
    for (query, body) in [
        ("?format=json", r#"{"version":"7.81.1"}"#),
        ("?format=text", "=== <status> ===\n"),
        ("?format=text&verbose=true", "=== <status>, all ===\n"),
        ("?format=html", "<pre>\n=== &lt;status&gt; ===\n\n</pre>\n"),
        ("", ""),
        ("?format=xml", ""),
    ] {
        let reply = site.call(&local(Call::get(&format!("/status{query}")))).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, body), "{query}");
        assert_eq!(reply.header("content-type"), Some("application/json"), "{query}");
    }
    *site.admin.mood.lock().unwrap() = Mood::Failing;
    let reply = site.call(&local(Call::get("/status?format=json"))).await;
    assert_eq!((reply.status, reply.text().as_str()), (500, "{\"error\":\"no status today\"}\n"));
    site.stop().await;
}

#[actix_rt::test]
async fn the_other_documents() {
    let site = Site::start().await;
    for (path, body) in [
        ("/hostname", r#""dca-0""#),
        ("/config-check", r#"{"configs":[],"raw":false}"#),
        ("/config-check?raw=true", r#"{"configs":[],"raw":true}"#),
        ("/config", "log_level: info\n"),
        ("/config/by-source", r#"{"default":{"log_level":"info"}}"#),
        ("/config/list-runtime", r#"{"log_level":{"Description":"level","Hidden":false}}"#),
        ("/api/v1/muster/journal", r#"{"decisions":[]}"#),
        ("/api/v1/muster/diagnostics", r#"{"Dispatcher":{}}"#),
    ] {
        let reply = site.call(&local(Call::get(path))).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, body), "{path}");
        assert_eq!(site.call(&Call::get(path).bearer(CLUSTER)).await.body, reply.body, "{path}");
    }
    let health = site.call(&local(Call::get("/status/health"))).await;
    assert_eq!(health.status, 200);
    assert!(health.json().as_object().unwrap().contains_key("Unhealthy"));
    site.stop().await;
}
