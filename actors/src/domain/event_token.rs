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

/// Whether what was found is behind what is known: the data of the API server was restored, or made anew.
#[must_use]
pub fn goes_back(known: &str, found: &str) -> bool {
    (1..number(known)).contains(&number(found))
}

/// Puts events in the order of their versions.
pub fn oldest_first(events: &mut [KubeEvent]) {
    events.sort_by_key(|event| number(&event.version));
}

/// A version that is older than all of these; `None` without any.
#[must_use]
pub fn version_before(events: &[KubeEvent]) -> Option<String> {
    events.iter().map(|event| number(&event.version)).min().map(|oldest| oldest.saturating_sub(1).to_string())
}

fn number(version: &str) -> u64 {
    version.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_767_323_045;
    const RESYNC: Duration = Duration::from_secs(300);

    fn token(version: &str, listed_at: i64) -> EventToken {
        EventToken { version: version.to_owned(), listed_at }
    }

    fn of_versions(versions: &[&str]) -> Vec<KubeEvent> {
        versions.iter().map(|version| KubeEvent { version: (*version).to_owned(), ..KubeEvent::default() }).collect()
    }

    fn versions(events: &[KubeEvent]) -> Vec<&str> {
        events.iter().map(|event| event.version.as_str()).collect()
    }

    fn data(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn ca_e14_after_the_resync_period_everything_is_listed_and_what_is_newer_delivered() {
        let stored = token("120", NOW - 301);
        assert_eq!(stored.step(NOW, RESYNC), Step::List);
        assert_eq!(versions(&newer(of_versions(&["100", "121", "130"]), &stored.version)), ["121", "130"]);
        assert_eq!(stored.listed("140", NOW), token("140", NOW));
        assert_eq!(token("120", NOW - 300).step(NOW, RESYNC), Step::Watch);
    }

    #[test]
    fn ca_e15_a_watch_moves_the_version_to_the_largest_and_leaves_the_time() {
        let stored = token("120", NOW - 10);
        assert_eq!(stored.step(NOW, RESYNC), Step::Watch);
        // What was deleted never becomes an event here.
        assert_eq!(stored.watched(&of_versions(&["125", "123"])), token("125", NOW - 10));
        assert_eq!(stored.watched(&[]), stored);
    }

    #[test]
    fn ca_e16_a_list_because_of_an_expired_version_delivers_what_is_newer_than_the_stored_one() {
        let stored = token("120", NOW - 10);
        assert_eq!(versions(&newer(of_versions(&["119", "122"]), &stored.version)), ["122"]);
        assert_eq!(stored.listed("150", NOW), token("150", NOW));
    }

    #[test]
    fn ca_e17_without_a_token_an_empty_one_is_written_and_everything_delivered() {
        let (fresh, has_to_be_written) = EventToken::from_data(&BTreeMap::new(), NOW);
        assert_eq!((&fresh, has_to_be_written), (&token("", NOW), true));
        assert_eq!(fresh.to_data(), [(VERSION_KEY, String::new()), (LISTED_AT_KEY, "2026-01-02T03:04:05Z".to_owned())]);
        assert_eq!(fresh.step(NOW, RESYNC), Step::List);
        assert_eq!(versions(&newer(of_versions(&["1", "2"]), &fresh.version)), ["1", "2"]);
    }

    #[test]
    fn ca_e18_a_time_that_is_not_rfc_3339_counts_as_now() {
        for text in ["02 Jan 06 15:04 MST", "", "soon"] {
            let read = EventToken::from_data(&data(&[(VERSION_KEY, "120"), (LISTED_AT_KEY, text)]), NOW);
            assert_eq!(read, (token("120", NOW), false), "{text}");
        }
        assert_eq!(EventToken::from_data(&data(&[(VERSION_KEY, "120")]), NOW), (token("120", NOW), false));
    }

    #[test]
    fn a_token_that_was_written_is_read_back_and_so_is_one_of_another_time_zone() {
        let stored = token("120", NOW - 10);
        let written = stored.to_data().map(|(key, value)| (key.to_owned(), value)).into_iter().collect();
        assert_eq!(EventToken::from_data(&written, NOW), (stored, false));
        let zoned = data(&[(VERSION_KEY, "120"), (LISTED_AT_KEY, "2026-01-02T04:04:05+01:00")]);
        assert_eq!(EventToken::from_data(&zoned, 0), (token("120", NOW), false));
    }

    #[test]
    fn a_version_behind_the_known_one_is_of_another_history() {
        let anew = [("120", "119"), ("5000000", "1000")];
        let same = [("120", "120"), ("120", "121"), ("", "5"), ("0", "5"), ("120", ""), ("120", "x"), ("x", "7")];
        assert!(anew.iter().all(|(known, found)| goes_back(known, found)));
        assert!(!same.iter().any(|(known, found)| goes_back(known, found)));
        let mut events = of_versions(&["30", "9", "100"]);
        assert_eq!((version_before(&events).as_deref(), version_before(&[])), (Some("8"), None));
        oldest_first(&mut events);
        assert_eq!(versions(&events), ["9", "30", "100"]);
    }

    #[test]
    fn a_version_of_0_watches_from_any_version() {
        assert_eq!(token("0", NOW).step(NOW, RESYNC), Step::Watch);
    }

    #[test]
    fn versions_are_compared_as_numbers_and_never_go_back() {
        assert_eq!(token("99", NOW).watched(&of_versions(&["100"])).version, "100");
        assert_eq!(token("100", NOW).watched(&of_versions(&["99", "none"])).version, "100");
        assert_eq!(token("100", NOW).advanced_to("101"), token("101", NOW));
    }
}
