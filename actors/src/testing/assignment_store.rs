//! A disk in memory that keeps exactly what it acknowledged, and can lose power, be slow or fail.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};

use crate::domain::assignment::{AssignmentTable, TableDelta};
use crate::domain::snapshot;
use crate::ports::{AssignmentStore, StoreError, StoreSize, StoredTable};

#[derive(Debug, Default)]
struct Disk {
    snapshot: Option<Vec<u8>>,
    log: Vec<u8>,
    /// Bytes of an append that is under way.
    unacknowledged: Vec<u8>,
    /// Grows with each loss of power; what began before never ends.
    power: u64,
    failing: bool,
    writes: u64,
    loads: u64,
}

/// A store for tests. Clones share the disk. Uses the real file format.
#[derive(Debug, Clone)]
pub struct FakeAssignmentStore {
    disk: Arc<Mutex<Disk>>,
    delay: Duration,
    /// The power under which this process was started; writes of a process that lost its power reach nothing.
    power: u64,
}

impl Default for FakeAssignmentStore {
    fn default() -> Self {
        Self::with_delay(Duration::ZERO)
    }
}

impl FakeAssignmentStore {
    /// An empty disk on which each write takes this (virtual) time.
    #[must_use]
    pub fn with_delay(delay: Duration) -> Self {
        Self { disk: Arc::default(), delay, power: 0 }
    }

    /// The same disk for the process that starts next.
    #[must_use]
    pub fn after_restart(&self) -> Self {
        Self { power: self.disk().power, ..self.clone() }
    }

    /// Ends a write that began before the power was lost, or on a disk that fails.
    fn check(&self, disk: &Disk, step: &str) -> Result<(), StoreError> {
        if disk.power != self.power {
            return Err(failure(step, std::io::Error::other("power was lost")));
        }
        if disk.failing {
            return Err(failure(step, std::io::Error::other("no space left on device")));
        }
        Ok(())
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on every write fails, or none any more.
    pub fn fail(&self, failing: bool) {
        self.disk().failing = failing;
    }

    /// Power is lost: of a write under way, the given fraction of its bytes got to the disk, and nobody hears of it.
    pub fn lose_power(&self, written_fraction: f64) {
        let mut disk = self.disk();
        disk.power += 1;
        let unacknowledged = std::mem::take(&mut disk.unacknowledged);
        #[expect(clippy::cast_precision_loss, reason = "any fraction will do")]
        let written = (unacknowledged.len() as f64 * written_fraction) as usize;
        disk.log.extend(unacknowledged.into_iter().take(written));
    }

    /// Number of finished writes.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.disk().writes
    }

    /// What a start would find now.
    #[must_use]
    pub fn stored(&self) -> StoredTable {
        read(&self.disk())
    }
}

fn read(disk: &Disk) -> StoredTable {
    let mut findings = Vec::new();
    let mut deltas = |bytes: &[u8]| match snapshot::read(bytes) {
        Ok(contents) => {
            if contents.ending != snapshot::Ending::Clean {
                findings.push(format!("{:?}", contents.ending));
            }
            (contents.deltas, contents.good_bytes)
        }
        Err(error) => {
            findings.push(error.to_string());
            (Vec::new(), 0)
        }
    };
    let (base, _) = disk.snapshot.as_deref().map(&mut deltas).unwrap_or_default();
    let (log, _) = deltas(&disk.log);
    let table = snapshot::replay(Some(&base), &log);
    StoredTable { restored: table.seq().0 > 0, table, findings, size: size(disk) }
}

fn size(disk: &Disk) -> StoreSize {
    StoreSize {
        snapshot: disk.snapshot.as_ref().map_or(0, Vec::len) as u64,
        log: disk.log.len().saturating_sub(snapshot::HEADER_BYTES) as u64,
    }
}

fn failure(step: &str, source: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError { step: step.to_owned(), source: Arc::new(source) }
}

fn frames(deltas: &[Arc<TableDelta>]) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    for delta in deltas {
        bytes.extend(snapshot::frame(delta).map_err(|error| failure("encode", error))?);
    }
    Ok(bytes)
}

impl AssignmentStore for FakeAssignmentStore {
    fn load(&self) -> BoxFuture<'static, Result<StoredTable, StoreError>> {
        let store = self.clone();
        async move {
            tokio::time::sleep(store.delay).await;
            let mut disk = store.disk();
            disk.loads += 1;
            // A start cuts the torn tail off.
            if let Ok(contents) = snapshot::read(&disk.log) {
                disk.log.truncate(contents.good_bytes);
            }
            Ok(read(&disk))
        }
        .boxed()
    }

    fn append(&self, deltas: Vec<Arc<TableDelta>>) -> BoxFuture<'static, Result<StoreSize, StoreError>> {
        let store = self.clone();
        async move {
            let bytes = frames(&deltas)?;
            {
                let mut disk = store.disk();
                store.check(&disk, "append")?;
                if disk.log.is_empty() {
                    disk.log = snapshot::header().to_vec();
                }
                disk.unacknowledged.clone_from(&bytes);
            }
            tokio::time::sleep(store.delay).await;
            let mut disk = store.disk();
            if disk.power == store.power {
                disk.unacknowledged.clear();
            }
            store.check(&disk, "append")?;
            disk.log.extend(bytes);
            disk.writes += 1;
            Ok(size(&disk))
        }
        .boxed()
    }

    fn replace(&self, table: AssignmentTable) -> BoxFuture<'static, Result<StoreSize, StoreError>> {
        let store = self.clone();
        async move {
            let mut bytes = snapshot::header().to_vec();
            bytes.extend(snapshot::frame(&table.to_delta()).map_err(|error| failure("encode", error))?);
            tokio::time::sleep(store.delay).await;
            let mut disk = store.disk();
            store.check(&disk, "replace")?;
            disk.snapshot = Some(bytes);
            disk.log = snapshot::header().to_vec();
            disk.writes += 1;
            Ok(size(&disk))
        }
        .boxed()
    }
}
