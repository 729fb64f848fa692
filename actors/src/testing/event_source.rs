//! The events of a cluster that the test makes up: listed in pages, watched, compacted away.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::domain::kube::event::{InvolvedObject, KubeEvent};
use crate::ports::{ClusterReadError, EventChange, EventPage, EventQuery, EventSource};

struct Cluster {
    /// What is there now, by its own version.
    events: BTreeMap<u64, KubeEvent>,
    /// What happened: version of the change, and the change. In the order in which watches tell it.
    log: Vec<(u64, EventChange)>,
    version: u64,
    /// Watches from older versions are refused.
    compacted: u64,
    failing_lists: Option<ClusterReadError>,
    failing_watches: Option<ClusterReadError>,
    failing_nodes: Option<ClusterReadError>,
    /// Watches end after so many changes.
    watch_ends_after: Option<usize>,
    nodes_of_pods: BTreeMap<(String, String), String>,
    provider_ids: BTreeMap<String, String>,
    calls: Vec<String>,
    open: usize,
    delay: Duration,
}

/// Events for tests. Clones share them.
#[derive(Clone)]
pub struct FakeEventSource {
    cluster: Arc<Mutex<Cluster>>,
    changed: Arc<watch::Sender<usize>>,
}

impl Default for FakeEventSource {
    fn default() -> Self {
        let cluster = Cluster {
            events: BTreeMap::new(),
            log: Vec::new(),
            version: 0,
            compacted: 0,
            failing_lists: None,
            failing_watches: None,
            failing_nodes: None,
            watch_ends_after: None,
            nodes_of_pods: BTreeMap::new(),
            provider_ids: BTreeMap::new(),
            calls: Vec::new(),
            open: 0,
            delay: Duration::ZERO,
        };
        Self { cluster: Arc::new(Mutex::new(cluster)), changed: Arc::new(watch::Sender::new(0)) }
    }
}

impl FakeEventSource {
    fn cluster(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self, version: u64, change: EventChange) {
        let mut cluster = self.cluster();
        cluster.version = cluster.version.max(version);
        cluster.log.push((version, change));
        let length = cluster.log.len();
        drop(cluster);
        self.changed.send_replace(length);
    }

    /// Somebody makes this event, in this version.
    pub fn make(&self, version: u64, event: KubeEvent) {
        let event = KubeEvent { version: version.to_string(), ..event };
        self.cluster().events.insert(version, event.clone());
        self.log(version, EventChange::Seen(Box::new(event)));
    }

    /// The event of this version is gone, as after an hour. Watches tell it as a change of the next version.
    pub fn expire(&self, version: u64) {
        self.cluster().events.remove(&version);
        let next = self.version() + 1;
        self.log(next, EventChange::Deleted);
    }

    /// Watches tell that nothing older than this version is to come.
    pub fn bookmark(&self, version: u64) {
        self.log(version, EventChange::Bookmark(version.to_string()));
    }

    /// Something else than an event changes in the cluster: lists have at least this version.
    pub fn go_to(&self, version: u64) {
        let mut cluster = self.cluster();
        cluster.version = cluster.version.max(version);
    }

    /// All data is gone and versions begin at 1 again, as with an etcd that was made anew.
    pub fn begin_anew(&self) {
        let mut cluster = self.cluster();
        cluster.events.clear();
        cluster.log.iter_mut().for_each(|(version, _)| *version = 0);
        (cluster.version, cluster.compacted) = (0, 0);
    }

    /// Version of a list at this moment.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.cluster().version
    }

    /// What happened up to this version can no longer be watched; a watch that has not told it ends as expired.
    pub fn compact(&self, version: u64) {
        self.cluster().compacted = version;
    }

    /// From now on lists fail with this.
    pub fn fail_lists(&self, error: Option<ClusterReadError>) {
        self.cluster().failing_lists = error;
    }

    /// From now on watches fail with this, after what they have to tell at once.
    pub fn fail_watches(&self, error: Option<ClusterReadError>) {
        self.cluster().failing_watches = error;
    }

    /// From now on nobody tells the nodes of pods and their provider ids.
    pub fn fail_nodes(&self, error: Option<ClusterReadError>) {
        self.cluster().failing_nodes = error;
    }

    /// From now on watches are closed early, after so many changes.
    pub fn end_watches_after(&self, changes: Option<usize>) {
        self.cluster().watch_ends_after = changes;
    }

    /// Lists take this (virtual) time from now on.
    pub fn slow(&self, delay: Duration) {
        self.cluster().delay = delay;
    }

    /// A pod runs on this node, which has this provider id.
    pub fn place(&self, namespace: &str, pod: &str, node: &str, provider_id: &str) {
        let mut cluster = self.cluster();
        cluster.nodes_of_pods.insert((namespace.to_owned(), pod.to_owned()), node.to_owned());
        cluster.provider_ids.insert(node.to_owned(), provider_id.to_owned());
    }

    /// What was asked since the last call, in order: `list`, `watch <version>`, `pod <namespace>/<name>`, `node <name>`.
    #[must_use]
    pub fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut self.cluster().calls)
    }

    /// Watches that are open now.
    #[must_use]
    pub fn open_watches(&self) -> usize {
        self.cluster().open
    }
}

/// Where a watch has got to.
struct Following {
    source: FakeEventSource,
    changed: watch::Receiver<usize>,
    from: u64,
    /// Position in the log.
    at: usize,
    told: usize,
    ends_at: Instant,
    over: bool,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.source.cluster().open -= 1;
    }
}

impl Following {
    async fn next(&mut self) -> Option<Result<EventChange, ClusterReadError>> {
        while !self.over {
            let length = *self.changed.borrow_and_update();
            {
                let cluster = self.source.cluster();
                let missed =
                    cluster.log.iter().skip(self.at).take(length).any(|(version, _)| *version > self.from && *version <= cluster.compacted);
                if missed || self.from < cluster.compacted && self.told == 0 {
                    self.over = true;
                    return Some(Err(ClusterReadError::Expired(self.from.to_string())));
                }
                while self.at < length {
                    let (version, change) = cluster.log[self.at].clone();
                    self.at += 1;
                    if version > self.from {
                        self.told += 1;
                        self.over = cluster.watch_ends_after.is_some_and(|limit| self.told >= limit);
                        return Some(Ok(change));
                    }
                }
                if let Some(error) = cluster.failing_watches.clone() {
                    self.over = true;
                    return Some(Err(error));
                }
            }
            tokio::select! {
                _ = self.changed.changed() => {}
                () = sleep_until(self.ends_at) => self.over = true,
            }
        }
        None
    }
}

impl EventSource for FakeEventSource {
    fn list(&self, query: &EventQuery, from: Option<String>) -> BoxFuture<'static, Result<EventPage, ClusterReadError>> {
        let (source, limit) = (self.clone(), query.limit as usize);
        async move {
            let delay = source.cluster().delay;
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            let mut cluster = source.cluster();
            cluster.calls.push(from.as_ref().map_or_else(|| "list".to_owned(), |from| format!("list from {from}")));
            if let Some(error) = cluster.failing_lists.clone() {
                return Err(error);
            }
            // A token of continuation: how many were told, and the version of the list.
            let (skip, version) = match from.as_deref().and_then(|from| from.split_once('@')) {
                Some((skip, version)) => (skip.parse().unwrap_or(0), version.parse().unwrap_or(0)),
                None => (0, cluster.version),
            };
            let listed = || cluster.events.range(..=version).map(|(_, event)| event);
            let page: Vec<KubeEvent> = listed().skip(skip).take(limit).cloned().collect();
            let told = skip + page.len();
            let next = (listed().count() > told).then(|| format!("{told}@{version}"));
            Ok(EventPage { events: page, version: version.to_string(), next })
        }
        .boxed()
    }

    fn watch(&self, _: &EventQuery, version: &str, lasts: Duration) -> BoxStream<'static, Result<EventChange, ClusterReadError>> {
        let mut cluster = self.cluster();
        cluster.calls.push(format!("watch {version}"));
        cluster.open += 1;
        drop(cluster);
        let from = version.parse().unwrap_or(0);
        let ends_at = Instant::now() + lasts;
        let following = Following { source: self.clone(), changed: self.changed.subscribe(), from, at: 0, told: 0, ends_at, over: false };
        stream::unfold(following, async |mut following| {
            let change = following.next().await?;
            Some((change, following))
        })
        .boxed()
    }

    fn node_of_pod(&self, namespace: &str, name: &str) -> BoxFuture<'static, Result<String, ClusterReadError>> {
        let mut cluster = self.cluster();
        cluster.calls.push(format!("pod {namespace}/{name}"));
        let node = cluster.nodes_of_pods.get(&(namespace.to_owned(), name.to_owned())).cloned().unwrap_or_default();
        let answer = cluster.failing_nodes.clone().map_or(Ok(node), Err);
        async move { answer }.boxed()
    }

    fn provider_id(&self, node: &str) -> BoxFuture<'static, Result<String, ClusterReadError>> {
        let mut cluster = self.cluster();
        cluster.calls.push(format!("node {node}"));
        let id = cluster.provider_ids.get(node).cloned().unwrap_or_default();
        let answer = cluster.failing_nodes.clone().map_or(Ok(id), Err);
        async move { answer }.boxed()
    }
}

/// A normal event about a pod `default/<name>`, whose message is `text`.
#[must_use]
pub fn event(name: &str, text: &str) -> KubeEvent {
    let involved =
        InvolvedObject { kind: "Pod".to_owned(), namespace: "default".to_owned(), name: name.to_owned(), uid: format!("uid-{name}") };
    KubeEvent {
        involved,
        reason: "Started".to_owned(),
        message: text.to_owned(),
        event_type: "Normal".to_owned(),
        count: 1,
        first_seen: Some(1_700_000_000),
        last_seen: Some(1_700_000_000),
        component: "kubelet".to_owned(),
        host: "n1".to_owned(),
        ..KubeEvent::default()
    }
}
