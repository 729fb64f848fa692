//! The configuration of a running process: shown, and changed where that is possible.
//!
//! Source: cluster-agent-kubernetes 1.7 (`/config`, `/config/by-source`, `/config/list-runtime`, `/config/{setting}`).

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use muster_actors::domain::yaml::{self, Value as Yaml};
use serde_json::{Map as JsonMap, Value as Json, json};

use super::effective::Config;
use super::keys;
use super::log_level::LogLevel;
use super::option::{KeySpec, Kind};
use super::scrub::scrub;
use super::source::{Source, Sourced};
use super::value::Value;

/// Sources in the order in which stock lists them.
const SOURCES: &[&str] =
    &["default", "unknown", "file", "environment-variable", "fleet-policies", "agent-runtime", "local-config-process", "cli"];

/// Stock's settings that tune the runtime of another language: known, accepted, without effect.
const WITHOUT_EFFECT: &[(&str, Kind, &str)] = &[
    ("runtime_mutex_profile_fraction", ANY_INTEGER, "Accepted, without effect"),
    ("runtime_block_profile_rate", ANY_INTEGER, "Accepted, without effect"),
    ("internal_profiling_goroutines", Kind::Bool, "Accepted, without effect"),
    ("internal_profiling", Kind::Bool, "Accepted, without effect"),
];

const ANY_INTEGER: Kind = Kind::Integer { min: i64::MIN, max: i64::MAX };

/// Why a setting is not shown or changed. Texts as stock.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuntimeError {
    /// No such key, or it cannot be changed while running.
    #[error("setting {name} not found")]
    NotFound {
        /// Its name.
        name: String,
    },
    /// No such log level.
    #[error("unknown log level: {value}")]
    LogLevel {
        /// What was given.
        value: String,
    },
    /// The value does not fit.
    #[error("{reader}: bad parameter value provided: {value}")]
    BadValue {
        /// `GetInt` or `GetBool`.
        reader: &'static str,
        /// What was given.
        value: String,
    },
}

/// Applies a log level.
pub type ApplyLogLevel = Arc<dyn Fn(LogLevel) + Send + Sync>;

/// The configuration of a running process.
#[derive(Clone)]
pub struct RuntimeConfig {
    config: Arc<ArcSwap<Config>>,
    apply_log_level: ApplyLogLevel,
}

impl RuntimeConfig {
    /// Starts with the configuration as loaded.
    #[must_use]
    pub fn new(config: Config, apply_log_level: ApplyLogLevel) -> Self {
        Self { config: Arc::new(ArcSwap::from_pointee(config)), apply_log_level }
    }

    /// The configuration of this moment.
    #[must_use]
    pub fn current(&self) -> Arc<Config> {
        self.config.load_full()
    }

    /// All effective values as nested YAML, scrubbed (`/config`).
    #[must_use]
    pub fn effective_yaml(&self) -> String {
        yaml::write(&to_yaml(&effective(&self.current())))
    }

    /// Every source with its values, nested, scrubbed (`/config/by-source`).
    #[must_use]
    pub fn by_source(&self) -> Json {
        let config = self.current();
        let mut sources: JsonMap<String, Json> = SOURCES.iter().map(|name| ((*name).to_owned(), json!({}))).collect();
        for spec in keys::all().filter(|spec| spec.kind != Kind::Tree) {
            for sourced in config.by_source(spec) {
                let values = sources.entry(sourced.source.stock_name()).or_insert_with(|| json!({}));
                nest(values, spec.key, shown(spec, &sourced.value));
            }
        }
        Json::Object(sources)
    }

    /// The values of every source as nested YAML, scrubbed, by the name of the source; and those that are in force and no default, as
    /// `provided`.
    #[must_use]
    pub fn yaml_by_source(&self) -> BTreeMap<String, String> {
        let config = self.current();
        let mut provided = json!({});
        for spec in keys::all().filter(|spec| spec.kind != Kind::Tree) {
            let effective = config.effective(spec);
            if effective.source != Source::Default {
                nest(&mut provided, spec.key, shown(spec, &effective.value));
            }
        }
        let Json::Object(mut sources) = self.by_source() else { return BTreeMap::new() };
        sources.insert("provided".to_owned(), provided);
        sources.into_iter().map(|(source, values)| (source, yaml::write(&to_yaml(&values)))).collect()
    }

    /// What can be changed while running (`/config/list-runtime`).
    #[must_use]
    pub fn list_runtime(&self) -> Json {
        let entry = |description: &str| json!({"Description": description, "Hidden": false});
        let mut listed: JsonMap<String, Json> = WITHOUT_EFFECT.iter().map(|(name, _, text)| ((*name).to_owned(), entry(text))).collect();
        let description = "Set/get the log level, valid values are: trace, debug, info, warn, error, critical and off";
        listed.insert("log_level".to_owned(), entry(description));
        Json::Object(listed)
    }

    /// One value (`/config/{setting}`); with the values of all sources when asked for.
    ///
    /// Errors: [`RuntimeError::NotFound`].
    pub fn setting(&self, name: &str, with_sources: bool) -> Result<Json, RuntimeError> {
        if let Some((_, kind, _)) = WITHOUT_EFFECT.iter().find(|(known, _, _)| *known == name) {
            return Ok(json!({"value": if *kind == Kind::Bool { json!(false) } else { json!(0) }}));
        }
        let spec = find(name).ok_or_else(|| RuntimeError::NotFound { name: name.to_owned() })?;
        let config = self.current();
        let mut answer = json!({"value": shown(spec, &config.effective(spec).value)});
        if with_sources {
            let values = config.by_source(spec);
            let of_source = |source: &str| {
                let strongest = values.iter().rev().find(|sourced| sourced.source.stock_name() == source);
                json!({"Source": source, "Value": strongest.map(|sourced: &Sourced<Value>| shown(spec, &sourced.value))})
            };
            answer["sources_value"] = SOURCES.iter().map(|source| of_source(source)).collect();
        }
        Ok(answer)
    }

    /// Changes a value while running (`POST /config/{setting}`).
    ///
    /// Errors: [`RuntimeError`].
    pub fn set(&self, name: &str, value: &str) -> Result<(), RuntimeError> {
        if let Some((_, kind, _)) = WITHOUT_EFFECT.iter().find(|(known, _, _)| *known == name) {
            let reader = if *kind == Kind::Bool { "GetBool" } else { "GetInt" };
            let fits = super::value::parse_text(*kind, value).is_some();
            return if fits { Ok(()) } else { Err(RuntimeError::BadValue { reader, value: value.to_owned() }) };
        }
        let spec = find(name).filter(|spec| spec.key == "log_level").ok_or_else(|| RuntimeError::NotFound { name: name.to_owned() })?;
        let level = LogLevel::parse(value).ok_or_else(|| RuntimeError::LogLevel { value: value.to_owned() })?;
        self.config.rcu(|config| config.with_runtime_value(spec, level.word()).map_or_else(|| Arc::clone(config), Arc::new));
        // A level given on the command line is stronger than one set here.
        let Value::Text(effective) = self.current().effective(spec).value else { return Ok(()) };
        (self.apply_log_level)(LogLevel::parse(&effective).unwrap_or(level));
        Ok(())
    }
}

fn find(name: &str) -> Option<&'static KeySpec> {
    keys::find(name).filter(|spec| spec.kind != Kind::Tree)
}

fn effective(config: &Config) -> Json {
    let mut root = json!({});
    for spec in keys::all().filter(|spec| spec.kind != Kind::Tree) {
        nest(&mut root, spec.key, shown(spec, &config.effective(spec).value));
    }
    root
}

fn shown(spec: &KeySpec, value: &Value) -> Json {
    scrub(spec.key, spec.secret, &value.to_json(spec.kind))
}

/// Puts a value at a dotted key.
fn nest(root: &mut Json, key: &str, value: Json) {
    let mut place = root;
    for part in key.split('.') {
        place = &mut place[part];
    }
    *place = value;
}

fn to_yaml(json: &Json) -> Yaml {
    match json {
        Json::Null => Yaml::Null,
        Json::Bool(value) => Yaml::Bool(*value),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => Yaml::Int(value),
            (None, Some(value)) => Yaml::UInt(value),
            (None, None) => Yaml::Float(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Yaml::Text(text.clone()),
        Json::Array(items) => Yaml::List(items.iter().map(to_yaml).collect()),
        Json::Object(map) => map.iter().map(|(key, value)| (key.clone(), to_yaml(value))).collect(),
    }
}

#[cfg(test)]
mod tests;
