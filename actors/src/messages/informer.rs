//! Messages to an `Informer`, and what it tells.

use actix::Message;

use crate::domain::kube::objects::{Kind, KubeObject, ObjectKey};

/// What a watch reports. A stream of these begins with a listing and never ends; after a failure it goes on, often with a new listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchEvent {
    /// A full listing begins; what it does not name by its end is gone.
    ListingBegun,
    /// A part of the listing.
    Listed(Vec<KubeObject>),
    /// The listing is complete.
    ListingDone,
    /// The watch was opened after a failure. Said only then, because changes may be rare.
    Watching,
    /// An object is new or changed.
    Applied(KubeObject),
    /// An object is gone.
    Deleted(ObjectKey),
    /// Listing or watching failed; it is tried again by itself.
    Failed(WatchFailure),
}

/// Why listing or watching failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchFailure {
    /// `list` or `watch`.
    pub verb: &'static str,
    /// The API server said 403: a right is missing.
    pub forbidden: bool,
    /// What was said.
    pub text: String,
}

/// A subscriber just started, or missed something: tell it everything.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct TellObjects;

/// What changed among the objects of one kind.
#[derive(Debug, Clone, Message, PartialEq, Eq)]
#[rtype(result = "()")]
pub struct ObjectsChanged {
    /// Which kind.
    pub kind: Kind,
    /// Forget everything of this kind first: what is applied is all there is.
    pub reset: bool,
    /// New or changed objects.
    pub applied: Vec<KubeObject>,
    /// Objects that are gone. Never one that was not listed because a listing is not finished.
    pub gone: Vec<ObjectKey>,
    /// An initial listing has been completed and told with this message or before it.
    pub synced: bool,
}
