//! The events of the cluster: lists, watches, and what belongs to them. Source: cluster-agent-kubernetes 3.4.

use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::{BoxStream, StreamExt as _, poll_fn};
use kube::Client;
use kube::core::params::{GetParams, ListParams, WatchParams};
use kube::core::{Request as Requests, WatchEvent};
use muster_actors::ports::{ClusterReadError, EventChange, EventPage, EventQuery, EventSource};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::decode::{EventForm, or_empty};
use super::reads::{answer_in, carry, classify};

const EVENTS: &str = "/api/v1/events";

/// Changes that wait for the actor; after that the API server waits.
const QUEUED_CHANGES: usize = 1000;

/// Longest time that one watch is asked to last.
///
/// Why: the client refuses more, and load balancers end connections after 5 minutes.
const LONGEST_WATCH: Duration = Duration::from_secs(290);

/// By so much a watch may end too early without a word about it: the server counts whole seconds, with a clock of its own.
const TOLERANCE: Duration = Duration::from_millis(250);

type Sender = mpsc::Sender<Result<EventChange, ClusterReadError>>;

/// Events of all namespaces through the API server.
#[derive(Clone)]
pub struct KubeEvents {
    /// Client with time limits.
    pub client: Client,
    /// Where they are received and decoded, away from the thread of the actors.
    pub runtime: Handle,
    /// Longest time of a request, and longest time for which a watch may stay open after it should have ended.
    pub limit: Duration,
}

impl EventSource for KubeEvents {
    fn list(&self, query: &EventQuery, from: Option<String>) -> BoxFuture<'static, Result<EventPage, ClusterReadError>> {
        let (client, limit) = (self.client.clone(), self.limit);
        let mut parameters = ListParams::default().limit(query.limit);
        if !query.field_selector.is_empty() {
            parameters = parameters.fields(&query.field_selector);
        }
        if let Some(from) = from {
            parameters = parameters.continue_token(&from);
        }
        carry(&self.runtime, async move {
            let request = Requests::new(EVENTS).list(&parameters).map_err(unusable)?;
            let list: EventList = answer_in(limit, "list events", client.request(request)).await?;
            Ok(EventPage {
                events: list.items.into_iter().map(EventForm::into_event).collect(),
                version: list.metadata.resource_version,
                next: Some(list.metadata.next).filter(|next| !next.is_empty()),
            })
        })
    }

    /// A watch that the server closes too early ends with an error, too. One lasts at most 290 s.
    fn watch(&self, query: &EventQuery, version: &str, lasts: Duration) -> BoxStream<'static, Result<EventChange, ClusterReadError>> {
        let (changes, mut received) = mpsc::channel(QUEUED_CHANGES);
        let (parts, query, version) = (self.clone(), query.clone(), version.to_owned());
        self.runtime.spawn(async move {
            let watching = async {
                if let Err(error) = parts.tell_changes(&query, &version, lasts, &changes).await {
                    // Nobody listens any more: then nobody needs the error either.
                    let _ = changes.send(Err(error)).await;
                }
            };
            tokio::select! {
                () = changes.closed() => {}
                () = watching => {}
            }
        });
        poll_fn(move |task| received.poll_recv(task)).boxed()
    }

    fn node_of_pod(&self, namespace: &str, name: &str) -> BoxFuture<'static, Result<String, ClusterReadError>> {
        if !is_name(namespace) || !is_name(name) {
            return nothing();
        }
        let path = format!("/api/v1/namespaces/{namespace}/pods");
        self.text_of::<PodSpec>("get a pod", path, name)
    }

    fn provider_id(&self, node: &str) -> BoxFuture<'static, Result<String, ClusterReadError>> {
        if !is_name(node) {
            return nothing();
        }
        self.text_of::<NodeSpec>("get a node", "/api/v1/nodes".to_owned(), node)
    }
}

impl KubeEvents {
    async fn tell_changes(&self, query: &EventQuery, version: &str, lasts: Duration, to: &Sender) -> Result<(), ClusterReadError> {
        let seconds = whole_seconds(lasts.min(LONGEST_WATCH));
        let lasts = Duration::from_secs(seconds.into());
        let mut parameters = WatchParams::default().timeout(seconds);
        if !query.field_selector.is_empty() {
            parameters = parameters.fields(&query.field_selector);
        }
        let request = Requests::new(EVENTS).watch(&parameters, version).map_err(unusable)?;
        let failed = |error| classify("watch events", &error);
        let reading = async {
            let mut due = std::pin::pin!(sleep(lasts.saturating_sub(TOLERANCE)));
            let words = self.client.request_events::<EventForm>(request).await.map_err(failed)?;
            let mut words = words.boxed();
            while let Some(word) = words.next().await {
                if to.send(Ok(change(word.map_err(failed)?)?)).await.is_err() {
                    return Ok(());
                }
            }
            let is_due = due.as_mut().now_or_never().is_some();
            if is_due { Ok(()) } else { Err(ClusterReadError::Unavailable("Unexpected watch close".to_owned())) }
        };
        match timeout(lasts.saturating_add(self.limit), reading).await {
            Ok(read) => read,
            // A server that hangs closes nothing; what it has not told, it tells the next time.
            Err(_) => Err(ClusterReadError::Unavailable("watch events: it did not end in time".to_owned())),
        }
    }

    /// One field of an object; empty if the object is gone.
    fn text_of<T: Into<String> + DeserializeOwned + Send + 'static>(
        &self,
        what: &'static str,
        path: String,
        name: &str,
    ) -> BoxFuture<'static, Result<String, ClusterReadError>> {
        let (client, limit, name) = (self.client.clone(), self.limit, name.to_owned());
        carry(&self.runtime, async move {
            let request = Requests::new(path).get(&name, &GetParams::default()).map_err(unusable)?;
            match answer_in::<Specified<T>>(limit, what, client.request(request)).await {
                Ok(object) => Ok(object.spec.map(Into::into).unwrap_or_default()),
                Err(ClusterReadError::NotFound(_)) => Ok(String::new()),
                Err(error) => Err(error),
            }
        })
    }
}

/// What a watch says.
fn change(word: WatchEvent<EventForm>) -> Result<EventChange, ClusterReadError> {
    match word {
        WatchEvent::Added(event) | WatchEvent::Modified(event) => Ok(EventChange::Seen(Box::new(event.into_event()))),
        WatchEvent::Deleted(_) => Ok(EventChange::Deleted),
        WatchEvent::Bookmark(bookmark) => Ok(EventChange::Bookmark(bookmark.metadata.resource_version)),
        WatchEvent::Error(status) => Err(classify("watch events", &kube::Error::Api(status))),
    }
}

fn unusable(error: kube::core::request::Error) -> ClusterReadError {
    classify("ask for events", &kube::Error::BuildRequest(error))
}

/// Whether this can be the name of an object. What an event says about others is not to be trusted: it becomes a part of a path.
fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    !text.is_empty() && text.len() <= 253 && text.chars().all(allowed) && !text.starts_with('.')
}

fn nothing() -> BoxFuture<'static, Result<String, ClusterReadError>> {
    std::future::ready(Ok(String::new())).boxed()
}

/// At least one: for the API server, none means that it chooses.
fn whole_seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX).max(1)
}

#[derive(Deserialize)]
struct EventList {
    #[serde(default)]
    metadata: ListHead,
    #[serde(default, deserialize_with = "or_empty")]
    items: Vec<EventForm>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ListHead {
    resource_version: String,
    #[serde(rename = "continue")]
    next: String,
}

#[derive(Deserialize)]
struct Specified<T> {
    spec: Option<T>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PodSpec {
    node_name: String,
}

impl From<PodSpec> for String {
    fn from(spec: PodSpec) -> Self {
        spec.node_name
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeSpec {
    #[serde(rename = "providerID")]
    provider_id: String,
}

impl From<NodeSpec> for String {
    fn from(spec: NodeSpec) -> Self {
        spec.provider_id
    }
}

#[cfg(test)]
mod tests;
