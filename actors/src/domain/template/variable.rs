//! Where the variables are in a text.

use std::fmt;

/// A variable as it stands in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variable<'a> {
    /// Which kind: `host`, `env`, ...
    pub name: &'a str,
    /// What of it, the text behind the first underscore.
    pub key: Option<&'a str>,
}

impl fmt::Display for Variable<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key {
            None => write!(out, "%%{}%%", self.name),
            Some(key) => write!(out, "%%{}_{key}%%", self.name),
        }
    }
}

/// Splits at the first variable.
pub(super) fn next_variable(text: &str) -> Option<(&str, Variable<'_>, &str)> {
    let mut from = 0;
    loop {
        let open = from + text[from..].find("%%")?;
        let inner = &text[open + 2..];
        // A name has at least one character.
        let first = inner.chars().next()?;
        let close = first.len_utf8() + inner[first.len_utf8()..].find("%%")?;
        let content = &inner[..close];
        if content.contains('\n') {
            from = open + 2;
            continue;
        }
        return Some((&text[..open], split(content), &inner[close + 2..]));
    }
}

/// Name and key: split at the first underscore that has something on both sides.
fn split(content: &str) -> Variable<'_> {
    let parts = content
        .char_indices()
        .find(|(at, character)| *character == '_' && *at > 0 && at + 1 < content.len())
        .map(|(at, _)| (&content[..at], &content[at + 1..]));
    match parts {
        Some((name, key)) => Variable { name, key: Some(key) },
        None => Variable { name: content, key: None },
    }
}
