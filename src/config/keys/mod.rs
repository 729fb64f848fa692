//! The key table: the only place that knows which configuration keys exist.

mod accepted;
mod balance;
mod cluster;
mod core;
mod events;
mod find;
mod intake;
mod kubernetes;
mod node;

pub use find::{all, enclosing_tree, find, groups, has_keys_inside, nearest};
