//! Takes secrets out of texts that leave the process: error messages of checks quote URLs and options.

/// Words that announce a secret when a `=`, a `:` or a space follows.
const SECRET_WORDS: [&str; 9] = ["password", "passwd", "pass", "token", "secret", "api_key", "apikey", "authorization", "bearer"];
/// What is shown instead.
pub(super) const MASK: &str = "********";

/// The text with URL credentials and values of secret keys masked. Source: node-runner 8.2.
#[must_use]
pub fn scrub(text: &str) -> String {
    scrub_assignments(&scrub_urls(text))
}

/// Masks what stands between `://` and `@` within one URL.
fn scrub_urls(text: &str) -> String {
    let mut scrubbed = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("://") {
        let (before, after) = rest.split_at(start + 3);
        scrubbed.push_str(before);
        let authority_end = after.find(|letter: char| letter.is_whitespace() || "/?#\"'<>".contains(letter)).unwrap_or(after.len());
        let (authority, tail) = after.split_at(authority_end);
        match authority.rsplit_once('@') {
            Some((_, host)) => scrubbed.extend([MASK, "@", host]),
            None => scrubbed.push_str(authority),
        }
        rest = tail;
    }
    scrubbed + rest
}

/// Masks the value after each secret word.
pub(super) fn scrub_assignments(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut scrubbed = String::with_capacity(text.len());
    let mut from = 0;
    while let Some((value_start, value_end)) = next_secret(&lower, from) {
        scrubbed.push_str(&text[from..value_start]);
        scrubbed.push_str(MASK);
        from = value_end;
    }
    scrubbed.push_str(&text[from..]);
    scrubbed
}

/// Bounds of the first secret value at or after `from`.
fn next_secret(lower: &str, from: usize) -> Option<(usize, usize)> {
    let candidates = SECRET_WORDS.iter().flat_map(|word| lower[from..].match_indices(word).map(|(at, word)| from + at + word.len()));
    candidates.filter_map(|word_end| secret_value(lower, word_end)).min()
}

/// Bounds of the value that follows a secret word ending at `word_end`; `None` when no value is assigned there.
fn secret_value(lower: &str, word_end: usize) -> Option<(usize, usize)> {
    let rest = &lower[word_end..];
    let assigned = rest.trim_start_matches(['"', '\'']).trim_start();
    let is_bearer = lower[..word_end].ends_with("bearer") && rest.starts_with(' ');
    let value = match assigned.strip_prefix(['=', ':']) {
        Some(value) => value.trim_start_matches(|letter: char| letter.is_whitespace() || "\"'".contains(letter)),
        None if is_bearer => assigned,
        None => return None,
    };
    let start = lower.len() - value.len();
    let length = value.find(|letter: char| letter.is_whitespace() || "\"',;&)}]".contains(letter)).unwrap_or(value.len());
    // `authorization: bearer x` is masked at the inner word, which comes with its own value.
    (length > 0 && !value.starts_with("bearer ")).then_some((start, start + length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn credentials_of_urls_are_masked() {
        assert_eq!(scrub("get http://me:s3cret@db:80/x failed"), "get http://********@db:80/x failed");
        assert_eq!(scrub("http://a/x@y and https://b"), "http://a/x@y and https://b");
    }

    #[test]
    fn values_of_secret_keys_are_masked() {
        assert_eq!(scrub("bad password=hunter2, user=me"), "bad password=********, user=me");
        assert_eq!(scrub(r#"{"api_key": "abc", "x": 1}"#), r#"{"api_key": "********", "x": 1}"#);
        assert_eq!(scrub("Authorization: Bearer abc.def"), "Authorization: Bearer ********");
        assert_eq!(scrub("?token=abc&x=1"), "?token=********&x=1");
    }

    #[test]
    fn plain_texts_stay_as_they_are() {
        for text in ["Incorrect HTTP return code for url http://a/.", "a token is missing", "", "passed: 3 of 4 passes"] {
            assert_eq!(scrub(text), text);
        }
    }

    proptest! {
        #[test]
        fn any_text_can_be_scrubbed(text in ".*") {
            let _ = scrub(&text);
        }
    }
}
