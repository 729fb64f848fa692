//! A check configuration as it is discovered, dispatched and sent over the wire.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::domain::check_traits::CheckTraits;
use crate::domain::ids::{CheckId, ConfigKey, Digest};

/// Raw YAML or JSON text of one part of a config. The bytes are hashed, so they are never normalised.
///
/// In JSON: standard base64 with padding. In binary formats: plain bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Data(Arc<[u8]>);

impl Data {
    /// Wraps the bytes as they are.
    #[must_use]
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as text, with replacement characters where they are not UTF-8.
    #[must_use]
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }
}

impl From<&str> for Data {
    fn from(text: &str) -> Self {
        Self(Arc::from(text.as_bytes()))
    }
}

impl From<String> for Data {
    fn from(text: String) -> Self {
        Self(Arc::from(text.into_bytes()))
    }
}

impl fmt::Debug for Data {
    /// Prints the length only: instances hold passwords.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Data({} bytes)", self.0.len())
    }
}

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.serialize_str(&BASE64.encode(&self.0)) } else { serializer.serialize_bytes(&self.0) }
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            BASE64.decode(&text).map(Self::new).map_err(de::Error::custom)
        } else {
            Vec::<u8>::deserialize(deserializer).map(Self::new)
        }
    }
}

/// Name and namespace of a Kubernetes object that an advanced identifier points to.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ObjectRef {
    /// Object name.
    pub name: String,
    /// Object namespace.
    pub namespace: String,
}

/// Identifier of a Service or Endpoints object in a file template. Source: autodiscovery 4.4.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct AdvancedAdIdentifier {
    /// The Service, empty when unused.
    pub kube_service: ObjectRef,
    /// The Endpoints object, empty when unused.
    pub kube_endpoints: ObjectRef,
    /// How its addresses are resolved, `auto` or `ip`; empty = `auto`. Only of files: no config on the wire has one.
    #[serde(skip)]
    pub resolve: String,
}

/// One check configuration with its instances.
///
/// Serialises to exactly the 16 keys of autodiscovery 1.1, in that order, absent lists and data as `null`; reading tolerates missing,
/// unknown and `null` keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckConfig {
    /// Integration name, for example `http_check`.
    #[serde(rename = "check_name", default)]
    pub name: String,
    /// One text per instance.
    #[serde(default, with = "null_when_empty")]
    pub instances: Vec<Data>,
    /// Shared part of all instances.
    #[serde(default)]
    pub init_config: Option<Data>,
    /// JMX metrics.
    #[serde(default)]
    pub metric_config: Option<Data>,
    /// Logs part; present (even if empty) means "this is a logs config".
    #[serde(default)]
    pub logs: Option<Data>,
    /// Identifiers of the services this template waits for; empty = no template.
    #[serde(default, with = "null_when_empty")]
    pub ad_identifiers: Vec<String>,
    /// Kubernetes objects this template waits for.
    #[serde(default, with = "null_when_empty")]
    pub advanced_ad_identifiers: Vec<AdvancedAdIdentifier>,
    /// Provider that found it, for example `file`.
    #[serde(default)]
    pub provider: String,
    /// AD service the template was resolved for.
    #[serde(default)]
    pub service_id: String,
    /// Whether the dispatcher is to place it.
    #[serde(default)]
    pub cluster_check: bool,
    /// Kubernetes node of the backing pod; not empty = endpoint check.
    #[serde(default)]
    pub node_name: String,
    /// Where it came from, for example `file:/etc/datadog-agent/conf.d/redis.yaml`.
    #[serde(default)]
    pub source: String,
    /// Whether tags of the service are left out.
    #[serde(default)]
    pub ignore_autodiscovery_tags: bool,
    /// Tag cardinality: empty, `low`, `orchestrator`, `high` or `none`.
    #[serde(default)]
    pub check_tag_cardinality: String,
    /// Excluded by a container filter: its metrics must not be collected.
    #[serde(default)]
    pub metrics_excluded: bool,
    /// Excluded by a container filter: its logs must not be collected.
    #[serde(default)]
    pub logs_excluded: bool,
}

impl CheckConfig {
    /// Whether it waits for a service.
    #[must_use]
    pub fn is_template(&self) -> bool {
        !self.ad_identifiers.is_empty() || !self.advanced_ad_identifiers.is_empty()
    }

    /// Whether a node runs it by itself: not for the dispatcher, and at least one instance.
    #[must_use]
    pub fn is_check(&self) -> bool {
        !self.cluster_check && !self.instances.is_empty()
    }

    /// Whether it is one that can run as it is: a check that waits for no service.
    #[must_use]
    pub fn is_resolved_check(&self) -> bool {
        self.is_check() && !self.is_template()
    }
}

/// A config as it is dispatched: patched, with its identities computed once.
///
/// Built by `domain::patch::dispatched`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DispatchedConfig {
    /// Key of the discovered config it was made from.
    pub key: ConfigKey,
    /// Stock digest of the patched config.
    pub digest: Digest,
    /// The config as agents receive it.
    pub config: CheckConfig,
    /// Current check id of each instance, in instance order.
    pub check_ids: Vec<CheckId>,
    /// What its content says about where and when it runs.
    pub traits: CheckTraits,
}

/// Serialises an empty list as `null` and reads `null` as an empty list (Go's nil slice); binary formats keep the list.
mod null_when_empty {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(list: &[T], serializer: S) -> Result<S::Ok, S::Error> {
        if list.is_empty() && serializer.is_human_readable() { serializer.serialize_none() } else { list.serialize(serializer) }
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
        if deserializer.is_human_readable() {
            Option::<Vec<T>>::deserialize(deserializer).map(Option::unwrap_or_default)
        } else {
            Vec::<T>::deserialize(deserializer)
        }
    }
}
