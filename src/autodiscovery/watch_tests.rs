//! The watcher with real files, a real thread and a real receiver.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::prelude::*;
use muster_actors::kernel::clock::SystemClock;
use muster_actors::kernel::mailbox::{Handle, STATE_OWNER_CAPACITY};
use muster_actors::kernel::supervised::Observed;
use muster_actors::kernel::supervisor::Kernel;
use muster_actors::messages::kube_discovery::FileTemplates;
use muster_actors::messages::resolver::ProviderListing;
use muster_actors::ports::DiscoverySource as _;
use muster_actors::supervised;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{FileOptions, FileWatch, Listeners, WatchOptions};

/// Passes listings on to the test.
struct Ear {
    listings: UnboundedSender<ProviderListing>,
    templates: UnboundedSender<FileTemplates>,
}

impl Actor for Ear {
    type Context = Context<Self>;
}

impl Observed for Ear {
    fn observe(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
}

impl Handler<ProviderListing> for Ear {
    type Result = ();

    fn handle(&mut self, listing: ProviderListing, _: &mut Self::Context) {
        let _ = self.listings.send(listing);
    }
}

impl Handler<FileTemplates> for Ear {
    type Result = ();

    fn handle(&mut self, templates: FileTemplates, _: &mut Self::Context) {
        let _ = self.templates.send(templates);
    }
}

supervised!(Ear);

struct Heard {
    listings: UnboundedReceiver<ProviderListing>,
    templates: UnboundedReceiver<FileTemplates>,
}

impl Heard {
    /// Waits for a listing that fits; fails the test instead of waiting for ever.
    async fn until(&mut self, fits: impl Fn(&ProviderListing) -> bool) -> ProviderListing {
        let wait = async {
            loop {
                let listing = self.listings.recv().await.unwrap();
                if fits(&listing) {
                    return listing;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap()
    }

    async fn until_names(&mut self, names: &[&str]) -> ProviderListing {
        self.until(|listing| listing.configs.iter().map(|config| config.name.as_str()).eq(names.iter().copied())).await
    }
}

/// Runs a test with a watcher on a directory. The periodic pass is switched off, so that only the watch can notice changes.
fn with_watch<F: Future<Output = ()>>(search_path: &Path, body: impl FnOnce(Arc<FileWatch>, Heard) -> F) {
    let files = FileOptions {
        search_paths: vec![search_path.to_path_buf()],
        ignore_autoconf: Vec::new(),
        allowed_env_vars: Vec::new(),
        disable_env_var_resolution: false,
        lookup: Arc::new(|_| None),
    };
    let never = Duration::from_secs(3600);
    let options = WatchOptions { quiet: Duration::from_millis(5), rescan: never, blind_rescan: never, ..WatchOptions::default() };
    actix_rt::System::new().block_on(async move {
        let kernel = Kernel::start(SystemClock::shared(), |_| {});
        let handle = Handle::<Ear>::new("Ear");
        let (listings, listings_heard) = unbounded_channel();
        let (templates, templates_heard) = unbounded_channel();
        let ear = move || Ear { listings: listings.clone(), templates: templates.clone() };
        kernel.one_for_one("ear", None).child(&handle, STATE_OWNER_CAPACITY, ear);
        let listeners = Listeners { listings: handle.outlet(), templates: Some(handle.outlet()) };
        let passes = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&passes);
        let count = Arc::new(move |_| _ = counted.fetch_add(1, Ordering::Relaxed));
        let watch = Arc::new(FileWatch::start(files, options, SystemClock::shared(), listeners, count).unwrap());
        watch.request_listing();
        body(Arc::clone(&watch), Heard { listings: listings_heard, templates: templates_heard }).await;
        assert!(passes.load(Ordering::Relaxed) > 0, "whoever counts passes has heard of none");
        drop(watch);
        kernel.shutdown(Duration::from_secs(5)).await;
    });
}

const GOOD: &str = "instances: [{a: 1}]\n";

#[test]
fn templates_are_told_apart_from_configs() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.yaml");
    with_watch(directory.path(), |_watch, mut heard| async move {
        heard.until_names(&[]).await;
        assert!(heard.templates.recv().await.unwrap().configs.is_empty());
        fs::write(&path, format!("advanced_ad_identifiers: [{{kube_service: {{name: a, namespace: b}}}}]\n{GOOD}")).unwrap();
        let wait = async { while heard.templates.recv().await.unwrap().configs.is_empty() {} };
        tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap();
        assert!(heard.until(|listing| listing.configs.is_empty()).await.warnings.is_empty());
        fs::write(&path, GOOD).unwrap();
        heard.until_names(&["a"]).await;
        let wait = async { while !heard.templates.recv().await.unwrap().configs.is_empty() {} };
        tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap();
    });
}

#[test]
fn added_changed_broken_and_removed_files_are_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    with_watch(directory.path(), |_watch, mut heard| async move {
        heard.until_names(&[]).await;
        fs::write(at("a.yaml"), GOOD).unwrap();
        heard.until_names(&["a"]).await;
        fs::write(at("a.yaml"), "instances: [{a: 2}]\n").unwrap();
        heard.until(|listing| listing.configs.first().is_some_and(|config| config.instances[0].text() == "a: 2\n")).await;
        fs::write(at("a.yaml"), "instances: [{a: 2}\n").unwrap();
        let broken = heard.until(|listing| !listing.errors.is_empty()).await;
        assert_eq!(broken.configs[0].instances[0].text(), "a: 2\n");
        fs::create_dir(at("b.d")).unwrap();
        fs::write(at("b.d/conf.yaml"), GOOD).unwrap();
        heard.until_names(&["a", "b"]).await;
        fs::write(at("b.d/more.yaml"), GOOD).unwrap();
        heard.until_names(&["a", "b", "b"]).await;
        fs::remove_file(at("a.yaml")).unwrap();
        let removed = heard.until_names(&["b", "b"]).await;
        assert!(removed.errors.is_empty());
        fs::remove_dir_all(at("b.d")).unwrap();
        heard.until_names(&[]).await;
        fs::create_dir(at("b.d")).unwrap();
        fs::write(at("b.d/conf.yaml"), GOOD).unwrap();
        heard.until_names(&["b"]).await;
    });
}

#[test]
fn a_search_path_that_appears_later_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let search_path = directory.path().join("conf.d");
    let inside = search_path.join("a.yaml");
    with_watch(&search_path.clone(), |_watch, mut heard| async move {
        heard.until_names(&[]).await;
        fs::create_dir(&search_path).unwrap();
        fs::write(&inside, GOOD).unwrap();
        heard.until_names(&["a"]).await;
    });
}

#[test]
fn a_file_that_becomes_empty_is_removed_after_a_moment() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.yaml");
    fs::write(&file, GOOD).unwrap();
    with_watch(directory.path(), |_watch, mut heard| async move {
        heard.until_names(&["a"]).await;
        fs::write(&file, "").unwrap();
        heard.until_names(&[]).await;
    });
}

#[test]
fn a_listing_comes_whenever_it_is_requested() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.yaml"), GOOD).unwrap();
    with_watch(directory.path(), |watch, mut heard| async move {
        for _ in 0..3 {
            heard.until_names(&["a"]).await;
            watch.request_listing();
        }
        heard.until_names(&["a"]).await;
    });
}

#[cfg(unix)]
#[test]
fn a_swapped_configmap_is_noticed() {
    use std::os::unix::fs::symlink;

    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for (version, text) in [("..1", GOOD), ("..2", "instances: [{a: 2}]")] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("a.yaml"), text).unwrap();
    }
    symlink("..1", at("..data")).unwrap();
    symlink("..data/a.yaml", at("a.yaml")).unwrap();
    with_watch(directory.path(), |_watch, mut heard| async move {
        heard.until_names(&["a"]).await;
        symlink("..2", at("..tmp")).unwrap();
        fs::rename(at("..tmp"), at("..data")).unwrap();
        heard.until(|listing| listing.configs.first().is_some_and(|config| config.instances[0].text() == "a: 2\n")).await;
        fs::write(at("..2").join("a.yaml"), "instances: [{a: 3}]").unwrap();
        heard.until(|listing| listing.configs.first().is_some_and(|config| config.instances[0].text() == "a: 3\n")).await;
    });
}
