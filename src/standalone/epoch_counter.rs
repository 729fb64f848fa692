//! The epoch of a server that is alone: a new one at each start.

use std::io;
use std::path::{Path, PathBuf};

use muster_actors::domain::ids::Epoch;
use muster_actors::kernel::clock::Clock;

use crate::standalone::state_folder::{StateFolder, write_atomically};

/// Why the epoch of this start cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum EpochError {
    /// The file is there and cannot be read.
    #[error("read epoch file {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The new epoch cannot be kept.
    #[error("write epoch file {path}")]
    Write {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Counts the starts. Source: cluster-agent-kubernetes 6.9.
#[derive(Debug)]
pub struct EpochCounter {
    epoch: Epoch,
}

impl EpochCounter {
    /// Counts this start in the locked folder.
    ///
    /// Without a readable number the count goes on from the seconds since 1970, which is more than the number of any start before.
    ///
    /// Errors: [`EpochError`].
    pub fn open(folder: &StateFolder, clock: &dyn Clock) -> Result<Self, EpochError> {
        let path = folder.path().join("epoch");
        let previous = read(&path).map_err(|source| EpochError::Read { path: path.clone(), source })?;
        let next = previous.map_or_else(|| u64::try_from(clock.unix_seconds()).unwrap_or(1), |previous| previous.saturating_add(1));
        write_atomically(&path, format!("{next}\n").as_bytes()).map_err(|source| EpochError::Write { path, source })?;
        Ok(Self { epoch: Epoch(next) })
    }

    /// The epoch of this start.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }
}

/// The number in the file; `None` if there is none.
fn read(path: &Path) -> io::Result<Option<u64>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).trim().parse().ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use muster_actors::kernel::clock::SystemClock;

    use super::*;

    #[test]
    fn every_start_has_a_larger_epoch() {
        let run_path = tempfile::tempdir().unwrap();
        let folder = StateFolder::open(run_path.path()).unwrap();
        let clock = SystemClock::new();
        let first = EpochCounter::open(&folder, &clock).unwrap().epoch();
        let second = EpochCounter::open(&folder, &clock).unwrap().epoch();
        assert_eq!(second.0, first.0 + 1);
    }

    #[test]
    fn a_damaged_number_does_not_take_the_epoch_back() {
        let run_path = tempfile::tempdir().unwrap();
        let folder = StateFolder::open(run_path.path()).unwrap();
        std::fs::write(folder.path().join("epoch"), b"4\xff2").unwrap();
        let epoch = EpochCounter::open(&folder, &SystemClock::new()).unwrap().epoch();
        assert!(epoch.0 > 1_600_000_000);
    }

    #[test]
    fn a_number_that_cannot_be_read_is_an_error_with_its_place() {
        let run_path = tempfile::tempdir().unwrap();
        let folder = StateFolder::open(run_path.path()).unwrap();
        std::fs::create_dir(folder.path().join("epoch")).unwrap();
        let error = EpochCounter::open(&folder, &SystemClock::new()).unwrap_err();
        assert!(error.to_string().starts_with("read epoch file") && error.to_string().ends_with("epoch"), "{error}");
    }
}
