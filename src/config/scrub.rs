//! Takes secrets out of values that are shown.

use muster_actors::domain::scrub::{MASK, names_a_secret, scrub_option};
use muster_actors::domain::secrets::handle;
use serde_json::Value as Json;

/// Hides a secret; of keys of the intake the last five characters stay, as stock shows them.
fn hide(name: &str, secret: &str) -> String {
    let count = secret.chars().count();
    if secret.is_empty() {
        String::new()
    } else if name.ends_with("_key") && count >= 32 {
        let shown: String = secret.chars().skip(count - 5).collect();
        format!("{}{shown}", "*".repeat(count - 5))
    } else {
        MASK.to_owned()
    }
}

/// Hides everything below a key that is a secret, texts that stand for secrets, the values of keys that name secrets, and passwords in URLs.
pub(super) fn scrub(name: &str, secret: bool, value: &Json) -> Json {
    let secret = secret || names_a_secret(name);
    match value {
        Json::String(text) if handle(text).is_some() => Json::String(MASK.to_owned()),
        Json::String(text) if secret => Json::String(hide(name, text)),
        Json::String(text) => Json::String(scrub_option(text)),
        Json::Number(_) if secret => Json::String(MASK.to_owned()),
        Json::Array(items) => items.iter().map(|item| scrub(name, secret, item)).collect(),
        Json::Object(map) => Json::Object(map.iter().map(|(key, value)| (key.clone(), scrub(key, secret, value))).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
