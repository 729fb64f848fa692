//! A world and what happens in it, as people write it, a live server records it, or a generator draws it.
//!
//! The format is JSON and has a version; docs/SIMULATE.md describes it.

mod errors;
mod event;
mod read;
mod span;
mod types;
mod validate;

pub use errors::{Place, ScenarioError};
pub use event::{Action, Event, Lie, Which};
pub use span::{NoSpan, Span};
pub use types::{AgentVersion, Check, Node, SCENARIO_VERSION, Scenario};
pub(super) use validate::ACTORS;

#[cfg(test)]
mod tests;
