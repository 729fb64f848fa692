//! Service checks as JSON. Source: node-runner 14.4.

use muster_actors::domain::samples::CheckRun;
use serde::Serialize;

/// One service check as the intake and stdout show it.
#[derive(Serialize)]
pub struct CheckRunJson<'a> {
    check: &'a str,
    host_name: &'a str,
    timestamp: i64,
    status: u8,
    message: &'a str,
    tags: &'a [String],
}

impl<'a> From<&'a CheckRun> for CheckRunJson<'a> {
    fn from(run: &'a CheckRun) -> Self {
        Self {
            check: &run.name,
            host_name: &run.host,
            timestamp: run.timestamp,
            status: run.status as u8,
            message: &run.message,
            tags: &run.tags,
        }
    }
}

/// Writes a body.
#[must_use]
pub fn body(runs: &[CheckRun]) -> Vec<u8> {
    let runs: Vec<CheckRunJson<'_>> = runs.iter().map(CheckRunJson::from).collect();
    // Strings and integers only: writing them to memory has no way to fail.
    serde_json::to_vec(&runs).unwrap_or_default()
}

/// Lower bound of the bytes of one service check.
#[must_use]
pub fn least_bytes(run: &CheckRun) -> u64 {
    let tags = run.tags.iter().map(|tag| tag.len() + 3).sum::<usize>();
    (run.name.len() + run.host.len() + run.message.len() + tags + 70) as u64
}

#[cfg(test)]
mod tests {
    use muster_actors::domain::samples::ServiceStatus;

    use super::*;

    #[test]
    fn keys_and_order_are_those_of_the_intake() {
        let run = CheckRun {
            name: "http.can_connect".to_owned(),
            host: "node-1".to_owned(),
            timestamp: 1_700_000_000,
            status: ServiceStatus::Ok,
            message: String::new(),
            tags: vec!["a:b".to_owned()],
        };
        let failed = CheckRun { status: ServiceStatus::Critical, message: "no \"route\"".to_owned(), tags: vec![], ..run.clone() };
        assert_eq!(
            String::from_utf8(body(&[run, failed])).unwrap(),
            concat!(
                r#"[{"check":"http.can_connect","host_name":"node-1","timestamp":1700000000,"status":0,"message":"","tags":["a:b"]},"#,
                r#"{"check":"http.can_connect","host_name":"node-1","timestamp":1700000000,"status":2,"message":"no \"route\"","tags":[]}]"#
            )
        );
    }

    #[test]
    fn ca_c5_a_service_check_of_the_control_plane() {
        let run = CheckRun {
            name: "kube_apiserver_controlplane.up".to_owned(),
            host: "dca-host".to_owned(),
            timestamp: 1_700_000_000,
            status: ServiceStatus::Ok,
            message: r#"{"health":"true"}"#.to_owned(),
            tags: vec!["component:etcd-0".to_owned()],
        };
        assert_eq!(
            String::from_utf8(body(&[run])).unwrap(),
            concat!(
                r#"[{"check":"kube_apiserver_controlplane.up","host_name":"dca-host","timestamp":1700000000,"status":0,"#,
                r#""message":"{\"health\":\"true\"}","tags":["component:etcd-0"]}]"#
            )
        );
    }
}
