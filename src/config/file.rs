//! The configuration file: nested YAML to dotted keys.

use std::io::ErrorKind;
use std::path::Path;

use muster_actors::domain::yaml::{self, Document, Value as Yaml};
use serde_json::Value as Json;

use super::keys;
use super::option::Kind;
use super::problem::ConfigError;

/// One value of the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FileEntry {
    /// Dotted key in lower case, as stock reads keys.
    pub(super) key: String,
    /// The value.
    pub(super) node: Json,
    /// Line of the value, or of what it is part of; from 1.
    pub(super) line: usize,
}

/// Reads a file. `None`: there is none, and none is needed.
///
/// Errors: [`ConfigError`] when it cannot be read or is no mapping.
pub(super) fn read(path: &Path, required: bool) -> Result<Option<Vec<FileEntry>>, ConfigError> {
    match std::fs::read_to_string(path) {
        Ok(text) => flatten(path, &text).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound && !required => Ok(None),
        Err(source) => Err(ConfigError::ReadFile { path: path.to_owned(), source }),
    }
}

fn flatten(path: &Path, text: &str) -> Result<Vec<FileEntry>, ConfigError> {
    let document = yaml::parse_document(text).map_err(|error| ConfigError::ParseFile { path: path.to_owned(), text: error.to_string() })?;
    let found = match &document.value {
        Yaml::Null => return Ok(Vec::new()),
        Yaml::Map(entries) => {
            let mut found = Vec::new();
            descend(&document, "", "", entries, 1, &mut found);
            return Ok(found);
        }
        Yaml::List(_) => "a list",
        _ => "a single value",
    };
    Err(ConfigError::NotAMapping { path: path.to_owned(), found })
}

/// `prefix` is the key so far in lower case, `place` the same as written.
fn descend(document: &Document, prefix: &str, place: &str, entries: &[(Yaml, Yaml)], line: usize, found: &mut Vec<FileEntry>) {
    for (name, value) in entries {
        let name = name.key_text();
        let join = |before: &str, name: &str| if before.is_empty() { name.to_owned() } else { format!("{before}.{name}") };
        let key = join(prefix, &name.to_lowercase());
        let place = join(place, &name);
        let line = document.position(&place).map_or(line, |position| position.line);
        let known = keys::find(&key);
        match value {
            Yaml::Map(inner) if known.is_none_or(keys::has_keys_inside) && !inner.is_empty() => {
                descend(document, &key, &place, inner, line, found);
            }
            _ => {
                // YAML 1.1 reads `off` as false and `1.30` as a number; a text is what was written.
                let as_written = known.is_some_and(|spec| matches!(spec.kind, Kind::Text | Kind::Choice { .. })) && *value != Yaml::Null;
                let raw = document.raw_text(&name).filter(|_| as_written && prefix.is_empty());
                let node = raw.map_or_else(|| value.to_json(), Json::from);
                found.push(FileEntry { key, node, line });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entries(text: &str) -> Vec<(String, Json, usize)> {
        let found = flatten(Path::new("datadog.yaml"), text).unwrap_or_else(|error| panic!("{error}"));
        found.into_iter().map(|entry| (entry.key, entry.node, entry.line)).collect()
    }

    #[test]
    fn nested_and_dotted_keys_are_the_same() {
        let nested = entries("cluster_checks:\n  enabled: true\n  extra_tags:\n    - a:b\n");
        assert_eq!(
            nested,
            [("cluster_checks.enabled".to_owned(), json!(true), 2), ("cluster_checks.extra_tags".to_owned(), json!(["a:b"]), nested[1].2),]
        );
        assert_eq!(entries("cluster_checks.enabled: true\n")[0].0, "cluster_checks.enabled");
    }

    #[test]
    fn a_map_that_is_a_value_is_not_taken_apart() {
        let found = entries("kubernetes_pod_labels_as_tags:\n  App: app\n");
        assert_eq!(found, [("kubernetes_pod_labels_as_tags".to_owned(), json!({"App": "app"}), found[0].2)]);
    }

    #[test]
    fn a_recognised_part_is_taken_apart_where_keys_are_inside() {
        let found = entries("orchestrator_explorer:\n  enabled: false\n  extra_tags: [\"a:b\"]\nlogs_config:\n  use_http: true\n");
        let names: Vec<&str> = found.iter().map(|(key, ..)| key.as_str()).collect();
        assert_eq!(names, ["orchestrator_explorer.enabled", "orchestrator_explorer.extra_tags", "logs_config"]);
    }

    #[test]
    fn words_keep_their_text_and_keys_any_case() {
        assert_eq!(entries("Log_Level: off\n")[0].1, json!("off"));
        assert_eq!(entries("env: 1.30\n")[0].1, json!("1.30"));
        assert_eq!(entries("log_to_console: off\n")[0].1, json!(false));
    }

    #[test]
    fn an_empty_file_has_no_values() {
        assert!(entries("").is_empty());
        assert!(entries("# nothing\n").is_empty());
    }

    #[test]
    fn what_is_no_mapping_is_refused_with_its_place() {
        let text = |text: &str| flatten(Path::new("datadog.yaml"), text).map_err(|error| error.to_string()).unwrap_err();
        assert_eq!(text("- a\n"), "parse configuration file datadog.yaml: expected a mapping of keys to values, found a list");
        let broken = text("a: [1\nb: 2\n");
        assert!(broken.starts_with("parse configuration file datadog.yaml: line "), "{broken}");
    }
}
