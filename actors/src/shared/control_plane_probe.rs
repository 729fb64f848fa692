//! Asks how the control plane is while this replica leads.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

use crate::domain::kube::apiserver_check::ApiserverCheckOptions;
use crate::domain::kube::control_plane::{api_resource_gauges, quota_gauges, readiness, service_checks, storage_gauges};
use crate::domain::kube::version::ServerVersion;
use crate::domain::lease::Leadership;
use crate::domain::samples::{Batch, CheckRun};
use crate::kernel::clock::Clock;
use crate::kernel::mailbox::Outlet;
use crate::kernel::published::{Publisher, Reader};
use crate::kernel::supervised::Observed;
use crate::messages::aggregator::Commit;
use crate::messages::dispatcher::{ConfigsDiscovered, DiscoveryStarted, DiscoverySynced};
use crate::messages::event_forwarder::{ComponentVerdict, ControlPlaneProbeStats, Duty};
use crate::messages::resolver::ReplayDiscovery;
use crate::ports::{ClusterReadError, ControlPlane};
use crate::shared::apiserver_configs::ApiserverConfigs;
use crate::shared::complaints::{Complaints, Report};
use crate::supervised;

/// Time between two looks at who leads and whether a run is due.
const LOOK: Duration = Duration::from_secs(1);

/// What is done, in complaints.
const COMPONENTS: &str = "read the component statuses";
const READY: [(&str, &str); 2] = [("ask whether the API server is ready", "/readyz"), ("ask whether etcd is ready", "/readyz/etcd")];
const RESOURCES: &str = "list the API resources";
const STORAGE: &str = "read the metrics of the API server";
const QUOTAS: &str = "read the quotas of OpenShift";

/// What a [`ControlPlaneProbe`] needs.
#[derive(Clone)]
pub struct ControlPlaneProbeParts {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Whether this replica leads; else it asks nothing.
    pub leadership: Reader<Leadership>,
    /// The control plane.
    pub control_plane: Arc<dyn ControlPlane>,
    /// Version of the API server, if it told.
    pub server_version: Option<ServerVersion>,
    /// Who takes service checks and gauges.
    pub aggregator: Outlet<Commit>,
    /// Who knows the configs of the check; asked at the start. `None` = whoever knows them tells them again and again.
    pub replay: Option<Outlet<ReplayDiscovery>>,
    /// Options without a config of the check, and of what a config does not say.
    pub defaults: ApiserverCheckOptions,
    /// Host of everything: that of this agent.
    pub hostname: String,
    /// Where everybody reads what was learned; outlives the actor.
    pub published: Arc<Publisher<ControlPlaneProbeStats>>,
}

/// Owns what is known of the control plane. On every replica of the cluster role, where it acts on the one that leads; on a node that runs
/// the check `kubernetes_apiserver` with `skip_leader_election`. What fails never stops the rest.
///
/// Why also without a config of the check and with `collect_kubernetes_events` off: stock's image brings
/// `kubernetes_apiserver.d/conf.yaml.default`, so its check runs on every leader, and that option is only about step 6 of a run
/// (cluster-agent-kubernetes 3.2). Monitors of the control plane must not fall silent with a change of the program.
///
/// Needs nothing after a restart. Source: cluster-agent-kubernetes 3.8, 3.9.
pub struct ControlPlaneProbe {
    parts: ControlPlaneProbeParts,
    configs: ApiserverConfigs,
    /// Monotonic.
    started_at: Duration,
    /// When the last run began. Monotonic; `None` before the first one as leader.
    began_at: Option<Duration>,
    run: Option<SpawnHandle>,
    complaints: Complaints,
    stats: ControlPlaneProbeStats,
}

/// What one run learned.
struct Learned {
    batch: Batch,
    openshift: Option<bool>,
    reports: Vec<Report>,
}

impl ControlPlaneProbe {
    /// A probe that has not asked anything yet.
    #[must_use]
    pub fn new(parts: ControlPlaneProbeParts) -> Self {
        let before = parts.published.reader().current();
        Self {
            configs: ApiserverConfigs::new(parts.defaults.clone()),
            started_at: parts.clock.monotonic(),
            stats: ControlPlaneProbeStats { runs: before.runs, ..ControlPlaneProbeStats::default() },
            parts,
            began_at: None,
            run: None,
            complaints: Complaints::default(),
        }
    }

    fn look(&mut self, context: &mut Context<Self>) {
        if self.configs.are_dispatched() {
            return self.rest(Duty::Dispatched, context);
        }
        let now = self.parts.clock.monotonic();
        let acts = self.configs.acting_in(&self.parts.leadership.peek(), now).is_some();
        if !acts || !self.configs.are_known(now.saturating_sub(self.started_at)) {
            return self.rest(Duty::Standby, context);
        }
        self.stats.duty = Duty::Active;
        let due = self.began_at.is_none_or(|at| now.saturating_sub(at) >= self.configs.options().interval);
        if due && self.run.is_none() {
            self.began_at = Some(now);
            let options = Arc::clone(self.configs.options());
            let hostname = options.host(&self.parts.hostname).to_owned();
            let learned = learn(self.parts.clone(), options).into_actor(self);
            self.run = Some(context.spawn(learned.map(move |learned, probe, _| probe.end(learned, &hostname))));
        }
    }

    fn act_on_configs(&mut self, context: &mut Context<Self>) {
        self.look(context);
        if self.stats.config_remarks != self.configs.remarks() {
            self.publish();
        }
    }

    fn rest(&mut self, duty: Duty, context: &mut Context<Self>) {
        if let Some(run) = self.run.take() {
            context.cancel_future(run);
        }
        self.began_at = None;
        if self.stats.duty != duty {
            // What somebody else asks now is not shown here.
            self.stats = ControlPlaneProbeStats { duty, runs: self.stats.runs, ..ControlPlaneProbeStats::default() };
            self.complaints.clear();
            self.publish();
        }
    }

    fn end(&mut self, learned: Learned, hostname: &str) {
        self.run = None;
        let Learned { mut batch, openshift, reports } = learned;
        for report in reports {
            self.complaints.note(report);
        }
        self.stats.runs += 1;
        self.stats.ended_at = Some(self.parts.clock.unix_seconds());
        self.stats.openshift = openshift.or(self.stats.openshift);
        self.stats.components = batch.check_runs.iter().map(verdict).collect();
        self.stats.series = batch.series.len() as u64;
        self.publish();
        let hosts = batch.check_runs.iter_mut().map(|run| &mut run.host).chain(batch.series.iter_mut().map(|series| &mut series.host));
        hosts.filter(|host| host.is_empty()).for_each(|host| hostname.clone_into(host));
        if !batch.is_empty() {
            self.parts.aggregator.post(Commit { batch });
        }
    }

    fn publish(&mut self) {
        self.stats.complaints.clone_from(self.complaints.current());
        self.stats.config_remarks = self.configs.remarks().to_vec();
        self.parts.published.publish(self.stats.clone());
    }
}

fn verdict(run: &CheckRun) -> ComponentVerdict {
    ComponentVerdict { check: run.name.clone(), status: run.status, message: run.message.clone(), tags: run.tags.clone() }
}

/// Asks for everything, one after the other: nobody waits for it, and the API server has other work.
async fn learn(parts: ControlPlaneProbeParts, options: Arc<ApiserverCheckOptions>) -> Learned {
    let ControlPlaneProbeParts { clock, control_plane, server_version, .. } = parts;
    let (plane, now, tags) = (&*control_plane, clock.unix_seconds(), options.tags.as_slice());
    let mut learned = Learned { batch: Batch::default(), openshift: None, reports: Vec::new() };

    let by_status = options.use_component_status || server_version.is_some_and(|version| version.has_component_status());
    if !(by_status && components(plane, now, tags, &mut learned).await) {
        ready(plane, now, tags, &mut learned).await;
    }
    if options.openshift_quotas
        && let Some(quotas) = learned.take(QUOTAS, plane.quotas().await)
    {
        learned.openshift = Some(quotas.is_some());
        learned.batch.series.extend(quota_gauges(&quotas.unwrap_or_default(), now, tags));
    }
    if let Some(resources) = learned.take(RESOURCES, plane.api_resources().await) {
        learned.batch.series.extend(api_resource_gauges(&resources, now, tags));
    }
    if let Some(objects) = learned.take(STORAGE, plane.storage_objects().await) {
        learned.batch.series.extend(storage_gauges(&objects, now, tags));
    }
    learned
}

/// Asks for the component statuses. Returns whether this API server has them at all.
async fn components(plane: &dyn ControlPlane, now: i64, tags: &[String], learned: &mut Learned) -> bool {
    let answer = plane.components().await;
    if let Err(ClusterReadError::NotFound(_)) = answer {
        learned.reports.push((COMPONENTS, None));
        return false;
    }
    if let Some(components) = learned.take(COMPONENTS, answer) {
        let verdicts = service_checks(&components, now, tags);
        learned.batch.check_runs.extend(verdicts.checks);
        learned.batch.series.extend(verdicts.series);
        if verdicts.remark.is_some() {
            learned.reports.push((COMPONENTS, verdicts.remark));
        }
    }
    true
}

/// Asks `/readyz`. An API server that does not answer is not ready; what nobody may ask is left out.
async fn ready(plane: &dyn ControlPlane, now: i64, tags: &[String], learned: &mut Learned) {
    let mut answers = Vec::new();
    for (what, path) in READY {
        let answer = plane.ready(path).await;
        let silent = matches!(answer, Err(ClusterReadError::Unavailable(_)));
        answers.push(learned.take(what, answer).or(silent.then_some(false)));
    }
    let ready = |position: usize| answers.get(position).copied().flatten();
    let told = readiness(ready(0) == Some(true), ready(1) == Some(true), now, tags);
    learned.batch.check_runs.extend(told.into_iter().zip(&answers).filter(|(_, answer)| answer.is_some()).map(|(run, _)| run));
}

impl Learned {
    /// What an answer holds; an error is only remarked.
    fn take<T>(&mut self, what: &'static str, answer: Result<T, ClusterReadError>) -> Option<T> {
        let (value, problem) = match answer {
            Ok(value) => (Some(value), None),
            Err(error) => (None, Some(error.to_string())),
        };
        self.reports.push((what, problem));
        value
    }
}

impl Actor for ControlPlaneProbe {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        if let Some(replay) = &self.parts.replay {
            replay.post(ReplayDiscovery);
        }
        self.publish();
        context.run_interval(LOOK, Self::look);
    }
}

supervised!(ControlPlaneProbe);

impl Observed for ControlPlaneProbe {
    fn observe(&self) -> serde_json::Value {
        serde_json::json!({ "asking": self.run.is_some(), "stats": self.stats })
    }
}

impl Handler<DiscoveryStarted> for ControlPlaneProbe {
    type Result = ();

    fn handle(&mut self, _: DiscoveryStarted, _: &mut Context<Self>) {
        self.configs.restart();
    }
}

impl Handler<ConfigsDiscovered> for ControlPlaneProbe {
    type Result = ();

    fn handle(&mut self, discovered: ConfigsDiscovered, context: &mut Context<Self>) {
        self.configs.change(discovered);
        self.act_on_configs(context);
    }
}

impl Handler<DiscoverySynced> for ControlPlaneProbe {
    type Result = ();

    fn handle(&mut self, _: DiscoverySynced, context: &mut Context<Self>) {
        self.configs.synced();
        self.act_on_configs(context);
    }
}
