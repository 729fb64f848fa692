//! The folder in which one cluster role keeps its state, locked against a second one.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Name of the folder below `run_path`.
pub const FOLDER_NAME: &str = "assignment";

/// The state holds check configs, and so passwords.
const FOLDER_MODE: u32 = 0o700;

/// See [`FOLDER_MODE`].
pub const FILE_MODE: u32 = 0o600;

/// Why the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It cannot be made.
    #[error("create state folder {folder}")]
    Create {
        /// Which folder.
        folder: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The lock file cannot be opened, locked or written.
    #[error("lock state folder {folder}")]
    Lock {
        /// Which folder.
        folder: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process uses it.
    #[error("lock state folder {folder}: process {pid} uses it; stop that one, or set another run_path")]
    InUse {
        /// Which folder.
        folder: PathBuf,
        /// Its process id, as far as it told.
        pid: String,
    },
}

/// The folder, locked as long as this value lives. The lock goes with the process, however it ends.
#[derive(Debug)]
pub struct StateFolder {
    path: PathBuf,
    _lock: File,
}

impl StateFolder {
    /// Makes the folder below `run_path` if needed, and locks it.
    ///
    /// Errors: [`FolderError`].
    pub fn open(run_path: &Path) -> Result<Self, FolderError> {
        let folder = run_path.join(FOLDER_NAME);
        let created = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&folder);
        created.map_err(|source| FolderError::Create { folder: folder.clone(), source })?;
        let lock_error = |source| FolderError::Lock { folder: folder.clone(), source };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
        let mut lock = options.open(folder.join("lock")).map_err(lock_error)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // The number is a courtesy to the reader of the message; without it the message still helps.
                let _ = lock.read_to_string(&mut pid);
                return Err(FolderError::InUse { folder, pid: pid.trim().to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(lock_error(source)),
        }
        let write_pid = |lock: &mut File| {
            lock.set_len(0)?;
            lock.rewind()?;
            writeln!(lock, "{}", std::process::id())
        };
        write_pid(&mut lock).map_err(lock_error)?;
        Ok(Self { path: folder, _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Writes a file so that after a crash it is either the old or the new one, whole.
///
/// Errors: what the system said; the old file is still there.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_atomically_if(path, bytes, || true).map(drop)
}

/// The same, but what is there stays if `may` says so when everything else is done. Returns what it said.
///
/// Errors: as [`write_atomically`].
pub fn write_atomically_if(path: &Path, bytes: &[u8], may: impl FnOnce() -> bool) -> io::Result<bool> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    // Somebody who hung in the middle of this may still write into what lies there, so it is not taken over.
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    if !may() {
        // What lies there now may be the successor's.
        return Ok(false);
    }
    std::fs::rename(&fresh, path)?;
    // The rename itself is durable only when the folder is.
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_second_server_is_told_which_process_uses_the_folder() {
        let run_path = tempfile::tempdir().unwrap();
        let first = StateFolder::open(run_path.path()).unwrap();
        let error = StateFolder::open(run_path.path()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&std::process::id().to_string()) && text.contains("assignment"), "{text}");
        drop(first);
        assert!(StateFolder::open(run_path.path()).is_ok());
    }

    #[test]
    fn nobody_else_can_read_the_state() {
        let run_path = tempfile::tempdir().unwrap();
        let folder = StateFolder::open(run_path.path()).unwrap();
        let file = folder.path().join("x");
        write_atomically(&file, b"secret").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(folder.path()), mode(&file)), (FOLDER_MODE, FILE_MODE));
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let run_path = tempfile::NamedTempFile::new().unwrap();
        let error = StateFolder::open(run_path.path()).unwrap_err();
        assert!(error.to_string().starts_with("create state folder"), "{error}");
    }
}
