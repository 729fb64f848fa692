//! What each consumer needs, as plain types, built once from the configuration.

mod apiserver_check;
mod balance;
mod cluster;
mod cluster_agent_url;
mod common;
mod error;
mod events;
mod intake;
mod kubernetes;
mod node;
mod read;
mod secrets;

pub use apiserver_check::ApiserverCheckSettings;
pub use balance::BalanceSettings;
pub use cluster::{ClusterChecksSettings, ClusterSettings};
pub use cluster_agent_url::{EndpointError, cluster_agent_url};
pub use common::{CommonSettings, HostnameProvider, LogSettings, Paths, TlsSettings, TlsVersion, TrustChain};
pub use error::SettingsError;
pub use events::EventSettings;
pub use intake::{BodyLimits, Compressor, EnabledPayloads, ForwarderSettings, IntakeSettings, OutputKind, ProxySettings, SpoolSettings};
pub use kubernetes::{ApiServerSettings, ElectionSettings, KubernetesSettings, LockKind, WatchPods};
pub use node::{CheckSettings, ClusterAgentSettings, IncludePending, NodeSettings, ProviderSettings, RunnerApiSettings};
pub use secrets::{SecretBackendSettings, SecretRefreshSettings};
