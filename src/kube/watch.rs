//! Watching all objects of one kind.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::stream::{BoxStream, StreamExt as _, poll_fn};
use http::{Request, Uri};
use kube::api::Api;
use kube::client::Body;
use kube::runtime::watcher::{self, Event};
use kube::{Client, Error as ClientError};
use muster_actors::domain::kube::objects::{Kind, KubeObject};
use muster_actors::kernel::clock::Clock;
use muster_actors::kernel::rng::Random;
use muster_actors::messages::informer::{WatchEvent, WatchFailure};
use muster_actors::ports::WatchSource;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Notify, mpsc};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tower::service_fn;
use tracing::debug;

use super::decode::{EndpointSliceForm, EndpointsForm, Form, Interner, NamespaceForm, NodeForm, PodForm, ServiceForm, Slim};
use super::error::{Class, class, describe};
use super::limits::is_watch;
use super::pause::pause;

/// Most objects in one batch.
///
/// Why: the actor that takes it in must not be busy for longer than a millisecond or so.
const BATCH: usize = 500;

/// Batches that wait for the actor; after that the API server waits.
const QUEUED_BATCHES: usize = 4;

/// Shortest time between the beginnings of two watches.
///
/// Why: a server or proxy that ends every watch at once would else be asked in a tight loop.
const SHORTEST_WATCH: Duration = Duration::from_secs(1);

/// After so much time without a failure the pauses begin anew.
const CALM: Duration = Duration::from_secs(120);

/// What is watched, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchSettings {
    /// Which kind.
    pub kind: Kind,
    /// Only this namespace; `None` = all of them.
    pub namespace: Option<String>,
    /// Objects in one page of a listing.
    pub page_size: u32,
    /// Ask for listings as streams; falls back to pages if the server refuses.
    /// See [`muster_actors::domain::kube::version::ServerVersion::may_stream_listings`].
    pub streaming: bool,
}

/// A watch through the API server.
#[derive(Clone)]
pub struct KubeWatch {
    /// Client with time limits.
    pub client: Client,
    /// What is watched.
    pub settings: WatchSettings,
    /// Where objects are received and decoded, away from the thread of the actors.
    pub runtime: Handle,
    /// For the pauses.
    pub random: Arc<dyn Random>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl WatchSource for KubeWatch {
    fn kind(&self) -> Kind {
        self.settings.kind
    }

    fn watch(&self) -> BoxStream<'static, Vec<WatchEvent>> {
        let (batches, mut received) = mpsc::channel(QUEUED_BATCHES);
        match self.settings.kind {
            Kind::Pods => self.start::<PodForm>(batches),
            Kind::Services => self.start::<ServiceForm>(batches),
            Kind::Endpoints => self.start::<EndpointsForm>(batches),
            Kind::EndpointSlices => self.start::<EndpointSliceForm>(batches),
            Kind::Nodes => self.start::<NodeForm>(batches),
            Kind::Namespaces => self.start::<NamespaceForm>(batches),
        }
        poll_fn(move |task| received.poll_recv(task)).boxed()
    }
}

impl KubeWatch {
    fn start<F: Form>(&self, batches: mpsc::Sender<Vec<WatchEvent>>) {
        let parts = self.clone();
        self.runtime.spawn(async move {
            let mut session = Session::<F>::new(parts);
            loop {
                let batch = tokio::select! {
                    () = batches.closed() => return,
                    batch = session.next_batch() => batch,
                };
                if batches.send(batch).await.is_err() {
                    return;
                }
            }
        });
    }
}

type Events<F> = BoxStream<'static, Result<Event<Slim<F>>, watcher::Error>>;

/// One watch over its failures.
struct Session<F: Form> {
    parts: KubeWatch,
    api: Api<Slim<F>>,
    /// Said when a watch was opened.
    opened: Arc<Notify>,
    streaming: bool,
    /// `None` = begin with a listing.
    events: Option<Events<F>>,
    interner: Interner,
    /// Failures since it was calm.
    failures: u32,
    last_failure: Duration,
    /// Wait before going on.
    pause: Option<Duration>,
    /// A failure was told, and no watch was opened since.
    failing: bool,
}

impl<F: Form> Session<F> {
    fn new(parts: KubeWatch) -> Self {
        let opened = Arc::new(Notify::new());
        let client = paced(parts.client.clone(), Arc::clone(&opened));
        let api = match &parts.settings.namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &()),
            None => Api::all(client),
        };
        Self {
            streaming: parts.settings.streaming,
            parts,
            api,
            opened,
            events: None,
            interner: Interner::default(),
            failures: 0,
            last_failure: Duration::ZERO,
            pause: None,
            failing: false,
        }
    }

    fn begin(&self) -> Events<F> {
        let config = watcher::Config::default().page_size(self.parts.settings.page_size);
        let config = if self.streaming { config.streaming_lists() } else { config };
        watcher::watcher(self.api.clone(), config).boxed()
    }

    /// What happens next, at least one event.
    async fn next_batch(&mut self) -> Vec<WatchEvent> {
        loop {
            if let Some(pause) = self.pause.take() {
                sleep(pause).await;
            }
            let mut events = self.events.take().unwrap_or_else(|| self.begin());
            let first = tokio::select! {
                biased;
                event = events.next() => event,
                () = self.opened.notified(), if self.failing => {
                    self.failing = false;
                    self.events = Some(events);
                    return vec![WatchEvent::Watching];
                }
            };
            let batch = self.gather(first, events);
            if !batch.is_empty() {
                return batch;
            }
        }
    }

    /// Puts an event and all that wait behind it into one batch. A failure ends it, because what follows needs a pause.
    fn gather(&mut self, first: Option<Result<Event<Slim<F>>, watcher::Error>>, mut events: Events<F>) -> Vec<WatchEvent> {
        let mut batch = Batch::default();
        let mut next = first;
        loop {
            match next {
                // The watcher does not end; if it ever does, another one begins.
                None => return batch.finish(),
                Some(Ok(event)) => {
                    if matches!(event, Event::Apply(_) | Event::Delete(_)) {
                        self.failing = false;
                    }
                    batch.add(event, &mut self.interner);
                }
                Some(Err(error)) => {
                    if !self.fail(&error, &mut batch) {
                        self.events = Some(events);
                    }
                    return batch.finish();
                }
            }
            if batch.objects >= BATCH {
                break;
            }
            match events.next().now_or_never() {
                Some(event) => next = event,
                None => break,
            }
        }
        self.events = Some(events);
        batch.finish()
    }

    /// Takes a failure in; returns whether the watch has to begin anew with a listing.
    fn fail(&mut self, error: &watcher::Error, batch: &mut Batch) -> bool {
        let failure = Failure::new(error);
        let kind = self.parts.settings.kind.resource();
        if self.streaming && failure.refuses_streaming {
            debug!(kind, error = failure.text, "listings cannot be streamed, listing in pages");
            self.streaming = false;
            return true;
        }
        let now = self.parts.clock.monotonic();
        self.failures = if now.saturating_sub(self.last_failure) > CALM { 1 } else { self.failures.saturating_add(1) };
        self.last_failure = now;
        self.pause = Some(pause(self.failures, self.parts.random.unit()));
        if failure.expired {
            // Happens in a healthy cluster, too, for example when an API server restarts.
            debug!(kind, error = failure.text, "watch fell behind, listing anew");
            return true;
        }
        self.failing = true;
        // A watch that was opened before proves nothing any more.
        let _ = self.opened.notified().now_or_never();
        batch.push(WatchEvent::Failed(WatchFailure { verb: failure.verb, forbidden: failure.forbidden, text: failure.text }));
        failure.unreadable
    }
}

/// Events in order; objects of a listing that follow each other are one event.
#[derive(Default)]
struct Batch {
    events: Vec<WatchEvent>,
    listed: Vec<KubeObject>,
    objects: usize,
}

impl Batch {
    fn add<F: Form>(&mut self, event: Event<Slim<F>>, interner: &mut Interner) {
        match event {
            Event::Init => self.push(WatchEvent::ListingBegun),
            Event::InitApply(object) => {
                self.objects += 1;
                self.listed.push(object.form.into_object(interner));
            }
            Event::InitDone => self.push(WatchEvent::ListingDone),
            Event::Apply(object) => {
                self.objects += 1;
                self.push(WatchEvent::Applied(object.form.into_object(interner)));
            }
            Event::Delete(object) => {
                self.objects += 1;
                self.push(WatchEvent::Deleted(object.form.key()));
            }
        }
    }

    fn push(&mut self, event: WatchEvent) {
        self.flush();
        self.events.push(event);
    }

    fn flush(&mut self) {
        if !self.listed.is_empty() {
            self.events.push(WatchEvent::Listed(std::mem::take(&mut self.listed)));
        }
    }

    fn finish(mut self) -> Vec<WatchEvent> {
        self.flush();
        self.events
    }
}

/// What is to be known of a failure.
struct Failure {
    verb: &'static str,
    forbidden: bool,
    /// The server forgot what happened since the last word: only a listing helps.
    expired: bool,
    /// A word was not understood: it may have been about any object, so only a listing helps.
    unreadable: bool,
    /// The server does not stream listings.
    refuses_streaming: bool,
    text: String,
}

impl Failure {
    fn new(error: &watcher::Error) -> Self {
        let told;
        let (verb, cause) = match error {
            watcher::Error::InitialListFailed(cause) => ("list", Some(cause)),
            watcher::Error::WatchStartFailed(cause) | watcher::Error::WatchFailed(cause) => ("watch", Some(cause)),
            watcher::Error::WatchError(status) => {
                told = ClientError::Api(status.clone());
                ("watch", Some(&told))
            }
            watcher::Error::NoResourceVersion => ("list", None),
        };
        let class = cause.map_or(Class::Other, class);
        let refused = |cause: &ClientError| matches!(cause, ClientError::Api(status) if matches!(status.code, 400 | 422));
        Self {
            verb,
            forbidden: class == Class::Forbidden,
            expired: class == Class::Expired,
            unreadable: verb == "watch" && matches!(cause, Some(ClientError::SerdeError(_))),
            refuses_streaming: matches!(error, watcher::Error::WatchStartFailed(_)) && cause.is_some_and(refused),
            text: cause.map_or_else(|| error.to_string(), describe),
        }
    }
}

/// This client, but watches do not begin too soon after each other, and it is said when one was opened.
fn paced(client: Client, opened: Arc<Notify>) -> Client {
    let namespace = client.default_namespace().to_owned();
    let mut beginnings = interval(SHORTEST_WATCH);
    beginnings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let beginnings = Arc::new(Mutex::new(beginnings));
    let service = service_fn(move |request: Request<Body>| {
        let (client, opened, beginnings) = (client.clone(), Arc::clone(&opened), Arc::clone(&beginnings));
        async move {
            if !is_watch(&request) {
                return client.send(request).await;
            }
            beginnings.lock().await.tick().await;
            let response = client.send(up_to_date(request)?).await?;
            if response.status().is_success() {
                opened.notify_one();
            }
            Ok::<_, ClientError>(response)
        }
    });
    Client::new(service, namespace)
}

/// Asks for a streamed listing of now instead of any moment.
///
/// Why: one of several API servers may be behind, and what it has not heard of yet would be gone and come back.
fn up_to_date(mut request: Request<Body>) -> Result<Request<Body>, ClientError> {
    let Some(query) = request.uri().query().filter(|query| query.contains("sendInitialEvents=true")) else {
        return Ok(request);
    };
    let parameters: Vec<_> = query.split('&').filter(|parameter| *parameter != "resourceVersion=0").collect();
    let target = format!("{}?{}", request.uri().path(), parameters.join("&"));
    let uri = Uri::try_from(target).map_err(|error| ClientError::HttpError(error.into()))?;
    *request.uri_mut() = uri;
    Ok(request)
}

#[cfg(test)]
mod tests;
