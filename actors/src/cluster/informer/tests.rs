use std::collections::BTreeMap;

use super::*;
use crate::domain::kube::objects::{KubeObject, KubePod, ObjectKey};
use crate::kernel::mailbox::Handle;
use crate::kernel::published::Reader;
use crate::kernel::supervised::{Observe, Supervised};
use crate::kernel::universe::{self, Recorded, Universe};
use crate::messages::informer::WatchFailure;
use crate::testing::watch_source::{FakeWatchSource, pod};

struct Stage {
    source: Arc<FakeWatchSource>,
    informer: Handle<Informer>,
    heard: Recorded<ObjectsChanged>,
    status: Reader<InformerStatus>,
}

fn stage(universe: &Universe, source: Arc<FakeWatchSource>) -> Stage {
    let (subscriber, heard) = universe.recorder("subscriber");
    let status = Arc::new(Publisher::new(InformerStatus::new(Kind::Pods)));
    let reader = status.reader();
    let parts = InformerParts {
        source: Arc::clone(&source) as Arc<dyn WatchSource>,
        subscribers: vec![subscriber],
        status,
        clock: universe.clock(),
    };
    let informer = universe.start(actor_name(Kind::Pods), move || Informer::new(parts.clone()));
    Stage { source, informer, heard, status: reader }
}

fn a_pod(name: &str, version: u64) -> KubeObject {
    KubeObject::Pod(Arc::new(pod("ns", name, version)))
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("ns", name)
}

fn names(message: &ObjectsChanged) -> Vec<&str> {
    message.applied.iter().map(|object| &*object.key().name).collect()
}

fn failure(verb: &'static str, forbidden: bool) -> Vec<WatchEvent> {
    vec![WatchEvent::Failed(WatchFailure { verb, forbidden, text: "no".to_owned() })]
}

#[test]
fn the_first_word_is_everything_and_then_come_changes() {
    universe::run(1, |universe| async move {
        let source = FakeWatchSource::new(Kind::Pods);
        source.apply(a_pod("a", 1));
        let stage = stage(&universe, source);
        universe.settle().await;
        let first = stage.heard.take();
        assert_eq!((first.len(), first[0].reset, first[0].synced, names(&first[0])), (1, true, true, vec!["a"]));
        stage.source.apply(a_pod("b", 2));
        stage.source.apply(a_pod("b", 2));
        stage.source.delete(&key("a"));
        universe.settle().await;
        let told = stage.heard.take();
        assert_eq!((told.len(), told[0].reset, names(&told[0]), &told[1].gone), (2, false, vec!["b"], &vec![key("a")]));
        let status = stage.status.current();
        assert_eq!((status.synced, status.objects, status.listings, status.restarts), (true, 1, 1, 0));
        assert!(status.last_event_at.is_some());
    });
}

#[test]
fn nothing_is_told_before_the_listing_is_complete_even_if_asked_for() {
    universe::run(1, |universe| async move {
        let source = FakeWatchSource::new(Kind::Pods);
        source.be_silent();
        let stage = stage(&universe, source);
        universe.settle().await;
        stage.source.emit(vec![WatchEvent::ListingBegun, WatchEvent::Listed(vec![a_pod("a", 1)])]);
        stage.informer.tell(TellObjects).unwrap();
        universe.advance(CATCH_UP_INTERVAL * 3).await;
        assert!(stage.heard.take().is_empty());
        assert!(!stage.status.current().synced);
        stage.source.emit(vec![WatchEvent::ListingDone]);
        universe.settle().await;
        assert_eq!(stage.heard.take().iter().map(names).collect::<Vec<_>>(), [["a"]]);
    });
}

#[test]
fn a_vanished_object_is_gone_after_a_new_listing() {
    universe::run(1, |universe| async move {
        let source = FakeWatchSource::new(Kind::Pods);
        source.apply(a_pod("a", 1));
        source.apply(a_pod("b", 1));
        let stage = stage(&universe, source);
        universe.settle().await;
        let _ = stage.heard.take();
        stage.source.forget(&key("a"));
        stage.source.list_again();
        universe.settle().await;
        let told = stage.heard.take();
        assert_eq!((told.len(), told[0].reset, &told[0].gone, names(&told[0])), (1, false, &vec![key("a")], vec![]));
        assert_eq!(stage.status.current().listings, 2);
    });
}

#[test]
fn after_a_restart_everything_is_listed_and_told_anew() {
    universe::run(1, |universe| async move {
        let source = FakeWatchSource::new(Kind::Pods);
        source.apply(a_pod("a", 1));
        source.apply(a_pod("b", 1));
        let stage = stage(&universe, source);
        universe.settle().await;
        let _ = stage.heard.take();
        stage.source.be_silent();
        universe.expect_panics(1);
        assert!(universe.kernel().crash("Informer.pods"));
        universe.settle().await;
        assert_eq!(stage.source.watches(), 2);
        assert!(stage.heard.take().is_empty(), "subscribers keep what they know until the listing is complete");
        stage.source.forget(&key("a"));
        stage.source.list_again();
        universe.settle().await;
        let told = stage.heard.take();
        assert_eq!((told.len(), told[0].reset, names(&told[0])), (1, true, vec!["b"]));
        let status = stage.status.current();
        assert_eq!((status.listings, status.restarts, status.objects), (2, 1, 1));
    });
}

#[test]
fn a_subscriber_that_was_down_or_asks_gets_everything() {
    universe::run(1, |universe| async move {
        let source = FakeWatchSource::new(Kind::Pods);
        source.apply(a_pod("a", 1));
        let late = Handle::<Replaceable>::new("late");
        let status = Arc::new(Publisher::new(InformerStatus::new(Kind::Pods)));
        let parts = InformerParts { source: Arc::clone(&source) as _, subscribers: vec![late.outlet()], status, clock: universe.clock() };
        let informer = universe.start(actor_name(Kind::Pods), move || Informer::new(parts.clone()));
        universe.settle().await;
        source.apply(a_pod("b", 1));
        universe.settle().await;
        universe.bind(&late, Replaceable::default);
        universe.advance(CATCH_UP_INTERVAL * 2).await;
        assert_eq!(view(&late).await, ["a", "b"]);
        universe.expect_panics(1);
        universe.kernel().crash("late");
        universe.settle().await;
        assert_eq!(view(&late).await, [""; 0]);
        informer.tell(TellObjects).unwrap();
        universe.settle().await;
        assert_eq!(view(&late).await, ["a", "b"]);
    });
}

#[test]
fn failures_change_nothing_and_a_missing_right_is_named_until_it_is_there() {
    universe::run(1, |universe| async move {
        let source = FakeWatchSource::new(Kind::Pods);
        source.apply(a_pod("a", 1));
        let stage = stage(&universe, source);
        universe.settle().await;
        let _ = stage.heard.take();
        stage.source.emit(failure("watch", true));
        stage.source.emit(failure("watch", false));
        universe.settle().await;
        assert!(stage.heard.take().is_empty());
        let status = stage.status.current();
        assert_eq!((status.synced, status.objects, status.failures, status.failing), (true, 1, 2, 2));
        let right = status.forbidden.as_ref().unwrap().to_string();
        assert!(right.starts_with("watch pods is forbidden"), "{right}");
        stage.source.emit(vec![WatchEvent::Watching]);
        universe.settle().await;
        let status = stage.status.current();
        assert_eq!((&status.forbidden, status.failing, status.last_error.as_deref()), (&None, 0, Some("no")));
        let observed = stage.informer.ask(Observe, Duration::from_secs(1)).await.unwrap();
        assert_eq!((&observed["status"]["kind"], &observed["behind"]), (&json!("pods"), &json!(0)));
    });
}

/// A subscriber that can be started late and killed.
#[derive(Default)]
struct Replaceable {
    view: BTreeMap<ObjectKey, Arc<KubePod>>,
}

impl Actor for Replaceable {
    type Context = Context<Self>;
}

impl Observed for Replaceable {
    fn observe(&self) -> serde_json::Value {
        json!(self.view.keys().map(|key| key.name.to_string()).collect::<Vec<_>>())
    }
}

supervised!(Replaceable);

impl Handler<ObjectsChanged> for Replaceable {
    type Result = ();

    fn handle(&mut self, message: ObjectsChanged, _: &mut Context<Self>) {
        if message.reset {
            self.view.clear();
        }
        for object in message.applied {
            if let KubeObject::Pod(pod) = object {
                self.view.insert(pod.meta.key.clone(), pod);
            }
        }
        for key in message.gone {
            self.view.remove(&key);
        }
    }
}

async fn view<A: Supervised>(actor: &Handle<A>) -> Vec<String> {
    let observed = actor.ask(Observe, Duration::from_secs(1)).await.unwrap();
    serde_json::from_value(observed).unwrap()
}
