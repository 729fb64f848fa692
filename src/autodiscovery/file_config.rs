//! One config file: its text to a config. Source: autodiscovery 4.1.

use std::path::Path;

use muster_actors::domain::config::{CheckConfig, Data};
use muster_actors::domain::discovery::ConfigError;
use muster_actors::domain::template::{Environment, VariableError, substitute_environment};
use muster_actors::domain::yaml::{self, Document, Position, Value};

use crate::autodiscovery::advanced;

/// Largest file that is read.
///
/// Units: bytes. Why: a file dropped by mistake must not take the memory of the process.
pub const MAX_FILE_BYTES: u64 = 4 << 20;

/// Keys of a config file.
const KEYS: [&str; 12] = [
    "ad_identifiers",
    "advanced_ad_identifiers",
    "cel_selector",
    "check_tag_cardinality",
    "cluster_check",
    "discovery",
    "docker_images",
    "ignore_autodiscovery_tags",
    "init_config",
    "instances",
    "jmx_metrics",
    "logs",
];

/// What a good file says.
#[derive(Debug, Clone)]
pub(super) struct FileConfig {
    /// The config, with environment variables in place.
    pub(super) config: CheckConfig,
    /// Only logs: it does not hide a default file of the same check.
    pub(super) logs_only: bool,
    /// It waits for a Kubernetes object by advanced identifiers, so it is a template and not for the file provider.
    pub(super) waits_for_kubernetes: bool,
    /// What is odd about it.
    pub(super) warnings: Vec<String>,
}

/// Reads the text of a file.
///
/// Errors: [`ConfigError`] with the position of what is wrong.
pub(super) fn read(name: &str, path: &Path, bytes: &[u8], environment: &Environment<'_>) -> Result<FileConfig, Box<ConfigError>> {
    let file = File { name, path, document: Document::default() };
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let good = &bytes[..error.valid_up_to()];
        let position = Position::after(&String::from_utf8_lossy(good));
        file.error(Some(position), "not valid YAML", "a byte that is not UTF-8", "UTF-8 text")
    })?;
    let document = yaml::parse_document(text).map_err(|error| {
        file.error(Some(error.position()), "not valid YAML", &error.message, "YAML; mend it at this line and column or just before")
    })?;
    File { document, ..file }.build(environment)
}

struct File<'a> {
    name: &'a str,
    path: &'a Path,
    document: Document,
}

impl File<'_> {
    fn error(&self, position: Option<Position>, problem: &str, found: &str, allowed: &str) -> Box<ConfigError> {
        Box::new(ConfigError {
            integration: self.name.to_owned(),
            origin: self.path.display().to_string(),
            position,
            problem: problem.to_owned(),
            found: found.to_owned(),
            allowed: allowed.to_owned(),
        })
    }

    fn wrong_type(&self, key: &str, found: &Value, allowed: &str) -> Box<ConfigError> {
        let problem = format!("wrong type of {key}");
        self.error(self.document.position(key), &problem, found.kind(), allowed)
    }

    fn build(&self, environment: &Environment<'_>) -> Result<FileConfig, Box<ConfigError>> {
        if !matches!(self.document.value, Value::Map(_) | Value::Null) {
            return Err(self.error(
                self.document.position(""),
                "not a config",
                self.document.value.kind(),
                "a mapping with the key instances, logs or jmx_metrics",
            ));
        }
        let instances = self.instances()?;
        let ad_identifiers = self.texts("ad_identifiers")?;
        let deprecated_images = self.texts("docker_images")?;
        let mut config = CheckConfig {
            name: self.name.to_owned(),
            instances,
            init_config: self.part("init_config").map(|value| Data::from(yaml::write(value))),
            metric_config: self.part("jmx_metrics").map(|value| Data::from(yaml::write(value))),
            logs: self.part("logs").map(|value| Data::from(yaml::write(&Value::Map(vec![(Value::from("logs"), value.clone())])))),
            ad_identifiers,
            cluster_check: self.flag("cluster_check")?,
            source: format!("file:{}", self.path.display()),
            ignore_autodiscovery_tags: self.flag("ignore_autodiscovery_tags")?,
            check_tag_cardinality: self.text("check_tag_cardinality")?,
            ..CheckConfig::default()
        };
        self.check_content(&config, &deprecated_images)?;
        self.check_selector()?;
        let logs_only =
            config.logs.is_some() && config.metric_config.is_none() && config.instances.is_empty() && config.ad_identifiers.is_empty();
        let waits_for_kubernetes = matches!(self.part("advanced_ad_identifiers"), Some(Value::List(items)) if !items.is_empty());
        let mut warnings = self.warnings();
        let (identifiers, odd) = advanced::identifiers(&self.document)
            .map_err(|error| self.error(self.document.position(&error.path), &error.problem(), error.found, error.allowed))?;
        config.advanced_ad_identifiers = identifiers;
        warnings.extend(odd.into_iter().map(|odd| format!("{}: {odd}", self.path.display())));
        let mut read = FileConfig { config, logs_only, waits_for_kubernetes, warnings };
        if let Some(error) = substitute_environment(&mut read.config, environment)
            // A template waits for its service, which is no mistake.
            && !matches!(error.reason, VariableError::NeedsService(_))
        {
            read.warnings.push(format!("{}: {} is used as it is: {}", self.path.display(), error.part, error.reason));
        }
        Ok(read)
    }

    fn check_content(&self, config: &CheckConfig, deprecated_images: &[String]) -> Result<(), Box<ConfigError>> {
        let has_content =
            !config.instances.is_empty() || config.metric_config.is_some() || config.logs.is_some() || self.part("discovery").is_some();
        if !has_content {
            let found = match &self.document.value {
                Value::Map(entries) if !entries.is_empty() => {
                    let keys: Vec<_> = entries.iter().map(|(key, _)| key.key_text()).take(KEYS.len()).collect();
                    format!("the keys {}", keys.join(", "))
                }
                _ => "no keys".to_owned(),
            };
            return Err(self.error(
                self.document.position("instances"),
                "Configuration file contains no valid instances",
                &found,
                "at least one item under instances, or logs, or jmx_metrics",
            ));
        }
        if !deprecated_images.is_empty() && config.ad_identifiers.is_empty() {
            return Err(self.error(
                self.document.position("docker_images"),
                "the 'docker_images' section is deprecated, please use 'ad_identifiers' instead",
                "docker_images",
                "ad_identifiers",
            ));
        }
        Ok(())
    }

    /// Selectors are programs that nothing here runs. Source: autodiscovery 4.7.
    fn check_selector(&self) -> Result<(), Box<ConfigError>> {
        let found = match self.part("cel_selector") {
            None => return Ok(()),
            Some(Value::Map(rules)) if rules.is_empty() => return Ok(()),
            Some(other) => other.kind(),
        };
        let position = self.document.position("cel_selector");
        Err(self.error(position, "cel_selector is not supported", found, "ad_identifiers or advanced_ad_identifiers"))
    }

    /// A key that is there and not null.
    fn part(&self, key: &str) -> Option<&Value> {
        self.document.value.get(key).filter(|value| !matches!(value, Value::Null))
    }

    fn instances(&self) -> Result<Vec<Data>, Box<ConfigError>> {
        let items = match self.part("instances") {
            None => return Ok(Vec::new()),
            Some(Value::List(items)) => items,
            Some(other) => return Err(self.wrong_type("instances", other, "a sequence of mappings")),
        };
        let mut instances = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            instances.push(match item {
                Value::Map(_) => Data::from(yaml::write(item)),
                Value::Null => Data::from("{}\n"),
                other => return Err(self.wrong_type(&format!("instances[{index}]"), other, "a mapping")),
            });
        }
        Ok(instances)
    }

    fn flag(&self, key: &str) -> Result<bool, Box<ConfigError>> {
        match self.part(key) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(self.wrong_type(key, other, "true or false")),
        }
    }

    fn text(&self, key: &str) -> Result<String, Box<ConfigError>> {
        match self.part(key) {
            None => Ok(String::new()),
            Some(other @ (Value::List(_) | Value::Map(_))) => Err(self.wrong_type(key, other, "a text")),
            Some(scalar) => Ok(self.document.raw_text(key).map_or_else(|| scalar.key_text(), str::to_owned)),
        }
    }

    fn texts(&self, key: &str) -> Result<Vec<String>, Box<ConfigError>> {
        let items = match self.part(key) {
            None => return Ok(Vec::new()),
            Some(Value::List(items)) => items,
            Some(other) => return Err(self.wrong_type(key, other, "a sequence of texts")),
        };
        let mut texts = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            match item {
                Value::List(_) | Value::Map(_) => return Err(self.wrong_type(&format!("{key}[{index}]"), item, "a text")),
                scalar => texts.push(scalar.key_text()),
            }
        }
        Ok(texts)
    }

    fn warnings(&self) -> Vec<String> {
        let path = self.path.display();
        let mut warnings: Vec<_> =
            self.document.warnings.iter().map(|warning| format!("{path}, {}: {}", warning.position, warning.message)).collect();
        let Value::Map(entries) = &self.document.value else {
            return warnings;
        };
        for (key, _) in entries {
            let key = key.key_text();
            // Written by tools that dump configs; it says where a config was resolved and means nothing in a file.
            if KEYS.contains(&key.as_str()) || key == "service_id" {
                continue;
            }
            let place = self.document.position(&key).map_or_else(String::new, |position| format!(", {position}"));
            warnings.push(format!("{path}{place}: unknown key {key:?} is ignored, known keys: {}", KEYS.join(", ")));
        }
        warnings
    }
}
