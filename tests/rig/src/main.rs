//! `cargo run -p muster-rig -- up`: a control plane by hand.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use muster_rig::{ControlPlane, Options, RigError};
use serde_json::json;
use tokio::signal::ctrl_c;
use tokio::signal::unix::{SignalKind, signal};

/// A real Kubernetes control plane on this machine, without containers or privileges.
#[derive(Debug, Parser)]
#[command(name = "muster-rig", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts a control plane, tells how to use it, and removes it at ctrl-c. The first start builds it (minutes).
    Up(Up),
}

#[derive(Debug, Args)]
struct Up {
    /// etcd and the API server only: no controllers, no scheduler, nothing that runs pods.
    #[arg(long)]
    bare: bool,
    /// Nodes to begin with, named node-1, node-2, ...
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    nodes: u32,
    /// Where to write the kubeconfig file [default: in the temporary folder of the control plane]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Write one line per request to audit.jsonl in the folder of the control plane.
    #[arg(long)]
    audit: bool,
    /// One more flag of kube-apiserver, for example --api-server-flag=--emulated-version=1.34. May be repeated.
    #[arg(long, value_name = "FLAG", allow_hyphen_values = true)]
    api_server_flag: Vec<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Command::Up(up) = Arguments::parse().command;
    match stay_up(up).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed to {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprintln!("  because {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

async fn stay_up(up: Up) -> Result<(), RigError> {
    let mut options = if up.bare { Options::bare() } else { Options::full() };
    if up.audit {
        options = options.audit();
    }
    for flag in up.api_server_flag {
        options = options.api_server_flag(flag);
    }
    eprintln!("starting");
    let plane = ControlPlane::start(options).await?;
    let admin = plane.admin();
    for number in 1..=up.nodes {
        let name = format!("node-{number}");
        if up.bare {
            admin.make_node(&name, &[]).await?;
        } else {
            admin.create("/api/v1/nodes", &json!({"metadata": {"name": name}})).await?;
        }
    }
    let config = up.kubeconfig.unwrap_or_else(|| plane.folder().join("kubeconfig"));
    admin.write_kubeconfig(&config)?;
    tell(&plane, &config);
    let source = |source| RigError::Spawn { process: "waiting for signals", source };
    let mut terminate = signal(SignalKind::terminate()).map_err(source)?;
    tokio::select! {
        interrupted = ctrl_c() => interrupted.map_err(source)?,
        _ = terminate.recv() => {}
    }
    eprintln!("stopping");
    Ok(())
}

fn tell(plane: &ControlPlane, config: &Path) {
    println!("API server  {}", plane.url());
    println!("logs        {}/*.log", plane.folder().display());
    println!("kubectl     {}", plane.kubectl_hint());
    println!("export KUBECONFIG={}", config.display());
    println!("ready: ctrl-c ends it and removes everything");
}
