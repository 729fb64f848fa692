//! A watch on objects that the test makes up, and builders for such objects.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt as _;
use futures_util::stream::{BoxStream, poll_fn};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::domain::kube::objects::{Kind, KubeObject, KubePod, Meta, ObjectKey, Texts};
use crate::messages::informer::WatchEvent;
use crate::ports::WatchSource;

#[derive(Default)]
struct State {
    objects: BTreeMap<ObjectKey, KubeObject>,
    watch: Option<UnboundedSender<Vec<WatchEvent>>>,
    watches: usize,
    silent: bool,
}

/// Holds objects; each watch lists them and then reports what the test changes.
pub struct FakeWatchSource {
    kind: Kind,
    state: Mutex<State>,
}

impl FakeWatchSource {
    /// A source without objects.
    #[must_use]
    pub fn new(kind: Kind) -> Arc<Self> {
        Arc::new(Self { kind, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on a new watch does not list by itself; the test says everything with [`Self::emit`].
    pub fn be_silent(&self) {
        self.state().silent = true;
    }

    /// How many watches were started.
    #[must_use]
    pub fn watches(&self) -> usize {
        self.state().watches
    }

    /// Puts an object in, or changes it, and reports it.
    pub fn apply(&self, object: KubeObject) {
        self.state().objects.insert(object.key().clone(), object.clone());
        self.emit(vec![WatchEvent::Applied(object)]);
    }

    /// Takes an object away and reports it.
    pub fn delete(&self, key: &ObjectKey) {
        self.state().objects.remove(key);
        self.emit(vec![WatchEvent::Deleted(key.clone())]);
    }

    /// Takes an object away without a word, as while a watch is broken.
    pub fn forget(&self, key: &ObjectKey) {
        self.state().objects.remove(key);
    }

    /// Lists everything anew, as a watch does that fell behind.
    pub fn list_again(&self) {
        let listing = listing(&self.state());
        self.emit(listing);
    }

    /// Reports these events, whatever they say.
    pub fn emit(&self, events: Vec<WatchEvent>) {
        if let Some(watch) = &self.state().watch {
            // Nobody listens between two incarnations of the informer.
            let _ = watch.send(events);
        }
    }
}

fn listing(state: &State) -> Vec<WatchEvent> {
    vec![WatchEvent::ListingBegun, WatchEvent::Listed(state.objects.values().cloned().collect()), WatchEvent::ListingDone]
}

impl WatchSource for FakeWatchSource {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn watch(&self) -> BoxStream<'static, Vec<WatchEvent>> {
        let (watch, mut events) = unbounded_channel();
        let mut state = self.state();
        if !state.silent {
            let _ = watch.send(listing(&state));
        }
        state.watches += 1;
        state.watch = Some(watch);
        poll_fn(move |task| events.poll_recv(task)).boxed()
    }
}

/// A running, ready pod; its uid is made of namespace and name.
#[must_use]
pub fn pod(namespace: &str, name: &str, resource_version: u64) -> KubePod {
    KubePod {
        meta: meta(namespace, name, resource_version),
        node: "n1".into(),
        phase: "Running".into(),
        ip: "10.0.0.1".into(),
        ready: true,
        owner: None,
        containers: Vec::new(),
    }
}

/// Metadata without labels and annotations; its uid is made of namespace and name.
#[must_use]
pub fn meta(namespace: &str, name: &str, resource_version: u64) -> Meta {
    Meta {
        key: ObjectKey::new(namespace, name),
        uid: format!("uid-{namespace}-{name}").into(),
        resource_version: resource_version.to_string().into(),
        labels: Texts::new(),
        annotations: Texts::new(),
        terminating: false,
    }
}
