//! How followers keep a copy of the assignment table, and when a change counts as known to them.
//!
//! A follower asks for what comes after its position; asking is also the acknowledgement of everything up to there. So there is one
//! message and no state that could disagree with it (docs/adr/017-followers-pull.md).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::assignment::{AssignmentTable, TableDelta};
use crate::domain::config::DispatchedConfig;
use crate::domain::ids::{Epoch, Seq};
use crate::domain::snapshot::{self, EncodeError, HeaderError};

/// Longest time that agents are not shown a change because followers do not know it. Source: style 9.5 and 9.6.
pub const SHOW_AFTER: Duration = Duration::from_millis(200);

/// A follower that did not ask for so long is not waited for. Longer than the leader holds a question.
pub const FOLLOWER_TIME: Duration = Duration::from_secs(15);

/// Changes that a leader keeps for followers that are a little behind; who is further behind gets the whole table.
///
/// Units: bytes, estimated.
pub const HISTORY_BYTES: usize = 16 << 20;

/// Followers that are remembered at most; more than any deployment has.
const MOST_FOLLOWERS: usize = 32;

/// A point in the life of the table. The same point is the same table on every replica, because only one replica decides in an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// Epoch of the last change.
    pub epoch: Epoch,
    /// Its place in the log.
    pub seq: Seq,
}

impl Position {
    /// Where a table stands.
    #[must_use]
    pub fn of(table: &AssignmentTable) -> Self {
        Self { epoch: table.epoch(), seq: table.seq() }
    }

    /// Where a table stands after this change.
    #[must_use]
    pub fn after(delta: &TableDelta) -> Self {
        Self { epoch: delta.epoch, seq: delta.seq }
    }
}

/// The latest changes, as far as they fit.
#[derive(Debug)]
pub struct History {
    /// The position before the first change.
    start: Position,
    deltas: VecDeque<(Arc<TableDelta>, usize)>,
    bytes: usize,
}

impl History {
    /// A history that begins here.
    #[must_use]
    pub fn new(start: Position) -> Self {
        Self { start, deltas: VecDeque::new(), bytes: 0 }
    }

    /// Appends a change; forgets the oldest ones if it gets too large.
    pub fn push(&mut self, delta: Arc<TableDelta>) {
        let bytes = estimated_bytes(&delta);
        self.bytes += bytes;
        self.deltas.push_back((delta, bytes));
        while self.bytes > HISTORY_BYTES {
            let Some((forgotten, bytes)) = self.deltas.pop_front() else { break };
            self.start = Position::after(&forgotten);
            self.bytes -= bytes;
        }
    }

    /// What comes after this position; `None` if it is none of this history, so that only the whole table helps.
    #[must_use]
    pub fn since(&self, known: Position) -> Option<Vec<Arc<TableDelta>>> {
        let first =
            if known == self.start { 0 } else { self.deltas.binary_search_by_key(&known, |(delta, _)| Position::after(delta)).ok()? + 1 };
        Some(self.deltas.range(first..).map(|(delta, _)| Arc::clone(delta)).collect())
    }
}

/// Size of a change in memory, roughly: what it would cost to count exactly is spent better elsewhere.
fn estimated_bytes(delta: &TableDelta) -> usize {
    const ENTRY: usize = 128;
    let text = |config: &DispatchedConfig| -> usize {
        let config = &config.config;
        let parts = config.instances.iter().chain(&config.init_config).map(|data| data.as_bytes().len());
        ENTRY + parts.sum::<usize>()
    };
    let rows: usize = delta.rows_put.iter().map(|row| text(&row.config)).sum();
    let endpoints: usize = delta.endpoints_put.iter().map(|(_, config)| text(config)).sum();
    let others = delta.rows_removed.len() + delta.nodes_put.len() + delta.nodes_removed.len() + delta.endpoints_removed.len();
    rows + endpoints + ENTRY * (others + 1)
}

#[derive(Debug, Clone, Copy)]
struct Follower {
    seen: Duration,
    /// What it has of this leader's history; `None` = it needs the whole table first.
    knows: Option<Seq>,
}

/// Who asks for changes, and how far each of them is.
#[derive(Debug, Default)]
pub struct Followers {
    by_name: BTreeMap<String, Follower>,
}

impl Followers {
    /// A follower asked at this monotonic time; `knows` is what it has, if that is a point of this leader's history. Returns whether
    /// it asked for the first time.
    pub fn asked(&mut self, name: &str, now: Duration, knows: Option<Seq>) -> bool {
        let first = self.by_name.insert(name.to_owned(), Follower { seen: now, knows }).is_none();
        if self.by_name.len() > MOST_FOLLOWERS {
            let longest_silent = self.by_name.iter().min_by_key(|(_, follower)| follower.seen).map(|(name, _)| name.clone());
            longest_silent.map(|name| self.by_name.remove(&name));
        }
        first
    }

    /// What the followers have that are in contact and in step; empty when there is none.
    fn known(&self, now: Duration) -> impl Iterator<Item = Seq> + '_ {
        let in_contact = move |follower: &&Follower| now.saturating_sub(follower.seen) < FOLLOWER_TIME;
        self.by_name.values().filter(in_contact).filter_map(|follower| follower.knows)
    }

    /// Number of followers that are in contact and in step.
    #[must_use]
    pub fn in_step(&self, now: Duration) -> usize {
        self.known(now).count()
    }
}

/// What became of the changes up to and including `seq`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// The last of them.
    pub seq: Seq,
    /// Whether a follower has them, or nobody is there to have them; otherwise the time was up.
    pub known: bool,
    /// How many they are.
    pub changes: u64,
}

/// Changes that agents are not shown yet.
#[derive(Debug, Default)]
pub struct Unsettled {
    changes: VecDeque<(Seq, Duration)>,
}

impl Unsettled {
    /// A change was decided at this monotonic time.
    pub fn push(&mut self, seq: Seq, now: Duration) {
        self.changes.push_back((seq, now));
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Takes out what may be shown now; call again until there is nothing more.
    ///
    /// A change is known when every follower in contact has it: any of them may be the next leader. When its time is up, one is
    /// enough. `expected` = there may be followers that did not find this leader yet. Source: style 8, invariant 9.
    pub fn settle(&mut self, now: Duration, followers: &Followers, expected: bool) -> Option<Settled> {
        let (least, most) = (followers.known(now).min(), followers.known(now).max());
        let verdict = |(seq, decided): (Seq, Duration)| match (least, most) {
            (None, _) if !expected => Some(true),
            (Some(least), _) if least >= seq => Some(true),
            (_, most) if now.saturating_sub(decided) >= SHOW_AFTER => Some(most.is_some_and(|most| most >= seq)),
            _ => None,
        };
        let known = verdict(*self.changes.front()?)?;
        let mut settled = Settled { seq: Seq(0), known, changes: 0 };
        while self.changes.front().copied().and_then(verdict) == Some(known)
            && let Some((seq, _)) = self.changes.pop_front()
        {
            settled.seq = seq;
            settled.changes += 1;
        }
        Some(settled)
    }
}

/// A copy of the table on a replica that does not decide, or did not decide yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mirror {
    /// The table.
    pub table: AssignmentTable,
    /// The term of office in which a leader last confirmed that this is its table.
    pub confirmed: Epoch,
    /// Whether discovery was complete for whoever decided, so that endpoint checks may be served from it.
    pub discovery_synced: bool,
}

impl Mirror {
    /// Whether a replica that was granted this epoch may go on with this copy at once: nobody led in between.
    #[must_use]
    pub fn is_of_the_term_before(&self, granted: Epoch) -> bool {
        self.confirmed.0.saturating_add(1) >= granted.0
    }
}

/// What a leader sends a follower.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shipment {
    /// Term of office of the sender.
    pub epoch: Epoch,
    /// As in [`Mirror::discovery_synced`].
    pub discovery_synced: bool,
    /// The answer itself.
    pub content: Content,
}

/// See [`Shipment`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// What comes after the follower's position, in order; nothing if nothing changed for a while.
    Deltas(Vec<Arc<TableDelta>>),
    /// The whole table as one delta.
    Table(Arc<TableDelta>),
    /// The sender leads and has no table: it wants one.
    NoTable,
    /// The sender does not lead.
    NotLeader,
}

/// What a shipment did to the copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is as the leader's was.
    InStep {
        /// Whether it changed.
        changed: bool,
    },
    /// The changes do not follow what is here: ask for the whole table.
    OutOfStep,
    /// The leader wants the copy.
    Wanted,
    /// Nothing, because the sender is none that counts.
    NotLeader,
}

/// Takes a shipment into the copy, if there is one already. `epoch` is the newest one that this replica knows.
pub fn take_in(mirror: &mut Option<Mirror>, shipment: Shipment, epoch: Epoch) -> Taken {
    let Shipment { epoch: sender, discovery_synced, content } = shipment;
    match content {
        _ if sender < epoch => Taken::NotLeader,
        Content::NotLeader => Taken::NotLeader,
        Content::NoTable => Taken::Wanted,
        Content::Table(whole) => {
            // Also if it is older than what is here: what the leader does not know, nobody was shown, or it is lost.
            let mut table = AssignmentTable::default();
            table.apply(&whole);
            *mirror = Some(Mirror { table, confirmed: sender, discovery_synced });
            Taken::InStep { changed: true }
        }
        Content::Deltas(deltas) => {
            let Some(copy) = mirror else { return Taken::OutOfStep };
            for delta in &deltas {
                if delta.seq.0 != copy.table.seq().0 + 1 || !copy.table.apply(delta) {
                    *mirror = None;
                    return Taken::OutOfStep;
                }
            }
            (copy.confirmed, copy.discovery_synced) = (sender, discovery_synced);
            Taken::InStep { changed: !deltas.is_empty() }
        }
    }
}

const MAGIC: &[u8; 8] = b"MUSTERRP";

/// Version of the form in which replicas talk; both must speak the same.
pub const WIRE_VERSION: u32 = 1;

/// Magic, version, epoch, kind, flags.
const HEAD_BYTES: usize = 8 + 4 + 8 + 1 + 1;

/// Why a shipment cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShipmentError {
    /// It is something else.
    #[error("recognise the message of a replica")]
    NotOurs,
    /// The other replica speaks another version, of the messages or of the tables in them.
    #[error("read replica messages of version {found}, which this program does not speak; run the same version everywhere")]
    Version {
        /// Version of the other one.
        found: u32,
    },
    /// Its bytes are not what was written.
    #[error("read a replica message that is damaged or cut off")]
    Damaged,
}

/// A shipment as bytes: a head, and the changes in the form of log and snapshot.
///
/// Errors: [`EncodeError`].
pub fn encode(shipment: &Shipment) -> Result<Vec<u8>, EncodeError> {
    let (kind, deltas) = match &shipment.content {
        Content::Deltas(deltas) => (0, deltas.as_slice()),
        Content::Table(table) => (1, std::slice::from_ref(table)),
        Content::NoTable => (2, [].as_slice()),
        Content::NotLeader => (3, [].as_slice()),
    };
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&WIRE_VERSION.to_le_bytes());
    bytes.extend_from_slice(&shipment.epoch.0.to_le_bytes());
    bytes.extend_from_slice(&[kind, u8::from(shipment.discovery_synced)]);
    bytes.extend_from_slice(&snapshot::header());
    for delta in deltas {
        bytes.extend(snapshot::frame(delta)?);
    }
    Ok(bytes)
}

/// Reads what [`encode`] wrote.
///
/// Errors: [`ShipmentError`].
pub fn decode(bytes: &[u8]) -> Result<Shipment, ShipmentError> {
    let (head, body) = bytes.split_at_checked(HEAD_BYTES).ok_or(ShipmentError::NotOurs)?;
    let (magic, head) = head.split_at(MAGIC.len());
    let (version, head) = head.split_at(4);
    let (epoch, flags) = head.split_at(8);
    if magic != MAGIC {
        return Err(ShipmentError::NotOurs);
    }
    let version = version.try_into().map_or(0, u32::from_le_bytes);
    if version != WIRE_VERSION {
        return Err(ShipmentError::Version { found: version });
    }
    if let Err(HeaderError::FromTheFuture { found }) = snapshot::read(body.get(..snapshot::HEADER_BYTES).unwrap_or_default()) {
        return Err(ShipmentError::Version { found });
    }
    let mut deltas = snapshot::read_all(body).ok_or(ShipmentError::Damaged)?.into_iter().map(Arc::new);
    let content = match flags[0] {
        0 => Content::Deltas(deltas.collect()),
        1 => Content::Table(deltas.next().ok_or(ShipmentError::Damaged)?),
        2 => Content::NoTable,
        3 => Content::NotLeader,
        _ => return Err(ShipmentError::Damaged),
    };
    let epoch = Epoch(epoch.try_into().map_or(0, u64::from_le_bytes));
    Ok(Shipment { epoch, discovery_synced: flags[1] != 0, content })
}

#[cfg(test)]
mod tests;
