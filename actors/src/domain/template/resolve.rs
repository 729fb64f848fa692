//! One template for one service. Source: autodiscovery 6.1 to 6.5.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use crate::domain::ad_service::AdService;
use crate::domain::config::{CheckConfig, Data};
use crate::domain::template::environment::{EnvironmentError, TemplateRules};
use crate::domain::template::substitute::{Place, Values, substitute_value};
use crate::domain::template::variable::next_variable;
use crate::domain::yaml::{self, Value, YamlError};

/// Why a template cannot be resolved for a service, and where. Its text is that of the stock agent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct ResolveError {
    /// `init_config`, `instances[2]` or `logs`.
    pub part: String,
    /// What is wrong.
    pub problem: Box<ResolveProblem>,
    /// What was found there: the variable as written.
    pub found: String,
    /// What is allowed, and so the mend.
    pub allowed: String,
}

/// What keeps a template from being resolved for a service; the texts are those of the stock agent, each names the service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveProblem {
    /// The service has no address.
    #[error("no network found for container {0}, ignoring it")]
    NoHost(String),
    /// It has several, and none is asked for.
    #[error("failed to resolve IP address for container {0}, ignoring it. Source error: not able to determine which network is reachable")]
    AmbiguousHost(String),
    /// It has no port.
    #[error("no port found for container {0} - ignoring it")]
    NoPort(String),
    /// It has fewer ports.
    #[error("index given for the port template var is too big, skipping container {0}")]
    PortIndex(String),
    /// It has no port of this name.
    #[error("port {name} not found, skipping container {service}")]
    PortName {
        /// What was asked for.
        name: String,
        /// For which service.
        service: String,
    },
    /// No service of ours has a process id.
    #[error("failed to get pid for service {0}, skipping config - AD: variable not supported by listener")]
    Pid(String),
    /// No service of ours has a host name.
    #[error("failed to get hostname for service {0}, skipping config - AD: variable not supported by listener")]
    Hostname(String),
    /// The service has no such further value.
    #[error("failed to get extra info for service {0}, skipping config - AD: variable not supported by listener")]
    Extra(String),
    /// An environment variable.
    #[error("{reason}, skipping service {service}")]
    Environment {
        /// What is wrong with it.
        reason: EnvironmentError,
        /// For which service.
        service: String,
    },
    /// No such variable.
    #[error("unable to add tags for service '{service}', err: invalid {variable} tag")]
    Unknown {
        /// What stands there.
        variable: String,
        /// For which service.
        service: String,
    },
    /// A part of the template is no YAML.
    #[error("unable to add tags for service '{service}', err: {part}: {reason}")]
    Unreadable {
        /// `init_config`, `instances[2]` or `logs`.
        part: String,
        /// For which service.
        service: String,
        /// What is wrong, and where.
        reason: YamlError,
    },
}

/// The variables that there are.
const VARIABLES: &str = "%%host%%, %%port%%, %%port_<name or index>%%, %%env_<name>%%, %%kube_namespace%%";

impl ResolveProblem {
    /// What would be right for this service.
    fn allowed(&self, service: &AdService) -> String {
        let names = |names: Vec<&str>| names.join(", ");
        match self {
            Self::NoHost(_) => "a service with an address, or a fixed host".to_owned(),
            Self::AmbiguousHost(_) => {
                format!("%%host_<network>%% with one of {}", names(service.hosts.keys().map(String::as_str).collect()))
            }
            Self::NoPort(_) => "a service with ports, or a fixed port".to_owned(),
            Self::PortIndex(_) => format!("an index from 0 to {}", service.ports.len().saturating_sub(1)),
            Self::PortName { .. } => {
                let named = service.ports.iter().map(|port| &*port.name).filter(|name| !name.is_empty());
                let named = names(named.collect());
                if named.is_empty() { "an index, the ports have no names".to_owned() } else { format!("one of {named}, or an index") }
            }
            Self::Pid(_) | Self::Hostname(_) | Self::Unknown { .. } => VARIABLES.to_owned(),
            Self::Extra(_) if service.extra.is_empty() => VARIABLES.to_owned(),
            Self::Extra(_) => format!("%%kube_<name>%% with one of {}", names(service.extra.keys().map(String::as_str).collect())),
            Self::Environment { reason, .. } => match reason {
                EnvironmentError::NameMissing => "%%env_<name>%%",
                EnvironmentError::NotAllowed(_) => "what ad_allowed_env_vars names, unless ad_disable_env_var_resolution is set",
                EnvironmentError::Unset(_) => "a variable that is set in the environment of this process",
            }
            .to_owned(),
            Self::Unreadable { .. } => "YAML".to_owned(),
        }
    }
}

/// The config that a template becomes for a service.
///
/// Its parts are written anew even if they hold no variable, so their bytes do not depend on where the template came from.
///
/// Errors: [`ResolveError`], the first in the order init_config, instances, logs.
pub fn resolve(template: &CheckConfig, service: &AdService, rules: &TemplateRules) -> Result<CheckConfig, ResolveError> {
    let values = |place: &Place<'_>| value(place, service, rules).map_err(|problem| (place.variable.to_string(), Box::new(problem)));
    let tags: &[String] = if template.ignore_autodiscovery_tags { &[] } else { &service.tags };
    let init_config = part("init_config", template.init_config.as_ref(), &[], service, &values)?;
    let mut instances = Vec::with_capacity(template.instances.len());
    for (index, instance) in template.instances.iter().enumerate() {
        let resolved = part(&format!("instances[{index}]"), Some(instance), tags, service, &values)?;
        instances.push(resolved.unwrap_or_else(|| instance.clone()));
    }
    let logs = part("logs", template.logs.as_ref(), &[], service, &values)?;
    let kept = rules.keep_tag_options;
    Ok(CheckConfig {
        name: template.name.clone(),
        instances,
        init_config,
        metric_config: template.metric_config.clone(),
        logs,
        ad_identifiers: template.ad_identifiers.clone(),
        advanced_ad_identifiers: Vec::new(),
        provider: template.provider.clone(),
        service_id: service.id.clone(),
        cluster_check: template.cluster_check,
        node_name: template.node_name.clone(),
        source: template.source.clone(),
        ignore_autodiscovery_tags: kept && template.ignore_autodiscovery_tags,
        check_tag_cardinality: if kept { template.check_tag_cardinality.clone() } else { String::new() },
        metrics_excluded: service.metrics_excluded,
        logs_excluded: service.logs_excluded,
    })
}

/// One part with its variables replaced; absent stays absent, and empty becomes it.
fn part(
    name: &str,
    data: Option<&Data>,
    tags: &[String],
    service: &AdService,
    values: &Values<'_, (String, Box<ResolveProblem>)>,
) -> Result<Option<Data>, ResolveError> {
    let Some(data) = data.filter(|data| !data.as_bytes().is_empty()) else {
        return Ok(None);
    };
    let failed = |(found, problem): (String, Box<ResolveProblem>)| ResolveError {
        part: name.to_owned(),
        allowed: problem.allowed(service),
        problem,
        found,
    };
    let mut value = yaml::parse(&data.text()).map_err(|reason| {
        let problem = ResolveProblem::Unreadable { part: name.to_owned(), service: service.id.clone(), reason };
        failed(("text that is no YAML".to_owned(), Box::new(problem)))
    })?;
    substitute_value(&mut value, values).map_err(failed)?;
    add_tags(&mut value, tags);
    Ok(Some(Data::from(yaml::write(&value))))
}

/// Puts the sorted union of the texts under `tags` and the given ones there; whatever else was there is lost.
fn add_tags(instance: &mut Value, tags: &[String]) {
    let Value::Map(entries) = instance else {
        return;
    };
    if tags.is_empty() {
        return;
    }
    let own = entries.iter().find(|(key, _)| key.as_str() == Some("tags")).map(|(_, value)| value);
    let mut all: BTreeSet<String> = tags.iter().cloned().collect();
    if let Some(Value::List(items)) = own {
        all.extend(items.iter().filter_map(Value::as_str).map(str::to_owned));
    }
    entries.retain(|(key, _)| key.as_str() != Some("tags"));
    entries.push((Value::from("tags"), Value::List(all.into_iter().map(Value::Text).collect())));
}

fn value(place: &Place<'_>, service: &AdService, rules: &TemplateRules) -> Result<String, ResolveProblem> {
    let id = || service.id.clone();
    let key = place.variable.key;
    match place.variable.name {
        "host" => host(service, key).map(|host| in_its_place(host, place)),
        "port" => port(service, key),
        "env" => rules.environment_variable(key).map_err(|reason| ResolveProblem::Environment { reason, service: id() }),
        "kube" | "extra" => key.and_then(|key| service.extra.get(key)).cloned().ok_or_else(|| ResolveProblem::Extra(id())),
        "pid" => Err(ResolveProblem::Pid(id())),
        "hostname" => Err(ResolveProblem::Hostname(id())),
        _ => Err(ResolveProblem::Unknown { variable: place.variable.to_string(), service: id() }),
    }
}

fn host(service: &AdService, network: Option<&str>) -> Result<String, ResolveProblem> {
    let hosts = &service.hosts;
    let only = || hosts.values().next().filter(|_| hosts.len() == 1);
    match hosts.get(network.unwrap_or_default()).or_else(only).or_else(|| hosts.get("bridge")) {
        Some(host) => Ok(host.clone()),
        None if hosts.is_empty() => Err(ResolveProblem::NoHost(service.id.clone())),
        None => Err(ResolveProblem::AmbiguousHost(service.id.clone())),
    }
}

fn port(service: &AdService, key: Option<&str>) -> Result<String, ResolveProblem> {
    let ports = &service.ports;
    let last = ports.last().ok_or_else(|| ResolveProblem::NoPort(service.id.clone()))?;
    let Some(key) = key else {
        return Ok(last.number.to_string());
    };
    let port = if is_number(key) {
        // Signs and numbers beyond any list are numbers, too (autodiscovery 15.6).
        let index = key.trim_start_matches('+').parse::<usize>().ok();
        index.and_then(|index| ports.get(index)).ok_or_else(|| ResolveProblem::PortIndex(service.id.clone()))
    } else {
        let named = ports.iter().find(|port| *port.name == *key);
        named.ok_or_else(|| ResolveProblem::PortName { name: key.to_owned(), service: service.id.clone() })
    };
    port.map(|port| port.number.to_string())
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Brackets around an IPv6 address at the start of an authority, or before a port. Source: autodiscovery 6.4.
fn in_its_place(host: String, place: &Place<'_>) -> String {
    if host.parse::<Ipv6Addr>().is_err() {
        return host;
    }
    let in_authority = place.before.rfind("://").is_some_and(|at| {
        let user = &place.before[at + "://".len()..];
        user.is_empty() || (user.ends_with('@') && !user.contains(['/', '?', '#', ' ']))
    });
    let before_port = place.after.strip_prefix(':').is_some_and(|rest| {
        let is_variable = || next_variable(rest).is_some_and(|(before, next, _)| before.is_empty() && next.name == "port");
        rest.starts_with(|character: char| character.is_ascii_digit()) || is_variable()
    });
    if in_authority || before_port { format!("[{host}]") } else { host }
}
