//! What the documents name exists: paths and links.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::fs;
use std::path::{Path, PathBuf};

/// First parts of the paths of this repository that documents name.
const ROOTS: [&str; 7] = ["src/", "actors/", "docs/", "tests/", "benches/", "deploy/", "kernel/"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The documents: the README, the rules for contributors, and everything in `docs`.
fn documents() -> Vec<String> {
    let mut found = vec!["README.md".to_owned(), "CONTRIBUTING.md".to_owned()];
    let mut folders = vec!["docs".to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{folder}/{}", entry.file_name().into_string().unwrap());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if Path::new(&path).extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found
}

fn read(document: &str) -> String {
    fs::read_to_string(root().join(document)).unwrap()
}

/// Texts between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// Targets of `[text](target)` that are no web addresses.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://") && !target.starts_with('#')).collect()
}

/// Where a quoted path is: from the root, below the actors' sources, or beside the path named before it in the same cell.
fn candidates(path: &str, before: Option<&Path>) -> Vec<PathBuf> {
    let path = path.split('<').next().unwrap_or(path).trim_end_matches('/');
    let mut found = vec![root().join(path), root().join("actors/src").join(path)];
    found.extend(before.and_then(Path::parent).map(|folder| folder.join(path)));
    found
}

fn is_path(word: &str) -> bool {
    let extension = Path::new(word).extension().and_then(|extension| extension.to_str());
    let sourcefile = matches!(extension, Some("rs" | "md" | "sh"));
    // What begins with a slash is a path of an image or machine.
    !word.contains([' ', '{']) && !word.starts_with('/') && (ROOTS.iter().any(|prefix| word.starts_with(prefix)) || sourcefile)
}

fn missing_paths(document: &str) -> Vec<String> {
    let text = read(document);
    let mut missing = Vec::new();
    let mut before: Option<PathBuf> = None;
    for word in quoted(&text).into_iter().filter(|word| is_path(word)) {
        match candidates(word, before.as_deref()).into_iter().find(|path| path.exists()) {
            Some(path) => before = Some(path),
            None => missing.push(format!("{document}: {word}")),
        }
    }
    missing
}

#[test]
fn every_path_that_the_documents_name_exists() {
    let text = read("docs/ARCHITECTURE.md");
    assert!(quoted(&text).into_iter().filter(|word| is_path(word)).count() > 30, "the map names its files in backticks");
    let missing: Vec<String> = documents().iter().flat_map(|document| missing_paths(document)).collect();
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn every_link_leads_somewhere() {
    let mut broken = Vec::new();
    for document in documents() {
        let folder = root().join(&document).parent().unwrap().to_path_buf();
        let text = read(&document);
        broken.extend(links(&text).into_iter().filter(|link| !folder.join(link).exists()).map(|link| format!("{document}: {link}")));
    }
    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn the_list_of_decisions_is_complete() {
    let list = read("docs/adr/README.md");
    for entry in fs::read_dir(root().join("docs/adr")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name == "README.md" {
            continue;
        }
        let title = read(&format!("docs/adr/{name}")).lines().next().unwrap().trim_start_matches("# ").to_owned();
        let (number, title) = title.split_once(": ").unwrap();
        let row = format!("| [{number}]({name}) | {title} |");
        assert!(list.contains(&row), "docs/adr/README.md lacks: {row}");
    }
}
