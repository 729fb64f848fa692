//! What a spool does to a disk, one operation at a time.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use muster_actors::ports::DiskSpace;
use tracing::warn;

/// Payloads hold what an operator may not want everybody to read.
pub(super) const FOLDER_MODE: u32 = 0o700;

/// See [`FOLDER_MODE`].
pub(super) const FILE_MODE: u32 = 0o600;

/// Ending of the name of a whole file.
pub(super) const WHOLE: &str = ".payload";

/// Name of the file whose lock says that the folder is used.
const LOCK: &str = "lock";

/// The operations. Names are those of files in the one folder of a spool.
pub(super) trait Disk: Send + Sync {
    /// Makes the folder if needed, and sees to it that no other process uses it.
    fn claim(&self) -> io::Result<()>;

    /// Moves all whole files of folders that this one inherits here, under names that `name` gives. Returns how many.
    fn inherit(&self, name: &mut dyn FnMut() -> String) -> io::Result<u64>;

    /// Names and lengths of all files.
    fn list(&self) -> io::Result<Vec<(String, u64)>>;

    /// Writes a file that is not there yet. Only [`Self::sync`] makes it last.
    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Makes what is in a file last.
    fn sync(&self, name: &str) -> io::Result<()>;

    /// Gives a file another name. Only [`Self::sync_folder`] makes it last.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Makes the names in the folder last.
    fn sync_folder(&self) -> io::Result<()>;

    /// Reads a file, or its first bytes.
    fn read(&self, name: &str, at_most: Option<usize>) -> io::Result<Vec<u8>>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// How full the disk is.
    fn space(&self) -> io::Result<DiskSpace>;
}

/// A folder of this machine.
pub(super) struct RealDisk {
    folder: PathBuf,
    /// How the names of folders begin of which this one is the heir.
    heir_of: Option<String>,
    lock: Mutex<Option<File>>,
}

impl RealDisk {
    pub(super) fn new(folder: PathBuf, heir_of: Option<String>) -> Self {
        Self { folder, heir_of, lock: Mutex::new(None) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Moves the whole files of another folder here, and removes the others.
    fn empty(&self, estate: &Path, name: &mut dyn FnMut() -> String, moved: &mut u64) -> io::Result<()> {
        for (file, _) in list(estate)? {
            if file.ends_with(WHOLE) {
                fs::rename(estate.join(file), self.path(&name()))?;
                *moved += 1;
            } else {
                fs::remove_file(estate.join(file))?;
            }
        }
        Ok(())
    }

    /// Folders beside this one of which it is the heir.
    fn estates(&self) -> io::Result<Vec<PathBuf>> {
        let (Some(beginning), Some(root)) = (&self.heir_of, self.folder.parent()) else { return Ok(Vec::new()) };
        let mut estates = Vec::new();
        for entry in fs::read_dir(root)? {
            let path = entry?.path();
            let ours = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(beginning.as_str()));
            if ours && path != self.folder {
                estates.push(path);
            }
        }
        estates.sort();
        Ok(estates)
    }
}

/// Makes a folder and those it is in, as far as they are missing. What is made lasts, or is not there after an error.
fn make(folder: &Path) -> io::Result<()> {
    let Some(parent) = folder.parent().filter(|_| !folder.is_dir()) else { return Ok(()) };
    make(parent)?;
    DirBuilder::new().mode(FOLDER_MODE).create(folder)?;
    let synced = File::open(parent).and_then(|parent| parent.sync_all());
    if synced.is_err() {
        fs::remove_dir(folder)?;
    }
    synced
}

/// Locks a folder until the file is closed.
pub(super) fn lock(folder: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(FILE_MODE).open(folder.join(LOCK))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(io::Error::new(io::ErrorKind::ResourceBusy, "another process uses it")),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Names and lengths of the files in a folder.
pub(super) fn list(folder: &Path) -> io::Result<Vec<(String, u64)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            // It was removed since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
            files.push((name, metadata.len()));
        }
    }
    files.sort();
    Ok(files)
}

/// Reads a file, or its first bytes.
pub(super) fn read(path: &Path, at_most: Option<usize>) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let mut bytes = Vec::new();
    match at_most {
        Some(at_most) => file.take(at_most as u64).read_to_end(&mut bytes)?,
        None => { file }.read_to_end(&mut bytes)?,
    };
    Ok(bytes)
}

impl Disk for RealDisk {
    fn claim(&self) -> io::Result<()> {
        let mut held = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_some() && self.path(LOCK).exists() {
            return Ok(());
        }
        make(&self.folder)?;
        *held = Some(lock(&self.folder)?);
        Ok(())
    }

    fn inherit(&self, name: &mut dyn FnMut() -> String) -> io::Result<u64> {
        let mut moved = 0;
        for estate in self.estates()? {
            // Somebody who still uses it keeps it.
            let Ok(locked) = lock(&estate) else { continue };
            if let Err(error) = self.empty(&estate, name, &mut moved) {
                // What is wrong with it must not keep this folder from being used. What is left in it is for the next start.
                warn!(folder = %estate.display(), %error, "cannot take over all that was stored for another key");
                continue;
            }
            self.sync_folder()?;
            drop(locked);
            // Something that is no file of ours may be in it; nothing is lost if it stays.
            let _ = fs::remove_dir(&estate);
        }
        Ok(moved)
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        list(&self.folder)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(self.path(name))?;
        file.write_all(bytes)
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        File::open(self.path(name))?.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }

    fn read(&self, name: &str, at_most: Option<usize>) -> io::Result<Vec<u8>> {
        read(&self.path(name), at_most)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn space(&self) -> io::Result<DiskSpace> {
        let disk = rustix::fs::statvfs(&self.folder)?;
        Ok(DiskSpace { total: disk.f_blocks * disk.f_frsize, available: disk.f_bavail * disk.f_frsize })
    }
}
