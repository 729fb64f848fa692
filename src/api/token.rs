//! The two bearer tokens: where they come from and how they are compared.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustls::crypto::ring;
use subtle::ConstantTimeEq;

use crate::api::secret_file;

/// Least length of a token.
///
/// Units: bytes, inclusive. Source: cluster-agent-kubernetes 1.2.
pub const MIN_TOKEN_LENGTH: usize = 32;

/// A bearer token. Compared in constant time, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Token(***)")
    }
}

/// Why a token cannot be had. The texts are those of stock agents, which people search for.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The cluster token is too short. (Spelling as upstream.)
    #[error("cluster agent authentication token length must be greater than {MIN_TOKEN_LENGTH}, curently: {0}")]
    ClusterTooShort(usize),
    /// The local token is too short.
    #[error("invalid authentication token: must be at least {MIN_TOKEN_LENGTH} characters in length")]
    LocalTooShort,
    /// Neither the option nor the file gives a cluster token.
    #[error("empty cluster_agent.auth_token and cannot find {path:?}: {source}")]
    NoClusterToken {
        /// The file that was tried.
        path: PathBuf,
        /// Why it could not be read.
        source: io::Error,
    },
    /// The file of the local token cannot be read.
    #[error("unable to read authentication token file: {source}")]
    Local {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A token was generated but cannot be written.
    #[error("write token file {path:?}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system gives no random bytes.
    #[error("generate token")]
    Random,
}

/// What to do when a token file does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Generate a token and write the file: the long-running process.
    Create,
    /// Fail: commands and clients.
    Fail,
}

impl Token {
    /// A cluster token.
    ///
    /// Errors: [`TokenError::ClusterTooShort`].
    pub fn cluster(text: impl Into<String>) -> Result<Self, TokenError> {
        let text = text.into();
        if text.len() < MIN_TOKEN_LENGTH { Err(TokenError::ClusterTooShort(text.len())) } else { Ok(Self(text)) }
    }

    /// A local token.
    ///
    /// Errors: [`TokenError::LocalTooShort`].
    pub fn local(text: impl Into<String>) -> Result<Self, TokenError> {
        let text = text.into();
        if text.len() < MIN_TOKEN_LENGTH { Err(TokenError::LocalTooShort) } else { Ok(Self(text)) }
    }

    /// The text, for an `Authorization` header.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether the presented text is this token; takes the same time wherever they differ.
    pub fn matches(&self, presented: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(presented).into()
    }
}

/// The cluster token: the configured value, else the file.
///
/// Errors: [`TokenError`].
pub fn cluster_token(configured: &str, file: &Path, missing: Missing) -> Result<Token, TokenError> {
    if !configured.is_empty() {
        return Token::cluster(configured);
    }
    match read_or_create(file, missing)? {
        Ok(text) => Token::cluster(text),
        Err(source) => Err(TokenError::NoClusterToken { path: file.to_owned(), source }),
    }
}

/// The local token: the content of its file.
///
/// Errors: [`TokenError`].
pub fn local_token(file: &Path, missing: Missing) -> Result<Token, TokenError> {
    match read_or_create(file, missing)? {
        Ok(text) => Token::local(text),
        Err(source) => Err(TokenError::Local { path: file.to_owned(), source }),
    }
}

/// Outer error: a new token could not be made or written; inner error: the file could not be read.
fn read_or_create(file: &Path, missing: Missing) -> Result<io::Result<String>, TokenError> {
    match std::fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && missing == Missing::Create => {
            let generated = generate()?;
            let written = secret_file::create(file, generated.as_bytes());
            let content = written.map_err(|source| TokenError::Write { path: file.to_owned(), source })?;
            Ok(Ok(without_final_newline(String::from_utf8_lossy(&content).into_owned())))
        }
        read => Ok(read.map(without_final_newline)),
    }
}

/// A token file made with an editor ends in a newline that is not part of the token (spec README section 8, item 15).
fn without_final_newline(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

/// 32 random bytes as 64 lower-case hexadecimal digits.
fn generate() -> Result<String, TokenError> {
    let mut bytes = [0_u8; 32];
    ring::default_provider().secure_random.fill(&mut bytes).map_err(|_| TokenError::Random)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn ca_h8_a_token_of_31_characters_is_refused_with_the_stock_text() {
        let error = Token::cluster("x".repeat(31)).unwrap_err();
        assert_eq!(error.to_string(), "cluster agent authentication token length must be greater than 32, curently: 31");
        assert_eq!(
            Token::local("x".repeat(31)).unwrap_err().to_string(),
            "invalid authentication token: must be at least 32 characters in length"
        );
    }

    #[test]
    fn ca_h9_a_token_of_exactly_32_characters_is_accepted() {
        assert!(Token::cluster("x".repeat(32)).is_ok());
    }

    #[test]
    fn a_missing_token_is_generated_once_and_only_its_owner_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("auth_token");
        let first = local_token(&file, Missing::Create).unwrap();
        let second = local_token(&file, Missing::Create).unwrap();
        assert_eq!(first, second);
        assert_eq!(first.reveal().len(), 64);
        assert!(first.reveal().bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), first.reveal(), "no newline");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn commands_never_create_a_token() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cluster_agent.auth_token");
        let error = cluster_token("", &file, Missing::Fail).unwrap_err().to_string();
        assert!(error.starts_with("empty cluster_agent.auth_token and cannot find \""), "{error}");
        assert!(!file.exists());
        let error = local_token(&file, Missing::Fail).unwrap_err().to_string();
        assert!(error.starts_with("unable to read authentication token file: "), "{error}");
    }

    #[test]
    fn one_final_newline_of_a_token_file_is_ignored_and_the_option_wins() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cluster_agent.auth_token");
        std::fs::write(&file, format!("{}\n", "f".repeat(32))).unwrap();
        assert_eq!(cluster_token("", &file, Missing::Fail).unwrap().reveal(), "f".repeat(32));
        assert_eq!(cluster_token(&"o".repeat(32), &file, Missing::Fail).unwrap().reveal(), "o".repeat(32));
    }

    #[test]
    fn tokens_are_not_printed() {
        assert_eq!(format!("{:?}", Token::cluster("s".repeat(32)).unwrap()), "Token(***)");
    }
}
