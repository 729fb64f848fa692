use proptest::prelude::*;

use super::substitute::{Place, substitute_value, typed};
use super::*;
use crate::domain::config::{CheckConfig, Data};
use crate::domain::yaml::{self, Value};

fn lookup(name: &str) -> Option<String> {
    match name {
        "MUSTER_USER" => Some("svc_user".to_owned()),
        "PORT" => Some("0x1F".to_owned()),
        "FLAG" => Some("True".to_owned()),
        "EMPTY" => Some(String::new()),
        "A_B" => Some("ab".to_owned()),
        _ => None,
    }
}

const OPEN: Environment<'static> = Environment { lookup: &lookup, allowed: &[], disabled: false };

fn resolved(text: &str) -> Result<Value, VariableError> {
    resolved_in(text, &OPEN)
}

fn resolved_in(text: &str, environment: &Environment<'_>) -> Result<Value, VariableError> {
    let mut value = Value::from(text);
    substitute_value(&mut value, &|place: &Place<'_>| environment.value(&place.variable))?;
    Ok(value)
}

#[test]
fn ad_v25_percent_signs_that_are_no_variable_survive() {
    for text in ["50%% done", "a%%b", "%%", "%", "%%\n%%", ""] {
        assert_eq!(resolved(text).unwrap(), Value::from(text));
    }
}

#[test]
fn ad_v29_v30_unknown_variables_are_errors() {
    assert_eq!(resolved("x%%foo%%y").unwrap_err().to_string(), "invalid %%foo%% tag");
    assert_eq!(resolved("%%host_%%").unwrap_err().to_string(), "invalid %%host_%% tag");
    assert_eq!(resolved("%% host %%").unwrap_err().to_string(), "invalid %% host %% tag");
}

#[test]
fn ad_v34_an_environment_variable_must_be_set_named_and_allowed() {
    assert_eq!(resolved("%%env_MUSTER_NOPE%%").unwrap_err().to_string(), "failed to retrieve envvar MUSTER_NOPE");
    assert_eq!(resolved("%%env%%").unwrap_err().to_string(), "envvar name is missing");
    let allowed = ["muster_user".to_owned()];
    let some = Environment { allowed: &allowed, ..OPEN };
    assert_eq!(resolved_in("%%env_MUSTER_USER%%", &some).unwrap(), Value::from("svc_user"));
    assert_eq!(resolved_in("%%env_PORT%%", &some).unwrap_err().to_string(), "envvar PORT is not allowed in check configs");
    let none = Environment { disabled: true, ..OPEN };
    assert!(matches!(resolved_in("%%env_MUSTER_USER%%", &none), Err(VariableError::Environment(EnvironmentError::NotAllowed(_)))));
    assert_eq!(resolved("<%%env_EMPTY%%>").unwrap(), Value::from("<>"));
    assert_eq!(resolved("%%env_A_B%%").unwrap(), Value::from("ab"));
}

#[test]
fn variables_of_a_service_need_one() {
    assert_eq!(resolved("%%host%%").unwrap_err().to_string(), "no service. %%host%% is not allowed");
    assert_eq!(resolved("%%kube_namespace%%").unwrap_err().to_string(), "no service. %%extra_*%% or %%kube_*%% are not allowed");
    assert!(matches!(resolved("%%port_0%%"), Err(VariableError::NeedsService(_))));
}

#[test]
fn a_text_that_is_one_variable_takes_the_type_of_its_value() {
    assert_eq!(resolved("%%env_PORT%%").unwrap(), Value::Int(31));
    assert_eq!(resolved("%%env_FLAG%%").unwrap(), Value::Bool(true));
    assert_eq!(resolved("x%%env_PORT%%").unwrap(), Value::from("x0x1F"));
    assert_eq!(resolved("%%env_PORT%%%%env_FLAG%%").unwrap(), Value::from("0x1FTrue"));
    assert_eq!(typed("1".to_owned()), Value::Int(1));
    assert_eq!(typed("010".to_owned()), Value::Int(8));
    assert_eq!(typed("0x_1F".to_owned()), Value::Int(31));
    assert_eq!(typed("1_000".to_owned()), Value::Int(1000));
    assert_eq!(typed("1__0".to_owned()), Value::from("1__0"));
    assert_eq!(typed("yes".to_owned()), Value::from("yes"));
}

#[test]
fn keys_are_not_visited_and_other_types_are_kept() {
    let mut value = yaml::parse("'%%env_PORT%%': ['%%env_PORT%%', {a: 1.5, b: yes, z: ~}]").unwrap();
    substitute_value(&mut value, &|place: &Place<'_>| OPEN.value(&place.variable)).unwrap();
    assert_eq!(yaml::write(&value), "'%%env_PORT%%':\n- 31\n- a: 1.5\n  b: true\n  z: null\n");
}

fn config(instances: &[&str]) -> CheckConfig {
    CheckConfig { instances: instances.iter().map(|text| Data::from(*text)).collect(), ..CheckConfig::default() }
}

#[test]
fn ad_v45_an_environment_variable_is_resolved_and_other_text_kept() {
    let mut one = config(&["port: 511\nssl: true\nusername: '%%env_MUSTER_USER%%'\n"]);
    assert_eq!(substitute_environment(&mut one, &OPEN), None);
    assert_eq!(one.instances[0].text(), "port: 511\nssl: true\nusername: svc_user\n");
}

#[test]
fn ad_v46_the_part_with_an_error_and_the_parts_behind_it_keep_their_text() {
    let first = "user: '%%env_MUSTER_USER%%'\n";
    let second = "host: '%%host%%'\nuser: '%%env_MUSTER_USER%%'\n";
    let mut one = config(&[first, second, first]);
    one.init_config = Some(Data::from(first));
    let error = substitute_environment(&mut one, &OPEN).unwrap();
    assert_eq!(error.part, "instances[1]");
    assert!(matches!(error.reason, VariableError::NeedsService(_)));
    assert_eq!(one.init_config.unwrap().text(), "user: svc_user\n");
    assert_eq!(one.instances[0].text(), "user: svc_user\n");
    assert_eq!(one.instances[1].text(), second);
    assert_eq!(one.instances[2].text(), first);
}

proptest! {
    #[test]
    fn no_text_panics(text in "[%_a-c\\né ]{0,30}") {
        let _ = resolved(&text);
    }
}
