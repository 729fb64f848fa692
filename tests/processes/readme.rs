//! The example of the README, as written but for paths, ports and patience.

use std::fs::{self, File};
use std::path::Path;

use tempfile::TempDir;
use tokio::process::Command;

use crate::scene::{Group, MUSTER, show_logs_of_a_failure, until};
use crate::starts::free;

/// The commands of "Use it": what comes before the terminals, then what each of the three runs.
fn terminals(folder: &Path, ports: &[(&str, String)]) -> Vec<String> {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let section = readme.split("## Use it").nth(1).unwrap();
    let mut commands = section.split("```").nth(1).unwrap().replace("/tmp/", &format!("{}/", folder.display()));
    // In two steps, because a free port may contain the digits of a written one.
    for (position, (written, _)) in ports.iter().enumerate() {
        assert!(commands.contains(written), "port {written} is not in the example");
        commands = commands.replace(written, &format!("<port {position}>"));
    }
    for (position, (_, free)) in ports.iter().enumerate() {
        commands = commands.replace(&format!("<port {position}>"), free);
    }
    // Last, because the program's own path may look like one of the example's.
    commands = commands.replace("cargo run --release --", MUSTER);
    let mut parts = commands.split("# Terminal ");
    let files = parts.next().unwrap().to_owned();
    std::iter::once(files).chain(parts.map(|part| format!("# {part}"))).collect()
}

/// A shell without variables but those that shorten the waiting.
fn shell(script: &str, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-ec", script]).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").envs(variables.iter().copied());
    command
}

/// The folder of everything, whose logs a failure shows.
struct Folder(TempDir);

impl Drop for Folder {
    fn drop(&mut self) {
        show_logs_of_a_failure(self.0.path());
    }
}

#[actix_rt::test]
async fn the_example_of_the_readme_works_as_written() {
    let folder = Folder(tempfile::tempdir().unwrap());
    let [api, metrics, runner_metrics, runner_api, runner_local] = [(); 5].map(|()| free().to_string());
    let ports = [("5005", api), ("5000", metrics), ("5010", runner_metrics), ("5006", runner_api), ("5001", runner_local)];
    let scripts = terminals(folder.0.path(), &ports);
    assert_eq!(scripts.len(), 4);
    let variables = [("DD_CLUSTER_CHECKS_WARMUP_DURATION", "2"), ("DD_AD_CONFIG_POLL_INTERVAL", "1"), ("MUSTER_FLUSH_INTERVAL", "1")];
    let log = |name: &str| folder.0.path().join(name);
    let start = |script: &str, name: &str| {
        let file = File::create(log(name)).unwrap();
        Group::spawn(shell(script, &variables).stdout(file.try_clone().unwrap()).stderr(file))
    };
    // Whole before anybody reads them.
    assert!(shell(&scripts[0], &variables).status().await.unwrap().success());
    let server = start(&scripts[1], "server.log");
    let runner = start(&scripts[2], "runner.log");
    let read = |name: &str| fs::read_to_string(log(name)).unwrap();
    until("the runner prints what it measures", async || {
        let looks = shell(&scripts[3], &variables).kill_on_drop(true).output().await.unwrap();
        let seen = String::from_utf8_lossy(&looks.stdout);
        let dispatched = looks.status.success() && seen.contains("Checks on runner-1") && seen.contains("http_check:example");
        dispatched && read("runner.log").contains("network.http.can_connect")
    })
    .await;
    for (name, log) in [("server", read("server.log")), ("runner", read("runner.log"))] {
        assert!(!log.contains("| ERROR |") && !log.contains("panicked"), "{name}: {log}");
    }
    drop((server, runner));
}
