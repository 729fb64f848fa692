//! Which files are config files, and of which integration. Source: autodiscovery 4.1.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tracing::warn;

/// A file that may hold a config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Where it is.
    pub(super) path: PathBuf,
    /// Integration name.
    pub(super) name: String,
    /// A `.default` file, used only if nothing else configures the integration.
    pub(super) is_default: bool,
    /// A `metrics.yaml` inside an integration's directory.
    pub(super) is_metrics: bool,
}

/// Candidates that are output together: those of one directory, or one file.
pub(super) type Batch = Vec<Candidate>;

/// What a walk saw.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// Candidates in the order of their output.
    pub(super) batches: Vec<Batch>,
    /// Directories that were read, whose changes matter.
    pub(super) directories: BTreeSet<PathBuf>,
    /// Places that exist but cannot be read now; what was read from there before still counts.
    pub(super) unreadable: Vec<(PathBuf, std::io::Error)>,
    /// Search paths that do not exist.
    pub(super) missing: Vec<PathBuf>,
}

/// Lists the candidates of all search paths. A file with the same relative name in an earlier path hides the later one.
pub(super) fn candidates(search_paths: &[PathBuf], ignore_autoconf: &[String]) -> Walk {
    let mut walk = Walk::default();
    let mut seen = BTreeSet::new();
    for search_path in search_paths {
        for entry in sorted_entries(search_path, true, &mut walk) {
            let path = search_path.join(&entry);
            let Some(entry) = entry.to_str() else {
                continue;
            };
            if path.is_dir() {
                let Some(name) = entry.strip_suffix(".d") else {
                    continue;
                };
                let batch = sorted_entries(&path, false, &mut walk)
                    .iter()
                    .filter_map(|inner| inner.to_str())
                    .filter(|inner| !path.join(inner).is_dir())
                    .filter(|inner| seen.insert(Path::new(entry).join(inner)))
                    .filter_map(|inner| candidate(path.join(inner), inner, Some(name), ignore_autoconf))
                    .collect();
                walk.batches.push(batch);
            } else if seen.insert(PathBuf::from(entry))
                && let Some(candidate) = candidate(path, entry, None, ignore_autoconf)
                // Without an integration it cannot be the metrics of one.
                && !candidate.is_metrics
            {
                walk.batches.push(vec![candidate]);
            }
        }
    }
    walk
}

fn candidate(path: PathBuf, file_name: &str, directory_name: Option<&str>, ignore_autoconf: &[String]) -> Option<Candidate> {
    let (base, is_default) = match file_name.strip_suffix(".default") {
        Some(base) => (base, true),
        None => (file_name, false),
    };
    let stem = base.strip_suffix(".yaml").or_else(|| base.strip_suffix(".yml"))?;
    let name = directory_name.unwrap_or(stem);
    if name.is_empty() {
        return None;
    }
    if file_name == "auto_conf.yaml" && ignore_autoconf.iter().any(|ignored| ignored == name) {
        return None;
    }
    let is_metrics = stem == "metrics" && !is_default;
    Some(Candidate { path, name: name.to_owned(), is_default, is_metrics })
}

/// Names in a directory, in byte order.
fn sorted_entries(directory: &Path, is_search_path: bool, walk: &mut Walk) -> Vec<OsString> {
    let listed = fs::read_dir(directory).and_then(|entries| entries.map(|entry| entry.map(|entry| entry.file_name())).collect());
    match listed {
        Ok(names) => {
            walk.directories.insert(directory.to_path_buf());
            let mut names: Vec<OsString> = names;
            names.sort();
            names
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if is_search_path {
                walk.missing.push(directory.to_path_buf());
            }
            Vec::new()
        }
        Err(error) => {
            warn!(path = %directory.display(), %error, "skipping unreadable directory of config files");
            walk.unreadable.push((directory.to_path_buf(), error));
            Vec::new()
        }
    }
}
