//! Why a command ends with another exit code than 0.

use serde_json::json;

/// A failed command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// What was already worth printing on standard output.
    pub(super) output: String,
    /// What went wrong, with the next step; goes to standard error after `Error: `.
    pub(super) message: String,
    /// Exit code.
    pub(super) code: u8,
}

impl Failure {
    /// Nothing to print but the message; exit code 1.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { output: String::new(), message: message.into(), code: 1 }
    }

    /// The process was started in a way it cannot work; exit code 2.
    pub(super) fn unusable(message: impl Into<String>) -> Self {
        Self { code: 2, ..Self::new(message) }
    }

    /// With something on standard output as well.
    pub(super) fn with_output(self, output: impl Into<String>) -> Self {
        Self { output: output.into(), ..self }
    }

    /// The same for a caller who asked for JSON.
    pub(super) fn into_json(self) -> Self {
        let output =
            if self.output.trim_start().starts_with(['{', '[']) { self.output } else { format!("{}\n", json!({"error": self.message})) };
        Self { output, ..self }
    }
}

/// What a command prints on standard output, or why it failed.
pub(super) type CommandResult = Result<String, Failure>;
