//! Takes secrets out of configs that are shown to people. Source: autodiscovery 11.4.

use crate::domain::config::{CheckConfig, Data};
use crate::domain::scrub::{MASK, names_a_secret, scrub, scrub_option};
use crate::domain::yaml::{self, Value};

/// The config with passwords, tokens and the like masked, also inside URLs.
///
/// All parts are written anew, with sequences indented and without a final newline, so ids must be computed before.
#[must_use]
pub fn scrubbed(config: &CheckConfig) -> CheckConfig {
    CheckConfig {
        instances: config.instances.iter().map(scrub_data).collect(),
        init_config: config.init_config.as_ref().map(scrub_data),
        metric_config: config.metric_config.as_ref().map(scrub_data),
        logs: config.logs.as_ref().map(scrub_data),
        ..config.clone()
    }
}

fn scrub_data(data: &Data) -> Data {
    let text = data.text();
    if text.is_empty() {
        return data.clone();
    }
    match yaml::parse(&text) {
        Ok(mut value) => {
            scrub_value(&mut value);
            // Stock shows the mask in double quotes.
            Data::from(yaml::write_indented(&value).replace(&format!("'{MASK}'"), &format!("\"{MASK}\"")))
        }
        // What cannot be read as options is treated as prose.
        Err(_) => Data::from(scrub(&text)),
    }
}

fn scrub_value(value: &mut Value) {
    match value {
        Value::Text(text) => *text = scrub_option(text),
        Value::List(items) => items.iter_mut().for_each(scrub_value),
        Value::Map(entries) => {
            for (key, value) in entries {
                if key.as_str().is_some_and(names_a_secret) { mask(value) } else { scrub_value(value) }
            }
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::UInt(_) | Value::Float(_) => {}
    }
}

/// Hides a value; a mapping under such a name describes where the secret is, so its own names count.
fn mask(value: &mut Value) {
    match value {
        Value::Null => {}
        Value::Text(text) if text.is_empty() => {}
        Value::Map(_) => scrub_value(value),
        Value::List(items) => items.iter_mut().for_each(mask),
        Value::Text(_) | Value::Bool(_) | Value::Int(_) | Value::UInt(_) | Value::Float(_) => *value = Value::from(MASK),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scrubbed_text(text: &str) -> String {
        scrub_data(&Data::from(text)).text().into_owned()
    }

    #[test]
    fn recorded_instances_are_scrubbed_as_recorded() {
        // Service shop/v2 and file uptime.d/u.yaml in the output of a stock server.
        assert_eq!(
            scrubbed_text("f: 1\n\"n\": \"012\"\npassword: hunter2secret\ntags:\n- kube_namespace:shop\nurl: http://u:pw@10.96.10.4/x\n"),
            "f: 1\n\"n\": \"012\"\npassword: \"********\"\ntags:\n  - kube_namespace:shop\nurl: http://u:********@10.96.10.4/x"
        );
        assert_eq!(scrubbed_text("{}\n"), "{}");
        assert_eq!(scrubbed_text("null\n"), "null");
    }

    #[test]
    fn secrets_are_found_at_any_depth_and_of_any_type() {
        assert_eq!(
            scrubbed_text("headers: {Authorization: Bearer x}\nl: [{password: 123}]\nempty_password: ''\ntoken: [a, b]\n"),
            "empty_password: \"\"\nheaders:\n  Authorization: '********'\nl:\n  - password: '********'\ntoken:\n  - '********'\n  - '********'"
                .replace('\'', "\"")
        );
        assert_eq!(
            scrubbed_text("auth_token: {reader: {type: file, path: /x}, password: p}\n"),
            "auth_token:\n  password: \"********\"\n  reader:\n    path: /x\n    type: file"
        );
    }

    #[test]
    fn urls_and_queries_are_scrubbed_inside_text() {
        assert_eq!(scrubbed_text("u: http://token@h/x?api_key=abc&x=1"), "u: http://********@h/x?api_key=********&x=1");
        assert_eq!(scrubbed_text("u: http://h/a@b\n"), "u: http://h/a@b");
    }

    #[test]
    fn text_that_is_no_yaml_is_scrubbed_as_prose() {
        assert_eq!(scrubbed_text("password: abc\n x: ["), "password: ********\n x: [");
    }

    #[test]
    fn absent_parts_stay_absent_and_other_fields_are_kept() {
        let config =
            CheckConfig { name: "a".to_owned(), logs: Some(Data::from("")), source: "file:x".to_owned(), ..CheckConfig::default() };
        assert_eq!(scrubbed(&config), config);
    }

    proptest! {
        #[test]
        fn a_password_never_survives(word in "[a-z]{2,6}_", text in "[ -~]{1,12}") {
            let entries = vec![(Value::from(format!("{word}password").as_str()), Value::from(text.as_str()))];
            let mut value = Value::Map(entries);
            scrub_value(&mut value);
            prop_assert_eq!(value.get(&format!("{word}password")), Some(&Value::from(MASK)));
        }
    }
}
