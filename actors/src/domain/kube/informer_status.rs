//! How one informer is doing, and what of it is worth a line in the log.

use std::fmt;

use serde::{Serialize, Serializer};

use super::objects::Kind;

/// One line per so many failures in a row, after the first one.
const LOG_EVERY: u64 = 100;

/// A right that the service account lacks. Its text names what would mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingRight {
    /// `list` or `watch`.
    pub verb: &'static str,
    /// On what.
    pub kind: Kind,
}

impl fmt::Display for MissingRight {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verb, resource, group) = (self.verb, self.kind.resource(), self.kind.group());
        write!(
            out,
            "{verb} {resource} is forbidden, bind a role with the rule apiGroups: [{group:?}], resources: [{resource:?}], verbs: \
             [\"get\", \"list\", \"watch\"] to the service account"
        )
    }
}

impl Serialize for MissingRight {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// State of one informer, for status, metrics and health.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InformerStatus {
    /// Of what.
    pub kind: Kind,
    /// A listing has been completed since the actor started; what is known may be stale while the watch fails.
    pub synced: bool,
    /// Objects known.
    pub objects: usize,
    /// Listings completed since the process started.
    pub listings: u64,
    /// Failures of listing and watching since the process started.
    pub failures: u64,
    /// Failures since it last worked; 0 = it works.
    pub failing: u64,
    /// Starts of the actor after the first.
    pub restarts: u64,
    /// A right that is missing now.
    pub forbidden: Option<MissingRight>,
    /// Text of the last failure, also when it works again.
    pub last_error: Option<String>,
    /// When a change, a listing or a part of one last arrived.
    ///
    /// Units: seconds since the Unix epoch.
    pub last_event_at: Option<i64>,
    #[serde(skip)]
    started: bool,
}

/// What is worth a line in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A right is missing; said once until it was there.
    Forbidden(MissingRight),
    /// The first failure, or another hundred.
    Failing {
        /// Failures since it last worked.
        failures: u64,
    },
    /// It works again after failures.
    Recovered {
        /// How many there were.
        failures: u64,
    },
}

impl InformerStatus {
    /// That of an informer that has not started.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            synced: false,
            objects: 0,
            listings: 0,
            failures: 0,
            failing: 0,
            restarts: 0,
            forbidden: None,
            last_error: None,
            last_event_at: None,
            started: false,
        }
    }

    /// The actor starts, perhaps again: it knows no object, but the counts go on.
    pub fn actor_started(&mut self) {
        self.restarts += u64::from(self.started);
        self.started = true;
        self.synced = false;
        self.objects = 0;
    }

    /// Listing or watching failed.
    pub fn failed(&mut self, verb: &'static str, forbidden: bool, text: &str) -> Option<Notice> {
        self.failures += 1;
        self.failing += 1;
        self.last_error = Some(text.to_owned());
        if !forbidden {
            return (self.failing % LOG_EVERY == 1).then_some(Notice::Failing { failures: self.failing });
        }
        let right = MissingRight { verb, kind: self.kind };
        if self.forbidden.as_ref() == Some(&right) {
            return None;
        }
        self.forbidden = Some(right.clone());
        Some(Notice::Forbidden(right))
    }

    /// A listing was completed. Whether watching works is not proven by that.
    pub fn listing_done(&mut self) -> Option<Notice> {
        self.listings += 1;
        if self.forbidden.as_ref().is_some_and(|right| right.verb == "watch") {
            return None;
        }
        self.works()
    }

    /// The watch works: it was opened, or it said something.
    pub fn works(&mut self) -> Option<Notice> {
        self.forbidden = None;
        let failures = std::mem::take(&mut self.failing);
        (failures > 0).then_some(Notice::Recovered { failures })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_right_is_said_once_until_it_was_there() {
        let mut status = InformerStatus::new(Kind::EndpointSlices);
        let right = MissingRight { verb: "list", kind: Kind::EndpointSlices };
        assert_eq!(status.failed("list", true, "403"), Some(Notice::Forbidden(right.clone())));
        assert_eq!(status.failed("list", true, "403"), None);
        assert_eq!(status.forbidden, Some(right.clone()));
        assert_eq!(status.listing_done(), Some(Notice::Recovered { failures: 2 }));
        assert_eq!(status.forbidden, None);
        assert_eq!(status.failed("list", true, "403"), Some(Notice::Forbidden(right.clone())));
        assert_eq!(
            right.to_string(),
            "list endpointslices is forbidden, bind a role with the rule apiGroups: [\"discovery.k8s.io\"], resources: \
             [\"endpointslices\"], verbs: [\"get\", \"list\", \"watch\"] to the service account"
        );
    }

    #[test]
    fn a_listing_does_not_prove_that_watching_is_allowed() {
        let mut status = InformerStatus::new(Kind::Pods);
        let right = MissingRight { verb: "watch", kind: Kind::Pods };
        assert_eq!(status.failed("watch", true, "403"), Some(Notice::Forbidden(right.clone())));
        assert_eq!((status.listing_done(), status.forbidden.clone()), (None, Some(right)));
        assert_eq!(status.works(), Some(Notice::Recovered { failures: 1 }));
        assert_eq!(status.forbidden, None);
    }

    #[test]
    fn of_other_failures_the_first_and_every_hundredth_is_said() {
        let mut status = InformerStatus::new(Kind::Pods);
        let said: Vec<u64> = (1..=250).filter(|_| status.failed("watch", false, "refused").is_some()).collect();
        assert_eq!(said, [1, 101, 201]);
        assert_eq!(status.works(), Some(Notice::Recovered { failures: 250 }));
        assert_eq!(status.works(), None);
        assert_eq!(status.failed("watch", false, "refused"), Some(Notice::Failing { failures: 1 }));
        assert_eq!((status.failures, status.last_error.as_deref()), (251, Some("refused")));
    }

    #[test]
    fn counts_go_on_over_a_restart_of_the_actor() {
        let mut status = InformerStatus::new(Kind::Pods);
        status.actor_started();
        status.listing_done();
        (status.synced, status.objects) = (true, 3);
        status.actor_started();
        assert_eq!((status.synced, status.objects, status.listings, status.restarts), (false, 0, 1, 1));
    }
}
