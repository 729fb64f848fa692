//! The assignment table in files: a snapshot and the log of changes after it, format in `domain::snapshot`.

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::{BoxFuture, FutureExt as _};
use muster_actors::domain::assignment::{AssignmentTable, TableDelta};
use muster_actors::domain::snapshot::{self, Ending, HEADER_BYTES, HeaderError};
use muster_actors::kernel::clock::Clock;
use muster_actors::kernel::published::Publisher;
use muster_actors::ports::{AssignmentStore, StoreError, StoreSize, StoredTable};

use crate::standalone::state_folder::{FILE_MODE, StateFolder, write_atomically};

/// Why the store cannot be used at all; told before the server starts.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file is there and cannot be read.
    #[error("read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A newer program wrote it.
    #[error("use {path}")]
    Format {
        /// Which file.
        path: PathBuf,
        /// What is wrong and how to mend it.
        #[source]
        source: HeaderError,
    },
}

/// The store. All disk work happens on blocking threads, one piece at a time.
#[derive(Clone)]
pub struct FileAssignmentStore {
    files: Arc<Mutex<Files>>,
    /// What was wrong with the files, for the status.
    findings: Arc<Publisher<Vec<String>>>,
}

struct Files {
    // Held so that nobody else writes here.
    folder: Arc<StateFolder>,
    clock: Arc<dyn Clock>,
    log: Option<File>,
    /// Whether the end of the log is not known, because a write failed.
    log_unusable: bool,
    size: StoreSize,
}

#[derive(Debug, thiserror::Error)]
#[error("the last write failed, so the end of the log is not known")]
struct LogUnusable;

impl FileAssignmentStore {
    /// Uses the files of a locked folder.
    ///
    /// Errors: [`OpenError`], for example when a newer program wrote them. Damage is none: it is repaired when the table is loaded.
    pub fn open(folder: Arc<StateFolder>, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        for path in [folder.path().join("snapshot"), folder.path().join("log")] {
            let mut head = Vec::new();
            match File::open(&path).and_then(|file| file.take(HEADER_BYTES as u64).read_to_end(&mut head)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(OpenError::Read { path, source }),
            }
            if let Err(source @ HeaderError::FromTheFuture { .. }) = snapshot::read(&head) {
                return Err(OpenError::Format { path, source });
            }
        }
        let files = Files { folder, clock, log: None, log_unusable: false, size: StoreSize::default() };
        Ok(Self { files: Arc::new(Mutex::new(files)), findings: Arc::new(Publisher::new(Vec::new())) })
    }

    /// Shows there, too, what was wrong with the files and what was done about it: everything since the start of the process.
    #[must_use]
    pub fn showing_findings(self, findings: Arc<Publisher<Vec<String>>>) -> Self {
        Self { findings, ..self }
    }

    /// Runs disk work on a blocking thread.
    fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Files) -> Result<T, StoreError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let files = Arc::clone(&self.files);
        async move {
            let done = tokio::task::spawn_blocking(move || work(&mut files.lock().unwrap_or_else(PoisonError::into_inner)));
            done.await.unwrap_or_else(|error| Err(failure("finish disk work".to_owned(), error)))
        }
        .boxed()
    }
}

impl AssignmentStore for FileAssignmentStore {
    fn load(&self) -> BoxFuture<'static, Result<StoredTable, StoreError>> {
        let shown = Arc::clone(&self.findings);
        self.work(move |files| {
            let stored = files.load()?;
            // A second reading finds what the first one repaired in order, which does not make it untrue.
            if !stored.findings.is_empty() {
                let earlier = shown.reader().current();
                shown.publish(earlier.iter().chain(&stored.findings).cloned().collect::<Vec<_>>());
            }
            Ok(stored)
        })
    }

    fn append(&self, deltas: Vec<Arc<TableDelta>>) -> BoxFuture<'static, Result<StoreSize, StoreError>> {
        self.work(move |files| files.append(&deltas))
    }

    fn replace(&self, table: AssignmentTable) -> BoxFuture<'static, Result<StoreSize, StoreError>> {
        self.work(move |files| files.replace(&table))
    }
}

fn failure(step: String, source: impl Error + Send + Sync + 'static) -> StoreError {
    StoreError { step, source: Arc::new(source) }
}

/// Names the step and the file of an I/O error.
fn at<'a>(step: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> StoreError + 'a {
    move |source| failure(format!("{step} {}", path.display()), source)
}

/// The whole file; nothing if there is none.
fn read_file(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at("read", path)(error)),
    }
}

impl Files {
    fn snapshot_path(&self) -> PathBuf {
        self.folder.path().join("snapshot")
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn load(&mut self) -> Result<StoredTable, StoreError> {
        let (snapshot_path, log_path) = (self.snapshot_path(), self.log_path());
        let mut findings = Vec::new();

        let mut snapshot_lost = false;
        let base = match read_file(&snapshot_path)? {
            None => Vec::new(),
            Some(bytes) => match snapshot::read(&bytes) {
                Ok(contents) if contents.ending == Ending::Clean && contents.deltas.len() == 1 => contents.deltas,
                unusable => {
                    let what = unusable.map_or_else(|error| error.to_string(), |contents| format!("{:?}", contents.ending));
                    findings.push(self.set_aside(&snapshot_path, &what)?);
                    snapshot_lost = true;
                    Vec::new()
                }
            },
        };
        let mut log_unusable = false;
        let log = match read_file(&log_path)? {
            None => Vec::new(),
            Some(bytes) => match snapshot::read(&bytes) {
                Ok(contents) => {
                    match contents.ending {
                        Ending::Clean => {}
                        Ending::Torn { bytes } => {
                            findings.push(format!("{}: cut off {bytes} bytes of a write that did not finish", log_path.display()));
                            let cut =
                                OpenOptions::new().write(true).open(&log_path).and_then(|log| log.set_len(contents.good_bytes as u64));
                            cut.map_err(at("cut off the end of", &log_path))?;
                        }
                        Ending::Damaged { bytes } => {
                            let what = format!("{bytes} damaged bytes after change {}", contents.deltas.len());
                            findings.push(self.set_aside(&log_path, &what)?);
                            log_unusable = true;
                        }
                    }
                    contents.deltas
                }
                Err(error) => {
                    findings.push(self.set_aside(&log_path, &error.to_string())?);
                    log_unusable = true;
                    Vec::new()
                }
            },
        };
        // A log begins at change 1 or continues a snapshot; without its snapshot it is no table.
        if base.is_empty() && !snapshot_lost && log.first().is_some_and(|delta| delta.seq.0 > 1) {
            findings.push(self.set_aside(&log_path, "the snapshot before it is missing")?);
            snapshot_lost = true;
        }

        let table = snapshot::replay((!snapshot_lost).then_some(&base), &log);
        self.log = None;
        self.log_unusable = false;
        if snapshot_lost || log_unusable {
            self.replace(&table)?;
        }
        self.size = StoreSize { snapshot: file_size(&snapshot_path), log: file_size(&log_path).saturating_sub(HEADER_BYTES as u64) };
        let restored = !snapshot_lost && table.seq().0 > 0;
        Ok(StoredTable { table, restored, findings, size: self.size })
    }

    /// Keeps a copy of a file that cannot be used, for people to look at.
    fn set_aside(&self, path: &Path, what: &str) -> Result<String, StoreError> {
        let mut aside = path.as_os_str().to_owned();
        aside.push(format!(".damaged-{}", self.clock.unix_seconds()));
        let aside = PathBuf::from(aside);
        // A copy, because the original is needed until what replaces it is on disk.
        std::fs::copy(path, &aside).map_err(at("set aside", path))?;
        Ok(format!("{}: {what}; kept as {}", path.display(), aside.display()))
    }

    fn append(&mut self, deltas: &[Arc<TableDelta>]) -> Result<StoreSize, StoreError> {
        let path = self.log_path();
        if self.log_unusable {
            return Err(failure(format!("append to {}", path.display()), LogUnusable));
        }
        let mut bytes = Vec::new();
        for delta in deltas {
            let frame = snapshot::frame(delta).map_err(|error| failure(format!("append to {}", path.display()), error))?;
            bytes.extend(frame);
        }
        self.log_unusable = true;
        self.write_log(&path, &bytes).map_err(at("append to", &path))?;
        self.log_unusable = false;
        self.size.log += bytes.len() as u64;
        Ok(self.size)
    }

    fn write_log(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let log = match &mut self.log {
            Some(log) => log,
            none => none.insert(open_log(path)?),
        };
        log.write_all(bytes)?;
        log.sync_data()
    }

    fn replace(&mut self, table: &AssignmentTable) -> Result<StoreSize, StoreError> {
        let (snapshot_path, log_path) = (self.snapshot_path(), self.log_path());
        let mut bytes = snapshot::header().to_vec();
        let frame = snapshot::frame(&table.to_delta()).map_err(|error| failure(format!("write {}", snapshot_path.display()), error))?;
        bytes.extend(frame);
        write_atomically(&snapshot_path, &bytes).map_err(at("write", &snapshot_path))?;
        // If this is as far as it gets, the log still holds what the snapshot has already; a load skips that.
        self.log = None;
        self.log_unusable = true;
        let emptied = write_atomically(&log_path, &snapshot::header());
        emptied.map_err(at("empty", &log_path))?;
        self.log_unusable = false;
        self.size = StoreSize { snapshot: bytes.len() as u64, log: 0 };
        Ok(self.size)
    }
}

fn file_size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// The log, ready to append to; with its header if it is new.
fn open_log(path: &Path) -> io::Result<File> {
    let mut log = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(path)?;
    if log.metadata()?.len() < HEADER_BYTES as u64 {
        log.set_len(0)?;
        log.write_all(&snapshot::header())?;
        log.sync_all()?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())?;
    }
    log.seek(io::SeekFrom::End(0))?;
    Ok(log)
}

#[cfg(test)]
mod tests;
