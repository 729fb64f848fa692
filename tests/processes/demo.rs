//! The demo, as the README says to start it.

use serde_json::Value as Json;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use crate::scene::{Group, MUSTER};

#[actix_rt::test]
async fn the_demo_holds_every_invariant() {
    let mut demo = Group::spawn(Command::new(MUSTER).args(["demo", "--json"]).stdout(std::process::Stdio::piped()));
    let mut output = String::new();
    let mut stdout = demo.0.stdout.take().unwrap();
    let read = tokio::time::timeout(std::time::Duration::from_secs(300), stdout.read_to_string(&mut output));
    assert!(read.await.is_ok(), "the demo does not end: {output}");
    let lines: Vec<Json> =
        output.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect();
    let (summary, acts) = lines.split_last().unwrap();
    let broken: Vec<String> = acts
        .iter()
        .flat_map(|act| act["invariants"].as_array().unwrap().iter().map(move |invariant| (act, invariant)))
        .filter(|(_, invariant)| invariant["held"] != true)
        .map(|(act, invariant)| format!("{}: {invariant}", act["act"]))
        .collect();
    assert!(broken.is_empty(), "{broken:#?}");
    assert_eq!(acts.len(), muster::demo::ACTS, "{output}");
    let leaders: Vec<_> = acts.iter().filter_map(|act| Some((act["leader"].as_str()?, act["epoch"].as_u64()?))).collect();
    assert!(leaders.len() == 4 && leaders.iter().all(|(name, _)| name.starts_with("server-")), "{leaders:?}");
    assert!(leaders.is_sorted_by(|(_, one), (_, next)| one < next), "{leaders:?}");
    assert!(acts[6..].iter().all(|act| act["blind_seconds"].as_f64().unwrap() > 0.0), "{output}");
    let outage = &acts[9];
    let figures = ["events_made", "events_arrived", "events_repeated", "events_missing"].map(|figure| outage[figure].as_u64().unwrap());
    assert_eq!((figures, &outage["events_on_disk_at_kills"]), ([12, 12, 9, 0], &serde_json::json!([0, 3, 6, 9])), "{outage}");
    assert!(outage["intake_away_seconds"].as_f64().unwrap() > 0.0, "{outage}");
    assert_eq!(summary["held"], true, "{summary}");
    assert!(summary["summary"]["reports"].as_u64().unwrap() > 0 && summary["summary"]["unreadable"] == 0, "{summary}");
    assert_eq!(demo.0.wait().await.unwrap().code(), Some(0));
}
