//! Lists and watches against a scripted API server.

use serde_json::{Value, json};

use super::*;
use crate::kube::testing::{Reply, Script, status};

const LIMIT: Duration = Duration::from_secs(10);
const READ: Duration = Duration::from_secs(2);

fn source(script: &Script) -> KubeEvents {
    KubeEvents { client: script.client(), runtime: Handle::current(), limit: LIMIT }
}

fn query(field_selector: &str) -> EventQuery {
    EventQuery { field_selector: field_selector.to_owned(), limit: 300 }
}

fn event(version: &str) -> Value {
    json!({"metadata": {"name": "e", "resourceVersion": version}, "reason": "R"})
}

fn word(kind: &str, version: &str) -> Value {
    json!({"type": kind, "object": event(version)})
}

/// What a watch says, in short.
async fn said(script: &Script) -> Vec<String> {
    let words = source(script).watch(&query(""), "120", READ).map(|word| match word {
        Ok(EventChange::Seen(event)) => format!("seen {}", event.version),
        Ok(EventChange::Deleted) => "deleted".to_owned(),
        Ok(EventChange::Bookmark(version)) => format!("bookmark {version}"),
        Err(ClusterReadError::Expired(text)) => format!("expired: {text}"),
        Err(error) => format!("error: {error}"),
    });
    words.collect().await
}

#[tokio::test]
async fn a_page_is_asked_for_with_limit_and_selector() {
    let list =
        json!({"kind": "EventList", "metadata": {"resourceVersion": "140", "continue": "more"}, "items": [event("100"), event("121")]});
    let script = Script::new().on("GET", "/api/v1/events?", Reply::json(200, &list));
    let page = source(&script).list(&query("reason!=A,involvedObject.kind==Pod"), None).await.unwrap();
    assert_eq!((page.version.as_str(), page.next.as_deref()), ("140", Some("more")));
    assert_eq!(page.events.iter().map(|event| event.version.as_str()).collect::<Vec<_>>(), ["100", "121"]);
    let target = script.targets().remove(0);
    for part in ["limit=300", "fieldSelector=reason%21%3DA%2CinvolvedObject.kind%3D%3DPod"] {
        assert!(target.contains(part), "{target}");
    }
    assert!(!target.contains("continue"), "{target}");
    script.finish();
}

#[tokio::test]
async fn the_next_page_begins_where_the_last_one_ended() {
    let list = json!({"metadata": {"resourceVersion": "140"}, "items": null});
    let script = Script::new().on("GET", "continue=more", Reply::json(200, &list));
    let page = source(&script).list(&query(""), Some("more".to_owned())).await.unwrap();
    assert_eq!(page, EventPage { version: "140".to_owned(), ..EventPage::default() });
    assert!(!script.targets()[0].contains("fieldSelector"));
    script.finish();
}

#[tokio::test]
async fn what_a_list_fails_with_is_told_apart() {
    let script = Script::new()
        .on("GET", "continue=old", Reply::status(410, "Expired", "too old"))
        .on("GET", "events", Reply::status(403, "Forbidden", "events is forbidden"))
        .on("GET", "events", Reply::Broken("reset"))
        .on("GET", "events", Reply::text(200, "{}}"));
    let source = source(&script);
    let failed = source.list(&query(""), Some("old".to_owned())).await.unwrap_err();
    assert_eq!(failed, ClusterReadError::Expired("list events: 410 too old".to_owned()));
    assert!(matches!(source.list(&query(""), None).await.unwrap_err(), ClusterReadError::Forbidden(_)));
    for _ in 0..2 {
        assert!(matches!(source.list(&query(""), None).await.unwrap_err(), ClusterReadError::Unavailable(_)));
    }
    script.finish();
}

#[tokio::test(start_paused = true)]
async fn a_list_without_an_answer_fails_in_time() {
    let script = Script::new().on("GET", "events", Reply::Silence);
    let failed = source(&script).list(&query(""), None).await.unwrap_err();
    assert_eq!(failed, ClusterReadError::Unavailable("list events: no answer within 10 s".to_owned()));
    script.finish();
}

#[tokio::test(start_paused = true)]
async fn a_watch_tells_changes_and_hangs_no_longer_than_it_should() {
    let bookmark = json!({"type": "BOOKMARK", "object": {"kind": "Event", "apiVersion": "v1", "metadata": {"resourceVersion": "130"}}});
    let words = [word("ADDED", "125"), word("MODIFIED", "123"), word("DELETED", "90"), bookmark];
    let script = Script::new().on("GET", "watch=true", Reply::watch(&words));
    let said = said(&script).await;
    assert_eq!(said, ["seen 125", "seen 123", "deleted", "bookmark 130", "error: watch events: it did not end in time"]);
    let target = script.targets().remove(0);
    for part in ["resourceVersion=120", "timeoutSeconds=2", "allowWatchBookmarks=true"] {
        assert!(target.contains(part), "{target}");
    }
    script.finish();
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_closed_too_early_says_so() {
    let script = Script::new().on("GET", "watch=true", Reply::ending(&[word("ADDED", "125")]));
    assert_eq!(said(&script).await, ["seen 125", "error: Unexpected watch close"]);
    script.finish();
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_closed_in_time_ends_without_a_word() {
    let script = Script::new().on("GET", "watch=true", Reply::Ends(READ));
    assert_eq!(said(&script).await, Vec::<String>::new());
    script.finish();
}

#[tokio::test]
async fn an_expired_watch_is_told_apart_however_it_is_told() {
    let gone = json!({"type": "ERROR", "object": status(410, "Expired", "too old resource version: 120 (467)")});
    let script = Script::new().on("GET", "watch=true", Reply::ending(&[word("ADDED", "125"), gone]));
    assert_eq!(said(&script).await, ["seen 125", "expired: watch events: 410 too old resource version: 120 (467)"]);
    script.finish();
    let script = Script::new().on("GET", "watch=true", Reply::status(410, "Gone", "old"));
    assert_eq!(said(&script).await, ["expired: watch events: 410 old"]);
    script.finish();
    let other = json!({"type": "ERROR", "object": status(500, "InternalError", "etcd")});
    let script = Script::new().on("GET", "watch=true", Reply::ending(&[other]));
    assert_eq!(said(&script).await, ["error: watch events: 500 etcd"]);
    script.finish();
}

#[tokio::test]
async fn a_word_that_is_not_understood_ends_the_watch() {
    let script = Script::new().on("GET", "watch=true", Reply::ending(&[json!({"type": "ADDED", "object": {"reason": 7}})]));
    let said = said(&script).await;
    assert!(said.len() == 1 && said[0].starts_with("error: watch events: "), "{said:?}");
    script.finish();
}

#[tokio::test]
async fn the_node_of_a_pod_and_the_provider_of_a_node_are_looked_up() {
    let script = Script::new()
        .on("GET", "/api/v1/namespaces/ns/pods/web-1", Reply::json(200, &json!({"spec": {"nodeName": "n1", "containers": []}})))
        .on("GET", "/api/v1/namespaces/ns/pods/gone", Reply::status(404, "NotFound", "no"))
        .on("GET", "/api/v1/nodes/n1", Reply::json(200, &json!({"spec": {"providerID": "gce://p/z/i-1"}})))
        .on("GET", "/api/v1/nodes/n2", Reply::json(200, &json!({"spec": {}})))
        .on("GET", "/api/v1/nodes/n3", Reply::status(403, "Forbidden", "no"));
    let source = source(&script);
    assert_eq!(source.node_of_pod("ns", "web-1").await.unwrap(), "n1");
    assert_eq!(source.node_of_pod("ns", "gone").await.unwrap(), "");
    assert_eq!(source.provider_id("n1").await.unwrap(), "gce://p/z/i-1");
    assert_eq!(source.provider_id("n2").await.unwrap(), "");
    assert!(matches!(source.provider_id("n3").await.unwrap_err(), ClusterReadError::Forbidden(_)));
    script.finish();
}

#[tokio::test]
async fn what_an_event_calls_a_name_and_is_none_is_not_asked_for() {
    let script = Script::new();
    let source = source(&script);
    for name in ["", "../../secrets/x", "a/b", "a?b", "a%2fb", "A"] {
        assert_eq!(source.node_of_pod("ns", name).await.unwrap(), "");
        assert_eq!(source.node_of_pod(name, "web-1").await.unwrap(), "");
        assert_eq!(source.provider_id(name).await.unwrap(), "");
    }
    script.finish();
}
