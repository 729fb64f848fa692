//! Reading the list of events, as far as it is new.

use tracing::warn;

use crate::domain::event_token::{goes_back, newer, oldest_first, version_before};
use crate::domain::kube::event::KubeEvent;
use crate::ports::{ClusterReadError, EventQuery, EventSource};

/// Pages that are read of a list where a watch would bring the same events.
const FEW_PAGES: usize = 10;

/// Least size of a page where all of a list is read.
///
/// Why: what is new may lie anywhere in it, and a large cluster keeps some hundred thousand events.
const WIDE_PAGE: u32 = 500;

/// Events that are taken of one list. Of more, these are the oldest ones, and the rest comes with the next list.
const MOST_EVENTS: usize = 20_000;

/// What a list had.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    /// Its events that are newer than what is known.
    pub(super) events: Vec<KubeEvent>,
    /// Everything up to this version is in `events`, or is known: the version of the list, unless it had too many.
    pub(super) version: String,
    /// Whether all pages that are worth reading were read.
    pub(super) complete: bool,
    /// It had more events than are taken of one.
    pub(super) more: bool,
    /// The known version is none of this API server: its data was restored or made anew. This one is older than all `events`.
    pub(super) begins_anew: Option<String>,
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
    mut only_way: bool,
) -> Result<Listing, ClusterReadError> {
    let wide = EventQuery { limit: query.limit.max(WIDE_PAGE), ..query.clone() };
    let mut page = source.list(if only_way { &wide } else { query }, None).await?;
    // That of the first page: what changed since is not in it.
    let mut listing = Listing { version: page.version, ..Listing::default() };
    let anew = goes_back(known, &listing.version);
    if anew {
        warn!(known, found = listing.version, "the API server is behind the stored version: forwarding all events that it has");
        only_way = true;
    }
    let query = if only_way { &wide } else { query };
    let than = if anew { "" } else { known };
    let pages = match (known.is_empty(), only_way) {
        (true, _) => 1,
        (false, false) => FEW_PAGES,
        // It ends: all pages are of one version.
        (false, true) => usize::MAX,
    };
    let mut read = 1;
    loop {
        listing.events.extend(newer(page.events, than));
        // Another list is known to be small.
        if only_way && listing.events.len() > 2 * MOST_EVENTS {
            listing.keep_oldest();
        }
        if page.next.is_none() || read == pages {
            break;
        }
        page = source.list(query, page.next).await?;
        read += 1;
    }
    listing.complete = page.next.is_none() || known.is_empty();
    if only_way && (listing.more || listing.events.len() > MOST_EVENTS) {
        listing.keep_oldest();
        listing.version = listing.events.last().map(|event| event.version.clone()).unwrap_or(listing.version);
    }
    listing.begins_anew = anew.then(|| version_before(&listing.events).unwrap_or_else(|| listing.version.clone()));
    Ok(listing)
}

impl Listing {
    fn keep_oldest(&mut self) {
        oldest_first(&mut self.events);
        self.events.truncate(MOST_EVENTS);
        self.more = true;
    }
}
