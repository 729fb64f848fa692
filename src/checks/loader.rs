//! Finds the check for an instance and loads it.

use muster_actors::domain::config::Data;
use muster_actors::domain::yaml;
use muster_actors::ports::{Check, CheckInstance, CheckLoader, LoadError};
use serde_json::{Map, Value as Json};

use super::common::Trust;
use super::http_check::HttpCheck;
use super::kubernetes_apiserver::ApiserverCheck;
use super::openmetrics::OpenMetricsCheck;
use super::options::Options;
use super::settings::CheckSettings;
use super::tcp_check::TcpCheck;

/// Everything a check is loaded from.
struct Parts<'a> {
    whole: &'a CheckInstance,
    instance: &'a Map<String, Json>,
    init: Options<'a>,
    trust: Trust,
    settings: &'a CheckSettings,
}

type Constructor = fn(&Parts<'_>) -> Result<Box<dyn Check>, LoadError>;

/// The checks of this build, sorted by name.
const CHECKS: [(&str, Constructor); 4] = [
    ("http_check", |parts| Ok(Box::new(HttpCheck::load(parts.instance, parts.init, parts.trust, parts.settings)?))),
    ("kubernetes_apiserver", |parts| Ok(Box::new(ApiserverCheck::load(parts.whole, parts.settings.apiserver()?)?))),
    ("openmetrics", |parts| {
        Ok(Box::new(OpenMetricsCheck::load(Options::new(parts.instance, ""), parts.init, parts.trust, parts.settings)?))
    }),
    ("tcp_check", |parts| Ok(Box::new(TcpCheck::load(Options::new(parts.instance, ""), parts.init, parts.settings)?))),
];

/// Loads the checks that are built into the program.
#[derive(Debug)]
pub struct NativeLoader {
    settings: CheckSettings,
}

impl NativeLoader {
    /// A loader for checks of an agent with these settings.
    #[must_use]
    pub fn new(settings: CheckSettings) -> Self {
        Self { settings }
    }

    /// Names of the checks it can load, sorted.
    pub fn known_checks() -> impl Iterator<Item = &'static str> {
        CHECKS.iter().map(|(name, _)| *name)
    }
}

impl CheckLoader for NativeLoader {
    fn load(&self, instance: &CheckInstance) -> Result<Box<dyn Check>, LoadError> {
        let config = &instance.config;
        let Some(constructor) = CHECKS.iter().find(|(name, _)| *name == config.name).map(|(_, constructor)| constructor) else {
            let known = Self::known_checks().collect::<Vec<_>>().join(", ");
            return Err(LoadError::NoLoader { name: config.name.clone(), known });
        };
        let data = config.instances.get(instance.index).ok_or_else(|| LoadError::Unreadable {
            index: instance.index,
            text: format!("the config has only {} instances", config.instances.len()),
        })?;
        let map = mapping(data, instance.index, "instance")?;
        let init = match &config.init_config {
            Some(data) => mapping(data, instance.index, "init_config")?,
            None => Map::new(),
        };
        let parts = Parts {
            whole: instance,
            instance: &map,
            init: Options::new(&init, "init_config"),
            trust: Trust::of_provider(&config.provider),
            settings: &self.settings,
        };
        refuse_other_loaders(&parts)?;
        constructor(&parts)
    }
}

/// Honours `loader` of instance, then init_config: only `core` checks exist in this build.
fn refuse_other_loaders(parts: &Parts<'_>) -> Result<(), LoadError> {
    let options = Options::new(parts.instance, "");
    let asked = if options.has("loader") { options } else { parts.init };
    match asked.text("loader")?.as_deref() {
        None | Some("" | "core") => Ok(()),
        Some("python") => Err(asked.error("loader", "core; Python checks are not available in this build yet")),
        Some(_) => Err(asked.error("loader", "core")),
    }
}

/// Reads YAML as a mapping; an empty document is an empty mapping.
fn mapping(data: &Data, index: usize, what: &str) -> Result<Map<String, Json>, LoadError> {
    let unreadable = |text: String| LoadError::Unreadable { index, text: format!("{what}: {text}") };
    let value = yaml::parse(&data.text()).map_err(|problem| unreadable(problem.to_string()))?;
    match value.to_json() {
        Json::Object(map) => Ok(map),
        Json::Null => Ok(Map::new()),
        _ => Err(unreadable("found no mapping of keys to values".to_owned())),
    }
}
