//! Rules by which a node keeps, replaces or drops the configs it gets from the cluster agent. Source: cluster-checks 9.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::config::CheckConfig;
use crate::domain::spread::spread_of;

/// Where a node gets configs from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConfigSource {
    /// Cluster checks: status first, configs only when the status says so.
    ClusterChecks,
    /// Endpoint checks: configs at every poll.
    EndpointChecks,
}

impl ConfigSource {
    /// The provider's name in status output. Source: autodiscovery 12.1.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ClusterChecks => "cluster-checks",
            Self::EndpointChecks => "endpoints-checks",
        }
    }
}

/// Whose set of configs the scheduler is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConfigOrigin {
    /// A source that is polled.
    Polled(ConfigSource),
    /// Files of this machine, told by the `Resolver`.
    Files,
}

impl ConfigOrigin {
    /// The provider's name in status output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Polled(source) => source.name(),
            Self::Files => "file",
        }
    }
}

/// Timings of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderPolicy {
    /// Time between polls (`ad_config_poll_interval`).
    pub poll_interval: Duration,
    /// Time after the last success in which a failed status post counts as "up to date" (`grace_time_seconds`).
    pub grace: Duration,
    /// Time after the last success after which unreachable means "drop everything"; `None` = never (`degraded_deadline_minutes` 0).
    pub degraded_deadline: Option<Duration>,
    /// Silence after which an extra heartbeat is sent: `cluster_checks.node_expiration_timeout` minus 5 s.
    pub heartbeat_after: Duration,
}

impl Default for ProviderPolicy {
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_secs(10),
            grace: Duration::from_secs(60),
            degraded_deadline: None,
            heartbeat_after: Duration::from_secs(25),
        }
    }
}

/// Answer to a status post, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusAnswer {
    /// The set is current.
    UpToDate,
    /// There is another set.
    Outdated,
    /// No usable answer.
    Failed,
}

/// Answer to a request for configs.
#[derive(Debug, Clone)]
pub enum CollectAnswer {
    /// The set and its version.
    Configs {
        /// Version to post from now on.
        last_change: i64,
        /// The set.
        configs: Vec<Arc<CheckConfig>>,
    },
    /// The cluster agent did not answer: keep what runs.
    Unavailable,
    /// It answered 200 with something that cannot be read.
    Unreadable,
}

/// How long configs that run at most once may run on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// As long as they are in the set: the cluster agent knows no grants.
    Unlimited,
    /// Before this monotonic time.
    Until(Duration),
}

impl Grant {
    /// Whether it is in force.
    #[must_use]
    pub fn is_in_force(self, now: Duration) -> bool {
        match self {
            Self::Unlimited => true,
            Self::Until(end) => now < end,
        }
    }
}

/// A status post that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The version that was posted.
    pub last_change: i64,
    /// Monotonic time right before it was posted.
    pub at: Duration,
}

/// What to do with the running set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing changes.
    Keep,
    /// Exactly the new set is to run.
    Replace,
    /// Nothing is to run.
    Drop,
}

/// What a provider knows.
#[derive(Debug, Clone)]
pub struct ProviderState {
    source: ConfigSource,
    policy: ProviderPolicy,
    last_change: i64,
    configs: Vec<Arc<CheckConfig>>,
    /// Last successful status post or, for endpoint checks, fetch.
    last_success: Option<Duration>,
    /// First request for configs: without any success, the degraded deadline counts from here.
    first_collect: Option<Duration>,
    last_heartbeat: Option<Duration>,
    /// Whether the set of this moment came from the cluster agent; false at the start and after a drop.
    collected: bool,
    /// Whether the set was dropped and no answer was usable since.
    dropped: bool,
    polled_once: bool,
    /// `None` = no status was answered yet.
    grant: Option<Grant>,
    /// The grant of the set that is about to be fetched.
    next_grant: Option<Grant>,
    /// See [`Self::grant_covers_new`].
    covers_new: bool,
}

impl ProviderState {
    /// Nothing known yet.
    #[must_use]
    pub fn new(source: ConfigSource, policy: ProviderPolicy) -> Self {
        Self {
            source,
            policy,
            last_change: 0,
            configs: Vec::new(),
            last_success: None,
            first_collect: None,
            last_heartbeat: None,
            collected: false,
            dropped: false,
            polled_once: false,
            grant: None,
            next_grant: None,
            covers_new: false,
        }
    }

    /// Where the configs come from.
    #[must_use]
    pub fn source(&self) -> ConfigSource {
        self.source
    }

    /// Timings.
    #[must_use]
    pub fn policy(&self) -> &ProviderPolicy {
        &self.policy
    }

    /// Version to post: of the last set that was received.
    #[must_use]
    pub fn last_change(&self) -> i64 {
        self.last_change
    }

    /// The set that is to run.
    #[must_use]
    pub fn configs(&self) -> &[Arc<CheckConfig>] {
        &self.configs
    }

    /// Whether the set of this moment was decided by an answer: received, or dropped.
    #[must_use]
    pub fn has_set(&self) -> bool {
        self.collected || self.dropped
    }

    /// Whether everything was dropped and no answer was usable since.
    #[must_use]
    pub fn dropped(&self) -> bool {
        self.dropped
    }

    /// Whether a poll has been answered or given up; part of readiness.
    #[must_use]
    pub fn polled_once(&self) -> bool {
        self.polled_once
    }

    /// Whether the cluster agent answered within the grace period.
    #[must_use]
    pub fn in_contact(&self, now: Duration) -> bool {
        within(self.last_success, now, self.policy.grace)
    }

    /// Whether a poll begins with a status post.
    #[must_use]
    pub fn posts_status(&self) -> bool {
        self.source == ConfigSource::ClusterChecks
    }

    /// Takes the answer to a status post and says whether the configs are to be fetched.
    ///
    /// The first poll fetches whatever the status said, and so does every poll after a drop: the version posted then is the one of
    /// the dropped set, which the cluster agent rightly calls current.
    pub fn on_status(&mut self, now: Duration, answer: StatusAnswer) -> bool {
        let first = !self.polled_once;
        match answer {
            StatusAnswer::Failed => first,
            StatusAnswer::UpToDate | StatusAnswer::Outdated => {
                self.last_success = Some(now);
                answer == StatusAnswer::Outdated || !self.collected
            }
        }
    }

    /// Takes in what the answer to a status post said about grants. Returns the grant if it is renewed.
    ///
    /// Only a set that is current is granted, from before the question on: whoever asked with another version, or told none, may be
    /// about to lose a part of what it runs. Source: style 8, invariant 8.
    pub fn on_grant(&mut self, asked: Asked, up_to_date: bool, told: Option<Duration>) -> Option<Grant> {
        let Some(length) = told else {
            (self.grant, self.next_grant) = (Some(Grant::Unlimited), None);
            return self.grant;
        };
        let granted = Some(Grant::Until(asked.at + length)).filter(|_| !length.is_zero());
        self.next_grant = granted;
        if up_to_date && asked.last_change >= 0 && self.collected && granted.is_some() {
            (self.grant, self.covers_new) = (granted, true);
            return granted;
        }
        if self.grant != Some(Grant::Unlimited) {
            return None;
        }
        // Whoever knew no grants does not lead any more, and this one has confirmed nothing.
        self.grant = Some(Grant::Until(asked.at));
        self.grant
    }

    /// How long configs that run at most once may run; `None` = it is not known yet.
    #[must_use]
    pub fn grant(&self) -> Option<Grant> {
        self.grant
    }

    /// Whether that holds for all of the set, or only for what was in it before the last answer: a leader that has just begun grants
    /// nothing, because it may not know who else runs the rest.
    #[must_use]
    pub fn grant_covers_new(&self) -> bool {
        self.covers_new
    }

    /// Ends a poll that did not fetch.
    pub fn on_no_collect(&mut self) {
        self.next_grant = None;
        self.polled_once = true;
    }

    /// Takes the answer to a request for configs.
    pub fn on_collect(&mut self, now: Duration, answer: CollectAnswer) -> Verdict {
        self.polled_once = true;
        self.first_collect.get_or_insert(now);
        let next_grant = self.next_grant.take();
        match answer {
            CollectAnswer::Configs { last_change, configs } => {
                (self.last_change, self.configs) = (last_change, configs);
                (self.collected, self.dropped, self.last_success) = (true, false, Some(now));
                self.covers_new = next_grant.is_some() || self.grant == Some(Grant::Unlimited);
                self.grant = next_grant.or(self.grant);
                Verdict::Replace
            }
            CollectAnswer::Unavailable if self.within_degraded_deadline(now) => Verdict::Keep,
            CollectAnswer::Unavailable | CollectAnswer::Unreadable => self.drop_once(),
        }
    }

    /// Whether an extra heartbeat is due.
    #[must_use]
    pub fn heartbeat_due(&self, now: Duration) -> bool {
        let silent = |last| !within(last, now, self.policy.heartbeat_after);
        self.posts_status() && silent(self.last_success) && silent(self.last_heartbeat)
    }

    /// An extra heartbeat was accepted. It says nothing about the set, so it does not renew the grace period.
    pub fn on_heartbeat(&mut self, now: Duration) {
        self.last_heartbeat = Some(now);
    }

    /// First wait, a little shorter than an interval and different for each node, so that nodes that start together do not poll together.
    #[must_use]
    pub fn first_wait(&self, identity: &str) -> Duration {
        let spread = self.policy.poll_interval / 10;
        let share = spread_of(identity);
        self.policy.poll_interval.saturating_sub(spread.mul_f64(share))
    }

    fn within_degraded_deadline(&self, now: Duration) -> bool {
        self.policy.degraded_deadline.is_none_or(|deadline| within(self.last_success.or(self.first_collect), now, deadline))
    }

    fn drop_once(&mut self) -> Verdict {
        if self.dropped {
            return Verdict::Keep;
        }
        (self.dropped, self.collected) = (true, false);
        self.configs.clear();
        Verdict::Drop
    }
}

fn within(last: Option<Duration>, now: Duration, limit: Duration) -> bool {
    last.is_some_and(|last| now.saturating_sub(last) < limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    fn three() -> CollectAnswer {
        CollectAnswer::Configs { last_change: 7, configs: [(); 3].map(|()| Arc::new(CheckConfig::default())).to_vec() }
    }

    fn asked(last_change: i64, at: u64) -> Asked {
        Asked { last_change, at: seconds(at) }
    }

    const GRANT: Option<Duration> = Some(Duration::from_secs(30));

    #[test]
    fn a_grant_counts_from_before_the_question_and_only_for_a_current_set() {
        let mut state = cluster();
        assert_eq!(state.grant(), None);
        assert_eq!(state.on_grant(asked(0, 10), true, GRANT), None, "it has no set yet");
        state.on_collect(seconds(12), three());
        assert_eq!(state.grant(), Some(Grant::Until(seconds(40))), "the set that was fetched next");
        assert_eq!(state.on_grant(asked(7, 20), true, GRANT), Some(Grant::Until(seconds(50))));
        state.on_no_collect();
        assert_eq!(state.on_grant(asked(-1, 30), true, GRANT), None, "a heartbeat says nothing about the set");
        state.on_no_collect();
        assert_eq!(state.on_grant(asked(7, 30), false, GRANT), None);
        state.on_collect(seconds(31), CollectAnswer::Unavailable);
        state.on_collect(seconds(32), three());
        assert_eq!(state.grant(), Some(Grant::Until(seconds(50))), "the answer was for the fetch before");
        assert!(state.grant().is_some_and(|grant| grant.is_in_force(seconds(49)) && !grant.is_in_force(seconds(50))));
    }

    #[test]
    fn a_cluster_agent_that_warms_up_grants_nothing() {
        let mut state = cluster();
        state.on_grant(asked(0, 0), true, GRANT);
        state.on_collect(seconds(0), three());
        assert_eq!(state.on_grant(asked(7, 10), true, Some(Duration::ZERO)), None);
        assert_eq!(state.grant(), Some(Grant::Until(seconds(30))));
        assert!(state.grant_covers_new());
        state.on_collect(seconds(11), three());
        assert!(!state.grant_covers_new(), "a set that came with nothing granted");
        state.on_grant(asked(7, 20), true, GRANT);
        assert!(state.grant_covers_new());
    }

    #[test]
    fn a_cluster_agent_without_grants_takes_nothing_back_until_another_one_answers() {
        let mut state = cluster();
        assert_eq!(state.on_grant(asked(0, 0), true, None), Some(Grant::Unlimited));
        state.on_collect(seconds(0), three());
        assert_eq!(state.grant(), Some(Grant::Unlimited));
        assert_eq!(state.on_grant(asked(7, 10), false, GRANT), Some(Grant::Until(seconds(10))));
        assert_eq!(state.on_grant(asked(7, 20), true, None), Some(Grant::Unlimited));
        assert_eq!(state.on_grant(asked(7, 30), true, GRANT), Some(Grant::Until(seconds(60))));
    }

    fn cluster() -> ProviderState {
        ProviderState::new(ConfigSource::ClusterChecks, ProviderPolicy::default())
    }

    /// A provider with three configs since `seconds(0)`.
    fn running() -> ProviderState {
        let mut state = cluster();
        assert!(state.on_status(seconds(0), StatusAnswer::UpToDate));
        assert_eq!(state.on_collect(seconds(0), three()), Verdict::Replace);
        state
    }

    #[test]
    fn the_first_poll_fetches_whatever_the_status_said() {
        for answer in [StatusAnswer::UpToDate, StatusAnswer::Outdated, StatusAnswer::Failed] {
            assert!(cluster().on_status(seconds(0), answer), "{answer:?}");
        }
    }

    #[test]
    fn a_failed_status_post_fetches_nothing_and_keeps_everything() {
        let mut state = running();
        for poll in 1..100 {
            assert!(!state.on_status(seconds(poll * 10), StatusAnswer::Failed));
            state.on_no_collect();
        }
        assert_eq!(state.configs().len(), 3);
        assert!(!state.in_contact(seconds(61)) && state.in_contact(seconds(59)));
        assert!(!state.on_status(seconds(1001), StatusAnswer::UpToDate));
    }

    #[test]
    fn what_a_stock_runner_keeps_after_each_kind_of_answer() {
        // The recorded answers and how many of three configs a stock runner still has 13 s later.
        let empty = || CollectAnswer::Configs { last_change: 9, configs: Vec::new() };
        let recorded = [
            ("code503", CollectAnswer::Unavailable, 3),
            ("ok", three(), 3),
            ("empty", empty(), 0),
            ("badjson", CollectAnswer::Unreadable, 0),
            ("nullcfg", empty(), 0),
            ("code500", CollectAnswer::Unavailable, 3),
            ("nokey", empty(), 0),
            ("emptybody", CollectAnswer::Unreadable, 0),
            ("slow4", CollectAnswer::Unavailable, 3),
            ("code404", CollectAnswer::Unavailable, 3),
            ("truncated", CollectAnswer::Unreadable, 0),
        ];
        for (name, answer, kept) in recorded {
            let mut state = running();
            state.on_status(seconds(10), StatusAnswer::Outdated);
            state.on_collect(seconds(10), answer);
            assert_eq!(state.configs().len(), kept, "{name}");
        }
    }

    #[test]
    fn an_unreadable_answer_drops_the_set_once_and_the_next_good_one_brings_it_back() {
        let mut state = running();
        assert_eq!(state.on_collect(seconds(10), CollectAnswer::Unreadable), Verdict::Drop);
        assert_eq!(state.on_collect(seconds(20), CollectAnswer::Unreadable), Verdict::Keep);
        assert_eq!(state.last_change(), 7, "the version comes from a successful fetch only");
        // The cluster agent knows that version, so it says "up to date": we fetch all the same.
        assert!(state.on_status(seconds(30), StatusAnswer::UpToDate));
        assert_eq!(state.on_collect(seconds(30), three()), Verdict::Replace);
        assert!(!state.on_status(seconds(40), StatusAnswer::UpToDate));
    }

    #[test]
    fn degraded_mode_lasts_for_ever_or_until_its_deadline() {
        let mut state = running();
        assert_eq!(state.on_collect(seconds(1_000_000), CollectAnswer::Unavailable), Verdict::Keep);
        let policy = ProviderPolicy { degraded_deadline: Some(seconds(300)), ..ProviderPolicy::default() };
        let mut state = ProviderState::new(ConfigSource::EndpointChecks, policy);
        state.on_collect(seconds(0), three());
        assert_eq!(state.on_collect(seconds(299), CollectAnswer::Unavailable), Verdict::Keep);
        assert_eq!(state.on_collect(seconds(300), CollectAnswer::Unavailable), Verdict::Drop);
        assert_eq!(state.on_collect(seconds(310), CollectAnswer::Unavailable), Verdict::Keep);
    }

    #[test]
    fn without_any_success_the_degraded_deadline_counts_from_the_first_poll() {
        // As after a restart of the provider: what runs was collected by an earlier incarnation.
        let policy = ProviderPolicy { degraded_deadline: Some(seconds(300)), ..ProviderPolicy::default() };
        for source in [ConfigSource::ClusterChecks, ConfigSource::EndpointChecks] {
            let mut state = ProviderState::new(source, policy.clone());
            assert_eq!(state.on_collect(seconds(1000), CollectAnswer::Unavailable), Verdict::Keep);
            assert_eq!(state.on_collect(seconds(1299), CollectAnswer::Unavailable), Verdict::Keep);
            assert_eq!(state.on_collect(seconds(1300), CollectAnswer::Unavailable), Verdict::Drop);
        }
    }

    #[test]
    fn an_extra_heartbeat_is_due_after_25_silent_seconds() {
        let mut state = running();
        assert!(!state.heartbeat_due(seconds(24)));
        assert!(state.heartbeat_due(seconds(25)));
        state.on_heartbeat(seconds(25));
        assert!(!state.heartbeat_due(seconds(49)));
        assert!(state.heartbeat_due(seconds(50)));
        assert!(!ProviderState::new(ConfigSource::EndpointChecks, ProviderPolicy::default()).heartbeat_due(seconds(50)));
    }

    #[test]
    fn defaults_are_those_of_a_stock_agent() {
        let policy = ProviderPolicy::default();
        assert_eq!(
            (policy.poll_interval, policy.grace, policy.degraded_deadline, policy.heartbeat_after),
            (seconds(10), seconds(60), None, seconds(25))
        );
    }

    proptest! {
        #[test]
        fn the_first_wait_is_never_longer_than_an_interval_and_at_most_a_tenth_shorter(identity in ".*") {
            let wait = cluster().first_wait(&identity);
            prop_assert!(wait > seconds(9) && wait <= seconds(10));
        }
    }
}
