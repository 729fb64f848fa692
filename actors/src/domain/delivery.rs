//! What an output sends and what becomes of it: payloads, counts, verdicts.

use std::ops::{AddAssign, Sub};

use serde::{Deserialize, Serialize};

use crate::domain::samples::Batch;

/// Where a kind of payload goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    /// Name in telemetry, for example `series_v2`. Source: cluster-agent-kubernetes 6.1.
    pub name: &'static str,
    /// Path below the base URL; empty where there is none.
    pub path: &'static str,
    /// Media type of the body.
    pub content_type: &'static str,
}

/// How much of what: used for what was sent, dropped, or waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// Request bodies.
    pub payloads: u64,
    /// Bytes of the bodies as sent, that is compressed.
    pub bytes: u64,
    /// Points of series.
    pub points: u64,
    /// Sketches.
    pub sketches: u64,
    /// Service checks.
    pub check_runs: u64,
    /// Events.
    pub events: u64,
}

impl Contents {
    /// Counts a batch that is not encoded yet: no payloads, no bytes.
    #[must_use]
    pub fn of_batch(batch: &Batch) -> Self {
        Self {
            payloads: 0,
            bytes: 0,
            points: batch.series.iter().map(|series| series.points.len() as u64).sum(),
            sketches: batch.sketches.len() as u64,
            check_runs: batch.check_runs.len() as u64,
            events: batch.events.len() as u64,
        }
    }

    /// Whether nothing is counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl AddAssign for Contents {
    fn add_assign(&mut self, other: Self) {
        self.payloads += other.payloads;
        self.bytes += other.bytes;
        self.points += other.points;
        self.sketches += other.sketches;
        self.check_runs += other.check_runs;
        self.events += other.events;
    }
}

impl Sub for Contents {
    type Output = Self;

    /// Never below zero.
    fn sub(self, other: Self) -> Self {
        Self {
            payloads: self.payloads.saturating_sub(other.payloads),
            bytes: self.bytes.saturating_sub(other.bytes),
            points: self.points.saturating_sub(other.points),
            sketches: self.sketches.saturating_sub(other.sketches),
            check_runs: self.check_runs.saturating_sub(other.check_runs),
            events: self.events.saturating_sub(other.events),
        }
    }
}

/// One request body, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Where to.
    pub route: Route,
    /// The body, compressed.
    pub body: Vec<u8>,
    /// What is in it; `payloads` is 1 and `bytes` the length of the body.
    pub contents: Contents,
}

impl Payload {
    /// A payload whose `contents` agree with its body.
    #[must_use]
    pub fn new(route: Route, body: Vec<u8>, contents: Contents) -> Self {
        let contents = Contents { payloads: 1, bytes: body.len() as u64, ..contents };
        Self { route, body, contents }
    }
}

/// What a transport made of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Bodies to send, in order.
    pub payloads: Vec<Payload>,
    /// Single items that no body may hold.
    pub oversize: Contents,
    /// Items that cannot be expressed: metric names without a letter, numbers that are not finite.
    pub invalid: Contents,
    /// Items of bodies that the compressor failed at, for example because it got no memory.
    pub uncompressed: Contents,
}

/// Why something will never be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropReason {
    /// The queue was full and this was the oldest.
    QueueFull,
    /// The destination answered 400.
    BadRequest,
    /// The destination answered 413.
    TooLarge,
    /// The destination answered 403.
    InvalidKey,
    /// A single item larger than a body may be.
    Oversize,
    /// The item has no valid form at this destination.
    Invalid,
    /// Encoding failed.
    Encoding,
    /// Compressing failed.
    Compression,
    /// The destination is gone for good, for example a closed pipe.
    Closed,
    /// The output restarted and lost its queue.
    Restart,
    /// The time for sending the rest at shutdown was over.
    Shutdown,
    /// The spool on the disk was full and this was the oldest.
    SpoolFull,
    /// It had waited on the disk for longer than it may.
    TooOld,
    /// Its file on the disk was cut off or damaged.
    Damaged,
}

impl DropReason {
    /// Label value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::BadRequest => "bad_request",
            Self::TooLarge => "too_large",
            Self::InvalidKey => "invalid_key",
            Self::Oversize => "oversize",
            Self::Invalid => "invalid",
            Self::Encoding => "encoding",
            Self::Compression => "compression",
            Self::Closed => "closed",
            Self::Restart => "restart",
            Self::Shutdown => "shutdown",
            Self::SpoolFull => "spool_full",
            Self::TooOld => "too_old",
            Self::Damaged => "damaged",
        }
    }
}

impl DropReason {
    /// What whoever gave it has to know.
    ///
    /// Why a refused key is a loss: with another key the same would be accepted. Why a compressor that fails is one, and other encoding is
    /// not: it fails for want of memory, which may be there later, and the other for what is in the batch, which would be given for ever.
    #[must_use]
    pub fn fate(self) -> Fate {
        match self {
            Self::BadRequest | Self::TooLarge | Self::Oversize | Self::Invalid | Self::Encoding | Self::Closed => Fate::Refused(self),
            Self::QueueFull
            | Self::InvalidKey
            | Self::Compression
            | Self::Restart
            | Self::Shutdown
            | Self::SpoolFull
            | Self::TooOld
            | Self::Damaged => Fate::Lost(self),
        }
    }
}

/// What became of a batch, as far as whoever gave it has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// All of it is with the destination, or on the disk of this process, synced: the source may forget it.
    Safe,
    /// The destination will never take it, or it cannot be expressed: to send it again would not help.
    Refused(DropReason),
    /// It is lost, although sending it again may help: queue full, restart, shutdown.
    Lost(DropReason),
}

impl Fate {
    /// What is to be told of two parts of which this is the one: a loss before a refusal before safety.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Lost(_), _) | (Self::Refused(_), Self::Safe | Self::Refused(_)) => self,
            (Self::Safe | Self::Refused(_), _) => other,
        }
    }
}

/// Class of an error. Source: cluster-agent-kubernetes 6.7, label `error_type` of `transactions__errors`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SendErrorKind {
    /// Anything without a class of its own, time-outs included.
    CantSend,
    /// An answer of 400 or more.
    #[serde(rename = "gt_400")]
    Gt400,
    /// The request could not be built.
    InvalidRequest,
    /// The name did not resolve.
    DnsLookupFailure,
    /// No connection.
    ConnectionFailure,
    /// No agreement on TLS, or no trust.
    TlsHandshakeFailure,
    /// The body could not be written.
    WritingFailure,
}

impl SendErrorKind {
    /// Label value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CantSend => "cant_send",
            Self::Gt400 => "gt_400",
            Self::InvalidRequest => "invalid_request",
            Self::DnsLookupFailure => "dns_lookup_failure",
            Self::ConnectionFailure => "connection_failure",
            Self::TlsHandshakeFailure => "tls_handshake_failure",
            Self::WritingFailure => "writing_failure",
        }
    }
}

/// What happened to one attempt to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendResult {
    /// Taken over by a destination that has no status codes.
    Delivered,
    /// An HTTP answer.
    Answered(u16),
    /// No answer; trying again may help.
    Failed {
        /// Class.
        kind: SendErrorKind,
        /// Text for the operator, without secrets.
        text: String,
    },
    /// The destination is gone for good.
    Closed {
        /// Text for the operator, without secrets.
        text: String,
    },
}

/// What to do with a payload after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Done.
    Delivered,
    /// Forget it.
    Drop(DropReason),
    /// Keep it and try later.
    Retry,
}

impl SendResult {
    /// Decides what to do.
    ///
    /// Source: node-runner 14.1, cluster-agent-kubernetes 6.4 and F4.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Delivered => Verdict::Delivered,
            Self::Answered(status) if *status < 400 => Verdict::Delivered,
            Self::Answered(400) => Verdict::Drop(DropReason::BadRequest),
            Self::Answered(403) => Verdict::Drop(DropReason::InvalidKey),
            Self::Answered(413) => Verdict::Drop(DropReason::TooLarge),
            Self::Answered(_) | Self::Failed { .. } => Verdict::Retry,
            Self::Closed { .. } => Verdict::Drop(DropReason::Closed),
        }
    }
}

/// Whether the destination accepts the key, as last seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// There is no key, or nobody asked.
    #[default]
    NotChecked,
    /// Accepted.
    Valid,
    /// Refused.
    Invalid,
    /// The question had no answer.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ca_f4_answers_decide_between_done_drop_and_retry() {
        let expected = [
            (202, Verdict::Delivered),
            (301, Verdict::Delivered),
            (400, Verdict::Drop(DropReason::BadRequest)),
            (401, Verdict::Retry),
            (403, Verdict::Drop(DropReason::InvalidKey)),
            (404, Verdict::Retry),
            (408, Verdict::Retry),
            (413, Verdict::Drop(DropReason::TooLarge)),
            (429, Verdict::Retry),
            (500, Verdict::Retry),
            (503, Verdict::Retry),
        ];
        for (status, verdict) in expected {
            assert_eq!(SendResult::Answered(status).verdict(), verdict, "status {status}");
        }
        let timeout = SendResult::Failed { kind: SendErrorKind::CantSend, text: String::new() };
        assert_eq!(timeout.verdict(), Verdict::Retry);
    }

    #[test]
    fn the_worst_part_decides_what_is_told_of_the_whole() {
        let (refused, lost) = (DropReason::BadRequest.fate(), DropReason::QueueFull.fate());
        assert_eq!((refused, lost), (Fate::Refused(DropReason::BadRequest), Fate::Lost(DropReason::QueueFull)));
        assert_eq!(Fate::Safe.with(Fate::Safe), Fate::Safe);
        assert_eq!((Fate::Safe.with(refused), refused.with(Fate::Safe)), (refused, refused));
        assert_eq!((refused.with(lost), lost.with(refused), lost.with(Fate::Safe)), (lost, lost, lost));
        assert_eq!(DropReason::InvalidKey.fate(), Fate::Lost(DropReason::InvalidKey), "another key would help");
    }

    #[test]
    fn a_destination_that_is_gone_is_not_tried_again() {
        assert_eq!(SendResult::Closed { text: String::new() }.verdict(), Verdict::Drop(DropReason::Closed));
    }

    #[test]
    fn contents_of_a_payload_follow_its_body() {
        let route = Route { name: "intake", path: "/intake/", content_type: "application/json" };
        let payload = Payload::new(route, vec![0; 7], Contents { events: 2, ..Contents::default() });
        assert_eq!(payload.contents, Contents { payloads: 1, bytes: 7, events: 2, ..Contents::default() });
    }
}
