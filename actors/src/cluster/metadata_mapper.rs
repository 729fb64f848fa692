//! Keeps what node agents ask about nodes, pods and namespaces.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tracing::warn;

use crate::domain::kube::objects::Kind;
use crate::domain::metadata_map::MetadataMap;
use crate::domain::metadata_view::{MetadataView, Supplies};
use crate::kernel::mailbox::Outlet;
use crate::kernel::published::Publisher;
use crate::kernel::supervised::Observed;
use crate::messages::informer::{ObjectsChanged, TellObjects};
use crate::supervised;

/// Least time between two publications. The first change after a quiet time is published at once.
///
/// Why: the first change after a publication copies the list of nodes, so a burst must not publish with every object.
pub const PUBLISH_INTERVAL: Duration = Duration::from_millis(20);

/// Longest time in which a restarted mapper leaves the view of its predecessor in place while informers tell it everything again.
const RELEARN_LIMIT: Duration = Duration::from_secs(10);

/// What [`MetadataMapper`] needs.
#[derive(Clone)]
pub struct MetadataMapperParts {
    /// Where routes read; survives the actor.
    pub published: Arc<Publisher<MetadataView>>,
    /// The informers it listens to, by kind: Endpoints or EndpointSlices, and Nodes, Namespaces and Pods as far as they are watched.
    pub informers: Vec<(Kind, Outlet<TellObjects>)>,
    /// Pods that are not ready count, too (`kubernetes_kube_service_ignore_readiness`).
    pub map_unready: bool,
}

/// Owns the map node -> namespace -> pod -> services, and what nodes and namespaces say about themselves.
///
/// Source of truth for nothing: after a restart it asks its informers for everything.
pub struct MetadataMapper {
    parts: MetadataMapperParts,
    map: MetadataMap,
    /// What the predecessor had; nothing is published until all of it is there again.
    predecessor: Option<Supplies>,
    /// A publication was less than [`PUBLISH_INTERVAL`] ago.
    resting: bool,
    publications: u64,
}

impl MetadataMapper {
    /// A mapper that knows nothing yet.
    #[must_use]
    pub fn new(parts: MetadataMapperParts) -> Self {
        let map = MetadataMap::new(parts.informers.iter().map(|(kind, _)| *kind), parts.map_unready);
        Self { parts, map, predecessor: None, resting: false, publications: 0 }
    }

    fn listens_to(&self, kind: Kind) -> bool {
        self.parts.informers.iter().any(|(known, _)| *known == kind)
    }

    /// Publishes what changed, now or when the interval is over.
    fn publish(&mut self, context: &mut Context<Self>) {
        if self.resting || self.predecessor.is_some_and(|supplies| !self.map.supplies().cover(&supplies)) {
            return;
        }
        self.predecessor = None;
        if !self.map.take_changed() {
            return;
        }
        self.parts.published.publish(self.map.view());
        self.publications += 1;
        self.resting = true;
        context.run_later(PUBLISH_INTERVAL, |mapper, context| {
            mapper.resting = false;
            mapper.publish(context);
        });
    }
}

impl Actor for MetadataMapper {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        self.predecessor = Some(self.parts.published.reader().peek().supplies);
        self.publish(context);
        if self.predecessor.is_some() {
            context.run_later(RELEARN_LIMIT, |mapper, context| {
                if mapper.predecessor.take().is_some() {
                    warn!(supplies = ?mapper.map.supplies(), "informers did not tell everything again, showing what there is");
                    mapper.publish(context);
                }
            });
        }
        for (_, informer) in &self.parts.informers {
            informer.post(TellObjects);
        }
    }
}

supervised!(MetadataMapper);

impl Observed for MetadataMapper {
    fn observe(&self) -> serde_json::Value {
        let view = self.map.view();
        let (endpoints, pods) = self.map.object_counts();
        serde_json::json!({
            "supplies": view.supplies,
            "nodes": view.bundles().count(),
            "endpoints": endpoints,
            "pods": pods,
            "publications": self.publications,
        })
    }
}

impl Handler<ObjectsChanged> for MetadataMapper {
    type Result = ();

    fn handle(&mut self, change: ObjectsChanged, context: &mut Context<Self>) {
        if !self.listens_to(change.kind) {
            return;
        }
        if change.reset {
            self.map.replace(change.kind, &change.applied);
        } else {
            change.applied.iter().for_each(|object| self.map.apply(object));
        }
        change.gone.iter().for_each(|key| self.map.remove(change.kind, key));
        self.map.set_synced(change.kind, change.synced);
        self.publish(context);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::kube::objects::{EndpointAddress, KubeEndpoints, KubeNode, KubeObject, Meta, ObjectKey, Subset, TargetRef, Texts};
    use crate::domain::metadata_view::Supply;
    use crate::kernel::mailbox::Handle;
    use crate::kernel::published::Reader;
    use crate::kernel::universe::{self, Recorded, Universe};

    #[derive(Message)]
    #[rtype(result = "()")]
    struct Fail;

    impl Handler<Fail> for MetadataMapper {
        type Result = ();

        fn handle(&mut self, _: Fail, _: &mut Context<Self>) {
            panic!("asked to");
        }
    }

    fn meta(namespace: &str, name: &str) -> Meta {
        Meta {
            key: ObjectKey::new(namespace, name),
            uid: "u".into(),
            resource_version: "1".into(),
            labels: Texts::new(),
            annotations: Texts::new(),
            terminating: false,
        }
    }

    fn node(name: &str) -> KubeObject {
        KubeObject::Node(Arc::new(KubeNode { meta: meta("", name), ready: true, status: "{}".into() }))
    }

    fn service(name: &str, pod: &str) -> KubeObject {
        let target = TargetRef { kind: "Pod".into(), namespace: "default".into(), name: pod.into(), uid: "u".into() };
        let address = EndpointAddress { ip: "10.0.0.1".into(), node: "n1".into(), target: Some(target), ready: true, terminating: false };
        let subsets = vec![Subset { addresses: vec![address], ports: Vec::new() }];
        KubeObject::Endpoints(Arc::new(KubeEndpoints { meta: meta("default", name), service: name.into(), subsets }))
    }

    fn told(kind: Kind, reset: bool, applied: Vec<KubeObject>) -> ObjectsChanged {
        ObjectsChanged { kind, reset, applied, gone: Vec::new(), synced: true }
    }

    struct Rig {
        mapper: Handle<MetadataMapper>,
        view: Reader<MetadataView>,
        asked: [Recorded<TellObjects>; 2],
    }

    fn rig(universe: &Universe) -> Rig {
        let published = Arc::new(Publisher::new(MetadataView::default()));
        let view = published.reader();
        let (endpoints, asked_endpoints) = universe.recorder("endpoints");
        let (nodes, asked_nodes) = universe.recorder("nodes");
        let informers = vec![(Kind::Endpoints, endpoints), (Kind::Nodes, nodes)];
        let parts = MetadataMapperParts { published, informers, map_unready: false };
        let mapper = universe.start("MetadataMapper", move || MetadataMapper::new(parts.clone()));
        Rig { mapper, view, asked: [asked_endpoints, asked_nodes] }
    }

    impl Rig {
        fn services(&self, pod: &str) -> Vec<String> {
            let view = self.view.current();
            view.services_of("n1", "default", pod).map(|services| services.names().map(str::to_owned).collect()).unwrap_or_default()
        }
    }

    #[test]
    fn it_asks_its_informers_and_tells_what_is_synced() {
        universe::run(1, |universe| async move {
            let rig = rig(&universe);
            assert_eq!(rig.view.current().supplies, Supplies::default(), "before anything is known, everything is waited for");
            universe.settle().await;
            assert_eq!(rig.asked.each_ref().map(|asked| asked.take().len()), [1, 1]);
            let supplies = rig.view.current().supplies;
            assert_eq!((supplies.nodes, supplies.pods), (Supply::Listing, Supply::Unwatched));
            rig.mapper.post(told(Kind::Nodes, true, vec![node("n1")]));
            rig.mapper.post(told(Kind::EndpointSlices, true, vec![service("other", "p1")]));
            universe.advance(PUBLISH_INTERVAL).await;
            let view = rig.view.current();
            assert_eq!((view.supplies.nodes, view.supplies.endpoints), (Supply::Synced, Supply::Listing));
            assert!(view.node("n1").is_some());
            assert!(rig.services("p1").is_empty(), "it listens to endpoints, so slices are not for it");
        });
    }

    #[test]
    fn the_first_change_shows_at_once_and_a_burst_shows_together() {
        universe::run(1, |universe| async move {
            let rig = rig(&universe);
            universe.advance(PUBLISH_INTERVAL * 2).await;
            rig.mapper.post(told(Kind::Endpoints, true, vec![service("a", "p1")]));
            universe.settle().await;
            assert_eq!(rig.services("p1"), ["a"]);
            for name in ["b", "c", "d"] {
                rig.mapper.post(told(Kind::Endpoints, false, vec![service(name, "p1")]));
            }
            universe.settle().await;
            assert_eq!(rig.services("p1"), ["a"]);
            universe.advance(PUBLISH_INTERVAL).await;
            assert_eq!(rig.services("p1"), ["a", "b", "c", "d"]);
            let observed = rig.mapper.ask(crate::kernel::supervised::Observe, Duration::from_secs(1)).await.unwrap();
            assert_eq!(observed["publications"], 3, "the beginning, the first change, the burst");
        });
    }

    #[test]
    fn after_a_restart_the_old_view_stays_until_everything_is_known_again() {
        universe::run(1, |universe| async move {
            let rig = rig(&universe);
            rig.mapper.post(told(Kind::Nodes, true, vec![node("n1")]));
            rig.mapper.post(told(Kind::Endpoints, true, vec![service("a", "p1")]));
            universe.advance(PUBLISH_INTERVAL * 2).await;
            let before = rig.view.current();
            rig.asked.iter().for_each(|asked| drop(asked.take()));

            universe.expect_panics(1);
            rig.mapper.post(Fail);
            universe.advance(Duration::from_secs(1)).await;
            assert_eq!(rig.asked.each_ref().map(|asked| asked.take().len()), [1, 1], "the new one asks again");
            rig.mapper.post(told(Kind::Endpoints, true, vec![service("b", "p1")]));
            universe.advance(PUBLISH_INTERVAL * 2).await;
            assert_eq!(*rig.view.current(), *before);
            rig.mapper.post(told(Kind::Nodes, true, vec![node("n1")]));
            universe.advance(PUBLISH_INTERVAL * 2).await;
            assert_eq!(rig.services("p1"), ["b"]);

            universe.expect_panics(1);
            rig.mapper.post(Fail);
            universe.advance(Duration::from_secs(1)).await;
            rig.mapper.post(told(Kind::Nodes, true, vec![node("n2")]));
            universe.advance(RELEARN_LIMIT).await;
            let view = rig.view.current();
            assert!(view.node("n2").is_some() && view.supplies.endpoints == Supply::Listing, "one silent informer holds up no other");
        });
    }
}
