//! What a slim form is, and how the client's watcher takes it.

use std::borrow::Cow;
use std::fmt::Debug;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::DynamicResourceScope;
use muster_actors::domain::kube::objects::{Kind, KubeObject, ObjectKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::interner::Interner;

/// The parts of an object of one kind that are kept while it is decoded.
pub trait Form: DeserializeOwned + Clone + Debug + Send + 'static {
    /// Which kind.
    const KIND: Kind;
    /// Its name in `kind`, for example `Pod`.
    const NAME: &'static str;

    /// Namespace and name.
    fn key(&self) -> ObjectKey;

    /// `metadata.resourceVersion`.
    fn resource_version(&self) -> &str;

    /// The object that the actors share.
    fn into_object(self, interner: &mut Interner) -> KubeObject;
}

/// A form as the client's watcher wants it: with a metadata structure, of which it reads the resource version only.
#[derive(Clone, Debug)]
pub struct Slim<F> {
    version: ObjectMeta,
    /// The form.
    pub form: F,
}

impl<'de, F: Form> Deserialize<'de> for Slim<F> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = F::deserialize(deserializer)?;
        let version = ObjectMeta { resource_version: Some(form.resource_version().to_owned()), ..ObjectMeta::default() };
        Ok(Self { version, form })
    }
}

impl<F: Form> Resource for Slim<F> {
    type DynamicType = ();
    type Scope = DynamicResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        F::NAME.into()
    }

    fn group((): &()) -> Cow<'_, str> {
        F::KIND.group().into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        F::KIND.resource().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.version
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.version
    }
}

#[cfg(test)]
pub(super) mod tests {
    use kube::api::WatchEvent;
    use kube::core::ObjectList;
    use serde_json::{Value, json};

    use super::*;
    use crate::kube::decode::{EndpointSliceForm, PodForm};

    /// Decodes an object the two ways it can come: as an item of a listing and as an event.
    pub(in crate::kube::decode) fn decoded<F: Form>(object: &Value) -> KubeObject {
        let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": [object]});
        let list: ObjectList<Slim<F>> = serde_json::from_str(&list.to_string()).unwrap();
        let listed = list.items.into_iter().next().unwrap().form.into_object(&mut Interner::default());
        let event = json!({"type": "MODIFIED", "object": object}).to_string();
        let WatchEvent::Modified(changed) = serde_json::from_str::<WatchEvent<Slim<F>>>(&event).unwrap() else { panic!("modified") };
        let key = changed.form.key();
        let changed = changed.form.into_object(&mut Interner::default());
        assert_eq!(listed, changed);
        assert_eq!(&key, changed.key());
        changed
    }

    #[test]
    fn paths_are_those_of_the_api() {
        assert_eq!(Slim::<PodForm>::url_path(&(), Some("ns")), "/api/v1/namespaces/ns/pods");
        assert_eq!(Slim::<EndpointSliceForm>::url_path(&(), None), "/apis/discovery.k8s.io/v1/endpointslices");
    }

    #[test]
    fn the_watcher_finds_the_resource_version() {
        let slim: Slim<PodForm> = serde_json::from_value(json!({"metadata": {"name": "p", "resourceVersion": "42"}})).unwrap();
        assert_eq!(slim.meta().resource_version.as_deref(), Some("42"));
    }
}
