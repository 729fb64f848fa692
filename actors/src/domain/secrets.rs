//! Secrets in configs: which texts stand for one, and what the secret backend answers. Source: autodiscovery 8.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use crate::domain::backoff::BackoffPolicy;
use crate::domain::config::{CheckConfig, Data};
use crate::domain::scrub::MASK;
use crate::domain::secret::Secret;
use crate::domain::yaml::{self, Value};

/// Pauses between two questions to a secret backend that does not answer.
pub const BACKOFF: BackoffPolicy =
    BackoffPolicy { base: Duration::from_secs(1), factor: 2.0, max: Duration::from_secs(60), recovery_interval: 1, recovery_reset: true };

/// Names of secrets, the text between the brackets of `ENC[...]`.
pub type Handles = BTreeSet<String>;

/// Values of secrets by their handles.
pub type SecretValues = BTreeMap<String, Secret<String>>;

/// Why secrets have no value. No text holds a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The program cannot be run, or failed.
    #[error("error while running '{command}': {reason}")]
    Command {
        /// The program.
        command: String,
        /// What happened.
        reason: String,
    },
    /// The program does not answer.
    #[error("error while running '{command}': command timeout")]
    Timeout {
        /// The program.
        command: String,
    },
    /// Its output is not what it should be.
    #[error("could not unmarshal 'secret_backend_command' output: {0}")]
    Unreadable(String),
    /// Its output does not name a handle.
    #[error("secret handle '{0}' was not resolved by the secret_backend_command")]
    Missing(String),
    /// It has an error for a handle.
    #[error("an error occurred while resolving '{handle}': {message}")]
    Refused {
        /// Which one.
        handle: String,
        /// In the words of the program.
        message: String,
    },
    /// The value of a handle is empty.
    #[error("resolved secret for '{0}' is empty")]
    Empty(String),
}

impl SecretError {
    /// Which handle it is about, if it is about one.
    #[must_use]
    pub fn handle(&self) -> Option<&str> {
        match self {
            Self::Command { .. } | Self::Timeout { .. } | Self::Unreadable(_) => None,
            Self::Missing(handle) | Self::Empty(handle) | Self::Refused { handle, .. } => Some(handle),
        }
    }
}

/// What the program gets on its standard input.
#[must_use]
pub fn request(handles: &Handles) -> String {
    json!({"secrets": handles, "version": "1.0"}).to_string()
}

/// What the program says about one handle.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    error: Option<String>,
}

/// Reads the standard output of the program: each handle's value, or why it has none.
///
/// `remove_line_break` takes line breaks off the end of values.
///
/// Errors: [`SecretError::Unreadable`] for output that is not the expected JSON.
pub fn read_answer(
    handles: &Handles,
    output: &[u8],
    remove_line_break: bool,
) -> Result<BTreeMap<String, Result<Secret<String>, SecretError>>, SecretError> {
    // The text of the parser may quote the output, so only the place is told.
    let mut answers: BTreeMap<String, Answer> = serde_json::from_slice(output).map_err(|error| {
        let what = if error.is_data() { "values and errors by handle expected" } else { "not valid JSON" };
        SecretError::Unreadable(format!("{what}, line {}, column {}", error.line(), error.column()))
    })?;
    let mut read = BTreeMap::new();
    for handle in handles {
        let value = match answers.remove(handle) {
            None => Err(SecretError::Missing(handle.clone())),
            Some(Answer { error: Some(message), .. }) if !message.is_empty() => {
                Err(SecretError::Refused { handle: handle.clone(), message })
            }
            Some(Answer { value, .. }) => {
                let value = value.unwrap_or_default();
                let value = if remove_line_break { value.trim_end_matches(['\r', '\n']) } else { &value };
                if value.is_empty() { Err(SecretError::Empty(handle.clone())) } else { Ok(Secret::new(value.to_owned())) }
            }
        };
        read.insert(handle.clone(), value);
    }
    Ok(read)
}

/// All handles in the values of a config.
#[must_use]
pub fn handles(config: &CheckConfig) -> Handles {
    let mut found = Handles::new();
    for (_, data) in parts(config) {
        collect(data, &mut found);
    }
    found
}

/// The config with its handles replaced. Parts without a handle keep their bytes.
///
/// Errors: [`SecretError::Missing`] for the first handle without a value.
pub fn decrypted(config: &CheckConfig, values: &SecretValues) -> Result<CheckConfig, SecretError> {
    let optional = |data: &Option<Data>| data.as_ref().map(|data| replaced(data, values)).transpose();
    Ok(CheckConfig {
        init_config: optional(&config.init_config)?,
        instances: config.instances.iter().map(|data| replaced(data, values)).collect::<Result<_, _>>()?,
        metric_config: optional(&config.metric_config)?,
        logs: optional(&config.logs)?,
        ..config.clone()
    })
}

/// The config with these values masked, whatever the keys above them are called. Parts without such a value keep their bytes.
#[must_use]
pub fn hidden(config: &CheckConfig, values: &SecretValues) -> CheckConfig {
    let secrets: BTreeSet<&str> = values.values().map(|secret| secret.expose().as_str()).collect();
    let hide = |data: &Data| {
        let Some(mut value) = (if secrets.is_empty() { None } else { yaml::parse(&data.text()).ok() }) else {
            return data.clone();
        };
        let mut any = false;
        visit(&mut value, &mut |text| {
            let secret = secrets.contains(text);
            any |= secret;
            secret.then(|| MASK.to_owned())
        });
        if any { Data::from(yaml::write(&value)) } else { data.clone() }
    };
    CheckConfig {
        instances: config.instances.iter().map(hide).collect(),
        init_config: config.init_config.as_ref().map(hide),
        metric_config: config.metric_config.as_ref().map(hide),
        logs: config.logs.as_ref().map(hide),
        ..config.clone()
    }
}

/// Why a config without service is dropped, in the words of the stock agent.
#[must_use]
pub fn dropped(config: &CheckConfig, error: &SecretError) -> String {
    format!("Unable to resolve secrets for config '{}', dropping check configuration, err: {}", config.name, in_part(config, error))
}

/// Why a resolved template is dropped, in the words of the stock agent.
#[must_use]
pub fn dropped_for_service(config: &CheckConfig, error: &SecretError) -> String {
    format!("error decrypting secrets in config {} for service {}: {}", config.name, config.service_id, in_part(config, error))
}

/// The error with the first part that it concerns.
fn in_part(config: &CheckConfig, error: &SecretError) -> String {
    let concerned = parts(config).find(|(_, data)| {
        let mut found = Handles::new();
        collect(data, &mut found);
        error.handle().map_or(!found.is_empty(), |handle| found.contains(handle))
    });
    let place = concerned.map_or("", |(place, _)| place);
    format!("error while decrypting secrets {place}: {error}")
}

fn parts(config: &CheckConfig) -> impl Iterator<Item = (&'static str, &Data)> {
    let init_config = config.init_config.iter().map(|data| ("in 'init_config'", data));
    let instances = config.instances.iter().map(|data| ("in an instance", data));
    let metric_config = config.metric_config.iter().map(|data| ("in 'metrics'", data));
    init_config.chain(instances).chain(metric_config).chain(config.logs.iter().map(|data| ("'logs'", data)))
}

/// Handle of a text that stands for a secret as a whole, but for blanks and tabs around.
#[must_use]
pub fn handle(text: &str) -> Option<&str> {
    text.trim_matches([' ', '\t']).strip_prefix("ENC[")?.strip_suffix(']')
}

/// The document in data that may hold a handle; what is no YAML holds none.
fn document(data: &Data) -> Option<Value> {
    let text = data.text();
    if text.contains("ENC[") { yaml::parse(&text).ok() } else { None }
}

fn collect(data: &Data, found: &mut Handles) {
    if let Some(mut value) = document(data) {
        visit(&mut value, &mut |text| {
            found.extend(handle(text).map(str::to_owned));
            None
        });
    }
}

fn replaced(data: &Data, values: &SecretValues) -> Result<Data, SecretError> {
    let Some(mut value) = document(data) else {
        return Ok(data.clone());
    };
    let mut missing = None;
    let mut any = false;
    visit(&mut value, &mut |text| {
        let handle = handle(text)?;
        any = true;
        let secret = values.get(handle).map(|secret| secret.expose().clone());
        if secret.is_none() && missing.is_none() {
            missing = Some(SecretError::Missing(handle.to_owned()));
        }
        secret
    });
    match missing {
        Some(error) => Err(error),
        None if any => Ok(Data::from(yaml::write(&value))),
        None => Ok(data.clone()),
    }
}

/// Shows every text at any depth to a function, which may replace it; keys are left alone.
fn visit(value: &mut Value, replace: &mut dyn FnMut(&str) -> Option<String>) {
    match value {
        Value::Text(text) => {
            if let Some(replaced) = replace(text) {
                *text = replaced;
            }
        }
        Value::List(items) => items.iter_mut().for_each(|item| visit(item, replace)),
        Value::Map(entries) => entries.iter_mut().for_each(|(_, item)| visit(item, replace)),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::UInt(_) | Value::Float(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(handles: &[&str]) -> Handles {
        handles.iter().map(ToString::to_string).collect()
    }

    fn config(instance: &str) -> CheckConfig {
        CheckConfig { name: "redisdb".to_owned(), instances: vec![Data::from(instance)], ..CheckConfig::default() }
    }

    fn values(pairs: &[(&str, &str)]) -> SecretValues {
        pairs.iter().map(|(handle, value)| ((*handle).to_owned(), Secret::new((*value).to_owned()))).collect()
    }

    fn answer(output: &str) -> Result<Secret<String>, SecretError> {
        read_answer(&names(&["db_pass"]), output.as_bytes(), false)?.remove("db_pass").unwrap()
    }

    #[test]
    fn ad_v60_a_handle_is_asked_for_and_replaced() {
        let one = config("password: ENC[db_pass]\nuser: dd\n");
        assert_eq!(handles(&one), names(&["db_pass"]));
        assert_eq!(request(&handles(&one)), r#"{"secrets":["db_pass"],"version":"1.0"}"#);
        assert_eq!(answer(r#"{"db_pass":{"value":"0123","error":null}}"#).unwrap().expose(), "0123");
        let plain = decrypted(&one, &values(&[("db_pass", "0123")])).unwrap();
        assert_eq!(plain.instances[0].text(), "password: \"0123\"\nuser: dd\n");
    }

    #[test]
    fn ad_v60_answers_without_a_value_are_errors() {
        let text = |output: &str| answer(output).unwrap_err().to_string();
        assert_eq!(text("{}"), "secret handle 'db_pass' was not resolved by the secret_backend_command");
        assert_eq!(text(r#"{"db_pass":{"value":"","error":"nope"}}"#), "an error occurred while resolving 'db_pass': nope");
        assert_eq!(text(r#"{"db_pass":{"value":""}}"#), "resolved secret for 'db_pass' is empty");
        assert_eq!(text("hunter2"), "could not unmarshal 'secret_backend_command' output: not valid JSON, line 1, column 1");
        assert!(text(r#"{"db_pass":"hunter2"}"#).starts_with("could not unmarshal 'secret_backend_command' output: values and errors"));
        assert!(!text(r#"{"db_pass":"hunter2"}"#).contains("hunter2"));
    }

    #[test]
    fn ad_v60_only_whole_texts_are_secrets() {
        for text in ["password: xENC[a]", "password: ENC[a]x", "ENC[a]: x", "password: [ENC]"] {
            assert!(handles(&config(text)).is_empty(), "{text}");
            assert_eq!(decrypted(&config(text), &SecretValues::new()).unwrap(), config(text));
        }
        assert_eq!(handles(&config("password: ' ENC[a] '")), names(&["a"]));
        assert_eq!(handles(&config("l: [{p: \"\\tENC[b c]\"}, 'ENC[[x]]']")), names(&["[x]", "b c"]));
    }

    #[test]
    fn every_part_is_searched_and_a_part_without_secret_keeps_its_bytes() {
        let mut one = config("{a: 'ENC[1]'}");
        one.instances.push(Data::from("{b:   1}"));
        one.init_config = Some(Data::from("p: ENC[2]"));
        one.metric_config = Some(Data::from("p: ENC[3]"));
        one.logs = Some(Data::from("- p: ENC[4]"));
        assert_eq!(handles(&one), names(&["1", "2", "3", "4"]));
        let plain = decrypted(&one, &values(&[("1", "yes"), ("2", "b"), ("3", "c"), ("4", "d\ne")])).unwrap();
        let texts: Vec<_> = parts(&plain).map(|(_, data)| data.text().into_owned()).collect();
        assert_eq!(texts, ["p: b\n", "a: \"yes\"\n", "{b:   1}", "p: c\n", "- p: |-\n    d\n    e\n"]);
        assert_eq!(decrypted(&one, &values(&[("1", "a")])).unwrap_err(), SecretError::Missing("2".to_owned()));
    }

    #[test]
    fn values_are_hidden_under_any_key() {
        let one = config("{l: [hunter2, hunter], u: x}");
        let shown = hidden(&one, &values(&[("1", "hunter2")]));
        assert_eq!(shown.instances[0].text(), "l:\n- '********'\n- hunter\nu: x\n");
        assert_eq!(hidden(&one, &values(&[("1", "other")])), one);
        assert_eq!(hidden(&one, &SecretValues::new()), one);
    }

    #[test]
    fn a_dropped_config_is_told_with_the_part() {
        let mut one = config("a: ENC[1]");
        let missing = SecretError::Missing("1".to_owned());
        assert_eq!(
            dropped(&one, &missing),
            "Unable to resolve secrets for config 'redisdb', dropping check configuration, err: error while decrypting secrets in an \
             instance: secret handle '1' was not resolved by the secret_backend_command"
        );
        one.service_id = "kube_service://a/b".to_owned();
        one.init_config = Some(Data::from("a: ENC[2]"));
        let timeout = SecretError::Timeout { command: "/x".to_owned() };
        assert_eq!(
            dropped_for_service(&one, &timeout),
            "error decrypting secrets in config redisdb for service kube_service://a/b: error while decrypting secrets in \
             'init_config': error while running '/x': command timeout"
        );
    }

    #[test]
    fn line_breaks_are_removed_only_if_asked_for() {
        let read = |remove| read_answer(&names(&["a"]), br#"{"a":{"value":"x \r\n\n"},"other":{"value":"y"}}"#, remove).unwrap();
        assert_eq!(read(true)["a"].as_ref().unwrap().expose(), "x ");
        assert_eq!(read(false)["a"].as_ref().unwrap().expose(), "x \r\n\n");
        assert_eq!(read(true).len(), 1);
    }
}
