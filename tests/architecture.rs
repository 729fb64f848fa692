//! The shape of the source tree, checked on its text: what may name what, and that no two files import each other.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

#[path = "architecture/graph.rs"]
mod graph;
#[path = "architecture/source.rs"]
mod source;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path as FilePath;

use crate::graph::{Imports, circles, imports};
use crate::source::Source;

/// The layers, highest first: prefix of the file, its rank. Imports only lead to the same or a greater rank.
const LAYERS: &[(&str, u8)] = &[
    ("src/main.rs", 0),
    ("src/app", 1),
    ("src/accepted_certificate.rs", 2),
    ("src/api", 2),
    ("src/autodiscovery", 2),
    ("src/carried.rs", 2),
    ("src/checks", 2),
    ("src/cli", 2),
    ("src/client", 2),
    ("src/config", 2),
    ("src/demo", 2),
    ("src/errors", 2),
    ("src/kube", 2),
    ("src/output", 2),
    ("src/roles", 2),
    ("src/sealed_snapshots.rs", 2),
    ("src/secrets", 2),
    ("src/simulate", 2),
    ("src/standalone", 2),
    ("src/telemetry", 2),
    ("actors/src/cluster", 3),
    ("actors/src/node", 3),
    ("actors/src/shared", 3),
    ("actors/src/sim", 3),
    ("actors/src/testing", 3),
    ("actors/src/kernel", 4),
    ("actors/src/messages", 4),
    ("actors/src/ports", 4),
    ("actors/src/ports.rs", 4),
    ("actors/src/balance", 5),
    ("actors/src/domain", 6),
    // These two only declare modules.
    ("actors/src/lib.rs", u8::MAX),
    ("src/lib.rs", u8::MAX),
];

/// Folders of functions over values.
const PURE: [&str; 2] = ["actors/src/domain/", "actors/src/balance/"];

/// What functions over values must not name.
const IMPURE: [&str; 17] = [
    "actix",
    "actix_rt",
    "actix_web",
    "kube",
    "reqwest",
    "tokio",
    "tracing",
    "std::env",
    "std::fs",
    "std::io::stdin",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
];

/// Files below the root of the repository, without those that only hold tests.
fn all_sources() -> BTreeMap<String, Source> {
    let root = FilePath::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = BTreeMap::new();
    let mut folders = vec![root.join("src"), root.join("actors/src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
            if path.is_dir() {
                folders.push(path);
            } else if FilePath::new(&name).extension().is_some_and(|extension| extension == "rs") && !is_test_file(&name) {
                sources.insert(name, Source::parse(&fs::read_to_string(&path).unwrap()));
            }
        }
    }
    sources
}

fn is_test_file(name: &str) -> bool {
    name.ends_with("/tests.rs") || name.contains("/tests/")
}

/// Rank of a file, `None` when no layer claims it.
fn rank(file: &str) -> Option<u8> {
    let claims = |prefix: &str| file == prefix || file.strip_prefix(prefix).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'));
    LAYERS.iter().find(|(prefix, _)| claims(prefix)).map(|(_, rank)| *rank)
}

/// Imports that lead upwards, and files that belong to no layer.
fn misplaced(imports: &Imports) -> Vec<String> {
    let mut found: Vec<String> = imports.keys().filter(|file| rank(file).is_none()).map(|file| format!("{file} has no layer")).collect();
    for (from, targets) in imports {
        for to in targets {
            let upwards = rank(from) > rank(to) && rank(from) != Some(u8::MAX);
            let kernel_knows = from.starts_with("actors/src/kernel/") && ["messages/", "domain/"].iter().any(|part| to.contains(part));
            if upwards || kernel_knows {
                found.push(format!("{from} must not import {to}"));
            }
        }
    }
    found
}

/// What functions over values name although they must not.
fn impurities(sources: &BTreeMap<String, Source>) -> Vec<String> {
    let mut found = Vec::new();
    for (file, source) in sources.iter().filter(|(file, _)| PURE.iter().any(|folder| file.starts_with(folder))) {
        for path in source.paths.iter().chain(source.reexports.values()) {
            let path = path.join("::");
            let named =
                |forbidden: &&&str| path == ***forbidden || path.strip_prefix(**forbidden).is_some_and(|rest| rest.starts_with("::"));
            if let Some(forbidden) = IMPURE.iter().find(named) {
                found.push(format!("{file} names {forbidden}"));
            }
        }
    }
    found
}

#[test]
fn domain_and_balance_are_functions_over_values() {
    assert_eq!(impurities(&all_sources()), Vec::<String>::new());
}

#[test]
fn no_two_files_import_each_other_in_a_circle() {
    let circles = circles(&imports(&all_sources()));
    assert!(circles.is_empty(), "{} circles:\n{}", circles.len(), circles.join("\n"));
}

#[test]
fn nothing_imports_upwards() {
    let misplaced = misplaced(&imports(&all_sources()));
    assert!(misplaced.is_empty(), "{} misplaced:\n{}", misplaced.len(), misplaced.join("\n"));
}

#[test]
fn the_whole_tree_is_read() {
    let sources = all_sources();
    let imports = imports(&sources);
    for file in ["src/main.rs", "src/lib.rs", "actors/src/lib.rs", "actors/src/kernel/supervisor.rs", "actors/src/domain/ids.rs"] {
        assert!(sources.contains_key(file), "{file} is not read");
    }
    assert!(imports["actors/src/kernel/supervisor.rs"].contains("actors/src/kernel/tree.rs"));
    assert!(imports["actors/src/messages/dispatcher.rs"].contains("actors/src/domain/config.rs"));
}

fn parsed(files: &[(&str, &str)]) -> BTreeMap<String, Source> {
    files.iter().map(|(file, text)| ((*file).to_owned(), Source::parse(text))).collect()
}

#[test]
fn an_import_to_a_higher_layer_is_found() {
    let files = [
        ("src/lib.rs", "pub mod api; pub mod app;"),
        ("src/app.rs", "use crate::api::serve;"),
        ("src/api/mod.rs", "pub mod poll;"),
        ("src/api/poll.rs", "fn f() { crate::app::stop() }"),
        ("actors/src/lib.rs", "pub mod cluster; pub mod domain;"),
        ("actors/src/cluster/mod.rs", ""),
        ("actors/src/domain/mod.rs", "use crate::cluster::Dispatcher;"),
    ];
    assert_eq!(
        misplaced(&imports(&parsed(&files))),
        ["actors/src/domain/mod.rs must not import actors/src/cluster/mod.rs", "src/api/poll.rs must not import src/app.rs"]
    );
}

#[test]
fn the_kernel_knows_neither_messages_nor_domain() {
    let files = [
        ("actors/src/lib.rs", ""),
        ("actors/src/domain/ids.rs", ""),
        ("actors/src/messages/output.rs", ""),
        ("actors/src/kernel/a.rs", "use crate::domain::ids::Epoch;"),
        ("actors/src/kernel/b.rs", "use crate::messages::output::Enqueue;"),
        ("actors/src/messages/journal.rs", "use crate::domain::ids::Epoch;"),
        ("actors/src/domain/mod.rs", "pub mod ids;"),
        ("actors/src/messages/mod.rs", "pub mod output;"),
    ];
    assert_eq!(
        misplaced(&imports(&parsed(&files))),
        [
            "actors/src/kernel/a.rs must not import actors/src/domain/ids.rs",
            "actors/src/kernel/b.rs must not import actors/src/messages/output.rs"
        ]
    );
}

#[test]
fn a_file_without_a_layer_is_found() {
    assert_eq!(misplaced(&imports(&parsed(&[("src/lib.rs", ""), ("src/helpers.rs", "")]))), ["src/helpers.rs has no layer"]);
    assert_eq!(misplaced(&imports(&parsed(&[("src/lib.rs", ""), ("src/application.rs", "")]))), ["src/application.rs has no layer"]);
}

#[test]
fn effects_in_functions_over_values_are_found() {
    let files = [
        ("actors/src/domain/a.rs", "use std::{env, fmt}; use std::net::IpAddr;"),
        ("actors/src/domain/b.rs", "fn f() { tokio::spawn(g()) }"),
        ("actors/src/balance/c.rs", "use std::net; fn f() { net::TcpStream::connect(x) }"),
        ("actors/src/balance/d.rs", "pub use tracing::info; // tokio::time"),
        ("actors/src/domain/e.rs", "#[cfg(test)] mod tests { use tokio::time; } fn tokio() {}"),
        ("actors/src/kernel/f.rs", "use tokio::time;"),
    ];
    assert_eq!(
        impurities(&parsed(&files)),
        [
            "actors/src/balance/c.rs names std::net::TcpStream",
            "actors/src/balance/d.rs names tracing",
            "actors/src/domain/a.rs names std::env",
            "actors/src/domain/b.rs names tokio"
        ]
    );
}
