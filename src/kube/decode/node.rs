//! Nodes.

use std::fmt;
use std::sync::Arc;

use muster_actors::domain::kube::objects::{Kind, KubeNode, KubeObject, ObjectKey};
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::form::Form;
use super::head::{Condition, Head, Pairs, or_empty, ready};
use super::interner::Interner;

/// Parts of a status that are large and that nobody asks for.
const DROPPED: [&str; 3] = ["images", "volumesAttached", "volumesInUse"];

/// A node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeForm {
    metadata: Head<Pairs>,
    #[serde(deserialize_with = "or_empty")]
    status: StatusText,
}

/// `status` as JSON text, and what is read from it.
#[derive(Clone, Debug)]
struct StatusText {
    json: String,
    ready: Option<bool>,
}

impl Default for StatusText {
    fn default() -> Self {
        Self { json: "{}".to_owned(), ready: None }
    }
}

impl<'de> Deserialize<'de> for StatusText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = StatusText;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the status of a node")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<StatusText, M::Error> {
        let mut status = StatusText { json: "{".to_owned(), ready: None };
        while let Some(key) = map.next_key::<Box<str>>()? {
            if DROPPED.contains(&&*key) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value: Box<RawValue> = map.next_value()?;
            if &*key == "conditions" {
                let conditions: Option<Vec<Condition>> = serde_json::from_str(value.get()).map_err(serde::de::Error::custom)?;
                status.ready = ready(&conditions.unwrap_or_default());
            }
            if status.json.len() > 1 {
                status.json.push(',');
            }
            // Names of fields are words of the API, so nothing in them is to be escaped.
            status.json.extend(["\"", &key, "\":", value.get()]);
        }
        status.json.push('}');
        Ok(status)
    }
}

impl Form for NodeForm {
    const KIND: Kind = Kind::Nodes;
    const NAME: &'static str = "Node";

    fn key(&self) -> ObjectKey {
        self.metadata.key()
    }

    fn resource_version(&self) -> &str {
        &self.metadata.resource_version
    }

    fn into_object(self, interner: &mut Interner) -> KubeObject {
        KubeObject::Node(Arc::new(KubeNode {
            meta: self.metadata.into_meta(interner),
            ready: self.status.ready.unwrap_or(true),
            status: self.status.json.into(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::form::tests::decoded;
    use super::*;

    fn node(object: &Value) -> KubeNode {
        let KubeObject::Node(node) = decoded::<NodeForm>(object) else { panic!("a node") };
        (*node).clone()
    }

    #[test]
    fn the_status_is_kept_as_text_without_its_large_parts() {
        let conditions =
            json!([{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": "False", "message": "a \"quote\""}]);
        let found = node(&json!({
            "metadata": {"name": "n1", "labels": {"zone": "a"}, "annotations": {"b": "c"}},
            "spec": {"podCIDR": "10.0.0.0/24"},
            "status": {
                "capacity": {"cpu": "4"}, "conditions": conditions, "images": [{"names": ["large"]}], "volumesInUse": ["v"],
                "volumesAttached": null, "nodeInfo": {"kubeletVersion": "v1.33.0"},
            },
        }));
        assert!(!found.ready);
        let kept: Value = serde_json::from_str(&found.status).unwrap();
        assert_eq!(kept, json!({"capacity": {"cpu": "4"}, "conditions": conditions, "nodeInfo": {"kubeletVersion": "v1.33.0"}}));
        assert_eq!((found.meta.labels.len(), found.meta.annotations.len()), (1, 1));
    }

    #[test]
    fn a_node_without_a_word_about_it_counts_as_ready() {
        for object in [json!({"metadata": {"name": "n"}}), json!({"metadata": {"name": "n"}, "status": null})] {
            assert_eq!((node(&object).ready, &*node(&object).status), (true, "{}"));
        }
        let ready = json!({"metadata": {"name": "n"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        assert!(node(&ready).ready);
        let unknown = json!({"metadata": {"name": "n"}, "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}});
        assert!(!node(&unknown).ready);
    }
}
