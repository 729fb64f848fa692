//! The provider of config files: reads them all, and keeps what ran of a file that is broken now.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use muster_actors::domain::config::CheckConfig;
use muster_actors::domain::discovery::ConfigError;
use muster_actors::domain::template::{Environment, EnvironmentLookup};

use crate::autodiscovery::file_config::{self, FileConfig, MAX_FILE_BYTES};
use crate::autodiscovery::walk::{Candidate, Walk, candidates};

/// Provider name of configs from files. Source: autodiscovery 3.1.
pub const PROVIDER: &str = "file";

/// Where files are and how they are read.
#[derive(Clone)]
pub struct FileOptions {
    /// Directories, the first wins.
    pub search_paths: Vec<PathBuf>,
    /// `ignore_autoconf`: integrations whose `auto_conf.yaml` is skipped.
    pub ignore_autoconf: Vec<String>,
    /// `ad_allowed_env_vars`; empty allows all.
    pub allowed_env_vars: Vec<String>,
    /// `ad_disable_env_var_resolution`.
    pub disable_env_var_resolution: bool,
    /// The environment, for `%%env_X%%`.
    pub lookup: Arc<EnvironmentLookup>,
}

impl fmt::Debug for FileOptions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("FileOptions").field("search_paths", &self.search_paths).finish_non_exhaustive()
    }
}

/// What one pass over the files gave.
#[derive(Debug, Clone, Default)]
pub struct FileDiscovery {
    /// Configs, in the order of autodiscovery 4.1.
    pub configs: Vec<Arc<CheckConfig>>,
    /// Configs that wait for a Kubernetes object, in the same order: not for the file provider.
    pub templates: Vec<Arc<CheckConfig>>,
    /// Files that are not used, or are used in their last good form.
    pub errors: Vec<ConfigError>,
    /// Integration name -> what is odd about a file that is used nevertheless.
    pub warnings: BTreeMap<String, Vec<String>>,
    /// Directories whose changes change the result.
    pub directories: BTreeSet<PathBuf>,
    /// Search paths that do not exist.
    pub missing: Vec<PathBuf>,
    /// A file is empty, perhaps because it is being written: look again soon.
    pub unsettled: bool,
}

/// Time for which a file that was good and is empty now stays in its last good form.
///
/// Why: a writer that truncates and then writes must not stop checks, but an empty file is no config.
pub const EMPTY_GRACE: Duration = Duration::from_secs(1);

/// Reads the files again and again.
///
/// A file that was good and is broken now stays in its last good form until it is mended or deleted. One that is empty now does so for
/// [`EMPTY_GRACE`].
#[derive(Debug)]
pub struct FileProvider {
    options: FileOptions,
    kept: BTreeMap<PathBuf, Kept>,
}

#[derive(Debug, Clone)]
struct Kept {
    good: FileConfig,
    /// Monotonic time of the pass that found it empty, if it is empty.
    empty_since: Option<Duration>,
}

/// What is in a file.
enum Content {
    Bytes(Vec<u8>),
    Empty,
    /// It was deleted since the directory was listed.
    Gone,
}

impl FileProvider {
    /// A provider that has not read anything.
    #[must_use]
    pub fn new(options: FileOptions) -> Self {
        Self { options, kept: BTreeMap::new() }
    }

    /// Reads all files. `now` is monotonic time.
    pub fn collect(&mut self, now: Duration) -> FileDiscovery {
        let walk = candidates(&self.options.search_paths, &self.options.ignore_autoconf);
        let mut before = std::mem::take(&mut self.kept);
        let mut found = FileDiscovery { directories: walk.directories.clone(), missing: walk.missing.clone(), ..FileDiscovery::default() };
        let mut configured = BTreeSet::new();
        let mut defaults = Vec::new();
        for batch in &walk.batches {
            let mut others = Vec::new();
            let mut configs = Vec::new();
            for candidate in batch {
                let Some(kept) = self.read(candidate, before.remove(&candidate.path), now, &mut found) else {
                    continue;
                };
                let file = kept.good.clone();
                self.kept.insert(candidate.path.clone(), kept);
                if candidate.is_default {
                    defaults.push((candidate.name.clone(), file));
                } else if candidate.is_metrics || file.logs_only {
                    others.push(file);
                } else {
                    configured.insert(candidate.name.clone());
                    configs.push(file);
                }
            }
            for file in others.into_iter().chain(configs) {
                found.add(file);
            }
        }
        found.errors.extend(walk.unreadable.iter().map(|(directory, error)| not_listed(directory, error)));
        self.keep_unreadable(&walk, before, &mut configured, &mut found);
        for (_, file) in defaults.into_iter().filter(|(name, _)| !configured.contains(name)) {
            found.add(file);
        }
        found
    }

    /// Reads one file; nothing if it does not count.
    fn read(&self, candidate: &Candidate, before: Option<Kept>, now: Duration, found: &mut FileDiscovery) -> Option<Kept> {
        if let Ok(real) = candidate.path.canonicalize()
            && real != candidate.path
            && let Some(directory) = real.parent()
        {
            found.directories.insert(directory.to_path_buf());
        }
        let environment = Environment {
            lookup: &*self.options.lookup,
            allowed: &self.options.allowed_env_vars,
            disabled: self.options.disable_env_var_resolution,
        };
        let read = match read_file(&candidate.path) {
            Ok(Content::Gone) => return None,
            Ok(Content::Empty) => {
                let before = before?;
                let since = before.empty_since.unwrap_or(now);
                if now.saturating_sub(since) >= EMPTY_GRACE {
                    return None;
                }
                found.unsettled = true;
                return Some(Kept { empty_since: Some(since), ..before });
            }
            Ok(Content::Bytes(bytes)) => file_config::read(&candidate.name, &candidate.path, &bytes, &environment),
            Err(error) => Err(unreadable(candidate, &error)),
        };
        match read {
            Ok(good) => Some(Kept { good, empty_since: None }),
            Err(error) => {
                found.errors.push(*error);
                before.map(|kept| Kept { empty_since: None, ..kept })
            }
        }
    }

    /// Keeps the files of directories that exist but cannot be listed now.
    fn keep_unreadable(
        &mut self,
        walk: &Walk,
        before: BTreeMap<PathBuf, Kept>,
        configured: &mut BTreeSet<String>,
        found: &mut FileDiscovery,
    ) {
        for (path, kept) in before {
            if walk.unreadable.iter().any(|(directory, _)| path.starts_with(directory)) {
                if !kept.good.logs_only {
                    configured.insert(kept.good.config.name.clone());
                }
                found.add(kept.good.clone());
                self.kept.insert(path, kept);
            }
        }
    }
}

impl FileDiscovery {
    fn add(&mut self, file: FileConfig) {
        if !file.warnings.is_empty() {
            self.warnings.entry(file.config.name.clone()).or_default().extend(file.warnings);
        }
        if file.waits_for_kubernetes {
            self.templates.push(Arc::new(file.config));
        } else if file.config.metric_config.is_none() {
            // JMX metrics are no check of their own.
            self.configs.push(Arc::new(CheckConfig { provider: PROVIDER.to_owned(), ..file.config }));
        }
    }

    /// Says of each template that nobody here takes it.
    pub(super) fn warn_of_templates(&mut self) {
        for template in &self.templates {
            let path = template.source.trim_start_matches("file:");
            let warning = format!("{path}: waits for a Kubernetes object, which nothing here looks for, and so runs nothing");
            self.warnings.entry(template.name.clone()).or_default().push(warning);
        }
    }
}

fn read_file(path: &Path) -> io::Result<Content> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        // The entry itself may still be there: a symbolic link to nothing.
        Err(error) if error.kind() == ErrorKind::NotFound && fs::symlink_metadata(path).is_err() => return Ok(Content::Gone),
        Err(error) => return Err(error),
    };
    // Opening a pipe would wait for its writer.
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(too_big(metadata.len()));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
    // It may have grown since.
    File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(too_big(bytes.len() as u64));
    }
    Ok(if bytes.is_empty() { Content::Empty } else { Content::Bytes(bytes) })
}

fn too_big(bytes: u64) -> io::Error {
    io::Error::new(ErrorKind::FileTooLarge, format!("{bytes} bytes"))
}

/// An error of this origin also makes a cluster role keep what came from below the directory before a restart.
fn not_listed(directory: &Path, error: &io::Error) -> ConfigError {
    let name = directory.file_name().unwrap_or(directory.as_os_str()).to_string_lossy();
    ConfigError {
        integration: name.strip_suffix(".d").unwrap_or(&name).to_owned(),
        origin: directory.display().to_string(),
        position: None,
        problem: "cannot list the directory".to_owned(),
        found: error.to_string(),
        allowed: "a directory that this process may read".to_owned(),
    }
}

fn unreadable(candidate: &Candidate, error: &io::Error) -> Box<ConfigError> {
    let (found, allowed) = match error.kind() {
        ErrorKind::NotFound => ("a symbolic link to nothing".to_owned(), "a regular file".to_owned()),
        ErrorKind::FileTooLarge => (error.to_string(), format!("at most {MAX_FILE_BYTES} bytes")),
        _ => (error.to_string(), "a regular file that this process may read".to_owned()),
    };
    Box::new(ConfigError {
        integration: candidate.name.clone(),
        origin: candidate.path.display().to_string(),
        position: None,
        problem: "cannot read the file".to_owned(),
        found,
        allowed,
    })
}
