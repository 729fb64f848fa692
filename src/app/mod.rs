//! Wires the roles: settings to adapters, adapters to actors, actors to listeners; start and stop order.
//!
//! Source of the order: cluster-agent-kubernetes 6.9.

mod admin;
mod api_server;
mod carrier;
mod cluster;
mod cluster_api;
mod cluster_outputs;
mod discovery;
mod host;
mod kubernetes;
mod node;
mod node_apiserver;
mod observer;
mod outputs;
mod runner_stats;
mod sent;
mod shutdown;

use std::mem::ManuallyDrop;
use std::process::ExitCode;
use std::time::Duration;

use crate::cli::{self, Start};
use crate::config::{ClusterSettings, NodeSettings};
use crate::demo;
use crate::errors;

/// Exit code of a demo that a signal ended, as if SIGINT had killed it.
const EXIT_CODE_INTERRUPTED: u8 = 130;

/// Runs the cluster role until it is told to stop.
#[must_use]
pub fn run_cluster(start: Start<ClusterSettings>) -> ExitCode {
    in_system(cluster::serve(start))
}

/// Runs the node role until it is told to stop.
#[must_use]
pub fn run_node(start: Start<NodeSettings>) -> ExitCode {
    in_system(node::serve(start))
}

/// Plays the demo; fails unless every invariant held.
#[must_use]
pub fn run_demo(options: &cli::DemoOptions) -> ExitCode {
    let acts = demo::ACTS as u32;
    let options = demo::DemoOptions {
        act_takes: Duration::from_secs(options.seconds.unwrap_or(0)) / acts,
        pause: options.pause,
        json: options.json,
        no_colour: options.no_colour,
        keep: options.keep,
    };
    in_system(async {
        Ok(match demo::run(options).await? {
            demo::Outcome::Held => ExitCode::SUCCESS,
            demo::Outcome::Broken | demo::Outcome::NobodyReads => ExitCode::FAILURE,
            demo::Outcome::Interrupted => ExitCode::from(EXIT_CODE_INTERRUPTED),
        })
    })
}

/// Runs on this thread, which is the one of all actors.
fn in_system(role: impl Future<Output = anyhow::Result<ExitCode>>) -> ExitCode {
    // Never dropped: after a start that failed, actors still wait in it, and their timers panic outside of its context.
    let system = ManuallyDrop::new(actix_rt::System::new());
    match system.block_on(role) {
        Ok(code) => code,
        Err(error) => {
            let chain = errors::chain(error.as_ref());
            // The log may not be set up yet, and whoever started the process looks at its last words.
            tracing::error!(error = chain, "muster does not start");
            eprintln!("Error: {chain}");
            ExitCode::FAILURE
        }
    }
}
