//! Routes by which replicas copy the assignment from the leader.

use std::sync::Arc;
use std::time::Duration;

use actix_http::header::HeaderValue;
use actix_http::{Payload, StatusCode};
use bytes::Bytes;
use muster_actors::domain::assignment::AssignmentTable;
use muster_actors::domain::ids::{Epoch, Seq};
use muster_actors::domain::replication::{Content, Mirror, Position, Shipment, ShipmentError, WIRE_VERSION, decode, encode};
use muster_actors::kernel::mailbox::Outlet;
use muster_actors::messages::replica::{FetchDeltas, HOLD, LARGEST_TABLE, OfferTable};

use crate::api::body::{self, BodyLimits};
use crate::api::leader::LeaderGate;
use crate::api::path::query_value;
use crate::api::reply::{self, Reply};

/// How long an answer may take: the time a question is held and a little more.
const FETCH_DEADLINE: Duration = HOLD.saturating_add(Duration::from_secs(2));

/// How long the actor may take to look at an offer.
const OFFER_DEADLINE: Duration = Duration::from_secs(1);

/// Bounds of an offered table.
const OFFER_LIMITS: BodyLimits = BodyLimits { max_bytes: LARGEST_TABLE, timeout: Duration::from_secs(30) };

/// Longest name of a replica; pod names end at 253.
const NAME_LIMIT: usize = 253;

const BINARY: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// What these routes lead to.
#[derive(Debug, Clone)]
pub struct ReplicaRoutes {
    /// To `Replica`.
    pub fetches: Outlet<FetchDeltas>,
    /// To `Replica`.
    pub offers: Outlet<OfferTable>,
    /// Whether this replica leads.
    pub leader: LeaderGate,
}

/// Who asks and what it has.
struct Caller {
    replica: String,
    position: Option<Position>,
}

impl Caller {
    /// Errors: 400 with what is wrong.
    fn parse(query: Option<&str>) -> Result<Self, Reply> {
        let wrong = |what: &str| reply::text(StatusCode::BAD_REQUEST, what);
        let version = query_value(query, "version").unwrap_or_default();
        if version != WIRE_VERSION.to_string() {
            return Err(wrong(&format!(
                "replica messages of version {version:?}: this replica speaks {WIRE_VERSION}; run the same version everywhere"
            )));
        }
        let replica = query_value(query, "replica").filter(|name| !name.is_empty() && name.len() <= NAME_LIMIT);
        let number = |name: &str| query_value(query, name).map(|text| text.parse::<u64>()).transpose();
        let (Ok(epoch), Ok(seq)) = (number("epoch"), number("seq")) else { return Err(wrong("epoch and seq: numbers expected")) };
        Ok(Self {
            replica: replica.ok_or_else(|| wrong("replica: a name expected"))?,
            position: epoch.zip(seq).map(|(epoch, seq)| Position { epoch: Epoch(epoch), seq: Seq(seq) }),
        })
    }
}

impl ReplicaRoutes {
    /// `deltas`: what comes after the caller's position, held while there is nothing.
    pub async fn deltas(&self, query: Option<&str>) -> Reply {
        let Caller { replica, position } = match Caller::parse(query) {
            Ok(caller) => caller,
            Err(refusal) => return refusal,
        };
        if !self.leader.leads() {
            let leadership = self.leader.leadership();
            return shipped(Shipment { epoch: leadership.epoch, discovery_synced: false, content: Content::NotLeader }).await;
        }
        match self.fetches.ask(FetchDeltas { replica, position }, FETCH_DEADLINE).await {
            Ok(shipment) => shipped(shipment).await,
            Err(error) => reply::text(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
        }
    }

    /// `table`: a follower offers its copy; 200 if it was wanted, 409 if not.
    pub async fn table(&self, query: Option<&str>, payload: Payload) -> Reply {
        let (caller, body) = match (Caller::parse(query), body::read(payload, OFFER_LIMITS).await) {
            (Ok(caller), Ok(body)) => (caller, body),
            (Err(refusal), _) => return refusal,
            (_, Err(error)) => return error.reply(),
        };
        let mirror = match actix_rt::task::spawn_blocking(move || offered(&body)).await {
            Ok(Ok(mirror)) => mirror,
            Ok(Err(error)) => return reply::text(StatusCode::BAD_REQUEST, &error.to_string()),
            Err(error) => return reply::text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        };
        match self.offers.ask(OfferTable { replica: caller.replica, mirror: Box::new(mirror) }, OFFER_DEADLINE).await {
            Ok(true) => reply::empty(StatusCode::OK),
            Ok(false) => reply::text(StatusCode::CONFLICT, "no table is wanted here"),
            Err(error) => reply::text(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
        }
    }
}

fn offered(body: &Bytes) -> Result<Mirror, ShipmentError> {
    let Shipment { epoch, discovery_synced, content: Content::Table(whole) } = decode(body)? else {
        return Err(ShipmentError::Damaged);
    };
    let mut table = AssignmentTable::default();
    table.apply(&whole);
    Ok(Mirror { table, confirmed: epoch, discovery_synced })
}

/// A shipment as an answer; encoded on a blocking thread, because a whole table takes its time.
async fn shipped(shipment: Shipment) -> Reply {
    let shipment = Arc::new(shipment);
    match actix_rt::task::spawn_blocking(move || encode(&shipment)).await {
        Ok(Ok(bytes)) => reply::with_type(bytes, BINARY),
        Ok(Err(error)) => reply::text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        Err(error) => reply::text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}
