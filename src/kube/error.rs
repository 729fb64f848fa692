//! What a call of the API server can fail with, in classes that have different consequences.

use crate::errors::chain;

/// What an answer that is an error means, whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// There is no such thing.
    NotFound,
    /// Somebody else wrote or created it in the meantime.
    Conflict,
    /// A right is missing.
    Forbidden,
    /// The server forgot what happened since the version that was named: only a listing helps.
    Expired,
    /// Anything else: no connection, a server error, an answer that cannot be read.
    Other,
}

/// The class of an error of the client.
///
/// Why by the code first: what is no object of the API, such as `/readyz` and `/metrics`, answers in plain text and gives no reason.
pub(super) fn class(error: &kube::Error) -> Class {
    let kube::Error::Api(status) = error else { return Class::Other };
    match (status.code, status.reason.as_str()) {
        (404, _) => Class::NotFound,
        (409, _) | (_, "AlreadyExists") => Class::Conflict,
        (403, _) => Class::Forbidden,
        (410, _) | (_, "Expired") => Class::Expired,
        _ => Class::Other,
    }
}

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
    #[error(
        "{verb} {resource}{} is forbidden, allow the verb {verb:?} on {resource}{} to the service account",
        quoted(" ", .name.as_deref()),
        quoted(" named ", .name.as_deref())
    )]
    Forbidden {
        /// For example `get`.
        verb: &'static str,
        /// For example `configmaps`.
        resource: &'static str,
        /// Name of the object; `None` = it is about all of them.
        name: Option<String>,
    },
    /// Anything else: no connection, a timeout, a server error, an answer that cannot be read.
    #[error("API server: {0}")]
    Unavailable(String),
}

fn quoted(before: &str, name: Option<&str>) -> String {
    name.map(|name| format!("{before}{name:?}")).unwrap_or_default()
}

impl ObjectError {
    /// Puts what the client says about one object, or about all if there is no name, into its class.
    #[must_use]
    pub fn classify<'a>(verb: &'static str, resource: &'static str, name: impl Into<Option<&'a str>>, error: &kube::Error) -> Self {
        match class(error) {
            Class::NotFound => Self::NotFound,
            Class::Conflict => Self::Conflict,
            Class::Forbidden => Self::Forbidden { verb, resource, name: name.into().map(str::to_owned) },
            Class::Expired | Class::Other => Self::Unavailable(describe(error)),
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

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn api(code: u16, reason: &str) -> kube::Error {
        kube::Error::Api(Box::new(Status { code, reason: reason.to_owned(), ..Status::default() }))
    }

    #[test]
    fn the_code_says_what_an_answer_means_and_where_it_is_missing_the_reason() {
        assert_eq!(class(&api(404, "")), Class::NotFound);
        assert_eq!(class(&api(409, "Conflict")), Class::Conflict);
        assert_eq!(class(&api(409, "AlreadyExists")), Class::Conflict);
        assert_eq!(class(&api(403, "NamespaceTerminating")), Class::Forbidden);
        assert_eq!(class(&api(410, "Gone")), Class::Expired);
        assert_eq!(class(&api(0, "Expired")), Class::Expired);
        assert_eq!(class(&api(500, "InternalError")), Class::Other);
        assert_eq!(class(&kube::Error::LinesCodecMaxLineLengthExceeded), Class::Other);
    }

    #[test]
    fn a_refusal_names_the_object_only_where_there_is_one() {
        let text = |verb, name: Option<&str>| ObjectError::classify(verb, "nodes", name, &api(403, "Forbidden")).to_string();
        let all = "list nodes is forbidden, allow the verb \"list\" on nodes to the service account";
        assert_eq!(text("list", None), all);
        let one = "get nodes \"a\" is forbidden, allow the verb \"get\" on nodes named \"a\" to the service account";
        assert_eq!(text("get", Some("a")), one);
    }
}
