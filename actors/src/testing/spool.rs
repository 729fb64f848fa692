//! A spool in memory that keeps exactly what it acknowledged, and can be slow, fail, be full, and tear what it holds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};

use crate::domain::delivery::{Contents, Payload};
use crate::domain::spool_policy::{DiskSpace, SpoolId, bytes_on_disk};
use crate::ports::{Spool, SpoolListing, Spooled, StoreError, StoredGroup};

#[derive(Debug)]
struct File {
    payload: Payload,
    since: i64,
    torn: bool,
}

#[derive(Debug, Default)]
struct Folder {
    files: BTreeMap<SpoolId, File>,
    next: u64,
    failing: bool,
    space: Option<DiskSpace>,
    opened: u64,
    removal_takes: Duration,
    refusing: bool,
}

/// A spool for tests. Clones share the disk.
#[derive(Debug, Clone, Default)]
pub struct FakeSpool {
    folder: Arc<Mutex<Folder>>,
    delay: Duration,
}

impl FakeSpool {
    /// An empty disk on which each store takes this (virtual) time.
    #[must_use]
    pub fn with_delay(delay: Duration) -> Self {
        Self { folder: Arc::default(), delay }
    }

    fn folder(&self) -> MutexGuard<'_, Folder> {
        self.folder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on nothing works, or all does again.
    pub fn fail(&self, failing: bool) {
        self.folder().failing = failing;
    }

    /// From now on nothing more can be stored, although all else works, or all does again.
    pub fn refuse(&self, refusing: bool) {
        self.folder().refusing = refusing;
    }

    /// From now on each removal takes this (virtual) time.
    pub fn remove_slowly(&self, takes: Duration) {
        self.folder().removal_takes = takes;
    }

    /// What the disk tells of itself; each store takes from what is available.
    pub fn set_space(&self, space: DiskSpace) {
        self.folder().space = Some(space);
    }

    /// Damages the files whose bodies are these: a listing removes them, and nobody can read them.
    pub fn tear(&self, bodies: &[&str]) {
        for file in self.folder().files.values_mut() {
            file.torn |= bodies.iter().any(|body| body.as_bytes() == file.payload.body);
        }
    }

    /// What is stored now, oldest first.
    #[must_use]
    pub fn bodies(&self) -> Vec<String> {
        self.folder().files.values().map(|file| String::from_utf8_lossy(&file.payload.body).into_owned()).collect()
    }

    /// What is in it.
    #[must_use]
    pub fn contents(&self) -> Contents {
        let mut contents = Contents::default();
        self.folder().files.values().for_each(|file| contents += file.payload.contents);
        contents
    }

    /// How often it was read.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.folder().opened
    }

    fn check(&self, step: &str) -> Result<(), StoreError> {
        let folder = self.folder();
        if folder.failing || (folder.refusing && step == "store") {
            return Err(StoreError { step: step.to_owned(), source: Arc::new(std::io::Error::other("no space left on device")) });
        }
        Ok(())
    }
}

impl Spool for FakeSpool {
    fn open(&self) -> BoxFuture<'static, Result<SpoolListing, StoreError>> {
        let spool = self.clone();
        async move {
            spool.folder().opened += 1;
            spool.check("open")?;
            let mut folder = spool.folder();
            let before = folder.files.len();
            folder.files.retain(|_, file| !file.torn);
            let payloads = folder.files.iter().map(|(id, file)| Spooled {
                id: *id,
                route: file.payload.route.name.to_owned(),
                contents: file.payload.contents,
                since: file.since,
            });
            let damaged = (before - folder.files.len()) as u64;
            Ok(SpoolListing { payloads: payloads.collect(), damaged, unfinished: 0, disk: folder.space })
        }
        .boxed()
    }

    fn store(&self, payloads: Vec<Payload>, since: i64) -> BoxFuture<'static, Result<StoredGroup, StoreError>> {
        let spool = self.clone();
        async move {
            if !spool.delay.is_zero() {
                tokio::time::sleep(spool.delay).await;
            }
            spool.check("store")?;
            let mut folder = spool.folder();
            let mut ids = Vec::new();
            for payload in payloads {
                let id = SpoolId(folder.next);
                folder.next += 1;
                if let Some(space) = &mut folder.space {
                    space.available = space.available.saturating_sub(bytes_on_disk(payload.contents.bytes));
                }
                folder.files.insert(id, File { payload, since, torn: false });
                ids.push(id);
            }
            Ok(StoredGroup { ids, disk: folder.space })
        }
        .boxed()
    }

    fn body(&self, id: SpoolId) -> BoxFuture<'static, Result<Option<Vec<u8>>, StoreError>> {
        let spool = self.clone();
        async move {
            spool.check("read")?;
            let mut folder = spool.folder();
            folder.files.retain(|other, file| *other != id || !file.torn);
            Ok(folder.files.get(&id).map(|file| file.payload.body.clone()))
        }
        .boxed()
    }

    fn remove(&self, ids: Vec<SpoolId>) -> BoxFuture<'static, Vec<SpoolId>> {
        let spool = self.clone();
        async move {
            let takes = spool.folder().removal_takes;
            if !takes.is_zero() {
                tokio::time::sleep(takes).await;
            }
            if spool.check("remove").is_err() {
                return ids;
            }
            let mut folder = spool.folder();
            for id in ids {
                let Some(file) = folder.files.remove(&id) else { continue };
                let bytes = file.payload.contents.bytes;
                folder.space = folder.space.map(|space| DiskSpace { available: space.available + bytes_on_disk(bytes), ..space });
            }
            Vec::new()
        }
        .boxed()
    }
}
