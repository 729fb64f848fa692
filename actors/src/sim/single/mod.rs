//! The stand-alone world: one server that is killed, replaced and restarted, and its disk.

mod faults;
mod server;
pub(super) mod world;
