//! One bounded call about the lock, and what its failure means.

use std::time::Duration;

use muster_actors::domain::lock_record::LockError;

use crate::kube::error::{Class, class, describe};

/// A call as rights and error texts name it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    pub(super) verb: &'static str,
    /// With its group.
    pub(super) resource: &'static str,
    pub(super) namespace: &'a str,
    /// Empty for a list.
    pub(super) name: &'a str,
}

impl Call<'_> {
    fn text(&self) -> String {
        let Self { verb, resource, namespace, name } = self;
        if name.is_empty() { format!("{verb} {resource} in {namespace}") } else { format!("{verb} {resource} {namespace}/{name}") }
    }

    /// What a failure means.
    pub(super) fn error(&self, error: &kube::Error) -> LockError {
        match class(error) {
            Class::Conflict => LockError::Conflict,
            Class::Forbidden => LockError::Forbidden(format!(
                "{}: forbidden; a Role in namespace {} must grant the ServiceAccount `{}` on `{}`",
                self.text(),
                self.namespace,
                self.verb,
                self.resource
            )),
            Class::NotFound | Class::Expired | Class::Other => LockError::Unavailable(format!("{}: {}", self.text(), describe(error))),
        }
    }
}

/// Lets a call take at most `limit`.
pub(super) async fn bounded<T>(step: &str, limit: Duration, call: impl Future<Output = Result<T, LockError>>) -> Result<T, LockError> {
    let late = || LockError::Unavailable(format!("{step}: no answer of the API server within {limit:?}"));
    tokio::time::timeout(limit, call).await.unwrap_or_else(|_| Err(late()))
}
