//! Which proxy a request takes. Source: cluster-agent-kubernetes 6.5.

use std::net::IpAddr;

use url::{Host, Url};

use crate::config::settings::ProxySettings;

impl ProxySettings {
    /// The proxy for a request; `None` = direct.
    #[must_use]
    pub fn choose(&self, url: &Url) -> Option<&str> {
        let proxy = match url.scheme() {
            "http" => self.http.as_ref(),
            "https" => self.https.as_ref(),
            _ => None,
        };
        proxy.map(|proxy| proxy.expose().as_str()).filter(|proxy| !proxy.is_empty() && !self.is_direct(url))
    }

    fn is_direct(&self, url: &Url) -> bool {
        let Some(host) = url.host() else { return false };
        let port = url.port_or_known_default();
        let rule = |entry: &&String| {
            let entry = entry.trim();
            if self.nonexact_match { matches_loosely(entry, &host, port) } else { matches_exactly(entry, url, &host, port) }
        };
        self.no_proxy.iter().any(|entry| rule(&entry))
    }
}

/// Exact comparison with the host and port of the request; the default port may be written or not.
fn matches_exactly(entry: &str, url: &Url, host: &Host<&str>, port: Option<u16>) -> bool {
    let with_port = port.is_some_and(|port| entry == format!("{host}:{port}"));
    with_port || (url.port().is_none() && entry == host.to_string())
}

/// The usual rules: `*`, a domain with everything below it, `.domain` and `*.domain` only what is below, an address, a network,
/// each with an optional port.
fn matches_loosely(entry: &str, host: &Host<&str>, port: Option<u16>) -> bool {
    let address = match host {
        Host::Ipv4(address) => Some(IpAddr::V4(*address)),
        Host::Ipv6(address) => Some(IpAddr::V6(*address)),
        Host::Domain(_) => None,
    };
    if entry == "*" {
        return true;
    }
    if let Some((network, bits)) = entry.split_once('/') {
        let (Some(address), Ok(network), Ok(bits)) = (address, network.parse(), bits.parse()) else { return false };
        return contains(network, bits, address);
    }
    let (name, entry_port) = split_port(entry);
    if entry_port.is_some() && entry_port != port {
        return false;
    }
    let name = name.to_ascii_lowercase();
    match (address, host) {
        (Some(address), _) => name.trim_matches(['[', ']']).parse() == Ok(address),
        (None, Host::Domain(domain)) => {
            let domain = domain.to_ascii_lowercase();
            let parent = name.strip_prefix("*.").or_else(|| name.strip_prefix('.'));
            let below = |parent: &str| !parent.is_empty() && domain.strip_suffix(parent).is_some_and(|start| start.ends_with('.'));
            match parent {
                Some(parent) => below(parent),
                None => domain == name || below(&name),
            }
        }
        (None, _) => false,
    }
}

/// Splits `name:port`; an IPv6 address without brackets has no port.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    match entry.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => match port.parse() {
            Ok(port) => (name, Some(port)),
            Err(_) => (entry, None),
        },
        _ => (entry, None),
    }
}

fn contains(network: IpAddr, bits: u32, address: IpAddr) -> bool {
    let same = |network: u128, address: u128, width: u32| bits <= width && (bits == 0 || (network ^ address) >> (width - bits) == 0);
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => same(u32::from(network).into(), u32::from(address).into(), 32),
        (IpAddr::V6(network), IpAddr::V6(address)) => same(network.into(), address.into(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn settings(no_proxy: &[&str], nonexact_match: bool) -> ProxySettings {
        ProxySettings {
            http: Some(Secret::new("http://h:3128".to_owned())),
            https: Some(Secret::new("http://p:3128".to_owned())),
            no_proxy: no_proxy.iter().map(|entry| (*entry).to_owned()).collect(),
            nonexact_match,
        }
    }

    fn chosen(no_proxy: &[&str], nonexact_match: bool, url: &str) -> Option<String> {
        settings(no_proxy, nonexact_match).choose(&Url::parse(url).unwrap()).map(str::to_owned)
    }

    #[test]
    fn the_scheme_of_the_request_decides() {
        assert_eq!(chosen(&[], false, "http://a/").as_deref(), Some("http://h:3128"));
        assert_eq!(chosen(&[], false, "https://a/").as_deref(), Some("http://p:3128"));
        assert_eq!(ProxySettings::default().choose(&Url::parse("https://a/").unwrap()), None);
    }

    #[test]
    fn ca_f7_only_the_exact_host_is_direct_by_default() {
        let entry = ["app.datadoghq.com"];
        assert!(chosen(&entry, false, "https://7-81-1-app.agent.datadoghq.com/api").is_some());
        assert!(chosen(&entry, false, "https://app.datadoghq.com/api").is_none());
        assert!(chosen(&["datadoghq.com", "*"], false, "https://app.datadoghq.com/").is_some());
        assert!(chosen(&["a:8080"], false, "http://a:8080/").is_none());
        assert!(chosen(&["a"], false, "http://a:8080/").is_some());
        assert!(chosen(&["a:80"], false, "http://a/").is_none());
    }

    #[test]
    fn ca_f8_nonexact_matching_follows_domains() {
        assert!(chosen(&["datadoghq.com"], true, "https://7-81-1-app.agent.datadoghq.com/api").is_none());
        assert!(chosen(&["datadoghq.com"], true, "https://notdatadoghq.com/").is_some());
        assert!(chosen(&[".datadoghq.com"], true, "https://datadoghq.com/").is_some());
        assert!(chosen(&[".datadoghq.com", "x"], true, "https://app.datadoghq.com/").is_none());
        assert!(chosen(&["*.datadoghq.com"], true, "https://app.datadoghq.com/").is_none());
        assert!(chosen(&["datadoghq.com:8443"], true, "https://app.datadoghq.com/").is_some());
        assert!(chosen(&["datadoghq.com:443"], true, "https://app.datadoghq.com/").is_none());
        assert!(chosen(&["*"], true, "https://anything/").is_none());
        assert!(chosen(&[""], true, "https://anything/").is_some());
    }

    #[test]
    fn nonexact_matching_knows_addresses_and_networks() {
        assert!(chosen(&["10.1.0.0/16"], true, "http://10.1.2.3/").is_none());
        assert!(chosen(&["10.1.0.0/16"], true, "http://10.2.2.3/").is_some());
        assert!(chosen(&["0.0.0.0/0"], true, "http://10.2.2.3/").is_none());
        assert!(chosen(&["10.1.0.0/99", "x/8"], true, "http://10.1.2.3/").is_some());
        assert!(chosen(&["10.1.2.3"], true, "http://10.1.2.3:8080/").is_none());
        assert!(chosen(&["10.1.2.3:80"], true, "http://10.1.2.3:8080/").is_some());
        assert!(chosen(&["[::1]:80", "fd00::/8"], true, "http://[::1]/").is_none());
        assert!(chosen(&["::1"], true, "http://[::1]:5/").is_none());
        assert!(chosen(&["fd00::/8"], true, "http://[fd12::1]/").is_none());
    }

    #[test]
    fn debug_shows_no_password() {
        let settings = ProxySettings { https: Some(Secret::new("http://user:password@p".to_owned())), ..ProxySettings::default() };
        assert!(!format!("{settings:?}").contains("password"));
    }
}
