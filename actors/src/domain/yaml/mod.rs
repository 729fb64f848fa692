//! YAML 1.1 text in and out, as the Go library yaml v2 reads and writes it. Source: autodiscovery 7.2.

mod value;

pub use value::Value;
