//! Settings of both roles.

use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_actors::domain::kube::event_hosts::host_of_node;

use super::error::SettingsError;
use super::read::{path, port_or_off, read, text};
use crate::config::effective::{Config, Role};
use crate::config::log_level::LogLevel;

/// Where things are on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// The configuration file, if there is one.
    pub config_file: Option<PathBuf>,
    /// Directories of check configurations, `/conf.d` of the chart included when it exists.
    pub confd: Vec<PathBuf>,
    /// State that survives a restart.
    pub run: PathBuf,
    /// File of the local token.
    pub local_token: PathBuf,
    /// File of the certificate and key that processes of this machine share.
    pub ipc_certificate: PathBuf,
}

impl Paths {
    pub(crate) fn from_config(config: &Config) -> Self {
        let directory = config.directory();
        let local_token = path(config, "auth_token_file_path").unwrap_or_else(|| directory.join("auth_token"));
        let beside_token = local_token.parent().unwrap_or(directory).join("ipc_cert.pem");
        let mut confd = vec![PathBuf::from(read::<String>(config, "confd_path"))];
        // The chart mounts checks here; stock's entry script copies them (cluster-agent-kubernetes 9.3).
        let mounted = Path::new("/conf.d");
        if mounted.is_dir() && !confd.iter().any(|listed| listed == mounted) {
            confd.push(mounted.to_owned());
        }
        Self {
            config_file: config.file().map(Path::to_owned),
            confd,
            run: PathBuf::from(read::<String>(config, "run_path")),
            ipc_certificate: path(config, "ipc_cert_file_path").unwrap_or(beside_token),
            local_token,
        }
    }
}

/// How and where to log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// Level at start.
    pub level: LogLevel,
    /// One JSON object per line.
    pub json: bool,
    /// Times in RFC 3339 form.
    pub rfc3339: bool,
    /// To standard output, or to standard error where [`Self::on_stderr`] says so.
    pub to_console: bool,
    /// The console is standard error, because samples go to standard output.
    pub on_stderr: bool,
    /// To this file.
    pub file: Option<PathBuf>,
    /// Size at which the file is rolled over, bytes.
    pub file_max_bytes: u64,
    /// Number of old files kept.
    pub file_max_rolls: u32,
}

impl LogSettings {
    pub(crate) fn from_config(config: &Config) -> Self {
        let file = path(config, "log_file").filter(|_| !read::<bool>(config, "disable_file_logging"));
        Self {
            level: LogLevel::parse(&read::<String>(config, "log_level")).unwrap_or_default(),
            json: read(config, "log_format_json"),
            rfc3339: read(config, "log_format_rfc3339"),
            to_console: read(config, "log_to_console"),
            on_stderr: false,
            file,
            file_max_bytes: size_in_bytes(&read::<String>(config, "log_file_max_size")).unwrap_or(10 * 1024 * 1024),
            file_max_rolls: read(config, "log_file_max_rolls"),
        }
    }
}

/// `10Mb`, `500kb`, `1GB`, `1024`: bytes.
fn size_in_bytes(text: &str) -> Option<u64> {
    let lower = text.trim().to_lowercase();
    let digits = lower.find(|c: char| !c.is_ascii_digit()).unwrap_or(lower.len());
    let (number, unit) = lower.split_at(digits);
    let factor = match unit.trim() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// Oldest TLS version our servers accept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// 1.2 and 1.3: agents before about 6.15 and 7.15 speak nothing newer than 1.2.
    #[default]
    V1_2,
    /// Only 1.3, as current stock servers.
    V1_3,
}

/// Authority that signs server certificates. Source: cluster-agent-kubernetes 1.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustChain {
    /// File of its certificate.
    pub certificate: PathBuf,
    /// File of its key.
    pub key: PathBuf,
}

/// TLS of our servers and of calls between nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// Oldest version accepted.
    pub min_version: TlsVersion,
    /// Authority, when configured.
    pub trust_chain: Option<TrustChain>,
    /// Whether calls between nodes verify the other side.
    pub verify: bool,
}

impl TlsSettings {
    fn from_config(config: &Config) -> Result<Self, SettingsError> {
        let certificate = path(config, "cluster_trust_chain.ca_cert_file_path");
        let key = path(config, "cluster_trust_chain.ca_key_file_path");
        let trust_chain = certificate.zip(key).map(|(certificate, key)| TrustChain { certificate, key });
        let verify = read(config, "cluster_trust_chain.enable_tls_verification");
        if verify && trust_chain.is_none() {
            return Err(SettingsError::TrustChainIncomplete);
        }
        let min_version = if read::<String>(config, "muster.tls_min_version") == "1.3" { TlsVersion::V1_3 } else { TlsVersion::V1_2 };
        Ok(Self { min_version, trust_chain, verify })
    }
}

/// Who told the host name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostnameProvider {
    /// `hostname`.
    Configuration,
    /// `hostname_file`.
    File,
    /// The API server: the Kubernetes node of the own pod.
    Container,
    /// The operating system.
    Os,
}

impl HostnameProvider {
    /// Its name in the status.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::File => "hostnameFile",
            Self::Container => "container",
            Self::Os => "os",
        }
    }
}

/// Settings of both roles.
#[derive(Clone, Debug, PartialEq)]
pub struct CommonSettings {
    /// Which role.
    pub role: Role,
    /// Files and directories.
    pub paths: Paths,
    /// Logging.
    pub log: LogSettings,
    /// Port of `/live`, `/ready`, `/startup`; `None` = off.
    pub health_port: Option<u16>,
    /// Port of `/metrics`; `None` = off.
    pub metrics_port: Option<u16>,
    /// Name of this host; empty when none can be found.
    pub hostname: String,
    /// Who told it.
    pub hostname_provider: HostnameProvider,
    /// Global tags: `tags`, `extra_tags` and `env:<env>`.
    pub tags: Vec<String>,
    /// TLS.
    pub tls: TlsSettings,
    /// Longest time one request to the API may take.
    pub request_timeout: Duration,
    /// Version told to clients and to the intake.
    pub compat_version: String,
    /// `%%env_<name>%%` may read these variables; empty = all.
    pub allowed_env_vars: Vec<String>,
    /// `%%env_<name>%%` stays as it is.
    pub env_var_resolution_disabled: bool,
    /// Resolved templates keep `ignore_autodiscovery_tags` and `check_tag_cardinality`.
    pub keep_ad_tag_options: bool,
    /// Integrations whose default files are skipped.
    pub ignore_autoconf: Vec<String>,
}

impl CommonSettings {
    pub(crate) fn from_config(config: &Config) -> Result<Self, SettingsError> {
        let (hostname, hostname_provider) = hostname(config);
        Ok(Self {
            role: config.role(),
            paths: Paths::from_config(config),
            log: LogSettings::from_config(config),
            health_port: port_or_off(config, "health_port"),
            metrics_port: port_or_off(config, "metrics_port"),
            hostname,
            hostname_provider,
            tags: global_tags(config),
            tls: TlsSettings::from_config(config)?,
            request_timeout: read(config, "cluster_agent.server.idle_timeout_seconds"),
            compat_version: compat_version(config)?,
            allowed_env_vars: read(config, "ad_allowed_env_vars"),
            env_var_resolution_disabled: read(config, "ad_disable_env_var_resolution"),
            keep_ad_tag_options: read(config, "muster.keep_ad_tag_options"),
            ignore_autoconf: read(config, "ignore_autoconf"),
        })
    }
}

impl CommonSettings {
    /// Takes the name that the Kubernetes node of the own pod gives this host, unless one is configured. An empty node gives none.
    ///
    /// Source: cluster-agent-kubernetes 5.3.
    pub fn name_host_after_node(&mut self, node: &str, cluster_name: &str) {
        if self.hostname_provider == HostnameProvider::Os && !node.is_empty() {
            self.hostname = host_of_node(node, cluster_name);
            self.hostname_provider = HostnameProvider::Container;
        }
    }
}

fn global_tags(config: &Config) -> Vec<String> {
    let mut tags: Vec<String> = read(config, "tags");
    tags.extend(read::<Vec<String>>(config, "extra_tags"));
    tags.extend(text(config, "env").map(|env| format!("env:{env}")));
    tags
}

/// Source: cluster-agent-kubernetes 5.3, without cloud providers; for that of Kubernetes see [`CommonSettings::name_host_after_node`].
fn hostname(config: &Config) -> (String, HostnameProvider) {
    if let Some(name) = text(config, "hostname") {
        return (name, HostnameProvider::Configuration);
    }
    if let Some(name) = path(config, "hostname_file").as_deref().and_then(first_word) {
        return (name, HostnameProvider::File);
    }
    (os_hostname(config), HostnameProvider::Os)
}

/// The name that the system has, whatever is configured; in a pod that of the pod. Empty when nobody tells it.
pub(super) fn os_hostname(config: &Config) -> String {
    let name = first_word(Path::new("/proc/sys/kernel/hostname"));
    name.or_else(|| config.environment().get("HOSTNAME").map(str::to_owned)).unwrap_or_default()
}

fn first_word(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|content| content.trim().to_owned()).filter(|name| !name.is_empty())
}

/// Clients switch features on by the first two numbers (cluster-agent-kubernetes 1.4).
fn compat_version(config: &Config) -> Result<String, SettingsError> {
    let found: String = read(config, "muster.compat_version");
    let numbers: Vec<u32> = found.split(['-', '+']).next().unwrap_or_default().split('.').map_while(|part| part.parse().ok()).collect();
    match numbers.as_slice() {
        [major, minor, _patch] if (*major, *minor) >= (7, 55) => Ok(found),
        _ => Err(SettingsError::CompatVersion { found }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Request};

    /// Name of the host on a node, and who told it.
    fn host_on(node: &str, cluster_name: &str, environment: &[(&str, &str)]) -> (String, HostnameProvider) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("datadog-cluster.yaml"), "").unwrap();
        let environment = Environment::from_pairs(environment.iter().copied());
        let request = Request { role: Role::Cluster, path: Some(directory.path().to_owned()), environment, overrides: Vec::new() };
        let mut settings = CommonSettings::from_config(&Config::load(request).unwrap()).unwrap();
        settings.name_host_after_node(node, cluster_name);
        (settings.hostname, settings.hostname_provider)
    }

    #[test]
    fn a_configured_host_name_comes_before_the_node_and_the_node_before_the_system() {
        let configured = [("DD_HOSTNAME", "dca-host")];
        assert_eq!(host_on("node-a", "prod", &configured), ("dca-host".to_owned(), HostnameProvider::Configuration));
        assert_eq!(host_on("node-a", "prod", &[]), ("node-a-prod".to_owned(), HostnameProvider::Container));
        assert_eq!(host_on("node-a", "", &[]), ("node-a".to_owned(), HostnameProvider::Container));
        assert_eq!(host_on("", "prod", &[]).1, HostnameProvider::Os);
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [("10Mb", 10 << 20), ("500KB", 500 << 10), ("1024", 1024), ("1 gb", 1 << 30)] {
            assert_eq!(size_in_bytes(text), Some(bytes), "{text}");
        }
        assert_eq!(size_in_bytes("ten"), None);
    }
}
