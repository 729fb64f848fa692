//! Where the cluster agent is. Source: cluster-agent-kubernetes 1.4.

use url::Url;

use crate::config::env::Environment;

/// Why the cluster agent's address is not known. Texts as stock.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// `cluster_agent.url` has another scheme.
    #[error("cannot get cluster agent endpoint, not a https scheme: {found}")]
    Scheme {
        /// What was found.
        found: String,
    },
    /// `cluster_agent.url` is no URL.
    #[error("cannot get cluster agent endpoint, cluster_agent.url {found:?} is not a URL: {text}")]
    Unreadable {
        /// What was found.
        found: String,
        /// What the parser says.
        text: String,
    },
    /// The Service has no environment variables here.
    #[error(
        "cannot get a cluster agent endpoint for kubernetes service {service}, env {variable} is empty; set cluster_agent.url (DD_CLUSTER_AGENT_URL)"
    )]
    Service {
        /// Service name in the form of variables.
        service: String,
        /// Missing variable.
        variable: String,
    },
}

/// The https address of the cluster agent: `cluster_agent.url`, else from the environment variables of its Service.
///
/// Errors: [`EndpointError`].
pub fn cluster_agent_url(configured: &str, service: &str, environment: &Environment) -> Result<Url, EndpointError> {
    if !configured.is_empty() {
        let found = configured.to_owned();
        let text = if configured.contains("://") { found.clone() } else { format!("https://{configured}") };
        let url = Url::parse(&text).map_err(|error| EndpointError::Unreadable { found: found.clone(), text: error.to_string() })?;
        return if url.scheme() == "https" { Ok(url) } else { Err(EndpointError::Scheme { found }) };
    }
    let service = service.to_uppercase().replace('-', "_");
    let variable = |suffix: &str| {
        let name = format!("{service}_SERVICE_{suffix}");
        match environment.get(&name) {
            Some(value) => Ok(value.to_owned()),
            None => Err(EndpointError::Service { service: service.clone(), variable: name }),
        }
    };
    let host = variable("HOST")?;
    let port = variable("PORT")?;
    let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
    let text = format!("https://{host}:{port}");
    Url::parse(&text).map_err(|error| EndpointError::Unreadable { found: text, text: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: &str = "datadog-cluster-agent";

    fn text(configured: &str, environment: &Environment) -> String {
        match cluster_agent_url(configured, SERVICE, environment) {
            Ok(url) => url.as_str().trim_end_matches('/').to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn ca_h13_the_service_variables_lead_to_the_cluster_agent() {
        let environment =
            Environment::from_pairs([("DATADOG_CLUSTER_AGENT_SERVICE_HOST", "10.0.0.1"), ("DATADOG_CLUSTER_AGENT_SERVICE_PORT", "5005")]);
        assert_eq!(text("", &environment), "https://10.0.0.1:5005");
        let dual =
            Environment::from_pairs([("DATADOG_CLUSTER_AGENT_SERVICE_HOST", "fd00::1"), ("DATADOG_CLUSTER_AGENT_SERVICE_PORT", "5005")]);
        assert_eq!(text("", &dual), "https://[fd00::1]:5005");
    }

    #[test]
    fn ca_h14_a_missing_scheme_is_https() {
        let url = text("dca.ns.svc.cluster.local:5005", &Environment::default());
        assert_eq!(url, "https://dca.ns.svc.cluster.local:5005");
    }

    #[test]
    fn ca_h15_another_scheme_is_an_error() {
        let error = text("http://x:5005", &Environment::default());
        assert_eq!(error, "cannot get cluster agent endpoint, not a https scheme: http://x:5005");
    }

    #[test]
    fn a_missing_service_variable_is_named() {
        let error = text("", &Environment::from_pairs([("DATADOG_CLUSTER_AGENT_SERVICE_HOST", "10.0.0.1")]));
        assert!(
            error.starts_with(
                "cannot get a cluster agent endpoint for kubernetes service DATADOG_CLUSTER_AGENT, env DATADOG_CLUSTER_AGENT_SERVICE_PORT is empty"
            ),
            "{error}"
        );
    }
}
