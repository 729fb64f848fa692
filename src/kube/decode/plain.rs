//! Services and namespaces.

use std::sync::Arc;

use muster_actors::domain::kube::objects::{Kind, KubeNamespace, KubeObject, KubeService, ObjectKey, Port};
use serde::Deserialize;

use super::form::Form;
use super::head::{Head, Pairs, or_empty};
use super::interner::Interner;

/// A service.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ServiceForm {
    metadata: Head<Pairs>,
    spec: ServiceSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ServiceSpec {
    #[serde(rename = "clusterIP")]
    cluster_ip: Box<str>,
    #[serde(deserialize_with = "or_empty")]
    ports: Vec<PortForm>,
}

/// A port of a service, an Endpoints object or a slice; in slices the number and the name may be `null`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PortForm {
    name: Option<Box<str>>,
    port: Option<u16>,
}

/// Ports that have a number.
pub(super) fn ports(forms: &[PortForm], interner: &mut Interner) -> Vec<Port> {
    let numbered = forms.iter().filter_map(|form| Some((form.port?, form.name.as_deref().unwrap_or_default())));
    numbered.map(|(number, name)| Port { number, name: interner.share(name) }).collect()
}

impl Form for ServiceForm {
    const KIND: Kind = Kind::Services;
    const NAME: &'static str = "Service";

    fn key(&self) -> ObjectKey {
        self.metadata.key()
    }

    fn resource_version(&self) -> &str {
        &self.metadata.resource_version
    }

    fn into_object(self, interner: &mut Interner) -> KubeObject {
        KubeObject::Service(Arc::new(KubeService {
            ports: ports(&self.spec.ports, interner),
            cluster_ip: self.spec.cluster_ip.into(),
            meta: self.metadata.into_meta(interner),
        }))
    }
}

/// A namespace.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NamespaceForm {
    metadata: Head<Pairs>,
}

impl Form for NamespaceForm {
    const KIND: Kind = Kind::Namespaces;
    const NAME: &'static str = "Namespace";

    fn key(&self) -> ObjectKey {
        self.metadata.key()
    }

    fn resource_version(&self) -> &str {
        &self.metadata.resource_version
    }

    fn into_object(self, interner: &mut Interner) -> KubeObject {
        KubeObject::Namespace(Arc::new(KubeNamespace { meta: self.metadata.into_meta(interner) }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::form::tests::decoded;
    use super::*;

    #[test]
    fn a_service_keeps_annotations_address_and_ports() {
        let KubeObject::Service(service) = decoded::<ServiceForm>(&json!({
            "metadata": {"name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "3", "annotations": {"a": "b"}},
            "spec": {"clusterIP": "10.96.0.7", "ports": [{"name": "http", "port": 80, "targetPort": "web"}, {"port": 9090, "nodePort": 30000}]},
            "status": {"loadBalancer": {}},
        })) else {
            panic!("a service")
        };
        assert_eq!(&*service.cluster_ip, "10.96.0.7");
        assert_eq!(service.ports, [Port { number: 80, name: "http".into() }, Port { number: 9090, name: "".into() }]);
        assert_eq!(service.meta.annotations.get("a").map(|value| &**value), Some("b"));
    }

    #[test]
    fn a_headless_service_says_none_and_may_have_no_port() {
        let object = json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": {"clusterIP": "None", "ports": null}});
        let KubeObject::Service(service) = decoded::<ServiceForm>(&object) else { panic!("a service") };
        assert_eq!((&*service.cluster_ip, service.ports.len()), ("None", 0));
    }

    #[test]
    fn a_namespace_has_no_namespace() {
        let object =
            json!({"metadata": {"name": "shop", "labels": {"team": "a"}, "annotations": {"b": "c"}}, "status": {"phase": "Active"}});
        let KubeObject::Namespace(namespace) = decoded::<NamespaceForm>(&object) else { panic!("a namespace") };
        assert_eq!(namespace.meta.key, ObjectKey::new("", "shop"));
        assert_eq!((namespace.meta.labels.len(), namespace.meta.annotations.len()), (1, 1));
    }
}
