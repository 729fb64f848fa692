//! Files that hold secrets: created once, complete, readable by their owner only.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Creates the file with this content unless it exists; gives the content that is there afterwards.
///
/// Two processes that start together agree: the content is written aside and linked into place, so one of them wins and nobody
/// reads half a file.
///
/// Errors: any of the file system.
pub(crate) fn create(path: &Path, content: &[u8]) -> io::Result<Vec<u8>> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{}", uuid::Uuid::new_v4().simple()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| match fs::hard_link(&aside, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        outcome => outcome,
    });
    fs::remove_file(&aside)?;
    linked?;
    fs::read(path)
}
