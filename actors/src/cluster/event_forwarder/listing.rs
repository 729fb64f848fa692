//! Reading the list of events, as far as it is new.

use tracing::error;

use crate::domain::event_token::newer;
use crate::domain::kube::event::KubeEvent;
use crate::ports::{ClusterReadError, EventQuery, EventSource};

/// Pages that are read of a list where a watch would bring the same events.
const FEW_PAGES: usize = 10;

/// Pages that are read of a list where nothing else brings its events.
///
/// Why not all: a list without an end must not keep a round from ending. With the default limit these are 60 000 events.
const MANY_PAGES: usize = 200;

/// What a list had.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    /// Its events that are newer than what is known.
    pub(super) events: Vec<KubeEvent>,
    /// Its version.
    pub(super) version: String,
    /// Whether all pages that are worth reading were read.
    pub(super) complete: bool,
}

/// Lists what is newer than `known`.
///
/// With nothing known the first page is enough: what is older than this program is no news, and stock forwards as much.
/// `only_way`: the events come by no watch any more. Source: cluster-agent-kubernetes 3.4.
///
/// Errors: [`ClusterReadError`] of any page.
pub(super) async fn list_newer(
    source: &dyn EventSource,
    query: &EventQuery,
    known: &str,
    only_way: bool,
) -> Result<Listing, ClusterReadError> {
    let pages = match (known.is_empty(), only_way) {
        (true, _) => 1,
        (false, false) => FEW_PAGES,
        (false, true) => MANY_PAGES,
    };
    let mut listing = Listing::default();
    let mut next = None;
    for _ in 0..pages {
        let page = source.list(query, next.clone()).await?;
        if next.is_none() {
            // That of the first page: what changed since is not in it.
            listing.version = page.version;
        }
        listing.events.extend(newer(page.events, known));
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    listing.complete = next.is_none() || known.is_empty();
    Ok(listing)
}

/// Tells that events are lost, if a list had more than is read of one.
pub(super) fn tell_cut(listing: &Listing, query: &EventQuery) {
    if !listing.complete {
        error!(
            pages = MANY_PAGES,
            limit = query.limit,
            "the list of events is too long, its end is not forwarded; raise max_events_per_run"
        );
    }
}
