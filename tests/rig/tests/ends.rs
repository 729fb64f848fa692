//! Nothing is left behind, however the owner of a control plane ends.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use muster_rig::{ControlPlane, Options, RigError, until};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

/// Ids of living processes that name `folder`, or run in it.
fn processes_in(folder: &Path) -> Vec<u32> {
    let name = folder.to_string_lossy();
    let ids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_string_lossy().parse().ok());
    ids.filter(|id: &u32| {
        let at = PathBuf::from(format!("/proc/{id}"));
        let command = String::from_utf8_lossy(&fs::read(at.join("cmdline")).unwrap_or_default()).into_owned();
        let runs_in = fs::read_link(at.join("cwd")).unwrap_or_default();
        command.contains(&*name) || runs_in.starts_with(folder) || runs_in.to_string_lossy().starts_with(&*name)
    })
    .collect()
}

#[tokio::test]
async fn a_killed_owner_leaves_neither_processes_nor_files() {
    let mut owner = Command::new(env!("CARGO_BIN_EXE_muster-rig"))
        .args(["up", "--bare", "--nodes=1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let mut config = PathBuf::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        if let Some(path) = line.strip_prefix("export KUBECONFIG=") {
            config = path.into();
        }
        if line.starts_with("ready") {
            break;
        }
    }
    let folder = config.parent().unwrap();
    assert!(config.is_file());
    // etcd, the API server, and the guard.
    assert_eq!(processes_in(folder).len(), 3);

    owner.kill().await.unwrap();
    until("the processes are gone", async || processes_in(folder).is_empty()).await.unwrap();
    until("the folder is gone", async || !folder.exists()).await.unwrap();
}

#[tokio::test]
async fn a_start_that_fails_says_why_and_leaves_nothing() {
    let error = ControlPlane::start(Options::bare().api_server_flag("--no-such-flag=1")).await.unwrap_err();
    assert!(matches!(error, RigError::Ended { process: "kube-apiserver", .. }), "{error}");
    assert!(error.to_string().contains("no-such-flag"), "{error}");
}

#[tokio::test]
async fn dropping_leaves_nothing() {
    let plane = ControlPlane::start(Options::bare()).await.unwrap();
    let folder = plane.folder().to_owned();
    assert_eq!(processes_in(&folder).len(), 3);
    drop(plane);
    assert_eq!(processes_in(&folder), Vec::<u32>::new());
    assert!(!folder.exists());
}
