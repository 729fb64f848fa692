//! Environment variables in configs, and configs without a service. Source: autodiscovery 4.1 and 6.3.

use std::fmt;
use std::sync::Arc;

use crate::domain::config::{CheckConfig, Data};
use crate::domain::template::substitute::{Place, Values, substitute_value};
use crate::domain::template::variable::Variable;
use crate::domain::yaml::{self, YamlError};

/// Why an environment variable has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// `%%env%%` without a name.
    #[error("envvar name is missing")]
    NameMissing,
    /// Not in `ad_allowed_env_vars`, or `ad_disable_env_var_resolution` is set.
    #[error("envvar {0} is not allowed in check configs")]
    NotAllowed(String),
    /// Not set in this process.
    #[error("failed to retrieve envvar {0}")]
    Unset(String),
}

/// Why a variable has no value where there is no service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VariableError {
    /// Only a service can answer, and there is none. Not a mistake: the variable waits for its service.
    #[error("no service. {0} not allowed")]
    NeedsService(&'static str),
    /// No such variable.
    #[error("invalid {0} tag")]
    Unknown(String),
    /// An environment variable.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The part cannot be read.
    #[error(transparent)]
    Unreadable(#[from] YamlError),
}

/// A part of a config that keeps its text because of a variable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("resolve variables in {part}")]
pub struct SubstitutionError {
    /// `init_config`, `instances[2]` or `logs`.
    pub part: String,
    /// What is wrong.
    #[source]
    pub reason: VariableError,
}

/// The environment variables that configs may use.
#[derive(Clone, Copy)]
pub struct Environment<'a> {
    /// Value of a variable of this process.
    pub lookup: &'a dyn Fn(&str) -> Option<String>,
    /// `ad_allowed_env_vars`: names compared without case; empty allows all.
    pub allowed: &'a [String],
    /// `ad_disable_env_var_resolution`: allows none.
    pub disabled: bool,
}

impl Environment<'_> {
    /// Value of a variable when there is no service: only `env` has one.
    ///
    /// Errors: every variant but [`VariableError::Unreadable`].
    pub fn value(&self, variable: &Variable<'_>) -> Result<String, VariableError> {
        let needs_service = |what| Err(VariableError::NeedsService(what));
        match variable.name {
            "env" => Ok(self.variable(variable.key)?),
            "host" => needs_service("%%host%% is"),
            "port" => needs_service("%%port%% is"),
            "pid" => needs_service("%%pid%% is"),
            "hostname" => needs_service("%%hostname%% is"),
            "kube" | "extra" => needs_service("%%extra_*%% or %%kube_*%% are"),
            _ => Err(VariableError::Unknown(variable.to_string())),
        }
    }

    /// Value of the environment variable of this name. Set but empty is a value.
    ///
    /// Errors: [`EnvironmentError`].
    pub fn variable(&self, name: Option<&str>) -> Result<String, EnvironmentError> {
        let name = name.ok_or(EnvironmentError::NameMissing)?;
        let listed = self.allowed.is_empty() || self.allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(name));
        if self.disabled || !listed {
            return Err(EnvironmentError::NotAllowed(name.to_owned()));
        }
        (self.lookup)(name).ok_or_else(|| EnvironmentError::Unset(name.to_owned()))
    }
}

/// Value of an environment variable of this process.
pub type EnvironmentLookup = dyn Fn(&str) -> Option<String> + Send + Sync;

/// What resolving templates depends on besides template and service.
#[derive(Clone)]
pub struct TemplateRules {
    /// Value of an environment variable of this process.
    pub lookup: Arc<EnvironmentLookup>,
    /// `ad_allowed_env_vars`; empty allows all.
    pub allowed_env_vars: Vec<String>,
    /// `ad_disable_env_var_resolution`.
    pub disable_env_var_resolution: bool,
    /// `muster.keep_ad_tag_options`: resolved configs keep `ignore_autodiscovery_tags` and `check_tag_cardinality` of their template.
    ///
    /// Source: autodiscovery 15.8; the stock server loses both.
    pub keep_tag_options: bool,
}

impl TemplateRules {
    pub(super) fn environment_variable(&self, name: Option<&str>) -> Result<String, EnvironmentError> {
        let environment = Environment { lookup: &*self.lookup, allowed: &self.allowed_env_vars, disabled: self.disable_env_var_resolution };
        environment.variable(name)
    }
}

impl Default for TemplateRules {
    /// No environment, nothing kept.
    fn default() -> Self {
        Self { lookup: Arc::new(|_| None), allowed_env_vars: Vec::new(), disable_env_var_resolution: false, keep_tag_options: false }
    }
}

impl fmt::Debug for TemplateRules {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TemplateRules").field("keep_tag_options", &self.keep_tag_options).finish_non_exhaustive()
    }
}

/// Replaces the variables of a config that need no service: init_config, then the instances in order, then logs.
///
/// The first error ends it: the part with the error keeps its text as a whole, and so do the parts behind it (vector V46). The
/// returned error is for people; [`VariableError::NeedsService`] is the normal state of a template.
pub fn substitute_environment(config: &mut CheckConfig, environment: &Environment<'_>) -> Option<SubstitutionError> {
    let values = |place: &Place<'_>| environment.value(&place.variable);
    let instances = config.instances.iter_mut().enumerate().map(|(index, data)| (format!("instances[{index}]"), data));
    let init_config = config.init_config.iter_mut().map(|data| ("init_config".to_owned(), data));
    let logs = config.logs.iter_mut().map(|data| ("logs".to_owned(), data));
    for (part, data) in init_config.chain(instances).chain(logs) {
        match substitute_data(data, &values) {
            Ok(text) => *data = text,
            Err(reason) => return Some(SubstitutionError { part, reason }),
        }
    }
    None
}

fn substitute_data(data: &Data, values: &Values<'_, VariableError>) -> Result<Data, VariableError> {
    let text = data.text();
    if !text.contains("%%") {
        return Ok(data.clone());
    }
    let mut value = yaml::parse(&text)?;
    substitute_value(&mut value, values)?;
    Ok(Data::from(yaml::write(&value)))
}
