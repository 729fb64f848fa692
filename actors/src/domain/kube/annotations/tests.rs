use super::*;

fn found(pairs: &[(&str, &str)], hybrid: bool) -> Extracted {
    let annotations = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let subject = Subject { word: "service", identifier: "id", resource: "kube_service://a/b", object: "Service a/b", hybrid };
    extract(&annotations, &subject)
}

fn problems(pairs: &[(&str, &str)], hybrid: bool) -> Vec<String> {
    found(pairs, hybrid).errors.into_iter().map(|error| error.problem).collect()
}

const V2: (&str, &str) = ("ad.datadoghq.com/service.checks", r#"{"a":{"instances":[{}]}}"#);

#[test]
fn other_annotations_say_nothing() {
    assert_eq!(
        found(&[("ad.datadoghq.com/tags", "{}"), ("ad.datadoghq.com/services.checks", "x"), ("zz", "")], false),
        Extracted::default()
    );
    let lists = [("ad.datadoghq.com/service.init_configs", "x"), ("ad.datadoghq.com/service.instances", "y")];
    assert_eq!(found(&lists, false), Extracted::default());
}

#[test]
fn ignored_forms_are_named() {
    let annotations = [
        V2,
        ("ad.datadoghq.com/service.check_names", "broken"),
        ("ad.datadoghq.com/service.ignore_autodiscovery_tags", "true"),
        ("ad.datadoghq.com/service.logs", "[]"),
        ("service-discovery.datadoghq.com/service.instances", "broken"),
        ("service-discovery.datadoghq.com/service.ignore_autodiscovery_tags", "true"),
    ];
    let text = |ignored: &str| {
        format!(
            "ad.datadoghq.com/service.checks takes precedence, ignoring {ignored}: Autodiscovery only applies the check configuration \
             with the highest priority (v2, then v1, then legacy)"
        )
    };
    let rest = "service-discovery.datadoghq.com/service.ignore_autodiscovery_tags, service-discovery.datadoghq.com/service.instances";
    let today = "ad.datadoghq.com/service.check_names, ad.datadoghq.com/service.ignore_autodiscovery_tags";
    assert_eq!(problems(&annotations, false), [text(&format!("{today}, {rest}"))]);
    assert!(!found(&annotations, false).configs[0].ignore_autodiscovery_tags);
    assert_eq!(problems(&annotations, true), [text(&format!("ad.datadoghq.com/service.check_names, {rest}"))]);
    assert!(found(&annotations, true).configs.iter().all(|config| config.ignore_autodiscovery_tags));
}

#[test]
fn version_1_wins_over_the_legacy_form() {
    let annotations = [
        ("ad.datadoghq.com/service.check_names", r#"["a"]"#),
        ("ad.datadoghq.com/service.init_configs", "[{}]"),
        ("ad.datadoghq.com/service.instances", "[{}]"),
        ("service-discovery.datadoghq.com/service.check_names", r#"["b"]"#),
    ];
    let problem = "ad.datadoghq.com/service.check_names takes precedence, ignoring service-discovery.datadoghq.com/service.check_names: \
                   Autodiscovery only applies the check configuration with the highest priority (v2, then v1, then legacy)";
    assert_eq!(problems(&annotations, false), [problem]);
    assert_eq!(found(&annotations, false).configs[0].name, "a");
    assert!(problems(&annotations[..3], false).is_empty());
}

#[test]
fn fields_of_version_2_are_read_as_go_reads_them() {
    let checks = r#"{"b":null,"a":{"Name":"x","INIT_CONFIG": null,"instances":null,"logs":[ 1 ],"unknown":7,"check_tag_cardinality":null},"a2":{"name":""}}"#;
    let configs = found(&[("ad.datadoghq.com/service.checks", checks)], false).configs;
    let names: Vec<&str> = configs.iter().map(|config| config.name.as_str()).collect();
    assert_eq!(names, ["x", "a2", "b"]);
    assert_eq!(configs[0].init_config.as_ref().unwrap().text(), "null");
    assert_eq!(configs[0].logs.as_ref().unwrap().text(), "[ 1 ]");
    assert!(configs[0].instances.is_empty());
    assert_eq!(configs[2].init_config.as_ref().unwrap().text(), "{}");
    assert!(found(&[("ad.datadoghq.com/service.checks", "null")], false).configs.is_empty());
}

#[test]
fn wrong_types_of_version_2_name_the_field() {
    for (checks, problem) in [
        (r#"{"a":[]}"#, "cannot parse check configuration: expected an object, got an array at a"),
        (r#"{"a":{"instances":{}}}"#, "cannot parse check configuration: expected an array of objects, got an object at a.instances"),
        (r#"{"a":{"name":1}}"#, "cannot parse check configuration: expected a string, got a number at a.name"),
        (
            r#"{"a":{"ignore_autodiscovery_tags":"true"}}"#,
            "cannot parse check configuration: expected true or false, got a string at a.ignore_autodiscovery_tags",
        ),
        (r#"{"b":{"instances":[{}]},"c":{"instances":[[1.5,null]]}}"#, "found non JSON object type, value is: '[1.5 <nil>]'"),
    ] {
        let found = found(&[("ad.datadoghq.com/service.checks", checks)], false);
        assert!(found.configs.is_empty());
        assert_eq!(found.errors[0].problem, problem);
    }
}

#[test]
fn a_mistake_in_the_checks_leaves_the_logs() {
    let found = found(&[("ad.datadoghq.com/service.checks", "{"), ("ad.datadoghq.com/service.logs", r#"[{"b":1,"a":2}]"#)], false);
    assert_eq!(found.configs.len(), 1);
    assert_eq!(found.configs[0].name, "");
    assert_eq!(found.configs[0].logs.as_ref().unwrap().text(), r#"[{"a":2,"b":1}]"#);
    let error = &found.errors[0];
    assert_eq!(error.origin, "Service a/b, annotation ad.datadoghq.com/service.checks");
    assert_eq!(error.position.unwrap().line, 1);
    assert!(error.problem.starts_with("cannot parse check configuration: EOF"));
}

#[test]
fn mistakes_of_version_1() {
    let lists = |names: &str, init: Option<&str>, instances: &str| {
        let mut pairs = vec![("ad.datadoghq.com/service.check_names", names), ("ad.datadoghq.com/service.instances", instances)];
        pairs.extend(init.map(|init| ("ad.datadoghq.com/service.init_configs", init)));
        problems(&pairs, false)
    };
    let step = "could not extract checks config: ";
    assert_eq!(lists("[1]", Some("[{}]"), "[{}]"), [format!("{step}in check_names: expected an array of strings, got a number at [0]")]);
    assert_eq!(lists("{}", Some("[{}]"), "[{}]"), [format!("{step}in check_names: expected an array of strings, got an object")]);
    assert_eq!(lists(r#"["a"]"#, None, "x"), [format!("{step}missing init_configs key")]);
    assert_eq!(
        lists(r#"["a"]"#, Some("[{}]"), "{}"),
        [format!("{step}in instances: failed to unmarshal JSON: expected an array, got an object")]
    );
    assert!(lists(r#"["a"]"#, Some("[{}"), "{}")[0].starts_with(&format!("{step}in init_configs: failed to unmarshal JSON: ")));
    let nested = format!(
        "{step}in instances: failed to decode JSON Object 'x' to integration.Data struct: found non JSON object type, value is: 'x'"
    );
    assert_eq!(lists(r#"["a"]"#, Some("[{}]"), r#"[[{},"x"]]"#), [nested]);
    // An empty inner list disappears.
    assert_eq!(
        lists(r#"["a"]"#, Some("[{}]"), "[[]]"),
        ["template entries don't all have the same length: check_names 1, init_configs 1, instances 0"]
    );
    assert!(lists(r#"["a"]"#, Some("[{}]"), "[[{},{}]]").is_empty());
    assert!(lists("null", Some("null"), "null").is_empty());
}

#[test]
fn boolean_words() {
    assert!(["1", "t", "T", "true", "True", "TRUE"].into_iter().all(is_true));
    assert!(!["", "yes", "tRUE", "0", " true"].into_iter().any(is_true));
}

proptest::proptest! {
    #[test]
    fn no_value_panics(text in r#"[\[\]{}":,a-c0-9 é\\]{0,30}"#) {
        for key in ["checks", "check_names", "logs"] {
            let name = format!("ad.datadoghq.com/service.{key}");
            let _ = found(&[(&name, &text), ("ad.datadoghq.com/service.init_configs", &text), ("ad.datadoghq.com/service.instances", &text)], true);
        }
    }
}
