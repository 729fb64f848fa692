//! What a child keeps on its disk for the intake, read from the very files that its next life will read.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use muster_actors::domain::spool_file;

use crate::demo::payload::{EventId, events};

/// Ending of the name of a file that is whole.
const WHOLE: &str = "payload";

/// How bodies are compressed where nothing else is set.
const ENCODING: &str = "zstd";

/// The events on the disk of the child with this run folder. What cannot be read is none: it would not be sent either.
#[must_use]
pub fn spooled_events(run: &Path) -> BTreeSet<EventId> {
    let folders = fs::read_dir(run.join("transactions_to_retry")).into_iter().flatten().flatten();
    let files = folders.flat_map(|folder| fs::read_dir(folder.path()).into_iter().flatten().flatten());
    let whole = files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|ending| ending == WHOLE));
    // A file may be gone by now: its payload was accepted.
    let bodies = whole.filter_map(|path| spool_file::body(fs::read(path).ok()?).ok());
    bodies.filter_map(|body| events(ENCODING, &body).ok()).flatten().collect()
}

#[cfg(test)]
mod tests {
    use muster_actors::domain::delivery::{Contents, Payload, Route};

    use super::*;

    #[test]
    fn only_whole_files_count() {
        let run = tempfile::tempdir().unwrap();
        assert_eq!(spooled_events(run.path()), BTreeSet::new());
        let folder = run.path().join("transactions_to_retry/destination");
        fs::create_dir_all(&folder).unwrap();
        let route = Route { name: "intake", path: "/intake/", content_type: "application/json" };
        let body = zstd::encode_all(br#"{"events":{"System":[{"timestamp":7,"host":"a"}]}}"#.as_slice(), 1).unwrap();
        let file = spool_file::write(&Payload::new(route, body, Contents::default()), 7).unwrap();
        fs::write(folder.join("1.payload"), &file).unwrap();
        fs::write(folder.join("2.payload"), &file[1..]).unwrap();
        fs::write(folder.join("3.new"), &file).unwrap();
        fs::write(folder.join("lock"), "").unwrap();
        assert_eq!(spooled_events(run.path()), BTreeSet::from([EventId { host: "a".into(), at: 7, kind: String::new() }]));
    }
}
