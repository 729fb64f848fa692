//! Template variables, `%%name%%` or `%%name_key%%`, inside the values of a config. Source: autodiscovery 6.2 and 6.3.

use std::fmt;

use crate::domain::config::{CheckConfig, Data};
use crate::domain::yaml::{self, Value, YamlError};

/// A variable as it stands in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variable<'a> {
    /// Which kind: `host`, `env`, ...
    pub name: &'a str,
    /// What of it, the text behind the first underscore.
    pub key: Option<&'a str>,
}

impl fmt::Display for Variable<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key {
            None => write!(out, "%%{}%%", self.name),
            Some(key) => write!(out, "%%{}_{key}%%", self.name),
        }
    }
}

/// Why a variable has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VariableError {
    /// Only a service can answer, and there is none. Not a mistake: the variable waits for its service.
    #[error("no service. {0} not allowed")]
    NeedsService(&'static str),
    /// No such variable.
    #[error("invalid {0} tag")]
    Unknown(String),
    /// `%%env%%` without a name.
    #[error("envvar name is missing")]
    EnvironmentNameMissing,
    /// Not in `ad_allowed_env_vars`, or `ad_disable_env_var_resolution` is set.
    #[error("envvar {0} is not allowed in check configs")]
    EnvironmentNotAllowed(String),
    /// Not set in this process.
    #[error("failed to retrieve envvar {0}")]
    EnvironmentUnset(String),
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
            "env" => self.environment_value(variable.key),
            "host" => needs_service("%%host%% is"),
            "port" => needs_service("%%port%% is"),
            "pid" => needs_service("%%pid%% is"),
            "hostname" => needs_service("%%hostname%% is"),
            "kube" | "extra" => needs_service("%%extra_*%% or %%kube_*%% are"),
            _ => Err(VariableError::Unknown(variable.to_string())),
        }
    }

    fn environment_value(&self, name: Option<&str>) -> Result<String, VariableError> {
        let name = name.ok_or(VariableError::EnvironmentNameMissing)?;
        let listed = self.allowed.is_empty() || self.allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(name));
        if self.disabled || !listed {
            return Err(VariableError::EnvironmentNotAllowed(name.to_owned()));
        }
        (self.lookup)(name).ok_or_else(|| VariableError::EnvironmentUnset(name.to_owned()))
    }
}

/// Replaces the variables of a config that need no service: init_config, then the instances in order, then logs.
///
/// The first error ends it: the part with the error keeps its text as a whole, and so do the parts behind it (vector V46). The
/// returned error is for people; [`VariableError::NeedsService`] is the normal state of a template.
pub fn substitute_environment(config: &mut CheckConfig, environment: &Environment<'_>) -> Option<SubstitutionError> {
    let resolve = |variable: &Variable<'_>| environment.value(variable);
    let instances = config.instances.iter_mut().enumerate().map(|(index, data)| (format!("instances[{index}]"), data));
    let init_config = config.init_config.iter_mut().map(|data| ("init_config".to_owned(), data));
    let logs = config.logs.iter_mut().map(|data| ("logs".to_owned(), data));
    for (part, data) in init_config.chain(instances).chain(logs) {
        match substitute_data(data, &resolve) {
            Ok(text) => *data = text,
            Err(reason) => return Some(SubstitutionError { part, reason }),
        }
    }
    None
}

/// How a variable gets its value.
type Resolve<'a> = dyn Fn(&Variable<'_>) -> Result<String, VariableError> + 'a;

fn substitute_data(data: &Data, resolve: &Resolve<'_>) -> Result<Data, VariableError> {
    let text = data.text();
    if !text.contains("%%") {
        return Ok(data.clone());
    }
    let mut value = yaml::parse(&text)?;
    substitute_value(&mut value, resolve)?;
    Ok(Data::from(yaml::write(&value)))
}

/// Visits every text value at any depth; keys are left alone.
fn substitute_value(value: &mut Value, resolve: &Resolve<'_>) -> Result<(), VariableError> {
    match value {
        Value::Text(text) => {
            if let Some(replaced) = substitute_text(text, resolve)? {
                *value = replaced;
            }
        }
        Value::List(items) => {
            for item in items {
                substitute_value(item, resolve)?;
            }
        }
        Value::Map(entries) => {
            for (_, item) in entries {
                substitute_value(item, resolve)?;
            }
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::UInt(_) | Value::Float(_) => {}
    }
    Ok(())
}

/// The text with its variables replaced, or nothing if it has none. A text that is exactly one variable takes the type of its value.
///
/// Errors: of several failing variables, that of the last.
fn substitute_text(text: &str, resolve: &Resolve<'_>) -> Result<Option<Value>, VariableError> {
    let mut out = String::new();
    let mut rest = text;
    let mut failure = None;
    let mut found = false;
    let mut whole = false;
    while let Some((before, variable, after)) = next_variable(rest) {
        found = true;
        whole = rest.len() == text.len() && before.is_empty() && after.is_empty();
        out.push_str(before);
        match resolve(&variable) {
            Ok(value) => out.push_str(&value),
            Err(error) => failure = Some(error),
        }
        rest = after;
    }
    out.push_str(rest);
    match failure {
        Some(error) => Err(error),
        None if whole => Ok(Some(typed(out))),
        None => Ok(found.then_some(Value::Text(out))),
    }
}

/// Splits at the first variable.
fn next_variable(text: &str) -> Option<(&str, Variable<'_>, &str)> {
    let mut from = 0;
    loop {
        let open = from + text[from..].find("%%")?;
        let inner = &text[open + 2..];
        // A name has at least one character.
        let first = inner.chars().next()?;
        let close = first.len_utf8() + inner[first.len_utf8()..].find("%%")?;
        let content = &inner[..close];
        if content.contains('\n') {
            from = open + 2;
            continue;
        }
        return Some((&text[..open], split(content), &inner[close + 2..]));
    }
}

/// Name and key: split at the first underscore that has something on both sides.
fn split(content: &str) -> Variable<'_> {
    let parts = content
        .char_indices()
        .find(|(at, character)| *character == '_' && *at > 0 && at + 1 < content.len())
        .map(|(at, _)| (&content[..at], &content[at + 1..]));
    match parts {
        Some((name, key)) => Variable { name, key: Some(key) },
        None => Variable { name: content, key: None },
    }
}

/// An integer, else a boolean word, else the text.
fn typed(text: String) -> Value {
    if let Some(number @ Value::Int(_)) = well_placed_underscores(&text).then(|| yaml::integer(&text.replace('_', ""))).flatten() {
        return number;
    }
    match text.as_str() {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Value::Bool(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Value::Bool(false),
        _ => Value::Text(text),
    }
}

/// Underscores stand between digits, or between a base prefix and a digit.
fn well_placed_underscores(text: &str) -> bool {
    text.trim_start_matches(['+', '-']).split('_').all(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "MUSTER_USER" => Some("svc_user".to_owned()),
            "PORT" => Some("0x1F".to_owned()),
            "FLAG" => Some("True".to_owned()),
            "EMPTY" => Some(String::new()),
            "A_B" => Some("ab".to_owned()),
            _ => None,
        }
    }

    const OPEN: Environment<'static> = Environment { lookup: &lookup, allowed: &[], disabled: false };

    fn resolved(text: &str) -> Result<Value, VariableError> {
        resolved_in(text, &OPEN)
    }

    fn resolved_in(text: &str, environment: &Environment<'_>) -> Result<Value, VariableError> {
        let mut value = Value::from(text);
        substitute_value(&mut value, &|variable| environment.value(variable))?;
        Ok(value)
    }

    #[test]
    fn ad_v25_percent_signs_that_are_no_variable_survive() {
        for text in ["50%% done", "a%%b", "%%", "%", "%%\n%%", ""] {
            assert_eq!(resolved(text).unwrap(), Value::from(text));
        }
    }

    #[test]
    fn ad_v29_v30_unknown_variables_are_errors() {
        assert_eq!(resolved("x%%foo%%y").unwrap_err().to_string(), "invalid %%foo%% tag");
        assert_eq!(resolved("%%host_%%").unwrap_err().to_string(), "invalid %%host_%% tag");
        assert_eq!(resolved("%% host %%").unwrap_err().to_string(), "invalid %% host %% tag");
    }

    #[test]
    fn ad_v34_an_environment_variable_must_be_set_named_and_allowed() {
        assert_eq!(resolved("%%env_MUSTER_NOPE%%").unwrap_err().to_string(), "failed to retrieve envvar MUSTER_NOPE");
        assert_eq!(resolved("%%env%%").unwrap_err().to_string(), "envvar name is missing");
        let allowed = ["muster_user".to_owned()];
        let some = Environment { allowed: &allowed, ..OPEN };
        assert_eq!(resolved_in("%%env_MUSTER_USER%%", &some).unwrap(), Value::from("svc_user"));
        assert_eq!(resolved_in("%%env_PORT%%", &some).unwrap_err().to_string(), "envvar PORT is not allowed in check configs");
        let none = Environment { disabled: true, ..OPEN };
        assert!(matches!(resolved_in("%%env_MUSTER_USER%%", &none), Err(VariableError::EnvironmentNotAllowed(_))));
        assert_eq!(resolved("<%%env_EMPTY%%>").unwrap(), Value::from("<>"));
        assert_eq!(resolved("%%env_A_B%%").unwrap(), Value::from("ab"));
    }

    #[test]
    fn variables_of_a_service_need_one() {
        assert_eq!(resolved("%%host%%").unwrap_err().to_string(), "no service. %%host%% is not allowed");
        assert_eq!(resolved("%%kube_namespace%%").unwrap_err().to_string(), "no service. %%extra_*%% or %%kube_*%% are not allowed");
        assert!(matches!(resolved("%%port_0%%"), Err(VariableError::NeedsService(_))));
    }

    #[test]
    fn a_text_that_is_one_variable_takes_the_type_of_its_value() {
        assert_eq!(resolved("%%env_PORT%%").unwrap(), Value::Int(31));
        assert_eq!(resolved("%%env_FLAG%%").unwrap(), Value::Bool(true));
        assert_eq!(resolved("x%%env_PORT%%").unwrap(), Value::from("x0x1F"));
        assert_eq!(resolved("%%env_PORT%%%%env_FLAG%%").unwrap(), Value::from("0x1FTrue"));
        assert_eq!(typed("1".to_owned()), Value::Int(1));
        assert_eq!(typed("010".to_owned()), Value::Int(8));
        assert_eq!(typed("0x_1F".to_owned()), Value::Int(31));
        assert_eq!(typed("1_000".to_owned()), Value::Int(1000));
        assert_eq!(typed("1__0".to_owned()), Value::from("1__0"));
        assert_eq!(typed("yes".to_owned()), Value::from("yes"));
    }

    #[test]
    fn keys_are_not_visited_and_other_types_are_kept() {
        let mut value = yaml::parse("'%%env_PORT%%': ['%%env_PORT%%', {a: 1.5, b: yes, z: ~}]").unwrap();
        substitute_value(&mut value, &|variable| OPEN.value(variable)).unwrap();
        assert_eq!(yaml::write(&value), "'%%env_PORT%%':\n- 31\n- a: 1.5\n  b: true\n  z: null\n");
    }

    fn config(instances: &[&str]) -> CheckConfig {
        CheckConfig { instances: instances.iter().map(|text| Data::from(*text)).collect(), ..CheckConfig::default() }
    }

    #[test]
    fn ad_v45_an_environment_variable_is_resolved_and_other_text_kept() {
        let mut one = config(&["port: 511\nssl: true\nusername: '%%env_MUSTER_USER%%'\n"]);
        assert_eq!(substitute_environment(&mut one, &OPEN), None);
        assert_eq!(one.instances[0].text(), "port: 511\nssl: true\nusername: svc_user\n");
    }

    #[test]
    fn ad_v46_the_part_with_an_error_and_the_parts_behind_it_keep_their_text() {
        let first = "user: '%%env_MUSTER_USER%%'\n";
        let second = "host: '%%host%%'\nuser: '%%env_MUSTER_USER%%'\n";
        let mut one = config(&[first, second, first]);
        one.init_config = Some(Data::from(first));
        let error = substitute_environment(&mut one, &OPEN).unwrap();
        assert_eq!(error.part, "instances[1]");
        assert!(matches!(error.reason, VariableError::NeedsService(_)));
        assert_eq!(one.init_config.unwrap().text(), "user: svc_user\n");
        assert_eq!(one.instances[0].text(), "user: svc_user\n");
        assert_eq!(one.instances[1].text(), second);
        assert_eq!(one.instances[2].text(), first);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[%_a-c\\né ]{0,30}") {
            let _ = resolved(&text);
        }
    }
}
