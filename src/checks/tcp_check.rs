//! `tcp_check`: does a port accept connections. Source: node-runner 10.2.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use muster_actors::domain::samples::ServiceStatus;
use muster_actors::kernel::clock::Clock;
use muster_actors::ports::{Check, LoadError, RunReport};
use tokio::net::TcpStream;

use super::common::CommonKeys;
use super::normalize::normalize_tag;
use super::options::Options;
use super::settings::CheckSettings;
use super::submission::Submission;

/// Limit for connecting unless `timeout` says otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// A loaded instance.
pub(crate) struct TcpCheck {
    keys: CommonKeys,
    clock: Arc<dyn Clock>,
    host: String,
    port: u16,
    timeout: Duration,
    collect_response_time: bool,
    multiple_ips: bool,
    ipv4_only: bool,
    /// How long addresses are good for; `None` = until a connection to an IPv4 address fails.
    ip_cache_duration: Option<Duration>,
    /// Tags of the state, without the address.
    state_tags: Vec<String>,
    /// Tags of the response time, without the address.
    time_tags: Vec<String>,
    /// Addresses of the host, empty when they must be looked up.
    addresses: Vec<IpAddr>,
    /// Monotonic time of the last lookup.
    resolved_at: Duration,
}

impl TcpCheck {
    /// Loads an instance.
    pub(crate) fn load(instance: Options<'_>, init: Options<'_>, settings: &CheckSettings) -> Result<Self, LoadError> {
        let keys = CommonKeys::read("tcp_check", instance, init, None)?;
        let name = instance.required_text("name", "a name for this instance, it becomes the tag `instance`")?;
        let host = instance.required_text("host", "the name or address of the host to connect to")?;
        let port_error = || instance.error("port", "a port number from 1 to 65535");
        let port =
            instance.number("port").map_err(|_| port_error())?.filter(|port| (1.0..=65_535.0).contains(port)).ok_or_else(port_error)?
                as u16;
        let mut state_tags = keys.tags.clone();
        let normalized = normalize_tag(&name, keys.legacy_tags_normalization);
        state_tags.extend([format!("target_host:{host}"), format!("port:{port}"), format!("instance:{normalized}")]);
        let mut time_tags = vec![format!("url:{host}:{port}"), format!("instance:{name}")];
        time_tags.extend(keys.tags.iter().cloned());
        Ok(Self {
            clock: Arc::clone(&settings.clock),
            timeout: instance.seconds("timeout")?.unwrap_or(DEFAULT_TIMEOUT),
            collect_response_time: instance.flag_or("collect_response_time", false)?,
            multiple_ips: instance.flag_or("multiple_ips", false)?,
            ipv4_only: instance.flag_or("ipv4_only", false)?,
            ip_cache_duration: instance.count("ip_cache_duration")?.map(Duration::from_secs),
            keys,
            host,
            port,
            state_tags,
            time_tags,
            addresses: Vec::new(),
            resolved_at: Duration::ZERO,
        })
    }

    async fn run_once(&mut self) -> RunReport {
        let started = self.clock.monotonic();
        let stale = self.ip_cache_duration.is_some_and(|duration| started.saturating_sub(self.resolved_at) > duration);
        if stale || self.addresses.is_empty() {
            self.addresses = resolve(&self.host, self.ipv4_only, self.multiple_ips).await;
            self.resolved_at = started;
        }
        let mut run = Submission::new(&self.keys);
        if self.addresses.is_empty() {
            return run.finish(Some(format!("URL: {} could not be resolved", self.host)));
        }
        let mut resolve_again = false;
        for &address in &self.addresses {
            let attempt = self.clock.monotonic();
            let connected = connect(SocketAddr::new(address, self.port), self.timeout).await;
            let now = self.clock.monotonic();
            let problem = connected.err().map(|error| message(&error, now.saturating_sub(started)));
            let up = problem.is_none();
            let with_address = |tags: &[String]| [tags, &[format!("address:{address}")]].concat();
            let status = if up { ServiceStatus::Ok } else { ServiceStatus::Critical };
            run.service_check("tcp.can_connect", status, with_address(&self.state_tags), None, problem.unwrap_or_default());
            run.gauge("network.tcp.can_connect", f64::from(up), with_address(&self.state_tags));
            if up && self.collect_response_time {
                run.gauge("network.tcp.response_time", now.saturating_sub(attempt).as_secs_f64(), with_address(&self.time_tags));
            }
            resolve_again |= !up && address.is_ipv4();
        }
        let report = run.finish(None);
        if resolve_again {
            self.addresses.clear();
        }
        report
    }
}

impl Check for TcpCheck {
    fn run(&mut self) -> BoxFuture<'_, RunReport> {
        self.run_once().boxed()
    }
}

/// Addresses of a host in the resolver's order, the first one unless all are wanted; empty = none.
async fn resolve(host: &str, ipv4_only: bool, all: bool) -> Vec<IpAddr> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found: Vec<SocketAddr> = tokio::net::lookup_host((bare, 0)).await.map(Iterator::collect).unwrap_or_default();
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found.iter().map(SocketAddr::ip).filter(|address| address.is_ipv4() || !ipv4_only) {
        if !addresses.contains(&address) && (all || addresses.is_empty()) {
            addresses.push(address);
        }
    }
    addresses
}

async fn connect(address: SocketAddr, limit: Duration) -> io::Result<()> {
    match tokio::time::timeout(limit, TcpStream::connect(address)).await {
        Ok(connected) => connected.map(drop),
        Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut)),
    }
}

fn message(error: &io::Error, elapsed: Duration) -> String {
    let milliseconds = elapsed.as_millis();
    if error.kind() == io::ErrorKind::TimedOut {
        return format!(
            "Socket error: timed out. The connection timed out after {milliseconds} ms because it took more time than the system tcp \
             stack allows. You might want to change this setting to allow longer timeouts"
        );
    }
    format!("{error}. Connection failed after {milliseconds} ms")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_told_from_other_failures() {
        let text = message(&io::Error::from(io::ErrorKind::TimedOut), Duration::from_millis(1500));
        assert!(text.starts_with("Socket error: timed out. The connection timed out after 1500 ms "), "{text}");
        let text = message(&io::Error::other("no route"), Duration::from_millis(2));
        assert_eq!(text, "no route. Connection failed after 2 ms");
    }
}
