//! Parts that all objects have in common.

use std::fmt;
use std::sync::Arc;

use muster_actors::domain::kube::objects::{Meta, ObjectKey, Owner, Texts};
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::interner::Interner;

/// An empty value for `null`, which the API server writes for some empty lists.
pub(in crate::kube) fn or_empty<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// `metadata`, as far as it is looked at. `A` is what annotations become: [`Pairs`], or nothing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, bound = "A: Default + Deserialize<'de>")]
pub(super) struct Head<A> {
    name: Box<str>,
    namespace: Box<str>,
    uid: Box<str>,
    pub(super) resource_version: Box<str>,
    #[serde(deserialize_with = "or_empty")]
    pub(super) labels: Pairs,
    #[serde(deserialize_with = "or_empty")]
    annotations: A,
    deletion_timestamp: Option<IgnoredAny>,
    #[serde(deserialize_with = "or_empty")]
    owner_references: Vec<OwnerReference>,
}

/// One of `metadata.ownerReferences`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct OwnerReference {
    kind: Box<str>,
    name: Box<str>,
    uid: Box<str>,
    controller: bool,
}

impl<A: Into<Pairs>> Head<A> {
    pub(super) fn key(&self) -> ObjectKey {
        ObjectKey::new(&*self.namespace, &*self.name)
    }

    /// The owner that is the controller, if there is one.
    pub(super) fn controller(&self, interner: &mut Interner) -> Option<Owner> {
        let owner = self.owner_references.iter().find(|owner| owner.controller)?;
        Some(Owner { kind: interner.share(&owner.kind), name: interner.share(&owner.name), uid: interner.share(&owner.uid) })
    }

    pub(super) fn into_meta(self, interner: &mut Interner) -> Meta {
        Meta {
            key: ObjectKey { namespace: interner.share(&self.namespace), name: self.name.into() },
            uid: self.uid.into(),
            resource_version: self.resource_version.into(),
            labels: self.labels.0.into_iter().map(|(key, value)| (interner.share(&key), interner.share(&value))).collect(),
            annotations: annotations(self.annotations.into(), interner),
            terminating: self.deletion_timestamp.is_some(),
        }
    }
}

/// Their values are too different to be shared.
fn annotations(pairs: Pairs, interner: &mut Interner) -> Texts {
    pairs.0.into_iter().map(|(key, value)| (interner.share(&key), Arc::from(value))).collect()
}

/// A JSON object of texts, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Pairs(pub(super) Vec<(Box<str>, Box<str>)>);

impl Pairs {
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| &**name == key).map(|(_, value)| &**value)
    }
}

/// Annotations that are not kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Dropped;

impl From<Dropped> for Pairs {
    fn from(_: Dropped) -> Self {
        Self::default()
    }
}

impl<'de> Deserialize<'de> for Dropped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Pairs;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object of texts")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Pairs, M::Error> {
                let mut pairs = Vec::with_capacity(map.size_hint().unwrap_or(8));
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

/// One of `status.conditions`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Condition {
    #[serde(rename = "type")]
    kind: ConditionKind,
    status: ConditionStatus,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
enum ConditionKind {
    Ready,
    #[default]
    #[serde(other)]
    Other,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
enum ConditionStatus {
    True,
    #[default]
    #[serde(other)]
    NotTrue,
}

/// Whether the condition `Ready` is `True`; `None` when there is no such condition.
pub(super) fn ready(conditions: &[Condition]) -> Option<bool> {
    let ready = conditions.iter().find(|condition| condition.kind == ConditionKind::Ready)?;
    Some(ready.status == ConditionStatus::True)
}
