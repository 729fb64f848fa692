//! Decides which checks run here and when: diffs the sets of its sources, loads instances, gives each its turn.

mod exclusive;
mod grants;
mod secret_lookup;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext as _, Context, Handler, Message};
use serde_json::json;
use tracing::{info, warn};

use crate::domain::backoff::Backoff;
use crate::domain::buckets::{Buckets, bucket_count};
use crate::domain::check_options::{CheckOptions, OptionError};
use crate::domain::config::CheckConfig;
use crate::domain::digest::{check_ids, fast_digest};
use crate::domain::ids::{CheckId, Digest};
use crate::domain::provider_state::ConfigOrigin;
use crate::domain::run_stats::{CheckIdentity, LoadFailure};
use crate::domain::secrets::{self, Handles};
use crate::domain::spread::spread_of;
use crate::domain::yaml::{self, Value};
use crate::kernel::clock::Clock;
use crate::kernel::mailbox::Outlet;
use crate::kernel::rng::Random;
use crate::kernel::supervised::Observed;
use crate::messages::config_provider::ResendConfigs;
use crate::messages::run_stats::{CheckScheduled, ChecksUnscheduled, LoadFailures, NextRun, RetainChecks};
use crate::messages::scheduler::ApplyConfigs;
use crate::messages::worker_pool::{Install, RunDue, Uninstall};
use crate::node::scheduler::grants::{ConfigRef, Grants};
use crate::ports::{Check, CheckInstance, CheckLoader, LoadError, SecretBackend};
use crate::supervised;

/// Length of a bucket.
const TICK: Duration = Duration::from_secs(1);
/// Instances loaded in one turn of the actor, so that a big set does not hold up the ticks.
const LOADS_PER_TURN: usize = 16;
/// Time within which a new check runs first, if its interval is not shorter.
///
/// Source: node-runner 5, `muster.first_run_immediately`.
const FIRST_RUN_WITHIN: Duration = Duration::from_secs(2);

/// Settings of the [`Scheduler`].
#[derive(Debug, Clone)]
pub struct SchedulerPolicy {
    /// Whether a new check runs within two seconds instead of at its first turn (`muster.first_run_immediately`).
    pub first_run_immediately: bool,
    /// Share of a second, 0 to 1, over which the checks of one turn are spread at random (`muster.schedule_jitter`).
    pub jitter: f64,
    /// Version shown for checks that are part of the program.
    pub check_version: String,
}

impl Default for SchedulerPolicy {
    fn default() -> Self {
        Self { first_run_immediately: true, jitter: 0.0, check_version: String::new() }
    }
}

/// Whom the [`Scheduler`] tells.
#[derive(Debug, Clone)]
pub struct SchedulerLinks {
    /// Checks that may run.
    pub install: Outlet<Install>,
    /// Checks that may not.
    pub uninstall: Outlet<Uninstall>,
    /// Checks whose turn it is.
    pub due: Outlet<RunDue>,
    /// Checks that have a place.
    pub scheduled: Outlet<CheckScheduled>,
    /// Checks that lost theirs.
    pub unscheduled: Outlet<ChecksUnscheduled>,
    /// All checks that have a place, once after the start.
    pub retain: Outlet<RetainChecks>,
    /// Instances that cannot run here.
    pub failures: Outlet<LoadFailures>,
    /// When checks are due next.
    pub next_run: Outlet<NextRun>,
    /// Sources that are asked for their sets at the start.
    pub sources: Vec<Outlet<ResendConfigs>>,
}

/// Why a check runs here. Several configs may name the same check; it runs once, as long as one of them is left.
struct Claim {
    owners: BTreeSet<ConfigRef>,
    place: Place,
}

/// Bucket of a check: which ring, which index.
type Place = (Duration, usize);

struct Pending {
    owner: ConfigRef,
    instance: CheckInstance,
}

/// Owns the place of every check in time.
///
/// After a restart it asks its sources for their sets; the pool restarts with it.
pub struct Scheduler {
    policy: SchedulerPolicy,
    links: SchedulerLinks,
    loader: Arc<dyn CheckLoader>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    sets: BTreeMap<ConfigOrigin, BTreeMap<Digest, Arc<CheckConfig>>>,
    claims: HashMap<CheckId, Claim>,
    rings: BTreeMap<Duration, Buckets<CheckId>>,
    /// Instances that wait to be loaded, in the order in which they came.
    pending: VecDeque<Pending>,
    failures: BTreeMap<(ConfigRef, usize), LoadFailure>,
    forgot_others: bool,
    /// Replaces handles in received configs; without it they are left alone.
    secrets: Option<Arc<dyn SecretBackend>>,
    /// Configs for whose secrets it is being asked.
    looking_up: BTreeSet<ConfigRef>,
    grants: Grants,
}

/// Time to load some more instances.
#[derive(Message)]
#[rtype(result = "()")]
struct LoadMore;

impl Scheduler {
    /// Starts without configs.
    #[must_use]
    pub fn new(
        policy: SchedulerPolicy,
        links: SchedulerLinks,
        loader: Arc<dyn CheckLoader>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        Self {
            policy,
            links,
            loader,
            clock,
            random,
            sets: BTreeMap::new(),
            claims: HashMap::new(),
            rings: BTreeMap::new(),
            pending: VecDeque::new(),
            failures: BTreeMap::new(),
            forgot_others: false,
            secrets: None,
            looking_up: BTreeSet::new(),
            grants: Grants::default(),
        }
    }

    /// Replaces the handles of secrets in configs before they are loaded. Check ids stay those of the configs as received.
    ///
    /// Source: autodiscovery 8, node-runner 4; for servers that leave this to the nodes.
    #[must_use]
    pub fn with_secrets(mut self, secrets: Option<Arc<dyn SecretBackend>>) -> Self {
        self.secrets = secrets;
        self
    }

    fn apply(&mut self, apply: ApplyConfigs, context: &mut Context<Self>) {
        let ApplyConfigs { source, configs, grant, covers_new } = apply;
        self.grants.note(source, grant, covers_new);
        let next: BTreeMap<Digest, Arc<CheckConfig>> = configs.into_iter().map(|config| (fast_digest(&config), config)).collect();
        let before = self.sets.insert(source, next.clone()).unwrap_or_default();
        let removed: Vec<Digest> = before.keys().filter(|digest| !next.contains_key(digest)).copied().collect();
        let added: Vec<(Digest, Arc<CheckConfig>)> = next.into_iter().filter(|(digest, _)| !before.contains_key(digest)).collect();
        if removed.is_empty() && added.is_empty() {
            self.look_at_grants(context);
            return self.forget_others();
        }
        info!(source = source.name(), added = added.len(), removed = removed.len(), "configs applied");
        // Removals first: a changed config must not run twice.
        let removed = removed.into_iter().map(|digest| (source, digest)).collect();
        self.grants.removed(&removed);
        self.unschedule(&removed);
        let now = self.clock.monotonic();
        for (digest, config) in added {
            if is_runnable(&config) && self.grants.added((source, digest), &config, covers_new, now) {
                self.begin((source, digest), config, context);
            }
        }
        self.look_at_grants(context);
        context.notify(LoadMore);
    }

    /// Lets a config run here, as soon as its secrets are known.
    fn begin(&mut self, owner: ConfigRef, config: Arc<CheckConfig>, context: &mut Context<Self>) {
        let handles = if self.secrets.is_some() { secrets::handles(&config) } else { Handles::new() };
        if handles.is_empty() {
            self.queue(owner, &config, &config);
        } else {
            self.look_up(owner, config, handles, Backoff::default(), context);
        }
    }

    /// Lets the instances of a config wait to be loaded. `plain`: the config with secrets in place.
    fn queue(&mut self, owner: ConfigRef, received: &CheckConfig, plain: &Arc<CheckConfig>) {
        for (index, id) in check_ids(received).into_iter().enumerate() {
            self.pending.push_back(Pending { owner, instance: CheckInstance { config: Arc::clone(plain), index, id } });
        }
    }

    fn unschedule(&mut self, owners: &HashSet<ConfigRef>) {
        if owners.is_empty() {
            return;
        }
        self.pending.retain(|pending| !owners.contains(&pending.owner));
        self.failures.retain(|(owner, _), _| !owners.contains(owner));
        let mut gone = Vec::new();
        self.claims.retain(|id, claim| {
            claim.owners.retain(|owner| !owners.contains(owner));
            if claim.owners.is_empty() {
                gone.push((id.clone(), claim.place));
            }
            !claim.owners.is_empty()
        });
        gone.sort_unstable();
        for (id, (interval, bucket)) in &gone {
            if let Some(ring) = self.rings.get_mut(interval) {
                ring.remove(*bucket, id);
                if ring.is_empty() {
                    self.rings.remove(interval);
                }
            }
        }
        let ids: Vec<CheckId> = gone.into_iter().map(|(id, _)| id).collect();
        self.links.uninstall.post(Uninstall { ids: ids.clone() });
        self.links.unscheduled.post(ChecksUnscheduled { ids });
        self.report_failures();
    }

    fn load(&mut self, pending: Pending, context: &mut Context<Self>) {
        let Pending { owner, instance } = pending;
        if let Some(claim) = self.claims.get_mut(&instance.id) {
            claim.owners.insert(owner);
            return;
        }
        match load_instance(self.loader.as_ref(), &instance) {
            Ok((check, options)) => self.schedule(owner, &instance, check, options, context),
            Err(error) => {
                warn!(check = instance.config.name, instance = instance.index, %error, "instance cannot run here");
                let failure = failure(&instance.config, instance.index, error.to_string());
                self.failures.insert((owner, instance.index), failure);
                self.report_failures();
            }
        }
    }

    fn schedule(
        &mut self,
        owner: ConfigRef,
        instance: &CheckInstance,
        check: Box<dyn Check>,
        options: CheckOptions,
        context: &mut Context<Self>,
    ) {
        let CheckOptions { interval, .. } = options;
        let id = instance.id.clone();
        let identity = CheckIdentity {
            check_name: instance.config.name.clone(),
            check_id: id.as_str().to_owned(),
            check_version: self.policy.check_version.clone(),
            check_config_source: instance.config.source.clone(),
            check_loader: "core".to_owned(),
            interval,
        };
        let ring = self.rings.entry(interval).or_insert_with(|| Buckets::new(interval));
        let bucket = ring.insert(id.clone());
        let wait = TICK * u32::try_from(ring.ticks_until(bucket)).unwrap_or(u32::MAX);
        self.claims.insert(id.clone(), Claim { owners: BTreeSet::from([owner]), place: (interval, bucket) });
        self.links.install.post(Install { id: id.clone(), check, options });
        self.links.scheduled.post(CheckScheduled { id: id.clone(), identity });
        let first_wait = if self.policy.first_run_immediately {
            let soon = FIRST_RUN_WITHIN.min(interval).mul_f64(spread_of(id.as_str()));
            let ids = vec![id.clone()];
            context.run_later(soon, move |scheduler, _| scheduler.links.due.post(RunDue { ids }));
            soon
        } else {
            wait
        };
        self.links.next_run.post(NextRun { ids: vec![id], at: self.unix_seconds_in(first_wait) });
    }

    fn tick(&mut self, context: &mut Context<Self>) {
        // Before anything is due: a node that slept may have lost its grant.
        self.look_at_grants(context);
        for (interval, ring) in &mut self.rings {
            let ids = ring.tick().to_vec();
            if ids.is_empty() {
                continue;
            }
            let round = i64::try_from(bucket_count(*interval)).unwrap_or(i64::MAX);
            let at = self.clock.unix_seconds().saturating_add(round);
            self.links.next_run.post(NextRun { ids: ids.clone(), at });
            if self.policy.jitter > 0.0 {
                for id in ids {
                    let delay = TICK.mul_f64(self.policy.jitter.min(1.0) * self.random.unit());
                    context.run_later(delay, move |scheduler, _| scheduler.links.due.post(RunDue { ids: vec![id] }));
                }
            } else {
                self.links.due.post(RunDue { ids });
            }
        }
    }

    /// Once after the start, when all sources told their sets and all is loaded: statistics of other checks are from before.
    fn forget_others(&mut self) {
        let all_loaded = self.pending.is_empty() && self.looking_up.is_empty();
        if !self.forgot_others && all_loaded && self.sets.len() == self.links.sources.len() {
            self.forgot_others = true;
            self.links.retain.post(RetainChecks { ids: self.claims.keys().cloned().collect() });
        }
    }

    fn report_failures(&self) {
        self.links.failures.post(LoadFailures { failures: self.failures.values().cloned().collect() });
    }

    fn unix_seconds_in(&self, wait: Duration) -> i64 {
        self.clock.unix_seconds().saturating_add(i64::try_from(wait.as_secs()).unwrap_or(i64::MAX))
    }
}

impl Actor for Scheduler {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.run_interval(TICK, Self::tick);
        for source in &self.links.sources {
            source.post(ResendConfigs);
        }
    }
}

impl Observed for Scheduler {
    fn observe(&self) -> serde_json::Value {
        let configs: BTreeMap<&str, usize> = self.sets.iter().map(|(source, set)| (source.name(), set.len())).collect();
        let waiting_for_service = self.sets.values().flat_map(BTreeMap::values).filter(|config| config.is_template()).count();
        json!({
            "configs": configs,
            "checks": self.claims.len(),
            "loading": self.pending.len(),
            "load_failures": self.failures.len(),
            "waiting_for_secrets": self.looking_up.len(),
            "waiting_for_service": waiting_for_service,
            "stopped_without_grant": self.grants.stopped_count(),
        })
    }
}

supervised!(Scheduler);

impl Handler<ApplyConfigs> for Scheduler {
    type Result = ();

    fn handle(&mut self, apply: ApplyConfigs, context: &mut Context<Self>) {
        self.apply(apply, context);
    }
}

impl Handler<LoadMore> for Scheduler {
    type Result = ();

    fn handle(&mut self, _: LoadMore, context: &mut Context<Self>) {
        for _ in 0..LOADS_PER_TURN {
            let Some(pending) = self.pending.pop_front() else { return self.forget_others() };
            self.load(pending, context);
        }
        context.notify(LoadMore);
    }
}

/// Whether an agent runs it. Templates wait for their service; one that is still for the dispatcher is never run.
///
/// Source: autodiscovery 12.1 and 12.3, cluster-checks 4.4.
fn is_runnable(config: &CheckConfig) -> bool {
    config.is_resolved_check() && !config.metrics_excluded
}

fn failure(config: &CheckConfig, instance: usize, error: String) -> LoadFailure {
    LoadFailure { check_name: config.name.clone(), config_source: config.source.clone(), instance, error }
}

fn load_instance(loader: &dyn CheckLoader, instance: &CheckInstance) -> Result<(Box<dyn Check>, CheckOptions), LoadError> {
    let unreadable = |text: String| LoadError::Unreadable { index: instance.index, text };
    let text = instance.config.instances.get(instance.index).map(|data| data.text()).unwrap_or_default();
    let keys = yaml::parse(&text).map_err(|error| unreadable(error.to_string()))?;
    let init_config = match &instance.config.init_config {
        Some(data) => yaml::parse(&data.text()).map_err(|error| unreadable(format!("init_config: {error}")))?,
        None => Value::Null,
    };
    let options = CheckOptions::read(&keys, &init_config).map_err(|error| {
        let OptionError { key, found, allowed } = error;
        LoadError::Option { key, found, allowed }
    })?;
    Ok((loader.load(instance)?, options))
}
