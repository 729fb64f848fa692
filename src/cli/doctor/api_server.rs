//! The API server, who we are to it, and the id of the cluster. Source: cluster-agent-kubernetes 4.5, 5.

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::{Api, PostParams};
use muster_actors::kernel::clock::{Clock as _, SystemClock};

use super::finding::{Finding, Section};
use super::{lock, rights};
use crate::config::settings::KubernetesSettings;
use crate::errors;
use crate::kube::client::{Connection, connect, server_version};
use crate::kube::cluster_id;
use crate::kube::config_map::ConfigMaps;
use crate::kube::error::{ObjectError, describe};

/// Everything that needs the API server; without it only that is said.
pub(super) async fn examine(settings: &KubernetesSettings) -> Vec<Finding> {
    let connection = match connect(&settings.api_server).await {
        Ok(connection) => connection,
        Err(error) => {
            let mend = "see docs/DEPLOY.md; muster.standalone: true runs without Kubernetes";
            return vec![Finding::mend(Section::ApiServer, "client", format!("failed to {}", errors::chain(&error)), mend)];
        }
    };
    let Connection { client, namespace, .. } = &connection;
    let (answers, mut findings) = reach(&connection).await;
    if !answers {
        return findings;
    }
    let who = identity(client, settings, namespace, &mut findings).await;
    findings.extend(rights::examine(client, settings, namespace, &who).await);
    let resources_namespace = settings.resources_namespace_in(namespace);
    findings.push(lock::examine(client, settings, resources_namespace, SystemClock::new().unix_seconds()).await);
    findings.push(id_of_cluster(client, namespace).await);
    findings
}

async fn reach(connection: &Connection) -> (bool, Vec<Finding>) {
    let clock = SystemClock::new();
    let asked_at = clock.monotonic();
    let version = server_version(&connection.client).await;
    let took = clock.monotonic().saturating_sub(asked_at).as_millis();
    let address = Finding::well(Section::ApiServer, "address", connection.url.to_string().trim_end_matches('/').to_owned());
    match version {
        Ok(Some(version)) if version.is_too_old() => (
            true,
            vec![address, Finding::advice(Section::ApiServer, "version", format!("{version}, {took} ms"), "update it to 1.21 or newer")],
        ),
        Ok(Some(version)) => (true, vec![address, Finding::well(Section::ApiServer, "version", format!("{version}, {took} ms"))]),
        Ok(None) => (true, vec![address, Finding::well(Section::ApiServer, "version", format!("unknown, {took} ms"))]),
        Err(kube::Error::Api(status)) if status.code == 403 || status.code == 404 => {
            (true, vec![address, Finding::well(Section::ApiServer, "version", format!("not told, {took} ms"))])
        }
        Err(kube::Error::Api(status)) if status.code == 401 => {
            let mend = "the token is not of this cluster, or has run out: start the pod again";
            (false, vec![address, Finding::mend(Section::ApiServer, "version", "401: the token is not accepted", mend)])
        }
        Err(error) => {
            let mend = "check address, network policies and certificate authority";
            (false, vec![address, Finding::mend(Section::ApiServer, "version", format!("no answer: {}", describe(&error)), mend)])
        }
    }
}

/// Returns by what name rights are bound.
async fn identity(client: &Client, settings: &KubernetesSettings, namespace: &str, findings: &mut Vec<Finding>) -> String {
    let review = Api::all(client.clone()).create(&PostParams::default(), &SelfSubjectReview::default()).await;
    let user = review.ok().and_then(|review| review.status?.user_info?.username);
    let shown = user.clone().unwrap_or_else(|| "not told (older than Kubernetes 1.28)".to_owned());
    findings.push(Finding::well(Section::Identity, "user", shown));
    findings.push(Finding::well(Section::Identity, "namespace", namespace));
    if let Some(other) = settings.resources_namespace.as_ref().filter(|other| *other != namespace) {
        findings.push(Finding::well(Section::Identity, "lock, snapshot", format!("in the namespace {other}")));
    }
    let name = &settings.election.identity;
    findings.push(if settings.election.identity_told {
        Finding::well(Section::Identity, "pod name", name)
    } else {
        let mend = "set DD_POD_NAME from metadata.name; two replicas of one name would both lead";
        Finding::advice(Section::Identity, "pod name", format!("not set, using {name:?}"), mend)
    });
    match user.as_deref().and_then(|user| user.strip_prefix("system:serviceaccount:")) {
        Some(account) => format!("the service account {}", account.replacen(':', "/", 1)),
        None => user.map_or_else(|| "this identity".to_owned(), |user| format!("the user {user:?}")),
    }
}

async fn id_of_cluster(client: &Client, namespace: &str) -> Finding {
    let subject = format!("ConfigMap {namespace}/{}", cluster_id::NAME);
    let kept = ConfigMaps::new(client.clone(), namespace).get(cluster_id::NAME).await;
    let kept = kept.map(|map| map.data.and_then(|mut data| data.remove(cluster_id::KEY)).unwrap_or_default());
    let why = match kept {
        Ok(id) if id.len() == cluster_id::LENGTH => return Finding::well(Section::ClusterId, subject, id),
        Ok(_) => "malformed, is replaced".to_owned(),
        Err(ObjectError::NotFound) => "not kept yet".to_owned(),
        Err(error) => error.to_string(),
    };
    match Api::<Namespace>::all(client.clone()).get(cluster_id::SYSTEM).await {
        Ok(system) => {
            let id = system.metadata.uid.unwrap_or_default();
            Finding::well(Section::ClusterId, subject, format!("{why}; it is the UID of kube-system, {id}"))
        }
        Err(error) => {
            let mend = "see the rights above, cluster-id; until then agents are answered 500";
            Finding::advice(Section::ClusterId, subject, format!("{why}; namespace kube-system: {}", describe(&error)), mend)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::finding::State;
    use super::*;
    use crate::config::{Config, Environment, Request, Role};
    use crate::kube::testing::{Reply, Script};

    const ID: &str = "4e2a1ad5-4a4b-4f7e-9b4c-0123456789ab";

    fn connection(script: &Script) -> Connection {
        Connection { client: script.client(), namespace: "ns".to_owned(), url: "https://10.96.0.1:443/".parse().unwrap() }
    }

    async fn reached(reply: Reply) -> (bool, State, String) {
        let script = Script::new().on("GET", "/version", reply);
        let (answers, mut findings) = reach(&connection(&script)).await;
        let last = findings.pop().unwrap();
        assert_eq!(findings, [Finding::well(Section::ApiServer, "address", "https://10.96.0.1:443")]);
        (answers, last.state, last.found)
    }

    #[tokio::test]
    async fn an_api_server_is_there_when_it_answers() {
        let (answers, state, found) = reached(Reply::json(200, &json!({"gitVersion": "v1.36.4"}))).await;
        assert!(answers && state == State::Well && found.starts_with("v1.36.4, ") && found.ends_with(" ms"), "{found}");
        let (answers, state, found) = reached(Reply::json(200, &json!({"gitVersion": "v1.13.0"}))).await;
        assert!(answers && state == State::Advice, "{found}");
        let (answers, state, _) = reached(Reply::status(403, "Forbidden", "no")).await;
        assert!(answers && state == State::Well);
        let (answers, state, found) = reached(Reply::status(401, "Unauthorized", "Unauthorized")).await;
        assert!(!answers && state == State::Mend && found.contains("token"), "{found}");
        let (answers, state, found) = reached(Reply::Broken("connection refused")).await;
        assert!(!answers && state == State::Mend && found.contains("connection refused"), "{found}");
    }

    async fn identified(reply: Reply, pod: &[(&str, &str)]) -> (String, Vec<String>) {
        let environment = Environment::from_pairs(pod.iter().copied());
        let folder = tempfile::tempdir().unwrap();
        let request = Request { role: Role::Cluster, path: Some(folder.path().to_owned()), environment, overrides: Vec::new() };
        let config = Config::load(request).unwrap();
        let script = Script::new().on("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", reply);
        let mut findings = Vec::new();
        let who = identity(&script.client(), &KubernetesSettings::from_config(&config), "ns", &mut findings).await;
        script.finish();
        (who, findings.into_iter().map(|finding| format!("{:?} {}: {}", finding.state, finding.subject, finding.found)).collect())
    }

    #[tokio::test]
    async fn a_service_account_is_named_as_bindings_name_it() {
        let review = |user: &str| {
            let status = json!({"userInfo": {"username": user}});
            Reply::json(201, &json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview", "status": status}))
        };
        let account = review("system:serviceaccount:ns:muster-cluster");
        let (who, lines) = identified(account, &[("DD_POD_NAME", "muster-1"), ("DD_KUBE_RESOURCES_NAMESPACE", "locks")]).await;
        assert_eq!(who, "the service account ns/muster-cluster");
        assert_eq!(
            lines,
            [
                "Well user: system:serviceaccount:ns:muster-cluster",
                "Well namespace: ns",
                "Well lock, snapshot: in the namespace locks",
                "Well pod name: muster-1"
            ]
        );
        // Replicas may share a configured host name; the name in the lock never comes from it.
        let (who, lines) = identified(review("admin"), &[("DD_HOSTNAME", "shared")]).await;
        assert_eq!(who, "the user \"admin\"");
        let last = lines.last().unwrap();
        assert!(last.starts_with("Advice pod name: not set, using ") && !last.contains("shared"), "{last}");
        assert_eq!(identified(Reply::status(404, "NotFound", "no"), &[]).await.0, "this identity");
    }

    #[tokio::test]
    async fn the_id_is_read_or_said_where_it_comes_from() {
        let map = |id: &str| Reply::json(200, &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}, "data": {"id": id}}));
        let system = || Reply::json(200, &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system", "uid": ID}}));
        let path = "/api/v1/namespaces/ns/configmaps/datadog-cluster-id";
        let script = Script::new().on("GET", path, map(ID));
        assert_eq!(id_of_cluster(&script.client(), "ns").await.found, ID);
        for (reply, start) in [(map("short"), "malformed"), (Reply::status(404, "NotFound", "no"), "not kept yet; it is the UID")] {
            let script = Script::new().on("GET", path, reply).on("GET", "/api/v1/namespaces/kube-system", system());
            let finding = id_of_cluster(&script.client(), "ns").await;
            assert!(finding.state == State::Well && finding.found.starts_with(start) && finding.found.ends_with(ID), "{}", finding.found);
        }
        let script = Script::new().on("GET", path, Reply::status(403, "Forbidden", "no")).on(
            "GET",
            "kube-system",
            Reply::status(403, "Forbidden", "no"),
        );
        assert_eq!(id_of_cluster(&script.client(), "ns").await.state, State::Advice);
    }
}
