//! Setting logging up: where to, how much, and changing how much while running.

use std::io;
use std::panic::PanicHookInfo;
use std::path::PathBuf;

use muster_actors::kernel::clock::SystemClock;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::layer;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Registry, reload};

use super::log_file::LogFile;
use super::log_format::LineFormat;
use crate::config::settings::LogSettings;
use crate::config::{Config, LogLevel, Role, Severity};

/// Why logging cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogSetupError {
    /// The log file cannot be opened.
    #[error("open log file {}", path.display())]
    OpenFile {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Logging was set up before.
    #[error("set logging up twice in one process")]
    Twice,
}

/// Changes how much is logged.
#[derive(Clone, Debug)]
pub struct LogHandle {
    filter: reload::Handle<Targets, Registry>,
}

impl LogHandle {
    /// Logs this much from now on.
    pub fn set_level(&self, level: LogLevel) {
        // Fails only when the subscriber is gone, and then nothing is logged anyway.
        let _ = self.filter.reload(targets(level));
    }
}

/// Sends events to the configured places, and panics to the events.
///
/// Errors: [`LogSetupError`].
pub fn init(settings: &LogSettings, role: Role) -> Result<LogHandle, LogSetupError> {
    let console = if settings.on_stderr { BoxMakeWriter::new(io::stderr) } else { BoxMakeWriter::new(io::stdout) };
    let (subscriber, handle) = subscriber(settings, role, console)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogSetupError::Twice)?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(handle)
}

/// Logs what is wrong with a configuration, each problem at its own level.
pub fn report_problems(config: &Config) {
    for problem in config.problems() {
        match problem.severity() {
            Severity::Error => tracing::error!(%problem, "invalid configuration value, the default is used"),
            Severity::Warning => tracing::warn!(%problem, "unknown configuration key"),
            Severity::Note => tracing::debug!(%problem, "unknown configuration variable"),
        }
    }
}

fn subscriber<W>(settings: &LogSettings, role: Role, console: W) -> Result<(impl Subscriber + Send + Sync, LogHandle), LogSetupError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let format = LineFormat {
        agent: match role {
            Role::Cluster => "cluster",
            Role::Node => "core",
        },
        json: settings.json,
        rfc3339: settings.rfc3339,
        clock: SystemClock::shared(),
    };
    let file = settings.file.as_ref().map(|path| {
        let opened = LogFile::open(path, settings.file_max_bytes, settings.file_max_rolls);
        opened.map_err(|source| LogSetupError::OpenFile { path: path.clone(), source })
    });
    let file = file.transpose()?;
    let (filter, handle) = reload::Layer::new(targets(settings.level));
    let console = settings.to_console.then(|| layer().event_format(format.clone()).with_ansi(false).with_writer(console));
    let file = file.map(|file| layer().event_format(format).with_ansi(false).with_writer(move || file.clone()));
    Ok((Registry::default().with(filter).with(console).with(file), LogHandle { filter: handle }))
}

/// Our own events at the level asked for; those of libraries only from warnings on, unless everything is asked for.
///
/// The Kubernetes client is silent until then: it logs each failed attempt, and whole answers that it cannot read; we log what
/// follows from them.
fn targets(level: LogLevel) -> Targets {
    let own = match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Critical | LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let others = if level == LogLevel::Trace { LevelFilter::DEBUG } else { own.min(LevelFilter::WARN) };
    let kubernetes = if level == LogLevel::Trace { LevelFilter::DEBUG } else { LevelFilter::OFF };
    Targets::new().with_target("muster", own).with_target("kube", kubernetes).with_default(others)
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let message = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let message = message.unwrap_or("no text");
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
    tracing::error!(location, thread, panic = message, "a part of the program panicked");
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::config::{Environment, Request};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn settings() -> LogSettings {
        LogSettings {
            level: LogLevel::Info,
            json: false,
            rfc3339: false,
            to_console: true,
            on_stderr: false,
            file: None,
            file_max_bytes: 1000,
            file_max_rolls: 1,
        }
    }

    fn logged(settings: &LogSettings, events: impl FnOnce(&LogHandle)) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let (subscriber, handle) = subscriber(settings, Role::Cluster, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || events(&handle));
        lines.text()
    }

    #[test]
    fn text_lines_have_the_stock_layout() {
        let text = logged(&settings(), |_| {
            let span = tracing::info_span!("request", route = "/version");
            let _inside = span.enter();
            tracing::info!(moved = 3, node = "node a", "plan applied");
        });
        let parts: Vec<&str> = text.trim_end().split(" | ").collect();
        assert!(parts[0].ends_with(" UTC"), "{text}");
        assert_eq!(parts[1..3], ["CLUSTER", "INFO"]);
        assert!(parts[3].starts_with("(src/telemetry/logs.rs:") && parts[3].ends_with(" in tests)"), "{text}");
        assert_eq!(parts[4], r#"plan applied moved=3 node="node a" in request{route="/version"}"#);
    }

    #[test]
    fn json_lines_have_the_stock_keys() {
        let text = logged(&LogSettings { json: true, rfc3339: true, ..settings() }, |_| tracing::warn!(moved = 3, "plan applied"));
        let object: serde_json::Value = serde_json::from_str(&text).unwrap();
        let keys: Vec<&String> = object.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["agent", "time", "level", "file", "line", "func", "msg", "moved"]);
        assert_eq!(object["agent"], "cluster");
        assert_eq!(object["level"], "WARN");
        assert_eq!(object["msg"], "plan applied");
        assert!(object["line"].is_string());
        assert!(object["time"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn the_level_changes_while_running() {
        let text = logged(&settings(), |handle| {
            tracing::debug!("too early");
            handle.set_level(LogLevel::Debug);
            tracing::debug!("heard");
            handle.set_level(LogLevel::Off);
            tracing::error!("too late");
        });
        assert!(text.contains("heard") && !text.contains("too"), "{text}");
    }

    #[test]
    fn libraries_are_heard_from_warnings_on() {
        let text = logged(&LogSettings { level: LogLevel::Debug, ..settings() }, |_| {
            tracing::info!(target: "hyper::client", "chatter");
            tracing::warn!(target: "hyper::client", "trouble");
        });
        assert!(text.contains("trouble") && !text.contains("chatter"), "{text}");
    }

    #[test]
    fn the_kubernetes_client_is_heard_only_when_everything_is() {
        let noise = |_: &LogHandle| tracing::error!(target: "kube_client::client::builder", "noise");
        assert!(!logged(&LogSettings { level: LogLevel::Debug, ..settings() }, noise).contains("noise"));
        assert!(logged(&LogSettings { level: LogLevel::Trace, ..settings() }, noise).contains("noise"));
    }

    #[test]
    fn problems_of_the_configuration_are_logged_by_their_weight() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("datadog.yaml"), "health_port: x\nlog_levle: debug\n").unwrap();
        let environment = Environment::from_pairs([("DD_SOME_OTHER_PRODUCT", "1")]);
        let request = Request { role: Role::Node, path: Some(directory.path().to_owned()), environment, overrides: Vec::new() };
        let config = Config::load(request).unwrap();
        let text = logged(&settings(), |_| report_problems(&config));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].contains("| ERROR |") && lines[0].contains("health_port: invalid value"), "{text}");
        assert!(lines[1].contains("| WARN |") && lines[1].contains("did you mean log_level?"), "{text}");
    }

    #[test]
    fn one_event_is_one_line() {
        let text = logged(&settings(), |_| tracing::info!(error = "a\nb", "failed"));
        assert_eq!(text.lines().count(), 1, "{text}");
    }

    #[test]
    fn a_log_file_is_written_beside_the_console() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.log");
        let text = logged(&LogSettings { file: Some(path.clone()), ..settings() }, |_| tracing::info!("both"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        let occupied = LogSettings { file: Some(path.join("below a file")), ..settings() };
        assert!(matches!(subscriber(&occupied, Role::Node, io::sink), Err(LogSetupError::OpenFile { .. })));
    }
}
