//! What discovery said and the dispatcher has not worked off yet, in order; and what discovery did not name.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::domain::config::CheckConfig;
use crate::domain::ids::ConfigKey;

/// Configs that are patched in one go.
///
/// Why: patching parses YAML; this many keep a handler below a millisecond or so, and polls are answered in between.
const CHUNK: usize = 16;

#[derive(Debug)]
enum Input {
    Started,
    Changed { removed: Vec<ConfigKey>, added: VecDeque<Arc<CheckConfig>> },
    Synced { broken: BTreeSet<String> },
}

/// One portion of work.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Portion {
    /// Configs to put into the table.
    pub(crate) added: Vec<Arc<CheckConfig>>,
    /// Keys to remove.
    pub(crate) removed: Vec<ConfigKey>,
    /// Keys that a complete listing did not name, to be removed as well.
    pub(crate) vanished: Vec<ConfigKey>,
    /// Sources that cannot be read now: what they said before has not vanished.
    pub(crate) broken: BTreeSet<String>,
    /// Whether a listing was completed.
    pub(crate) synced: bool,
}

impl Portion {
    /// Whether what a source says cannot be read now: the source itself, or a directory above it.
    pub(crate) fn is_broken(&self, source: &str) -> bool {
        let above = |place: &String| source.strip_prefix(place.as_str()).is_some_and(|rest| rest.starts_with('/'));
        self.broken.contains(source) || self.broken.iter().any(above)
    }
}

/// The queue between discovery and the dispatcher.
#[derive(Debug, Default)]
pub(crate) struct DiscoveryInbox {
    queue: VecDeque<Input>,
    /// What the listing under way has not named yet; `None` = no listing was heard from its beginning.
    unnamed: Option<BTreeSet<ConfigKey>>,
}

impl DiscoveryInbox {
    /// A listing begins.
    pub(crate) fn started(&mut self) {
        self.queue.push_back(Input::Started);
    }

    /// Something was found or lost.
    pub(crate) fn changed(&mut self, added: Vec<Arc<CheckConfig>>, removed: Vec<ConfigKey>) {
        self.queue.push_back(Input::Changed { removed, added: added.into() });
    }

    /// The listing is complete.
    pub(crate) fn synced(&mut self, broken: BTreeSet<String>) {
        self.queue.push_back(Input::Synced { broken });
    }

    /// Forgets everything, also a listing under way: what comes next was not heard from its beginning.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Whether there is work.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The next portion; `known` yields the keys in the table, asked for when a listing begins.
    pub(crate) fn next<I: Iterator<Item = ConfigKey>>(&mut self, known: impl FnOnce() -> I) -> Portion {
        let mut portion = Portion::default();
        match self.queue.pop_front() {
            None => {}
            Some(Input::Started) => self.unnamed = Some(known().collect()),
            Some(Input::Changed { removed, mut added }) => {
                portion.removed = removed;
                portion.added = added.drain(..added.len().min(CHUNK)).collect();
                if !added.is_empty() {
                    self.queue.push_front(Input::Changed { removed: Vec::new(), added });
                }
            }
            Some(Input::Synced { broken }) => {
                if let Some(unnamed) = self.unnamed.take() {
                    portion.vanished = unnamed.into_iter().collect();
                    portion.broken = broken;
                    portion.synced = true;
                }
            }
        }
        portion
    }

    /// The listing under way named this key.
    pub(crate) fn named(&mut self, key: ConfigKey) {
        if let Some(unnamed) = &mut self.unnamed {
            unnamed.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [ConfigKey; 3] = [ConfigKey(1), ConfigKey(2), ConfigKey(3)];

    fn next(inbox: &mut DiscoveryInbox) -> Portion {
        inbox.next(|| KNOWN.into_iter())
    }

    #[test]
    fn what_a_whole_listing_did_not_name_has_vanished() {
        let mut inbox = DiscoveryInbox::default();
        inbox.started();
        inbox.synced(BTreeSet::new());
        assert_eq!(next(&mut inbox), Portion::default());
        inbox.named(ConfigKey(2));
        assert_eq!(next(&mut inbox), Portion { vanished: vec![ConfigKey(1), ConfigKey(3)], synced: true, ..Portion::default() });
    }

    #[test]
    fn the_end_of_a_listing_that_began_earlier_proves_nothing() {
        let mut inbox = DiscoveryInbox::default();
        inbox.synced(BTreeSet::new());
        assert_eq!(next(&mut inbox), Portion::default());
    }

    #[test]
    fn a_listing_that_was_forgotten_half_way_proves_nothing() {
        let mut inbox = DiscoveryInbox::default();
        inbox.started();
        next(&mut inbox);
        inbox.forget();
        inbox.synced(BTreeSet::new());
        assert_eq!(next(&mut inbox), Portion::default());
    }

    #[test]
    fn many_configs_come_in_portions_and_nothing_overtakes_them() {
        let mut inbox = DiscoveryInbox::default();
        inbox.started();
        inbox.changed(vec![Arc::default(); CHUNK + 1], vec![ConfigKey(9)]);
        inbox.synced(BTreeSet::new());
        next(&mut inbox);
        let first = next(&mut inbox);
        assert_eq!((first.added.len(), first.removed.len(), first.synced), (CHUNK, 1, false));
        let second = next(&mut inbox);
        assert_eq!((second.added.len(), second.removed.len(), second.synced), (1, 0, false));
        assert!(next(&mut inbox).synced);
        assert!(inbox.is_empty());
    }
}
