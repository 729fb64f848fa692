//! Where the intake is. Source: cluster-agent-kubernetes 6.1.

/// Prefix of hosts that belong to the intake of Datadog.
const APP: &str = "app.";

/// URL without a slash at its end: `dd_url` if set, else `https://app.<site>`.
#[must_use]
pub fn configured_url(dd_url: Option<&str>, site: &str) -> String {
    let url = dd_url.map_or_else(|| format!("https://{APP}{site}"), str::to_owned);
    url.trim_end_matches('/').to_owned()
}

/// The [`configured_url`]; hosts of Datadog get the version prefix.
#[must_use]
pub fn base_url(dd_url: Option<&str>, site: &str, version: &str) -> String {
    let url = configured_url(dd_url, site);
    match of_datadog(&url) {
        Some((scheme, domain, path)) => format!("{scheme}://{}-app.agent.{domain}{path}", version.replace('.', "-")),
        None => url,
    }
}

/// Where API keys of an intake are validated: `api.` for hosts of Datadog, the intake itself otherwise.
#[must_use]
pub fn validation_url(dd_url: Option<&str>, site: &str) -> String {
    let url = configured_url(dd_url, site);
    let base = match of_datadog(&url) {
        Some((scheme, domain, _)) => format!("{scheme}://api.{domain}"),
        None => url,
    };
    format!("{base}/api/v1/validate")
}

/// The URL without user name and password, for people.
#[must_use]
pub fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// Scheme, what follows `app.`, and the path of a URL whose host is one of Datadog.
fn of_datadog(url: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    Some((scheme, datadog_domain(host)?, path))
}

/// What follows `app.` if the host is one of Datadog: an optional region, then one of its domains.
fn datadog_domain(host: &str) -> Option<&str> {
    let domain = host.strip_prefix(APP)?;
    let is_domain = |name: &str| {
        matches!(name, "datadoghq.com" | "datadoghq.eu" | "ddog-gov.com")
            || name.strip_prefix("datad0g.").is_some_and(|end| !end.is_empty() && end.bytes().all(|letter| letter.is_ascii_lowercase()))
    };
    let is_region = |label: &str| {
        let digits = label.trim_start_matches(|letter: char| letter.is_ascii_lowercase());
        label.len() - digits.len() == 2 && matches!(digits.len(), 1 | 2) && digits.bytes().all(|digit| digit.is_ascii_digit())
    };
    let without_region = domain.split_once('.').filter(|(label, _)| is_region(label)).map_or(domain, |(_, rest)| rest);
    is_domain(without_region).then_some(domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSION: &str = "7.81.1";

    #[test]
    fn ca_f1_a_site_gets_the_version_prefix() {
        assert_eq!(base_url(None, "datadoghq.eu", VERSION), "https://7-81-1-app.agent.datadoghq.eu");
        assert_eq!(base_url(None, "datadoghq.com", VERSION), "https://7-81-1-app.agent.datadoghq.com");
        assert_eq!(base_url(None, "ddog-gov.com", VERSION), "https://7-81-1-app.agent.ddog-gov.com");
    }

    #[test]
    fn ca_f2_another_url_is_used_unchanged() {
        assert_eq!(base_url(Some("http://fake-intake:80"), "datadoghq.eu", VERSION), "http://fake-intake:80");
        assert_eq!(base_url(Some("http://fake-intake:80/"), "datadoghq.eu", VERSION), "http://fake-intake:80");
        assert_eq!(base_url(Some("https://proxy.example/path"), "datadoghq.eu", VERSION), "https://proxy.example/path");
        assert_eq!(validation_url(Some("http://fake-intake:80"), "datadoghq.eu"), "http://fake-intake:80/api/v1/validate");
    }

    #[test]
    fn ca_f3_a_site_with_region_keeps_it() {
        assert_eq!(base_url(None, "us5.datadoghq.com", VERSION), "https://7-81-1-app.agent.us5.datadoghq.com");
        for (url, site, validation) in [
            (None, "us5.datadoghq.com", "https://api.us5.datadoghq.com"),
            (None, "datadoghq.eu", "https://api.datadoghq.eu"),
            (None, "ddog-gov.com", "https://api.ddog-gov.com"),
            (Some("https://app.ap1.datadoghq.com/x"), "datadoghq.eu", "https://api.ap1.datadoghq.com"),
            (Some("https://7-81-1-app.agent.datadoghq.eu"), "x", "https://7-81-1-app.agent.datadoghq.eu"),
        ] {
            assert_eq!(validation_url(url, site), format!("{validation}/api/v1/validate"), "{url:?} {site}");
        }
    }

    #[test]
    fn credentials_are_not_shown() {
        assert_eq!(without_credentials("http://user:p@ss@host:80/a@b"), "http://host:80/a@b");
        assert_eq!(without_credentials("http://host/a"), "http://host/a");
        assert_eq!(without_credentials("host"), "host");
    }

    #[test]
    fn only_hosts_of_datadog_are_rewritten() {
        assert_eq!(base_url(Some("https://app.datadoghq.eu"), "x", VERSION), "https://7-81-1-app.agent.datadoghq.eu");
        assert_eq!(base_url(Some("https://app.datadoghq.eu/a/"), "x", VERSION), "https://7-81-1-app.agent.datadoghq.eu/a");
        for other in [
            "https://app.example.com",
            "https://app.datadoghq.com.evil.example",
            "https://app.usa5.datadoghq.com",
            "https://datadoghq.com",
            "https://app.datad0g.",
            "https://haproxy.us5.datadoghq.com",
        ] {
            assert_eq!(base_url(Some(other), "x", VERSION), other);
        }
        assert_eq!(base_url(Some("https://app.datad0g.com"), "x", VERSION), "https://7-81-1-app.agent.datad0g.com");
    }
}
