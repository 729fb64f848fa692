//! API keys.

use std::fmt;

/// Key that counts as valid without asking. Source: cluster-agent-kubernetes 6.4.
const ALWAYS_VALID: &str = "00000000000000000000000000000000";

/// An API key. Shows at most its last five characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiKey {
    key: String,
    /// Of the secret that it is.
    handle: Option<String>,
}

impl ApiKey {
    /// Takes a key as configured; blanks and line breaks around it do not belong to it.
    #[must_use]
    pub fn new(key: &str) -> Self {
        Self { key: key.trim().to_owned(), handle: None }
    }

    /// Takes the value of a secret.
    #[must_use]
    pub fn of_secret(handle: &str, key: &str) -> Self {
        Self { handle: Some(handle.to_owned()), ..Self::new(key) }
    }

    /// Handle of the secret that it is: one that may get another value while the process runs.
    #[must_use]
    pub fn handle(&self) -> Option<&str> {
        self.handle.as_deref()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.key.is_empty()
    }

    /// The last five characters, for status.
    #[must_use]
    pub fn ending(&self) -> String {
        let start = self.key.char_indices().rev().nth(4).map_or(0, |(at, _)| at);
        // A key that short would be shown as a whole.
        if start == 0 { String::new() } else { self.key[start..].to_owned() }
    }

    /// Whether the key counts as valid without asking.
    #[must_use]
    pub fn is_always_valid(&self) -> bool {
        self.key == ALWAYS_VALID
    }

    /// Replaces the key wherever it occurs in a text.
    #[must_use]
    pub fn scrub(&self, text: &str) -> String {
        if self.key.is_empty() { text.to_owned() } else { text.replace(&self.key, "***") }
    }

    /// The key itself, for the header that carries it.
    pub(crate) fn expose(&self) -> &str {
        &self.key
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ApiKey(***{})", self.ending())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_five_characters_are_shown() {
        let key = ApiKey::new("0123456789abcdef\n");
        assert_eq!(key.ending(), "bcdef");
        assert_eq!(format!("{key:?}"), "ApiKey(***bcdef)");
        assert_eq!(key.scrub("url?api_key=0123456789abcdef failed"), "url?api_key=*** failed");
        assert_eq!(ApiKey::new("abcde").ending(), "");
        assert_eq!(ApiKey::new("").scrub("text"), "text");
    }
}
