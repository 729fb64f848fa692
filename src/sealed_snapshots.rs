//! Snapshots at rest: compressed, then encrypted with a key that follows from the cluster token.
//!
//! Configs in a snapshot may hold resolved secrets, and whoever may read a ConfigMap or a shared folder need not know them
//! (docs/adr/019-snapshots-are-sealed.md). Layout, numbers little-endian:
//!
//! ```text
//! head    "MUSTERSL" (8 bytes), version (u32), which key (8 bytes); authenticated, not encrypted
//! nonce   12 random bytes
//! body    AES-256-GCM of the snapshot as zstd, with its tag (16 bytes)
//! ```

use std::io;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt as _};
use muster_actors::domain::secret::Secret;
use muster_actors::ports::{SaveOutcome, SnapshotStore, StillLeads, StoreError};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::task::spawn_blocking;
use tracing::warn;

const MAGIC: &[u8; 8] = b"MUSTERSL";

/// Version of the layout, the key derivation and the cipher together.
const VERSION: u32 = 1;

const KEY_ID_BYTES: usize = 8;

const HEAD_BYTES: usize = MAGIC.len() + 4 + KEY_ID_BYTES;

/// Why: the default of the format; a snapshot shrinks to about a tenth.
const COMPRESSION_LEVEL: i32 = 3;

/// What the token is used for here, so that nothing else that is derived from it is ever the same.
const CONTEXT: &[u8] = b"muster snapshot 1";

/// Why a snapshot was not sealed. None of them depends on the token.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The key derivation refused.
    #[error("derive the key of snapshots from the cluster token")]
    Key,
    /// The compressor refused.
    #[error("compress the snapshot")]
    Compress(#[source] io::Error),
    /// The system gives no random numbers.
    #[error("encrypt the snapshot: no random numbers")]
    Random,
    /// The cipher refused.
    #[error("encrypt the snapshot")]
    Encrypt,
}

/// Why stored bytes are no snapshot for this replica, and what would make them one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// They begin with something else.
    #[error("it was not written by muster, or begins with damage; use a place of its own for each cluster")]
    NotSealed,
    /// A newer program wrote them.
    #[error("it has format {found}, this program reads format {VERSION}; start the newer program")]
    Newer {
        /// Their format.
        found: u32,
    },
    /// They were sealed with another key.
    #[error("it was sealed with another cluster token; give all replicas the token with which it was saved")]
    OtherToken,
    /// They are not what was written.
    #[error("it is damaged; if it happens again, look at who else may write there")]
    Damaged,
}

struct KeyId;

impl KeyType for KeyId {
    fn len(&self) -> usize {
        KEY_ID_BYTES
    }
}

/// Seals and opens with the key of one cluster token.
#[derive(Clone)]
pub struct Seal {
    key: LessSafeKey,
    head: [u8; HEAD_BYTES],
    random: SystemRandom,
}

impl Seal {
    /// With the key that follows from this token.
    ///
    /// Errors: [`SealError::Key`].
    pub fn try_new(token: &Secret<String>) -> Result<Self, SealError> {
        let secret = Salt::new(HKDF_SHA256, b"muster").extract(token.expose().as_bytes());
        let key = secret.expand(&[CONTEXT, b", key"], &AES_256_GCM).map_err(|_| SealError::Key)?;
        let mut head = [0; HEAD_BYTES];
        head[..8].copy_from_slice(MAGIC);
        head[8..12].copy_from_slice(&VERSION.to_le_bytes());
        let id = secret.expand(&[CONTEXT, b", name of the key"], KeyId).map_err(|_| SealError::Key)?;
        id.fill(&mut head[12..]).map_err(|_| SealError::Key)?;
        Ok(Self { key: LessSafeKey::new(UnboundKey::from(key)), head, random: SystemRandom::new() })
    }

    /// Compresses and encrypts. Takes milliseconds.
    ///
    /// Errors: [`SealError`].
    pub fn seal(&self, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        // Before encrypting: nothing shrinks afterwards.
        let mut body = zstd::bulk::compress(plain, COMPRESSION_LEVEL).map_err(SealError::Compress)?;
        // Random is unique enough: one save in 5 s for a century is 2^30 of the 2^32 that are allowed with one key.
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| SealError::Random)?;
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(self.head), &mut body)
            .map_err(|_| SealError::Encrypt)?;
        Ok([&self.head[..], &nonce, &body].concat())
    }

    /// Reads what [`Self::seal`] wrote. Takes milliseconds.
    ///
    /// Errors: [`Unreadable`].
    pub fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let (head, rest) = sealed.split_first_chunk::<HEAD_BYTES>().ok_or(Unreadable::NotSealed)?;
        if !head.starts_with(MAGIC) {
            return Err(Unreadable::NotSealed);
        }
        let found = head[8..12].try_into().map_or(0, u32::from_le_bytes);
        if found > VERSION {
            return Err(Unreadable::Newer { found });
        }
        if *head != self.head {
            return Err(if found == VERSION { Unreadable::OtherToken } else { Unreadable::NotSealed });
        }
        let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>().ok_or(Unreadable::Damaged)?;
        let mut body = body.to_vec();
        let compressed =
            self.key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(head), &mut body).map_err(|_| Unreadable::Damaged)?;
        zstd::stream::decode_all(&*compressed).map_err(|_| Unreadable::Damaged)
    }
}

/// A store whose content only replicas with the same cluster token can read. What cannot be read counts as not there.
pub struct SealedSnapshots<S> {
    store: Arc<S>,
    seal: Seal,
}

impl<S: SnapshotStore + 'static> SealedSnapshots<S> {
    /// Keeps sealed snapshots in this store.
    #[must_use]
    pub fn new(store: S, seal: Seal) -> Self {
        Self { store: Arc::new(store), seal }
    }
}

impl<S: SnapshotStore + 'static> SnapshotStore for SealedSnapshots<S> {
    fn load(&self) -> BoxFuture<'static, Result<Option<Vec<u8>>, StoreError>> {
        let (store, seal) = (Arc::clone(&self.store), self.seal.clone());
        async move {
            let Some(sealed) = store.load().await? else { return Ok(None) };
            let opened = blocking("open the snapshot", move || seal.open(&sealed)).await?;
            Ok(opened
                .inspect_err(|reason| {
                    warn!(%reason, "the stored snapshot cannot be used; going on without it, the next save replaces it");
                })
                .ok())
        }
        .boxed()
    }

    fn save(&self, snapshot: Vec<u8>, leads: StillLeads) -> BoxFuture<'static, Result<SaveOutcome, StoreError>> {
        let (store, seal) = (Arc::clone(&self.store), self.seal.clone());
        async move {
            let step = "seal the snapshot";
            let sealed = blocking(step, move || seal.seal(&snapshot)).await?.map_err(|error| failed(step, error))?;
            store.save(sealed, leads).await
        }
        .boxed()
    }
}

/// Why: this may be the thread of the actors.
async fn blocking<T: Send + 'static>(step: &str, work: impl FnOnce() -> T + Send + 'static) -> Result<T, StoreError> {
    spawn_blocking(work).await.map_err(|error| failed(step, error))
}

fn failed(step: &str, source: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError { step: step.to_owned(), source: Arc::new(source) }
}

#[cfg(test)]
mod tests {
    use muster_actors::testing::snapshot_store::FakeSnapshotStore;

    use super::*;

    /// Around the ciphertext: head, nonce, tag.
    const OVERHEAD: usize = HEAD_BYTES + NONCE_LEN + 16;

    fn seal(token: &str) -> Seal {
        Seal::try_new(&Secret::new(token.to_owned())).unwrap()
    }

    fn leads() -> StillLeads {
        Arc::new(|| true)
    }

    fn contains(bytes: &[u8], part: &[u8]) -> bool {
        bytes.windows(part.len()).any(|window| window == part)
    }

    #[test]
    fn a_sealed_snapshot_shows_nothing_and_is_hardly_larger_than_compressed() {
        let plain = b"password: hunter2, a text that is too short to shrink".to_vec();
        let one = seal("token").seal(&plain).unwrap();
        assert!(!contains(&one, b"hunter2") && !contains(&one, b"shrink"));
        assert_ne!(one, seal("token").seal(&plain).unwrap(), "nobody sees whether two snapshots are equal");
        assert_eq!(seal("token").open(&one).unwrap(), plain);
        let long = plain.repeat(10_000);
        let compressed = zstd::bulk::compress(&long, COMPRESSION_LEVEL).unwrap();
        assert_eq!(seal("token").seal(&long).unwrap().len(), compressed.len() + OVERHEAD);
    }

    #[test]
    fn a_change_anywhere_and_every_cut_is_noticed() {
        let seal = seal("token");
        let sealed = seal.seal(b"a table").unwrap();
        for position in 0..sealed.len() {
            for bit in 0..8 {
                let mut changed = sealed.clone();
                changed[position] ^= 1 << bit;
                assert!(seal.open(&changed).is_err(), "bit {bit} of byte {position}");
            }
            assert!(seal.open(&sealed[..position]).is_err(), "cut at {position}");
        }
    }

    #[test]
    fn the_reason_and_the_mend_are_named() {
        let sealed = seal("token").seal(b"a table").unwrap();
        assert_eq!(seal("another token").open(&sealed), Err(Unreadable::OtherToken));
        assert_eq!(seal("token").open(b"MUSTERAT and so on, as written to the disk of one server"), Err(Unreadable::NotSealed));
        let mut newer = sealed.clone();
        newer[8] = 2;
        assert_eq!(seal("token").open(&newer), Err(Unreadable::Newer { found: 2 }));
        let mut damaged = sealed;
        damaged[HEAD_BYTES + NONCE_LEN] ^= 1;
        assert_eq!(seal("token").open(&damaged), Err(Unreadable::Damaged));
        assert!(Unreadable::OtherToken.to_string().contains("give all replicas the token"));
    }

    #[tokio::test]
    async fn what_cannot_be_read_counts_as_not_there_and_is_replaced() {
        let place = FakeSnapshotStore::default();
        let before = SealedSnapshots::new(place.clone(), seal("old token"));
        before.save(b"old".to_vec(), leads()).await.unwrap();
        assert_eq!(before.load().await.unwrap().as_deref(), Some(b"old".as_slice()));
        let after = SealedSnapshots::new(place.clone(), seal("new token"));
        assert_eq!(after.load().await.unwrap(), None);
        after.save(b"new".to_vec(), leads()).await.unwrap();
        assert_eq!(after.load().await.unwrap().as_deref(), Some(b"new".as_slice()));
        assert!(!contains(&place.bytes().unwrap(), b"new"));
        place.fail(true);
        assert!(after.load().await.is_err(), "a store that does not answer is asked again");
    }
}
