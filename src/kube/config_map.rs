//! ConfigMaps by name. Listing and watching them is not allowed to us. Source: cluster-agent-kubernetes 9.1.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt as _};

use super::error::ObjectError;

const RESOURCE: &str = "configmaps";

/// ConfigMaps of one namespace.
#[derive(Clone)]
pub struct ConfigMaps {
    api: Api<ConfigMap>,
}

impl ConfigMaps {
    /// Those of this namespace.
    #[must_use]
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { api: Api::namespaced(client, namespace) }
    }

    /// An object to create: a name and nothing else.
    #[must_use]
    pub fn empty(name: &str) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.name = Some(name.to_owned());
        object
    }

    /// Reads one.
    ///
    /// Errors: [`ObjectError`].
    pub async fn get(&self, name: &str) -> Result<ConfigMap, ObjectError> {
        self.api.get(name).await.map_err(|error| ObjectError::classify("get", RESOURCE, name, &error))
    }

    /// Creates one and returns it as stored.
    ///
    /// Errors: [`ObjectError`]; `Conflict` if it exists.
    pub async fn create(&self, object: &ConfigMap) -> Result<ConfigMap, ObjectError> {
        let name = object.name_any();
        self.api
            .create(&PostParams::default(), object)
            .await
            .map_err(|error| ObjectError::classify("create", RESOURCE, name.as_str(), &error))
    }

    /// Replaces one and returns it as stored. The object must be one that was read, changed: its resource version is compared.
    ///
    /// Errors: [`ObjectError`]; `Conflict` if it was changed since it was read.
    pub async fn update(&self, object: &ConfigMap) -> Result<ConfigMap, ObjectError> {
        let name = object.name_any();
        let replaced = self.api.replace(&name, &PostParams::default(), object).await;
        replaced.map_err(|error| ObjectError::classify("update", RESOURCE, name.as_str(), &error))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kube::testing::{Reply, Script};

    const PATH: &str = "/api/v1/namespaces/ns/configmaps";

    fn stored(version: &str, value: &str) -> serde_json::Value {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "m", "namespace": "ns", "resourceVersion": version, "labels": {"kept": "yes"}, "annotations": {"a": "1"}},
            "data": {"k": value}, "binaryData": {"b": "AAE="},
        })
    }

    #[tokio::test]
    async fn an_object_is_read_changed_and_written_with_everything_it_had() {
        let script = Script::new().on("GET", &format!("{PATH}/m"), Reply::json(200, &stored("7", "old"))).on(
            "PUT",
            &format!("{PATH}/m"),
            Reply::json(200, &stored("8", "new")),
        );
        let maps = ConfigMaps::new(script.client(), "ns");
        let mut object = maps.get("m").await.unwrap();
        assert_eq!(object.binary_data.as_ref().unwrap()["b"].0, [0, 1]);
        object.data.get_or_insert_default().insert("k".to_owned(), "new".to_owned());
        let written = maps.update(&object).await.unwrap();
        assert_eq!(written.resource_version().as_deref(), Some("8"));
        let body = script.bodies().pop().unwrap();
        assert_eq!(body["metadata"]["resourceVersion"], "7");
        assert_eq!(body["metadata"]["labels"], json!({"kept": "yes"}));
        assert_eq!((&body["data"]["k"], &body["binaryData"]["b"]), (&json!("new"), &json!("AAE=")));
        script.finish();
    }

    #[tokio::test]
    async fn answers_are_told_apart_by_what_follows_from_them() {
        let script = Script::new()
            .on("GET", PATH, Reply::status(404, "NotFound", "configmaps \"m\" not found"))
            .on("POST", PATH, Reply::status(409, "AlreadyExists", "it exists"))
            .on("PUT", PATH, Reply::status(409, "Conflict", "it was modified"))
            .on("GET", PATH, Reply::status(403, "Forbidden", "no"))
            .on("GET", PATH, Reply::status(500, "InternalError", "etcd is down"))
            .on("GET", PATH, Reply::text(200, "<html>"))
            .on("GET", PATH, Reply::Broken("connection refused"));
        let maps = ConfigMaps::new(script.client(), "ns");
        let object = ConfigMaps::empty("m");
        assert_eq!(maps.get("m").await.unwrap_err(), ObjectError::NotFound);
        assert_eq!(maps.create(&object).await.unwrap_err(), ObjectError::Conflict);
        assert_eq!(maps.update(&object).await.unwrap_err(), ObjectError::Conflict);
        let forbidden = maps.get("m").await.unwrap_err();
        assert_eq!(forbidden, ObjectError::Forbidden { verb: "get", resource: "configmaps", name: Some("m".to_owned()) });
        assert!(forbidden.to_string().contains("get configmaps \"m\" is forbidden, allow the verb \"get\""), "{forbidden}");
        for text in ["500 etcd is down", "expected value", "connection refused"] {
            let ObjectError::Unavailable(said) = maps.get("m").await.unwrap_err() else { panic!("{text}") };
            assert!(said.contains(text), "{said}");
        }
        script.finish();
    }
}
