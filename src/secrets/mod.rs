//! Secrets: the program of the operator that knows them, and where the configuration names them.

mod command;
mod configuration;

pub use command::{Refreshed, SecretCommand};
pub use configuration::{UnresolvedSecrets, resolved};
