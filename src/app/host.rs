//! What both roles stand on: logs, kernel, metrics and health ports, certificates, and the end of all of it.

use std::cell::Cell;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use muster_actors::kernel::clock::{Clock, SystemClock};
use muster_actors::kernel::health::{HealthFlag, HealthKind};
use muster_actors::kernel::rng::{Random, SeededRandom};
use muster_actors::kernel::supervisor::{EXIT_CODE_EXHAUSTED, Kernel};
use tracing::{error, info, warn};

use crate::api::certificate::{CertificateSettings, server_certificate};
use crate::api::health::HealthServer;
use crate::api::listener::{BoundServer, ListenAddress, ListenerSettings, listen};
use crate::api::metrics::MetricsServer;
use crate::api::tls::server_config;
use crate::app::shutdown::StopRequest;
use crate::config::settings::SecretBackendSettings;
use crate::config::{CommonSettings, Config, RuntimeConfig};
use crate::roles::write_role_file;
use crate::secrets::SecretCommand;
use crate::telemetry::logs;
use crate::telemetry::{Metrics, build, sources};

/// Time that actors have to stop.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// The common part of a running role.
pub(super) struct Host {
    /// The machine's clocks.
    pub(super) clock: Arc<dyn Clock>,
    /// The machine's randomness.
    pub(super) random: Arc<dyn Random>,
    /// Host of the actors.
    pub(super) kernel: Kernel,
    /// All metrics.
    pub(super) metrics: Metrics,
    /// The configuration, changeable while the process runs.
    pub(super) runtime: RuntimeConfig,
    /// What knows the secrets, if the configuration names it.
    pub(super) secrets: Option<SecretCommand>,
    /// To stop the process.
    pub(super) stop: StopRequest,
    /// To be set when the role has started; before that the process is not ready.
    pub(super) started: HealthFlag,
    servers: Vec<BoundServer>,
    exhausted: Rc<Cell<bool>>,
}

impl Host {
    /// Sets logs up, starts an empty kernel, and opens the metrics and health ports.
    ///
    /// Errors: a log file or a port cannot be opened; the text names it.
    pub(super) fn open(config: Config, settings: &CommonSettings) -> anyhow::Result<Self> {
        let log = logs::init(&settings.log, settings.role)?;
        logs::report_problems(&config);
        let secrets = SecretCommand::from_settings(SecretBackendSettings::from_config(&config));
        if let Some(secrets) = &secrets {
            secrets.remember(config.secrets());
        }
        let apply_log_level = Arc::new(move |level| log.set_level(level));
        let runtime = RuntimeConfig::new(config, apply_log_level);
        let clock = SystemClock::shared();
        let stop = StopRequest::default();
        let exhausted = Rc::new(Cell::new(false));
        let (gave_up, stop_now) = (Rc::clone(&exhausted), stop.clone());
        let kernel = Kernel::start(Arc::clone(&clock), move |reason| {
            error!(%reason, "giving up");
            gave_up.set(true);
            stop_now.request();
        });
        // Before the health port opens, so that nobody is told too early.
        let started = kernel.health().flag(HealthKind::Readiness, "components-started");
        let mut host = Self {
            clock,
            random: Arc::new(SeededRandom::from_system()),
            kernel,
            metrics: Metrics::new(),
            runtime,
            secrets,
            stop,
            started,
            servers: Vec::new(),
            exhausted,
        };
        let actors = host.kernel.registry();
        host.metrics.add_source(move |scrape| sources::kernel(&actors.statuses(), scrape));
        info!(version = build::VERSION, pid = std::process::id(), "muster starts");
        if let Some(port) = settings.metrics_port {
            let metrics = host.metrics.clone();
            let server = Arc::new(MetricsServer { render: Arc::new(move || metrics.render()) });
            host.serve(ListenerSettings::plain("metrics", ListenAddress::All(port)), server)
                .context("`metrics_port` (set it to a free port; 0 = none)")?;
        }
        if let Some(port) = settings.health_port {
            let server = Arc::new(HealthServer { catalogue: host.kernel.health() });
            host.serve(ListenerSettings::plain("health", ListenAddress::All(port)), server)
                .context("`health_port` (set it to a free port; 0 = none)")?;
        }
        Ok(host)
    }

    /// Starts a server that lives as long as the role.
    ///
    /// Errors: the port cannot be opened.
    pub(super) fn serve<A: crate::api::listener::Application>(&mut self, settings: ListenerSettings, server: Arc<A>) -> anyhow::Result<()> {
        self.servers.push(listen(settings, server)?);
        Ok(())
    }

    /// The TLS settings of a server of this process.
    ///
    /// Errors: the certificate cannot be read or made.
    pub(super) fn tls(&self, settings: &CommonSettings, extra_host: Option<String>) -> anyhow::Result<Arc<rustls::ServerConfig>> {
        let (file, authority) = (settings.paths.ipc_certificate.clone(), settings.tls.trust_chain.clone());
        let certificate = server_certificate(&CertificateSettings { file, authority, extra_host }, &*self.clock)?;
        Ok(server_config(certificate, settings.tls.min_version)?)
    }

    /// Leaves word for the command line which role runs here.
    pub(super) fn say_role(settings: &CommonSettings) {
        if let Err(error) = write_role_file(&settings.paths.run, settings.role) {
            warn!(%error, folder = %settings.paths.run.display(), "role file not written, commands need `cluster` or `node` before them");
        }
    }

    /// Stops accepting, runs `drain`, stops the actors, and says how the process ends.
    pub(super) async fn close(self, drain: impl Future<Output = ()>) -> ExitCode {
        let health = self.kernel.health().report(HealthKind::Liveness);
        if !health.unhealthy.is_empty() {
            warn!(components = ?health.unhealthy, "unhealthy at the end");
        }
        for server in self.servers {
            server.stop().await;
        }
        drain.await;
        self.kernel.shutdown(STOP_GRACE).await;
        info!("See ya!");
        if self.exhausted.get() {
            return ExitCode::from(u8::try_from(EXIT_CODE_EXHAUSTED).unwrap_or(u8::MAX));
        }
        ExitCode::SUCCESS
    }
}
