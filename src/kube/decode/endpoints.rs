//! Endpoints and EndpointSlices, which become the same thing.

use std::sync::Arc;

use muster_actors::domain::kube::objects::{EndpointAddress, Kind, KubeEndpoints, KubeObject, ObjectKey, Subset, TargetRef};
use serde::Deserialize;

use super::form::Form;
use super::head::{Head, Pairs, or_empty};
use super::interner::Interner;
use super::plain::{PortForm, ports};

/// Label of a slice that names its service.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// An Endpoints object.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct EndpointsForm {
    metadata: Head<Pairs>,
    #[serde(deserialize_with = "or_empty")]
    subsets: Vec<SubsetForm>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SubsetForm {
    #[serde(deserialize_with = "or_empty")]
    addresses: Vec<AddressForm>,
    #[serde(deserialize_with = "or_empty")]
    not_ready_addresses: Vec<AddressForm>,
    #[serde(deserialize_with = "or_empty")]
    ports: Vec<PortForm>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AddressForm {
    ip: Box<str>,
    node_name: Option<Box<str>>,
    target_ref: Option<TargetForm>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct TargetForm {
    kind: Box<str>,
    namespace: Box<str>,
    name: Box<str>,
    uid: Box<str>,
}

impl TargetForm {
    fn into_target(self, interner: &mut Interner) -> TargetRef {
        TargetRef {
            kind: interner.share(&self.kind),
            namespace: interner.share(&self.namespace),
            name: self.name.into(),
            uid: self.uid.into(),
        }
    }
}

impl AddressForm {
    fn into_address(self, ready: bool, interner: &mut Interner) -> EndpointAddress {
        EndpointAddress {
            ip: self.ip.into(),
            node: interner.share(self.node_name.as_deref().unwrap_or_default()),
            target: self.target_ref.map(|target| target.into_target(interner)),
            ready,
            terminating: false,
        }
    }
}

impl Form for EndpointsForm {
    const KIND: Kind = Kind::Endpoints;
    const NAME: &'static str = "Endpoints";

    fn key(&self) -> ObjectKey {
        self.metadata.key()
    }

    fn resource_version(&self) -> &str {
        &self.metadata.resource_version
    }

    fn into_object(self, interner: &mut Interner) -> KubeObject {
        let mut subsets = Vec::with_capacity(self.subsets.len());
        for form in self.subsets {
            let ready = form.addresses.into_iter().map(|address| (address, true));
            let all = ready.chain(form.not_ready_addresses.into_iter().map(|address| (address, false)));
            let addresses = all.map(|(address, ready)| address.into_address(ready, interner)).collect();
            subsets.push(Subset { addresses, ports: ports(&form.ports, interner) });
        }
        let meta = self.metadata.into_meta(interner);
        KubeObject::Endpoints(Arc::new(KubeEndpoints { service: Arc::clone(&meta.key.name), meta, subsets }))
    }
}

/// An EndpointSlice.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct EndpointSliceForm {
    metadata: Head<Pairs>,
    #[serde(deserialize_with = "or_empty")]
    endpoints: Vec<EndpointForm>,
    #[serde(deserialize_with = "or_empty")]
    ports: Vec<PortForm>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct EndpointForm {
    #[serde(deserialize_with = "or_empty")]
    addresses: Vec<Box<str>>,
    #[serde(deserialize_with = "or_empty")]
    conditions: EndpointConditions,
    node_name: Option<Box<str>>,
    target_ref: Option<TargetForm>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct EndpointConditions {
    ready: Option<bool>,
    terminating: Option<bool>,
}

impl EndpointForm {
    fn into_addresses(self, interner: &mut Interner) -> impl Iterator<Item = EndpointAddress> + use<> {
        let node = interner.share(self.node_name.as_deref().unwrap_or_default());
        let target = self.target_ref.map(|target| target.into_target(interner));
        // "Unknown" is to be taken as ready, and as not terminating, says the API.
        let (ready, terminating) = (self.conditions.ready.unwrap_or(true), self.conditions.terminating.unwrap_or(false));
        let addresses = self.addresses.into_iter();
        addresses.map(move |ip| EndpointAddress { ip: ip.into(), node: Arc::clone(&node), target: target.clone(), ready, terminating })
    }
}

impl Form for EndpointSliceForm {
    const KIND: Kind = Kind::EndpointSlices;
    const NAME: &'static str = "EndpointSlice";

    fn key(&self) -> ObjectKey {
        self.metadata.key()
    }

    fn resource_version(&self) -> &str {
        &self.metadata.resource_version
    }

    fn into_object(self, interner: &mut Interner) -> KubeObject {
        let service = interner.share(self.metadata.labels.get(SERVICE_LABEL).unwrap_or_default());
        let addresses = self.endpoints.into_iter().flat_map(|endpoint| endpoint.into_addresses(interner)).collect();
        let (mut ready, not_ready): (Vec<_>, Vec<_>) = Vec::into_iter(addresses).partition(|address| address.ready);
        ready.extend(not_ready);
        let subset = Subset { addresses: ready, ports: ports(&self.ports, interner) };
        KubeObject::Endpoints(Arc::new(KubeEndpoints { meta: self.metadata.into_meta(interner), service, subsets: vec![subset] }))
    }
}

#[cfg(test)]
mod tests {
    use muster_actors::domain::kube::objects::Port;
    use serde_json::json;

    use super::super::form::tests::decoded;
    use super::*;

    fn endpoints<F: Form>(object: &serde_json::Value) -> KubeEndpoints {
        let KubeObject::Endpoints(endpoints) = decoded::<F>(object) else { panic!("endpoints") };
        (*endpoints).clone()
    }

    fn told(address: &EndpointAddress) -> (&str, &str, bool, bool) {
        (&address.ip, &address.node, address.ready, address.terminating)
    }

    #[test]
    fn endpoints_list_ready_addresses_first_in_each_subset() {
        let found = endpoints::<EndpointsForm>(&json!({
            "metadata": {"name": "web", "namespace": "shop", "annotations": {"a": "b"}},
            "subsets": [
                {
                    "notReadyAddresses": [{"ip": "10.0.0.3"}],
                    "addresses": [{"ip": "10.0.0.1", "nodeName": "n1", "targetRef": {"kind": "Pod", "namespace": "shop", "name": "p", "uid": "u"}}],
                    "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
                },
                {"addresses": null, "ports": [{"port": 81}]},
            ],
        }));
        assert_eq!((&*found.service, found.subsets.len()), ("web", 2));
        let first = &found.subsets[0];
        assert_eq!(first.addresses.iter().map(told).collect::<Vec<_>>(), [("10.0.0.1", "n1", true, false), ("10.0.0.3", "", false, false)]);
        let target = first.addresses[0].target.as_ref().unwrap();
        assert_eq!((&*target.kind, &*target.namespace, &*target.name, &*target.uid), ("Pod", "shop", "p", "u"));
        assert_eq!(found.subsets[1], Subset { addresses: vec![], ports: vec![Port { number: 81, name: "".into() }] });
        assert_eq!(found.meta.annotations.len(), 1);
    }

    #[test]
    fn a_slice_is_one_subset_with_one_entry_per_address() {
        let found = endpoints::<EndpointSliceForm>(&json!({
            "metadata": {"name": "web-x7", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4",
            "endpoints": [
                {"addresses": ["10.0.0.1"], "conditions": {"ready": false, "serving": true, "terminating": true}, "nodeName": "n1"},
                {"addresses": ["10.0.0.2", "10.0.0.3"], "conditions": {}, "targetRef": {"kind": "Pod", "name": "p"}},
            ],
            "ports": [{"name": "", "port": 80}, {"name": null, "port": null}],
        }));
        assert_eq!((&*found.service, found.subsets.len()), ("web", 1));
        let subset = &found.subsets[0];
        assert_eq!(
            subset.addresses.iter().map(told).collect::<Vec<_>>(),
            [("10.0.0.2", "", true, false), ("10.0.0.3", "", true, false), ("10.0.0.1", "n1", false, true)]
        );
        assert!(subset.addresses[1].target.is_some());
        assert_eq!(subset.ports, [Port { number: 80, name: "".into() }]);
    }

    #[test]
    fn a_slice_may_be_empty_and_belong_to_no_service() {
        let found = endpoints::<EndpointSliceForm>(&json!({"metadata": {"name": "s", "namespace": "n"}, "endpoints": null, "ports": null}));
        assert_eq!((&*found.service, found.subsets), ("", vec![Subset::default()]));
    }
}
