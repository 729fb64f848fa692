//! Openmetrics checks for Services with scrape annotations. Source: autodiscovery 4.6.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map as JsonMap, Value as Json};

use crate::domain::config::{CheckConfig, Data};
use crate::domain::kube::filters::regex_detail;
use crate::domain::kube::json_text;
use crate::domain::kube::objects::{KubeService, Texts};
use crate::domain::kube::prometheus_keys::{KEPT_WHEN_FALSE, KEYS};
use crate::domain::kube::services;

/// Provider of these checks.
pub const PROVIDER: &str = "prometheus-services";

const SCRAPE: &str = "prometheus.io/scrape";
const SCHEME: &str = "prometheus.io/scheme";
const PORT: &str = "prometheus.io/port";
const PATH: &str = "prometheus.io/path";

/// What is scraped, as configured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PrometheusOptions {
    /// `prometheus_scrape.enabled`.
    pub enabled: bool,
    /// Each address instead of the Service.
    pub service_endpoints: bool,
    /// `prometheus_scrape.checks`; empty = one default entry.
    pub checks: Vec<JsonMap<String, Json>>,
    /// 1 or 2.
    pub version: u8,
}

/// Why the options cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrometheusError {
    /// A value of another type than it must have.
    #[error("\"prometheus_scrape.checks\" can not be parsed: {path} is {found}")]
    WrongType {
        /// Where, for example `[0].configurations`.
        path: String,
        /// What is there.
        found: &'static str,
        /// What may be there.
        allowed: &'static str,
    },
    /// The names of containers are no regular expression.
    #[error("Invalid container names - regex: '{pattern}': {detail}")]
    ContainerNames {
        /// All names, joined.
        pattern: String,
        /// What is wrong.
        detail: String,
    },
    /// No such form of instances.
    #[error("invalid openmetrics version {0}")]
    Version(u8),
}

impl PrometheusError {
    /// What was found.
    #[must_use]
    pub fn found(&self) -> String {
        match self {
            Self::WrongType { path, found, .. } => format!("{found} at {path}"),
            Self::ContainerNames { pattern, .. } => pattern.clone(),
            Self::Version(version) => version.to_string(),
        }
    }

    /// What is allowed instead.
    #[must_use]
    pub fn allowed(&self) -> &'static str {
        match self {
            Self::WrongType { allowed, .. } => allowed,
            Self::ContainerNames { .. } => "regular expressions",
            Self::Version(_) => "1 or 2",
        }
    }
}

/// The rules by which Services are scraped.
#[derive(Clone, Debug, PartialEq)]
pub struct Prometheus {
    version: u8,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    configurations: Vec<JsonMap<String, Json>>,
    include: BTreeMap<String, String>,
    exclude: BTreeMap<String, String>,
    /// Names containers, so it is for pods only.
    for_pods: bool,
}

impl Default for Prometheus {
    /// One entry with all defaults.
    fn default() -> Self {
        Self { version: 1, entries: vec![Entry::default_of(1)] }
    }
}

impl Prometheus {
    /// Reads the options.
    ///
    /// Errors: [`PrometheusError`].
    pub fn try_new(options: &PrometheusOptions) -> Result<Self, PrometheusError> {
        if !matches!(options.version, 1 | 2) {
            return Err(PrometheusError::Version(options.version));
        }
        if options.checks.is_empty() {
            return Ok(Self { version: options.version, entries: vec![Entry::default_of(options.version)] });
        }
        let entries = options.checks.iter().enumerate().map(|(index, check)| Entry::read(options.version, index, check));
        Ok(Self { version: options.version, entries: entries.collect::<Result<_, _>>()? })
    }

    /// Whether some annotation asks for scraping; what excludes it does not count here (autodiscovery 5.2).
    #[must_use]
    pub fn includes(&self, annotations: &Texts) -> bool {
        self.entries.iter().any(|entry| has_pair(&entry.include, annotations))
    }

    /// The checks of a Service that is scraped as such: none for a headless one.
    #[must_use]
    pub fn service_configs(&self, service: &KubeService) -> Vec<CheckConfig> {
        if &*service.cluster_ip == "None" {
            return Vec::new();
        }
        let entity = services::entity(&service.meta.key);
        let mut configs = self.templates(&service.meta.annotations);
        for config in &mut configs {
            config.source = source(&entity);
            config.ad_identifiers = vec![entity.clone()];
        }
        configs
    }

    /// The checks that the annotations of a Service ask for, without identifiers and source.
    #[must_use]
    pub fn templates(&self, annotations: &Texts) -> Vec<CheckConfig> {
        let entries = self.entries.iter().filter(|entry| !entry.for_pods && entry.matches(annotations));
        entries
            .map(|entry| CheckConfig {
                name: "openmetrics".to_owned(),
                init_config: Some(Data::from("{}")),
                instances: entry.configurations.iter().map(|configuration| self.instance(configuration, annotations)).collect(),
                provider: PROVIDER.to_owned(),
                cluster_check: true,
                ..CheckConfig::default()
            })
            .collect()
    }

    fn instance(&self, configuration: &JsonMap<String, Json>, annotations: &Texts) -> Data {
        let mut instance = configuration.clone();
        let is_set = |key: &str| instance.get(key).is_some_and(|value| !is_zero(value));
        if !is_set("prometheus_url") && !is_set("openmetrics_endpoint") {
            let key = if self.version == 1 { "prometheus_url" } else { "openmetrics_endpoint" };
            instance.insert(key.to_owned(), Json::from(url(annotations)));
        }
        let namespace = instance.get("namespace").filter(|namespace| !namespace.is_null()).cloned().unwrap_or_else(|| Json::from(""));
        instance.insert("namespace".to_owned(), namespace);
        let members: Vec<(&str, &Json)> = KEYS
            .iter()
            .filter_map(|key| Some((*key, instance.get(*key)?)))
            .filter(|(key, value)| match value {
                Json::Null => false,
                Json::Bool(false) => KEPT_WHEN_FALSE.contains(key),
                value => *key == "namespace" || !is_zero(value),
            })
            .collect();
        Data::from(json_text::write_ordered(&members))
    }
}

/// Source of the checks of an entity.
#[must_use]
pub fn source(entity: &str) -> String {
    format!("prometheus_services:{entity}")
}

impl Entry {
    fn default_of(version: u8) -> Self {
        let pair = |value: &str| BTreeMap::from([(SCRAPE.to_owned(), value.to_owned())]);
        Self { configurations: configurations(version, Vec::new()), include: pair("true"), exclude: pair("false"), for_pods: false }
    }

    fn read(version: u8, index: usize, check: &JsonMap<String, Json>) -> Result<Self, PrometheusError> {
        let place = format!("[{index}]");
        let default = Self::default_of(version);
        let listed = list(check.get("configurations"), &format!("{place}.configurations"))?;
        let objects = listed.iter().enumerate().map(|(at, value)| {
            let wrong = || wrong(&format!("{place}.configurations[{at}]"), value, "an object");
            value.as_object().cloned().ok_or_else(wrong)
        });
        let configurations = configurations(version, objects.collect::<Result<_, _>>()?);
        let empty = JsonMap::new();
        let discovery = object(check.get("autodiscovery"), &format!("{place}.autodiscovery"), &empty)?;
        let place = format!("{place}.autodiscovery");
        let annotations = object(discovery.get("kubernetes_annotations"), &format!("{place}.kubernetes_annotations"), &empty)?;
        let pairs = |word: &str, default: BTreeMap<String, String>| -> Result<_, PrometheusError> {
            let place = format!("{place}.kubernetes_annotations.{word}");
            let given = object(annotations.get(word), &place, &empty)?;
            let read = |(key, value): (&String, &Json)| Ok((key.clone(), text(value, &format!("{place}.{key}"))?));
            let given: BTreeMap<_, _> = given.iter().map(read).collect::<Result<_, PrometheusError>>()?;
            Ok(if given.is_empty() { default } else { given })
        };
        let include = pairs("include", default.include)?;
        let exclude = pairs("exclude", default.exclude)?;
        let place = format!("{place}.kubernetes_container_names");
        let names = list(discovery.get("kubernetes_container_names"), &place)?;
        let names = names.iter().map(|name| text(name, &place)).collect::<Result<Vec<_>, _>>()?;
        if !names.is_empty() {
            let pattern = names.join("|");
            if let Err(error) = Regex::new(&pattern) {
                return Err(PrometheusError::ContainerNames { pattern, detail: regex_detail(&error) });
            }
        }
        Ok(Self { configurations, include, exclude, for_pods: !names.is_empty() })
    }

    fn matches(&self, annotations: &Texts) -> bool {
        has_pair(&self.include, annotations) && !has_pair(&self.exclude, annotations)
    }
}

/// The configurations, or one with nothing in it; each with metrics.
fn configurations(version: u8, given: Vec<JsonMap<String, Json>>) -> Vec<JsonMap<String, Json>> {
    let mut configurations = if given.is_empty() { vec![JsonMap::new()] } else { given };
    let everything = if version == 1 { "*" } else { ".*" };
    for configuration in &mut configurations {
        if configuration.get("metrics").is_none_or(is_zero) {
            configuration.insert("metrics".to_owned(), Json::from(vec![everything]));
        }
    }
    configurations
}

fn has_pair(pairs: &BTreeMap<String, String>, annotations: &Texts) -> bool {
    pairs.iter().any(|(name, value)| annotations.get(name.as_str()).is_some_and(|found| **found == **value))
}

fn url(annotations: &Texts) -> String {
    let text = |name: &str, default: &'static str| annotations.get(name).map_or(default, |text| text);
    let (scheme, port, path) = (text(SCHEME, "http"), text(PORT, "%%port%%"), text(PATH, "/metrics"));
    let slash = if path.is_empty() || path.starts_with('/') { "" } else { "/" };
    format!("{scheme}://%%host%%:{port}{slash}{path}")
}

fn is_zero(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Bool(flag) => !flag,
        Json::Number(number) => number.as_f64() == Some(0.0),
        Json::String(text) => text.is_empty(),
        Json::Array(items) => items.is_empty(),
        Json::Object(members) => members.is_empty(),
    }
}

fn wrong(path: &str, found: &Json, allowed: &'static str) -> PrometheusError {
    PrometheusError::WrongType { path: path.to_owned(), found: json_text::kind(found), allowed }
}

fn list<'a>(value: Option<&'a Json>, path: &str) -> Result<&'a [Json], PrometheusError> {
    match value {
        None | Some(Json::Null) => Ok(&[]),
        Some(Json::Array(items)) => Ok(items),
        Some(other) => Err(wrong(path, other, "an array")),
    }
}

fn object<'a>(value: Option<&'a Json>, path: &str, empty: &'a JsonMap<String, Json>) -> Result<&'a JsonMap<String, Json>, PrometheusError> {
    match value {
        None | Some(Json::Null) => Ok(empty),
        Some(Json::Object(members)) => Ok(members),
        Some(other) => Err(wrong(path, other, "an object")),
    }
}

fn text(value: &Json, path: &str) -> Result<String, PrometheusError> {
    value.as_str().map(str::to_owned).ok_or_else(|| wrong(path, value, "a string"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn texts(pairs: &[(&str, &str)]) -> Texts {
        pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    fn rules(version: u8, checks: &Json) -> Result<Prometheus, PrometheusError> {
        let checks = checks.as_array().unwrap().iter().map(|check| check.as_object().unwrap().clone()).collect();
        Prometheus::try_new(&PrometheusOptions { enabled: true, service_endpoints: false, checks, version })
    }

    fn instances(version: u8, checks: &Json, annotations: &[(&str, &str)]) -> Vec<String> {
        let configs = rules(version, checks).unwrap().templates(&texts(annotations));
        configs.iter().flat_map(|config| &config.instances).map(|data| data.text().into_owned()).collect()
    }

    const SCRAPED: [(&str, &str); 1] = [("prometheus.io/scrape", "true")];

    #[test]
    fn configurations_are_written_in_the_order_of_stock_without_what_is_empty_or_unknown() {
        let checks = json!([{"configurations": [
            {"timeout": 10, "tags": [], "unknown": 1, "send_histograms_buckets": false, "tls_verify": null, "skip_proxy": false,
             "label_joins": {"b": {"labels_to_match": ["p"]}, "a": {}}, "namespace": "n", "metrics": [{"z": "y", "a<": "b"}]},
            {"openmetrics_endpoint": "http://x/", "namespace": null, "metrics": []},
        ]}]);
        let expected = [
            r#"{"prometheus_url":"http://%%host%%:%%port%%/metrics","namespace":"n","metrics":[{"a\u003c":"b","z":"y"}],"label_joins":{"a":{},"b":{"labels_to_match":["p"]}},"send_histograms_buckets":false,"timeout":10}"#,
            r#"{"namespace":"","metrics":["*"],"openmetrics_endpoint":"http://x/"}"#,
        ];
        assert_eq!(instances(1, &checks, &SCRAPED), expected);
    }

    #[test]
    fn include_and_exclude_are_chosen_and_an_empty_annotation_excludes_nothing() {
        let checks = json!([{"autodiscovery": {"kubernetes_annotations": {"include": {"team": "a"}, "exclude": {"quiet": "yes"}}}}]);
        assert_eq!(instances(2, &checks, &[("team", "a")]).len(), 1);
        assert_eq!(instances(2, &checks, &[("team", "a"), ("quiet", "yes")]).len(), 0);
        assert_eq!(instances(2, &checks, &[("team", "a"), ("quiet", ""), ("other", "")]).len(), 1);
        assert_eq!(instances(2, &checks, &SCRAPED).len(), 0);
        // Each has its own default.
        let checks = json!([{"autodiscovery": {"kubernetes_annotations": {"include": {"team": "a"}}}}]);
        assert_eq!(instances(2, &checks, &[("team", "a"), ("prometheus.io/scrape", "false")]).len(), 0);
        assert!(rules(2, &checks).unwrap().includes(&texts(&[("team", "a"), ("prometheus.io/scrape", "false")])));
    }

    #[test]
    fn mistakes_are_named() {
        let error = |checks| rules(1, &checks).unwrap_err();
        assert_eq!(
            error(json!([{"configurations": {}}])).to_string(),
            "\"prometheus_scrape.checks\" can not be parsed: [0].configurations is an object"
        );
        let annotations = json!([{"autodiscovery": {"kubernetes_annotations": {"include": {"a": true}}}}]);
        let error_of_annotations = error(annotations);
        assert_eq!(error_of_annotations.found(), "a boolean at [0].autodiscovery.kubernetes_annotations.include.a");
        assert_eq!(error_of_annotations.allowed(), "a string");
        let names = json!([{}, {"autodiscovery": {"kubernetes_container_names": ["a", "b("]}}]);
        assert_eq!(error(names).to_string(), "Invalid container names - regex: 'a|b(': unclosed group");
        assert_eq!(rules(3, &json!([])).unwrap_err(), PrometheusError::Version(3));
    }
}
