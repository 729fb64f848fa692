//! What a manifest says about a container, as a kubelet would carry it out.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::error::RigError;

/// The environment of a container, with references resolved: fields of the pod, and the keys `token` and `api-key` of a Secret, of
/// which the second is 32 zeros. What depends on the name of the pod is left out.
///
/// Errors: [`RigError::Environment`] for anything else.
pub fn environment_of(container: &Json, namespace: &str, token: &str) -> Result<BTreeMap<String, String>, RigError> {
    let mut environment = BTreeMap::new();
    let entries = container["env"].as_array().ok_or_else(|| RigError::Environment { entry: container.to_string() })?;
    for entry in entries {
        let unknown = || RigError::Environment { entry: entry.to_string() };
        let name = entry["name"].as_str().ok_or_else(unknown)?;
        let from = &entry["valueFrom"];
        let value = match (entry["value"].as_str(), from["fieldRef"]["fieldPath"].as_str(), from["secretKeyRef"]["key"].as_str()) {
            (Some(value), _, _) => value.to_owned(),
            (_, Some("metadata.namespace"), _) => namespace.to_owned(),
            (_, Some("metadata.name"), _) => continue,
            (_, _, Some("token")) => token.to_owned(),
            (_, _, Some("api-key")) => "0".repeat(32),
            _ => return Err(unknown()),
        };
        environment.insert(name.to_owned(), value);
    }
    Ok(environment)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_are_resolved_and_unknown_ones_refused() {
        let field = |path: &str| json!({"fieldRef": {"fieldPath": path}});
        let env = json!([
            {"name": "A", "value": "1"},
            {"name": "B", "valueFrom": field("metadata.namespace")},
            {"name": "C", "valueFrom": field("metadata.name")},
            {"name": "D", "valueFrom": {"secretKeyRef": {"name": "muster", "key": "token"}}},
        ]);
        let found = environment_of(&json!({"env": env}), "ns", "secret").unwrap();
        let pairs: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("A", "1"), ("B", "ns"), ("D", "secret")]);
        let unknown = json!({"env": [{"name": "E", "valueFrom": field("status.hostIP")}]});
        assert!(matches!(environment_of(&unknown, "ns", "secret"), Err(RigError::Environment { .. })));
    }
}
