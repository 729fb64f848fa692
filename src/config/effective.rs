//! The configuration as loaded: every value of every source, and which one counts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use muster_actors::domain::secrets::SecretValues;
use serde_json::Value as Json;

use super::env::Environment;
use super::file::{self, FileEntry};
use super::handles::{self, SecretUse};
use super::keys;
use super::option::{KeySpec, Scope, Support};
use super::problem::{ConfigError, Problem};
use super::source::{Source, Sourced};
use super::value::{Value, parse_node, parse_text};

/// Directory of the configuration in containers and packages (`<cfg>`).
pub const DEFAULT_DIRECTORY: &str = "/etc/datadog-agent";

/// The role a process plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Dispatches (replaces the Datadog Cluster Agent).
    Cluster,
    /// Runs checks (replaces the node agent or runner).
    Node,
}

impl Role {
    /// Name of its configuration file.
    #[must_use]
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Cluster => "datadog-cluster.yaml",
            Self::Node => "datadog.yaml",
        }
    }

    /// Its word: `cluster` or `node`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Node => "node",
        }
    }
}

/// What to load.
#[derive(Clone, Debug)]
pub struct Request {
    /// For which role.
    pub role: Role,
    /// Directory or file given with `-c`; `None` = [`DEFAULT_DIRECTORY`].
    pub path: Option<PathBuf>,
    /// The variables.
    pub environment: Environment,
    /// `key`, `value` from the command line.
    pub overrides: Vec<(String, String)>,
}

/// One value of one source; `value` is `None` when it does not fit.
#[derive(Clone, Debug)]
struct Layer {
    source: Source,
    value: Option<Value>,
}

/// All values of all sources.
#[derive(Clone, Debug)]
pub struct Config {
    role: Role,
    directory: PathBuf,
    file: PathBuf,
    file_found: bool,
    environment: Environment,
    computed_defaults: BTreeMap<&'static str, Value>,
    /// Weakest first.
    layers: BTreeMap<&'static str, Vec<Layer>>,
    problems: Vec<Problem>,
    /// Of the handles in the values.
    secrets: SecretValues,
}

impl Config {
    /// What the table of keys says and nothing else.
    #[must_use]
    pub fn defaults(role: Role) -> Self {
        let (directory, file, _) = locate(role, None);
        Self {
            role,
            directory,
            file,
            file_found: false,
            environment: Environment::default(),
            computed_defaults: BTreeMap::new(),
            layers: BTreeMap::new(),
            problems: Vec::new(),
            secrets: SecretValues::new(),
        }
    }

    /// Reads file, environment and command line.
    ///
    /// Invalid values of stock keys and unknown keys are kept as [`Config::problems`].
    ///
    /// Errors: [`ConfigError`] when the file cannot be read as a mapping, or a key of our own has an invalid value.
    pub fn load(request: Request) -> Result<Self, ConfigError> {
        let (directory, path, required) = locate(request.role, request.path.as_deref());
        let entries = file::read(&path, required)?;
        let (file_found, environment) = (entries.is_some(), request.environment);
        let mut config = Self { file_found, directory, file: path, environment, ..Self::defaults(request.role) };
        config.add_file(entries.unwrap_or_default());
        config.add_environment();
        for (key, text) in request.overrides {
            config.add_override(&key, &text);
        }
        config.compute_defaults();
        config.note_secrets_left_alone();
        let fatal: Vec<Problem> = config.problems.iter().filter(|problem| problem.is_fatal()).cloned().collect();
        if fatal.is_empty() { Ok(config) } else { Err(ConfigError::Invalid { problems: fatal }) }
    }

    /// Role it was loaded for.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Directory of the configuration file, the tokens and `conf.d`.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The configuration file, `None` when there is none.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file_found.then_some(self.file.as_path())
    }

    /// The environment it was loaded from.
    #[must_use]
    pub const fn environment(&self) -> &Environment {
        &self.environment
    }

    /// What is wrong with it, in the order of the sources.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The value of a key to work with: of the strongest source, the default when that one is invalid or none has it, and with
    /// secrets for their handles. Not to be shown.
    ///
    /// `None`: no such key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Sourced<Value>> {
        let Sourced { value, source } = self.effective(keys::find(key)?);
        Some(Sourced { value: handles::with_secrets(&value, &self.secrets), source })
    }

    /// Where handles of secrets are that this role needs: in values that count, of keys that something reads. Nobody can resolve those
    /// of the resolver itself.
    #[must_use]
    pub fn secret_uses(&self) -> Vec<SecretUse> {
        let own = if self.role == Role::Cluster { Scope::Cluster } else { Scope::Node };
        let needed = |spec: &&KeySpec| {
            spec.support == Support::Used && (spec.scope == Scope::Both || spec.scope == own) && !spec.key.starts_with("secret_")
        };
        let mut uses = Vec::new();
        for spec in keys::all().filter(needed) {
            let Sourced { value, source } = self.effective(spec);
            uses.extend(handles::handles(&value).into_iter().map(|handle| SecretUse { key: spec.key, source: source.clone(), handle }));
        }
        uses
    }

    /// The same configuration with the values of secrets, which [`Self::get`] puts in.
    #[must_use]
    pub fn with_secrets(self, secrets: SecretValues) -> Self {
        Self { secrets, ..self }
    }

    /// The values of secrets that it was given.
    #[must_use]
    pub const fn secrets(&self) -> &SecretValues {
        &self.secrets
    }

    /// The value of a key of the table as it is written, handles and all.
    #[must_use]
    pub fn effective(&self, spec: &'static KeySpec) -> Sourced<Value> {
        let strongest = self.layers.get(spec.key).and_then(|layers| layers.last());
        match strongest {
            Some(Layer { source, value: Some(value) }) => Sourced { value: value.clone(), source: source.clone() },
            _ => Sourced { value: self.default_of(spec), source: Source::Default },
        }
    }

    /// The values of all sources of a key as they are written, weakest first, without those that do not fit.
    #[must_use]
    pub fn by_source(&self, spec: &'static KeySpec) -> Vec<Sourced<Value>> {
        let default = Sourced { value: self.default_of(spec), source: Source::Default };
        let layers = self.layers.get(spec.key).map(Vec::as_slice).unwrap_or_default();
        let valid = layers.iter().filter_map(|layer| Some(Sourced { value: layer.value.clone()?, source: layer.source.clone() }));
        std::iter::once(default).chain(valid).collect()
    }

    /// The same configuration with one value changed while running.
    ///
    /// `None`: the text does not fit the key.
    #[must_use]
    pub fn with_runtime_value(&self, spec: &'static KeySpec, text: &str) -> Option<Self> {
        let value = parse_text(spec.kind, text)?;
        let mut next = self.clone();
        let layers = next.layers.entry(spec.key).or_default();
        layers.retain(|layer| layer.source != Source::Runtime);
        layers.push(Layer { source: Source::Runtime, value: Some(value) });
        layers.sort_by(|a, b| a.source.cmp(&b.source));
        Some(next)
    }

    fn default_of(&self, spec: &'static KeySpec) -> Value {
        let computed = self.computed_defaults.get(spec.key).cloned();
        computed.or_else(|| parse_text(spec.kind, spec.default)).unwrap_or(Value::Opaque(Json::Null))
    }

    fn add_file(&mut self, entries: Vec<FileEntry>) {
        for entry in entries {
            let source = Source::File { path: self.file.clone(), line: entry.line };
            match keys::find(&entry.key) {
                // A key without a value is how people leave a default in place.
                Some(_) if entry.node.is_null() => {}
                Some(spec) => self.add(spec, parse_node(spec.kind, &entry.node), &entry.node.to_string(), source),
                None if keys::enclosing_tree(&entry.key).is_some() => {}
                None => {
                    let nearest = nearest_key(&entry.key);
                    self.problems.push(Problem::UnknownKey { name: entry.key, source, nearest });
                }
            }
        }
    }

    fn add_environment(&mut self) {
        let environment = self.environment.clone();
        let mut known = BTreeSet::new();
        for spec in keys::all() {
            // Weakest name first, so that the strongest ends up on top.
            for name in spec.environment_names().into_iter().rev() {
                if let Some(text) = environment.get(&name) {
                    let source = Source::Environment { name: name.clone() };
                    self.add(spec, parse_text(spec.kind, text), &format!("{text:?}"), source);
                }
                known.insert(name);
            }
        }
        for (name, _) in environment.iter().filter(|(name, _)| !known.contains(*name) && !NOT_KEYS.contains(name) && !in_tree(name)) {
            // A stock variable that nobody here knows is usually one of another program: only a near miss is worth a word.
            let (prefix, limit) = if name.starts_with("MUSTER_") { ("MUSTER_", usize::MAX) } else { ("DD_", 2) };
            let Some(suffix) = name.strip_prefix(prefix) else { continue };
            let candidates = known.iter().filter_map(|known| known.strip_prefix(prefix));
            let nearest = keys::nearest(suffix, candidates).filter(|(_, distance)| *distance <= limit);
            let nearest = nearest.map(|(suffix, _)| format!("{prefix}{suffix}"));
            let source = Source::Environment { name: name.to_owned() };
            self.problems.push(Problem::UnknownKey { name: name.to_owned(), source, nearest });
        }
    }

    fn add_override(&mut self, key: &str, text: &str) {
        if let Some(spec) = keys::find(key) {
            self.add(spec, parse_text(spec.kind, text), &format!("{text:?}"), Source::CommandLine);
        } else {
            let nearest = nearest_key(key);
            self.problems.push(Problem::UnknownKey { name: key.to_owned(), source: Source::CommandLine, nearest });
        }
    }

    fn add(&mut self, spec: &'static KeySpec, value: Option<Value>, found: &str, source: Source) {
        if value.is_none() && spec.support == Support::Used {
            self.problems.push(Problem::InvalidValue { spec, found: found.to_owned(), source: source.clone() });
        }
        self.layers.entry(spec.key).or_default().push(Layer { source, value });
    }

    fn note_secrets_left_alone(&mut self) {
        if !matches!(self.get("secret_backend_command"), Some(Sourced { value: Value::Text(command), .. }) if !command.is_empty()) {
            let uses = self.secret_uses();
            self.problems.extend(uses.into_iter().map(Problem::SecretLeftAlone));
        }
    }

    /// Defaults that depend on where the process runs.
    fn compute_defaults(&mut self) {
        let confd = self.directory.join("conf.d");
        self.computed_defaults.insert("confd_path", Value::Text(confd.to_string_lossy().into_owned()));
        if self.role == Role::Cluster && self.stand_alone() {
            // Dispatching is all that a stand-alone server does (docs/adr/021-dispatching-on-when-stand-alone.md).
            self.computed_defaults.insert("cluster_checks.enabled", Value::Bool(true));
        }
    }

    /// Whether the cluster role runs without Kubernetes: because it was told so, or because there is none.
    ///
    /// Source: cluster-agent-kubernetes 6.9.
    #[must_use]
    pub fn stand_alone(&self) -> bool {
        let told = matches!(self.get("muster.standalone"), Some(Sourced { value: Value::Bool(true), .. }));
        told || !self.kubernetes_found()
    }

    /// Whether a Kubernetes configuration or the environment of a pod is present.
    #[must_use]
    pub fn kubernetes_found(&self) -> bool {
        let kubeconfig =
            matches!(self.get("kubernetes_kubeconfig_path"), Some(Sourced { value: Value::Text(path), .. }) if !path.is_empty());
        kubeconfig || (self.environment.get("KUBERNETES_SERVICE_HOST").is_some() && Path::new(SERVICE_ACCOUNT_TOKEN).exists())
    }
}

/// File that every pod with a service account has.
const SERVICE_ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Variables with our prefixes that are read elsewhere and are no keys.
const NOT_KEYS: &[&str] = &["MUSTER_ROLE", "DD_POD_NAME"];

fn nearest_key(name: &str) -> Option<String> {
    keys::nearest(name, keys::all().map(|spec| spec.key)).map(|(key, _)| key.to_owned())
}

/// Whether a variable sets a key inside a recognised part.
fn in_tree(name: &str) -> bool {
    keys::all()
        .filter(|spec| spec.kind == super::option::Kind::Tree)
        .any(|spec| spec.environment_names().iter().any(|tree| name.strip_prefix(tree.as_str()).is_some_and(|rest| rest.starts_with('_'))))
}

/// Directory, file, and whether the file must exist.
fn locate(role: Role, path: Option<&Path>) -> (PathBuf, PathBuf, bool) {
    let Some(path) = path else {
        let directory = PathBuf::from(DEFAULT_DIRECTORY);
        let file = directory.join(role.file_name());
        return (directory, file, false);
    };
    let names_a_file = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") && !path.is_dir();
    if names_a_file || path.is_file() {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        return (directory.to_owned(), path.to_owned(), true);
    }
    (path.to_owned(), path.join(role.file_name()), false)
}

#[cfg(test)]
mod tests;
