//! A replica: the program as a process, with the environment of its manifest and the rights of its service account.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use muster_actors::kernel::clock::{Clock as _, SystemClock};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::api::client;
use crate::wire::{cpu_seconds, memory_kb};
use crate::world::{HOME, World};

/// Of pods, services, slices, nodes and namespaces.
const INFORMERS: usize = 5;

/// Longest wait for anything; only catches hangs.
const HANG: Duration = Duration::from_secs(120);

pub struct Replica {
    process: Child,
    started_at: Duration,
    ports: [u16; 3],
    folder: TempDir,
}

/// How a start went, from the start of the process on.
pub struct Synced {
    pub ready: Duration,
    pub time: Duration,
    /// Units: seconds of processor time until then.
    pub cpu: f64,
}

impl Replica {
    pub fn start(world: &World, name: &str, clock: &SystemClock) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        fs::create_dir_all(path("conf.d")).unwrap();
        let user = "\"user\": \"rig\"";
        // In its namespace, as a pod is.
        let kubeconfig = world.account.kubeconfig().replace(user, &format!("{user}, \"namespace\": \"{HOME}\""));
        fs::write(path("kubeconfig"), kubeconfig).unwrap();
        let ports = free_ports();
        let own = [
            ("DD_POD_NAME", name.to_owned()),
            ("DD_KUBERNETES_KUBECONFIG_PATH", text(path("kubeconfig"))),
            ("DD_CLUSTER_AGENT_CMD_PORT", ports[0].to_string()),
            ("DD_HEALTH_PORT", ports[1].to_string()),
            ("DD_METRICS_PORT", ports[2].to_string()),
            ("DD_RUN_PATH", text(path("run"))),
            ("DD_CONFD_PATH", text(path("conf.d"))),
            ("DD_AUTH_TOKEN_FILE_PATH", text(path("auth/token"))),
        ];
        let log = File::create(path("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
        command.args(["cluster", "start", "-c"]).arg(folder.path()).env_clear().envs(&world.environment).envs(own);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let started_at = clock.monotonic();
        Self { process: command.spawn().unwrap(), started_at, ports, folder }
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports[0]))
    }

    /// Waits until it is ready and every informer knows everything.
    pub async fn until_synced(&self, clock: &SystemClock) -> Synced {
        let (http, [_, health, metrics]) = (client(), self.ports);
        let mut ready = None;
        loop {
            let now = clock.monotonic().saturating_sub(self.started_at);
            assert!(now < HANG, "{}", fs::read_to_string(self.folder.path().join("log")).unwrap());
            if ready.is_none()
                && http.get(format!("http://127.0.0.1:{health}/ready")).send().await.is_ok_and(|answer| answer.status() == 200)
            {
                ready = Some(clock.monotonic().saturating_sub(self.started_at));
            }
            if let (Some(ready), Ok(answer)) = (ready, http.get(format!("http://127.0.0.1:{metrics}/metrics")).send().await) {
                let text = answer.text().await.unwrap();
                let synced = text.lines().filter(|line| line.starts_with("muster_informer_synced{") && line.ends_with(" 1"));
                if synced.count() == INFORMERS {
                    let time = clock.monotonic().saturating_sub(self.started_at);
                    return Synced { ready, time, cpu: self.cpu_seconds() };
                }
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    pub fn cpu_seconds(&self) -> f64 {
        cpu_seconds(self.process.id())
    }

    /// Resident memory in MB now, and the most so far.
    pub fn memory(&self) -> [f64; 2] {
        ["VmRSS", "VmHWM"].map(|figure| memory_kb(self.process.id(), figure) as f64 / 1024.0)
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn free_ports<const N: usize>() -> [u16; N] {
    let listeners: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}
