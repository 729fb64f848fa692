//! Payloads of intakes and keys that are not configured any more: told once, and removed when they are as old as any may get.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use muster_actors::domain::spool_file::{Head, LONGEST_HEAD};
use muster_actors::domain::spool_policy::SpoolPolicy;
use muster_actors::kernel::clock::Clock;
use tracing::{info, warn};

use super::disk::{self, WHOLE};
use super::{FileSpool, NAME_BYTES, Territory};

/// Time between two looks. Ages are counted in days.
const LOOK_INTERVAL: Duration = Duration::from_secs(3600);

/// The folders beside those of the spools that are in use.
pub struct Leftovers {
    root: PathBuf,
    in_use: Vec<Territory>,
    policy: SpoolPolicy,
    told: BTreeSet<PathBuf>,
}

/// What one of them held.
#[derive(Debug, Default, PartialEq, Eq)]
struct Held {
    files: u64,
    bytes: u64,
    /// How many of the files were too old, and are gone.
    removed: u64,
}

impl Leftovers {
    /// What lies below `root` and belongs to none of these spools; `policy` says how old it may get.
    #[must_use]
    pub fn new<'a>(root: PathBuf, spools: impl IntoIterator<Item = &'a FileSpool>, policy: SpoolPolicy) -> Self {
        // As the spools do it, so that their folders are known again.
        let root = std::path::absolute(&root).unwrap_or(root);
        Self { root, in_use: spools.into_iter().map(FileSpool::territory).collect(), policy, told: BTreeSet::new() }
    }

    /// Looks again and again, without end.
    pub async fn watch(mut self, clock: Arc<dyn Clock>) {
        loop {
            let now = clock.unix_seconds();
            let looking = tokio::task::spawn_blocking(move || {
                self.look(now);
                self
            });
            // Nobody waits for what a broken disk does to this.
            let Ok(looked) = looking.await else { return };
            self = looked;
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// `now` in seconds since the Unix epoch.
    fn look(&mut self, now: i64) {
        // There is nothing left over where there is nothing, or nothing can be read.
        let Ok(entries) = fs::read_dir(&self.root) else { return };
        let mut folders: Vec<PathBuf> =
            entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| self.is_left_over(path)).collect();
        folders.sort();
        for folder in folders {
            let shown = folder.display();
            match self.tidy(&folder, now) {
                Ok(None) => {}
                Ok(Some(Held { files, bytes, removed })) => {
                    if self.told.insert(folder.clone()) && files > 0 {
                        warn!(
                            folder = %shown,
                            files,
                            bytes,
                            "payloads are kept for an intake or key that is not configured: configure it again to send them, or they are \
                             removed when they are older than forwarder_outdated_file_in_days"
                        );
                    }
                    if removed > 0 {
                        info!(folder = %shown, files = removed, "outdated payloads of an intake or key that is not configured removed");
                    }
                }
                Err(error) => {
                    if self.told.insert(folder.clone()) {
                        warn!(folder = %shown, %error, "payloads of an intake or key that is not configured cannot be looked at");
                    }
                }
            }
        }
    }

    /// Whether it is named like a folder of payloads, and none of the spools owns it.
    fn is_left_over(&self, path: &Path) -> bool {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
        let is_checksum = |text: &str| text.len() == 2 * NAME_BYTES && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        let ours = name.split_once('-').is_some_and(|(url, key)| is_checksum(url) && is_checksum(key));
        ours && path.is_dir() && !self.in_use.iter().any(|territory| territory.holds(name))
    }

    /// Removes what is too old, and the folder with the last of it. `None`: another process uses it.
    fn tidy(&self, folder: &Path, now: i64) -> io::Result<Option<Held>> {
        let _lock = match disk::lock(folder) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut held = Held::default();
        let (payloads, others): (Vec<_>, Vec<_>) = disk::list(folder)?.into_iter().partition(|(name, _)| name.ends_with(WHOLE));
        for (name, bytes) in payloads {
            let path = folder.join(name);
            held.files += 1;
            held.bytes += bytes;
            if self.policy.is_too_old(since(&path, bytes)?, now) {
                fs::remove_file(&path)?;
                held.removed += 1;
            }
        }
        if held.removed == held.files {
            for (name, _) in others {
                fs::remove_file(folder.join(name))?;
            }
            fs::remove_dir(folder)?;
        }
        Ok(Some(held))
    }
}

/// When a payload was stored, as it says itself, or else as its file does. Units: seconds since the Unix epoch.
fn since(path: &Path, bytes: u64) -> io::Result<i64> {
    if let Ok(head) = Head::read(&disk::read(path, Some(LONGEST_HEAD))?, bytes) {
        return Ok(head.since);
    }
    let written = fs::metadata(path)?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(i64::try_from(written.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use muster_actors::domain::delivery::{Contents, Payload, Route};
    use muster_actors::ports::Spool as _;

    use super::*;

    const DAY: i64 = 24 * 3600;
    const NOW: i64 = 1_700_000_000;

    fn payload() -> Payload {
        let route = Route { name: "intake", path: "/intake/", content_type: "" };
        Payload::new(route, b"body".to_vec(), Contents { events: 1, ..Contents::default() })
    }

    /// Stores payloads of these ages in days for an intake and key that nobody uses any more.
    async fn stored(root: &Path, url: &str, key: &str, ages: &[i64]) -> PathBuf {
        let spool = FileSpool::new(root, url, key, false);
        spool.open().await.unwrap();
        for age in ages {
            spool.store(vec![payload()], NOW - age * DAY).await.unwrap();
        }
        root.join(super::super::folder_name(url, key))
    }

    #[tokio::test]
    async fn what_is_outdated_goes_and_the_rest_stays() {
        let root = tempfile::tempdir().unwrap();
        let gone = stored(root.path(), "http://gone", "k", &[1, 11, 12]).await;
        let all_old = stored(root.path(), "http://older", "k", &[11]).await;
        let living = stored(root.path(), "http://living", "k", &[11]).await;
        let estate = stored(root.path(), "http://living", "old-key", &[11]).await;
        let several = stored(root.path(), "http://several", "strange-key", &[11, 2]).await;
        fs::create_dir(root.path().join("of-somebody-else")).unwrap();
        let spools =
            [FileSpool::new(root.path(), "http://living", "k", true), FileSpool::new(root.path(), "http://several", "known-key", false)];
        let mut leftovers = Leftovers::new(root.path().to_owned(), &spools, SpoolPolicy::default());
        let files = |folder: &Path| {
            fs::read_dir(folder).map_or(0, |files| {
                files.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|ending| ending == "payload")).count()
            })
        };
        let held = leftovers.tidy(&gone, NOW - 5 * DAY).unwrap().unwrap();
        assert_eq!((held.files, held.removed), (3, 0), "five days ago none was too old");
        leftovers.look(NOW);
        assert_eq!((files(&gone), files(&several)), (1, 1));
        assert!(!all_old.exists(), "nothing was left in it");
        assert_eq!((files(&living), files(&estate)), (1, 1), "those are for the output");
        assert!(root.path().join("of-somebody-else").exists());
        assert_eq!(leftovers.told, BTreeSet::from([gone.clone(), all_old, several]));
        leftovers.look(NOW + 10 * DAY);
        assert!(!gone.exists());
    }

    #[tokio::test]
    async fn what_another_process_uses_or_cannot_be_read_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let used = stored(root.path(), "http://used", "k", &[11]).await;
        let user = FileSpool::new(root.path(), "http://used", "k", false);
        user.open().await.unwrap();
        let damaged = stored(root.path(), "http://damaged", "k", &[]).await;
        fs::write(damaged.join("00000000000000000000.payload"), b"nothing that anybody knows").unwrap();
        let mut leftovers = Leftovers::new(root.path().to_owned(), &[], SpoolPolicy::default());
        leftovers.look(NOW);
        assert!(used.join("00000000000000000000.payload").exists());
        assert!(damaged.exists(), "as old as its file, which is new");
        assert_eq!(leftovers.told.len(), 1);
        Leftovers::new(root.path().join("absent"), &[], SpoolPolicy::default()).look(NOW);
    }
}
