//! The pods of agents, as the informers of all replicas see them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::kube::objects::{Kind, KubePod, ObjectKey};
use crate::testing::pods::{NAMESPACE, deployed, observed, terminating};
use crate::testing::watch_source::FakeWatchSource;

#[derive(Default)]
struct Inner {
    pods: BTreeMap<String, KubePod>,
    watches: BTreeMap<String, Arc<FakeWatchSource>>,
}

/// All pods. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Pods(Arc<Mutex<Inner>>);

impl Pods {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The watch of a replica that starts; it takes the place of that of its earlier life.
    pub(super) fn watch(&self, replica: &str) -> Arc<FakeWatchSource> {
        let mut inner = self.inner();
        let source = FakeWatchSource::new(Kind::Pods);
        inner.pods.values().for_each(|pod| source.apply(observed(pod)));
        inner.watches.insert(replica.to_owned(), Arc::clone(&source));
        source
    }

    pub(super) fn unwatch(&self, replica: &str) {
        self.inner().watches.remove(replica);
    }

    fn put(&self, name: &str, pod: KubePod) {
        let mut inner = self.inner();
        inner.watches.values().for_each(|watch| watch.apply(observed(&pod)));
        inner.pods.insert(name.to_owned(), pod);
    }

    /// A pod of the Deployment of runners runs.
    pub(super) fn run(&self, name: &str, template_hash: &str) {
        self.put(name, deployed("runners", template_hash, name));
    }

    pub(super) fn terminate(&self, name: &str) {
        let pod = self.inner().pods.get(name).cloned();
        if let Some(pod) = pod {
            self.put(name, terminating(pod));
        }
    }

    pub(super) fn delete(&self, name: &str) {
        let mut inner = self.inner();
        inner.pods.remove(name);
        let key = ObjectKey::new(NAMESPACE, name);
        inner.watches.values().for_each(|watch| watch.delete(&key));
    }
}
