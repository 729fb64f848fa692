//! The temporary folder of one control plane: files in, ends of logs out.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::RigError;

/// Lines of a log that are shown when something failed.
const SHOWN: usize = 15;

/// Writes a file that only the user can read.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), RigError> {
    fs::write(path, text).map_err(|source| RigError::File { path: path.to_owned(), source })
}

pub(crate) fn make(path: &Path) -> Result<(), RigError> {
    fs::create_dir_all(path).map_err(|source| RigError::File { path: path.to_owned(), source })
}

/// The last lines of a log; empty when there is none.
pub(crate) fn tail(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(SHOWN)..].join("\n")
}

fn logs(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut logs: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.extension() == Some(OsStr::new("log"))).collect();
    logs.sort();
    logs
}

/// The last lines of every log of a control plane, each under its name.
pub(crate) fn tails(folder: &Path) -> String {
    let shown: Vec<String> =
        logs(folder).iter().map(|log| format!("-- {}\n{}\n", log.file_name().unwrap_or_default().display(), tail(log))).collect();
    shown.concat()
}

/// Copies the logs to a folder that outlives the control plane, because a test failed. Tells where, if it could.
pub(crate) fn keep_logs(folder: &Path) -> Option<PathBuf> {
    let name = folder.file_name()?;
    let kept = std::env::temp_dir().join("muster-rig-failed").join(name);
    fs::create_dir_all(&kept).ok()?;
    for log in logs(folder) {
        fs::copy(&log, kept.join(log.file_name()?)).ok()?;
    }
    Some(kept)
}
