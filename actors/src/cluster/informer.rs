//! The actor that knows all objects of one kind and tells its subscribers what changed.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use serde_json::json;
use tracing::{debug, info, warn};

use crate::domain::kube::informer::{Changes, ObjectIndex};
use crate::domain::kube::informer_status::{InformerStatus, Notice};
use crate::domain::kube::objects::Kind;
use crate::kernel::clock::Clock;
use crate::kernel::mailbox::Outlet;
use crate::kernel::published::Publisher;
use crate::kernel::supervised::Observed;
use crate::messages::informer::{ObjectsChanged, TellObjects, WatchEvent};
use crate::ports::WatchSource;
use crate::supervised;

/// Time between two looks for subscribers that missed something.
///
/// Why: a full mailbox is rare and passes in milliseconds.
const CATCH_UP_INTERVAL: Duration = Duration::from_secs(1);

/// Name of the actor for a kind, for its handle.
#[must_use]
pub fn actor_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Pods => "Informer.pods",
        Kind::Services => "Informer.services",
        Kind::Endpoints => "Informer.endpoints",
        Kind::EndpointSlices => "Informer.endpointslices",
        Kind::Nodes => "Informer.nodes",
        Kind::Namespaces => "Informer.namespaces",
    }
}

/// What an [`Informer`] needs.
#[derive(Clone)]
pub struct InformerParts {
    /// The watch.
    pub source: Arc<dyn WatchSource>,
    /// Who is told what changed.
    pub subscribers: Vec<Outlet<ObjectsChanged>>,
    /// Where its state is published; shared by all incarnations, so counts go on.
    pub status: Arc<Publisher<InformerStatus>>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

struct Subscription {
    subscriber: Outlet<ObjectsChanged>,
    /// It missed something and gets everything.
    behind: bool,
}

/// Owns the objects of one kind; subscribers share them. On every replica.
///
/// Keeps nothing: after a restart it lists anew, and its first word is everything, so subscribers drop what vanished meanwhile.
/// Before that they keep what they know.
pub struct Informer {
    source: Arc<dyn WatchSource>,
    subscriptions: Vec<Subscription>,
    index: ObjectIndex,
    status: InformerStatus,
    published: Arc<Publisher<InformerStatus>>,
    clock: Arc<dyn Clock>,
}

impl Informer {
    /// An informer that knows nothing yet.
    #[must_use]
    pub fn new(parts: InformerParts) -> Self {
        let subscriptions = parts.subscribers.into_iter().map(|subscriber| Subscription { subscriber, behind: false }).collect();
        let status = InformerStatus::clone(&parts.status.reader().current());
        Self { source: parts.source, subscriptions, index: ObjectIndex::default(), status, published: parts.status, clock: parts.clock }
    }

    fn kind(&self) -> Kind {
        self.source.kind()
    }

    fn take_in(&mut self, event: WatchEvent) {
        let notice = match event {
            WatchEvent::Failed(failure) => self.status.failed(failure.verb, failure.forbidden, &failure.text),
            WatchEvent::Watching => self.status.works(),
            WatchEvent::ListingBegun => {
                self.index.listing_begun();
                None
            }
            WatchEvent::Listed(objects) => {
                self.index.listed(objects);
                None
            }
            WatchEvent::ListingDone => {
                self.index.listing_done();
                info!(kind = self.kind().resource(), objects = self.index.len(), "listing is complete");
                self.status.listing_done()
            }
            WatchEvent::Applied(object) => {
                self.index.applied(object);
                self.status.works()
            }
            WatchEvent::Deleted(key) => {
                self.index.deleted(&key);
                self.status.works()
            }
        };
        if let Some(notice) = notice {
            self.log(&notice);
        }
    }

    fn log(&self, notice: &Notice) {
        let kind = self.kind().resource();
        match notice {
            Notice::Forbidden(right) => warn!(kind, %right, "no right to watch, what was known is kept"),
            Notice::Failing { failures } => {
                let error = self.status.last_error.as_deref().unwrap_or_default();
                warn!(kind, failures, error, "watch failed, what was known is kept");
            }
            Notice::Recovered { failures } => info!(kind, failures, "watch works again"),
        }
    }

    fn message(&self, changes: Changes) -> ObjectsChanged {
        ObjectsChanged {
            kind: self.kind(),
            reset: changes.reset,
            applied: changes.applied,
            gone: changes.gone,
            synced: self.index.synced(),
        }
    }

    /// Tells subscribers a change; who cannot be reached gets everything later.
    fn tell(&mut self, changes: Changes) {
        let reset = changes.reset;
        let message = self.message(changes);
        for subscription in self.subscriptions.iter_mut().filter(|subscription| reset || !subscription.behind) {
            subscription.hear(message.clone());
        }
    }

    /// Tells everything to those who missed something.
    fn catch_up(&mut self) {
        // Before the first listing is complete there is nothing to tell; then everybody hears everything.
        if !self.index.synced() || self.subscriptions.iter().all(|subscription| !subscription.behind) {
            return;
        }
        let message = self.message(self.index.everything());
        for subscription in self.subscriptions.iter_mut().filter(|subscription| subscription.behind) {
            subscription.hear(message.clone());
        }
    }

    fn publish(&mut self) {
        self.status.synced = self.index.synced();
        self.status.objects = self.index.len();
        self.published.publish(self.status.clone());
    }
}

impl Subscription {
    fn hear(&mut self, message: ObjectsChanged) {
        let told = self.subscriber.tell(message);
        self.behind = told.is_err();
        if let Err(error) = told {
            debug!(%error, "subscriber not reached, it gets everything later");
        }
    }
}

impl Actor for Informer {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.status.actor_started();
        self.publish();
        context.add_stream(self.source.watch());
        context.run_interval(CATCH_UP_INTERVAL, |informer, _| informer.catch_up());
    }
}

impl StreamHandler<Vec<WatchEvent>> for Informer {
    fn handle(&mut self, events: Vec<WatchEvent>, _: &mut Self::Context) {
        if events.iter().any(|event| !matches!(event, WatchEvent::Failed(_) | WatchEvent::Watching)) {
            self.status.last_event_at = Some(self.clock.unix_nanos() / 1_000_000_000);
        }
        for event in events {
            self.take_in(event);
        }
        if let Some(changes) = self.index.take_changes() {
            self.tell(changes);
        }
        self.publish();
    }
}

impl Handler<TellObjects> for Informer {
    type Result = ();

    /// Tells all: who knows everything already is not changed by hearing it again.
    fn handle(&mut self, _: TellObjects, _: &mut Self::Context) {
        for subscription in &mut self.subscriptions {
            subscription.behind = true;
        }
        self.catch_up();
    }
}

impl Observed for Informer {
    fn observe(&self) -> serde_json::Value {
        json!({
            "status": self.status,
            "behind": self.subscriptions.iter().filter(|subscription| subscription.behind).count(),
        })
    }
}

supervised!(Informer);

#[cfg(test)]
mod tests;
