//! Why outputs cannot be set up.

use std::io;

/// A mistake in the settings, or a machine that lacks something.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The `datadog` output without a key. Source: cluster-agent-kubernetes F9.
    #[error("no API key configured, exiting")]
    NoApiKey,
    /// A key with characters that no header may hold.
    #[error("use the API key ending with {ending:?} for {url}: it contains characters that no HTTP header may hold")]
    UnusableKey {
        /// Intake.
        url: String,
        /// Last five characters.
        ending: String,
    },
    /// An intake URL that is none.
    #[error("read the intake URL {found:?}, allowed: http:// or https:// and a host")]
    Url {
        /// What was found.
        found: String,
    },
    /// A proxy URL that is none; not shown, because it may hold a password.
    #[error("read proxy.{scheme}: not a URL, allowed: http://, https:// or socks5://, then host and port")]
    Proxy {
        /// `http` or `https`.
        scheme: &'static str,
    },
    /// The HTTP client cannot be built, for example without trusted certificates on this machine.
    #[error("build the HTTP client for {url}")]
    Client {
        /// Intake.
        url: String,
        /// Reason.
        #[source]
        source: reqwest::Error,
    },
    /// No thread for writing.
    #[error("start the writer of stdout")]
    Thread(#[source] io::Error),
}
