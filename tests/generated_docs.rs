//! The generated documents say what the code says.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::path::Path;
use std::process::Command;

fn assert_fresh(part: &str, file: &str) {
    let made = Command::new(env!("CARGO_BIN_EXE_muster")).args(["docs", part]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let committed = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap_or_default();
    let fresh = String::from_utf8(made.stdout).unwrap();
    assert!(fresh == committed, "{file} is stale; run: cargo run -q -- docs {part} > {file}");
}

#[test]
fn the_list_of_configuration_keys_is_fresh() {
    assert_fresh("config", "docs/CONFIG.md");
}

#[test]
fn the_list_of_metrics_is_fresh() {
    assert_fresh("metrics", "docs/METRICS.md");
}
