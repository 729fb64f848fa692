//! Payloads on the disk.

use futures_util::future::BoxFuture;

use crate::domain::delivery::{Contents, Payload};
use crate::ports::StoreError;

/// Number of a payload in a spool; later ones have higher numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpoolId(pub u64);

/// A payload in a spool, without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spooled {
    /// Its number.
    pub id: SpoolId,
    /// Name of its route, see [`crate::domain::delivery::Route`].
    pub route: String,
    /// What is in it.
    pub contents: Contents,
    /// When it was made. Units: seconds since the Unix epoch.
    pub since: i64,
}

/// What a spool held when it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpoolListing {
    /// What can be sent, oldest first.
    pub payloads: Vec<Spooled>,
    /// Files that were cut off or damaged, and are gone now.
    pub damaged: u64,
}

/// Payloads of one destination on a disk that survives the process.
pub trait Spool: Send + Sync {
    /// Reads which payloads there are; what is damaged is removed.
    ///
    /// Errors: [`StoreError`] if the folder cannot be used.
    fn open(&self) -> BoxFuture<'static, Result<SpoolListing, StoreError>>;

    /// Stores payloads, in order. When it is done, they survive the loss of power. All or none.
    ///
    /// Errors: [`StoreError`], for example a full or read-only disk.
    fn store(&self, payloads: Vec<Payload>, since_unix_seconds: i64) -> BoxFuture<'static, Result<Vec<SpoolId>, StoreError>>;

    /// Reads the body of a payload.
    ///
    /// Errors: [`StoreError`] if it cannot be read or is damaged.
    fn body(&self, id: SpoolId) -> BoxFuture<'static, Result<Vec<u8>, StoreError>>;

    /// Removes payloads that were sent or given up. What cannot be removed is found again by the next [`Self::open`].
    fn remove(&self, ids: Vec<SpoolId>) -> BoxFuture<'static, ()>;
}
