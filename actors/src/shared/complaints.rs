//! What does not work now: told once when it begins, once when it is over, and shown meanwhile.

use std::collections::BTreeMap;

use tracing::{info, warn};

/// What one attempt says about one thing that was to be done: `None` = it worked.
pub(super) type Report = (&'static str, Option<String>);

/// Owns what is complained about, by what was to be done.
///
/// Why: the same thing fails in every round until somebody mends it; one line in the log is enough.
#[derive(Debug, Default)]
pub(super) struct Complaints(BTreeMap<&'static str, String>);

impl Complaints {
    /// Takes in what an attempt says.
    pub(super) fn note(&mut self, (what, problem): Report) {
        match problem {
            Some(error) => {
                let before = self.0.insert(what, error.clone());
                if before.is_none() {
                    warn!(error, "failed to {what}, it is tried again");
                }
            }
            None => {
                if self.0.remove(what).is_some() {
                    info!("{what}: works again");
                }
            }
        }
    }

    /// Forgets everything without a word: nobody tries any more.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// What does not work now.
    pub(super) fn current(&self) -> &BTreeMap<&'static str, String> {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_stays_until_the_same_thing_works() {
        let mut complaints = Complaints::default();
        complaints.note(("list events", Some("not allowed".to_owned())));
        complaints.note(("save the token", Some("conflict".to_owned())));
        complaints.note(("save the token", None));
        assert_eq!(complaints.current(), &BTreeMap::from([("list events", "not allowed".to_owned())]));
        complaints.note(("list events", Some("timeout".to_owned())));
        assert_eq!(complaints.current()["list events"], "timeout");
        complaints.clear();
        assert!(complaints.current().is_empty());
    }
}
