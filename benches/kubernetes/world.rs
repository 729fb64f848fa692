//! A cluster in which pods run without anybody who runs them: etcd, API server and objects.

use std::collections::BTreeMap;
use std::path::Path;

use muster_rig::{ControlPlane, Identity, Options, PatchKind, environment_of};
use serde_json::{Value as Json, json};

use crate::report::Report;
use crate::wire::TOKEN;

/// Namespace of the manifests.
pub const HOME: &str = "muster";

const NAMESPACES: usize = 20;
const PODS_OF_A_SERVICE: usize = 5;
/// Checks in the annotation of a service; the first one or all.
const CHECKS: [&str; 4] = ["http_check", "tcp_check", "tls", "openmetrics"];

/// How large everything is.
#[derive(Clone, Copy)]
pub struct Size {
    pub nodes: usize,
    pub services: usize,
    /// Services with a check from the beginning.
    pub annotated: usize,
    /// Checks in the end.
    pub checks: usize,
    pub runners: usize,
    /// Changes of each kind whose way is measured.
    pub changes: usize,
    /// Over which processor time is taken.
    pub seconds: u64,
}

impl Size {
    pub fn full() -> Self {
        Self { nodes: 1_000, services: 2_000, annotated: 300, checks: 5_000, runners: 20, changes: 250, seconds: 60 }
    }

    pub fn quick() -> Self {
        Self { nodes: 50, services: 200, annotated: 20, checks: 260, runners: 5, changes: 40, seconds: 5 }
    }

    pub fn pods(&self) -> usize {
        self.services * PODS_OF_A_SERVICE
    }
}

pub struct World {
    pub size: Size,
    pub admin: Identity,
    /// As whom replicas ask.
    pub account: Identity,
    /// What the manifest gives a replica.
    pub environment: BTreeMap<String, String>,
    namespaces: Vec<String>,
    _plane: ControlPlane,
}

impl World {
    pub async fn start(size: Size, report: &Report) -> Self {
        report.say("starting etcd and the API server");
        let plane = ControlPlane::start(Options::bare()).await.unwrap();
        let admin = plane.admin();
        let overlay = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/overlays/cluster");
        admin.apply_path(&overlay).await.unwrap();
        allow_all_pods(&admin).await;
        let environment = environment(&admin).await;
        let account = admin.service_account(HOME, "muster-cluster").await.unwrap();
        let mut namespaces = Vec::new();
        for number in 0..NAMESPACES {
            namespaces.push(plane.namespace(&format!("team-{number}")).await.unwrap());
        }
        let world = Self { size, admin, account, environment, namespaces, _plane: plane };
        world.fill(report).await;
        world
    }

    async fn fill(&self, report: &Report) {
        let Self { size, admin, .. } = self;
        report.say(&format!("making {} nodes, {} services with slices and {} running pods", size.nodes, size.services, size.pods()));
        for number in 0..size.nodes {
            admin.make_node(&node_name(number), &[("topology.kubernetes.io/zone", "a")]).await.unwrap();
        }
        for (place, namespace) in self.namespaces.iter().enumerate() {
            let numbers: Vec<usize> = (place..size.services).step_by(NAMESPACES).collect();
            let path = |kind: &str| format!("/api/v1/namespaces/{namespace}/{kind}");
            let pods = numbers.iter().flat_map(|service| (0..PODS_OF_A_SERVICE).map(|pod| self.pod(*service, pod)));
            admin.create_all(&path("pods"), pods.collect()).await.unwrap();
            admin.run_pods(namespace).await.unwrap();
            let services = numbers.iter().map(|service| service_object(*service, *service < size.annotated));
            admin.create_all(&path("services"), services.collect()).await.unwrap();
            let slices = numbers.iter().map(|service| self.slice(namespace, *service));
            admin.create_all(&format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"), slices.collect()).await.unwrap();
        }
    }

    pub fn nodes(&self) -> Vec<String> {
        (0..self.size.nodes).map(node_name).collect()
    }

    /// Of a service and what belongs to it.
    pub fn namespace(&self, service: usize) -> &str {
        &self.namespaces[service % NAMESPACES]
    }

    /// The node of the first pod of a service.
    pub fn node_of(&self, service: usize) -> String {
        node_name(service * PODS_OF_A_SERVICE % self.size.nodes)
    }

    /// Annotates further services, so that there are so many more checks.
    pub async fn annotate(&self, mut more: usize) {
        let mut service = self.size.annotated;
        while more > 0 {
            let count = more.min(CHECKS.len());
            self.annotate_one(service, &CHECKS[..count]).await;
            more -= count;
            service += 1;
        }
    }

    /// Gives a service an annotation with checks; returns its new resource version.
    pub async fn annotate_one(&self, service: usize, checks: &[&str]) -> String {
        let path = format!("/api/v1/namespaces/{}/services/service-{service}", self.namespace(service));
        let patch = json!({"metadata": {"annotations": annotations(service, checks)}});
        resource_version(&self.admin.patch(&path, PatchKind::Merge, &patch).await.unwrap())
    }

    /// Makes the first pod of a service ready or not; returns the new resource version of the slice.
    pub async fn set_ready(&self, service: usize, ready: bool) -> String {
        let path = format!("/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices/service-{service}-x7k2p", self.namespace(service));
        let patch = json!([{"op": "replace", "path": "/endpoints/0/conditions/ready", "value": ready}]);
        resource_version(&self.admin.patch(&path, PatchKind::Json, &patch).await.unwrap())
    }

    fn pod(&self, service: usize, pod: usize) -> Json {
        let node = node_name((service * PODS_OF_A_SERVICE + pod) % self.size.nodes);
        let set = format!("service-{service}-7d4b9c6f5d");
        json!({
            "metadata": {
                "name": pod_name(service, pod),
                "generateName": format!("{set}-"),
                "labels": {
                    "app.kubernetes.io/name": format!("service-{service}"),
                    "app.kubernetes.io/instance": format!("service-{service}-main"),
                    "app.kubernetes.io/version": "1.27.3",
                    "app.kubernetes.io/component": "server",
                    "app.kubernetes.io/part-of": format!("product-{}", service % 50),
                    "team": format!("team-{}", service % NAMESPACES),
                    "pod-template-hash": "7d4b9c6f5d",
                },
                "annotations": {
                    "checksum/config": format!("{service:064x}"),
                    "prometheus.io/scrape": "true",
                    "kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z",
                },
                "ownerReferences": [{
                    "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": set, "controller": true, "blockOwnerDeletion": true,
                    "uid": format!("00000000-0000-4000-8000-{service:012x}"),
                }],
            },
            "spec": {
                "nodeName": node,
                "terminationGracePeriodSeconds": 0,
                "containers": [container("server", service), container("sidecar", service)],
                "volumes": [{"name": "config", "configMap": {"name": format!("service-{service}")}}],
            },
        })
    }

    fn slice(&self, namespace: &str, service: usize) -> Json {
        let endpoint = |pod: usize| {
            json!({
                "addresses": [format!("10.244.{}.{}", service % 250, pod + 1)],
                "conditions": {"ready": true, "serving": true, "terminating": false},
                "nodeName": node_name((service * PODS_OF_A_SERVICE + pod) % self.size.nodes),
                "targetRef": {
                    "kind": "Pod", "namespace": namespace, "name": pod_name(service, pod),
                    "uid": format!("00000000-0000-4000-9000-{:012x}", service * PODS_OF_A_SERVICE + pod),
                },
            })
        };
        json!({
            "metadata": {
                "name": format!("service-{service}-x7k2p"),
                "labels": {
                    "kubernetes.io/service-name": format!("service-{service}"),
                    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                },
            },
            "addressType": "IPv4",
            "endpoints": (0..PODS_OF_A_SERVICE).map(endpoint).collect::<Vec<_>>(),
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}, {"name": "metrics", "port": 9090, "protocol": "TCP"}],
        })
    }
}

pub fn pod_name(service: usize, pod: usize) -> String {
    format!("service-{service}-7d4b9c6f5d-{pod:05}")
}

fn node_name(number: usize) -> String {
    format!("ip-10-0-{}-{}.eu-west-1.compute.internal", number / 250, number % 250)
}

fn resource_version(object: &Json) -> String {
    object["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
}

fn container(name: &str, service: usize) -> Json {
    let variable = |number: usize| json!({"name": format!("SETTING_{number}"), "value": format!("value-{service}-{number}")});
    json!({
        "name": name,
        "image": format!("registry.example.com/product/{name}:1.27.3"),
        "env": (0..4).map(variable).collect::<Vec<_>>(),
        "ports": [{"name": format!("{name}-http"), "containerPort": 8080}],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/config"}],
    })
}

fn service_object(service: usize, annotated: bool) -> Json {
    let name = format!("service-{service}");
    json!({
        "metadata": {
            "name": name,
            "labels": {"app.kubernetes.io/name": name, "team": format!("team-{}", service % NAMESPACES)},
            "annotations": if annotated { annotations(service, &CHECKS[..1]) } else { json!({}) },
        },
        "spec": {
            "selector": {"app.kubernetes.io/name": name},
            "ports": [{"name": "http", "port": 80, "targetPort": 8080}, {"name": "metrics", "port": 9090}],
        },
    })
}

fn annotations(service: usize, checks: &[&str]) -> Json {
    let check = |name: &&str| {
        let instance = json!({"name": format!("service-{service}"), "url": "http://%%host%%:%%port_http%%/health", "timeout": 5});
        ((*name).to_owned(), json!({"init_config": {}, "instances": [instance]}))
    };
    let checks: serde_json::Map<String, Json> = checks.iter().map(check).collect();
    json!({"ad.datadoghq.com/service.checks": Json::Object(checks).to_string()})
}

/// `muster.watch_pods: all` needs the Role of the manifests as a ClusterRole.
async fn allow_all_pods(admin: &Identity) {
    let path = "/apis/rbac.authorization.k8s.io/v1";
    let role = json!({
        "metadata": {"name": "muster-all-pods"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}],
    });
    admin.create(&format!("{path}/clusterroles"), &role).await.unwrap();
    let binding = json!({
        "metadata": {"name": "muster-all-pods"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "muster-all-pods"},
        "subjects": [{"kind": "ServiceAccount", "name": "muster-cluster", "namespace": HOME}],
    });
    admin.create(&format!("{path}/clusterrolebindings"), &binding).await.unwrap();
}

/// The environment that the manifest gives a replica, with references resolved as a kubelet does, and all pods watched.
async fn environment(admin: &Identity) -> BTreeMap<String, String> {
    let deployment = admin.get(&format!("/apis/apps/v1/namespaces/{HOME}/deployments/muster-cluster")).await.unwrap();
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let mut environment = environment_of(container, HOME, TOKEN).unwrap();
    environment.insert("MUSTER_WATCH_PODS".to_owned(), "all".to_owned());
    environment
}
