//! The check `kubernetes_apiserver`: what an instance may say. Source: cluster-agent-kubernetes 3.1.

use std::time::Duration;

use crate::domain::check_options::{OptionError, interval};
use crate::domain::config::Data;
use crate::domain::yaml::{self, Value, YamlError};

/// Why an instance is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// It is no YAML.
    #[error("{part} is no YAML")]
    NotYaml {
        /// `instance` or `init_config`.
        part: &'static str,
        /// Where and why.
        #[source]
        source: YamlError,
    },
    /// `event_collection_mode` is none of the two; stock's words.
    #[error("invalid event_collection_mode \"{found}\": must be \"poll\" or \"watch\"")]
    Mode {
        /// What was found.
        found: String,
    },
    /// Another option has a value that is not allowed.
    #[error(transparent)]
    Option(#[from] OptionError),
}

/// Name of the check. The cluster role does its work itself, on the leader, unless it is dispatched to an agent.
pub const CHECK_NAME: &str = "kubernetes_apiserver";

/// How events are collected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventMode {
    /// Each run reads what is new.
    #[default]
    Poll,
    /// A watch stays open between the runs.
    Watch,
}

/// Which events are forwarded one by one. Source: cluster-agent-kubernetes 3.5, "Match rule".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventSelector {
    /// Kind of the involved object; empty = any.
    pub kind: String,
    /// Source component; empty = any.
    pub source: String,
    /// Reasons; none = any.
    pub reasons: Vec<String>,
}

/// What an instance says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiserverCheckOptions {
    /// Whether events are collected.
    pub collect_events: bool,
    /// `limit` of lists and watches.
    pub max_events_per_run: u32,
    /// How long one run reads the watch, in whole seconds.
    pub read_timeout: Duration,
    /// Age after which everything is listed.
    pub resync_period: Duration,
    /// One event per Kubernetes event for selected kinds.
    pub unbundle: bool,
    /// With `unbundle`: bundle what no selector selects.
    pub bundle_unspecified: bool,
    /// Restrict to the built-in allow list.
    pub filtering: bool,
    /// Deny list, in field-selector syntax.
    pub filtered_types: Vec<String>,
    /// What is forwarded one by one.
    pub collected: Vec<EventSelector>,
    /// How events are collected.
    pub mode: EventMode,
    /// Events that a watch may hold between two runs.
    pub buffer_size: usize,
    /// Use ComponentStatus even on Kubernetes 1.35 and later.
    pub use_component_status: bool,
    /// Report quotas of OpenShift.
    pub openshift_quotas: bool,
    /// Run without leading, because the check is dispatched as a cluster check.
    pub skip_leader_election: bool,
    /// What has no host of its own stays without one, as of a check that moves from agent to agent.
    pub empty_default_hostname: bool,
    /// Tags of everything the check submits.
    pub tags: Vec<String>,
    /// Time between two runs.
    pub interval: Duration,
    /// What of the instance is ignored, and why: errors to log once.
    pub remarks: Vec<String>,
}

impl Default for ApiserverCheckOptions {
    fn default() -> Self {
        Self {
            collect_events: false,
            max_events_per_run: 300,
            read_timeout: Duration::from_secs(2),
            resync_period: Duration::from_secs(300),
            unbundle: false,
            bundle_unspecified: false,
            filtering: false,
            filtered_types: Vec::new(),
            collected: Vec::new(),
            mode: EventMode::Poll,
            buffer_size: 10_000,
            use_component_status: true,
            openshift_quotas: true,
            skip_leader_election: false,
            empty_default_hostname: false,
            tags: Vec::new(),
            interval: Duration::from_secs(15),
            remarks: Vec::new(),
        }
    }
}

impl ApiserverCheckOptions {
    /// Host of what has none of its own, on an agent of this name.
    #[must_use]
    pub fn host<'a>(&self, agent: &'a str) -> &'a str {
        if self.empty_default_hostname { "" } else { agent }
    }
}

/// Reads an instance. What it does not say is as in `defaults`; its selectors come before those of `defaults`, its tags after them.
///
/// Errors: [`OptionsError`] for the first value that is not allowed.
pub fn parse(instance: &Data, init_config: Option<&Data>, defaults: &ApiserverCheckOptions) -> Result<ApiserverCheckOptions, OptionsError> {
    let values = document(instance, "instance")?;
    let init_config = init_config.map_or(Ok(Value::Null), |data| document(data, "init_config"))?;
    let options = Options(&values);
    let unbundle = options.flag("unbundle_events", defaults.unbundle)?;
    let (mut collected, remarks) = options.selectors(unbundle)?;
    collected.extend_from_slice(&defaults.collected);
    let mut tags = defaults.tags.clone();
    tags.extend(options.texts("tags")?.unwrap_or_default());
    Ok(ApiserverCheckOptions {
        collect_events: options.flag("collect_events", defaults.collect_events)?,
        max_events_per_run: options.positive("max_events_per_run")?.unwrap_or(defaults.max_events_per_run),
        read_timeout: options.number("kubernetes_event_read_timeout_ms")?.map_or(defaults.read_timeout, whole_seconds),
        resync_period: options.number("kubernetes_event_resync_period_s")?.map_or(defaults.resync_period, seconds),
        unbundle,
        bundle_unspecified: options.flag("bundle_unspecified_events", defaults.bundle_unspecified)?,
        filtering: options.flag("filtering_enabled", defaults.filtering)?,
        filtered_types: options.texts("filtered_event_types")?.unwrap_or_else(|| defaults.filtered_types.clone()),
        collected,
        mode: options.mode(defaults.mode)?,
        buffer_size: options.positive("event_collection_buffer_size")?.map_or(defaults.buffer_size, |size| size as usize),
        use_component_status: options.flag("use_component_status", defaults.use_component_status)?,
        openshift_quotas: options.flag("collect_openshift_clusterquotas", defaults.openshift_quotas)?,
        skip_leader_election: options.flag("skip_leader_election", defaults.skip_leader_election)?,
        empty_default_hostname: options.flag("empty_default_hostname", defaults.empty_default_hostname)?,
        tags,
        interval: interval(&values, &init_config)?,
        remarks,
    })
}

fn document(data: &Data, part: &'static str) -> Result<Value, OptionsError> {
    yaml::parse(&data.text()).map_err(|source| OptionsError::NotYaml { part, source })
}

fn seconds(number: u32) -> Duration {
    Duration::from_secs(number.into())
}

/// Milliseconds, cut to seconds as stock does, so that less than 1000 is nothing.
fn whole_seconds(milliseconds: u32) -> Duration {
    seconds(milliseconds / 1000)
}

/// The options of an instance; one that is `null` is not set.
struct Options<'a>(&'a Value);

impl<'a> Options<'a> {
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.0.get(key).filter(|value| !matches!(value, Value::Null))
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool, OptionError> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            // Values of templates arrive as text.
            Some(value) => match value.key_text().to_ascii_lowercase().as_str() {
                "true" | "yes" | "y" | "on" | "1" => Ok(true),
                "false" | "no" | "n" | "off" | "0" => Ok(false),
                _ => Err(refused(key, value, "true or false")),
            },
        }
    }

    fn number(&self, key: &str) -> Result<Option<u32>, OptionError> {
        let read = |value: &Value| value.key_text().trim().parse().map_err(|_| refused(key, value, "a whole number, not negative"));
        self.get(key).map(read).transpose()
    }

    /// A number of which 0 means "not set".
    fn positive(&self, key: &str) -> Result<Option<u32>, OptionError> {
        Ok(self.number(key)?.filter(|number| *number > 0))
    }

    fn texts(&self, key: &str) -> Result<Option<Vec<String>>, OptionError> {
        self.get(key).map(|value| texts(key, value)).transpose()
    }

    fn mode(&self, default: EventMode) -> Result<EventMode, OptionsError> {
        match self.get("event_collection_mode").map(Value::key_text).as_deref() {
            None => Ok(default),
            Some("poll") => Ok(EventMode::Poll),
            Some("watch") => Ok(EventMode::Watch),
            Some(found) => Err(OptionsError::Mode { found: found.to_owned() }),
        }
    }

    /// The selectors, and what is said about those that are ignored: to forward one by one, kind or source must be named.
    fn selectors(&self, unbundle: bool) -> Result<(Vec<EventSelector>, Vec<String>), OptionError> {
        const KEY: &str = "collected_event_types";
        let (mut selectors, mut remarks) = (Vec::new(), Vec::new());
        let Some(value) = self.get(KEY) else { return Ok((selectors, remarks)) };
        let Value::List(items) = value else { return Err(refused(KEY, value, SELECTORS)) };
        for item in items {
            let selector = selector(item)?;
            if unbundle && selector.kind.is_empty() && selector.source.is_empty() {
                let found = item.key_text();
                remarks.push(format!("invalid value for {KEY}, either \"kind\" or \"source\" need to be set: {found}"));
            } else {
                selectors.push(selector);
            }
        }
        Ok((selectors, remarks))
    }
}

/// What `collected_event_types` may be.
const SELECTORS: &str = "a list of mappings with kind, source, reasons";

fn selector(item: &Value) -> Result<EventSelector, OptionError> {
    if !matches!(item, Value::Map(_)) {
        return Err(refused("collected_event_types", item, SELECTORS));
    }
    let fields = Options(item);
    let text = |key: &str| fields.get(key).map(Value::key_text).unwrap_or_default();
    let reasons = fields.get("reasons").map(|value| texts("collected_event_types.reasons", value)).transpose()?;
    Ok(EventSelector { kind: text("kind"), source: text("source"), reasons: reasons.unwrap_or_default() })
}

fn texts(key: &str, value: &Value) -> Result<Vec<String>, OptionError> {
    match value {
        Value::List(items) if !items.iter().any(|item| matches!(item, Value::List(_) | Value::Map(_))) => {
            Ok(items.iter().map(Value::key_text).collect())
        }
        _ => Err(refused(key, value, "a list of texts")),
    }
}

fn refused(key: &str, value: &Value, allowed: &str) -> OptionError {
    OptionError { key: key.to_owned(), found: value.key_text(), allowed: allowed.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(instance: &str) -> Result<ApiserverCheckOptions, OptionsError> {
        parse(&Data::from(instance), None, &ApiserverCheckOptions::default())
    }

    fn selector(kind: &str, source: &str, reasons: &[&str]) -> EventSelector {
        let reasons = reasons.iter().map(|reason| (*reason).to_owned()).collect();
        EventSelector { kind: kind.to_owned(), source: source.to_owned(), reasons }
    }

    #[test]
    fn an_instance_that_says_nothing_is_as_the_defaults() {
        let defaults = ApiserverCheckOptions { collect_events: true, tags: vec!["env:a".to_owned()], ..ApiserverCheckOptions::default() };
        for instance in ["{}", "", "collect_events: null"] {
            assert_eq!(parse(&Data::from(instance), None, &defaults).as_ref(), Ok(&defaults), "{instance}");
        }
        let stock = ApiserverCheckOptions::default();
        assert_eq!((stock.max_events_per_run, stock.read_timeout, stock.resync_period), (300, seconds(2), seconds(300)));
        assert_eq!((stock.buffer_size, stock.interval, stock.mode), (10_000, seconds(15), EventMode::Poll));
        assert!(stock.use_component_status && stock.openshift_quotas);
        assert!(!(stock.collect_events || stock.unbundle || stock.bundle_unspecified || stock.filtering || stock.skip_leader_election));
    }

    #[test]
    fn every_option_is_read() {
        let instance = r#"
            collect_events: true
            max_events_per_run: 50
            kubernetes_event_read_timeout_ms: 3500
            kubernetes_event_resync_period_s: 60
            unbundle_events: true
            bundle_unspecified_events: "yes"
            filtering_enabled: true
            filtered_event_types: [Unhealthy, "involvedObject.kind==Pod"]
            collected_event_types:
              - {kind: Pod, reasons: [BackOff, Failed]}
              - {source: karpenter}
            event_collection_mode: watch
            event_collection_buffer_size: 20
            use_component_status: false
            collect_openshift_clusterquotas: off
            skip_leader_election: true
            empty_default_hostname: true
            tags: [a:b, 1]
            min_collection_interval: 30
        "#;
        let expected = ApiserverCheckOptions {
            collect_events: true,
            max_events_per_run: 50,
            read_timeout: seconds(3),
            resync_period: seconds(60),
            unbundle: true,
            bundle_unspecified: true,
            filtering: true,
            filtered_types: vec!["Unhealthy".to_owned(), "involvedObject.kind==Pod".to_owned()],
            collected: vec![selector("Pod", "", &["BackOff", "Failed"]), selector("", "karpenter", &[])],
            mode: EventMode::Watch,
            buffer_size: 20,
            use_component_status: false,
            openshift_quotas: false,
            skip_leader_election: true,
            empty_default_hostname: true,
            tags: vec!["a:b".to_owned(), "1".to_owned()],
            interval: seconds(30),
            remarks: Vec::new(),
        };
        assert_eq!(read(instance), Ok(expected));
    }

    #[test]
    fn ca_e11_to_forward_one_by_one_a_selector_must_name_kind_or_source() {
        let selectors = "collected_event_types: [{reasons: [X]}, {kind: Pod}]";
        let options = read(&format!("unbundle_events: true\n{selectors}")).unwrap();
        assert_eq!(options.collected, [selector("Pod", "", &[])]);
        let remark = r#"invalid value for collected_event_types, either "kind" or "source" need to be set: {"reasons":["X"]}"#;
        assert_eq!(options.remarks, [remark]);
        let bundled = read(selectors).unwrap();
        assert_eq!((bundled.collected.len(), bundled.remarks.len()), (2, 0));
    }

    #[test]
    fn ca_e19_an_unknown_mode_is_refused_in_the_words_of_stock() {
        let error = read("event_collection_mode: foo").unwrap_err();
        assert_eq!(error.to_string(), r#"invalid event_collection_mode "foo": must be "poll" or "watch""#);
        assert_eq!(read("event_collection_mode: poll").unwrap().mode, EventMode::Poll);
    }

    #[test]
    fn less_than_a_second_is_no_time_to_read_and_0_events_are_the_default() {
        let options = read("{kubernetes_event_read_timeout_ms: 999, max_events_per_run: 0, event_collection_buffer_size: 0}").unwrap();
        assert_eq!((options.read_timeout, options.max_events_per_run, options.buffer_size), (Duration::ZERO, 300, 10_000));
    }

    #[test]
    fn a_wrong_value_is_told_with_what_is_allowed() {
        for (instance, text) in [
            ("collect_events: maybe", "option collect_events: found maybe, allowed: true or false"),
            ("max_events_per_run: -1", "option max_events_per_run: found -1, allowed: a whole number, not negative"),
            ("filtered_event_types: Unhealthy", "option filtered_event_types: found Unhealthy, allowed: a list of texts"),
            (
                "collected_event_types: [Pod]",
                "option collected_event_types: found Pod, allowed: a list of mappings with kind, source, reasons",
            ),
            ("collected_event_types: [{kind: Pod, reasons: x}]", "option collected_event_types.reasons: found x, allowed: a list of texts"),
            ("a: [", "instance is no YAML"),
        ] {
            assert_eq!(read(instance).unwrap_err().to_string(), text, "{instance}");
        }
    }

    #[test]
    fn what_the_defaults_add_stays_beside_what_the_instance_says() {
        let defaults = ApiserverCheckOptions {
            collected: vec![selector("", "datadog-workload-autoscaler", &[])],
            tags: vec!["env:a".to_owned()],
            ..ApiserverCheckOptions::default()
        };
        let instance = Data::from("{collected_event_types: [{kind: Pod}], tags: [x:y]}");
        let options = parse(&instance, Some(&Data::from("min_collection_interval: 20")), &defaults).unwrap();
        assert_eq!(options.collected, [selector("Pod", "", &[]), selector("", "datadog-workload-autoscaler", &[])]);
        assert_eq!(options.tags, ["env:a", "x:y"]);
        assert_eq!(options.interval, seconds(20));
    }
}
