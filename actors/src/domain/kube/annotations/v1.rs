//! Version 1 and the legacy form: three lists side by side. Source: autodiscovery 4.5.

use serde_json::Value as Json;

use crate::domain::config::{CheckConfig, Data};
use crate::domain::kube::annotations::mistake::{Mistake, shown};
use crate::domain::kube::json_text;

const STEP: &str = "could not extract checks config";
const NAMES_ALLOWED: &str = "a JSON array of strings, for example [\"http_check\"]";
const OBJECTS_ALLOWED: &str = "a JSON array with one object, or array of objects, for each check name";

/// The three lists, as far as they are there, and the annotation prefix up to the last point.
pub(super) struct Lists<'a> {
    /// For example `ad.datadoghq.com/service.`.
    pub(super) prefix: &'a str,
    /// `check_names`.
    pub(super) names: &'a str,
    /// `init_configs`.
    pub(super) init_configs: Option<&'a str>,
    /// `instances`.
    pub(super) instances: Option<&'a str>,
}

/// One config for each instance of each check.
///
/// Errors: the first mistake, in the order names, init_configs, instances, lengths; then none of the checks is used.
pub(super) fn checks(lists: &Lists<'_>) -> Result<Vec<CheckConfig>, Mistake> {
    let names = names(lists)?;
    let init_configs = objects(lists.prefix, "init_configs", lists.init_configs)?;
    let instances = objects(lists.prefix, "instances", lists.instances)?;
    if names.len() != init_configs.len() || names.len() != instances.len() {
        let lengths = format!("check_names {}, init_configs {}, instances {}", names.len(), init_configs.len(), instances.len());
        return Err(Mistake::new(
            &format!("{}check_names", lists.prefix),
            format!("template entries don't all have the same length: {lengths}"),
            format!("lists of the lengths {lengths}"),
            "three lists of one length",
        ));
    }
    let mut configs = Vec::with_capacity(names.len());
    for ((name, init_config), instances) in names.into_iter().zip(&init_configs).zip(instances) {
        let [init_config] = init_config.as_slice() else {
            return Err(Mistake::new(
                &format!("{}init_configs", lists.prefix),
                format!("template init configs list is not valid: {} objects for check {name}", init_config.len()),
                format!("{} objects for check {name}", init_config.len()),
                "exactly one object for each check name",
            ));
        };
        configs.extend(instances.into_iter().map(|instance| CheckConfig {
            name: name.clone(),
            init_config: Some(init_config.clone()),
            instances: vec![instance],
            ..CheckConfig::default()
        }));
    }
    Ok(configs)
}

fn names(lists: &Lists<'_>) -> Result<Vec<String>, Mistake> {
    let annotation = format!("{}check_names", lists.prefix);
    let step = format!("{STEP}: in check_names");
    if lists.names.is_empty() {
        return Err(Mistake::new(&annotation, format!("{step}: check_names is empty"), "an empty text", NAMES_ALLOWED));
    }
    let wrong = |value: &Json, place: &str| {
        let found = format!("{}{place}", json_text::kind(value));
        Mistake::new(&annotation, format!("{step}: expected an array of strings, got {found}"), found, NAMES_ALLOWED)
    };
    match json_text::parse(lists.names).map_err(|error| Mistake::unreadable(&annotation, &step, &error, NAMES_ALLOWED))? {
        Json::Null => Ok(Vec::new()),
        Json::Array(items) => items
            .into_iter()
            .enumerate()
            .map(|(index, item)| match item {
                Json::Null => Ok(String::new()),
                Json::String(name) => Ok(name),
                other => Err(wrong(&other, &format!(" at [{index}]"))),
            })
            .collect(),
        other => Err(wrong(&other, "")),
    }
}

/// A list of lists of objects; an object stands for a list of one, and an empty inner list disappears.
fn objects(prefix: &str, key: &str, text: Option<&str>) -> Result<Vec<Vec<Data>>, Mistake> {
    let annotation = format!("{prefix}{key}");
    let Some(text) = text else {
        return Err(Mistake::new(&annotation, format!("{STEP}: missing {key} key"), "no such annotation", OBJECTS_ALLOWED));
    };
    let step = format!("{STEP}: in {key}");
    if text.is_empty() {
        return Err(Mistake::new(&annotation, format!("{step}: value is empty"), "an empty text", OBJECTS_ALLOWED));
    }
    let step = format!("{step}: failed to unmarshal JSON");
    let items = match json_text::parse(text).map_err(|error| Mistake::unreadable(&annotation, &step, &error, OBJECTS_ALLOWED))? {
        Json::Null => return Ok(Vec::new()),
        Json::Array(items) => items,
        other => {
            let kind = json_text::kind(&other);
            return Err(Mistake::new(&annotation, format!("{step}: expected an array, got {kind}"), kind, OBJECTS_ALLOWED));
        }
    };
    let mut lists = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let list = match item {
            Json::Array(inner) => inner.as_slice(),
            one => std::slice::from_ref(one),
        };
        if list.is_empty() {
            continue;
        }
        lists.push(list.iter().map(|item| object(&annotation, key, index, item)).collect::<Result<Vec<_>, _>>()?);
    }
    Ok(lists)
}

fn object(annotation: &str, key: &str, index: usize, item: &Json) -> Result<Data, Mistake> {
    if item.is_object() {
        return Ok(Data::from(json_text::write(item)));
    }
    let value = shown(item);
    Err(Mistake::new(
        annotation,
        format!(
            "{STEP}: in {key}: failed to decode JSON Object '{value}' to integration.Data struct: \
             found non JSON object type, value is: '{value}'"
        ),
        format!("{} at [{index}]", json_text::kind(item)),
        OBJECTS_ALLOWED,
    ))
}
