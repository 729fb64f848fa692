//! File vectors of autodiscovery 14.5, and what happens to a file over time.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use muster_actors::domain::config::{AdvancedAdIdentifier, CheckConfig, ObjectRef};
use muster_actors::domain::digest::check_ids;
use muster_actors::domain::patch::{Dispatchable, PatchOptions, dispatched};
use tempfile::TempDir;

use super::{EMPTY_GRACE, FileDiscovery, FileOptions, FileProvider};

fn lookup(name: &str) -> Option<String> {
    (name == "MUSTER_USER").then(|| "svc_user".to_owned())
}

fn options(directory: &Path) -> FileOptions {
    FileOptions {
        search_paths: vec![directory.to_path_buf()],
        ignore_autoconf: Vec::new(),
        allowed_env_vars: Vec::new(),
        disable_env_var_resolution: false,
        lookup: Arc::new(lookup),
    }
}

/// Reads the files once, without memory of an earlier pass.
fn walk(options: FileOptions) -> FileDiscovery {
    FileProvider::new(options).collect(Duration::ZERO)
}

fn directory_with(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        put(&directory, name, text);
    }
    directory
}

fn put(directory: &TempDir, name: &str, text: &str) {
    let path = directory.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn found(files: &[(&str, &str)]) -> (TempDir, FileDiscovery) {
    let directory = directory_with(files);
    let found = walk(options(directory.path()));
    (directory, found)
}

/// Sources relative to the directory.
fn sources(directory: &TempDir, found: &FileDiscovery) -> Vec<String> {
    let prefix = format!("file:{}/", directory.path().display());
    found.configs.iter().map(|config| config.source.strip_prefix(&prefix).unwrap().to_owned()).collect()
}

fn instance(config: &CheckConfig, index: usize) -> String {
    config.instances[index].text().into_owned()
}

const GOOD: &str = "instances:\n- a: 1\n";

#[test]
fn ad_v44_a_static_cluster_check_is_read_and_dispatched() {
    let text = "cluster_check: true\ninit_config:\ninstances:\n  - url: https://example.com\n    name: ext\n    tags: [b:2, a:1]\n  - url: https://example.org\n    min_collection_interval: 60\n";
    let (directory, found) = found(&[("http_check.yaml", text)]);
    assert!(found.errors.is_empty() && found.warnings.is_empty());
    let config = &found.configs[0];
    assert_eq!(config.name, "http_check");
    assert_eq!(instance(config, 0), "name: ext\ntags:\n- b:2\n- a:1\nurl: https://example.com\n");
    assert_eq!(instance(config, 1), "min_collection_interval: 60\nurl: https://example.org\n");
    assert_eq!((config.init_config.as_ref(), config.cluster_check, config.provider.as_str()), (None, true, "file"));
    assert_eq!(config.source, format!("file:{}/http_check.yaml", directory.path().display()));

    let options = PatchOptions { cluster_name: Some("prod-1".to_owned()), ..PatchOptions::default() };
    let named_as_in_the_vector = CheckConfig { source: "file:/etc/datadog-agent/conf.d/http_check.yaml".to_owned(), ..(**config).clone() };
    let Dispatchable::Cluster(out) = dispatched(&named_as_in_the_vector, &options).unwrap() else {
        panic!("not a cluster check");
    };
    let expected = r#"{"check_name":"http_check","instances":["ZW1wdHlfZGVmYXVsdF9ob3N0bmFtZTogdHJ1ZQpuYW1lOiBleHQKdGFnczoKLSBhOjEKLSBiOjIKLSBjbHVzdGVyX25hbWU6cHJvZC0xCi0ga3ViZV9jbHVzdGVyX25hbWU6cHJvZC0xCnVybDogaHR0cHM6Ly9leGFtcGxlLmNvbQo=","ZW1wdHlfZGVmYXVsdF9ob3N0bmFtZTogdHJ1ZQptaW5fY29sbGVjdGlvbl9pbnRlcnZhbDogNjAKdGFnczoKLSBjbHVzdGVyX25hbWU6cHJvZC0xCi0ga3ViZV9jbHVzdGVyX25hbWU6cHJvZC0xCnVybDogaHR0cHM6Ly9leGFtcGxlLm9yZwo="],"init_config":null,"metric_config":null,"logs":null,"ad_identifiers":null,"advanced_ad_identifiers":null,"provider":"file","service_id":"","cluster_check":false,"node_name":"","source":"file:/etc/datadog-agent/conf.d/http_check.yaml","ignore_autodiscovery_tags":false,"check_tag_cardinality":"","metrics_excluded":false,"logs_excluded":false}"#;
    assert_eq!(serde_json::to_string(&out.config).unwrap(), expected);
    assert_eq!(out.digest.to_string(), "a1b9d5b75e82db6");
    let ids: Vec<_> = check_ids(&out.config).iter().map(ToString::to_string).collect();
    assert_eq!(ids, ["http_check:ext:609261ca45fdd799", "http_check:8f2857ae34953951"]);
}

#[test]
fn ad_v45_environment_variables_and_yaml_1_1_booleans() {
    let text = "ad_identifiers: [redis]\ninit_config: {}\ninstances:\n  - username: '%%env_MUSTER_USER%%'\n    ssl: yes\n    port: 0777\n";
    let (_directory, found) = found(&[("redisdb.d/auto_conf.yaml", text)]);
    let config = &found.configs[0];
    assert_eq!(config.name, "redisdb");
    assert_eq!(config.ad_identifiers, ["redis"]);
    assert_eq!(instance(config, 0), "port: 511\nssl: true\nusername: svc_user\n");
    assert_eq!(config.init_config.as_ref().unwrap().text(), "{}\n");
    assert!(found.warnings.is_empty());
}

#[test]
fn ad_v46_an_instance_that_needs_a_service_is_left_alone() {
    let text = "ad_identifiers: [redis]\ninstances:\n  - host: '%%host%%'\n    user: '%%env_MUSTER_USER%%'\n";
    let (_directory, found) = found(&[("x.yaml", text)]);
    assert_eq!(instance(&found.configs[0], 0), "host: '%%host%%'\nuser: '%%env_MUSTER_USER%%'\n");
    assert!(found.warnings.is_empty());
}

#[test]
fn ad_v47_v48_advanced_identifiers_are_not_for_the_file_provider() {
    let service = "advanced_ad_identifiers:\n  - kube_service: {name: cart, namespace: shop}\ncluster_check: true\ninstances:\n  - url: http://%%host%%\n";
    let endpoints = "advanced_ad_identifiers:\n  - kube_endpoints: {name: cart, namespace: shop, resolve: auto}\ninstances:\n  - u: http://%%host%%:%%port%%/s\n";
    let (_directory, mut found) = found(&[("http_check.yaml", service), ("nginx.yaml", endpoints)]);
    assert!(found.configs.is_empty() && found.errors.is_empty() && found.warnings.is_empty());
    let [service, endpoints] = found.templates.as_slice() else { panic!("{:?}", found.templates) };
    let cart = ObjectRef { name: "cart".to_owned(), namespace: "shop".to_owned() };
    let none = AdvancedAdIdentifier::default();
    assert_eq!(service.advanced_ad_identifiers, [AdvancedAdIdentifier { kube_service: cart.clone(), ..none.clone() }]);
    assert_eq!(endpoints.advanced_ad_identifiers, [AdvancedAdIdentifier { kube_endpoints: cart, resolve: "auto".to_owned(), ..none }]);
    assert_eq!((instance(service, 0).as_str(), service.source.starts_with("file:")), ("url: http://%%host%%\n", true));
    found.warn_of_templates();
    assert!(found.warnings["nginx"][0].ends_with("waits for a Kubernetes object, which nothing here looks for, and so runs nothing"));
}

#[test]
fn odd_advanced_identifiers_are_named() {
    let rest = "instances: [{}]\n";
    let with = |text: &str| found(&[("x.yaml", &format!("advanced_ad_identifiers: {text}\n{rest}"))]).1;
    for (text, place, allowed) in [
        ("{kube_service: {name: a}}", "advanced_ad_identifiers: ", "a sequence of mappings"),
        ("[a]", "advanced_ad_identifiers[0]", "a mapping with kube_service or kube_endpoints"),
        ("[{kube_service: a}]", "advanced_ad_identifiers[0].kube_service", "a mapping with name and namespace"),
        ("[{kube_service: {name: [a]}}]", "advanced_ad_identifiers[0].kube_service.name", "a text"),
    ] {
        let found = with(text);
        assert!(found.templates.is_empty() && found.configs.is_empty());
        assert_eq!(found.errors[0].allowed, allowed);
        assert!(found.errors[0].to_string().contains(&format!("wrong type of {place}")), "{}", found.errors[0]);
    }
    let odd = |text: &str| with(text).warnings.remove("x").unwrap_or_default().join("|");
    assert!(odd("[{kube_endpoint: {name: a}}]").contains("unknown key \"kube_endpoint\""));
    assert!(odd("[{kube_service: {name: a}}]").contains("names no object"));
    assert!(odd("[{kube_endpoints: {name: a, namespace: b, resolve: x}}]").contains("unknown resolve mode \"x\""));
    assert_eq!(odd("[{kube_endpoints: {name: a, namespace: b, resolve: ip}}]"), "");
    assert_eq!(with("[{kube_service: {name: a, namespace: b}}]").templates.len(), 1);
    assert_eq!(with("[]").configs.len(), 1);
}

#[test]
fn a_selector_is_not_supported() {
    let (_directory, found) = found(&[("x.yaml", "cel_selector: {kube_services: ['true']}\ninstances: [{}]\n")]);
    assert!(found.configs.is_empty() && found.templates.is_empty());
    assert_eq!(found.errors[0].problem, "cel_selector is not supported");
    assert_eq!(found.errors[0].position.unwrap().line, 1);
}

#[test]
fn ad_v49_logs_only() {
    let (_directory, found) = found(&[("app.yaml", "logs:\n  - type: file\n    path: /var/log/app.log\n    service: app\n")]);
    let config = &found.configs[0];
    assert!(config.instances.is_empty());
    assert_eq!(config.logs.as_ref().unwrap().text(), "logs:\n- path: /var/log/app.log\n  service: app\n  type: file\n");
}

#[test]
fn ad_v50_file_errors() {
    let (_directory, found) = found(&[
        ("a.yaml", "foo: bar"),
        ("b.yaml", "instances:"),
        ("c.yaml", "instances: [foo]"),
        ("d.yaml", "docker_images: [x]\ninstances: [{}]"),
        ("e.yaml", ""),
        ("f.txt", "x"),
        ("f.yaml.example", "x"),
        ("g.yaml", "init_config: {a: 1}\ninit_config: {a: 2}\ninstances: [{}]"),
        ("h.yaml", "instances: [~]"),
    ]);
    let errors: Vec<_> = found.errors.iter().map(|error| (error.integration.as_str(), error.problem.as_str())).collect();
    let no_instances = "Configuration file contains no valid instances";
    assert_eq!(
        errors,
        [
            ("a", no_instances),
            ("b", no_instances),
            ("c", "wrong type of instances[0]"),
            ("d", "the 'docker_images' section is deprecated, please use 'ad_identifiers' instead"),
        ]
    );
    let names: Vec<_> = found.configs.iter().map(|config| config.name.as_str()).collect();
    assert_eq!(names, ["g", "h"]);
    assert_eq!(found.configs[0].init_config.as_ref().unwrap().text(), "a: 2\n");
    assert!(found.warnings["g"][0].contains("line 2, column 1: duplicate key \"init_config\""));
    assert_eq!(instance(&found.configs[1], 0), "{}\n");
}

#[test]
fn ad_v51_default_files() {
    type Case = (&'static [(&'static str, &'static str)], &'static [&'static str]);
    let cases: [Case; 6] = [
        (&[("nginx.d/conf.yaml.default", GOOD)], &["nginx.d/conf.yaml.default"]),
        (&[("nginx.d/conf.yaml.default", GOOD), ("nginx.d/auto_conf.yaml", GOOD)], &["nginx.d/auto_conf.yaml"]),
        (&[("nginx.d/conf.yaml.default", GOOD), ("nginx.yaml", GOOD)], &["nginx.yaml"]),
        (
            &[("nginx.d/conf.yaml.default", GOOD), ("nginx.d/logs.yaml", "logs: [{type: file}]")],
            &["nginx.d/logs.yaml", "nginx.d/conf.yaml.default"],
        ),
        (&[("nginx/conf.yaml", GOOD)], &[]),
        (&[("nginx.d/sub/conf.yaml", GOOD)], &[]),
    ];
    for (files, expected) in cases {
        let (directory, found) = found(files);
        assert_eq!(sources(&directory, &found), expected);
        assert!(found.errors.is_empty());
    }
    let directory = directory_with(&[("nginx.d/auto_conf.yaml", GOOD)]);
    let ignoring = FileOptions { ignore_autoconf: vec!["nginx".to_owned()], ..options(directory.path()) };
    assert!(walk(ignoring).configs.is_empty());
}

#[test]
fn files_come_in_byte_order_with_metrics_and_logs_first() {
    let (directory, found) = found(&[
        ("b.d/conf.yaml", GOOD),
        ("b.d/a.yml", GOOD),
        ("b.d/z.yaml", "logs: [{}]"),
        ("b.d/metrics.yaml", "jmx_metrics: [{}]"),
        ("a.yaml", GOOD),
        ("metrics.yaml", GOOD),
        ("B.yaml.default", GOOD),
    ]);
    assert_eq!(sources(&directory, &found), ["a.yaml", "b.d/z.yaml", "b.d/a.yml", "b.d/conf.yaml", "B.yaml.default"]);
}

#[test]
fn the_first_search_path_wins() {
    let first = directory_with(&[("a.yaml", "instances: [{x: 1}]"), ("c.d/conf.yaml", GOOD)]);
    let second = directory_with(&[("a.yaml", "instances: [{x: 2}]"), ("b.yaml", GOOD), ("c.d/conf.yaml", GOOD), ("c.d/d.yaml", GOOD)]);
    let missing = first.path().join("missing");
    let both = FileOptions {
        search_paths: vec![missing.clone(), first.path().to_path_buf(), second.path().to_path_buf()],
        ..options(first.path())
    };
    let found = walk(both);
    let names: Vec<_> = found.configs.iter().map(|config| config.name.as_str()).collect();
    assert_eq!(names, ["a", "c", "b", "c"]);
    assert_eq!(instance(&found.configs[0], 0), "x: 1\n");
    assert_eq!(found.missing, [missing]);
}

#[test]
fn a_directory_that_cannot_be_listed_is_an_error_with_its_place() {
    let directory = directory_with(&[("a.yaml", "instances: [{}]")]);
    let unreadable = directory.path().join("a.yaml");
    let found = walk(FileOptions { search_paths: vec![unreadable.clone()], ..options(directory.path()) });
    let error = found.errors.first().unwrap();
    assert_eq!((error.origin.as_str(), error.integration.as_str()), (unreadable.to_str().unwrap(), "a.yaml"));
    assert_eq!((error.problem.as_str(), error.allowed.as_str()), ("cannot list the directory", "a directory that this process may read"));
    assert_eq!(error.source("file"), format!("file:{}", unreadable.display()), "what came from there is kept by this name");
}

#[test]
fn unknown_keys_are_warnings_and_other_keys_are_copied() {
    let text = "instances: [{}]\nintsances: 1\nservice_id: x\nignore_autodiscovery_tags: yes\ncheck_tag_cardinality: high\nad_identifiers: [1, a]\n";
    let (_directory, found) = found(&[("a.yaml", text)]);
    let warnings = &found.warnings["a"];
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("line 2, column 1: unknown key \"intsances\" is ignored, known keys: ad_identifiers"));
    let config = &found.configs[0];
    assert!(config.ignore_autodiscovery_tags);
    assert_eq!(config.check_tag_cardinality, "high");
    assert_eq!(config.ad_identifiers, ["1", "a"]);
    assert_eq!(config.service_id, "");
}

#[test]
fn an_environment_variable_that_is_not_set_is_a_warning() {
    let (_directory, found) = found(&[("a.yaml", "instances: [{u: '%%env_NOPE%%'}]")]);
    assert_eq!(instance(&found.configs[0], 0), "u: '%%env_NOPE%%'\n");
    assert!(found.warnings["a"][0].ends_with("instances[0] is used as it is: failed to retrieve envvar NOPE"));
}

/// A provider whose time stands still.
fn provider(directory: &TempDir) -> impl FnMut() -> FileDiscovery {
    let mut provider = FileProvider::new(options(directory.path()));
    move || provider.collect(Duration::ZERO)
}

#[test]
fn a_broken_file_keeps_its_last_good_form_until_it_is_mended_or_deleted() {
    let directory = directory_with(&[("a.yaml", GOOD), ("b.yaml", GOOD)]);
    let mut collect = provider(&directory);
    let good = collect();
    put(&directory, "a.yaml", "instances:\n- a: [1\n");
    for _ in 0..3 {
        let broken = collect();
        assert_eq!(broken.configs, good.configs);
        assert_eq!(broken.errors.len(), 1);
        assert!(broken.errors[0].position.is_some());
    }
    put(&directory, "a.yaml", "instances:\n- a: 2\n");
    let mended = collect();
    assert_eq!(instance(&mended.configs[0], 0), "a: 2\n");
    assert!(mended.errors.is_empty());
    put(&directory, "a.yaml", "broken: [");
    assert_eq!(collect().configs.len(), 2);
    fs::remove_file(directory.path().join("a.yaml")).unwrap();
    let deleted = collect();
    assert_eq!(sources(&directory, &deleted), ["b.yaml"]);
    assert!(deleted.errors.is_empty());
}

#[test]
fn a_file_that_becomes_empty_is_kept_for_a_moment() {
    let directory = directory_with(&[("a.yaml", GOOD)]);
    let mut provider = FileProvider::new(options(directory.path()));
    let start = Duration::from_secs(100);
    assert!(!provider.collect(start).unsettled);
    put(&directory, "a.yaml", "");
    for millis in [0, 1, 999] {
        let found = provider.collect(start + Duration::from_millis(millis));
        assert!(found.unsettled);
        assert_eq!(found.configs.len(), 1);
    }
    put(&directory, "a.yaml", GOOD);
    assert!(!provider.collect(start + EMPTY_GRACE).unsettled);
    put(&directory, "a.yaml", "");
    assert_eq!(provider.collect(start + EMPTY_GRACE).configs.len(), 1);
    let later = provider.collect(start + EMPTY_GRACE * 2);
    assert!(later.configs.is_empty() && !later.unsettled && later.errors.is_empty());
}

#[test]
fn a_broken_file_still_hides_the_default_of_its_check() {
    let directory = directory_with(&[("a.yaml", GOOD), ("a.d/conf.yaml.default", GOOD)]);
    let mut collect = provider(&directory);
    assert_eq!(sources(&directory, &collect()), ["a.yaml"]);
    put(&directory, "a.yaml", "- broken");
    assert_eq!(sources(&directory, &collect()), ["a.yaml"]);
    fs::remove_file(directory.path().join("a.yaml")).unwrap();
    assert_eq!(sources(&directory, &collect()), ["a.d/conf.yaml.default"]);
}

#[cfg(unix)]
#[test]
fn swapped_symbolic_links_are_followed_and_loops_are_errors() {
    use std::os::unix::fs::symlink;

    let directory = directory_with(&[("..1/a.yaml", GOOD), ("..2/a.yaml", "instances: [{a: 2}]")]);
    let at = |name: &str| directory.path().join(name);
    symlink("..1", at("..data")).unwrap();
    symlink("..data/a.yaml", at("a.yaml")).unwrap();
    symlink("loop.yaml", at("loop.yaml")).unwrap();
    let mut collect = provider(&directory);
    let before = collect();
    assert_eq!(sources(&directory, &before), ["a.yaml"]);
    assert!(before.directories.contains(&at("..1").canonicalize().unwrap()));
    assert_eq!(before.errors[0].integration, "loop");
    symlink("..2", at("..tmp")).unwrap();
    fs::rename(at("..tmp"), at("..data")).unwrap();
    assert_eq!(instance(&collect().configs[0], 0), "a: 2\n");
}
