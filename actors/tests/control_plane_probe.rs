//! The probe of the control plane on a made-up one, in virtual time.

#![expect(clippy::unwrap_used, reason = "tests panic")]

use std::sync::Arc;
use std::time::Duration;

use muster_actors::domain::config::{CheckConfig, Data};
use muster_actors::domain::ids::Epoch;
use muster_actors::domain::kube::apiserver_check::ApiserverCheckOptions;
use muster_actors::domain::kube::control_plane::{ApiResource, ComponentCondition, ComponentStatus, QuotaUse, StorageObjects};
use muster_actors::domain::kube::version::ServerVersion;
use muster_actors::domain::lease::{Leadership, Role};
use muster_actors::domain::samples::{Batch, ServiceStatus};
use muster_actors::kernel::mailbox::Handle;
use muster_actors::kernel::published::{Publisher, Reader};
use muster_actors::kernel::universe::{self, Recorded, Universe};
use muster_actors::messages::aggregator::Commit;
use muster_actors::messages::dispatcher::{ConfigsDiscovered, DiscoverySynced};
use muster_actors::messages::event_forwarder::{ControlPlaneProbeStats, Duty};
use muster_actors::ports::ClusterReadError;
use muster_actors::shared::control_plane_probe::{ControlPlaneProbe, ControlPlaneProbeParts};
use muster_actors::testing::control_plane::FakeControlPlane;

struct Rig {
    universe: Universe,
    leadership: Publisher<Leadership>,
    plane: FakeControlPlane,
    commits: Recorded<Commit>,
    stats: Reader<ControlPlaneProbeStats>,
    probe: Handle<ControlPlaneProbe>,
}

impl Rig {
    fn new(universe: &Universe, version: &str, instance: &str) -> Self {
        let (leadership, plane) = (Publisher::new(Leadership::default()), FakeControlPlane::default());
        let (aggregator, commits) = universe.recorder("aggregator");
        let published = Arc::new(Publisher::new(ControlPlaneProbeStats::default()));
        let stats = published.reader();
        let parts = ControlPlaneProbeParts {
            clock: universe.clock(),
            leadership: leadership.reader(),
            control_plane: Arc::new(plane.clone()),
            server_version: ServerVersion::parse(version),
            aggregator,
            replay: Some(universe.recorder("resolver").0),
            defaults: ApiserverCheckOptions::default(),
            hostname: "dca-host".to_owned(),
            published,
        };
        let probe = universe.start("ControlPlaneProbe", move || ControlPlaneProbe::new(parts.clone()));
        let config =
            CheckConfig { name: "kubernetes_apiserver".to_owned(), instances: vec![Data::from(instance)], ..CheckConfig::default() };
        probe.tell(ConfigsDiscovered { added: vec![Arc::new(config)], removed: Vec::new() }).unwrap();
        probe.tell(DiscoverySynced::default()).unwrap();
        Self { universe: universe.clone(), leadership, plane, commits, stats, probe }
    }

    fn lead(&self, epoch: u64) {
        self.leadership.publish(Leadership { role: Role::Leader, epoch: Epoch(epoch), ..Leadership::default() });
    }

    async fn advance(&self, seconds: u64) {
        self.universe.advance(Duration::from_secs(seconds)).await;
        self.universe.settle().await;
    }

    fn batches(&self) -> Vec<Batch> {
        self.commits.take().into_iter().map(|commit| commit.batch).collect()
    }
}

fn component(name: &str, status: &str) -> ComponentStatus {
    let condition = ComponentCondition {
        condition_type: "Healthy".to_owned(),
        status: status.to_owned(),
        message: "m".to_owned(),
        ..ComponentCondition::default()
    };
    ComponentStatus { name: name.to_owned(), conditions: vec![condition] }
}

fn components_of(batch: &Batch) -> Vec<(&str, ServiceStatus)> {
    batch.check_runs.iter().map(|run| (run.tags.iter().find_map(|tag| tag.strip_prefix("component:")).unwrap(), run.status)).collect()
}

#[test]
fn ca_c6_a_replica_that_does_not_lead_asks_nothing_and_complains_of_nothing() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, "v1.33.0", "{}");
        rig.advance(120).await;
        assert_eq!((rig.plane.take_calls().len(), rig.batches().len()), (0, 0));
        assert_eq!(*rig.stats.current(), ControlPlaneProbeStats::default());
        rig.lead(1);
        rig.advance(20).await;
        assert_eq!((rig.stats.current().runs, rig.stats.current().duty), (2, Duty::Active));
        rig.leadership.publish(Leadership { role: Role::Follower, epoch: Epoch(2), ..Leadership::default() });
        let _ = rig.plane.take_calls();
        rig.advance(60).await;
        assert_eq!((rig.plane.take_calls().len(), rig.stats.current().duty), (0, Duty::Standby));
    });
}

#[test]
fn component_statuses_become_service_checks_and_gauges_of_this_host() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, "v1.36.0", "{tags: ['env:test']}");
        rig.plane.answer(|plane| plane.components = Ok(vec![component("etcd-0", "True"), component("scheduler", "False")]));
        rig.lead(1);
        rig.advance(1).await;
        let batches = rig.batches();
        assert_eq!(components_of(&batches[0]), [("etcd-0", ServiceStatus::Ok), ("scheduler", ServiceStatus::Critical)]);
        assert!(batches[0].check_runs.iter().all(|run| run.host == "dca-host" && run.tags.contains(&"env:test".to_owned())));
        let gauges: Vec<(&str, &str, f64)> =
            batches[0].series.iter().map(|gauge| (gauge.name.as_str(), gauge.host.as_str(), gauge.points[0].1)).collect();
        assert_eq!(
            gauges,
            [
                ("datadog.cluster_agent.etcd-0.component_status", "dca-host", 1.0),
                ("datadog.cluster_agent.scheduler.component_status", "dca-host", 0.0)
            ]
        );
        assert_eq!(rig.stats.current().components.len(), 2);
        rig.advance(30).await;
        assert_eq!(rig.batches().len(), 2, "one in 15 seconds");
    });
}

#[test]
fn ca_c4_an_item_without_a_name_is_a_remark_and_the_run_goes_on() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, "v1.33.0", "{}");
        rig.plane.answer(|plane| {
            plane.components = Ok(vec![component("etcd-0", "True"), component("", "True"), component("scheduler", "True")]);
            plane.storage_objects = Ok(vec![StorageObjects { resource: "pods".to_owned(), count: 7.0 }]);
        });
        rig.lead(1);
        rig.advance(1).await;
        let batches = rig.batches();
        assert_eq!(components_of(&batches[0]), [("etcd-0", ServiceStatus::Ok)]);
        assert!(batches[0].series.iter().any(|series| series.name == "kube_apiserver.storage_objects"));
        let remark = rig.stats.current().complaints["read the component statuses"].clone();
        assert_eq!(remark, "metadata structure has changed. Not collecting API Server's Components status");
    });
}

#[test]
fn from_1_35_on_readyz_is_asked_if_component_statuses_are_not_wanted() {
    universe::run(1, |universe| async move {
        let new = Rig::new(&universe, "v1.35.0", "{use_component_status: false}");
        new.plane.answer(|plane| plane.ready = [("/readyz", Ok(true)), ("/readyz/etcd", Ok(false))].into());
        new.lead(1);
        new.advance(1).await;
        assert_eq!(new.plane.take_calls(), ["/readyz", "/readyz/etcd", "quotas", "api resources", "storage objects"]);
        let batch = &new.batches()[0];
        assert_eq!(components_of(batch), [("apiserver", ServiceStatus::Ok), ("etcd", ServiceStatus::Critical)]);
        assert_eq!(batch.check_runs[1].message, "etcd not ready");
    });
    universe::run(2, |universe| async move {
        let old = Rig::new(&universe, "v1.34.9", "{use_component_status: false, collect_openshift_clusterquotas: false}");
        old.lead(1);
        old.advance(1).await;
        assert_eq!(old.plane.take_calls(), ["components", "api resources", "storage objects"]);
    });
}

#[test]
fn readyz_is_asked_where_component_statuses_are_gone() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, "v1.40.0", "{}");
        rig.plane.answer(|plane| {
            plane.components = Err(ClusterReadError::NotFound("componentstatuses".to_owned()));
            plane.ready = [
                ("/readyz", Err(ClusterReadError::Unavailable("connection refused".to_owned()))),
                ("/readyz/etcd", Err(ClusterReadError::Forbidden("get /readyz/etcd".to_owned()))),
            ]
            .into();
        });
        rig.lead(1);
        rig.advance(1).await;
        assert_eq!(components_of(&rig.batches()[0]), [("apiserver", ServiceStatus::Critical)], "what nobody may ask is not known");
        let complaints = rig.stats.current().complaints.clone();
        assert_eq!(complaints["ask whether the API server is ready"], "connection refused");
        assert_eq!(complaints["ask whether etcd is ready"], "not allowed: get /readyz/etcd");
        assert_eq!(complaints.len(), 2);
    });
}

#[test]
fn whatever_fails_is_remarked_and_the_rest_is_sent() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, "v1.33.0", "{}");
        let refused = || ClusterReadError::Forbidden("x".to_owned());
        rig.plane.answer(|plane| {
            plane.components = Err(refused());
            plane.quotas = Err(refused());
            plane.storage_objects = Err(refused());
            let deployments =
                ApiResource { name: "deployments".into(), kind: "Deployment".into(), group: "apps".into(), version: "v1".into() };
            plane.api_resources = Ok(vec![deployments]);
        });
        rig.lead(1);
        rig.advance(1).await;
        let batch = &rig.batches()[0];
        assert_eq!((batch.check_runs.len(), batch.series.len(), batch.series[0].name.as_str()), (0, 1, "kube_apiserver.api_resource"));
        assert_eq!((rig.stats.current().complaints.len(), rig.stats.current().openshift), (3, None));
        rig.plane.answer(|plane| {
            plane.components = Ok(Vec::new());
            plane.storage_objects = Ok(Vec::new());
            let quota = QuotaUse { quota: "q".into(), namespace: None, resource: "cpu".into(), limit: 4.0, used: 1.0 };
            plane.quotas = Ok(Some(vec![quota]));
        });
        rig.advance(15).await;
        assert_eq!((rig.stats.current().complaints.len(), rig.stats.current().openshift), (0, Some(true)));
        assert!(rig.batches()[0].series.iter().any(|series| series.name == "openshift.clusterquota.cpu.limit"));
    });
}

#[test]
fn a_probe_that_crashes_goes_on() {
    universe::run(1, |universe| async move {
        let rig = Rig::new(&universe, "v1.33.0", "{}");
        rig.lead(1);
        rig.advance(1).await;
        universe.expect_panics(1);
        assert!(universe.kernel().crash("ControlPlaneProbe"));
        rig.advance(1).await;
        rig.probe.tell(DiscoverySynced::default()).unwrap();
        rig.advance(16).await;
        assert_eq!(rig.stats.current().runs, 3);
    });
}
