//! Keys that every check honours. Source: node-runner 9.

use fancy_regex::Regex;
use muster_actors::ports::LoadError;

use super::options::Options;

/// Who wrote the config, as far as reading local files goes.
///
/// Why: a key that names a file lets whoever writes an annotation read files of the agent (node-runner 16, trap 11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// The config came from a file of the operator.
    LocalFile,
    /// Anything else: annotations, services, remote providers.
    Untrusted,
}

impl Trust {
    /// Trust in a provider by its name.
    pub(crate) fn of_provider(provider: &str) -> Self {
        if provider == "file" { Self::LocalFile } else { Self::Untrusted }
    }

    /// Refuses a key that names a local file unless the config is trusted with that.
    pub(crate) fn allow_file(self, options: Options<'_>, key: &str) -> Result<(), LoadError> {
        if self == Self::LocalFile || !options.has(key) {
            return Ok(());
        }
        Err(options.error(key, "only in configs from files of the agent (provider `file`); move this instance to conf.d"))
    }
}

/// Keys common to all checks.
#[derive(Clone, Debug)]
pub(crate) struct CommonKeys {
    /// Name of the check, for messages and for generic tags.
    pub(crate) check_name: String,
    /// Tags of the instance, in order; absent and `null` are empty.
    pub(crate) tags: Vec<String>,
    /// Value of the tag `service` on everything; the instance's wins over init_config's.
    pub(crate) service: Option<String>,
    /// Whether series are marked as not indexed.
    pub(crate) no_index: bool,
    /// Whether generic tag keys get the check name in front.
    pub(crate) disable_generic_tags: bool,
    /// Whether `-` becomes `_` in normalised tags.
    pub(crate) legacy_tags_normalization: bool,
    /// Metric names to keep; empty = all.
    pub(crate) include: Vec<Regex>,
    /// Metric names to drop; wins over `include`.
    pub(crate) exclude: Vec<Regex>,
    /// Most metrics of one run; `None` = no limit.
    pub(crate) max_returned_metrics: Option<u64>,
    /// Text for the operator about a key that was replaced, shown with every run.
    pub(crate) warning: Option<String>,
}

impl CommonKeys {
    /// Reads them. `default_limit` is the check's own default of `max_returned_metrics`, `None` = unlimited.
    pub(crate) fn read(check_name: &str, instance: Options<'_>, init: Options<'_>, default_limit: Option<u64>) -> Result<Self, LoadError> {
        let service = match instance.text("service")? {
            Some(service) if !service.is_empty() => Some(service),
            _ => init.text("service")?.filter(|service| !service.is_empty()),
        };
        let (include, exclude) = match instance.map("metric_patterns")? {
            None => (Vec::new(), Vec::new()),
            Some(map) => {
                let patterns = Options::new(map, "metric_patterns");
                (patterns.regexes("include")?, patterns.regexes("exclude")?)
            }
        };
        let asked_limit = match instance.count("max_returned_metrics")? {
            None => init.count("max_returned_metrics")?,
            asked => asked,
        };
        let (max_returned_metrics, warning) = match (asked_limit, default_limit) {
            (None, default) => (default, None),
            // Upstream refuses to lift the limit of a check that has one, and goes on with the default.
            (Some(0), Some(default)) => {
                (Some(default), Some(format!("max_returned_metrics: 0 is not allowed, the default of {default} is used")))
            }
            (Some(0), None) => (None, None),
            (Some(limit), _) => (Some(limit), None),
        };
        Ok(Self {
            check_name: check_name.to_owned(),
            tags: instance.texts("tags")?,
            service,
            no_index: instance.flag_or("no_index", false)?,
            disable_generic_tags: instance.flag_or("disable_generic_tags", false)?,
            legacy_tags_normalization: instance.flag_or("enable_legacy_tags_normalization", true)?,
            include,
            exclude,
            max_returned_metrics,
            warning,
        })
    }
}
