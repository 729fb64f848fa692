//! YAML 1.1 text in and out, as the Go library yaml v2 reads and writes it. Source: autodiscovery 7.2.

mod document;
mod entries;
mod float;
mod mistake;
mod order;
mod scalar;
mod tag;
#[cfg(test)]
mod tests;
mod value;
mod write;

pub use document::{Document, MAX_DEPTH, MAX_EXPANSION, parse, parse_document};
pub use mistake::{Position, YamlError, YamlWarning};
pub(crate) use scalar::integer;
pub use value::Value;
pub use write::{write, write_indented};
