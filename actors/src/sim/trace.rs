//! What happened, in order: a hash to compare runs, and the lines to read one.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::kernel::clock::Clock;

#[derive(Default)]
struct Inner {
    hash: crc32fast::Hasher,
    lines: Vec<String>,
    violations: Vec<String>,
}

/// The record of a run. Clones share it.
#[derive(Clone)]
pub(super) struct Trace {
    clock: Arc<dyn Clock>,
    inner: Arc<Mutex<Inner>>,
}

impl Trace {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, inner: Arc::default() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happened.
    pub(super) fn note(&self, what: fmt::Arguments<'_>) {
        let line = format!("{:>10.3} {what}", self.clock.monotonic().as_secs_f64());
        let mut inner = self.inner();
        inner.hash.update(line.as_bytes());
        inner.lines.push(line);
    }

    /// Something happened that must not.
    pub(super) fn violation(&self, what: fmt::Arguments<'_>) {
        self.note(format_args!("VIOLATION {what}"));
        self.inner().violations.push(what.to_string());
    }

    /// Hash over all lines, the lines, and what must not have happened.
    pub(super) fn finish(&self) -> (u32, Vec<String>, Vec<String>) {
        let inner = self.inner();
        (inner.hash.clone().finalize(), inner.lines.clone(), inner.violations.clone())
    }
}
