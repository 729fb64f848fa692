//! Asking the server of this machine about balancing, and saying what went wrong.

use serde::de::DeserializeOwned;
use url::Url;

use crate::cli::connection::{LocalApi, QueryError};
use crate::cli::failure::{CommandResult, Failure};
use crate::cli::render::{Paint, paint_lines};

/// What every one of these commands has at hand.
pub(super) struct Call {
    pub(super) api: LocalApi,
    pub(super) json: bool,
    pub(super) paint: Paint,
}

impl Call {
    /// The answer as it came if JSON was asked for, else what `render` makes of it.
    pub(super) fn show<T: DeserializeOwned>(&self, body: String, render: impl FnOnce(&T) -> String) -> CommandResult {
        if self.json {
            return Ok(body.trim_end().to_owned() + "\n");
        }
        Ok(paint_lines(self.paint, &render(&parse(&body)?)))
    }
}

/// Reads an answer.
pub(super) fn parse<T: DeserializeOwned>(body: &str) -> Result<T, Failure> {
    serde_json::from_str(body).map_err(|error| Failure::new(format!("read the answer of the agent: {error}")))
}

/// A name as one segment of a path.
pub(super) fn segment(name: &str) -> String {
    // A constant that parses; and an address with a host has segments.
    let Ok(mut url) = Url::parse("https://localhost") else { return String::new() };
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.push(name);
    }
    url.path().trim_start_matches('/').to_owned()
}

/// What went wrong, with the next step.
pub(super) fn failure(error: QueryError) -> Failure {
    let QueryError::Refused { status, body } = &error else { return error.into_failure() };
    let next = "muster cluster status shows who leads";
    match (*status, body.trim()) {
        (503, "" | "Startup in progress") => Failure::new(format!("no replica is known to lead at the moment; try again soon, {next}")),
        (502, _) => Failure::new(format!("the leader does not answer; try again soon, {next}")),
        (404, "404 page not found") => Failure::new(
            "the server does not know this command: cluster_checks.enabled is false there, or another program than muster leads",
        ),
        (_, told) => Failure::new(told),
    }
}

/// As [`failure`], for the commands that stock command lines have: they put their own words before what a server says.
pub(super) fn stock_failure(error: QueryError) -> Failure {
    match &error {
        QueryError::Refused { status: 500, body } => {
            Failure::new(format!("The agent ran into an error while checking config: {}", body.trim()))
        }
        _ => failure(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, body: &str) -> QueryError {
        QueryError::Refused { status, body: body.to_owned() }
    }

    #[test]
    fn names_with_any_sign_are_one_segment() {
        assert_eq!(segment("http_check:https://a b/ä?x#y%:1f"), "http_check:https:%2F%2Fa%20b%2F%C3%A4%3Fx%23y%25:1f");
    }

    #[test]
    fn failures_say_what_to_do_next() {
        for (status, body) in [(503, "\n"), (503, "Startup in progress\n"), (502, "")] {
            let told = failure(refused(status, body)).message;
            assert!(told.contains("try again soon, muster cluster status shows who leads"), "{told}");
        }
        assert!(failure(refused(404, "404 page not found\n")).message.contains("cluster_checks.enabled"));
        assert_eq!(failure(refused(404, "no check \"x\": give a check id\n")).message, "no check \"x\": give a check id");
        let told = stock_failure(refused(500, "no checks to rebalance: advanced dispatching is not enabled\n")).message;
        assert_eq!(told, "The agent ran into an error while checking config: no checks to rebalance: advanced dispatching is not enabled");
    }
}
