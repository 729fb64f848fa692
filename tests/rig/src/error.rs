//! What can go wrong on the rig.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;

use thiserror::Error;

/// A step of the rig that failed. `Display` reads after "failed to".
#[derive(Debug, Error)]
pub enum RigError {
    /// `tests/devcluster/build.sh` could not be started.
    #[error("start {script:?} to get the control plane")]
    BuildScript {
        /// The script.
        script: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// `tests/devcluster/build.sh` failed; it said why, and what to install, on standard error.
    #[error("get the control plane from {script:?}, which ended with {status}; it wrote to standard error what it needs")]
    Build {
        /// The script.
        script: PathBuf,
        /// How it ended.
        status: ExitStatus,
    },
    /// The folder named by `KUBEBUILDER_ASSETS` has no such program.
    #[error("find {program} in {folder:?} (KUBEBUILDER_ASSETS): add it, or unset the variable to have everything built")]
    MissingProgram {
        /// Name of the program.
        program: &'static str,
        /// Where it should be.
        folder: PathBuf,
    },
    /// More control planes asked for at once than the machine is given.
    #[error("start {asked} control planes at once, at most {limit} are allowed")]
    TooMany {
        /// How many.
        asked: u32,
        /// The limit.
        limit: u32,
    },
    /// A file or folder of the rig.
    #[error("write {path:?}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A key or certificate.
    #[error("make the certificate of {subject}")]
    Certificate {
        /// Whose.
        subject: &'static str,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// A process that did not start.
    #[error("start {process}")]
    Spawn {
        /// Name of the process.
        process: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A process that ended although it should run.
    #[error("keep {process} running, it ended with {status}; the end of its log:\n{tail}")]
    Ended {
        /// Name of the process.
        process: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// Last lines of its log.
        tail: String,
    },
    /// A process of the rig that was not started with this control plane, or was killed before.
    #[error("find a running {process}")]
    NotRunning {
        /// Name of the process.
        process: &'static str,
    },
    /// Something that should have happened by now.
    #[error("see in time that {what}\n{tail}")]
    Late {
        /// What should have happened.
        what: String,
        /// Last lines of the logs, when a control plane was starting.
        tail: String,
    },
    /// The HTTP client.
    #[error("set up a client of the control plane")]
    Client(#[source] reqwest::Error),
    /// No answer.
    #[error("{verb} {path}")]
    Request {
        /// HTTP method.
        verb: &'static str,
        /// Path and query.
        path: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The API server or etcd said no.
    #[error("{verb} {path}: {status} {reason}: {message}")]
    Refused {
        /// HTTP method.
        verb: &'static str,
        /// Path and query.
        path: String,
        /// HTTP status.
        status: u16,
        /// Reason of the Status object.
        reason: String,
        /// Message of the Status object, or the text of the answer.
        message: String,
    },
    /// An answer that is not what it should be.
    #[error("read the answer to {verb} {path}: {text}")]
    Answer {
        /// HTTP method.
        verb: &'static str,
        /// Path and query.
        path: String,
        /// The answer.
        text: String,
    },
    /// A manifest sets a variable in a way that is not known here.
    #[error("resolve the environment {entry}")]
    Environment {
        /// The entry of the manifest, or the container that has none.
        entry: String,
    },
    /// kubectl failed.
    #[error("run kubectl {arguments}: {output}")]
    Kubectl {
        /// Its arguments.
        arguments: String,
        /// What it wrote to standard error.
        output: String,
    },
    /// A link that cannot listen.
    #[error("listen on {address} for a link")]
    Link {
        /// Its address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No three free ports found.
    #[error("find {wanted} free ports on 127.0.0.1")]
    Ports {
        /// How many.
        wanted: usize,
    },
}

impl RigError {
    /// HTTP status with which the API server or etcd refused, if one did.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}
