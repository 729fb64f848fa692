//! Where the cluster agent is. Source: cluster-agent-kubernetes 1.4.

use url::Url;

/// Why no endpoint could be found. The texts are those of a stock agent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The URL does not begin with `https://`.
    #[error("cannot get cluster agent endpoint, not a https scheme: {0}")]
    NotHttps(String),
    /// The URL is none.
    #[error("cannot get cluster agent endpoint, cluster_agent.url is {found:?}: {reason}")]
    NoUrl {
        /// The configured text.
        found: String,
        /// What the parser said.
        reason: url::ParseError,
    },
    /// Neither a URL nor a service is configured.
    #[error("cannot get a cluster agent endpoint, both cluster_agent.url and cluster_agent.kubernetes_service_name are empty")]
    NotConfigured,
    /// A variable that Kubernetes sets for a service is missing.
    #[error("cannot get a cluster agent endpoint for kubernetes service {service}, env {variable} is empty")]
    NoVariable {
        /// Service name, as it appears in variables.
        service: String,
        /// The variable.
        variable: String,
    },
}

/// The endpoint: `url` (`cluster_agent.url`) if set, else the address that Kubernetes tells about the service
/// (`cluster_agent.kubernetes_service_name`) through variables, which `environment` looks up.
///
/// Errors: [`EndpointError`].
pub fn endpoint(url: &str, service: &str, environment: impl Fn(&str) -> Option<String>) -> Result<Url, EndpointError> {
    if !url.is_empty() {
        return parse(url);
    }
    if service.is_empty() {
        return Err(EndpointError::NotConfigured);
    }
    let service = service.to_uppercase().replace('-', "_");
    let lookup = |suffix: &str| {
        let variable = format!("{service}_SERVICE_{suffix}");
        let value = environment(&variable).filter(|value| !value.is_empty());
        value.ok_or(EndpointError::NoVariable { service: service.clone(), variable })
    };
    let (host, port) = (lookup("HOST")?, lookup("PORT")?);
    let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
    parse(&format!("https://{host}:{port}"))
}

fn parse(text: &str) -> Result<Url, EndpointError> {
    if text.starts_with("http://") {
        return Err(EndpointError::NotHttps(text.to_owned()));
    }
    let complete = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let url = Url::parse(&complete).map_err(|reason| EndpointError::NoUrl { found: text.to_owned(), reason })?;
    if url.scheme() == "https" { Ok(url) } else { Err(EndpointError::NotHttps(url.scheme().to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(url: &str, variables: &[(&str, &str)]) -> Result<String, String> {
        let environment = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        endpoint(url, "datadog-cluster-agent", environment).map(|url| url.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_url_without_a_scheme_is_https_and_other_schemes_are_refused() {
        assert_eq!(found("https://agent:5005", &[]).unwrap(), "https://agent:5005/");
        assert_eq!(found("agent:5005", &[]).unwrap(), "https://agent:5005/");
        let refused = |url: &str| found(url, &[]).unwrap_err();
        assert_eq!(refused("http://agent:5005"), "cannot get cluster agent endpoint, not a https scheme: http://agent:5005");
        assert_eq!(refused("ftp://agent"), "cannot get cluster agent endpoint, not a https scheme: ftp");
        assert!(refused("https://").starts_with("cannot get cluster agent endpoint, cluster_agent.url is"));
    }

    #[test]
    fn the_service_variables_are_used_when_there_is_no_url() {
        let host = ("DATADOG_CLUSTER_AGENT_SERVICE_HOST", "10.0.0.7");
        let port = ("DATADOG_CLUSTER_AGENT_SERVICE_PORT", "5005");
        assert_eq!(found("", &[host, port]).unwrap(), "https://10.0.0.7:5005/");
        assert_eq!(found("", &[(host.0, "fd00::7"), port]).unwrap(), "https://[fd00::7]:5005/");
        assert_eq!(
            found("", &[host]).unwrap_err(),
            "cannot get a cluster agent endpoint for kubernetes service DATADOG_CLUSTER_AGENT, env DATADOG_CLUSTER_AGENT_SERVICE_PORT is empty"
        );
        assert_eq!(endpoint("", "", |_| None), Err(EndpointError::NotConfigured));
    }
}
