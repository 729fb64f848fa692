//! Advanced identifiers in a file: the Kubernetes objects it is a template for. Source: autodiscovery 4.4.

use muster_actors::domain::config::{AdvancedAdIdentifier, ObjectRef};
use muster_actors::domain::kube::endpoints::ResolveMode;
use muster_actors::domain::yaml::{Document, Value};

const KEY: &str = "advanced_ad_identifiers";

/// A value of the wrong type.
#[derive(Debug)]
pub(super) struct WrongType {
    /// Where, as the document names places.
    pub(super) path: String,
    /// What is there.
    pub(super) found: &'static str,
    /// What may be there.
    pub(super) allowed: &'static str,
}

impl WrongType {
    /// What is wrong, for people.
    pub(super) fn problem(&self) -> String {
        format!("wrong type of {}", self.path)
    }
}

/// The identifiers of a document, and what is odd about them.
///
/// Errors: [`WrongType`].
pub(super) fn identifiers(document: &Document) -> Result<(Vec<AdvancedAdIdentifier>, Vec<String>), WrongType> {
    let items = match document.value.get(KEY) {
        None | Some(Value::Null) => return Ok((Vec::new(), Vec::new())),
        Some(Value::List(items)) => items,
        Some(other) => return Err(wrong(KEY, other, "a sequence of mappings")),
    };
    let mut identifiers = Vec::new();
    let mut odd = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let path = format!("{KEY}[{index}]");
        let Value::Map(entries) = item else {
            return Err(wrong(&path, item, "a mapping with kube_service or kube_endpoints"));
        };
        for (key, _) in entries {
            let key = key.key_text();
            if !["kube_service", "kube_endpoints"].contains(&key.as_str()) {
                odd.push(format!("{path}: unknown key {key:?} is ignored, known keys: kube_service, kube_endpoints"));
            }
        }
        let identifier = AdvancedAdIdentifier {
            kube_service: object(item, &path, "kube_service", &mut odd)?,
            kube_endpoints: object(item, &path, "kube_endpoints", &mut odd)?,
            resolve: item.get("kube_endpoints").map_or(Ok(String::new()), |object| text(object, &path, "resolve"))?,
        };
        if ResolveMode::parse(&identifier.resolve).is_none() {
            odd.push(format!("{path}: unknown resolve mode {:?}, using auto; allowed: auto, ip", identifier.resolve));
        }
        identifiers.push(identifier);
    }
    Ok((identifiers, odd))
}

fn object(item: &Value, path: &str, key: &str, odd: &mut Vec<String>) -> Result<ObjectRef, WrongType> {
    let path = format!("{path}.{key}");
    let found = match item.get(key) {
        None | Some(Value::Null) => return Ok(ObjectRef::default()),
        Some(object @ Value::Map(_)) => object,
        Some(other) => return Err(wrong(&path, other, "a mapping with name and namespace")),
    };
    let found = ObjectRef { name: text(found, &path, "name")?, namespace: text(found, &path, "namespace")? };
    if found.name.is_empty() || found.namespace.is_empty() {
        odd.push(format!("{path}: names no object, both name and namespace are needed"));
    }
    Ok(found)
}

fn text(object: &Value, path: &str, key: &str) -> Result<String, WrongType> {
    match object.get(key) {
        None => Ok(String::new()),
        Some(other @ (Value::List(_) | Value::Map(_))) => Err(wrong(&format!("{path}.{key}"), other, "a text")),
        Some(scalar) => Ok(scalar.key_text()),
    }
}

fn wrong(path: &str, found: &Value, allowed: &'static str) -> WrongType {
    WrongType { path: path.to_owned(), found: found.kind(), allowed }
}
