//! The demo's processes and files: servers and runners as real child processes of this program, in one temporary folder.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tokio::process::{Child, Command};
use uuid::Uuid;

use crate::demo::service::Service;

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
    #[error("find a free port on {address} (where only 127.0.0.1 is set up, add the addresses 127.0.0.11 to 127.0.0.14 to `lo0`)")]
    Port {
        /// Address asked for.
        address: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The one address in front of several servers could not be opened.
    #[error("open the service in front of the servers")]
    Service(#[source] std::io::Error),
    /// A server could not be stopped.
    #[error("stop {name}")]
    Stop {
        /// Which.
        name: String,
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
/// Seconds without a sign of the leader after which another one of several servers leads (stock: 60).
pub const LEASE_SECONDS: u64 = 6;

/// Seconds after which what sends tries a failed intake again (stock: 2 to 64).
pub const RETRY_SECONDS: u64 = 1;

/// API key of all servers: the intake tells them apart by their host names.
const SERVER_KEY: &str = "00000000000000000000000000005e4e";

/// One server: its name and where it listens on 127.0.0.1.
#[derive(Debug, Clone)]
pub struct Server {
    /// `server`; of several `server-1`, `server-2`, ...
    pub name: String,
    /// API port.
    pub port: u16,
    /// Metrics port.
    pub metrics_port: u16,
}

/// Files, ports and secrets of one demo.
pub struct Stage {
    folder: PathBuf,
    program: PathBuf,
    /// The servers; several of them share a lock.
    pub servers: Vec<Server>,
    /// In front of several servers.
    service: Option<Service>,
    runner_port: u16,
    /// Token shared by servers and runners.
    pub token: String,
    intake_url: String,
}

/// One running child.
pub struct Actor {
    /// `server`, `server-1`, `runner-1`, ...
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

fn create_folder(path: PathBuf) -> Result<(), StageError> {
    fs::create_dir_all(&path).map_err(|source| StageError::Write { path, source })
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
    /// Makes the folder and chooses ports: for one server that stands alone, or for several of which one leads.
    ///
    /// Errors: [`StageError`].
    pub fn set(program: PathBuf, parent: &Path, intake_url: String, servers: usize) -> Result<Self, StageError> {
        let folder = parent.join(format!("muster-demo-{}", Uuid::new_v4().simple()));
        let alone = servers == 1;
        let servers = (1..=servers).map(|number| {
            let name = if alone { "server".to_owned() } else { format!("server-{number}") };
            Ok(Server { name, port: free_port("127.0.0.1")?, metrics_port: free_port("127.0.0.1")? })
        });
        let servers = servers.collect::<Result<Vec<_>, StageError>>()?;
        let service = if alone { None } else { Some(Service::open(servers.iter().map(|server| server.port).collect())) };
        let stage = Self {
            folder,
            program,
            servers,
            service: service.transpose().map_err(StageError::Service)?,
            runner_port: free_port(&runner_address(1))?,
            token: Uuid::new_v4().simple().to_string(),
            intake_url,
        };
        create_folder(stage.conf_d())?;
        create_folder(stage.folder.join("shared"))?;
        for server in &stage.servers {
            create_folder(stage.folder_of(&server.name).join("run"))?;
            stage.write(&format!("{}/datadog-cluster.yaml", server.name), &stage.server_config(server))?;
        }
        Ok(stage)
    }

    /// Where agents reach the server, or one of several, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        let alone = || self.servers.first().map(|server| server.port);
        self.service.as_ref().map(|service| service.port).or_else(alone).unwrap_or_default()
    }

    /// The folder with everything in it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of a child, where its configuration and its `run` folder are: `server`, `server-1`, `runner-1`, ...
    #[must_use]
    pub fn folder_of(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The folder of check configs, which all servers read.
    #[must_use]
    pub fn conf_d(&self) -> PathBuf {
        self.folder.join("conf.d")
    }

    /// What several servers keep together so that all of them may end: the assignment, beside their lock.
    #[must_use]
    pub fn snapshot(&self) -> PathBuf {
        self.folder.join("shared/lock.snapshot")
    }

    fn server_config(&self, server: &Server) -> String {
        let (folder, name) = (self.folder.display(), &server.name);
        let alone = format!(
            "# Written by `muster demo`.\ncluster_name: demo\nhostname: demo-{name}\nconfd_path: {folder}/conf.d\nrun_path: {folder}/{name}/run\n\
             auth_token_file_path: {folder}/{name}/auth_token\nmetrics_port: {metrics}\nlog_level: info\n\
             cluster_agent:\n  auth_token: {token}\n  cmd_port: {port}\n\
             cluster_checks:\n  enabled: true\n  node_expiration_timeout: {EXPIRATION_SECONDS}\n  warmup_duration: 4\n\
             {sending}  standalone: true\n",
            sending = self.sending(SERVER_KEY),
            metrics = server.metrics_port,
            token = self.token,
            port = server.port,
        );
        if self.service.is_none() {
            return alone;
        }
        format!(
            "{alone}  lock_file: {folder}/shared/lock\n  advertise_address: 127.0.0.1:{port}\n\
             pod_name: {name}\nleader_election: true\nleader_lease_duration: {LEASE_SECONDS}\n",
            port = server.port,
        )
    }

    /// How to send to the intake; `muster` comes last, for more of it to follow.
    fn sending(&self, key: &str) -> String {
        format!(
            "api_key: {key}\ndd_url: {intake}\nforwarder_backoff_base: {RETRY_SECONDS}\nforwarder_backoff_max: {RETRY_SECONDS}\n\
             muster:\n  outputs: [datadog]\n  flush_interval: 1\n",
            intake = self.intake_url,
        )
    }

    /// Where a child keeps what its next life goes on from.
    #[must_use]
    pub fn run_folder(&self, name: &str) -> PathBuf {
        self.folder_of(name).join("run")
    }

    fn runner_config(&self, number: usize) -> Result<String, StageError> {
        let name = runner_name(number);
        let address = runner_address(number);
        let folder = self.folder.join(&name);
        let folder = folder.display();
        Ok(format!(
            "# Written by `muster demo`.\nhostname: demo-node-{number}\n\
             confd_path: {folder}/conf.d\nrun_path: {folder}/run\nauth_token_file_path: {folder}/auth_token\n\
             cmd_port: {cmd}\nmetrics_port: {metrics}\nlog_level: info\n\
             extra_config_providers: [clusterchecks]\nad_config_poll_interval: {POLL_SECONDS}\n\
             clc_runner_enabled: true\nclc_runner_id: {name}\nclc_runner_host: {address}\nclc_runner_port: {port}\n\
             cluster_agent:\n  enabled: true\n  url: https://127.0.0.1:{server}\n  auth_token: {token}\n\
             {sending}",
            sending = self.sending(&runner_key(number)),
            cmd = free_port("127.0.0.1")?,
            metrics = free_port("127.0.0.1")?,
            port = self.runner_port,
            server = self.port(),
            token = self.token,
        ))
    }

    fn write(&self, name: &str, text: &str) -> Result<(), StageError> {
        let path = self.folder.join(name);
        fs::write(&path, text).map_err(|source| StageError::Write { path, source })
    }

    /// Writes a file of check configs below `conf.d`.
    ///
    /// Errors: [`StageError::Write`].
    pub fn write_check_file(&self, name: &str, text: &str) -> Result<(), StageError> {
        let path = self.conf_d().join(name);
        if let Some(parent) = path.parent() {
            create_folder(parent.to_path_buf())?;
        }
        fs::write(&path, text).map_err(|source| StageError::Write { path, source })
    }

    /// Starts the server of this name (again).
    ///
    /// Errors: [`StageError`].
    pub fn start_server(&self, name: &str) -> Result<Actor, StageError> {
        self.spawn(name, &["cluster", "start"], &[])
    }

    /// Stops a server as an operator does, and waits until it has ended.
    ///
    /// Errors: [`StageError::Stop`].
    pub async fn stop_server(&self, server: &mut Actor) -> Result<(), StageError> {
        let failed = |source| StageError::Stop { name: server.name.clone(), source };
        let mut stop = Command::new(&self.program);
        stop.args(["cluster", "stop", "-c"]).arg(self.folder_of(&server.name)).env_clear();
        let done = stop.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).status().await;
        if !done.map_err(failed)?.success() {
            return Err(failed(std::io::Error::other("`muster cluster stop` failed")));
        }
        server.child.wait().await.map(drop).map_err(failed)
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
            create_folder(self.folder_of(&name).join(part))?;
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
