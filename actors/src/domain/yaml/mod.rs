//! YAML 1.1 text in and out, as the Go library yaml v2 reads and writes it. Source: autodiscovery 7.2.

mod document;
mod float;
mod order;
mod scalar;
#[cfg(test)]
mod tests;
mod value;
mod write;

pub use document::{Document, MAX_DEPTH, MAX_EXPANSION, Position, YamlError, YamlWarning, parse, parse_document};
pub(crate) use scalar::integer;
pub use value::Value;
pub use write::{write, write_indented};
