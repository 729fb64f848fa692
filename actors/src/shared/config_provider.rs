//! Polls the cluster agent for the configs of this node and keeps them through its outages.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt as _, AsyncContext as _, Context, Handler, WrapFuture as _};
use serde::Serialize;
use serde_json::json;
use tracing::{info, warn};

use crate::domain::provider_state::{
    Asked, CollectAnswer, ConfigOrigin, ConfigSource, ProviderPolicy, ProviderState, StatusAnswer, Verdict,
};
use crate::kernel::clock::Clock;
use crate::kernel::health::HealthFlag;
use crate::kernel::mailbox::Outlet;
use crate::kernel::published::Publisher;
use crate::kernel::supervised::Observed;
use crate::messages::config_provider::ResendConfigs;
use crate::messages::scheduler::{ApplyConfigs, RenewGrant};
use crate::ports::{ClusterAgentClient, ClusterAgentError, FetchedConfigs, StatusReply};
use crate::supervised;

/// Limit of a status post. Source: cluster-agent-kubernetes 1.4.
const STATUS_DEADLINE: Duration = Duration::from_secs(10);
/// Limit of an extra heartbeat. Source: cluster-checks 9.1.
const HEARTBEAT_DEADLINE: Duration = Duration::from_secs(5);
/// Time between two looks at whether an extra heartbeat is due.
const HEARTBEAT_TICK: Duration = Duration::from_secs(1);
/// `last_change` of an extra heartbeat.
const HEARTBEAT_CHANGE: i64 = -1;
/// Time between two warnings while polls keep failing. Why: the reason changes with every attempt, the news does not.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);
/// Limit of one call whatever the client does, so that a hung one cannot end the polling.
const CALL_LIMIT: Duration = Duration::from_secs(20);

/// State of a provider for status output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ProviderView {
    /// `cluster-checks` or `endpoints-checks`.
    pub source: &'static str,
    /// Whether the first poll is over.
    pub polled_once: bool,
    /// Whether the cluster agent answered within the grace period.
    pub in_contact: bool,
    /// Version of the set.
    pub last_change: i64,
    /// Configs that are to run.
    pub configs: usize,
    /// Whether everything was dropped, because there was no usable answer for too long, and none came since.
    pub dropped: bool,
    /// Polls that ended.
    pub polls: u64,
    /// Polls whose last call failed.
    pub failed_polls: u64,
    /// When the last poll ended. Units: seconds since the Unix epoch.
    pub last_poll: Option<i64>,
    /// When the cluster agent last gave a usable answer. Units: seconds since the Unix epoch.
    pub last_success: Option<i64>,
    /// Why the last call failed, `None` when it did not.
    pub last_error: Option<String>,
}

impl ProviderView {
    /// What there is to say about it in a word or two.
    #[must_use]
    pub fn condition(&self) -> &'static str {
        match (self.polled_once, self.dropped, self.in_contact) {
            (false, _, _) => "waiting for the first answer",
            (true, true, _) => "degraded, all configs dropped",
            (true, false, false) => "degraded, running the last known configs",
            (true, false, true) if self.last_error.is_some() => "in contact, last call failed",
            (true, false, true) => "in contact",
        }
    }
}

/// Whom the [`ConfigProvider`] asks and tells.
#[derive(Clone)]
pub struct ProviderLinks {
    /// The cluster agent.
    pub client: Arc<dyn ClusterAgentClient>,
    /// Who runs the configs.
    pub scheduler: Outlet<ApplyConfigs>,
    /// The same, for what runs at most once.
    pub grants: Outlet<RenewGrant>,
    /// Where the state is shown.
    pub view: Arc<Publisher<ProviderView>>,
    /// Set when the first poll is over.
    pub ready: HealthFlag,
}

/// Owns the set of configs of one source.
///
/// After a restart it knows nothing until its first poll; the scheduler keeps the set meanwhile.
pub struct ConfigProvider {
    state: ProviderState,
    /// Name under which this node polls, or the Kubernetes node for endpoint checks.
    identity: String,
    links: ProviderLinks,
    clock: Arc<dyn Clock>,
    polling: bool,
    beating: bool,
    /// Whether the scheduler has not been told about the set yet.
    unsent: bool,
    last_error: Option<String>,
    /// When a failing poll was last worth a warning.
    last_warning: Duration,
    /// What is shown about the polls so far; they go on in the next incarnation.
    polls: PollCounts,
}

/// Polls so far.
#[derive(Clone, Copy)]
struct PollCounts {
    ended: u64,
    failed: u64,
    last: Option<i64>,
    last_success: Option<i64>,
}

impl ConfigProvider {
    /// Starts without configs. `identity` is the Kubernetes node for endpoint checks, the polling name otherwise.
    #[must_use]
    pub fn new(source: ConfigSource, policy: ProviderPolicy, identity: String, links: ProviderLinks, clock: Arc<dyn Clock>) -> Self {
        let state = ProviderState::new(source, policy);
        let shown = links.view.reader().current();
        let polls = PollCounts { ended: shown.polls, failed: shown.failed_polls, last: shown.last_poll, last_success: shown.last_success };
        Self {
            state,
            identity,
            links,
            clock,
            polling: false,
            beating: false,
            unsent: false,
            last_error: None,
            last_warning: Duration::ZERO,
            polls,
        }
    }

    fn poll(&mut self, context: &mut Context<Self>) {
        if self.polling {
            return;
        }
        self.polling = true;
        if self.state.posts_status() {
            // A version that is posted counts as confirmed: the scheduler has to know it before.
            let last_change = if self.unsent { HEARTBEAT_CHANGE } else { self.state.last_change() };
            let asked = Asked { last_change, at: self.clock.monotonic() };
            let post = self.links.client.post_status(last_change, STATUS_DEADLINE);
            let post = async move { tokio::time::timeout(CALL_LIMIT, post).await.unwrap_or_else(|_| Err(no_answer())) };
            context.spawn(post.into_actor(self).map(move |answer, provider, context| provider.on_status(asked, answer, context)));
        } else {
            self.collect(context);
        }
    }

    fn on_status(&mut self, asked: Asked, answer: Result<StatusReply, ClusterAgentError>, context: &mut Context<Self>) {
        let answer = match answer {
            Ok(StatusReply { up_to_date, grant }) => {
                if let Some(grant) = self.state.on_grant(asked, up_to_date, grant) {
                    // Lost, it is repeated with the next poll.
                    self.links.grants.post(RenewGrant { source: self.state.source(), grant });
                }
                if up_to_date { StatusAnswer::UpToDate } else { StatusAnswer::Outdated }
            }
            Err(error) => {
                self.note_error(error);
                StatusAnswer::Failed
            }
        };
        if self.state.on_status(self.clock.monotonic(), answer) {
            self.collect(context);
        } else {
            // A poll that goes on to fetch is judged by that: a warming server answers the first half only.
            if answer != StatusAnswer::Failed {
                self.note_success();
            }
            self.state.on_no_collect();
            self.end_poll();
        }
    }

    fn collect(&mut self, context: &mut Context<Self>) {
        let fetch = match self.state.source() {
            ConfigSource::ClusterChecks => self.links.client.fetch_configs(),
            ConfigSource::EndpointChecks => self.links.client.fetch_endpoint_configs(&self.identity),
        };
        let fetch = async move { tokio::time::timeout(CALL_LIMIT, fetch).await.unwrap_or_else(|_| Err(no_answer())) };
        context.spawn(fetch.into_actor(self).map(|answer, provider, _| provider.on_collect(answer)));
    }

    fn on_collect(&mut self, answer: Result<FetchedConfigs, ClusterAgentError>) {
        let answer = match answer {
            Ok(FetchedConfigs { last_change, configs }) => {
                self.note_success();
                CollectAnswer::Configs { last_change, configs }
            }
            Err(error) => {
                let unreadable = matches!(error, ClusterAgentError::Unexpected(_));
                self.note_error(error);
                if unreadable { CollectAnswer::Unreadable } else { CollectAnswer::Unavailable }
            }
        };
        match self.state.on_collect(self.clock.monotonic(), answer) {
            Verdict::Keep => {}
            Verdict::Replace => self.send(),
            Verdict::Drop => {
                warn!(source = self.state.source().name(), "all configs dropped");
                self.send();
            }
        }
        self.end_poll();
    }

    fn end_poll(&mut self) {
        self.polling = false;
        self.polls.ended += 1;
        self.polls.failed += u64::from(self.last_error.is_some());
        self.polls.last = Some(self.clock.unix_seconds());
        self.links.ready.set(true);
        self.show();
    }

    /// Tells the scheduler what is to run; if it cannot be told now, the next tick tries again.
    fn send(&mut self) {
        let configs = self.state.configs().to_vec();
        let (source, grant) = (ConfigOrigin::Polled(self.state.source()), self.state.grant());
        let covers_new = self.state.grant_covers_new();
        self.unsent = self.links.scheduler.tell(ApplyConfigs { source, configs, grant, covers_new }).is_err();
    }

    fn tick(&mut self, context: &mut Context<Self>) {
        if self.unsent {
            self.send();
        }
        if self.beating || !self.state.heartbeat_due(self.clock.monotonic()) {
            return;
        }
        self.beating = true;
        let beat = self.links.client.post_status(HEARTBEAT_CHANGE, HEARTBEAT_DEADLINE);
        let beat = async move { tokio::time::timeout(CALL_LIMIT, beat).await.unwrap_or_else(|_| Err(no_answer())) };
        context.spawn(beat.into_actor(self).map(|answer, provider, context| {
            provider.beating = false;
            if answer.is_ok() {
                provider.state.on_heartbeat(provider.clock.monotonic());
                // The cluster agent is back: do not wait for the turn.
                provider.poll(context);
            }
        }));
    }

    fn note_success(&mut self) {
        self.polls.last_success = Some(self.clock.unix_seconds());
        if self.last_error.take().is_some() {
            info!(source = self.state.source().name(), "cluster agent answers again");
        }
    }

    /// Keeps the error; warns when polls begin to fail, and now and then when the reason is another one.
    fn note_error(&mut self, error: ClusterAgentError) {
        let text = error.to_string();
        let now = self.clock.monotonic();
        let news = match &self.last_error {
            None => true,
            Some(before) => *before != text && now.saturating_sub(self.last_warning) >= WARNING_INTERVAL,
        };
        if news {
            self.last_warning = now;
            warn!(source = self.state.source().name(), error = text, "poll failed, what runs is kept");
        }
        self.last_error = Some(text);
    }

    fn view(&self) -> ProviderView {
        ProviderView {
            source: self.state.source().name(),
            polled_once: self.state.polled_once(),
            in_contact: self.state.in_contact(self.clock.monotonic()),
            last_change: self.state.last_change(),
            configs: self.state.configs().len(),
            dropped: self.state.dropped(),
            polls: self.polls.ended,
            failed_polls: self.polls.failed,
            last_poll: self.polls.last,
            last_success: self.polls.last_success,
            last_error: self.last_error.clone(),
        }
    }

    fn show(&self) {
        self.links.view.publish(self.view());
    }
}

impl Actor for ConfigProvider {
    type Context = Context<Self>;

    /// Polls at once, then once per interval; the first wait is a little shorter, so that nodes started together spread out.
    fn started(&mut self, context: &mut Context<Self>) {
        self.poll(context);
        context.run_later(self.state.first_wait(&self.identity), |provider, context| {
            provider.poll(context);
            context.run_interval(provider.state.policy().poll_interval, Self::poll);
        });
        context.run_interval(HEARTBEAT_TICK, Self::tick);
    }
}

impl Observed for ConfigProvider {
    fn observe(&self) -> serde_json::Value {
        json!(self.view())
    }
}

supervised!(ConfigProvider);

impl Handler<ResendConfigs> for ConfigProvider {
    type Result = ();

    fn handle(&mut self, _: ResendConfigs, _: &mut Context<Self>) {
        // Before the first answer there is nothing to tell: an empty set would stop what a scheduler still runs.
        if self.state.has_set() {
            self.send();
        }
    }
}

fn no_answer() -> ClusterAgentError {
    ClusterAgentError::Remote(format!("no answer within {CALL_LIMIT:?}"))
}
