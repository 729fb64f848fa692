//! What stands in the lock that replicas compete for.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The record of the lock, as all kinds of locks hold it.
///
/// Source: cluster-agent-kubernetes 2.1. The default is a lock that nobody ever held.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LockRecord {
    /// Identity of the holder; empty when nobody holds it.
    pub holder: String,
    /// For how long after a change of the record others honour the holder. Units: seconds; 0 = not told.
    pub lease_seconds: u32,
    /// When the holder took the lock. Units: nanoseconds since the Unix epoch, 0 = not told. Written, never compared.
    pub acquired_at: i64,
    /// When the holder renewed it last. Units: nanoseconds since the Unix epoch, 0 = not told. Written, never compared with a clock.
    pub renewed_at: i64,
    /// Changes of the holder so far: the epoch.
    pub transitions: u64,
    /// Of newer stock replicas; kept as it is.
    pub strategy: Option<String>,
    /// Of newer stock replicas; kept as it is.
    pub preferred_holder: Option<String>,
    /// `host:port` of the holder's API, if the holder told it.
    pub leader_address: Option<String>,
}

impl LockRecord {
    /// Nobody holds it.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.holder.is_empty()
    }

    /// For how long others honour the holder, if it was told.
    #[must_use]
    pub fn lease(&self) -> Option<Duration> {
        (self.lease_seconds > 0).then(|| Duration::from_secs(self.lease_seconds.into()))
    }
}

/// Version of a stored lock. Only its store knows what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockVersion(pub String);

/// A lock as it was read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLock {
    /// What it says.
    pub record: LockRecord,
    /// What has to be given when it is replaced.
    pub version: LockVersion,
}

/// Why a lock could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// It changed, came or went since it was read; nothing was written.
    #[error("write the lock: somebody else wrote it since it was read")]
    Conflict,
    /// Rights are missing. The text names verb, object, and the mend.
    #[error("{0}")]
    Forbidden(String),
    /// No usable answer in time; a write may have happened or may still happen. The text names step and cause.
    #[error("{0}")]
    Unavailable(String),
}
