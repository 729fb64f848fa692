//! The form of a payload in a file. Layout, all numbers little-endian:
//!
//! ```text
//! head   "MUSTERSP" (8 bytes), format version (u32), length of the route name (u16), length of the body (u64),
//!        since (i64), points, sketches, check runs, events (u64 each), CRC-32 of the body (u32)
//! name   of the route, UTF-8
//! check  CRC-32 of everything before (u32)
//! body
//! ```
//!
//! Why two checksums: a listing reads only the beginning of each file.

use crate::domain::delivery::{Contents, Payload};

const MAGIC: &[u8; 8] = b"MUSTERSP";

/// The only format so far.
const FORMAT_VERSION: u32 = 1;

/// Length of what stands before the name of the route.
const HEAD_BYTES: usize = 8 + 4 + 2 + 8 + 8 + 4 * 8 + 4;

/// Longest name of a route.
const MAX_NAME_BYTES: usize = 48;

/// How much of a file [`Head::read`] has to be given.
pub const LONGEST_HEAD: usize = HEAD_BYTES + MAX_NAME_BYTES + 4;

/// What the beginning of a file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Name of the route.
    pub route: String,
    /// What is in the payload.
    pub contents: Contents,
    /// When it was stored. Units: seconds since the Unix epoch.
    pub since: i64,
    body_check: u32,
    /// Where the body begins.
    body_at: usize,
}

/// A file that is not whole, or none of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// It does not begin as our files do.
    #[error("no payload")]
    Foreign,
    /// A newer program wrote it.
    #[error("format {0}, known: {FORMAT_VERSION}")]
    Newer(u32),
    /// It ends too early, or something follows.
    #[error("length of the file")]
    Length,
    /// A checksum differs.
    #[error("checksum")]
    Checksum,
}

/// The bytes of the file of a payload; `None` if the name of its route is longer than names are.
#[must_use]
pub fn write(payload: &Payload, since: i64) -> Option<Vec<u8>> {
    let name = payload.route.name.as_bytes();
    if name.len() > MAX_NAME_BYTES {
        return None;
    }
    let contents = payload.contents;
    let mut bytes = Vec::with_capacity(LONGEST_HEAD + payload.body.len());
    bytes.extend(MAGIC);
    bytes.extend(FORMAT_VERSION.to_le_bytes());
    bytes.extend((name.len() as u16).to_le_bytes());
    bytes.extend((payload.body.len() as u64).to_le_bytes());
    bytes.extend(since.to_le_bytes());
    for count in [contents.points, contents.sketches, contents.check_runs, contents.events] {
        bytes.extend(count.to_le_bytes());
    }
    bytes.extend(crc32fast::hash(&payload.body).to_le_bytes());
    bytes.extend(name);
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes.extend(&payload.body);
    Some(bytes)
}

/// Takes numbers off the front.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], FileError> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(FileError::Length)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn number(&mut self) -> Result<u64, FileError> {
        self.take().map(u64::from_le_bytes)
    }
}

impl Head {
    /// Reads the beginning of a file that is `file_bytes` long.
    ///
    /// Errors: [`FileError`].
    pub fn read(beginning: &[u8], file_bytes: u64) -> Result<Self, FileError> {
        let mut reader = Reader(beginning);
        if reader.take().map_err(|_| FileError::Length)? != *MAGIC {
            return Err(FileError::Foreign);
        }
        match u32::from_le_bytes(reader.take()?) {
            FORMAT_VERSION => {}
            newer if newer > FORMAT_VERSION => return Err(FileError::Newer(newer)),
            _ => return Err(FileError::Foreign),
        }
        let name_bytes = usize::from(u16::from_le_bytes(reader.take()?));
        let bytes = reader.number()?;
        let since = i64::from_le_bytes(reader.take()?);
        let (points, sketches) = (reader.number()?, reader.number()?);
        let (check_runs, events) = (reader.number()?, reader.number()?);
        let body_check = u32::from_le_bytes(reader.take()?);
        let checked = beginning.get(..HEAD_BYTES + name_bytes).ok_or(FileError::Length)?;
        let body_at = checked.len() + 4;
        let check = beginning.get(checked.len()..body_at).ok_or(FileError::Length)?;
        if check != crc32fast::hash(checked).to_le_bytes() {
            return Err(FileError::Checksum);
        }
        if (body_at as u64).checked_add(bytes) != Some(file_bytes) {
            return Err(FileError::Length);
        }
        let route = std::str::from_utf8(&checked[HEAD_BYTES..]).map_err(|_| FileError::Foreign)?.to_owned();
        Ok(Self { route, contents: Contents { payloads: 1, bytes, points, sketches, check_runs, events }, since, body_check, body_at })
    }
}

/// The body in a whole file.
///
/// Errors: [`FileError`].
pub fn body(mut file: Vec<u8>) -> Result<Vec<u8>, FileError> {
    let head = Head::read(&file, file.len() as u64)?;
    let body = file.split_off(head.body_at);
    if crc32fast::hash(&body) == head.body_check { Ok(body) } else { Err(FileError::Checksum) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::delivery::Route;

    const ROUTE: Route = Route { name: "intake", path: "/intake/", content_type: "application/json" };

    fn payload(body: &[u8]) -> Payload {
        Payload::new(ROUTE, body.to_vec(), Contents { points: 1, sketches: 2, check_runs: 3, events: 4, ..Contents::default() })
    }

    #[test]
    fn what_is_written_can_be_read() {
        for text in [b"".as_slice(), b"a body"] {
            let file = write(&payload(text), 1_700_000_000).expect("a short name");
            let head = Head::read(&file[..file.len().min(LONGEST_HEAD)], file.len() as u64).expect("whole");
            assert_eq!((head.route.as_str(), head.contents, head.since), ("intake", payload(text).contents, 1_700_000_000));
            assert_eq!(body(file).expect("whole"), text);
        }
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_found() {
        let file = write(&payload(b"a body"), 7).expect("a short name");
        for length in 0..file.len() {
            let cut = file[..length].to_vec();
            assert_eq!(Head::read(&cut, length as u64), Err(FileError::Length), "{length}");
            assert!(body(cut).is_err());
        }
        for bit in 0..file.len() * 8 {
            let mut damaged = file.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(body(damaged).is_err(), "bit {bit}");
        }
        let mut longer = file.clone();
        longer.push(0);
        assert_eq!(body(longer), Err(FileError::Length));
    }

    #[test]
    fn a_newer_format_is_told_from_damage() {
        let mut file = write(&payload(b"a"), 7).expect("a short name");
        file[8] = 2;
        assert_eq!(body(file), Err(FileError::Newer(2)));
    }

    #[test]
    fn a_name_that_no_listing_could_read_is_not_written() {
        let name = "a name of more than forty-eight letters is no name of a route";
        let long = Payload::new(Route { name, ..ROUTE }, Vec::new(), Contents::default());
        assert_eq!(write(&long, 0), None);
    }
}
