//! The error chain printer: the only place that puts an error and its causes into one text.

use std::error::Error;

/// `what failed: why: why that`.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // Some libraries repeat their source in their own text.
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("load snapshot")]
    struct Load(#[source] io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("talk to server: {0}")]
    struct Repeats(#[source] io::Error);

    #[test]
    fn causes_follow_their_effects() {
        assert_eq!(chain(&Load(io::Error::other("disk is full"))), "load snapshot: disk is full");
    }

    #[test]
    fn a_cause_already_told_is_not_told_twice() {
        assert_eq!(chain(&Repeats(io::Error::other("refused"))), "talk to server: refused");
    }
}
