//! The pods of agents, as an informer tells them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::cluster::membership::WatchedNodes;
use crate::domain::ids::NodeName;
use crate::domain::kube::objects::{Kind, KubePod};
use crate::kernel::mailbox::Outlet;
use crate::kernel::universe::Universe;
use crate::messages::informer::{ObjectsChanged, TellObjects};
use crate::testing::pods::{NAMESPACE, deployed, observed, terminating};

/// The template of pods at the start.
pub(super) const FIRST_TEMPLATE: &str = "a1";

#[derive(Default)]
struct Inner {
    pods: BTreeMap<NodeName, KubePod>,
    /// Who is told; `None` while there is no server.
    told: Option<Outlet<ObjectsChanged>>,
}

/// All pods. Clones share them; they survive the server.
#[derive(Clone, Default)]
pub(super) struct Pods(Rc<RefCell<Inner>>);

/// What changed among pods.
fn changed() -> ObjectsChanged {
    ObjectsChanged { kind: Kind::Pods, reset: false, applied: Vec::new(), gone: Vec::new(), synced: true }
}

impl Pods {
    fn tell(&self, change: ObjectsChanged) {
        if let Some(told) = &self.0.borrow().told {
            told.post(change);
        }
    }

    /// A server begins to watch, or is gone.
    pub(super) fn watched_by(&self, told: Option<Outlet<ObjectsChanged>>) {
        self.0.borrow_mut().told = told;
    }

    /// What `Membership` needs to ask for pods.
    pub(super) fn informer(&self, universe: &Universe) -> WatchedNodes {
        let pods = self.clone();
        let tell = universe.stub("Informer", move |TellObjects| {
            let applied = pods.0.borrow().pods.values().map(observed).collect();
            pods.tell(ObjectsChanged { reset: true, applied, ..changed() });
        });
        WatchedNodes { namespace: NAMESPACE.to_owned(), cluster_name: String::new(), informers: vec![tell] }
    }

    /// A pod runs; pods of one template replace each other.
    pub(super) fn start(&self, name: &NodeName, template: &str) {
        let pod = deployed("runners", template, name.as_str());
        self.0.borrow_mut().pods.insert(name.clone(), pod.clone());
        self.tell(ObjectsChanged { applied: vec![observed(&pod)], ..changed() });
    }

    /// A pod is being deleted.
    pub(super) fn delete(&self, name: &NodeName) {
        let Some(pod) = self.0.borrow_mut().pods.get_mut(name).map(|pod| {
            *pod = terminating(pod.clone());
            pod.clone()
        }) else {
            return;
        };
        self.tell(ObjectsChanged { applied: vec![observed(&pod)], ..changed() });
    }

    /// A pod is gone.
    pub(super) fn end(&self, name: &NodeName) {
        let pod = self.0.borrow_mut().pods.remove(name);
        if let Some(pod) = pod {
            self.tell(ObjectsChanged { gone: vec![pod.meta.key], ..changed() });
        }
    }
}
