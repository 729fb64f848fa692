//! What is known about the objects of one kind, and what changed since it was last told.
//!
//! The rules: nothing is told before a listing was completed; the first word after that is everything; what a later listing does not
//! name is gone when it is complete and not before; an object in a state that is known already is no change.

use std::collections::{BTreeMap, BTreeSet};

use super::objects::{KubeObject, ObjectKey};

/// A change to tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// What is applied is all there is.
    pub reset: bool,
    /// New or changed objects.
    pub applied: Vec<KubeObject>,
    /// Objects that are gone; none of them is among the applied ones.
    pub gone: Vec<ObjectKey>,
}

/// All objects of one kind, as far as listings and changes said.
#[derive(Debug, Default)]
pub struct ObjectIndex {
    objects: BTreeMap<ObjectKey, KubeObject>,
    /// What the listing under way has not named yet; `None` = no listing is under way.
    unnamed: Option<BTreeSet<ObjectKey>>,
    synced: bool,
    /// Everything is to be told, because nothing was told yet.
    untold: bool,
    /// What changed since it was last told, and whether it was told before.
    changed: BTreeMap<ObjectKey, bool>,
}

impl ObjectIndex {
    /// A listing begins, or begins anew.
    pub fn listing_begun(&mut self) {
        self.unnamed = Some(self.objects.keys().cloned().collect());
    }

    /// The listing named these.
    pub fn listed(&mut self, objects: Vec<KubeObject>) {
        for object in objects {
            self.applied(object);
        }
    }

    /// The listing is complete. Without its beginning it proves nothing.
    pub fn listing_done(&mut self) {
        let Some(unnamed) = self.unnamed.take() else { return };
        for key in unnamed {
            self.remove(&key);
        }
        self.untold |= !self.synced;
        self.synced = true;
    }

    /// An object is new or changed.
    pub fn applied(&mut self, object: KubeObject) {
        let key = object.key();
        if let Some(unnamed) = &mut self.unnamed {
            unnamed.remove(key);
        }
        let known = self.objects.get(key);
        if known.is_some_and(|known| same_state(known, &object)) {
            return;
        }
        let was_known = known.is_some();
        self.changed.entry(key.clone()).or_insert(was_known);
        self.objects.insert(key.clone(), object);
    }

    /// An object is gone.
    pub fn deleted(&mut self, key: &ObjectKey) {
        if let Some(unnamed) = &mut self.unnamed {
            unnamed.remove(key);
        }
        self.remove(key);
    }

    fn remove(&mut self, key: &ObjectKey) {
        if self.objects.remove(key).is_some() {
            self.changed.entry(key.clone()).or_insert(true);
        }
    }

    /// What is to be told now, if anything.
    pub fn take_changes(&mut self) -> Option<Changes> {
        if !self.synced {
            return None;
        }
        let changed = std::mem::take(&mut self.changed);
        if std::mem::take(&mut self.untold) {
            return Some(self.everything());
        }
        let mut changes = Changes::default();
        for (key, was_told) in changed {
            match self.objects.get(&key) {
                Some(object) => changes.applied.push(object.clone()),
                None if was_told => changes.gone.push(key),
                None => {}
            }
        }
        (!changes.applied.is_empty() || !changes.gone.is_empty()).then_some(changes)
    }

    /// Everything, for one who knows nothing.
    #[must_use]
    pub fn everything(&self) -> Changes {
        Changes { reset: true, applied: self.objects.values().cloned().collect(), gone: Vec::new() }
    }

    /// Whether a listing has been completed.
    #[must_use]
    pub fn synced(&self) -> bool {
        self.synced
    }

    /// Number of objects known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }
}

/// The version alone would do for a real API server; an object that was created anew under its name has another uid.
fn same_state(one: &KubeObject, other: &KubeObject) -> bool {
    let (one, other) = (one.meta(), other.meta());
    one.resource_version == other.resource_version && one.uid == other.uid
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::kube::objects::{KubeNamespace, Meta, Texts};

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new("", name)
    }

    fn object(name: &str, version: u8) -> KubeObject {
        let meta = Meta {
            key: key(name),
            uid: name.into(),
            resource_version: version.to_string().into(),
            labels: Texts::new(),
            annotations: Texts::new(),
            terminating: false,
        };
        KubeObject::Namespace(Arc::new(KubeNamespace { meta }))
    }

    fn synced(objects: &[KubeObject]) -> ObjectIndex {
        let mut index = ObjectIndex::default();
        index.listing_begun();
        index.listed(objects.to_vec());
        index.listing_done();
        index.take_changes().unwrap();
        index
    }

    #[test]
    fn nothing_is_told_before_a_listing_is_complete_and_then_everything() {
        let mut index = ObjectIndex::default();
        index.listing_begun();
        index.listed(vec![object("a", 1)]);
        assert_eq!(index.take_changes(), None);
        index.listed(vec![object("b", 1)]);
        index.deleted(&key("a"));
        index.listing_done();
        assert_eq!(index.take_changes(), Some(Changes { reset: true, applied: vec![object("b", 1)], gone: vec![] }));
        assert_eq!(index.take_changes(), None);
    }

    #[test]
    fn an_empty_listing_is_told_too() {
        let mut index = ObjectIndex::default();
        index.listing_begun();
        index.listing_done();
        assert_eq!(index.take_changes(), Some(Changes { reset: true, ..Changes::default() }));
    }

    #[test]
    fn what_a_later_listing_does_not_name_is_gone_when_it_is_complete() {
        let mut index = synced(&[object("a", 1), object("b", 1)]);
        index.listing_begun();
        index.listed(vec![object("b", 1)]);
        assert_eq!(index.take_changes(), None);
        index.listing_done();
        assert_eq!(index.take_changes(), Some(Changes { gone: vec![key("a")], ..Changes::default() }));
    }

    #[test]
    fn a_listing_that_broke_off_proves_nothing() {
        let mut index = synced(&[object("a", 1), object("b", 1)]);
        index.listing_begun();
        index.listed(vec![object("a", 1)]);
        index.listing_begun();
        index.listed(vec![object("a", 1), object("b", 1)]);
        index.listing_done();
        index.listing_done();
        assert_eq!((index.take_changes(), index.len()), (None, 2));
    }

    #[test]
    fn a_known_state_is_no_change_and_a_new_object_of_the_same_name_is_one() {
        let mut index = synced(&[object("a", 1)]);
        index.applied(object("a", 1));
        assert_eq!(index.take_changes(), None);
        let KubeObject::Namespace(namespace) = object("a", 1) else { unreachable!() };
        let mut anew = (*namespace).clone();
        anew.meta.uid = "another".into();
        index.applied(KubeObject::Namespace(Arc::new(anew.clone())));
        let applied = vec![KubeObject::Namespace(Arc::new(anew))];
        assert_eq!(index.take_changes(), Some(Changes { applied, ..Changes::default() }));
    }

    #[test]
    fn only_the_last_state_of_several_changes_is_told() {
        let mut index = synced(&[object("a", 1)]);
        index.applied(object("b", 1));
        index.deleted(&key("b"));
        assert_eq!(index.take_changes(), None, "never told, so not gone");
        index.deleted(&key("a"));
        index.applied(object("a", 2));
        assert_eq!(index.take_changes(), Some(Changes { applied: vec![object("a", 2)], ..Changes::default() }));
        index.applied(object("a", 3));
        index.deleted(&key("a"));
        assert_eq!(index.take_changes(), Some(Changes { gone: vec![key("a")], ..Changes::default() }));
    }

    /// What may happen to an index.
    #[derive(Clone, Debug)]
    enum Step {
        Begin,
        List(Vec<(u8, u8)>),
        Done,
        Apply(u8, u8),
        Delete(u8),
        Tell,
    }

    fn step() -> impl Strategy<Value = Step> {
        let (name, version) = (0..5_u8, 0..3_u8);
        prop_oneof![
            Just(Step::Begin),
            proptest::collection::vec((name.clone(), version.clone()), 0..4).prop_map(Step::List),
            Just(Step::Done),
            (name.clone(), version).prop_map(|(name, version)| Step::Apply(name, version)),
            name.prop_map(Step::Delete),
            Just(Step::Tell),
        ]
    }

    /// A subscriber, and what it may believe.
    #[derive(Default)]
    struct Subscriber {
        view: BTreeMap<ObjectKey, KubeObject>,
    }

    impl Subscriber {
        fn hear(&mut self, changes: Changes) {
            if changes.reset {
                self.view.clear();
            }
            for object in changes.applied {
                self.view.insert(object.key().clone(), object);
            }
            for key in changes.gone {
                assert!(self.view.remove(&key).is_some(), "{key} was never told");
            }
        }
    }

    fn take_step(index: &mut ObjectIndex, subscriber: &mut Subscriber, step: &Step) {
        match step {
            Step::Begin => index.listing_begun(),
            Step::List(objects) => index.listed(objects.iter().map(|(name, version)| object(&name.to_string(), *version)).collect()),
            Step::Done => index.listing_done(),
            Step::Apply(name, version) => index.applied(object(&name.to_string(), *version)),
            Step::Delete(name) => index.deleted(&key(&name.to_string())),
            Step::Tell => {
                if let Some(changes) = index.take_changes() {
                    subscriber.hear(changes);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn a_subscriber_ends_with_what_is_known(steps in proptest::collection::vec(step(), 0..60)) {
            let (mut index, mut subscriber) = (ObjectIndex::default(), Subscriber::default());
            for step in &steps {
                take_step(&mut index, &mut subscriber, step);
            }
            take_step(&mut index, &mut subscriber, &Step::Tell);
            let expected = if index.synced() { index.objects.clone() } else { BTreeMap::new() };
            prop_assert_eq!(subscriber.view, expected);
        }

        #[test]
        fn after_a_listing_there_are_no_ghosts(
            before in proptest::collection::vec(step(), 0..30),
            names in proptest::collection::btree_map(0..5_u8, 0..3_u8, 0..5),
        ) {
            let (mut index, mut subscriber) = (ObjectIndex::default(), Subscriber::default());
            for step in &before {
                take_step(&mut index, &mut subscriber, step);
            }
            let listed: Vec<(u8, u8)> = names.into_iter().collect();
            for step in [Step::Begin, Step::List(listed.clone()), Step::Done, Step::Tell] {
                take_step(&mut index, &mut subscriber, &step);
            }
            let expected: BTreeMap<_, _> =
                listed.iter().map(|(name, version)| object(&name.to_string(), *version)).map(|object| (object.key().clone(), object)).collect();
            prop_assert_eq!(subscriber.view, expected);
        }

        #[test]
        fn without_the_end_of_a_listing_only_a_deletion_takes_away(
            known in proptest::collection::btree_map(0..5_u8, 0..3_u8, 0..5),
            steps in proptest::collection::vec(step().prop_filter("no end", |step| !matches!(step, Step::Done)), 0..40),
        ) {
            let objects: Vec<_> = known.iter().map(|(name, version)| object(&name.to_string(), *version)).collect();
            let mut index = synced(&objects);
            let mut deleted = BTreeSet::new();
            for step in &steps {
                match step {
                    Step::Tell => {
                        if let Some(changes) = index.take_changes() {
                            prop_assert!(changes.gone.iter().all(|key| deleted.contains(key)));
                            prop_assert!(!changes.reset);
                        }
                    }
                    step => {
                        if let Step::Delete(name) = step {
                            deleted.insert(key(&name.to_string()));
                        }
                        take_step(&mut index, &mut Subscriber::default(), step);
                    }
                }
            }
        }
    }
}
