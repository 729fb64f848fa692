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

use crate::api::admin::{Admin, AdminApi, Document, DocumentError, SettingError};
use crate::api::version::{AgentVersion, VersionError};
use crate::app::host::Host;
use crate::app::shutdown::StopRequest;
use crate::autodiscovery::configcheck;
use crate::config::{CommonSettings, RuntimeConfig, RuntimeError};
use crate::secrets::SecretCommand;
use crate::telemetry::build;
use crate::telemetry::status::{AutoConfigStatus, ProcessFacts, StatusDocument};

/// Time that actors have to describe themselves.
const OBSERVE_DEADLINE: Duration = Duration::from_secs(1);

/// Fills the sections of the status that only one role has.
pub(super) type FillStatus = Arc<dyn Fn(&mut StatusDocument) + Send + Sync>;

/// What a role shows of itself.
pub(super) struct RoleView {
    /// Name of this host.
    pub(super) hostname: Reader<String>,
    /// What discovery found.
    pub(super) discovery: Reader<DiscoveryReport>,
    /// The decision journal; only the cluster role has one.
    pub(super) journal: Option<Outlet<QueryJournal>>,
    /// What knows the secrets that must not be shown.
    pub(super) secrets: Option<SecretCommand>,
    /// The role's own sections of the status.
    pub(super) fill_status: FillStatus,
}

/// The routes about the process itself.
///
/// Errors: the version to be compatible with is none.
pub(super) fn admin_api(host: &Host, settings: &CommonSettings, role: RoleView) -> Result<AdminApi, VersionError> {
    let hostname = role.hostname.clone();
    let admin = RoleAdmin {
        runtime: host.runtime.clone(),
        settings: settings.clone(),
        clock: Arc::clone(&host.clock),
        started_unix_nanos: host.clock.unix_nanos(),
        registry: host.kernel.registry(),
        stop: host.stop.clone(),
        role,
    };
    Ok(AdminApi {
        version: AgentVersion::parse(&settings.compat_version, build::COMMIT)?.body(),
        hostname,
        admin: Arc::new(admin),
        health: host.kernel.health(),
        request_timeout: settings.request_timeout,
    })
}

struct RoleAdmin {
    runtime: RuntimeConfig,
    settings: CommonSettings,
    clock: Arc<dyn Clock>,
    /// When the process started. Units: nanoseconds since the Unix epoch.
    started_unix_nanos: i64,
    registry: Registry,
    stop: StopRequest,
    role: RoleView,
}

impl RoleAdmin {
    fn document(&self) -> StatusDocument {
        let process =
            ProcessFacts { pid: std::process::id(), started_unix_nanos: self.started_unix_nanos, now_unix_nanos: self.clock.unix_nanos() };
        let mut document = StatusDocument::new(&self.runtime.current(), &self.settings, process);
        document.auto_config = AutoConfigStatus::of(&self.role.discovery.peek());
        (self.role.fill_status)(&mut document);
        document
    }
}

impl Admin for RoleAdmin {
    fn status_json(&self) -> BoxFuture<'_, Document<Json>> {
        Box::pin(async { serde_json::to_value(self.document()).map_err(|error| DocumentError(error.to_string())) })
    }

    fn status_text(&self, verbose: bool) -> BoxFuture<'_, Document<String>> {
        Box::pin(async move { Ok(self.document().text(verbose)) })
    }

    fn config_check(&self, raw: bool) -> BoxFuture<'_, Document<Json>> {
        Box::pin(async move { Ok(configcheck::json(&self.role.discovery.current(), raw)) })
    }

    fn journal(&self) -> BoxFuture<'_, Document<Json>> {
        Box::pin(async move {
            let Some(journal) = &self.role.journal else {
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
        match &self.role.secrets {
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
