//! What the API server says about the control plane, and about itself. Source: cluster-agent-kubernetes 3.8, 3.9.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::{Request, StatusCode};
use kube::Client;
use kube::client::Body;
use kube::discovery::{ApiGroup, Discovery};
use muster_actors::domain::kube::control_plane::{ApiResource, ComponentCondition, ComponentStatus, QuotaUse, StorageObjects};
use muster_actors::ports::{ClusterReadError, ControlPlane};
use serde::Deserialize;
use tokio::runtime::Handle;
use tracing::debug;

use super::decode::{amount, or_empty};
use super::error::describe;
use super::reads::{answer_in, carry, classify};
use crate::checks::openmetrics::parser::{Exposition, Family, Format};

const COMPONENTS: &str = "/api/v1/componentstatuses";
const METRICS: &str = "/metrics";
const QUOTA_GROUP: &str = "/apis/quota.openshift.io";
const QUOTAS: &str = "/apis/quota.openshift.io/v1/clusterresourcequotas";

/// Names of the count of stored objects, newest first.
const OBJECT_COUNTS: [&str; 3] = ["apiserver_storage_objects", "apiserver_resource_objects", "etcd_object_counts"];

/// The control plane through the API server.
#[derive(Clone)]
pub struct KubeControlPlane {
    client: Client,
    /// Where answers are received and decoded, away from the thread of the actors.
    runtime: Handle,
    limit: Duration,
    /// This is no OpenShift, and does not become one.
    plain: Arc<AtomicBool>,
}

impl KubeControlPlane {
    /// Through this client; no question takes longer than `limit`.
    #[must_use]
    pub fn new(client: Client, runtime: Handle, limit: Duration) -> Self {
        Self { client, runtime, limit, plain: Arc::default() }
    }

    fn carry<T: Send + 'static, R: Future<Output = Result<T, ClusterReadError>> + Send + 'static>(
        &self,
        ask: impl FnOnce(Asker) -> R,
    ) -> BoxFuture<'static, Result<T, ClusterReadError>> {
        carry(&self.runtime, ask(Asker { client: self.client.clone(), limit: self.limit }))
    }
}

impl ControlPlane for KubeControlPlane {
    fn components(&self) -> BoxFuture<'static, Result<Vec<ComponentStatus>, ClusterReadError>> {
        self.carry(|asker| async move {
            let list: List<ComponentForm> = asker.get("list componentstatuses", COMPONENTS).await?;
            Ok(list.items.into_iter().map(Into::into).collect())
        })
    }

    /// A refusal for want of a right is an error: it says nothing about the component.
    fn ready(&self, path: &'static str) -> BoxFuture<'static, Result<bool, ClusterReadError>> {
        self.carry(move |asker| async move {
            let what = format!("get {path}");
            let request = Request::get(path).body(Body::empty()).map_err(|error| classify(&what, &kube::Error::HttpError(error)))?;
            let answer = answer_in(asker.limit, &what, asker.client.send(request)).await?;
            match answer.status() {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    Err(ClusterReadError::Forbidden(format!("{what}: allow `get` on this non-resource URL")))
                }
                status => Ok(status == StatusCode::OK),
            }
        })
    }

    /// Each kind once, in its most stable version.
    fn api_resources(&self) -> BoxFuture<'static, Result<Vec<ApiResource>, ClusterReadError>> {
        self.carry(|asker| async move {
            let discovery = asker.discover().await?;
            let resources = discovery.groups().flat_map(ApiGroup::resources_by_stability).map(|(resource, _)| ApiResource {
                name: resource.plural,
                kind: resource.kind,
                group: resource.group,
                version: resource.version,
            });
            let mut resources: Vec<ApiResource> = resources.collect();
            resources.sort_by(|a, b| (&a.group, &a.name).cmp(&(&b.group, &b.name)));
            Ok(resources)
        })
    }

    fn storage_objects(&self) -> BoxFuture<'static, Result<Vec<StorageObjects>, ClusterReadError>> {
        self.carry(|asker| async move {
            let what = "get /metrics";
            let request = Request::get(METRICS).header("accept", "text/plain;version=0.0.4").body(Vec::new());
            let request = request.map_err(|error| classify(what, &kube::Error::HttpError(error)))?;
            let text = answer_in(asker.limit, what, asker.client.request_text(request)).await?;
            stored_objects(&text).map_err(|error| ClusterReadError::Unavailable(format!("{what}: {error}")))
        })
    }

    fn quotas(&self) -> BoxFuture<'static, Result<Option<Vec<QuotaUse>>, ClusterReadError>> {
        let plain = Arc::clone(&self.plain);
        self.carry(|asker| async move {
            if plain.load(Ordering::Relaxed) {
                return Ok(None);
            }
            // Asked first, because where there are no quotas there is no right to list them either, and refusals come first.
            match asker.get::<Group>("look for OpenShift", QUOTA_GROUP).await {
                Err(ClusterReadError::NotFound(_)) => {
                    plain.store(true, Ordering::Relaxed);
                    return Ok(None);
                }
                answer => answer?,
            };
            let list: List<QuotaForm> = asker.get("list clusterresourcequotas", QUOTAS).await?;
            Ok(Some(list.items.into_iter().flat_map(QuotaForm::uses).collect()))
        })
    }
}

/// Asks one question.
struct Asker {
    client: Client,
    limit: Duration,
}

impl Asker {
    async fn get<T: serde::de::DeserializeOwned>(&self, what: &str, path: &str) -> Result<T, ClusterReadError> {
        let request = Request::get(path).body(Vec::new()).map_err(|error| classify(what, &kube::Error::HttpError(error)))?;
        answer_in(self.limit, what, self.client.request(request)).await
    }

    /// Two requests, or with an API server before 1.27 one per group and version.
    async fn discover(&self) -> Result<Discovery, ClusterReadError> {
        let what = "discover API resources";
        let discovery = || Discovery::new(self.client.clone());
        let told_at_once = answer_in(self.limit, what, async { Ok(discovery().run_aggregated().await) }).await?;
        match told_at_once {
            // One that does not know that question answers another one, in which there is nothing that is looked for.
            Ok(found) if found.groups().next().is_some() => return Ok(found),
            Ok(_) => debug!("API resources are not told in one answer, asking for each group"),
            Err(error @ (kube::Error::Api(_) | kube::Error::SerdeError(_))) => {
                debug!(error = describe(&error), "API resources are not told in one answer, asking for each group");
            }
            Err(error) => return Err(classify(what, &error)),
        }
        answer_in(self.limit, what, discovery().run()).await
    }
}

/// Counts of stored objects: the family of the first name that is there. What the server could not count is left out.
fn stored_objects(text: &str) -> Result<Vec<StorageObjects>, crate::checks::openmetrics::parser::ParseError> {
    let belongs = |line: &&str, name: &str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    let Some(name) = OBJECT_COUNTS.into_iter().find(|name| text.lines().any(|line| belongs(&line, name))) else {
        return Ok(Vec::new());
    };
    // Of megabytes, a few lines are wanted.
    let mut lines: String = text.lines().filter(|line| belongs(line, name)).collect::<Vec<_>>().join("\n");
    lines.push('\n');
    let mut exposition = Exposition::new(&lines, Format::Prometheus, &[]);
    let mut family = Family::default();
    let mut found = Vec::new();
    while exposition.next_family(&mut family)? {
        for sample in family.samples.iter().filter(|sample| sample.value >= 0.0) {
            let labels: BTreeMap<&str, &str> = family.labels(sample).iter().map(|(name, value)| (&**name, &**value)).collect();
            let resource = labels.get("resource").copied().unwrap_or_default();
            let resource = match labels.get("group") {
                Some(group) if !group.is_empty() => format!("{resource}.{group}"),
                _ => resource.to_owned(),
            };
            found.push(StorageObjects { resource, count: sample.value });
        }
    }
    Ok(found)
}

#[derive(Deserialize)]
struct List<T> {
    #[serde(default = "Vec::new", deserialize_with = "some_or_none", bound(deserialize = "T: Deserialize<'de>"))]
    items: Vec<T>,
}

fn some_or_none<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Of a group only counts that it is there.
#[derive(Deserialize)]
struct Group {}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ComponentForm {
    metadata: Named,
    #[serde(deserialize_with = "or_empty")]
    conditions: Vec<ConditionForm>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ConditionForm {
    #[serde(rename = "type")]
    condition_type: String,
    status: String,
    message: String,
    error: String,
}

impl From<ComponentForm> for ComponentStatus {
    fn from(form: ComponentForm) -> Self {
        let conditions = form.conditions.into_iter().map(|condition| ComponentCondition {
            condition_type: condition.condition_type,
            status: condition.status,
            message: condition.message,
            error: condition.error,
        });
        Self { name: form.metadata.name, conditions: conditions.collect() }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct QuotaForm {
    metadata: Named,
    status: QuotaStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct QuotaStatus {
    #[serde(deserialize_with = "or_empty")]
    total: Amounts,
    #[serde(deserialize_with = "or_empty")]
    namespaces: Vec<Applied>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Applied {
    namespace: String,
    #[serde(deserialize_with = "or_empty")]
    status: Amounts,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Amounts {
    #[serde(deserialize_with = "or_empty")]
    hard: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_empty")]
    used: BTreeMap<String, String>,
}

impl Amounts {
    /// A resource counts that has both a limit and a use.
    fn uses(&self, quota: &str, namespace: Option<&str>) -> Vec<QuotaUse> {
        let uses = self.hard.iter().filter_map(|(resource, hard)| {
            Some(QuotaUse {
                quota: quota.to_owned(),
                namespace: namespace.map(str::to_owned),
                resource: resource.clone(),
                limit: amount(hard)?,
                used: amount(self.used.get(resource)?)?,
            })
        });
        uses.collect()
    }
}

impl QuotaForm {
    fn uses(self) -> Vec<QuotaUse> {
        let quota = &self.metadata.name;
        let mut uses = self.status.total.uses(quota, None);
        for applied in &self.status.namespaces {
            uses.extend(applied.status.uses(quota, Some(&applied.namespace)));
        }
        uses
    }
}

#[cfg(test)]
mod tests;
