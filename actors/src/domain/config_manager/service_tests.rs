use super::*;
use crate::domain::config::Data;
use crate::domain::secret::Secret;

fn config(name: &str, instance: &str, identifiers: &[&str]) -> Arc<CheckConfig> {
    Arc::new(CheckConfig {
        name: name.to_owned(),
        instances: vec![Data::from(instance)],
        ad_identifiers: identifiers.iter().map(ToString::to_string).collect(),
        ..CheckConfig::default()
    })
}

fn service(id: &str, identifiers: &[&str], host: &str) -> Arc<AdService> {
    Arc::new(AdService {
        id: id.to_owned(),
        identifiers: identifiers.iter().map(ToString::to_string).collect(),
        hosts: BTreeMap::from([("cluster".to_owned(), host.to_owned())]),
        ..AdService::default()
    })
}

fn put(manager: &mut ConfigManager, service: &Arc<AdService>) -> Changes {
    manager.change_services("kube_services", false, [Arc::clone(service)], [])
}

fn source(manager: &mut ConfigManager, source: &str, configs: &[&Arc<CheckConfig>]) -> Changes {
    manager.change_sources("kubernetes-services", false, [(source, configs.iter().map(|config| Arc::clone(config)))])
}

fn texts(changes: &Changes) -> Vec<String> {
    changes.schedule.iter().map(|config| config.instances[0].text().into_owned()).collect()
}

#[test]
fn ad_v59_template_and_service_arrive_in_either_order() {
    let template = config("a", "h: '%%host%%'", &["X", "Y"]);
    let found = service("S", &["X"], "1.1.1.1");
    let mut service_first = ConfigManager::default();
    assert!(put(&mut service_first, &found).is_empty());
    let changes = service_first.replace("file", [Arc::clone(&template)]);
    assert_eq!(texts(&changes), ["h: 1.1.1.1\n"]);
    assert_eq!(changes.schedule[0].service_id, "S");
    let mut template_first = ConfigManager::default();
    assert!(template_first.replace("file", [Arc::clone(&template)]).is_empty());
    assert_eq!(put(&mut template_first, &found), changes);
    assert!(put(&mut template_first, &found).is_empty(), "the second is known already");

    let key = config_key(&changes.schedule[0]);
    assert_eq!(service_first.replace("file", []).unschedule, [key]);
    assert_eq!(template_first.change_services("kube_services", false, [], ["S".to_owned()]).unschedule, [key]);
    assert!(template_first.scheduled().is_empty());
}

#[test]
fn ad_v59_two_shared_identifiers_give_one_config() {
    let mut manager = ConfigManager::default();
    manager.replace("file", [config("a", "x: 1", &["X", "Y"])]);
    assert_eq!(put(&mut manager, &service("S", &["Y", "X"], "")).schedule.len(), 1);
    assert_eq!(put(&mut manager, &service("T", &["Y"], "")).schedule.len(), 1);
    assert!(put(&mut manager, &service("U", &["y", "XY"], "")).is_empty(), "identifiers are compared as they are");
    assert_eq!(manager.scheduled_count(), 2);
}

#[test]
fn ad_v59_a_failed_resolution_is_a_warning_until_it_succeeds() {
    let mut manager = ConfigManager::default();
    let template = Arc::new(CheckConfig { source: "file:a".to_owned(), ..(*config("a", "p: '%%port%%'", &["X"])).clone() });
    manager.replace("file", [template]);
    let bare = service("kube_service://a/b", &["X"], "1.1.1.1");
    assert!(put(&mut manager, &bare).is_empty());
    let text = "error resolving template a for service kube_service://a/b: no port found for container kube_service://a/b - ignoring it: \
                file:a, instances[0]: found %%port%%, allowed: a service with ports, or a fixed port";
    assert_eq!(manager.resolve_warnings(), BTreeMap::from([("a".to_owned(), vec![text.to_owned()])]));
    let port = crate::domain::kube::objects::Port { number: 80, name: Arc::from("") };
    let mended = Arc::new(AdService { ports: vec![port], ..(*bare).clone() });
    assert_eq!(texts(&put(&mut manager, &mended)), ["p: 80\n"]);
    assert!(manager.resolve_warnings().is_empty());
    assert_eq!(put(&mut manager, &bare).unschedule.len(), 1);
    assert_eq!(manager.resolve_warnings().len(), 1);
    manager.replace("file", []);
    assert!(manager.resolve_warnings().is_empty());
    manager.replace("file", [config("a", "p: '%%port%%'", &["X"])]);
    manager.change_services("kube_services", true, [], []);
    assert!(manager.resolve_warnings().is_empty());
}

#[test]
fn ad_v59_removed_and_added_at_once_is_no_change() {
    let template = config("a", "x: 1", &["X"]);
    let mut manager = ConfigManager::default();
    put(&mut manager, &service("S", &["X"], ""));
    source(&mut manager, "one", &[&template]);
    let moved = [("one", Vec::new()), ("two", vec![Arc::clone(&template)])];
    assert!(manager.change_sources("kubernetes-services", false, moved).is_empty());
    assert_eq!(manager.scheduled_count(), 1);
}

#[test]
fn a_changed_service_unschedules_the_old_and_schedules_the_new() {
    let mut manager = ConfigManager::default();
    manager.replace("file", [config("a", "h: '%%host%%'", &["X"]), config("b", "x: 1", &["X"])]);
    let before = put(&mut manager, &service("S", &["X"], "1.1.1.1"));
    let changes = put(&mut manager, &service("S", &["X"], "2.2.2.2"));
    assert_eq!(texts(&changes), ["h: 2.2.2.2\n"], "b says the same as before");
    let old = before.schedule.iter().find(|config| config.name == "a").unwrap();
    assert_eq!(changes.unschedule, [config_key(old)]);
    let changes = put(&mut manager, &service("S", &["Z"], "2.2.2.2"));
    assert_eq!((changes.unschedule.len(), changes.schedule.len()), (2, 0));
}

#[test]
fn a_reset_forgets_what_is_not_named_again() {
    let mut manager = ConfigManager::default();
    manager.replace("file", [config("a", "h: '%%host%%'", &["X"])]);
    put(&mut manager, &service("S", &["X"], "1.1.1.1"));
    put(&mut manager, &service("T", &["X"], "2.2.2.2"));
    manager.change_services("kube_endpoints", false, [service("E", &["X"], "3.3.3.3")], []);
    let changes = manager.change_services("kube_services", true, [service("S", &["X"], "1.1.1.1")], []);
    assert_eq!((changes.unschedule.len(), changes.schedule.len()), (1, 0));
    assert_eq!(manager.scheduled_count(), 2, "the other listener keeps its service");

    source(&mut manager, "one", &[&config("b", "x: 1", &[])]);
    source(&mut manager, "two", &[&config("c", "x: 1", &[])]);
    let changes = manager.change_sources("kubernetes-services", true, [("two", [config("c", "x: 1", &[])])]);
    assert_eq!((changes.unschedule.len(), changes.schedule.len()), (1, 0));
}

#[test]
fn a_config_of_two_sources_stays_until_both_are_gone() {
    let one = config("a", "x: 1", &[]);
    let mut manager = ConfigManager::default();
    assert_eq!(source(&mut manager, "slice-1", &[&one]).schedule.len(), 1);
    assert!(source(&mut manager, "slice-2", &[&one]).is_empty());
    assert!(source(&mut manager, "slice-1", &[]).is_empty());
    assert_eq!(source(&mut manager, "slice-2", &[]).unschedule.len(), 1);
    assert_eq!(manager.active_count(), 0);
}

#[test]
fn templates_that_become_the_same_config_are_scheduled_once() {
    let template = config("a", "x: 1", &["X"]);
    let copy = Arc::new(CheckConfig { check_tag_cardinality: "low".to_owned(), ..(*template).clone() });
    let mut manager = ConfigManager::default();
    put(&mut manager, &service("S", &["X"], ""));
    assert_eq!(source(&mut manager, "one", &[&template]).schedule.len(), 1);
    assert!(source(&mut manager, "two", &[&copy]).is_empty());
    assert!(source(&mut manager, "one", &[]).is_empty());
    assert_eq!(source(&mut manager, "two", &[]).unschedule.len(), 1);
}

#[test]
fn exclusion_from_metrics_is_copied() {
    let mut manager = ConfigManager::default();
    manager.replace("file", [config("a", "x: 1", &["X"])]);
    let excluded = Arc::new(AdService { metrics_excluded: true, ..(*service("S", &["X"], "")).clone() });
    assert!(put(&mut manager, &excluded).schedule[0].metrics_excluded);
}

#[test]
fn one_change_among_ten_thousand_services_resolves_one_template() {
    let mut manager = ConfigManager::default();
    let id = |number: usize| format!("kube_service://a/s{number}");
    let services = (0..10_000).map(|number| service(&id(number), &[&id(number)], "1.1.1.1"));
    manager.change_services("kube_services", true, services, []);
    let templates: Vec<_> = (0..10_000).map(|number| config("a", "h: '%%host%%'", &[&id(number)])).collect();
    let listing: Vec<(String, [Arc<CheckConfig>; 1])> =
        templates.into_iter().enumerate().map(|(number, template)| (id(number), [template])).collect();
    manager.change_sources("kubernetes-services", true, listing.iter().map(|(source, configs)| (source.as_str(), configs.clone())));
    assert_eq!((manager.scheduled_count(), manager.resolutions()), (10_000, 10_000));

    let changes = put(&mut manager, &service(&id(77), &[&id(77)], "2.2.2.2"));
    assert_eq!((changes.unschedule.len(), changes.schedule.len(), manager.resolutions()), (1, 1, 10_001));
    let changed = config("b", "h: '%%host%%'", &[&id(78)]);
    assert_eq!(source(&mut manager, &id(78), &[&changed]).schedule.len(), 1);
    assert_eq!(manager.resolutions(), 10_002);
    assert_eq!(source(&mut manager, &id(79), &[]).unschedule.len(), 1);
    assert_eq!(manager.resolutions(), 10_002);
}

fn secret(pairs: &[(&str, &str)]) -> (Handles, SecretValues) {
    let values: SecretValues = pairs.iter().map(|(handle, value)| ((*handle).to_owned(), Secret::new((*value).to_owned()))).collect();
    (values.keys().cloned().collect(), values)
}

#[test]
fn configs_with_handles_wait_for_their_secrets() {
    let mut manager = ConfigManager::new(TemplateRules::default(), true);
    let plain = config("a", "p: ENC[x]", &[]);
    let template = config("b", "h: '%%host%%'\np: ENC[x]", &["X"]);
    assert!(manager.replace("file", [Arc::clone(&plain), template, config("c", "p: 1", &[])]).schedule.len() == 1);
    assert!(put(&mut manager, &service("S", &["X"], "1.1.1.1")).is_empty());
    let (handles, values) = secret(&[("x", "hunter2")]);
    assert_eq!(manager.take_lookups(), std::slice::from_ref(&handles), "one question for both");
    assert!(manager.take_lookups().is_empty());
    assert!(manager.has_open_lookups() && manager.wants_secrets(&handles));

    let changes = manager.secrets(&handles, values);
    let mut scheduled = texts(&changes);
    scheduled.sort();
    assert_eq!(scheduled, ["h: 1.1.1.1\np: hunter2\n", "p: hunter2\n"]);
    assert!(!manager.has_open_lookups() && !manager.wants_secrets(&handles));
    let shown: Vec<_> = manager.encrypted().into_values().map(|config| config.instances[0].text().into_owned()).collect();
    assert!(shown.len() == 2 && shown.iter().all(|text| text.contains("ENC[x]")), "{shown:?}");
    let changed = config("a", "p: ENC[x]\nq: 2", &[]);
    let changes = manager.replace("file", [Arc::clone(&changed)]);
    assert_eq!(texts(&changes), ["p: hunter2\nq: 2\n"], "a known secret is not asked for again");
    assert_eq!(changes.unschedule.len(), 3, "removals name what was told");
    let moved = [("", Vec::new()), ("b", vec![changed])];
    assert!(manager.change_sources("file", false, moved).is_empty());
    assert!(manager.take_lookups().is_empty());
}

#[test]
fn a_config_without_its_secret_is_dropped_with_a_reason_until_there_is_one() {
    let mut manager = ConfigManager::new(TemplateRules::default(), true);
    let plain = Arc::new(CheckConfig { source: "file:a".to_owned(), ..(*config("a", "p: ENC[x]", &[])).clone() });
    manager.replace("file", [Arc::clone(&plain), config("b", "p: ENC[x]", &["X"])]);
    put(&mut manager, &service("S", &["X"], "1.1.1.1"));
    let (handles, values) = secret(&[("x", "1")]);
    let missing = SecretError::Missing("x".to_owned());
    assert!(manager.secrets_failed(&handles, missing.clone()));
    assert!(!manager.secrets_failed(&handles, missing), "no news");
    assert!(!manager.has_open_lookups());
    assert_eq!(manager.secret_errors().len(), 1);
    assert!(manager.secret_errors()[0].1.starts_with("Unable to resolve secrets for config 'a', dropping check configuration, err: "));
    let warnings = manager.resolve_warnings();
    assert!(warnings["b"][0].starts_with("error decrypting secrets in config b for service S: "), "{warnings:?}");
    assert_eq!(manager.sources_without_secrets().collect::<Vec<_>>(), ["file:a", ""]);

    assert_eq!(manager.secrets(&handles, values).schedule.len(), 2);
    assert!(manager.secret_errors().is_empty() && manager.resolve_warnings().is_empty());
}

#[test]
fn an_answer_that_nobody_waits_for_changes_nothing() {
    let mut manager = ConfigManager::new(TemplateRules::default(), true);
    manager.replace("file", [config("a", "p: ENC[x]", &[])]);
    manager.replace("file", []);
    let (handles, values) = secret(&[("x", "1")]);
    assert!(manager.take_lookups().is_empty());
    assert!(!manager.secrets_failed(&handles, SecretError::Missing("x".to_owned())));
    assert!(manager.secrets(&handles, values).is_empty());
    let mut untouched = ConfigManager::default();
    assert_eq!(texts(&untouched.replace("file", [config("a", "p: ENC[x]", &[])])), ["p: ENC[x]"]);
}
