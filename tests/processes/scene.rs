//! Server, runners, target and intake of one test, and waiting for what they do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use muster::demo::check_file::{check_file, check_name};
use muster::demo::intake::{Intake, Ledger};
use muster::demo::picture::Picture;
use muster::demo::server_view::ServerView;
use muster::demo::stage::{Actor, Stage, runner_key, runner_name};
use muster::demo::target::Target;
use muster_actors::kernel::clock::{Clock as _, SystemClock};
use tempfile::TempDir;
use tokio::process::Command;

pub const MUSTER: &str = env!("CARGO_BIN_EXE_muster");

/// Longest wait for anything; only catches hangs.
const HANG: Duration = Duration::from_secs(60);

/// Runners an intake knows.
const RUNNERS: usize = 3;

/// Everything but the processes, which a test starts after it and which so end before it.
pub struct Scene {
    pub stage: Stage,
    pub intake: Intake,
    pub target: Target,
    pub view: ServerView,
    _folder: TempDir,
}

impl Scene {
    pub fn set() -> Self {
        Self::of_servers(1)
    }

    /// With several servers, of which one leads.
    pub fn of_servers(servers: usize) -> Self {
        let keys: BTreeMap<String, String> = (1..=RUNNERS).map(|number| (runner_key(number), runner_name(number))).collect();
        let intake = Intake::start(keys).unwrap();
        let address = format!("http://{}", intake.address);
        Self::of(intake, address, servers)
    }

    /// With an intake that the runners are not told of.
    pub fn with_intake(intake: Intake, told: String) -> Self {
        Self::of(intake, told, 1)
    }

    fn of(intake: Intake, told: String, servers: usize) -> Self {
        use_ring();
        let folder = tempfile::tempdir().unwrap();
        let stage = Stage::set(MUSTER.into(), folder.path(), told, servers).unwrap();
        let view = ServerView::of(&stage).unwrap();
        Self { stage, intake, target: Target::start().unwrap(), view, _folder: folder }
    }

    /// Starts the server that stands alone.
    pub fn start_server(&self) -> Actor {
        self.stage.start_server("server").unwrap()
    }

    pub fn write_checks(&self, numbers: impl IntoIterator<Item = usize>) {
        for number in numbers {
            let (name, text) = check_file(number, 0, &self.target.address.to_string());
            self.stage.write_check_file(&name, &text).unwrap();
        }
    }

    /// Starts the server and `runners` runners, and waits until each of `checks` checks reported data.
    pub async fn play(&self, runners: usize, checks: usize) -> (Actor, Vec<Actor>) {
        self.write_checks(1..=checks);
        let server = self.start_server();
        let runners = (1..=runners).map(|number| self.stage.start_runner(number).unwrap()).collect();
        self.until_all_report(checks, 0).await;
        (server, runners)
    }

    /// Waits until each of `checks` checks reported a run at or after `since`.
    pub async fn until_all_report(&self, checks: usize, since: i64) {
        let expected: BTreeSet<String> = (1..=checks).map(check_name).collect();
        until("every check reported data", async || self.look(|ledger| ledger.evidence.silent(&expected, since).is_empty())).await;
    }

    pub async fn until_active(&self) {
        until("the server dispatches", async || self.view.active().await).await;
    }

    pub async fn picture(&self) -> Picture {
        self.view.picture().await.unwrap()
    }

    /// Requests that the servers answered, by their handler.
    pub async fn requests(&self, handler: &str) -> f64 {
        self.view.counters("api_requests", handler).await.values().sum()
    }

    pub fn look<R>(&self, look: impl FnOnce(&Ledger) -> R) -> R {
        self.intake.read(look)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        show_logs_of_a_failure(self.stage.folder());
    }
}

/// Shows the ends of all logs in this folder if the test is failing.
pub fn show_logs_of_a_failure(folder: &Path) {
    if !std::thread::panicking() {
        return;
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "log") {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            let tail: Vec<&str> = text.lines().rev().take(25).collect();
            eprintln!("--- {}\n{}", entry.path().display(), tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
    }
}

/// As the program itself does at its start.
fn use_ring() {
    // Fails only when a provider is installed already, and then there is one.
    rustls::crypto::ring::default_provider().install_default().ok();
}

pub fn unix_seconds() -> i64 {
    SystemClock::new().unix_seconds()
}

/// Looks again and again until something holds.
pub async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(HANG, wait).await.is_ok(), "waited in vain until {what}");
}

/// Sends a signal, named as `kill -s` names it.
pub async fn signal(pid: u32, name: &str) {
    let status = Command::new("sh").args(["-c", &format!("kill -s {name} {pid}")]).status().await.unwrap();
    assert!(status.success(), "kill -s {name} {pid}: {status}");
}

/// How a process ends by itself: its exit code, or 128 + the signal that ended it.
pub async fn exit_code(actor: &mut Actor) -> i32 {
    let status = tokio::time::timeout(HANG, actor.wait()).await.unwrap_or_else(|_| panic!("{} does not end:\n{}", actor.name, actor.log()));
    let status = status.unwrap();
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap())
}

/// What a command printed, and its exit code.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub error: String,
}

/// Runs the program with these arguments, and no variables, to its end.
pub async fn muster(arguments: &[&str]) -> Said {
    let mut command = Command::new(MUSTER);
    command.args(arguments).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(HANG, command.output()).await.unwrap_or_else(|_| panic!("{arguments:?} does not end")).unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code().unwrap(), out: text(output.stdout), error: text(output.stderr) }
}

/// A child and all its children, which end with it.
pub struct Group(pub tokio::process::Child);

impl Group {
    pub fn spawn(command: &mut Command) -> Self {
        Self(command.process_group(0).stdin(Stdio::null()).kill_on_drop(true).spawn().unwrap())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0.id() {
            std::process::Command::new("sh").args(["-c", &format!("kill -s KILL -- -{pid}")]).status().ok();
        }
    }
}
