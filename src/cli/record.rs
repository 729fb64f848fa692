//! `clusterchecks record`: the world of a live server, for `simulate`.

use std::path::PathBuf;

use clap::Args;

use super::connection::LocalApi;
use super::failure::{CommandResult, Failure};
use crate::errors;

/// Texts of `--help`.
pub(super) const EXAMPLES: &str = "Examples:
  muster cluster clusterchecks record > world.json
  muster cluster clusterchecks record --anonymous -o world.json
  muster simulate --world world.json --remove-runners 3";

/// Options of `record`.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct RecordOptions {
    /// Put numbers in place of the names of nodes, checks and services, and leave addresses out
    #[arg(long)]
    anonymous: bool,
    /// Write to this file instead
    #[arg(short = 'o', long, value_name = "PATH")]
    file: Option<PathBuf>,
}

/// Asks the server of this machine; `refused` puts into words why it does not answer.
pub(super) async fn run(
    api: &LocalApi,
    options: &RecordOptions,
    refused: impl Fn(super::connection::QueryError) -> Failure,
) -> CommandResult {
    let query = if options.anonymous { "?anonymous=true" } else { "" };
    let world = api.get(&format!("/api/v1/muster/world{query}")).await.map_err(refused)?;
    let Some(path) = &options.file else { return Ok(world) };
    std::fs::write(path, world).map_err(|error| Failure::new(format!("failed to write {}: {}", path.display(), errors::chain(&error))))?;
    Ok(String::new())
}
