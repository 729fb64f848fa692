//! What this program was built from.

/// Version of muster.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Commit it was built from; `unknown` unless the build sets `MUSTER_COMMIT`.
pub const COMMIT: &str = match option_env!("MUSTER_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// Processor it was built for, in the words stock uses.
#[must_use]
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
