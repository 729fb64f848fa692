use muster_actors::domain::kube::informer::{Changes, ObjectIndex};
use muster_actors::domain::kube::objects::ObjectKey;
use muster_actors::kernel::clock::VirtualClock;
use muster_actors::kernel::rng::SeededRandom;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::*;
use crate::kube::testing::{Reply, Script, status};

fn namespace(name: &str, version: u32) -> Value {
    let metadata = json!({"name": name, "uid": name, "resourceVersion": version.to_string()});
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
}

fn list(version: u32, names: &[&str], next: Option<&str>) -> Reply {
    let items: Vec<_> = names.iter().map(|name| namespace(name, 1)).collect();
    let metadata = json!({"resourceVersion": version.to_string(), "continue": next});
    Reply::json(200, &json!({"apiVersion": "v1", "kind": "NamespaceList", "metadata": metadata, "items": items}))
}

fn event(kind: &str, object: Value) -> Value {
    json!({"type": kind, "object": object})
}

fn bookmark(version: u32, ends_listing: bool) -> Value {
    let annotations = if ends_listing { json!({"k8s.io/initial-events-end": "true"}) } else { json!({}) };
    event(
        "BOOKMARK",
        json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"resourceVersion": version.to_string(), "annotations": annotations}}),
    )
}

/// A watch on namespaces, or pods of one namespace.
struct Stage {
    script: Script,
    events: BoxStream<'static, Vec<WatchEvent>>,
    index: ObjectIndex,
}

impl Stage {
    fn new(script: Script, streaming: bool) -> Self {
        let settings = WatchSettings { kind: Kind::Namespaces, namespace: None, page_size: 2, streaming };
        Self::with(script, settings)
    }

    fn with(script: Script, settings: WatchSettings) -> Self {
        let watch = KubeWatch {
            client: script.client(),
            settings,
            runtime: Handle::current(),
            random: Arc::new(SeededRandom::new(1)),
            clock: Arc::new(VirtualClock::new()),
        };
        Self { script, events: watch.watch(), index: ObjectIndex::default() }
    }

    /// Events until nothing happens for a long time, in one word each; the index takes them in.
    async fn story(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        while let Ok(Some(batch)) = tokio::time::timeout(Duration::from_secs(50), self.events.next()).await {
            assert!(!batch.is_empty());
            for event in batch {
                told.push(self.take_in(event));
            }
        }
        told
    }

    fn take_in(&mut self, event: WatchEvent) -> String {
        match event {
            WatchEvent::ListingBegun => {
                self.index.listing_begun();
                "begun".to_owned()
            }
            WatchEvent::Listed(objects) => {
                let names: Vec<_> = objects.iter().map(|object| object.key().name.to_string()).collect();
                self.index.listed(objects);
                format!("listed {}", names.join(" "))
            }
            WatchEvent::ListingDone => {
                self.index.listing_done();
                "done".to_owned()
            }
            WatchEvent::Applied(object) => {
                let told = format!("applied {}", object.key().name);
                self.index.applied(object);
                told
            }
            WatchEvent::Deleted(key) => {
                self.index.deleted(&key);
                format!("deleted {}", key.name)
            }
            WatchEvent::Watching => "watching".to_owned(),
            WatchEvent::Failed(failure) => {
                format!("{}{} failed: {}", if failure.forbidden { "forbidden " } else { "" }, failure.verb, failure.text)
            }
        }
    }

    fn changes(&mut self) -> Changes {
        self.index.take_changes().unwrap_or_default()
    }
}

#[tokio::test(start_paused = true)]
async fn pages_are_listed_and_then_changes_come() {
    let changes =
        [event("ADDED", namespace("d", 5)), bookmark(6, false), event("MODIFIED", namespace("a", 7)), event("DELETED", namespace("b", 8))];
    let script = Script::new()
        .on("GET", "/api/v1/namespaces?&limit=2", list(4, &["a", "b"], Some("more")))
        .on("GET", "continue=more", list(4, &["c"], None))
        .on("GET", "resourceVersion=4", Reply::watch(&changes));
    let mut stage = Stage::new(script, false);
    assert_eq!(stage.story().await, ["begun", "listed a b", "listed c", "done", "applied d", "applied a", "deleted b"]);
    assert_eq!(stage.index.len(), 3);
    stage.script.finish();
}

#[tokio::test(start_paused = true)]
async fn a_watch_may_be_limited_to_a_namespace_and_ends_with_its_stream() {
    let script = Script::new().on("GET", "/api/v1/namespaces/own/pods?&limit=7", list(4, &[], None)).on(
        "GET",
        "/api/v1/namespaces/own/pods?&watch=true",
        Reply::watch(&[]),
    );
    let settings = WatchSettings { kind: Kind::Pods, namespace: Some("own".to_owned()), page_size: 7, streaming: false };
    let mut stage = Stage::with(script, settings);
    assert_eq!(stage.story().await, ["begun", "done"]);
    drop(stage.events);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    // Else the watch would have been opened anew after five minutes.
    stage.script.finish();
}

#[tokio::test(start_paused = true)]
async fn who_fell_behind_lists_anew_and_what_vanished_is_gone() {
    let expired = event("ERROR", status(410, "Expired", "too old resource version: 4 (9)"));
    let script = Script::new()
        .on("GET", "limit=2", list(4, &["a", "b"], None))
        .on("GET", "resourceVersion=4", Reply::watch(&[event("ADDED", namespace("c", 5)), expired]))
        .on("GET", "limit=2", list(9, &["b", "c"], None))
        .on("GET", "resourceVersion=9", Reply::watch(&[]));
    let mut stage = Stage::new(script, false);
    let told = stage.story().await;
    assert_eq!(told, ["begun", "listed a b", "done", "applied c", "begun", "listed b c", "done"]);
    assert_eq!(stage.changes().applied.len(), 2);
    stage.script.finish();
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_refused_because_it_fell_behind_lists_anew() {
    let script = Script::new()
        .on("GET", "limit=2", list(4, &["a"], None))
        .on("GET", "resourceVersion=4", Reply::status(410, "Expired", "too old"))
        .on("GET", "limit=2", list(9, &["b"], None))
        .on("GET", "resourceVersion=9", Reply::watch(&[]));
    let mut stage = Stage::new(script, false);
    let mut told = Vec::new();
    while told.len() < 3 {
        for event in stage.events.next().await.unwrap() {
            told.push(stage.take_in(event));
        }
    }
    let _ = stage.changes();
    assert_eq!(stage.story().await, ["begun", "listed b", "done"]);
    assert_eq!(stage.changes().gone, [ObjectKey::new("", "a")]);
    stage.script.finish();
}

#[tokio::test(start_paused = true)]
async fn a_missing_right_is_told_until_it_is_there() {
    let forbidden = || Reply::status(403, "Forbidden", "namespaces is forbidden");
    let script = Script::new()
        .on("GET", "limit=2", forbidden())
        .on("GET", "limit=2", forbidden())
        .on("GET", "limit=2", list(4, &["a"], None))
        .on("GET", "watch=true", forbidden())
        .on("GET", "watch=true", Reply::watch(&[]));
    let mut stage = Stage::new(script, false);
    let list_failed = "forbidden list failed: 403 namespaces is forbidden";
    let watch_failed = "forbidden watch failed: 403 namespaces is forbidden";
    let told = stage.story().await;
    assert_eq!(told, ["begun", list_failed, "begun", list_failed, "begun", "listed a", "done", watch_failed, "watching"]);
    stage.script.finish();
}

#[tokio::test(start_paused = true)]
async fn a_listing_is_streamed_where_the_server_can() {
    let listing =
        [event("ADDED", namespace("a", 1)), event("ADDED", namespace("b", 2)), bookmark(3, true), event("DELETED", namespace("a", 4))];
    let script = Script::new().on("GET", "sendInitialEvents=true", Reply::ending(&listing)).on(
        "GET",
        "resourceVersion=4",
        Reply::watch(&[event("ADDED", namespace("c", 5))]),
    );
    let mut stage = Stage::new(script, true);
    assert_eq!(stage.story().await, ["begun", "listed a b", "done", "deleted a", "applied c"]);
    let targets = stage.script.targets();
    assert!(targets.iter().all(|target| target.contains("allowWatchBookmarks=true")));
    assert!(targets[0].contains("resourceVersionMatch=NotOlderThan") && !targets[0].contains("resourceVersion=0"), "{}", targets[0]);
    stage.script.finish();
}

#[tokio::test(start_paused = true)]
async fn where_listings_are_not_streamed_they_come_in_pages() {
    let refusal = "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";
    let script = Script::new()
        .on("GET", "sendInitialEvents=true", Reply::status(422, "Invalid", refusal))
        .on("GET", "limit=2", list(4, &["a"], None))
        .on("GET", "resourceVersion=4", Reply::watch(&[event("ERROR", status(410, "Expired", "too old"))]))
        .on("GET", "limit=2", list(5, &["a"], None))
        .on("GET", "resourceVersion=5", Reply::watch(&[]));
    let mut stage = Stage::new(script, true);
    assert_eq!(stage.story().await, ["begun", "listed a", "done", "begun", "listed a", "done"]);
    stage.script.finish();
}

#[tokio::test(start_paused = true)]
async fn words_that_cannot_be_read_lead_to_a_new_listing() {
    let garbage = Reply::Lines { lines: vec!["{\"type\": nonsense".to_owned()], ends: false };
    let script = Script::new()
        .on("GET", "limit=2", Reply::text(200, "<html>a proxy</html>"))
        .on("GET", "limit=2", list(4, &["a"], None))
        .on("GET", "resourceVersion=4", garbage)
        .on("GET", "limit=2", list(5, &["b"], None))
        .on("GET", "resourceVersion=5", Reply::watch(&[]));
    let mut stage = Stage::new(script, false);
    let told = stage.story().await;
    let kinds: Vec<_> = told.iter().map(|word| word.split(':').next().unwrap()).collect();
    assert_eq!(kinds, ["begun", "list failed", "begun", "listed a", "done", "watch failed", "begun", "listed b", "done", "watching"]);
    assert_eq!(stage.changes().applied.len(), 1);
    stage.script.finish();
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_while_it_fails() {
    let script = (0..6).fold(Script::new(), |script, _| script.on("GET", "limit=2", Reply::Broken("refused")));
    let mut stage = Stage::new(script.on("GET", "limit=2", list(4, &[], None)).on("GET", "watch=true", Reply::watch(&[])), false);
    let begun = Instant::now();
    while stage.script.targets().len() < 8 {
        stage.events.next().await.unwrap();
    }
    // Pauses of at most 0.5 to 16 s, of each at least half.
    let seconds = begun.elapsed().as_secs_f64();
    assert!((15.75..=31.6).contains(&seconds), "{seconds} s of virtual time");
    stage.script.finish();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_every_watch_at_once_is_not_asked_in_a_tight_loop() {
    let script = Script::new().on("GET", "limit=2", list(4, &[], None));
    let script = (0..10).fold(script, |script, _| script.on("GET", "watch=true", Reply::ending(&[])));
    let mut stage = Stage::new(script.on("GET", "watch=true", Reply::watch(&[event("ADDED", namespace("a", 5))])), false);
    let begun = Instant::now();
    let mut told = Vec::new();
    while told.last().is_none_or(|word| word != "applied a") {
        for event in stage.events.next().await.unwrap() {
            told.push(stage.take_in(event));
        }
    }
    assert_eq!(begun.elapsed().as_secs(), 10, "virtual time");
    stage.script.finish();
}
