//! The demo's processes and files: a server and runners as real child processes of this program, in one temporary folder.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tokio::process::{Child, Command};
use uuid::Uuid;

/// Why the stage could not be set.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// A folder or file of the demo could not be written.
    #[error("write {path}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No free port on a loopback address.
    #[error("find a free port on {address}")]
    Port {
        /// Address asked for.
        address: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A child process could not be started.
    #[error("start {name}")]
    Spawn {
        /// Which.
        name: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Seconds between two polls of the demo's runners (stock: 10).
pub const POLL_SECONDS: u64 = 1;
/// Seconds of silence after which the demo's server gives a runner up (stock: 30).
pub const EXPIRATION_SECONDS: u64 = 4;

/// Files, ports and secrets of one demo.
pub struct Stage {
    folder: PathBuf,
    program: PathBuf,
    /// API port of the server.
    pub server_port: u16,
    /// Metrics port of the server.
    pub server_metrics_port: u16,
    runner_port: u16,
    /// Token shared by server and runners.
    pub token: String,
    intake_url: String,
}

/// One running child.
pub struct Actor {
    /// `server`, `runner-1`, ...
    pub name: String,
    child: Child,
    log: PathBuf,
}

impl Actor {
    /// SIGKILL, and waits until it is gone.
    pub async fn kill(&mut self) {
        // Failing to kill means that it is gone already.
        self.child.kill().await.ok();
    }

    /// Its process id; `None` once it was waited for.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until it ends by itself.
    ///
    /// Errors: what the system said.
    pub async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Everything it printed.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The last lines of its log.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        let text = self.log();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

/// A port that was free a moment ago on that address.
///
/// Errors: [`StageError::Port`].
pub fn free_port(address: &str) -> Result<u16, StageError> {
    let failed = |source| StageError::Port { address: address.to_owned(), source };
    let listener = TcpListener::bind((address, 0)).map_err(failed)?;
    Ok(listener.local_addr().map_err(failed)?.port())
}

/// Loopback address of a runner: all runners share one API port by protocol, so each needs its own address.
fn runner_address(number: usize) -> String {
    format!("127.0.0.{}", 10 + number)
}

/// Name of a runner.
#[must_use]
pub fn runner_name(number: usize) -> String {
    format!("runner-{number}")
}

/// API key a runner sends with, so that the intake can tell runners apart.
#[must_use]
pub fn runner_key(number: usize) -> String {
    format!("{number:032x}")
}

impl Stage {
    /// Makes the folder and chooses ports.
    ///
    /// Errors: [`StageError`].
    pub fn set(program: PathBuf, parent: &Path, intake_url: String) -> Result<Self, StageError> {
        let folder = parent.join(format!("muster-demo-{}", Uuid::new_v4().simple()));
        let stage = Self {
            folder,
            program,
            server_port: free_port("127.0.0.1")?,
            server_metrics_port: free_port("127.0.0.1")?,
            runner_port: free_port(&runner_address(1))?,
            token: Uuid::new_v4().simple().to_string(),
            intake_url,
        };
        for folder in [stage.conf_d(), stage.folder.join("server/run")] {
            fs::create_dir_all(&folder).map_err(|source| StageError::Write { path: folder, source })?;
        }
        stage.write("server/datadog-cluster.yaml", &stage.server_config())?;
        Ok(stage)
    }

    /// The folder with everything in it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of a child, where its configuration and its `run` folder are: `server`, `runner-1`, ...
    #[must_use]
    pub fn folder_of(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn conf_d(&self) -> PathBuf {
        self.folder.join("server/conf.d")
    }

    fn server_config(&self) -> String {
        let folder = self.folder.display();
        format!(
            "# Written by `muster demo`.\ncluster_name: demo\nhostname: demo-server\nconfd_path: {folder}/server/conf.d\nrun_path: {folder}/server/run\n\
             auth_token_file_path: {folder}/server/auth_token\nmetrics_port: {metrics}\nlog_level: info\n\
             cluster_agent:\n  auth_token: {token}\n  cmd_port: {port}\n\
             cluster_checks:\n  enabled: true\n  node_expiration_timeout: {EXPIRATION_SECONDS}\n  warmup_duration: 4\n\
             muster:\n  standalone: true\n",
            metrics = self.server_metrics_port,
            token = self.token,
            port = self.server_port,
        )
    }

    fn runner_config(&self, number: usize) -> Result<String, StageError> {
        let name = runner_name(number);
        let address = runner_address(number);
        let folder = self.folder.join(&name);
        let folder = folder.display();
        Ok(format!(
            "# Written by `muster demo`.\nhostname: demo-node-{number}\napi_key: {key}\ndd_url: {intake}\n\
             confd_path: {folder}/conf.d\nrun_path: {folder}/run\nauth_token_file_path: {folder}/auth_token\n\
             cmd_port: {cmd}\nmetrics_port: {metrics}\nlog_level: info\n\
             extra_config_providers: [clusterchecks]\nad_config_poll_interval: {POLL_SECONDS}\n\
             clc_runner_enabled: true\nclc_runner_id: {name}\nclc_runner_host: {address}\nclc_runner_port: {port}\n\
             cluster_agent:\n  enabled: true\n  url: https://127.0.0.1:{server}\n  auth_token: {token}\n\
             muster:\n  outputs: [datadog]\n  flush_interval: 1\n",
            key = runner_key(number),
            intake = self.intake_url,
            cmd = free_port("127.0.0.1")?,
            metrics = free_port("127.0.0.1")?,
            port = self.runner_port,
            server = self.server_port,
            token = self.token,
        ))
    }

    fn write(&self, name: &str, text: &str) -> Result<(), StageError> {
        let path = self.folder.join(name);
        fs::write(&path, text).map_err(|source| StageError::Write { path, source })
    }

    /// Writes a file of check configs below the server's `conf.d`.
    ///
    /// Errors: [`StageError::Write`].
    pub fn write_check_file(&self, name: &str, text: &str) -> Result<(), StageError> {
        let path = self.conf_d().join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|source| StageError::Write { path: parent.to_path_buf(), source })?;
        }
        fs::write(&path, text).map_err(|source| StageError::Write { path, source })
    }

    /// Starts the server (again).
    ///
    /// Errors: [`StageError`].
    pub fn start_server(&self) -> Result<Actor, StageError> {
        self.start_server_with(&[])
    }

    /// Starts the server with further arguments.
    ///
    /// Errors: [`StageError`].
    pub fn start_server_with(&self, arguments: &[&str]) -> Result<Actor, StageError> {
        self.spawn("server", &["cluster", "start"], arguments)
    }

    /// Starts runner `number`, counted from 1.
    ///
    /// Errors: [`StageError`].
    pub fn start_runner(&self, number: usize) -> Result<Actor, StageError> {
        self.start_runner_with(number, &[])
    }

    /// Starts runner `number` with further arguments.
    ///
    /// Errors: [`StageError`].
    pub fn start_runner_with(&self, number: usize, arguments: &[&str]) -> Result<Actor, StageError> {
        let name = runner_name(number);
        for part in ["conf.d", "run"] {
            let folder = self.folder.join(&name).join(part);
            fs::create_dir_all(&folder).map_err(|source| StageError::Write { path: folder, source })?;
        }
        self.write(&format!("{name}/datadog.yaml"), &self.runner_config(number)?)?;
        self.spawn(&name, &["node", "run"], arguments)
    }

    fn spawn(&self, name: &str, command: &[&str], arguments: &[&str]) -> Result<Actor, StageError> {
        let log = self.folder.join(format!("{name}.log"));
        let failed = |source| StageError::Spawn { name: name.to_owned(), source };
        let mut file = fs::OpenOptions::new().create(true).append(true).open(&log).map_err(failed)?;
        writeln!(file, "--- {} {} {}", self.program.display(), command.join(" "), arguments.join(" ")).map_err(failed)?;
        let child = Command::new(&self.program)
            .args(command)
            .arg("-c")
            .arg(self.folder_of(name))
            .args(arguments)
            // The caller's own agent settings must not leak into the demo.
            .env_clear()
            .stdin(Stdio::null())
            .stdout(file.try_clone().map_err(failed)?)
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        Ok(Actor { name: name.to_owned(), child, log })
    }

    /// Removes the folder.
    pub fn clear(&self) {
        // What cannot be removed stays in the temporary folder; nothing depends on it.
        fs::remove_dir_all(&self.folder).ok();
    }
}
