//! Takes secrets out of values that are shown.

use serde_json::Value as Json;
use url::Url;

/// What stands for a secret.
const HIDDEN: &str = "********";

/// Whether a key or variable name says that its value is a secret.
///
/// File names (`auth_token_file_path`) and names of objects (`token_name`) are none.
#[must_use]
pub fn names_a_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    let last = name.rsplit('.').next().unwrap_or(&name);
    let secret = ["password", "passwd", "pass", "pwd", "token", "secret", "api_key", "apikey", "app_key", "private_key", "access_key"];
    secret.iter().any(|word| last == *word || last.ends_with(&format!("_{word}")))
}

/// Hides a secret; of keys of the intake the last five characters stay, as stock shows them.
fn hide(name: &str, secret: &str) -> String {
    let count = secret.chars().count();
    if secret.is_empty() {
        String::new()
    } else if name.ends_with("_key") && count >= 32 {
        let shown: String = secret.chars().skip(count - 5).collect();
        format!("{}{shown}", "*".repeat(count - 5))
    } else {
        HIDDEN.to_owned()
    }
}

/// Hides everything below a key that is a secret, the values of keys that name secrets, and passwords in URLs.
#[must_use]
pub fn scrub(name: &str, secret: bool, value: &Json) -> Json {
    let secret = secret || names_a_secret(name);
    match value {
        Json::String(text) if secret => Json::String(hide(name, text)),
        Json::String(text) => Json::String(scrub_url(text)),
        Json::Number(_) if secret => Json::String(HIDDEN.to_owned()),
        Json::Array(items) => items.iter().map(|item| scrub(name, secret, item)).collect(),
        Json::Object(map) => Json::Object(map.iter().map(|(key, value)| (key.clone(), scrub(key, secret, value))).collect()),
        other => other.clone(),
    }
}

/// `http://u:pw@host` with the password hidden; a user name alone is a token.
fn scrub_url(text: &str) -> String {
    let Some((before, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let Some(at) = rest[..end].rfind('@') else { return text.to_owned() };
    if Url::parse(text).is_err() {
        return HIDDEN.to_owned();
    }
    let user = match rest[..at].split_once(':') {
        Some((user, _)) => format!("{user}:{HIDDEN}"),
        None => HIDDEN.to_owned(),
    };
    format!("{before}://{user}{}", &rest[at..])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_of_secrets_are_known_and_names_of_files_are_not() {
        for name in ["api_key", "cluster_agent.auth_token", "password", "db_password", "client_secret", "APP_KEY"] {
            assert!(names_a_secret(name), "{name}");
        }
        for name in ["auth_token_file_path", "cluster_agent.token_name", "kubelet_client_key", "passthrough", "site"] {
            assert!(!names_a_secret(name), "{name}");
        }
    }

    #[test]
    fn keys_of_the_intake_keep_their_end() {
        assert_eq!(hide("api_key", "0123456789abcdef0123456789abcdef"), "***************************bcdef");
        assert_eq!(hide("api_key", "short"), "********");
        assert_eq!(hide("cluster_agent.auth_token", "0123456789abcdef0123456789abcdef"), "********");
        assert_eq!(hide("api_key", ""), "");
    }

    #[test]
    fn urls_lose_their_password() {
        for (found, shown) in [
            ("http://u:pw@10.96.10.4/x", "http://u:********@10.96.10.4/x"),
            ("http://token@host:3128", "http://********@host:3128"),
            ("https://host/a@b", "https://host/a@b"),
            ("no url: a@b", "no url: a@b"),
        ] {
            assert_eq!(scrub("proxy.http", false, &json!(found)), json!(shown));
        }
    }

    #[test]
    fn secrets_inside_maps_and_lists_are_hidden() {
        let value = json!([{"name": "a", "password": "p", "nested": {"token": 12}}, "x"]);
        assert_eq!(
            scrub("config_providers", false, &value),
            json!([{"name": "a", "password": "********", "nested": {"token": "********"}}, "x"])
        );
        assert_eq!(scrub("additional_endpoints", true, &json!({"https://e": ["k1"]})), json!({"https://e": ["********"]}));
    }
}
