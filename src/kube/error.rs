//! What a call about one object can fail with, in classes that have different consequences.

use crate::errors::chain;

/// Why an object was not read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// There is no such object.
    #[error("not found")]
    NotFound,
    /// Somebody else wrote or created it in the meantime: read it again and decide again.
    #[error("it was changed by somebody else")]
    Conflict,
    /// A right is missing.
    #[error("{verb} {resource} {name:?} is forbidden, allow the verb {verb:?} on {resource} named {name:?} to the service account")]
    Forbidden {
        /// For example `get`.
        verb: &'static str,
        /// For example `configmaps`.
        resource: &'static str,
        /// Name of the object.
        name: String,
    },
    /// Anything else: no connection, a timeout, a server error, an answer that cannot be read.
    #[error("API server: {0}")]
    Unavailable(String),
}

impl ObjectError {
    /// Puts what the client says into its class.
    #[must_use]
    pub fn classify(verb: &'static str, resource: &'static str, name: &str, error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.is_not_found() => Self::NotFound,
            kube::Error::Api(status) if status.is_conflict() || status.is_already_exists() => Self::Conflict,
            kube::Error::Api(status) if status.is_forbidden() => Self::Forbidden { verb, resource, name: name.to_owned() },
            other => Self::Unavailable(describe(other)),
        }
    }
}

/// Text of an error of the client, with its causes.
#[must_use]
pub fn describe(error: &kube::Error) -> String {
    match error {
        // Its own text holds the whole status twice.
        kube::Error::Api(status) => match status.code {
            0 => status.message.clone(),
            code => format!("{code} {}", status.message),
        },
        other => chain(other),
    }
}
