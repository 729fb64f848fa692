//! Payloads of one destination in files: one file each, form in `domain::spool_file`.
//!
//! A file is written under another name, synced, renamed, and its folder synced, before anybody is told that it is stored. So
//! whatever ends the process or the machine leaves whole files, and beside them what nobody was told of.

mod disk;
mod leftovers;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use muster_actors::domain::delivery::Payload;
use muster_actors::domain::spool_file::{self, FileError, Head, LONGEST_HEAD};
use muster_actors::domain::spool_policy::unread_are_lost;
use muster_actors::ports::{DiskSpace, Spool, SpoolId, SpoolListing, Spooled, StoreError, StoredGroup};
use ring::digest::{SHA256, digest};
use tokio::task::AbortHandle;
use tracing::info;

use self::disk::{Disk, RealDisk, WHOLE};

pub use self::leftovers::Leftovers;

/// Ending of the name of a file that is being written.
const UNFINISHED: &str = ".new";

/// Longest time of one call. Why: a network disk that hangs must not hold what memory can hold.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of a checksum that are part of the name of a folder.
const NAME_BYTES: usize = 10;

/// A folder with the payloads of one destination, locked as long as this value lives.
#[derive(Clone)]
pub struct FileSpool {
    shared: Arc<Shared>,
}

/// The folders of a spool. Why not the spool itself: it holds the lock as long as it lives.
struct Territory {
    folder: PathBuf,
    heir_of: Option<String>,
}

impl Territory {
    fn holds(&self, name: &str) -> bool {
        let own = self.folder.file_name().is_some_and(|own| own == name);
        own || self.heir_of.as_deref().is_some_and(|beginning| name.starts_with(beginning))
    }
}

struct Shared {
    folder: PathBuf,
    /// How the names of folders begin of which this one is the heir.
    heir_of: Option<String>,
    disk: Box<dyn Disk>,
    /// Number of the next file. Its lock is held while files are listed or written.
    next: Mutex<u64>,
    /// Whether what other keys left was taken over.
    inherited: AtomicBool,
    /// Files that the disk could not read when it was last asked for them.
    unread: Mutex<BTreeSet<SpoolId>>,
    /// Calls that nobody waits for any more and that have not returned.
    overdue: Mutex<Vec<AbortHandle>>,
}

/// Name of the folder of a destination. The URL and the key cannot be told from it.
#[must_use]
pub fn folder_name(url: &str, key: &str) -> String {
    format!("{}-{}", checksum(url), checksum(key))
}

fn checksum(text: &str) -> String {
    let mut name = String::new();
    for byte in digest(&SHA256, text.as_bytes()).as_ref().iter().take(NAME_BYTES) {
        // Writing to a text cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

impl FileSpool {
    /// The spool of a destination below `root`; the folder is made when it is opened.
    ///
    /// With `only_key`, no other key is configured for the URL: what a folder of the URL with another key holds is taken over,
    /// because the key was changed.
    #[must_use]
    pub fn new(root: &Path, url: &str, key: &str, only_key: bool) -> Self {
        let heir_of = only_key.then(|| format!("{}-", checksum(url)));
        let folder = root.join(folder_name(url, key));
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        let disk = Box::new(RealDisk::new(folder.clone(), heir_of.clone()));
        Self { shared: Arc::new(Shared::new(disk, folder, heir_of)) }
    }

    #[cfg(test)]
    fn on(disk: Box<dyn Disk>, folder: PathBuf) -> Self {
        Self { shared: Arc::new(Shared::new(disk, folder, None)) }
    }

    /// Which folders belong to it, or will.
    fn territory(&self) -> Territory {
        let Shared { folder, heir_of, .. } = &*self.shared;
        Territory { folder: folder.clone(), heir_of: heir_of.clone() }
    }

    /// Runs disk work on a blocking thread, unless an earlier call still hangs: the threads are needed for other work too.
    fn work<T: Send + 'static>(
        &self,
        step: &'static str,
        work: impl FnOnce(&Shared) -> io::Result<T> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let shared = Arc::clone(&self.shared);
        let failure = {
            let step = format!("{step} {}", shared.folder.display());
            move |source| StoreError { step, source: Arc::new(source) }
        };
        async move {
            let no_answer = || io::Error::new(io::ErrorKind::TimedOut, "the disk does not answer");
            if shared.hangs() {
                return Err(failure(no_answer()));
            }
            let worker = Arc::clone(&shared);
            let mut call = tokio::task::spawn_blocking(move || work(&worker));
            match tokio::time::timeout(PATIENCE, &mut call).await {
                Ok(Ok(done)) => done.map_err(failure),
                Ok(Err(panic)) => Err(failure(io::Error::other(panic))),
                Err(_) => {
                    shared.overdue().push(call.abort_handle());
                    Err(failure(no_answer()))
                }
            }
        }
        .boxed()
    }
}

impl Spool for FileSpool {
    fn open(&self) -> BoxFuture<'static, Result<SpoolListing, StoreError>> {
        self.work("open spool", Shared::open)
    }

    fn store(&self, payloads: Vec<Payload>, since: i64) -> BoxFuture<'static, Result<StoredGroup, StoreError>> {
        self.work("write to spool", move |shared| shared.store(&payloads, since))
    }

    fn body(&self, id: SpoolId) -> BoxFuture<'static, Result<Option<Vec<u8>>, StoreError>> {
        self.work("read from spool", move |shared| shared.body(id))
    }

    fn remove(&self, ids: Vec<SpoolId>) -> BoxFuture<'static, Vec<SpoolId>> {
        let all = ids.clone();
        let removed = self.work("remove from spool", move |shared| Ok(ids.into_iter().filter(|id| !shared.remove(*id)).collect()));
        removed.map(|left| left.unwrap_or(all)).boxed()
    }
}

fn whole(number: u64) -> String {
    format!("{number:020}{WHOLE}")
}

fn unfinished(number: u64) -> String {
    format!("{number:020}{UNFINISHED}")
}

/// Whether an error says that there is no whole file.
fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof)
}

/// Whether an error may be due to this file or to the whole disk.
fn is_unread(error: &io::Error) -> bool {
    /// `EIO`, `EBADMSG`, `EUCLEAN`: the disk cannot read it, or its file system knows that something is damaged.
    const CODES: [i32; 3] = [5, 74, 117];
    error.raw_os_error().is_some_and(|code| CODES.contains(&code))
}

impl Shared {
    fn new(disk: Box<dyn Disk>, folder: PathBuf, heir_of: Option<String>) -> Self {
        Self {
            folder,
            heir_of,
            disk,
            next: Mutex::new(0),
            inherited: AtomicBool::new(false),
            unread: Mutex::default(),
            overdue: Mutex::default(),
        }
    }

    fn open(&self) -> io::Result<SpoolListing> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        self.disk.claim()?;
        let mut listing = self.list(&mut next)?;
        // Once only: whoever opens again takes a file that he does not know for one that was sent.
        let inherited = self.inherited.load(Ordering::Relaxed);
        let taken_over = if inherited { 0 } else { self.inherit(&mut next)? };
        if taken_over > 0 {
            info!(folder = %self.folder.display(), files = taken_over, "took over what was stored for another key of the same intake");
            let SpoolListing { damaged, unfinished, .. } = listing;
            listing = self.list(&mut next)?;
            listing.damaged += damaged;
            listing.unfinished += unfinished;
        }
        self.inherited.store(true, Ordering::Relaxed);
        listing.disk = self.space();
        Ok(listing)
    }

    fn inherit(&self, next: &mut u64) -> io::Result<u64> {
        self.disk.inherit(&mut || {
            *next += 1;
            whole(*next - 1)
        })
    }

    /// Reads the beginnings of all files, and removes what is not whole.
    fn list(&self, next: &mut u64) -> io::Result<SpoolListing> {
        let mut listing = SpoolListing::default();
        let (mut unread, mut last_error) = (BTreeSet::new(), None);
        for (name, bytes) in self.disk.list()? {
            if let Some(number) = numbered(&name, UNFINISHED) {
                *next = (*next).max(number + 1);
                listing.unfinished += 1;
                self.disk.remove(&name)?;
                continue;
            }
            let Some(number) = numbered(&name, WHOLE) else { continue };
            *next = (*next).max(number + 1);
            let head = match self.disk.read(&name, Some(LONGEST_HEAD)) {
                Ok(beginning) => Head::read(&beginning, bytes),
                Err(error) if is_damage(&error) => Err(FileError::Foreign),
                Err(error) if is_unread(&error) => {
                    unread.insert(SpoolId(number));
                    last_error = Some(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            match head {
                Ok(Head { route, contents, since, .. }) => {
                    listing.payloads.push(Spooled { id: SpoolId(number), route, contents, since });
                }
                // It waits for the program that wrote it.
                Err(FileError::Newer(_)) => {}
                Err(_) => {
                    listing.damaged += 1;
                    self.disk.remove(&name)?;
                }
            }
        }
        let lost = unread_are_lost(&unread, &self.unread(), listing.payloads.len());
        self.unread().extend(&unread);
        match last_error {
            Some(error) if !lost => return Err(error),
            _ => unread.iter().try_for_each(|id| self.disk.remove(&whole(id.0)))?,
        }
        listing.damaged += unread.len() as u64;
        listing.payloads.sort_by_key(|payload| (payload.since, payload.id));
        Ok(listing)
    }

    fn store(&self, payloads: &[Payload], since: i64) -> io::Result<StoredGroup> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        self.disk.claim()?;
        let first = *next;
        *next += payloads.len() as u64;
        let numbers = first..*next;
        let written = self.write(numbers.clone(), payloads, since);
        if written.is_err() {
            // All or none. What cannot be removed is found by the next opening.
            for number in numbers.clone() {
                let _ = self.disk.remove(&unfinished(number));
                let _ = self.disk.remove(&whole(number));
            }
        }
        written.map(|()| StoredGroup { ids: numbers.map(SpoolId).collect(), disk: self.space() })
    }

    fn write(&self, numbers: std::ops::Range<u64>, payloads: &[Payload], since: i64) -> io::Result<()> {
        for (number, payload) in numbers.clone().zip(payloads) {
            let file = spool_file::write(payload, since);
            let file = file.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the name of the route is too long"))?;
            self.disk.write(&unfinished(number), &file)?;
        }
        for number in numbers.clone() {
            self.disk.sync(&unfinished(number))?;
        }
        for number in numbers {
            self.disk.rename(&unfinished(number), &whole(number))?;
        }
        self.disk.sync_folder()
    }

    fn body(&self, id: SpoolId) -> io::Result<Option<Vec<u8>>> {
        let name = whole(id.0);
        let body = match self.disk.read(&name, None) {
            Ok(file) => {
                self.unread().remove(&id);
                spool_file::body(file).ok()
            }
            Err(error) if is_damage(&error) => None,
            // Perhaps it is the disk. After that the folder is opened again before this file is read again.
            Err(error) if is_unread(&error) && !self.unread().insert(id) => None,
            Err(error) => return Err(error),
        };
        if body.is_none() {
            let _ = self.disk.remove(&name);
        }
        Ok(body)
    }

    /// Whether the payload is gone now.
    fn remove(&self, id: SpoolId) -> bool {
        match self.disk.remove(&whole(id.0)) {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// Whether a call has not returned for which nobody waits any more.
    fn hangs(&self) -> bool {
        let mut overdue = self.overdue();
        overdue.retain(|call| !call.is_finished());
        !overdue.is_empty()
    }

    fn overdue(&self) -> MutexGuard<'_, Vec<AbortHandle>> {
        self.overdue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unread(&self) -> MutexGuard<'_, BTreeSet<SpoolId>> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn space(&self) -> Option<DiskSpace> {
        self.disk.space().ok()
    }
}

/// The number in the name of a file of ours with this ending.
fn numbered(name: &str, ending: &str) -> Option<u64> {
    let digits = name.strip_suffix(ending)?;
    (digits.len() == 20).then(|| digits.parse().ok().filter(|number| *number < u64::MAX)).flatten()
}

#[cfg(test)]
mod tests;
