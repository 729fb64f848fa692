//! The id of the cluster. Source: cluster-agent-kubernetes 5.1.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::Api;
use kube::{Client, ResourceExt as _};
use tracing::warn;

use super::config_map::ConfigMaps;
use super::error::ObjectError;

/// ConfigMap that keeps the id, shared with the stock cluster agent.
pub(crate) const NAME: &str = "datadog-cluster-id";
/// Key in it.
pub(crate) const KEY: &str = "id";
/// Namespace whose uid becomes the id.
pub(crate) const SYSTEM: &str = "kube-system";
/// Length of an id.
///
/// Units: bytes. Source: nodes reject ids of any other length.
pub(crate) const LENGTH: usize = 36;

/// Why there is no id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClusterIdError {
    /// The ConfigMap cannot be read or written, for another reason than a missing right.
    #[error("{verb} config map {NAME:?}")]
    ConfigMap {
        /// `read` or `write`.
        verb: &'static str,
        /// Why.
        #[source]
        source: ObjectError,
    },
    /// The uid of the namespace cannot be read.
    #[error("read namespace {SYSTEM:?}")]
    Namespace(#[source] ObjectError),
    /// The namespace has another uid than namespaces have.
    #[error("find an id of {LENGTH} characters in namespace {SYSTEM:?}, found {0:?}")]
    Malformed(String),
}

/// Where the id is kept, or comes from.
pub struct ClusterIdSource {
    client: Client,
    maps: ConfigMaps,
}

impl ClusterIdSource {
    /// `namespace` is that of this pod, not the one for resources.
    #[must_use]
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { maps: ConfigMaps::new(client.clone(), namespace), client }
    }

    /// The id; one that is not kept yet is written.
    ///
    /// Errors: [`ClusterIdError`].
    pub async fn get(&self) -> Result<String, ClusterIdError> {
        let stored = match self.maps.get(NAME).await {
            Ok(object) => Some(object),
            Err(ObjectError::NotFound) => None,
            Err(error) => return self.without_config_map("read", error).await,
        };
        if let Some(id) = stored.as_ref().and_then(id_in) {
            return Ok(id);
        }
        let id = self.system_uid().await?;
        let written = if let Some(mut object) = stored {
            object.data.get_or_insert_default().insert(KEY.to_owned(), id.clone());
            self.maps.update(&object).await
        } else {
            let mut object = ConfigMaps::empty(NAME);
            object.data.get_or_insert_default().insert(KEY.to_owned(), id.clone());
            self.maps.create(&object).await
        };
        match written {
            Ok(_) => Ok(id),
            // Another replica, or a stock cluster agent, was faster; what it wrote holds.
            Err(ObjectError::Conflict) => match self.maps.get(NAME).await {
                Ok(object) => Ok(id_in(&object).unwrap_or(id)),
                Err(source) => Err(ClusterIdError::ConfigMap { verb: "read", source }),
            },
            Err(error) => self.without_config_map("write", error).await,
        }
    }

    /// Without the right to keep an id it is found anew at each start, and it is the same one.
    async fn without_config_map(&self, verb: &'static str, source: ObjectError) -> Result<String, ClusterIdError> {
        if !matches!(source, ObjectError::Forbidden { .. }) {
            return Err(ClusterIdError::ConfigMap { verb, source });
        }
        let id = self.system_uid().await?;
        warn!(error = %source, id, "cluster id is not kept, using the uid of namespace kube-system");
        Ok(id)
    }

    async fn system_uid(&self) -> Result<String, ClusterIdError> {
        let namespace = Api::<Namespace>::all(self.client.clone()).get(SYSTEM).await;
        let namespace = namespace.map_err(|error| ClusterIdError::Namespace(ObjectError::classify("get", "namespaces", SYSTEM, &error)))?;
        let uid = namespace.uid().unwrap_or_default();
        if uid.len() == LENGTH { Ok(uid) } else { Err(ClusterIdError::Malformed(uid)) }
    }
}

/// The id in a ConfigMap, if it is one.
fn id_in(object: &ConfigMap) -> Option<String> {
    object.data.as_ref()?.get(KEY).filter(|id| id.len() == LENGTH).cloned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kube::testing::{Reply, Script};

    const MAPS: &str = "/api/v1/namespaces/own/configmaps";
    const UID: &str = "226430c6-5e57-11ea-91d5-42010a8400c6";
    const OTHER: &str = "00000000-0000-0000-0000-000000000001";

    fn stored(id: &str) -> Reply {
        let metadata = json!({"name": NAME, "namespace": "own", "resourceVersion": "3"});
        Reply::json(200, &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"id": id, "other": "kept"}}))
    }

    fn system() -> Reply {
        Reply::json(200, &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM, "uid": UID}}))
    }

    fn missing() -> Reply {
        Reply::status(404, "NotFound", "not found")
    }

    fn forbidden() -> Reply {
        Reply::status(403, "Forbidden", "no")
    }

    fn id(script: &Script) -> ClusterIdSource {
        ClusterIdSource::new(script.client(), "own")
    }

    #[tokio::test]
    async fn ca_m19_a_missing_id_is_the_uid_of_kube_system_and_is_kept() {
        let script = Script::new()
            .on("GET", &format!("{MAPS}/{NAME}"), missing())
            .on("GET", "/api/v1/namespaces/kube-system", system())
            .on("POST", MAPS, stored(UID));
        assert_eq!(id(&script).get().await.as_deref(), Ok(UID));
        let body = script.bodies().pop().unwrap();
        assert_eq!((&body["metadata"]["name"], &body["data"]), (&json!(NAME), &json!({"id": UID})));
        script.finish();
    }

    #[tokio::test]
    async fn ca_m20_a_malformed_id_is_replaced() {
        let script = Script::new().on("GET", MAPS, stored("short")).on("GET", "kube-system", system()).on(
            "PUT",
            &format!("{MAPS}/{NAME}"),
            stored(UID),
        );
        assert_eq!(id(&script).get().await.as_deref(), Ok(UID));
        let body = script.bodies().pop().unwrap();
        assert_eq!(body["data"], json!({"id": UID, "other": "kept"}));
        assert_eq!(body["metadata"]["resourceVersion"], "3");
        script.finish();
    }

    #[tokio::test]
    async fn ca_m21_an_id_that_is_there_is_used_and_nothing_written() {
        let script = Script::new().on("GET", MAPS, stored(OTHER));
        assert_eq!(id(&script).get().await.as_deref(), Ok(OTHER));
        script.finish();
    }

    #[tokio::test]
    async fn without_the_right_to_keep_it_the_id_is_used_all_the_same() {
        let script = Script::new().on("GET", MAPS, forbidden()).on("GET", "kube-system", system());
        assert_eq!(id(&script).get().await.as_deref(), Ok(UID));
        script.finish();
        let script = Script::new().on("GET", MAPS, missing()).on("GET", "kube-system", system()).on("POST", MAPS, forbidden()).on(
            "GET",
            "kube-system",
            system(),
        );
        assert_eq!(id(&script).get().await.as_deref(), Ok(UID));
        script.finish();
    }

    #[tokio::test]
    async fn the_id_of_who_was_faster_holds() {
        let script = Script::new()
            .on("GET", MAPS, missing())
            .on("GET", "kube-system", system())
            .on("POST", MAPS, Reply::status(409, "AlreadyExists", "it exists"))
            .on("GET", MAPS, stored(OTHER));
        assert_eq!(id(&script).get().await.as_deref(), Ok(OTHER));
        script.finish();
    }

    #[tokio::test]
    async fn other_failures_are_errors_and_asking_again_may_help() {
        let script = Script::new()
            .on("GET", MAPS, Reply::status(500, "InternalError", "etcd"))
            .on("GET", MAPS, forbidden())
            .on("GET", "kube-system", forbidden())
            .on("GET", MAPS, stored(OTHER));
        let id = id(&script);
        let unavailable = ObjectError::Unavailable("500 etcd".to_owned());
        assert_eq!(id.get().await, Err(ClusterIdError::ConfigMap { verb: "read", source: unavailable }));
        assert!(matches!(id.get().await, Err(ClusterIdError::Namespace(ObjectError::Forbidden { .. }))));
        assert_eq!(id.get().await.as_deref(), Ok(OTHER));
        script.finish();
    }
}
