//! How far the events were forwarded, in a ConfigMap that a stock replica can go on from. Source: cluster-agent-kubernetes 3.3.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use muster_actors::domain::event_token::EventToken;
use muster_actors::ports::{EventTokens, SaveOutcome, StillLeads, StoreError};
use tokio::runtime::Handle;

use super::config_map::ConfigMaps;
use super::error::ObjectError;
use crate::carried::carried;

/// Attempts to write against others that write at the same moment.
const ATTEMPTS: u32 = 3;

/// It could neither be read nor made.
#[derive(Debug, thiserror::Error)]
#[error("could not create the ConfigMap: {0}")]
struct NotCreated(ObjectError);

/// Keeps the token in a ConfigMap.
#[derive(Clone)]
pub struct ConfigMapTokens {
    inner: Arc<Inner>,
    runtime: Handle,
}

struct Inner {
    maps: ConfigMaps,
    name: String,
    place: String,
}

impl ConfigMapTokens {
    /// In the ConfigMap `name` of this namespace, the one for resources. Requests are carried out on `runtime`.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, runtime: Handle) -> Self {
        let place = format!("config map {namespace}/{name}");
        Self { inner: Arc::new(Inner { maps: ConfigMaps::new(client, namespace), name: name.to_owned(), place }), runtime }
    }

    fn carry<T: Send + 'static>(
        &self,
        request: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let answer = carried(&self.runtime, request);
        let inner = Arc::clone(&self.inner);
        async move { answer.await.unwrap_or_else(|ended| Err(inner.failed("use", ended))) }.boxed()
    }
}

impl EventTokens for ConfigMapTokens {
    fn load(&self, now_unix_seconds: i64) -> BoxFuture<'static, Result<EventToken, StoreError>> {
        let inner = Arc::clone(&self.inner);
        self.carry(async move { inner.load(now_unix_seconds).await })
    }

    fn save(&self, token: EventToken, leads: StillLeads) -> BoxFuture<'static, Result<SaveOutcome, StoreError>> {
        let inner = Arc::clone(&self.inner);
        self.carry(async move { inner.save(&token, &leads).await })
    }
}

impl Inner {
    /// The ConfigMap; an empty one if there is none.
    async fn get_or_create(&self) -> Result<ConfigMap, StoreError> {
        match self.maps.get(&self.name).await {
            Ok(object) => Ok(object),
            // As stock: whatever the reason, it may be that it can be made. Somebody else may be doing just that.
            Err(_) => match self.maps.create(&ConfigMaps::empty(&self.name)).await {
                Ok(object) => Ok(object),
                Err(error) => Err(self.failed("read", NotCreated(error))),
            },
        }
    }

    async fn load(&self, now: i64) -> Result<EventToken, StoreError> {
        let object = self.get_or_create().await?;
        let (token, has_to_be_written) = EventToken::from_data(&object.data.clone().unwrap_or_default(), now);
        if has_to_be_written {
            match self.maps.update(&with_token(object, &token)).await {
                // Whoever was faster made one that may say more; the next look finds it.
                Ok(_) | Err(ObjectError::Conflict) => {}
                Err(error) => return Err(self.failed("write an empty token to", error)),
            }
        }
        Ok(token)
    }

    async fn save(&self, token: &EventToken, leads: &StillLeads) -> Result<SaveOutcome, StoreError> {
        let mut last = ObjectError::Conflict;
        for _ in 0..ATTEMPTS {
            let object = self.get_or_create().await?;
            // Whoever leads after this question writes a later version of the object than the one read here, and this write is refused.
            if !leads() {
                return Ok(SaveOutcome::NotLeading);
            }
            match self.maps.update(&with_token(object, token)).await {
                Ok(_) => return Ok(SaveOutcome::Saved),
                Err(error @ (ObjectError::Conflict | ObjectError::NotFound)) => last = error,
                Err(error) => return Err(self.failed("write", error)),
            }
        }
        Err(self.failed("write", last))
    }

    fn failed(&self, step: &str, source: impl std::error::Error + Send + Sync + 'static) -> StoreError {
        StoreError { step: format!("{step} the token of the events in {}", self.place), source: Arc::new(source) }
    }
}

/// The object with this token in it, and everything else as it was.
fn with_token(mut object: ConfigMap, token: &EventToken) -> ConfigMap {
    let data = object.data.get_or_insert_default();
    data.extend(token.to_data().map(|(key, value)| (key.to_owned(), value)));
    object
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use serde_json::{Value, json};

    use super::*;
    use crate::errors::chain;
    use crate::kube::testing::{Reply, Script};

    const PATH: &str = "/api/v1/namespaces/ns/configmaps";
    const ONE: &str = "/api/v1/namespaces/ns/configmaps/datadogtoken";
    /// 2023-11-14T22:13:20Z.
    const NOW: i64 = 1_700_000_000;

    fn stored(version: &str, data: Option<&Value>) -> Reply {
        let metadata = json!({"name": "datadogtoken", "namespace": "ns", "resourceVersion": version, "labels": {"kept": "yes"}});
        Reply::json(200, &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}))
    }

    fn not_found() -> Reply {
        Reply::status(404, "NotFound", "not found")
    }

    fn conflict() -> Reply {
        Reply::status(409, "Conflict", "modified")
    }

    fn tokens(script: &Script) -> ConfigMapTokens {
        ConfigMapTokens::new(script.client(), "ns", "datadogtoken", Handle::current())
    }

    fn token(version: &str) -> EventToken {
        EventToken { version: version.to_owned(), listed_at: NOW }
    }

    fn leads() -> StillLeads {
        Arc::new(|| true)
    }

    /// Leads as often as it is asked so many times.
    fn leads_for(questions: u32) -> StillLeads {
        let left = AtomicU32::new(questions);
        Arc::new(move || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok())
    }

    #[tokio::test]
    async fn a_token_of_stock_is_read() {
        let data = json!({"event.tokenKey": "120", "event.tokenTimestamp": "2023-11-14T22:13:10Z"});
        let script = Script::new().on("GET", ONE, stored("7", Some(&data)));
        let found = tokens(&script).load(NOW).await.unwrap();
        assert_eq!(found, EventToken { version: "120".to_owned(), listed_at: NOW - 10 });
        script.finish();
    }

    #[tokio::test]
    async fn ca_e17_a_missing_config_map_is_made_with_an_empty_token_and_the_time() {
        let script = Script::new().on("GET", ONE, not_found()).on("POST", PATH, stored("1", None)).on("PUT", ONE, stored("2", None));
        assert_eq!(tokens(&script).load(NOW).await.unwrap(), token(""));
        let bodies = script.bodies();
        assert_eq!((&bodies[0]["metadata"]["name"], &bodies[0]["data"]), (&json!("datadogtoken"), &Value::Null));
        assert_eq!(bodies[1]["data"], json!({"event.tokenKey": "", "event.tokenTimestamp": "2023-11-14T22:13:20Z"}));
        assert_eq!(bodies[1]["metadata"]["resourceVersion"], "1");
        script.finish();
    }

    #[tokio::test]
    async fn what_can_neither_be_read_nor_made_is_an_error_in_the_words_of_stock() {
        let script = Script::new().on("GET", ONE, Reply::status(403, "Forbidden", "no")).on(
            "POST",
            PATH,
            Reply::status(500, "InternalError", "etcd is away"),
        );
        let error = chain(&tokens(&script).load(NOW).await.unwrap_err());
        let expected =
            "read the token of the events in config map ns/datadogtoken: could not create the ConfigMap: API server: 500 etcd is away";
        assert_eq!(error, expected);
        script.finish();
    }

    #[tokio::test]
    async fn a_token_is_written_beside_whatever_else_is_there() {
        let data = json!({"other.tokenKey": "9", "event.tokenKey": "120", "event.tokenTimestamp": "old"});
        let script = Script::new().on("GET", ONE, stored("7", Some(&data))).on("PUT", ONE, stored("8", None));
        assert_eq!(tokens(&script).save(token("125"), leads()).await.unwrap(), SaveOutcome::Saved);
        let body = script.bodies().remove(0);
        let data = json!({"other.tokenKey": "9", "event.tokenKey": "125", "event.tokenTimestamp": "2023-11-14T22:13:20Z"});
        assert_eq!((&body["data"], &body["metadata"]["resourceVersion"]), (&data, &json!("7")));
        assert_eq!(body["metadata"]["labels"], json!({"kept": "yes"}));
        script.finish();
    }

    #[tokio::test]
    async fn it_is_read_again_after_somebody_else_wrote_or_removed_it() {
        let script = Script::new()
            .on("GET", ONE, stored("1", None))
            .on("PUT", ONE, conflict())
            .on("GET", ONE, stored("5", None))
            .on("PUT", ONE, not_found())
            .on("GET", ONE, not_found())
            .on("POST", PATH, stored("6", None))
            .on("PUT", ONE, stored("7", None));
        assert_eq!(tokens(&script).save(token("125"), leads()).await.unwrap(), SaveOutcome::Saved);
        script.finish();
        let script = (0..ATTEMPTS).fold(Script::new(), |script, _| script.on("GET", ONE, stored("1", None)).on("PUT", ONE, conflict()));
        let error = chain(&tokens(&script).save(token("125"), leads()).await.unwrap_err());
        assert_eq!(error, "write the token of the events in config map ns/datadogtoken: it was changed by somebody else");
        script.finish();
    }

    #[tokio::test]
    async fn a_deposed_leader_leaves_the_token_of_its_successor_alone() {
        let script = Script::new().on("GET", ONE, stored("1", None)).on("PUT", ONE, conflict()).on("GET", ONE, stored("5", None));
        assert_eq!(tokens(&script).save(token("125"), leads_for(1)).await.unwrap(), SaveOutcome::NotLeading);
        script.finish();
    }
}
