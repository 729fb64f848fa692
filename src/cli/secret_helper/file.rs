//! Secrets that are files, as Kubernetes mounts them. Source: cluster-agent-kubernetes 8.1, 9.3.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Component, Path, PathBuf};

/// Largest file that is read, bytes. Source: the stock helper.
pub(super) const MAX_BYTES: u64 = 8192;

/// Why a file is not read. The value is in none of the texts.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// The handle is no path below the folder.
    #[error("the handle must be the path of a file below {}, without `..` and not absolute", folder.display())]
    NotBelow {
        /// The folder.
        folder: PathBuf,
    },
    /// Without a folder only an absolute path says which file is meant.
    #[error("the path after `file@` must be absolute")]
    NotAbsolute,
    /// A link leads out of the folder.
    #[error("not following a symbolic link out of {}", folder.display())]
    Leaves {
        /// The folder.
        folder: PathBuf,
    },
    /// There is no such file.
    #[error("secret does not exist")]
    Missing,
    /// It is a folder, a pipe or a device.
    #[error("not a file")]
    NotAFile,
    /// It is too large.
    #[error("secret exceeds the allowed size of {MAX_BYTES} bytes")]
    TooLarge,
    /// It holds other bytes than UTF-8 text.
    #[error("secret is not UTF-8 text")]
    NotText,
    /// The system says no.
    #[error("{0}")]
    Unreadable(std::io::Error),
}

impl From<std::io::Error> for FileError {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == ErrorKind::NotFound { Self::Missing } else { Self::Unreadable(error) }
    }
}

/// Reads the file `handle` below `folder`; no link and no `..` leads out of it.
///
/// The links that Kubernetes makes (`token` to `..data/token`, `..data` to a folder beside it) stay inside.
///
/// Errors: [`FileError`].
pub(super) fn read_below(folder: &Path, handle: &str) -> Result<String, FileError> {
    let path = Path::new(handle);
    let is_plain = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if handle.is_empty() || !is_plain {
        return Err(FileError::NotBelow { folder: folder.to_owned() });
    }
    read_inside(folder, &folder.join(path))
}

/// Reads the file at an absolute path; links may lead elsewhere only below the folder the file is in.
///
/// Errors: [`FileError`].
pub(super) fn read_at(path: &str) -> Result<String, FileError> {
    let path = Path::new(path);
    match path.parent() {
        Some(folder) if path.is_absolute() => read_inside(folder, path),
        _ => Err(FileError::NotAbsolute),
    }
}

fn read_inside(folder: &Path, path: &Path) -> Result<String, FileError> {
    let real = path.canonicalize()?;
    if !real.starts_with(folder.canonicalize()?) {
        return Err(FileError::Leaves { folder: folder.to_owned() });
    }
    // Asked before it is opened: opening a pipe waits for its writer.
    if !real.metadata()?.is_file() {
        return Err(FileError::NotAFile);
    }
    let mut bytes = Vec::new();
    File::open(&real)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(FileError::TooLarge);
    }
    String::from_utf8(bytes).map_err(|_| FileError::NotText)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    /// `outer/secret` and, as Kubernetes mounts it, `outer/mounted/token`.
    fn mounted() -> (TempDir, PathBuf) {
        let outer = tempfile::tempdir().unwrap();
        fs::write(outer.path().join("secret"), "of somebody else").unwrap();
        let folder = outer.path().join("mounted");
        fs::create_dir_all(folder.join("..2026_11_21")).unwrap();
        fs::write(folder.join("..2026_11_21/token"), "v1\n").unwrap();
        symlink("..2026_11_21", folder.join("..data")).unwrap();
        symlink("..data/token", folder.join("token")).unwrap();
        (outer, folder)
    }

    fn text(found: Result<String, FileError>) -> String {
        found.unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn a_mounted_secret_is_read_through_the_links_of_kubernetes() {
        let (_outer, folder) = mounted();
        for handle in ["token", "./token", "..data/token"] {
            assert_eq!(text(read_below(&folder, handle)), "v1\n", "{handle}");
        }
        assert_eq!(text(read_at(folder.join("token").to_str().unwrap())), "v1\n");
    }

    #[test]
    fn a_folder_that_is_a_link_itself_is_where_it_leads() {
        let (outer, folder) = mounted();
        let link = outer.path().join("link");
        symlink(&folder, &link).unwrap();
        assert_eq!(text(read_below(&link, "token")), "v1\n");
        assert_eq!(text(read_at(link.join("token").to_str().unwrap())), "v1\n");
    }

    #[test]
    fn nothing_outside_of_the_folder_is_read() {
        let (outer, folder) = mounted();
        let secret = outer.path().join("secret");
        symlink(&secret, folder.join("absolute-link")).unwrap();
        symlink("../secret", folder.join("relative-link")).unwrap();
        symlink("..", folder.join("up")).unwrap();
        for handle in ["../secret", "x/../../secret", "..", "", "/", secret.to_str().unwrap()] {
            let said = text(read_below(&folder, handle));
            assert!(said.starts_with("the handle must be the path of a file below "), "{handle}: {said}");
        }
        for handle in ["absolute-link", "relative-link", "up/secret"] {
            assert_eq!(text(read_below(&folder, handle)), format!("not following a symbolic link out of {}", folder.display()), "{handle}");
        }
        assert!(matches!(read_at(folder.join("relative-link").to_str().unwrap()), Err(FileError::Leaves { .. })));
        assert!(matches!(read_at("mounted/token"), Err(FileError::NotAbsolute)));
    }

    #[test]
    fn a_folder_of_a_similar_name_is_another_folder() {
        let (outer, folder) = mounted();
        fs::create_dir(outer.path().join("mounted-not")).unwrap();
        fs::write(outer.path().join("mounted-not/x"), "of somebody else").unwrap();
        symlink("../mounted-not/x", folder.join("x")).unwrap();
        assert!(matches!(read_below(&folder, "x"), Err(FileError::Leaves { .. })));
    }

    #[test]
    fn what_is_no_small_text_file_is_not_read() {
        let (_outer, folder) = mounted();
        fs::write(folder.join("full"), "x".repeat(8192)).unwrap();
        fs::write(folder.join("large"), "x".repeat(8193)).unwrap();
        fs::write(folder.join("bytes"), [0xff, 0xfe]).unwrap();
        assert_eq!(text(read_below(&folder, "full")).len(), 8192);
        assert_eq!(text(read_below(&folder, "large")), "secret exceeds the allowed size of 8192 bytes");
        assert_eq!(text(read_below(&folder, "bytes")), "secret is not UTF-8 text");
        assert_eq!(text(read_below(&folder, "..data")), "not a file");
        assert_eq!(text(read_below(&folder, "missing")), "secret does not exist");
        assert_eq!(text(read_below(&folder.join("no-folder"), "token")), "secret does not exist");
    }
}
