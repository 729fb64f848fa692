//! Payloads on the disk.

use futures_util::future::BoxFuture;

use crate::domain::delivery::{Contents, Payload};
use crate::ports::StoreError;

pub use crate::domain::spool_policy::{DiskSpace, SpoolId};

/// A payload in a spool, without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spooled {
    /// Its number.
    pub id: SpoolId,
    /// Name of its route, see [`crate::domain::delivery::Route`].
    pub route: String,
    /// What is in it.
    pub contents: Contents,
    /// When it was stored. Units: seconds since the Unix epoch.
    pub since: i64,
}

/// What a spool held when it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpoolListing {
    /// What can be sent, oldest first.
    pub payloads: Vec<Spooled>,
    /// Files that were cut off or damaged, and are gone now.
    pub damaged: u64,
    /// Files whose writing was never finished, and are gone now; nobody was told that they are stored.
    pub unfinished: u64,
    /// The disk; `None` if it does not tell.
    pub disk: Option<DiskSpace>,
}

/// What was stored at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredGroup {
    /// Numbers of the payloads, in order.
    pub ids: Vec<SpoolId>,
    /// The disk after that; `None` if it does not tell.
    pub disk: Option<DiskSpace>,
}

/// Payloads of one destination on a disk that survives the process. Every call ends in bounded time.
pub trait Spool: Send + Sync {
    /// Reads which payloads there are; what is damaged is removed. May be called again, for example after a failure.
    ///
    /// Errors: [`StoreError`] if the folder cannot be used.
    fn open(&self) -> BoxFuture<'static, Result<SpoolListing, StoreError>>;

    /// Stores payloads, in order. When it is done, they survive the loss of power. All or none; after an error a later [`Self::open`]
    /// may find some of them all the same.
    ///
    /// Errors: [`StoreError`], for example a full or read-only disk.
    fn store(&self, payloads: Vec<Payload>, since_unix_seconds: i64) -> BoxFuture<'static, Result<StoredGroup, StoreError>>;

    /// Reads the body of a payload; `None` if it is gone or damaged, and so lost.
    ///
    /// Errors: [`StoreError`] if nothing can be read now.
    fn body(&self, id: SpoolId) -> BoxFuture<'static, Result<Option<Vec<u8>>, StoreError>>;

    /// Removes payloads that were sent or given up, and tells which of them could not be removed.
    fn remove(&self, ids: Vec<SpoolId>) -> BoxFuture<'static, Vec<SpoolId>>;
}
