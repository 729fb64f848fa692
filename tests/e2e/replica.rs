//! A replica of the cluster role: the real program, with the environment of its manifest and the rights of its service account.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use muster_rig::{HANG, Identity, Link, free_ports, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;
use tokio::process::{Child, Command};

use crate::agents::client;
use crate::world::{HOME, TOKEN};

const MUSTER: &str = env!("CARGO_BIN_EXE_muster");

/// A replica, running or not. Its process is killed when it is dropped.
pub struct Replica {
    pub name: String,
    pub port: u16,
    health: u16,
    environment: BTreeMap<String, String>,
    folder: PathBuf,
    /// Its own way to the API server.
    pub link: Link,
    process: Option<Child>,
    starts: u32,
}

impl Replica {
    /// `environment` is that of the manifest; what belongs to the machine is replaced.
    pub async fn new(name: &str, mut environment: BTreeMap<String, String>, account: &Identity, folder: &Path) -> Self {
        let folder = folder.join(name);
        fs::create_dir_all(folder.join("conf.d")).unwrap();
        let link = Link::start(account.address()).await.unwrap();
        let kubeconfig = folder.join("kubeconfig");
        // In its namespace, as a pod is.
        let text =
            account.through(&link).kubeconfig().replace("\"user\": \"rig\"", &format!("\"user\": \"rig\", \"namespace\": \"{HOME}\""));
        assert!(text.contains("namespace"), "{text}");
        fs::write(&kubeconfig, text).unwrap();
        let [port, health, metrics] = free_ports().unwrap();
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        let own = [
            ("DD_POD_NAME", name.to_owned()),
            ("DD_KUBERNETES_KUBECONFIG_PATH", text(kubeconfig)),
            ("DD_CLUSTER_AGENT_CMD_PORT", port.to_string()),
            ("DD_HEALTH_PORT", health.to_string()),
            ("DD_METRICS_PORT", metrics.to_string()),
            ("DD_RUN_PATH", text(folder.join("run"))),
            ("DD_CONFD_PATH", text(folder.join("conf.d"))),
            ("DD_AUTH_TOKEN_FILE_PATH", text(folder.join("auth/token"))),
        ];
        environment.extend(own.map(|(key, value)| (key.to_owned(), value)));
        Self { name: name.to_owned(), port, health, environment, folder, link, process: None, starts: 0 }
    }

    pub fn start(&mut self) {
        assert!(self.process.is_none(), "{} runs already", self.name);
        self.starts += 1;
        let log = File::create(self.log()).unwrap();
        let mut command = Command::new(MUSTER);
        command.args(["cluster", "start", "-c"]).arg(&self.folder).env_clear().envs(&self.environment);
        command.env("PATH", "/usr/bin:/bin").stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true);
        self.process = Some(command.spawn().unwrap());
    }

    /// Changes its environment for the next start.
    pub fn set(&mut self, key: &str, value: &str) {
        self.environment.insert(key.to_owned(), value.to_owned());
    }

    /// Writes a file below its folder, for example `conf.d/a.yaml`.
    pub fn write(&self, file: &str, content: &str) -> PathBuf {
        let path = self.folder.join(file);
        fs::write(&path, content).unwrap();
        path
    }

    /// Asks it with a command of the command line, as somebody in its container does: exit code and standard output.
    pub async fn ask(&self, arguments: &[&str]) -> (i32, String) {
        let mut command = Command::new(MUSTER);
        command.arg("cluster").args(arguments).arg("-c").arg(&self.folder).env_clear().envs(&self.environment).kill_on_drop(true);
        let output = tokio::time::timeout(HANG, command.output()).await.expect("the command ends").unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    }

    /// Asks it with a command that prints JSON, whatever its exit code.
    pub async fn ask_json(&self, arguments: &[&str]) -> Json {
        let (code, text) = self.ask(arguments).await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: exit code {code}, {error}: {text}"))
    }

    /// Resource -> how its informer does.
    pub async fn informers(&self) -> BTreeMap<String, Json> {
        let status = self.ask_json(&["status", "--json"]).await;
        let informers = status["kubernetes"]["informers"].as_array().unwrap_or_else(|| panic!("{status}"));
        informers.iter().map(|informer| (informer["kind"].as_str().unwrap().replace('_', ""), informer.clone())).collect()
    }

    /// Status and body of an answer to the cluster token.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let url = format!("https://127.0.0.1:{}{path}", self.port);
        let answer = client().get(url).bearer_auth(TOKEN).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Everything it logged since its last start.
    pub fn all_words(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn log(&self) -> PathBuf {
        self.folder.join(format!("log-{}", self.starts))
    }

    /// Whether its process has ended by itself. A process that nobody has waited for is still there, as a zombie.
    fn has_ended(&self) -> bool {
        let id = self.process.as_ref().and_then(Child::id).expect("it was started");
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('Z'))
    }

    pub fn runs(&self) -> bool {
        self.process.is_some()
    }

    pub async fn until_ready(&self) {
        let http = client();
        let url = format!("http://127.0.0.1:{}/ready", self.health);
        let ready = async || {
            assert!(!self.has_ended(), "{} has ended: {}", self.name, self.last_words());
            http.get(&url).send().await.is_ok_and(|answer| answer.status() == 200)
        };
        let is_ready = until(&format!("{} is ready", self.name), ready).await;
        assert!(is_ready.is_ok(), "{} is not ready: {}", self.name, self.last_words());
    }

    pub fn last_words(&self) -> String {
        let text = self.all_words();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    pub fn signal(&self, signal: Signal) {
        let id = self.process.as_ref().and_then(Child::id).expect("it runs");
        kill_process(Pid::from_raw(id.try_into().unwrap()).unwrap(), signal).unwrap();
    }

    /// `kill -9`, and waits for its end.
    pub async fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.end().await;
    }

    /// SIGTERM, and waits for its end.
    pub async fn stop(&mut self) {
        self.signal(Signal::TERM);
        let status = self.end().await;
        assert!(status.success(), "{} ended with {status}: {}", self.name, self.last_words());
    }

    async fn end(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("it runs");
        tokio::time::timeout(Duration::from_secs(40), process.wait()).await.expect("it ends").unwrap()
    }
}
