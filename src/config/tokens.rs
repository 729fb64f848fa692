//! The two bearer tokens: where they come from and when they are good enough. Source: cluster-agent-kubernetes 1.2.

use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use muster_actors::domain::secret::Secret;
use rustls::crypto::ring;

use super::effective::Config;
use super::value::Value;

/// Fewest characters of a token.
pub const MIN_LENGTH: usize = 32;

/// Name of the file of the cluster token, in the configuration directory.
pub const CLUSTER_TOKEN_FILE: &str = "cluster_agent.auth_token";

/// Random bytes of a generated token; it is written as twice as many hexadecimal digits.
const GENERATED_BYTES: usize = 32;

/// Why there is no token. The first four texts are stock's.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The cluster token is too short.
    #[error("cluster agent authentication token length must be greater than 32, curently: {length}")]
    ClusterTooShort {
        /// Its length in characters.
        length: usize,
    },
    /// The local token is too short.
    #[error("invalid authentication token: must be at least 32 characters in length")]
    LocalTooShort,
    /// There is neither a configured cluster token nor its file.
    #[error("empty cluster_agent.auth_token and cannot find {path:?}: {source}")]
    ClusterMissing {
        /// The file.
        path: PathBuf,
        /// Why it cannot be read.
        source: std::io::Error,
    },
    /// The file of the local token cannot be read.
    #[error("unable to read authentication token file: {source}")]
    LocalUnreadable {
        /// Why.
        source: std::io::Error,
    },
    /// A new token cannot be written.
    #[error("write a new token to {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The machine gives no random numbers.
    #[error("make a new token: no random numbers")]
    Random,
}

/// The cluster token for a process that must be given one: nodes, runners, commands.
///
/// Errors: [`TokenError::ClusterMissing`], [`TokenError::ClusterTooShort`].
pub fn read_cluster_token(config: &Config) -> Result<Secret<String>, TokenError> {
    if let Some(configured) = configured_cluster_token(config) {
        return cluster_token(configured);
    }
    let path = config.directory().join(CLUSTER_TOKEN_FILE);
    match std::fs::read_to_string(&path) {
        Ok(content) => cluster_token(without_line_end(&content)),
        Err(source) => Err(TokenError::ClusterMissing { path, source }),
    }
}

/// The cluster token of the server: configured, else in its file, else new and written there.
///
/// Errors: [`TokenError`]; with one of them no external route may be served.
pub fn read_or_create_cluster_token(config: &Config) -> Result<Secret<String>, TokenError> {
    match read_cluster_token(config) {
        Err(TokenError::ClusterMissing { path, source }) if source.kind() == ErrorKind::NotFound => create(&path),
        token => token,
    }
}

/// The local token for a command.
///
/// Errors: [`TokenError::LocalUnreadable`], [`TokenError::LocalTooShort`].
pub fn read_local_token(path: &Path) -> Result<Secret<String>, TokenError> {
    let content = std::fs::read_to_string(path).map_err(|source| TokenError::LocalUnreadable { source })?;
    local_token(without_line_end(&content))
}

/// The local token of a long-running process: in its file, else new and written there.
///
/// Errors: [`TokenError`].
pub fn read_or_create_local_token(path: &Path) -> Result<Secret<String>, TokenError> {
    match std::fs::read_to_string(path) {
        Ok(content) => local_token(without_line_end(&content)),
        Err(error) if error.kind() == ErrorKind::NotFound => create(path),
        Err(source) => Err(TokenError::LocalUnreadable { source }),
    }
}

fn configured_cluster_token(config: &Config) -> Option<String> {
    match config.get("cluster_agent.auth_token")?.value {
        Value::Text(token) if !token.is_empty() => Some(token),
        _ => None,
    }
}

fn cluster_token(token: String) -> Result<Secret<String>, TokenError> {
    let length = token.chars().count();
    if length < MIN_LENGTH { Err(TokenError::ClusterTooShort { length }) } else { Ok(Secret::new(token)) }
}

fn local_token(token: String) -> Result<Secret<String>, TokenError> {
    if token.chars().count() < MIN_LENGTH { Err(TokenError::LocalTooShort) } else { Ok(Secret::new(token)) }
}

/// One line end is an editor's; more is content.
fn without_line_end(content: &str) -> String {
    let content = content.strip_suffix('\n').unwrap_or(content);
    content.strip_suffix('\r').unwrap_or(content).to_owned()
}

/// Writes a new token that only the owner can read. If another process is faster, its token counts.
fn create(path: &Path) -> Result<Secret<String>, TokenError> {
    let failed = |source| TokenError::Write { path: path.to_owned(), source };
    let mut bytes = [0_u8; GENERATED_BYTES];
    ring::default_provider().secure_random.fill(&mut bytes).map_err(|_| TokenError::Random)?;
    let mut token = String::with_capacity(2 * GENERATED_BYTES);
    for byte in bytes {
        let _ = write!(token, "{byte:02x}");
    }
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(failed)?;
    }
    // Written beside and linked into place, so that no reader ever sees half a token and the first writer wins.
    let draft = path.with_extension(format!("new-{}", std::process::id()));
    let _ = std::fs::remove_file(&draft);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(failed)?;
    file.write_all(token.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    let linked = std::fs::hard_link(&draft, path);
    let _ = std::fs::remove_file(&draft);
    match linked {
        Ok(()) => Ok(Secret::new(token)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let content = std::fs::read_to_string(path).map_err(failed)?;
            Ok(Secret::new(without_line_end(&content)))
        }
        Err(source) => Err(failed(source)),
    }
}

#[cfg(test)]
mod tests;
