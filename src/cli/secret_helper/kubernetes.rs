//! Secrets that are keys of Secret objects. Source: cluster-agent-kubernetes 8.1.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::Api;

use crate::kube::error::ObjectError;

/// `<namespace>/<name>/<key>`.
struct Place<'a> {
    namespace: &'a str,
    name: &'a str,
    key: &'a str,
}

impl<'a> Place<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split('/');
        let place = Self { namespace: parts.next()?, name: parts.next()?, key: parts.next()? };
        let complete = parts.next().is_none() && ![place.namespace, place.name, place.key].contains(&"");
        // `..` would be another path of the API.
        let plain = ![place.namespace, place.name].iter().any(|part| part.starts_with('.') || part.contains(['?', '#', '%']));
        (complete && plain).then_some(place)
    }
}

/// Reads Secret objects, each once.
#[derive(Default)]
pub(super) struct SecretObjects {
    seen: BTreeMap<(String, String), Result<Secret, String>>,
}

impl SecretObjects {
    /// The value at `<namespace>/<name>/<key>`.
    ///
    /// Errors: why there is none, without any value.
    pub(super) async fn read(&mut self, client: &Client, place: &str) -> Result<String, String> {
        let Some(place) = Place::parse(place) else {
            return Err("the text after `k8s_secret@` must be <namespace>/<name>/<key>".to_owned());
        };
        let Place { namespace, name, key } = place;
        let object = (namespace.to_owned(), name.to_owned());
        if !self.seen.contains_key(&object) {
            let found = Api::<Secret>::namespaced(client.clone(), namespace).get(name).await;
            let found = found.map_err(|error| text(&ObjectError::classify("get", "secrets", name, &error), namespace, name));
            self.seen.insert(object.clone(), found);
        }
        let secret = match self.seen.get(&object) {
            Some(Ok(secret)) => secret,
            Some(Err(text)) => return Err(text.clone()),
            None => return Err("not read".to_owned()),
        };
        let Some(value) = secret.data.as_ref().and_then(|data| data.get(key)) else {
            return Err(format!("key {key:?} not found in secret {namespace}/{name}"));
        };
        String::from_utf8(value.0.clone()).map_err(|_| "secret is not UTF-8 text".to_owned())
    }
}

fn text(error: &ObjectError, namespace: &str, name: &str) -> String {
    match error {
        ObjectError::Forbidden { .. } => {
            format!(
                "get secrets {name:?} is forbidden, bind a role in the namespace {namespace:?} with the rule apiGroups: [\"\"], resources: \
                 [secrets], resourceNames: [{name}], verbs: [get] to the service account"
            )
        }
        error => format!("secret {namespace}/{name}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kube::testing::{Reply, Script};

    const PATH: &str = "/api/v1/namespaces/ns/secrets/db";

    fn secret() -> Reply {
        // `hunter2`, and two bytes that are no text.
        let data = json!({"password": "aHVudGVyMg==", "binary": "//4="});
        Reply::json(200, &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": "ns"}, "data": data}))
    }

    #[tokio::test]
    async fn an_object_is_asked_for_once_and_its_keys_are_told_apart() {
        let script = Script::new().on("GET", PATH, secret());
        let (client, mut objects) = (script.client(), SecretObjects::default());
        assert_eq!(objects.read(&client, "ns/db/password").await, Ok("hunter2".to_owned()));
        assert_eq!(objects.read(&client, "ns/db/user").await, Err("key \"user\" not found in secret ns/db".to_owned()));
        assert_eq!(objects.read(&client, "ns/db/binary").await, Err("secret is not UTF-8 text".to_owned()));
        script.finish();
    }

    #[tokio::test]
    async fn a_missing_object_and_a_missing_right_are_told_apart() {
        let script = Script::new().on("GET", "ns/secrets/none", Reply::status(404, "NotFound", "secrets \"none\" not found")).on(
            "GET",
            PATH,
            Reply::status(403, "Forbidden", "no"),
        );
        let (client, mut objects) = (script.client(), SecretObjects::default());
        assert_eq!(objects.read(&client, "ns/none/key").await, Err("secret ns/none: not found".to_owned()));
        let said = objects.read(&client, "ns/db/password").await.unwrap_err();
        assert!(said.starts_with("get secrets \"db\" is forbidden, bind a role in the namespace \"ns\" with the rule "), "{said}");
        assert!(said.ends_with("resourceNames: [db], verbs: [get] to the service account"), "{said}");
        script.finish();
    }

    #[tokio::test]
    async fn what_is_no_place_is_not_asked_for() {
        let script = Script::new();
        for place in ["", "db", "ns/db", "ns/db/", "/db/key", "ns/db/key/more", "../db/key", "ns/../key", "ns/a?b/key", "ns/a%2fb/key"] {
            let said = SecretObjects::default().read(&script.client(), place).await.unwrap_err();
            assert_eq!(said, "the text after `k8s_secret@` must be <namespace>/<name>/<key>", "{place}");
        }
        script.finish();
    }
}
