//! Malformed files: each is answered with file, place and what is allowed; none removes what ran; none ends the process.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use muster_actors::domain::discovery::ConfigError;

use super::{FileOptions, FileProvider, MAX_FILE_BYTES};

/// What is put in the place of a good file.
enum Bad {
    Text(String),
    Bytes(Vec<u8>),
    #[cfg(unix)]
    LinkTo(&'static str),
    #[cfg(unix)]
    Socket,
}

/// What is expected of it.
enum Expected {
    /// An error at this line, whose text contains this.
    ErrorAt(usize, &'static str),
    /// An error without a place, whose text contains this.
    Error(&'static str),
    /// It is used, with a warning that contains this.
    Warning(&'static str),
}

use Expected::{Error, ErrorAt, Warning};

fn text(text: &str) -> Bad {
    Bad::Text(text.to_owned())
}

fn billion_laughs() -> Bad {
    let mut text = "instances: []\na0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for level in 1..10 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        writeln!(text, "a{level}: &a{level} [{aliases}]").unwrap();
    }
    Bad::Text(text)
}

fn quadratic_blow_up() -> Bad {
    Bad::Text(format!("a: &a \"{}\"\nb: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 1 << 16].join(",")))
}

const NO_INSTANCES: &str = "Configuration file contains no valid instances";
const NOT_YAML: &str = "not valid YAML";

fn cases() -> Vec<(&'static str, Bad, Expected)> {
    let good = "instances: [{a: 1}]\n";
    let mut cases = vec![
        ("random bytes", Bad::Bytes((0..=255).rev().collect()), ErrorAt(1, "a byte that is not UTF-8")),
        ("an ELF file", Bad::Bytes(b"\x7fELF\x02\x01\x01\0\0\0".to_vec()), ErrorAt(1, "control character U+")),
        ("a gzip file", Bad::Bytes(vec![0x1f, 0x8b, 8, 0, 0, 0]), ErrorAt(1, "a byte that is not UTF-8")),
        ("latin-1 text", Bad::Bytes(b"instances:\n- name: caf\xe9\n".to_vec()), ErrorAt(2, "a byte that is not UTF-8")),
        ("UTF-16 text", Bad::Bytes(b"\xff\xfei\0n\0s\0".to_vec()), ErrorAt(1, "a byte that is not UTF-8")),
        ("a NUL", text("instances:\n- a: \0\n"), ErrorAt(2, "control character U+")),
        ("a control character", text("instances:\n- \u{1}: [\n"), ErrorAt(2, NOT_YAML)),
        ("a tab as indentation", text("instances:\n\t- a: 1\n"), ErrorAt(2, NOT_YAML)),
        ("an unclosed double quote", text("instances:\n- a: \"x\n"), ErrorAt(2, NOT_YAML)),
        ("an unclosed single quote", text("instances:\n- a: 'x\n"), ErrorAt(2, NOT_YAML)),
        ("an unclosed bracket", text("instances:\n- a: [1\nb: 2\n"), ErrorAt(3, NOT_YAML)),
        ("an unclosed brace", text("instances: [{a: 1]\n"), ErrorAt(1, NOT_YAML)),
        ("wrong indentation", text("instances:\n  - a: 1\n b: 2\n"), ErrorAt(3, NOT_YAML)),
        ("two colons", text("instances:\n- a: b: c\n"), ErrorAt(2, NOT_YAML)),
        ("an unquoted variable", text("instances:\n- host: %%host%%\n"), ErrorAt(2, NOT_YAML)),
        ("an unquoted at sign", text("instances:\n- a: @x\n"), ErrorAt(2, NOT_YAML)),
        ("an unknown anchor", text("instances:\n- *x\n"), ErrorAt(2, NOT_YAML)),
        ("an anchor inside itself", text("instances: &a\n- *a\n"), ErrorAt(2, "contains it")),
        ("a merge of a number", text("instances:\n- <<: 1\n"), ErrorAt(2, "a merge key needs a mapping")),
        ("a key that is a mapping", text("instances:\n- ? {a: b}\n  : 1\n"), ErrorAt(2, "a mapping key must be a scalar")),
        ("a tag that does not fit", text("instances:\n- a: !!int x\n"), ErrorAt(2, "the value has the tag !!int")),
        ("a merge conflict", text("instances:\n<<<<<<< HEAD\n- a: 1\n=======\n- a: 2\n>>>>>>> b\n"), ErrorAt(3, NOT_YAML)),
        ("JSON cut off", text("{\"instances\": [{\"a\":"), ErrorAt(2, NOT_YAML)),
        ("aliases of aliases", billion_laughs(), ErrorAt(7, "expand to more than")),
        ("aliases of a long text", quadratic_blow_up(), ErrorAt(2, "expand to more than")),
        ("many brackets", Bad::Text("[".repeat(1 << 20)), ErrorAt(1, NOT_YAML)),
        ("many dashes", Bad::Text("- ".repeat(1 << 20)), ErrorAt(1, "nested deeper")),
        ("many indented keys", Bad::Text((0..200).map(|level| " ".repeat(level) + "a:\n").collect()), ErrorAt(129, "nested deeper")),
        ("10 MB", Bad::Text(format!("{good}#{}", "x".repeat(10 << 20))), Error("at most 4194304 bytes")),
        ("a list", text("- a\n"), ErrorAt(1, "found a sequence, allowed: a mapping")),
        ("a text", text("hello\n"), ErrorAt(1, "found a text, allowed: a mapping")),
        ("a number", text("42"), ErrorAt(1, "found a number, allowed: a mapping")),
        ("only comments", text("# instances:\n# - a: 1\n"), Error(NO_INSTANCES)),
        ("blanks", text(" \n\n \n"), Error(NO_INSTANCES)),
        ("only a byte order mark", text("\u{feff}"), Error(NO_INSTANCES)),
        ("an empty mapping", text("{}"), Error(NO_INSTANCES)),
        ("no instances", text("init_config: {}\ninstances: []\n"), ErrorAt(2, NO_INSTANCES)),
        ("null instances", text("init_config:\n\ninstances:\n"), ErrorAt(3, NO_INSTANCES)),
        ("a mistyped key", text("intsances: [{a: 1}]\n"), Error("found the keys intsances")),
        ("instances as a mapping", text("instances:\n  a: 1\n"), ErrorAt(1, "found a mapping, allowed: a sequence of mappings")),
        ("instances as a text", text("init_config:\ninstances: a\n"), ErrorAt(2, "found a text, allowed: a sequence of mappings")),
        ("an instance that is a number", text("instances:\n- a: 1\n- 5\n"), ErrorAt(3, "wrong type of instances[1]")),
        ("an instance that is a list", text("instances:\n- [a]\n"), ErrorAt(2, "found a sequence, allowed: a mapping")),
        ("a flag that is a text", text("instances: [{}]\ncluster_check: 'yes'\n"), ErrorAt(2, "found a text, allowed: true or false")),
        ("identifiers as a text", text("ad_identifiers: redis\ninstances: [{}]\n"), ErrorAt(1, "allowed: a sequence of texts")),
        (
            "an identifier that is a mapping",
            text("ad_identifiers:\n- {a: b}\ninstances: [{}]\n"),
            ErrorAt(2, "wrong type of ad_identifiers[0]"),
        ),
        ("a cardinality that is a list", text("instances: [{}]\ncheck_tag_cardinality: [low]\n"), ErrorAt(2, "allowed: a text")),
        ("docker_images", text("docker_images: [x]\ninstances: [{}]\n"), ErrorAt(1, "the 'docker_images' section is deprecated")),
        ("a duplicate key", text("instances: [{}]\ninstances: [{a: 1}]\n"), Warning("line 2, column 1: duplicate key \"instances\"")),
        ("an unknown key", text("instances: [{}]\nx: 1\n"), Warning("line 2, column 1: unknown key \"x\"")),
        ("a second document", text("instances: [{}]\n---\ninstances: [{a: 1}]\n"), Warning("line 2, column 1: a further document")),
        ("a variable that is not set", text("instances: [{a: '%%env_X%%'}]\n"), Warning("failed to retrieve envvar X")),
        ("an unknown variable", text("instances: [{a: '%%nope%%'}]\n"), Warning("invalid %%nope%% tag")),
    ];
    #[cfg(unix)]
    cases.extend([
        ("a link to itself", Bad::LinkTo("a.yaml"), Error("cannot read the file")),
        ("a link to nothing", Bad::LinkTo("gone"), Error("found a symbolic link to nothing")),
        ("a link to a device", Bad::LinkTo("/dev/zero"), Error("not a regular file")),
        ("a socket", Bad::Socket, Error("not a regular file")),
    ]);
    cases
}

fn put(path: &Path, bad: &Bad) {
    let _ = fs::remove_file(path);
    match bad {
        Bad::Text(text) => fs::write(path, text).unwrap(),
        Bad::Bytes(bytes) => fs::write(path, bytes).unwrap(),
        #[cfg(unix)]
        Bad::LinkTo(target) => std::os::unix::fs::symlink(target, path).unwrap(),
        #[cfg(unix)]
        Bad::Socket => drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
    }
}

#[test]
fn malformed_files_are_answered_and_remove_nothing() {
    let cases = cases();
    assert!(cases.len() >= 40);
    for (what, bad, expected) in cases {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.yaml");
        fs::write(&path, "instances: [{good: 1}]\n").unwrap();
        fs::write(directory.path().join("b.yaml"), "instances: [{good: 2}]\n").unwrap();
        let mut provider = FileProvider::new(FileOptions {
            search_paths: vec![directory.path().to_path_buf()],
            ignore_autoconf: Vec::new(),
            allowed_env_vars: Vec::new(),
            disable_env_var_resolution: false,
            lookup: Arc::new(|_| None),
        });
        let before = provider.collect(Duration::ZERO);
        assert_eq!(before.configs.len(), 2);
        put(&path, &bad);
        for pass in 0..2 {
            let found = provider.collect(Duration::from_secs(pass * 10));
            assert_eq!(found.configs.len(), 2, "{what}");
            let error = found.errors.first().map(ConfigError::to_string);
            match &expected {
                ErrorAt(line, part) => {
                    assert_eq!(found.errors[0].position.map(|position| position.line), Some(*line), "{what}: {error:?}");
                    assert!(error.as_ref().is_some_and(|error| error.contains(part)), "{what}: {error:?}");
                }
                Error(part) => assert!(error.as_ref().is_some_and(|error| error.contains(part)), "{what}: {error:?}"),
                Warning(part) => {
                    assert_eq!(error, None, "{what}");
                    assert!(found.warnings["a"].iter().any(|warning| warning.contains(part)), "{what}: {:?}", found.warnings);
                    continue;
                }
            }
            assert_eq!(found.configs, before.configs, "{what}");
            let error = error.unwrap_or_default();
            assert!(error.contains("a.yaml") && error.contains(", allowed: "), "{what}: {error}");
            assert!(error.len() < 1000, "{what}: {error}");
        }
    }
}

#[test]
fn odd_files_that_are_good_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("bom.yaml"), "\u{feff}instances: [{a: 1}]\n").unwrap();
    fs::write(at("crlf.yaml"), "instances:\r\n- a: 1\r\n  b: 2\r\n").unwrap();
    fs::write(at("json.yaml"), "{\"instances\": [{\"a\": 1}]}").unwrap();
    fs::write(at("limit.yaml"), format!("instances: [{{a: 1}}]\n#{}", "x".repeat(4_194_304 - 21))).unwrap();
    assert_eq!(fs::metadata(at("limit.yaml")).unwrap().len(), MAX_FILE_BYTES);
    fs::create_dir(at("directory.yaml")).unwrap();
    fs::create_dir(at("x.d")).unwrap();
    fs::create_dir(at("x.d/inner.yaml")).unwrap();
    fs::write(at("Größe.yaml"), "instances: [{a: 1}]\n").unwrap();
    fs::write(at(".yaml"), "broken: [").unwrap();
    let options = FileOptions {
        search_paths: vec![directory.path().to_path_buf()],
        ignore_autoconf: Vec::new(),
        allowed_env_vars: Vec::new(),
        disable_env_var_resolution: false,
        lookup: Arc::new(|_| None),
    };
    let found = FileProvider::new(options).collect(Duration::ZERO);
    let names: Vec<_> = found.configs.iter().map(|config| config.name.as_str()).collect();
    assert_eq!(names, ["Größe", "bom", "crlf", "json", "limit"]);
    assert_eq!(found.configs[2].instances[0].text(), "a: 1\nb: 2\n");
    assert!(found.errors.is_empty() && found.warnings.is_empty());
}
