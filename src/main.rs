//! Entry point of the program `muster`.

use std::process::ExitCode;

use muster::app;
use muster::cli::{self, Command};
use muster::config::Environment;
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    // Fails only when a provider is installed already, and then there is one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match cli::run(std::env::args(), Environment::capture()) {
        Command::Done(code) => code,
        Command::StartCluster(start) => app::run_cluster(*start),
        Command::RunNode(start) => app::run_node(*start),
        Command::Demo(options) => app::run_demo(&options),
    }
}
