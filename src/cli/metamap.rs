//! `metamap`: which services select which pod. Source: cluster-agent-kubernetes 8.2.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use muster_actors::domain::metadata_view::unknown_node_warning;
use serde::{Deserialize, Serialize};
use serde_json::{Map as JsonMap, Value as Json};

use super::arguments::MetamapOptions;
use super::connection::QueryError;
use super::context::Context;
use super::failure::{CommandResult, Failure};
use crate::config::Role;

const TITLE: &str = "===============\nMetadata Mapper\n===============\n\n";

/// The map of all nodes. The path of a single node refuses the local token, so one node is picked out here.
const PATH: &str = "/api/v1/tags/pod";

/// Answer of `/api/v1/tags/pod`.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
struct Answer {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    nodes: BTreeMap<String, Bundle>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    errors: String,
}

/// Pod -> service -> an empty object.
type Pods = BTreeMap<String, BTreeMap<String, JsonMap<String, Json>>>;

/// The pods of a node by namespace.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct Bundle {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    services: BTreeMap<String, Pods>,
}

impl Answer {
    /// What the server would say about one node alone.
    fn of_node(mut self, name: &str) -> Self {
        self.nodes.retain(|node, _| node == name);
        if self.nodes.is_empty() {
            self.warnings.push(unknown_node_warning(name));
        }
        self
    }
}

pub(super) async fn run(context: &Context, options: &MetamapOptions) -> CommandResult {
    let (_, api) = context.api(Some(Role::Cluster))?;
    let body = api.get(PATH).await.map_err(failure)?;
    show(&body, options)
}

/// A server without a map says why: it is starting, or there is no Kubernetes.
fn failure(error: QueryError) -> Failure {
    match error {
        QueryError::Refused { status: 503, body } => {
            let why = body.trim();
            let output = render(&Answer { errors: why.to_owned(), ..Answer::default() });
            Failure::new(format!("the agent has no metadata map: {why}")).with_output(output)
        }
        other => other.into_failure(),
    }
}

fn show(body: &str, options: &MetamapOptions) -> CommandResult {
    let unreadable = |error: serde_json::Error| Failure::new(format!("read the metadata map of the agent: {error}"));
    let mut answer: Answer = serde_json::from_str(body).map_err(unreadable)?;
    if let Some(node) = &options.node {
        answer = answer.of_node(node);
    }
    if options.json {
        return serde_json::to_string(&answer).map(|text| text + "\n").map_err(unreadable);
    }
    Ok(render(&answer))
}

fn render(answer: &Answer) -> String {
    let mut text = TITLE.to_owned();
    if !answer.errors.is_empty() {
        let _ = writeln!(text, "Could not run the service mapper: {}", answer.errors);
    }
    if !answer.warnings.is_empty() {
        text.push_str("Warnings:\n");
        for warning in &answer.warnings {
            let _ = writeln!(text, "   - {warning}");
        }
    }
    let begin = text.len();
    for (node, bundle) in &answer.nodes {
        if text.len() > begin || !answer.warnings.is_empty() {
            text.push('\n');
        }
        let _ = writeln!(text, "Node detected: {node}");
        for (namespace, pods) in &bundle.services {
            let _ = writeln!(text, "\n  - Namespace: {namespace}");
            for (pod, services) in pods {
                let names: Vec<&str> = services.keys().map(String::as_str).collect();
                let _ = writeln!(text, "      - Pod: {pod}\n        Services: [{}]", names.join(" "));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"Nodes":{"n2":{},"n1":{"services":{"shop":{"p9":{"cart":{}}},"default":{"p1":{"web-canary":{},"web":{}}}}}}}"#;

    fn shown(body: &str, node: Option<&str>, json: bool) -> String {
        show(body, &MetamapOptions { node: node.map(str::to_owned), json }).unwrap()
    }

    #[test]
    fn ca_m22_one_node_with_its_pods() {
        let body = r#"{"Nodes":{"n1":{"services":{"default":{"p1":{"web":{},"web-canary":{}}}}},"n2":{}}}"#;
        let text = concat!(
            "===============\nMetadata Mapper\n===============\n\nNode detected: n1\n\n",
            "  - Namespace: default\n      - Pod: p1\n        Services: [web web-canary]\n"
        );
        assert_eq!(shown(body, Some("n1"), false), text);
        assert_eq!(
            shown(body, Some("n1"), true),
            "{\"Nodes\":{\"n1\":{\"services\":{\"default\":{\"p1\":{\"web\":{},\"web-canary\":{}}}}}}}\n"
        );
    }

    #[test]
    fn everything_is_in_ascending_order() {
        let text = shown(BODY, None, false);
        let lines: Vec<&str> = text.lines().skip(4).collect();
        assert_eq!(
            lines,
            [
                "Node detected: n1",
                "",
                "  - Namespace: default",
                "      - Pod: p1",
                "        Services: [web web-canary]",
                "",
                "  - Namespace: shop",
                "      - Pod: p9",
                "        Services: [cart]",
                "",
                "Node detected: n2"
            ]
        );
    }

    #[test]
    fn warnings_and_errors_are_shown() {
        let text = shown(BODY, Some("zz"), false);
        assert!(text.ends_with("\n\nWarnings:\n   - Node zz could not be added to the metadata map bundle: the key agent/KubernetesMetadataMapping/zz was not found in the cache\n"), "{text}");
        let text = shown(r#"{"Nodes":{"n1":{}},"Warnings":["w"],"Errors":"e"}"#, None, false);
        assert!(text.ends_with("\n\nCould not run the service mapper: e\nWarnings:\n   - w\n\nNode detected: n1\n"), "{text}");
    }

    #[test]
    fn without_kubernetes_it_says_so() {
        let refused = |body: &str| failure(QueryError::Refused { status: 503, body: body.to_owned() });
        let told = refused("no Kubernetes in stand-alone mode\n");
        assert_eq!(told.message, "the agent has no metadata map: no Kubernetes in stand-alone mode");
        assert!(told.output.ends_with("\n\nCould not run the service mapper: no Kubernetes in stand-alone mode\n"), "{}", told.output);
        assert_eq!(told.code, 1);
        let gone = failure(QueryError::Unreachable { text: "connection refused".to_owned() });
        assert!(gone.output.starts_with("Could not reach agent: connection refused\n"), "{}", gone.output);
    }
}
