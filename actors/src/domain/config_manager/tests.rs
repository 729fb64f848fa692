use super::*;
use crate::domain::config::Data;

fn config(name: &str, instance: &str) -> Arc<CheckConfig> {
    Arc::new(CheckConfig { name: name.to_owned(), instances: vec![Data::from(instance)], ..CheckConfig::default() })
}

fn from_file(config: &CheckConfig, file: &str) -> Arc<CheckConfig> {
    Arc::new(CheckConfig { source: format!("file:{file}"), ..config.clone() })
}

fn key(config: &CheckConfig) -> ConfigKey {
    config_key(config)
}

#[test]
fn ad_v58_a_listing_removes_first_and_takes_each_config_once() {
    let (a, b, c) = (config("a", "x: 1"), config("b", "x: 1"), config("c", "x: 1"));
    let mut manager = ConfigManager::default();
    manager.replace("file", [a.clone(), b.clone()]);
    let changes = manager.replace("file", [b, c.clone(), c.clone()]);
    assert_eq!(changes, Changes { unschedule: vec![key(&a)], schedule: vec![c.clone()] });
    let changes = manager.replace("file", []);
    assert_eq!(changes.unschedule.len(), 2);
    assert!(manager.scheduled().is_empty());
}

#[test]
fn ad_v58_another_tag_order_is_a_removal_and_an_addition() {
    let mut manager = ConfigManager::default();
    let old = config("a", "tags: [a, b]");
    let new = config("a", "tags: [b, a]");
    manager.replace("file", [old.clone()]);
    assert_eq!(manager.replace("file", [new.clone()]), Changes { unschedule: vec![key(&old)], schedule: vec![new] });
}

#[test]
fn the_same_listing_changes_nothing() {
    let mut manager = ConfigManager::default();
    let listing = [config("a", "x: 1"), config("b", "x: 1")];
    assert_eq!(manager.replace("file", listing.clone()).schedule.len(), 2);
    assert!(manager.replace("file", listing.into_iter().rev()).is_empty());
}

#[test]
fn templates_are_active_but_not_scheduled() {
    let template = Arc::new(CheckConfig { ad_identifiers: vec!["redis".to_owned()], ..(*config("redisdb", "x: 1")).clone() });
    let mut manager = ConfigManager::default();
    assert!(manager.replace("file", [template.clone()]).is_empty());
    assert_eq!(manager.unresolved().get(&digest(&template).to_string()), Some(&template));
    assert!(manager.scheduled().is_empty());
}

#[test]
fn a_copy_in_another_file_is_scheduled_once_and_takes_over() {
    let original = from_file(&config("a", "x: 1"), "b.yaml");
    let copy = from_file(&config("a", "x: 1"), "a.yaml");
    let mut manager = ConfigManager::default();
    manager.replace("file", [original.clone()]);
    assert!(manager.replace("file", [copy.clone(), original.clone()]).is_empty());
    let changes = manager.replace("file", [copy.clone()]);
    assert_eq!(changes, Changes { unschedule: vec![key(&original)], schedule: vec![copy] });
}

#[test]
fn providers_do_not_touch_each_other() {
    let mut manager = ConfigManager::default();
    manager.replace("file", [config("a", "x: 1")]);
    manager.replace("kubernetes-services", [config("b", "x: 1")]);
    assert!(manager.replace("kubernetes-services", [config("b", "x: 1")]).is_empty());
    assert_eq!(manager.replace("kubernetes-services", []).unschedule.len(), 1);
    let names: Vec<_> = manager.scheduled().iter().map(|config| config.name.clone()).collect();
    assert_eq!(names, ["a"]);
}
