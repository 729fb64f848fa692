//! `clusterchecks record`: the world of a live server, for `simulate`.

use super::call::{Call, failure};
use super::options::RecordOptions;
use crate::cli::failure::{CommandResult, Failure};
use crate::errors;

/// The scenario as it came; it is JSON with or without `--json`.
pub(super) async fn run(call: &Call, options: &RecordOptions) -> CommandResult {
    let query = if options.anonymous { "?anonymous=true" } else { "" };
    let world = call.api.get(&format!("/api/v1/muster/world{query}")).await.map_err(failure)?;
    let Some(path) = &options.file else { return Ok(world) };
    let written = std::fs::write(path, world);
    written.map_err(|error| Failure::new(format!("failed to write {}: {}", path.display(), errors::chain(&error))))?;
    Ok(String::new())
}
