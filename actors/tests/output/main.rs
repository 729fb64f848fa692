//! `Output` on paused time, with a destination that follows a script and a disk that fails when it is told to.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod lives;
mod log;
mod memory;
mod spool;
mod stage;
