//! What happened, in order: a hash to compare runs, and the lines to read one.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::kernel::clock::Clock;

#[derive(Default)]
struct Inner {
    hash: crc32fast::Hasher,
    lines: Vec<String>,
    violations: Vec<String>,
    faults: BTreeMap<String, u64>,
}

/// Everything that a [`Trace`] recorded.
pub(super) struct Recorded {
    pub(super) hash: u32,
    pub(super) lines: Vec<String>,
    pub(super) violations: Vec<String>,
    pub(super) faults: BTreeMap<String, u64>,
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

    /// A fault is played. Its kind is the first word of how it prints.
    pub(super) fn fault(&self, fault: &impl fmt::Debug) {
        let text = format!("{fault:?}");
        let kind = text.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default().to_owned();
        self.note(format_args!("fault {text}"));
        *self.inner().faults.entry(kind).or_default() += 1;
    }

    /// Something happened that must not.
    pub(super) fn violation(&self, what: fmt::Arguments<'_>) {
        self.note(format_args!("VIOLATION {what}"));
        self.inner().violations.push(what.to_string());
    }

    /// Everything, at the end.
    pub(super) fn finish(&self) -> Recorded {
        let inner = self.inner();
        Recorded {
            hash: inner.hash.clone().finalize(),
            lines: inner.lines.clone(),
            violations: inner.violations.clone(),
            faults: inner.faults.clone(),
        }
    }

    /// What must not have happened so far.
    #[cfg(test)]
    pub(super) fn violations(&self) -> Vec<String> {
        self.inner().violations.clone()
    }
}
