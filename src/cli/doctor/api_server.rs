//! The API server, who we are to it, and the id of the cluster. Source: cluster-agent-kubernetes 4.5, 5.

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::{Api, PostParams};
use muster_actors::domain::kube::version::ServerVersion;
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
pub(super) async fn examine(settings: KubernetesSettings) -> Vec<Finding> {
    match connect(&settings.api_server).await {
        Ok(connection) => examine_through(&connection, settings).await,
        Err(error) => {
            let mend = "see docs/DEPLOY.md; muster.standalone: true runs without Kubernetes";
            vec![Finding::mend(Section::ApiServer, "client", format!("failed to {}", errors::chain(&error)), mend)]
        }
    }
}

async fn examine_through(connection: &Connection, mut settings: KubernetesSettings) -> Vec<Finding> {
    let Connection { client, namespace, .. } = connection;
    let Reached { answers, version, mut findings } = reach(connection).await;
    if !answers {
        return findings;
    }
    settings.discovery.limit_to(version.as_ref());
    let who = identity(client, &settings, namespace, &mut findings).await;
    findings.extend(rights::examine(client, &settings, namespace, &who).await);
    let resources_namespace = settings.resources_namespace_in(namespace);
    findings.push(lock::examine(client, &settings, resources_namespace, SystemClock::new().unix_seconds()).await);
    findings.push(id_of_cluster(client, namespace).await);
    findings
}

/// Whether the API server answers, and what it says of itself.
struct Reached {
    answers: bool,
    version: Option<ServerVersion>,
    findings: Vec<Finding>,
}

async fn reach(connection: &Connection) -> Reached {
    let clock = SystemClock::new();
    let asked_at = clock.monotonic();
    let answer = server_version(&connection.client).await;
    let took = clock.monotonic().saturating_sub(asked_at).as_millis();
    let well = |found: &str| Finding::well(Section::ApiServer, "version", format!("{found}, {took} ms"));
    let (answers, version, finding) = match answer {
        Ok(Some(version)) => {
            let found = version.to_string();
            let finding = if version.is_too_old() {
                Finding::advice(Section::ApiServer, "version", format!("{found}, {took} ms"), "update it to 1.21 or newer")
            } else {
                well(&found)
            };
            (true, Some(version), finding)
        }
        Ok(None) => (true, None, well("unknown")),
        Err(kube::Error::Api(status)) if status.code == 403 || status.code == 404 => (true, None, well("not told")),
        Err(kube::Error::Api(status)) if status.code == 401 => {
            let mend = "the token is not of this cluster, or has run out: start the pod again";
            (false, None, Finding::mend(Section::ApiServer, "version", "401: the token is not accepted", mend))
        }
        Err(error) => {
            let mend = "check address, network policies and certificate authority";
            (false, None, Finding::mend(Section::ApiServer, "version", format!("no answer: {}", describe(&error)), mend))
        }
    };
    let address = Finding::well(Section::ApiServer, "address", connection.url.to_string().trim_end_matches('/').to_owned());
    Reached { answers, version, findings: vec![address, finding] }
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
    use crate::kube::rights::needed;
    use crate::kube::testing::{Reply, Script};

    const ID: &str = "4e2a1ad5-4a4b-4f7e-9b4c-0123456789ab";

    fn connection(script: &Script) -> Connection {
        Connection { client: script.client(), namespace: "ns".to_owned(), url: "https://10.96.0.1:443/".parse().unwrap() }
    }

    async fn reached(reply: Reply) -> (bool, State, String) {
        let script = Script::new().on("GET", "/version", reply);
        let Reached { answers, mut findings, .. } = reach(&connection(&script)).await;
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

    #[tokio::test]
    async fn a_right_on_slices_is_not_asked_of_a_server_that_has_none() {
        let mut settings = KubernetesSettings::from_config(&Config::defaults(Role::Cluster));
        settings.discovery.use_endpoint_slices = true;
        let no = || Reply::status(404, "NotFound", "no");
        let verbs: usize = needed(&settings, "ns").iter().map(|need| need.verbs.len()).sum();
        let version = Reply::json(200, &json!({"gitVersion": "v1.20.15"}));
        let script = Script::new().on("GET", "/version", version).on("POST", "/selfsubjectreviews", no());
        let script = (0..verbs).fold(script, |script, _| script.on("POST", "/selfsubjectaccessreviews", no()));
        let script = script.on("GET", "/datadog-cluster-id", no()).on("GET", "/kube-system", no());
        examine_through(&connection(&script), settings).await;
        script.finish();
        let asked = |resource: &str| script.bodies().iter().any(|body| body["spec"]["resourceAttributes"]["resource"] == resource);
        assert!(asked("endpoints") && !asked("endpointslices"), "{:#?}", script.bodies());
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
