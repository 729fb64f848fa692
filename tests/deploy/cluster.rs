//! One control plane with the manifests applied, for all tests of this binary; and the manifests as objects.

use std::path::{Path, PathBuf};

use muster_actors::domain::yaml;
use muster_rig::{ControlPlane, Identity, Options};
use serde_json::Value as Json;
use tokio::sync::OnceCell;

pub const MUSTER: &str = env!("CARGO_BIN_EXE_muster");

pub const OVERLAYS: [&str; 3] = ["cluster", "with-runners", "with-node"];

/// The overlay that holds everything.
pub const WHOLE: &str = "with-node";

/// Never dropped: the guard of its processes ends them with the test binary.
static DEPLOYED: OnceCell<ControlPlane> = OnceCell::const_new();

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn overlay(name: &str) -> PathBuf {
    root().join("deploy/overlays").join(name)
}

/// A control plane in which everything is applied as `kubectl apply -k` does, with strict validation.
pub async fn deployed() -> &'static ControlPlane {
    let start = async || {
        let plane = ControlPlane::start(Options::bare()).await.unwrap();
        plane.admin().apply_path(&overlay(WHOLE)).await.unwrap();
        plane
    };
    DEPLOYED.get_or_init(start).await
}

/// The objects of an overlay, as kustomize builds them.
pub async fn objects(admin: &Identity, name: &str) -> Vec<Json> {
    let text = admin.kubectl(&["kustomize", overlay(name).to_str().unwrap()]).await.unwrap();
    text.split("\n---\n").map(|part| yaml::parse(part).unwrap().to_json()).collect()
}

/// `Kind name`.
pub fn title(object: &Json) -> String {
    format!("{} {}", object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap())
}

pub fn of_kind<'a>(objects: &'a [Json], kind: &str) -> Vec<&'a Json> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

/// Deployments and DaemonSets.
pub fn workloads(objects: &[Json]) -> Vec<&Json> {
    objects.iter().filter(|object| object["spec"]["template"]["spec"]["containers"].is_array()).collect()
}

/// Items of a list; none where there is no list.
pub fn items(list: &Json) -> impl Iterator<Item = &Json> {
    list.as_array().into_iter().flatten()
}

/// Whether these labels match a selector of `matchLabels`.
pub fn matches(selector: &Json, labels: &Json) -> bool {
    selector.as_object().is_some_and(|wanted| wanted.iter().all(|(name, value)| labels[name] == *value))
}
