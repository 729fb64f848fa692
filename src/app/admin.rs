//! What the command line asks a process about itself, answered over configuration, discovery and the actors.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use muster_actors::domain::config::CheckConfig;
use muster_actors::domain::discovery::DiscoveryReport;
use muster_actors::kernel::clock::Clock;
use muster_actors::kernel::mailbox::Outlet;
use muster_actors::kernel::published::Reader;
use muster_actors::kernel::registry::Registry;
use muster_actors::messages::journal::QueryJournal;
use serde_json::{Value as Json, json};

use crate::api::admin::{Admin, Document, DocumentError, SettingError};
use crate::app::shutdown::StopRequest;
use crate::autodiscovery::{SecretCommand, configcheck};
use crate::config::{CommonSettings, RuntimeConfig, RuntimeError};
use crate::telemetry::status::{AutoConfigStatus, ProcessFacts, StatusDocument};

/// Time that actors have to describe themselves.
const OBSERVE_DEADLINE: Duration = Duration::from_secs(1);

/// Fills the sections of the status that only one role has.
pub(super) type FillStatus = Arc<dyn Fn(&mut StatusDocument) + Send + Sync>;

/// The admin side of a role.
pub(super) struct RoleAdmin {
    /// The configuration.
    pub(super) runtime: RuntimeConfig,
    /// Settings of both roles.
    pub(super) settings: CommonSettings,
    /// Time.
    pub(super) clock: Arc<dyn Clock>,
    /// When the process started. Units: nanoseconds since the Unix epoch.
    pub(super) started_unix_nanos: i64,
    /// What discovery found.
    pub(super) discovery: Reader<DiscoveryReport>,
    /// The actors.
    pub(super) registry: Registry,
    /// To stop the process.
    pub(super) stop: StopRequest,
    /// The decision journal; only the cluster role has one.
    pub(super) journal: Option<Outlet<QueryJournal>>,
    /// What knows the secrets that must not be shown.
    pub(super) secrets: Option<SecretCommand>,
    /// The role's own sections of the status.
    pub(super) fill_status: FillStatus,
}

impl RoleAdmin {
    fn document(&self) -> StatusDocument {
        let process =
            ProcessFacts { pid: std::process::id(), started_unix_nanos: self.started_unix_nanos, now_unix_nanos: self.clock.unix_nanos() };
        let mut document = StatusDocument::new(&self.runtime.current(), &self.settings, process);
        document.auto_config = AutoConfigStatus::of(&self.discovery.peek());
        (self.fill_status)(&mut document);
        document
    }
}

impl Admin for RoleAdmin {
    fn status_json(&self, _verbose: bool) -> BoxFuture<'_, Document<Json>> {
        Box::pin(async { serde_json::to_value(self.document()).map_err(|error| DocumentError(error.to_string())) })
    }

    fn status_text(&self, verbose: bool) -> BoxFuture<'_, Document<String>> {
        Box::pin(async move { Ok(self.document().text(verbose)) })
    }

    fn config_check(&self, raw: bool) -> BoxFuture<'_, Document<Json>> {
        Box::pin(async move { Ok(configcheck::json(&self.discovery.current(), raw)) })
    }

    fn journal(&self) -> BoxFuture<'_, Document<Json>> {
        Box::pin(async move {
            let Some(journal) = &self.journal else {
                return Ok(json!({"decisions": []}));
            };
            let page = journal.ask(QueryJournal::default(), OBSERVE_DEADLINE).await.map_err(|error| DocumentError(error.to_string()))?;
            serde_json::to_value(page).map_err(|error| DocumentError(error.to_string()))
        })
    }

    fn diagnostics(&self) -> BoxFuture<'_, Document<Json>> {
        Box::pin(
            async move { Ok(json!({"actors": self.registry.observe_all(OBSERVE_DEADLINE).await, "kernel": self.registry.statuses()})) },
        )
    }

    fn config_yaml(&self) -> String {
        self.runtime.effective_yaml()
    }

    fn config_by_source(&self) -> Json {
        self.runtime.by_source()
    }

    fn runtime_settings(&self) -> Json {
        self.runtime.list_runtime()
    }

    fn config_get(&self, name: &str, with_sources: bool) -> Result<Json, SettingError> {
        self.runtime.setting(name, with_sources).map_err(setting_error)
    }

    fn config_set(&self, name: &str, value: &str) -> Result<(), SettingError> {
        self.runtime.set(name, value).map_err(setting_error)
    }

    fn scrub(&self, config: &CheckConfig) -> CheckConfig {
        match &self.secrets {
            Some(secrets) => configcheck::scrubbed(&secrets.hide(config)),
            None => configcheck::scrubbed(config),
        }
    }

    fn stop(&self) {
        self.stop.request();
    }
}

fn setting_error(error: RuntimeError) -> SettingError {
    match error {
        RuntimeError::NotFound { name } => SettingError::Unknown(name),
        refused => SettingError::Refused(refused.to_string()),
    }
}
