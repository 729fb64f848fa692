//! How far the events of the cluster were forwarded, as it is kept for whoever leads next.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::kube::event::KubeEvent;

/// Key of the version in the ConfigMap. Source: cluster-agent-kubernetes 3.3.
pub const VERSION_KEY: &str = "event.tokenKey";

/// Key of the time of the last full list. Source: cluster-agent-kubernetes 3.3.
pub const LISTED_AT_KEY: &str = "event.tokenTimestamp";

/// The token of the events. Source: cluster-agent-kubernetes 3.3.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventToken {
    /// Resource version that was processed last; empty = none.
    pub version: String,
    /// When everything was listed last. Units: seconds since the Unix epoch.
    pub listed_at: i64,
}

/// What the next run does. Source: cluster-agent-kubernetes 3.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Lists everything.
    List,
    /// Watches from the version on.
    Watch,
}

impl EventToken {
    /// Reads it from the data of the ConfigMap, and whether it has to be written because there was none.
    ///
    /// A time that is missing, or not in the form of RFC 3339 (old releases wrote RFC 822), counts as now.
    #[must_use]
    pub fn from_data(data: &BTreeMap<String, String>, now_unix_seconds: i64) -> (Self, bool) {
        let Some(version) = data.get(VERSION_KEY) else {
            return (Self { version: String::new(), listed_at: now_unix_seconds }, true);
        };
        let listed_at = data.get(LISTED_AT_KEY).and_then(|text| text.trim().parse::<Timestamp>().ok());
        let listed_at = listed_at.map_or(now_unix_seconds, Timestamp::as_second);
        (Self { version: version.trim().to_owned(), listed_at }, false)
    }

    /// The keys of the ConfigMap and what they hold.
    #[must_use]
    pub fn to_data(&self) -> [(&'static str, String); 2] {
        let listed_at = Timestamp::from_second(self.listed_at).unwrap_or_default();
        [(VERSION_KEY, self.version.clone()), (LISTED_AT_KEY, listed_at.to_string())]
    }

    /// What the next run does: a list without a version or when the last list is older than `resync`, else a watch.
    #[must_use]
    pub fn step(&self, now_unix_seconds: i64, resync: Duration) -> Step {
        let age = u64::try_from(now_unix_seconds.saturating_sub(self.listed_at)).unwrap_or(0);
        if self.version.is_empty() || age > resync.as_secs() { Step::List } else { Step::Watch }
    }

    /// What it is after everything was listed.
    #[must_use]
    pub fn listed(&self, list_version: &str, now_unix_seconds: i64) -> Self {
        Self { version: list_version.to_owned(), listed_at: now_unix_seconds }
    }

    /// What it is after a watch delivered these events, in any order.
    #[must_use]
    pub fn watched(&self, events: &[KubeEvent]) -> Self {
        events.iter().fold(self.clone(), |token, event| token.advanced_to(&event.version))
    }

    /// What it is after everything up to a version was seen, as a bookmark tells it. It never goes back.
    #[must_use]
    pub fn advanced_to(&self, version: &str) -> Self {
        let newer = number(version) > number(&self.version);
        Self { version: if newer { version } else { &self.version }.to_owned(), listed_at: self.listed_at }
    }
}

/// The events whose own version is greater, in their order; a version that is no number is 0.
///
/// After a list, or a re-list because the version had expired, the version to compare with is the one that was stored before.
#[must_use]
pub fn newer(mut events: Vec<KubeEvent>, than: &str) -> Vec<KubeEvent> {
    let than = number(than);
    events.retain(|event| number(&event.version) > than);
    events
}

/// What the first list of the watch mode delivers: nothing without a version to go on from, so that no old events come again.
///
/// Source: cluster-agent-kubernetes 3.4b.
#[must_use]
pub fn newer_than_checkpoint(events: Vec<KubeEvent>, checkpoint: &str) -> Vec<KubeEvent> {
    if number(checkpoint) == 0 { Vec::new() } else { newer(events, checkpoint) }
}

fn number(version: &str) -> u64 {
    version.parse().unwrap_or(0)
}
