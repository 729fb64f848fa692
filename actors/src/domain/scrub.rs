//! Takes secrets out of what leaves the process: which names announce one, and how texts that quote URLs and options are shown.

/// Last words of option names whose values are secrets.
const SECRET_WORDS: [&str; 17] = [
    "password",
    "passwd",
    "pass",
    "pwd",
    "passphrase",
    "token",
    "secret",
    "api_key",
    "apikey",
    "app_key",
    "private_key",
    "access_key",
    "secret_key",
    "authorization",
    "community_string",
    "authkey",
    "privkey",
];
/// Announces a secret in a header, after a space.
const BEARER: &str = "bearer";
/// What is shown instead.
pub const MASK: &str = "********";

/// Whether the value of an option, a header or a variable of this name is a secret.
///
/// Names of files (`auth_token_file_path`) and of objects (`token_name`) are none.
#[must_use]
pub fn names_a_secret(name: &str) -> bool {
    let name = name.to_lowercase().replace('-', "_");
    SECRET_WORDS.iter().any(|word| name.strip_suffix(word).is_some_and(|before| before.is_empty() || before.ends_with(['_', '.'])))
}

/// A message with URL credentials and values of secret keys masked. Source: node-runner 8.2.
#[must_use]
pub fn scrub(text: &str) -> String {
    scrub_assignments(&scrub_urls(text, |_| None))
}

/// The value of an option, masked likewise; stock shows the user of a URL. A user without password is a token.
///
/// Source: autodiscovery 11.4.
#[must_use]
pub fn scrub_option(text: &str) -> String {
    scrub_assignments(&scrub_urls(text, |credentials| credentials.split_once(':').map(|(user, _)| user)))
}

/// Masks the credentials of all URLs, but for the user that `shown` takes from them.
fn scrub_urls(text: &str, shown: impl Fn(&str) -> Option<&str>) -> String {
    let mut scrubbed = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("://") {
        let (before, after) = rest.split_at(start + 3);
        scrubbed.push_str(before);
        let authority_end = after.find(|letter: char| letter.is_whitespace() || "/?#\"'<>".contains(letter)).unwrap_or(after.len());
        let (authority, tail) = after.split_at(authority_end);
        match authority.rsplit_once('@') {
            Some((credentials, host)) => {
                if let Some(user) = shown(credentials) {
                    scrubbed.extend([user, ":"]);
                }
                scrubbed.extend([MASK, "@", host]);
            }
            None => scrubbed.push_str(authority),
        }
        rest = tail;
    }
    scrubbed + rest
}

/// Masks the value after each secret word.
fn scrub_assignments(text: &str) -> String {
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
    let candidates =
        SECRET_WORDS.iter().chain([&BEARER]).flat_map(|word| lower[from..].match_indices(word).map(|(at, word)| from + at + word.len()));
    candidates.filter_map(|word_end| secret_value(lower, word_end)).min()
}

/// Bounds of the value that follows a secret word ending at `word_end`; `None` when no value is assigned there.
fn secret_value(lower: &str, word_end: usize) -> Option<(usize, usize)> {
    let rest = &lower[word_end..];
    let assigned = rest.trim_start_matches(['"', '\'']).trim_start();
    let is_bearer = lower[..word_end].ends_with(BEARER) && rest.starts_with(' ');
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
    fn names_of_secrets_are_known() {
        for name in [
            "password",
            "db_password",
            "X-Api-Key",
            "Authorization",
            "client_secret",
            "aws_secret_access_key",
            "authKey",
            "cluster_agent.auth_token",
            "proxy.password",
            "APP_KEY",
        ] {
            assert!(names_a_secret(name), "{name}");
        }
        for name in [
            "bypass",
            "tokens_path",
            "auth_token_file_path",
            "cluster_agent.token_name",
            "kubelet_client_key",
            "passthrough",
            "name",
            "secretive",
            "site",
        ] {
            assert!(!names_a_secret(name), "{name}");
        }
    }

    #[test]
    fn credentials_of_urls_are_masked() {
        assert_eq!(scrub("get http://me:s3cret@db:80/x failed"), "get http://********@db:80/x failed");
        assert_eq!(scrub_option("http://me:s3cret@db:80/x"), "http://me:********@db:80/x");
        assert_eq!(scrub_option("http://token@host:3128"), "http://********@host:3128");
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
