//! The saved form of the assignment table: a header and frames, each frame one delta.
//!
//! A snapshot is a file whose only frame is the whole table as a delta; the log is a file of the deltas after it. Layout, all numbers
//! little-endian:
//!
//! ```text
//! header   "MUSTERAT" (8 bytes), format version (u32)
//! frame    payload length (u32), CRC-32 of the payload (u32), CRC-32 of these first 8 bytes (u32), payload (bincode)
//! ```
//!
//! Why the second checksum: a flipped bit in a length would otherwise look like a write that was cut off.

use crate::domain::assignment::{AssignmentTable, TableDelta};
use crate::domain::ids::{Epoch, Seq, Stamp};

const MAGIC: &[u8; 8] = b"MUSTERAT";

/// Format that this program writes and reads. A program with an older one was never released.
const FORMAT_VERSION: u32 = 3;

/// Length of the header in bytes.
pub const HEADER_BYTES: usize = 12;

const FRAME_HEADER_BYTES: usize = 12;

/// Largest payload that is read; protects against absurd allocations.
const MAX_PAYLOAD_BYTES: usize = 1 << 30;

/// Why a delta could not be written as a frame.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The serialiser refused.
    #[error("encode change {seq} of the assignment")]
    Serialise {
        /// Which change.
        seq: Seq,
        /// What the serialiser says.
        #[source]
        source: bincode::error::EncodeError,
    },
    /// It would not be readable again.
    #[error("encode change {seq} of the assignment: {bytes} bytes, at most {MAX_PAYLOAD_BYTES} fit a frame")]
    TooLarge {
        /// Which change.
        seq: Seq,
        /// Its size.
        bytes: usize,
    },
}

/// Why a file is none of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// It begins with something else.
    #[error("recognise the file: it does not begin with the mark of an assignment file")]
    NotOurs,
    /// A newer program wrote it.
    #[error(
        "read format {found}: this program reads format {FORMAT_VERSION}; start the newer program, or move the folder away to begin anew"
    )]
    FromTheFuture {
        /// Format of the file.
        found: u32,
    },
    /// A program wrote it that was never released.
    #[error("read format {found}: this program reads format {FORMAT_VERSION}")]
    FromThePast {
        /// Format of the file.
        found: u32,
    },
}

/// How a file ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// After a whole frame.
    Clean,
    /// In the middle of a frame: the last write did not finish, so nobody was told that it did.
    Torn {
        /// Bytes after the last whole frame.
        bytes: usize,
    },
    /// With bytes that were written whole and are not what was written.
    Damaged {
        /// Bytes after the last good frame.
        bytes: usize,
    },
}

/// What a file holds, up to the first frame that cannot be used.
#[derive(Debug)]
pub struct Contents {
    /// The deltas in file order.
    pub deltas: Vec<TableDelta>,
    /// Length of the good part, header included.
    pub good_bytes: usize,
    /// What comes after it.
    pub ending: Ending,
}

/// The header of every file.
#[must_use]
pub fn header() -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes
}

/// One delta as a frame.
///
/// Errors: [`EncodeError`].
pub fn frame(delta: &TableDelta) -> Result<Vec<u8>, EncodeError> {
    let payload = bincode::serde::encode_to_vec(delta, bincode::config::standard())
        .map_err(|source| EncodeError::Serialise { seq: delta.seq, source })?;
    if payload.len() > MAX_PAYLOAD_BYTES {
        return Err(EncodeError::TooLarge { seq: delta.seq, bytes: payload.len() });
    }
    let mut bytes = Vec::with_capacity(FRAME_HEADER_BYTES + payload.len());
    bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&payload).to_le_bytes());
    let check = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&check.to_le_bytes());
    bytes.extend_from_slice(&payload);
    Ok(bytes)
}

/// Reads a whole file.
///
/// A file shorter than its header is a torn one without deltas.
///
/// Errors: [`HeaderError`]. Damage further on is no error but an [`Ending`].
pub fn read(bytes: &[u8]) -> Result<Contents, HeaderError> {
    let Some((found, mut rest)) = bytes.split_at_checked(HEADER_BYTES) else {
        let mark = &bytes[..bytes.len().min(MAGIC.len())];
        if !MAGIC.starts_with(mark) && bytes.iter().any(|byte| *byte != 0) {
            return Err(HeaderError::NotOurs);
        }
        let ending = if bytes.is_empty() { Ending::Clean } else { Ending::Torn { bytes: bytes.len() } };
        return Ok(Contents { deltas: Vec::new(), good_bytes: 0, ending });
    };
    let (magic, version) = found.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(HeaderError::NotOurs);
    }
    let format = version.try_into().map_or(0, u32::from_le_bytes);
    if format > FORMAT_VERSION {
        return Err(HeaderError::FromTheFuture { found: format });
    }
    if format < FORMAT_VERSION {
        return Err(HeaderError::FromThePast { found: format });
    }
    let mut deltas = Vec::new();
    let ending = loop {
        match next_frame(rest) {
            Frame::End => break Ending::Clean,
            Frame::Whole(delta, after) => {
                deltas.push(*delta);
                rest = after;
            }
            Frame::Torn => break Ending::Torn { bytes: rest.len() },
            Frame::Damaged => break Ending::Damaged { bytes: rest.len() },
        }
    };
    Ok(Contents { deltas, good_bytes: bytes.len() - rest.len(), ending })
}

enum Frame<'a> {
    End,
    Whole(Box<TableDelta>, &'a [u8]),
    Torn,
    Damaged,
}

fn next_frame(bytes: &[u8]) -> Frame<'_> {
    if bytes.is_empty() {
        return Frame::End;
    }
    // A file system may lengthen a file before it writes the bytes, so zeros up to the end are an unfinished write too.
    if bytes.iter().all(|byte| *byte == 0) {
        return Frame::Torn;
    }
    let Some((head, rest)) = bytes.split_at_checked(FRAME_HEADER_BYTES) else {
        return Frame::Torn;
    };
    let number = |at: usize| head.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes);
    let (length, payload_check, head_check) = (number(0) as usize, number(4), number(8));
    if crc32fast::hash(&head[..8]) != head_check || length > MAX_PAYLOAD_BYTES {
        return Frame::Damaged;
    }
    let Some((payload, rest)) = rest.split_at_checked(length) else {
        return Frame::Torn;
    };
    if crc32fast::hash(payload) != payload_check {
        return Frame::Damaged;
    }
    decode(payload).map_or(Frame::Damaged, |delta| Frame::Whole(Box::new(delta), rest))
}

fn decode(payload: &[u8]) -> Option<TableDelta> {
    let (delta, used) = bincode::serde::decode_from_slice(payload, bincode::config::standard()).ok()?;
    (used == payload.len()).then_some(delta)
}

/// The deltas of a file of which every byte is good; `None` if there is anything else.
#[must_use]
pub fn read_all(bytes: &[u8]) -> Option<Vec<TableDelta>> {
    let contents = read(bytes).ok()?;
    (contents.ending == Ending::Clean && contents.good_bytes >= HEADER_BYTES).then_some(contents.deltas)
}

/// A whole table as a snapshot.
///
/// Errors: [`EncodeError`].
pub fn whole(table: &AssignmentTable) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = header().to_vec();
    bytes.extend(frame(&table.to_delta())?);
    Ok(bytes)
}

/// The table of a snapshot as [`whole`] writes it; `None` if the bytes are damaged, cut off or something else.
#[must_use]
pub fn read_whole(bytes: &[u8]) -> Option<AssignmentTable> {
    let deltas = read_all(bytes)?;
    (deltas.len() == 1).then(|| replay(Some(&deltas), &[]))
}

/// Puts a snapshot and the log after it together.
///
/// `None` for the snapshot means that it was lost: then the log alone would be a table with holes, so only the highest stamp and the
/// log position are taken over, and the table is empty.
#[must_use]
pub fn replay(snapshot: Option<&[TableDelta]>, log: &[TableDelta]) -> AssignmentTable {
    let Some(snapshot) = snapshot else {
        let newest = log.iter().map(|delta| (delta.epoch, delta.seq)).max().unwrap_or((Epoch(0), Seq(0)));
        let highest_stamp = log.iter().map(|delta| delta.highest_stamp).max().unwrap_or(Stamp(0));
        return AssignmentTable::continuing(newest.0, newest.1, highest_stamp);
    };
    let mut table = AssignmentTable::default();
    for delta in snapshot.iter().chain(log) {
        // A log that was not yet emptied when the machine stopped holds deltas that the snapshot has already; `apply` skips them.
        table.apply(delta);
    }
    table
}

#[cfg(test)]
mod tests;
