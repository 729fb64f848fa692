//! Wires the roles.

pub mod shutdown;
