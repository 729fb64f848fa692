//! A log file that is rolled over when it is full. Source: cluster-agent-kubernetes 7.7.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A file and how much of it is used. Clones write to the same file.
#[derive(Clone, Debug)]
pub(super) struct LogFile {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    path: PathBuf,
    file: File,
    size: u64,
    max_bytes: u64,
    max_rolls: u32,
}

impl LogFile {
    /// Opens a file for appending; its directory is made if needed.
    pub(super) fn open(path: &Path, max_bytes: u64, max_rolls: u32) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let (file, size) = open(path)?;
        let state = State { path: path.to_owned(), file, size, max_bytes, max_rolls };
        Ok(Self { state: Arc::new(Mutex::new(state)) })
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

impl State {
    /// `x.log` becomes `x.log.1`, that becomes `x.log.2`, the oldest goes.
    fn roll(&mut self) -> io::Result<()> {
        let numbered = |number: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        for number in (1..self.max_rolls).rev() {
            // A gap in the numbers is no failure.
            let _ = std::fs::rename(numbered(number), numbered(number + 1));
        }
        if self.max_rolls == 0 {
            std::fs::remove_file(&self.path)?;
        } else {
            std::fs::rename(&self.path, numbered(1))?;
        }
        (self.file, self.size) = open(&self.path)?;
        Ok(())
    }
}

impl Write for LogFile {
    /// Takes one line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.size > 0 && state.size + line.len() as u64 > state.max_bytes {
            state.roll()?;
        }
        state.file.write_all(line)?;
        state.size += line.len() as u64;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).file.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_full_file_is_rolled_over_and_the_oldest_goes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log").join("x.log");
        let mut log = LogFile::open(&path, 10, 2).unwrap();
        for line in ["first\n", "second\n", "third\n", "fourth\n"] {
            log.write_all(line.as_bytes()).unwrap();
        }
        let read = |name: &str| fs::read_to_string(path.with_file_name(name)).unwrap();
        assert_eq!((read("x.log").as_str(), read("x.log.1").as_str(), read("x.log.2").as_str()), ("fourth\n", "third\n", "second\n"));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 3);
    }

    #[test]
    fn an_existing_file_is_continued() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.log");
        fs::write(&path, "before\n").unwrap();
        LogFile::open(&path, 1000, 1).unwrap().write_all(b"after\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "before\nafter\n");
    }
}
