//! Messages to an `Output`, and what it publishes about itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::Message;
use serde::Serialize;

use crate::domain::delivery::{Contents, DropReason, KeyState, SendErrorKind, SendResult};
use crate::domain::samples::Batch;
use crate::kernel::mailbox::Outlet;

pub use crate::domain::delivery::Fate;

/// Samples of one flush, for one destination. The queue is bounded by bytes: the oldest goes first, counted.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Enqueue {
    /// What to send.
    pub batch: Arc<Batch>,
    /// Who is to hear what became of it; `None` = nobody.
    pub receipt: Option<Receipt>,
}

impl Enqueue {
    /// A batch of which nobody wants to hear again.
    #[must_use]
    pub fn new(batch: Arc<Batch>) -> Self {
        Self { batch, receipt: None }
    }
}

/// Tells once what became of a batch; if it is dropped untold, that is [`Fate::Lost`] by [`DropReason::Restart`].
#[derive(Debug, Clone)]
pub struct Receipt(Arc<Telling>);

#[derive(Debug)]
struct Telling {
    number: u64,
    to: Outlet<Settled>,
    told: AtomicBool,
}

impl Receipt {
    /// A receipt with a number that its owner chooses.
    #[must_use]
    pub fn new(number: u64, to: Outlet<Settled>) -> Self {
        Self(Arc::new(Telling { number, to, told: AtomicBool::new(false) }))
    }

    /// Tells it; only the first time counts.
    pub fn settle(&self, fate: Fate) {
        self.0.tell(fate);
    }
}

impl Telling {
    fn tell(&self, fate: Fate) {
        if !self.told.swap(true, Ordering::Relaxed) {
            self.to.post(Settled { number: self.number, fate });
        }
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.tell(Fate::Lost(DropReason::Restart));
    }
}

/// The transport was given another key of the same destination. What waits is tried at once, and what the old key was refused for is
/// sent again.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct KeyChanged {
    /// Last five characters of the new key.
    pub ending: String,
}

/// What became of the batch with this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Settled {
    /// Number of the [`Receipt`].
    pub number: u64,
    /// What became of it.
    pub fate: Fate,
}

/// Asks to send what waits, because the process ends. Nothing is accepted afterwards.
///
/// Each payload gets one more attempt; a route that fails is given up.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "DrainReport")]
pub struct Drain {
    /// How long this may take.
    pub deadline: Duration,
}

/// What a [`Drain`] achieved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct DrainReport {
    /// Sent since the drain began.
    pub sent: Contents,
    /// Not sent, but on the disk: the next life of this process sends it.
    pub kept: Contents,
    /// Not sent, and lost. Whatever was under way at the deadline and is not on the disk counts here.
    pub lost: Contents,
}

/// What an `Output` publishes after every change, for metrics and status. Counters survive a restart of the actor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct OutputStats {
    /// Where to: `stdout` or a base URL, without secrets.
    pub destination: String,
    /// Last five characters of the API key, where there is one.
    pub key_ending: Option<String>,
    /// Whether the destination accepts the key.
    pub key_state: KeyState,
    /// Sent and accepted.
    pub sent: Contents,
    /// Lost, by reason.
    pub dropped: BTreeMap<DropReason, Contents>,
    /// Waiting: bodies, and what is not encoded yet. Includes what is on the disk.
    pub queued: Contents,
    /// The part of what waits that is on the disk.
    pub spooled: Contents,
    /// Attempts that will be repeated.
    pub retries: u64,
    /// Connections made to the destination, or to the proxy before it.
    pub connections: u64,
    /// By telemetry name of the route.
    pub routes: BTreeMap<&'static str, RouteStats>,
    /// Text of the most recent error, without secrets.
    pub last_error: Option<String>,
}

impl OutputStats {
    /// Everything lost, whatever the reason.
    #[must_use]
    pub fn total_dropped(&self) -> Contents {
        let mut total = Contents::default();
        for dropped in self.dropped.values() {
            total += *dropped;
        }
        total
    }

    /// Counts a loss; an empty one leaves no trace.
    pub(crate) fn count_dropped(&mut self, reason: DropReason, contents: Contents) {
        if !contents.is_empty() {
            *self.dropped.entry(reason).or_default() += contents;
        }
    }

    /// Counts of a route.
    pub(crate) fn route(&mut self, name: &'static str) -> &mut RouteStats {
        self.routes.entry(name).or_default()
    }

    /// Counts what went wrong in an attempt, if anything.
    pub(crate) fn note_error(&mut self, route: &'static str, result: &SendResult) {
        let (kind, text) = match result {
            SendResult::Delivered => return,
            SendResult::Answered(status) if *status < 400 => return,
            SendResult::Answered(status) => {
                *self.route(route).http_errors.entry(*status).or_default() += 1;
                (SendErrorKind::Gt400, format!("{route}: answer {status}"))
            }
            SendResult::Failed { kind, text } => (*kind, format!("{route}: {text}")),
            SendResult::Closed { text } => (SendErrorKind::WritingFailure, format!("{route}: {text}")),
        };
        *self.route(route).errors.entry(kind).or_default() += 1;
        self.last_error = Some(text);
    }
}

/// Counts of one route of a destination. Source: cluster-agent-kubernetes 6.7, `transactions__*`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RouteStats {
    /// Payloads accepted.
    pub success: u64,
    /// Their bytes.
    pub success_bytes: u64,
    /// Payloads lost after at least one body was made.
    pub dropped: u64,
    /// Failed attempts by class.
    pub errors: BTreeMap<SendErrorKind, u64>,
    /// Answers of 400 or more, by status.
    pub http_errors: BTreeMap<u16, u64>,
    /// Errors that the backoff counts now; 0 = healthy.
    pub backoff_errors: u32,
}
