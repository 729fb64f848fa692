//! What must not happen and did.

use std::cell::RefCell;
use std::rc::Rc;

/// What must not happen and did. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Violations(Rc<RefCell<Vec<String>>>);

impl Violations {
    /// Notes one. After many, only their number would be of interest.
    pub(super) fn note(&self, what: String) {
        let mut all = self.0.borrow_mut();
        if all.len() < 100 {
            all.push(what);
        }
    }

    /// All of them, at the end.
    pub(super) fn take(&self) -> Vec<String> {
        self.0.take()
    }
}
