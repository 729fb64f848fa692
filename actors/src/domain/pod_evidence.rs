//! What pods and Kubernetes nodes say about the agents that poll.
//!
//! An agent that polls under the name of a pod of the watched namespace is that pod; a node agent polls under the name of its
//! Kubernetes node, with or without the name of the cluster behind it. Evidence is only what a watch told: as long as nothing is told,
//! because the API server is away, a right is missing or a listing is not complete, everything stays as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::ids::NodeName;
use crate::domain::kube::objects::{Kind, KubeNode, KubeObject, KubePod, ObjectKey};
use crate::domain::world::NodeKind;

/// Time for which the end of an object is remembered. Why: a replica that is promoted learns of the nodes after their pods have gone.
pub const END_REMEMBERED: Duration = Duration::from_secs(600);

/// Label of a pod of a `Deployment`: the end of the name of its `ReplicaSet`.
const TEMPLATE_HASH: &str = "pod-template-hash";

/// What became of the object behind a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Testimony {
    /// Nothing is known: heartbeats alone judge.
    Unknown,
    /// It is there.
    Running {
        /// As it says itself; not being ready has no consequence but to be shown.
        ready: bool,
    },
    /// It is being deleted.
    Leaving {
        /// When that was seen first. Monotonic.
        since: Duration,
    },
    /// It is gone, or has ended for good.
    Gone {
        /// When that was seen first. Monotonic.
        at: Duration,
    },
}

/// Pods of one lineage replace each other: their controller is the same `ReplicaSet`, or `ReplicaSet`s of one `Deployment`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lineage {
    kind: Arc<str>,
    name: Arc<str>,
}

/// What a watch told about objects of one kind.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// Which kind.
    pub kind: Kind,
    /// What is applied is all there is, as soon as the listing is complete.
    pub reset: bool,
    /// New or changed objects.
    pub applied: &'a [KubeObject],
    /// Objects that are gone.
    pub gone: &'a [ObjectKey],
    /// The listing is complete.
    pub synced: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Sighting {
    uid: Arc<str>,
    testimony: Testimony,
    lineage: Option<Lineage>,
    /// Its name comes back: see [`returns_under_its_name`].
    returns: bool,
}

/// Objects of one kind by name.
#[derive(Debug, Default)]
struct Sightings {
    known: BTreeMap<Arc<str>, Sighting>,
    /// Known before a listing that is not complete and has not named them.
    unconfirmed: BTreeSet<Arc<str>>,
    synced: bool,
}

/// All evidence about nodes.
#[derive(Debug)]
pub struct PodEvidence {
    namespace: Arc<str>,
    cluster_suffix: Option<String>,
    pods: Sightings,
    nodes: Sightings,
}

impl PodEvidence {
    /// No evidence yet. Only pods of `namespace` count; `cluster_name` may be empty.
    #[must_use]
    pub fn new(namespace: &str, cluster_name: &str) -> Self {
        let cluster_suffix = (!cluster_name.is_empty()).then(|| format!("-{cluster_name}"));
        Self { namespace: namespace.into(), cluster_suffix, pods: Sightings::default(), nodes: Sightings::default() }
    }

    /// Takes in what a watch told; kinds other than pods and Kubernetes nodes say nothing.
    ///
    /// Returns whether anything is different from before.
    pub fn take_in(&mut self, report: &Report<'_>, now: Duration) -> bool {
        let ours = |key: &ObjectKey| report.kind == Kind::Nodes || key.namespace == self.namespace;
        let sightings = match report.kind {
            Kind::Pods => &mut self.pods,
            Kind::Nodes => &mut self.nodes,
            _ => return false,
        };
        let mut changed = false;
        if report.reset {
            sightings.listing_begins();
        }
        for object in report.applied.iter().filter(|object| ours(object.key())) {
            if let Some(sighting) = sighting(object, now) {
                changed |= sightings.seen(&object.key().name, sighting);
            }
        }
        for key in report.gone.iter().filter(|key| ours(key)) {
            changed |= sightings.ended(&key.name, now);
        }
        if report.synced {
            changed |= sightings.listing_is_complete(now);
        }
        changed
    }

    /// What became of the object behind this node.
    #[must_use]
    pub fn of(&self, node: &NodeName, kind: NodeKind) -> Testimony {
        if let Some(pod) = self.pods.known.get(node.as_str()) {
            return pod.testimony;
        }
        if kind == NodeKind::Runner {
            return Testimony::Unknown;
        }
        let short = self.cluster_suffix.as_deref().and_then(|suffix| node.as_str().strip_suffix(suffix));
        let object = self.nodes.known.get(node.as_str()).or_else(|| self.nodes.known.get(short?));
        object.map_or(Testimony::Unknown, |object| object.testimony)
    }

    /// Which pods replace the one behind this node; `None` if none do, or nothing is known.
    #[must_use]
    pub fn lineage(&self, node: &NodeName) -> Option<&Lineage> {
        self.pods.known.get(node.as_str())?.lineage.as_ref()
    }

    /// Pods that run or are about to, of each lineage, whose agent does not poll.
    #[must_use]
    pub fn awaited(&self, polls: impl Fn(&str) -> bool) -> BTreeMap<&Lineage, usize> {
        let mut awaited = BTreeMap::new();
        for (name, pod) in &self.pods.known {
            if let (Some(lineage), Testimony::Running { .. }) = (&pod.lineage, pod.testimony)
                && !polls(name)
            {
                *awaited.entry(lineage).or_default() += 1;
            }
        }
        awaited
    }

    /// Whether pods and Kubernetes nodes have been listed completely.
    #[must_use]
    pub fn synced(&self) -> (bool, bool) {
        (self.pods.synced, self.nodes.synced)
    }

    /// Forgets objects whose end was seen long ago, except those behind a node that still polls.
    pub fn forget_old(&mut self, now: Duration, polls: impl Fn(&str) -> bool) {
        for sightings in [&mut self.pods, &mut self.nodes] {
            sightings.known.retain(|name, sighting| match sighting.testimony {
                Testimony::Gone { at } => now.saturating_sub(at) < END_REMEMBERED || polls(name),
                _ => true,
            });
        }
    }
}

impl Sightings {
    fn listing_begins(&mut self) {
        let alive = self.known.iter().filter(|(_, sighting)| !matches!(sighting.testimony, Testimony::Gone { .. }));
        self.unconfirmed = alive.map(|(name, _)| Arc::clone(name)).collect();
    }

    fn listing_is_complete(&mut self, now: Duration) -> bool {
        self.synced = true;
        let mut changed = false;
        for name in std::mem::take(&mut self.unconfirmed) {
            changed |= self.ended(&name, now);
        }
        changed
    }

    /// Another uid is another object, which begins anew. The same one can only get closer to its end, even if a listing from an old
    /// cache says otherwise: a node must not flap back.
    fn seen(&mut self, name: &Arc<str>, mut next: Sighting) -> bool {
        self.unconfirmed.remove(name);
        let known = self.known.get(name);
        if let Some(known) = known.filter(|known| known.uid == next.uid) {
            next.testimony = match (known.testimony, next.testimony) {
                (gone @ Testimony::Gone { .. }, _) => gone,
                (leaving @ Testimony::Leaving { .. }, Testimony::Running { .. } | Testimony::Leaving { .. }) => leaving,
                (_, newer) => newer,
            };
        }
        let changed = known != Some(&next);
        self.known.insert(Arc::clone(name), next);
        changed
    }

    fn ended(&mut self, name: &Arc<str>, now: Duration) -> bool {
        self.unconfirmed.remove(name);
        let Some(sighting) = self.known.get_mut(name).filter(|known| !matches!(known.testimony, Testimony::Gone { .. })) else {
            return false;
        };
        if sighting.returns {
            self.known.remove(name);
        } else {
            sighting.testimony = Testimony::Gone { at: now };
        }
        true
    }
}

fn sighting(object: &KubeObject, now: Duration) -> Option<Sighting> {
    match object {
        KubeObject::Pod(pod) => Some(pod_sighting(pod, now)),
        KubeObject::Node(node) => Some(node_sighting(node, now)),
        _ => None,
    }
}

fn pod_sighting(pod: &KubePod, now: Duration) -> Sighting {
    let returns = returns_under_its_name(pod);
    let testimony = match &*pod.phase {
        _ if returns => Testimony::Running { ready: pod.ready },
        "Failed" | "Succeeded" => Testimony::Gone { at: now },
        _ if pod.meta.terminating => Testimony::Leaving { since: now },
        _ => Testimony::Running { ready: pod.ready },
    };
    Sighting { uid: Arc::clone(&pod.meta.uid), testimony, lineage: lineage(pod), returns }
}

fn node_sighting(node: &KubeNode, now: Duration) -> Sighting {
    let testimony = if node.meta.terminating { Testimony::Leaving { since: now } } else { Testimony::Running { ready: node.ready } };
    Sighting { uid: Arc::clone(&node.meta.uid), testimony, lineage: None, returns: false }
}

/// Whether a pod of the same name replaces this one: its controller is a `StatefulSet`.
///
/// The new pod is a new incarnation with another uid, and yet the node with the same name and the same set. So the end of such a pod is
/// no evidence, and heartbeats judge: back within the expiration it keeps its set and nothing moves. Why: moving its set away and,
/// when the next pod of the set is replaced, back again would move every check at least once more than waiting does, and the pod
/// has no successor other than itself.
fn returns_under_its_name(pod: &KubePod) -> bool {
    pod.owner.as_ref().is_some_and(|owner| &*owner.kind == "StatefulSet")
}

/// A `Deployment` names its `ReplicaSet`s by itself and the hash of the pod template, which is also a label of the pods.
fn lineage(pod: &KubePod) -> Option<Lineage> {
    let owner = pod.owner.as_ref()?;
    let hash = pod.meta.labels.get(TEMPLATE_HASH).filter(|_| &*owner.kind == "ReplicaSet");
    let deployment = hash.and_then(|hash| owner.name.strip_suffix(&**hash)?.strip_suffix('-'));
    Some(match deployment {
        Some(deployment) => Lineage { kind: "Deployment".into(), name: deployment.into() },
        None => Lineage { kind: Arc::clone(&owner.kind), name: Arc::clone(&owner.name) },
    })
}

#[cfg(test)]
mod tests;
