use super::*;

const SMALL: &str = r#"{
  "version": 1,
  "nodes": [{"name": "a"}, {"name": "b", "workers": 8}],
  "checks": [
    {"name": "redis", "need": 0.5, "node": "a"},
    {"name": "http", "average_ms": 3000, "interval_seconds": 30}
  ],
  "events": [
    {"at": "10m", "remove_runners": ["a"]},
    {"at": "20m", "kill": {"runners": {"count": 1}, "for": "40s"}},
    {"at": 1500, "cost_change": {"check": "redis", "factor": 100}},
    {"at": "1h", "leader_away": "10m"}
  ],
  "policy": {"band": 0.1}
}"#;

fn told(text: &str) -> String {
    Scenario::parse(text).unwrap_err().to_string()
}

#[test]
fn a_scenario_is_read_and_written() {
    let scenario = Scenario::parse(SMALL).unwrap();
    assert_eq!((scenario.length, scenario.nodes[1].workers, scenario.pods), (Span::from_hours(2), 8, true));
    assert_eq!(scenario.checks.iter().map(Check::workers_needed).collect::<Vec<_>>(), [0.5, 0.1]);
    assert_eq!(scenario.events[0].action, Action::RemoveRunners(Which::Named(vec!["a".to_owned()])));
    assert_eq!(Scenario::parse(&scenario.to_json()), Ok(scenario));
}

#[test]
fn every_action_is_read_back_as_it_was_written() {
    let which = || Which::Count(2);
    let span = Span::from_minutes(3);
    let actions = [
        Action::RemoveRunners(which()),
        Action::AddRunners { count: 3, workers: 4 },
        Action::RollAll { each: span },
        Action::Kill { runners: which(), lasts: None },
        Action::Partition { runners: which(), lasts: span },
        Action::Pause { runners: which(), lasts: span },
        Action::Flap { runners: which(), times: 3, every: span },
        Action::LeaderAway(span),
        Action::CostChange { check: None, check_name: Some("http_check".to_owned()), factor: 100.0, lasts: Some(span) },
        Action::Lie { runners: which(), says: Lie::Nan, lasts: span },
        Action::Workers { runners: which(), workers: 0, lasts: None },
        Action::ClockJump(-3600),
        Action::CrashActor("Dispatcher".to_owned()),
    ];
    let mut scenario = Scenario::parse(SMALL).unwrap();
    scenario.events = actions.into_iter().map(|action| Event { at: span, action }).collect();
    assert_eq!(Scenario::parse(&scenario.to_json()), Ok(scenario));
}

#[test]
fn mistakes_are_told_with_place_finding_and_mend() {
    let told_with = |from: &str, to: &str| told(&SMALL.replace(from, to));
    assert_eq!(told_with("\"version\": 1", "\"version\": 7").split(';').next(), Some("version: found 7"));
    let unknown = told_with("\"workers\": 8", "\"cores\": 8");
    assert!(
        unknown.starts_with("nodes[1].cores (line 3, ") && unknown.contains("unknown field `cores`") && unknown.contains("`workers`"),
        "{unknown}"
    );
    let text = told_with("\"10m\", \"remove", "\"soon\", \"remove");
    assert!(text.starts_with("events[0]") && text.contains("\"soon\" is no time") && text.contains("\"1h30m\""), "{text}");
    let text = told_with("\"node\": \"a\"", "\"node\": \"c\"");
    assert_eq!(text, "checks[0].node: no node is called \"c\"; name one of nodes, or leave it out to have it placed");
    let text = told_with("{\"count\": 1}", "7");
    assert!(text.contains("events[1]") && text.contains("{\"count\": 3}"), "{text}");
    let text = told_with("\"need\": 0.5, ", "");
    assert!(text.starts_with("checks[0].need: neither need nor average_ms"), "{text}");
    let text = told_with("\"leader_away\": \"10m\"", "\"pause\": {\"runners\": [\"a\"], \"for\": \"1m\"}, \"leader_away\": \"10m\"");
    assert!(text.contains("several actions"), "{text}");
    let text = told_with(", \"leader_away\": \"10m\"", "");
    assert!(text.contains("without an action") && text.contains("roll_all"), "{text}");
    let text = told_with("\"band\": 0.1", "\"band\": -1");
    assert_eq!(text, "policy.band: found -1; allowed is 0 to 10");
    assert!(told("{").contains("line 1"));
}

#[test]
fn an_event_after_the_end_is_a_mistake() {
    let text = told(&SMALL.replace("\"at\": \"1h\"", "\"at\": \"3h\""));
    assert_eq!(text, "events[3].at: 3h is after the end, which is at 2h; make length longer or the event earlier");
}
