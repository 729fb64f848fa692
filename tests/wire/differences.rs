//! Where our answer is not the stock one, and why. The first rule that fits a recorded exchange decides what is expected.

use serde_json::Value as Json;

use crate::client::Reply;
use crate::recording::Exchange;

/// What our answer must be, given the stock one.
pub enum Expected {
    /// Status and body, byte for byte.
    Exactly(u16, String),
    /// A status; the text is free.
    Status(u16),
    /// The stock status with a document that other tests look at.
    Document,
    /// The stock answer, compared as JSON.
    SameJson,
    /// The state of the dispatcher, in the form of newer servers.
    State,
    /// As stock.
    Same,
}

/// A listed difference.
pub struct Difference {
    pub name: &'static str,
    /// Where it is decided.
    pub reason: &'static str,
    pub applies: fn(&Exchange) -> bool,
    pub expected: fn(&Exchange) -> Expected,
}

fn under(exchange: &Exchange, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| exchange.bare_path().starts_with(prefix))
}

fn authenticated(exchange: &Exchange) -> bool {
    exchange.has_cluster_token() || exchange.has_local_token()
}

/// Refusal by token alone, for paths that stock answers without looking at it.
fn refusal(exchange: &Exchange) -> Expected {
    match exchange.authorization().map(|header| header.split(' ').next().unwrap_or_default().to_owned()) {
        None => Expected::Exactly(401, "no session token provided\n".to_owned()),
        Some(scheme) if scheme != "Bearer" => Expected::Exactly(401, format!("unsupported authorization scheme: {scheme}\n")),
        Some(_) => Expected::Exactly(403, "invalid session token\n".to_owned()),
    }
}

/// Every difference, in the order in which it is looked for.
pub const DIFFERENCES: &[Difference] = &[
    Difference {
        name: "token before route",
        reason: "README 8.13: without a token every path is 401; stock answers 404, 405 or 301 first",
        applies: |exchange| !authenticated(exchange) && matches!(exchange.stock.status, 301 | 404 | 405),
        expected: refusal,
    },
    Difference {
        name: "error line once",
        reason: "cluster-agent-kubernetes 1.2: stock writes the line of both token checks on internal paths",
        applies: |exchange| !authenticated(exchange) && exchange.stock.text().lines().count() == 2,
        expected: |exchange| Expected::Exactly(exchange.stock.status, exchange.stock.text().lines().next().unwrap().to_owned() + "\n"),
    },
    Difference {
        name: "rebalance without a body",
        reason: "cluster-checks 4.6: it is accepted as no force, because 7.2x sends none; 7.68 answers EOF",
        applies: |exchange| {
            authenticated(exchange) && exchange.bare_path() == "/api/v1/clusterchecks/rebalance" && exchange.body.is_empty()
        },
        expected: |_| Expected::Exactly(200, "[]".to_owned()),
    },
    Difference {
        name: "support routes not served yet",
        reason: "flare, tagger-list and workload-list come with later issues; unknown until then",
        applies: |exchange| authenticated(exchange) && under(exchange, &["/flare", "/tagger-list", "/workload-list"]),
        expected: |_| Expected::Exactly(404, "404 page not found\n".to_owned()),
    },
    Difference {
        name: "Cloud Foundry",
        reason: "cluster-agent-kubernetes 1.7: 404, as the stock server without it",
        applies: |exchange| authenticated(exchange) && under(exchange, &["/api/v1/cf/", "/api/v1/tags/cf/"]),
        expected: |_| Expected::Same,
    },
    Difference {
        name: "no Kubernetes",
        reason: "cluster-agent-kubernetes 6.9: metadata routes answer 503 in stand-alone mode",
        applies: |exchange| {
            exchange.has_cluster_token()
                && under(exchange, &["/api/v1/tags/", "/api/v1/annotations/", "/api/v1/metadata/", "/api/v1/uid/", "/api/v1/cluster/id"])
        },
        expected: |_| Expected::Exactly(503, "no Kubernetes in stand-alone mode\n".to_owned()),
    },
    Difference {
        name: "no Kubernetes for the command line",
        reason: "cluster-agent-kubernetes 6.9, as above; the path of all pods is internal, the others refuse the local token",
        applies: |exchange| exchange.has_local_token() && exchange.bare_path() == "/api/v1/tags/pod",
        expected: |_| Expected::Exactly(503, "no Kubernetes in stand-alone mode\n".to_owned()),
    },
    Difference {
        name: "uid of a node",
        reason: "cluster-agent-kubernetes 1.5: the route is newer than 7.68 and external, so the local token is refused",
        applies: |exchange| exchange.has_local_token() && under(exchange, &["/api/v1/uid/node/"]),
        expected: |_| Expected::Exactly(403, "invalid session token\n".to_owned()),
    },
    Difference {
        name: "wrong method",
        reason: "README 8.13 and cluster-checks 3: 405 everywhere, stock says 404 below /api/v1/",
        applies: |exchange| {
            authenticated(exchange)
                && exchange.method == "GET"
                && under(exchange, &["/api/v1/languagedetection", "/api/v2/series", "/stop"])
        },
        expected: |_| Expected::Exactly(405, String::new()),
    },
    Difference {
        name: "state before dispatching is set up",
        reason: "cluster-checks 3: our routes exist from the start and say that the role is unknown",
        applies: |exchange| authenticated(exchange) && exchange.bare_path() == "/api/v1/clusterchecks" && exchange.stock.status == 404,
        expected: |_| {
            let body = r#"{"not_running":"Startup in progress","warmup":false,"nodes":null,"dangling":null}"#;
            Expected::Exactly(200, body.to_owned())
        },
    },
    Difference {
        name: "cluster token on internal paths",
        reason: "README 8.15: accepted, where stock answers 403 and the document behind the error line",
        applies: |exchange| exchange.has_cluster_token() && exchange.stock.status == 403 && exchange.stock.text().lines().count() == 2,
        expected: |exchange| {
            if exchange.bare_path() == "/api/v1/clusterchecks" {
                Expected::State
            } else {
                Expected::Exactly(200, exchange.stock.text().lines().nth(1).unwrap().to_owned())
            }
        },
    },
    Difference {
        name: "state in the newer form",
        reason: "cluster-checks 4.5: since 2026 each config comes with its check ids; ours are sorted by name",
        applies: |exchange| authenticated(exchange) && exchange.bare_path() == "/api/v1/clusterchecks" && exchange.stock.status == 200,
        expected: |_| Expected::State,
    },
    Difference {
        name: "node type out of range",
        reason: "cluster-checks 2: an error since the field exists; 7.68 skipped it as an unknown key",
        applies: |exchange| {
            let body = String::from_utf8_lossy(&exchange.body);
            body.contains("\"node_type\":256") || body.contains("\"node_type\":-1")
        },
        expected: |_| Expected::Status(500),
    },
    Difference {
        name: "text of the decoder",
        reason: "cluster-checks 3.1: free text, agents only compare the status with 200",
        applies: |exchange| exchange.stock.status == 500 && exchange.stock.text().starts_with("json: cannot unmarshal"),
        expected: |_| Expected::Status(500),
    },
    Difference {
        name: "version",
        reason: "cluster-agent-kubernetes 1.4: ours is 7.81.1",
        applies: |exchange| exchange.bare_path() == "/version" && exchange.stock.status == 200,
        expected: |_| {
            let body = r#"{"Major":7,"Minor":81,"Patch":1,"Pre":"","Meta":"","Commit":"abc1234567"}"#;
            Expected::Exactly(200, body.to_owned())
        },
    },
    Difference {
        name: "documents of other rooms",
        reason: "what is in them is tested where they are made; here: the route, the token and the status",
        applies: |exchange| {
            authenticated(exchange) && under(exchange, &["/status", "/config-check", "/config/by-source"]) && exchange.stock.status == 200
        },
        expected: |_| Expected::Document,
    },
    Difference {
        name: "settings of other rooms",
        reason: "the stand-in for the configuration in this test knows one setting",
        applies: |exchange| under(exchange, &["/config/internal_profiling"]),
        expected: |_| Expected::Status(400),
    },
    Difference {
        name: "sets of configs",
        reason: "the same JSON; the order of the configs in a stock set is random",
        applies: |exchange| exchange.stock.status == 200 && exchange.bare_path().contains("/configs"),
        expected: |_| Expected::SameJson,
    },
];

/// The expectation for an exchange, with the name of the rule that made it.
pub fn expected(exchange: &Exchange) -> (&'static str, Expected) {
    DIFFERENCES
        .iter()
        .find(|difference| (difference.applies)(exchange))
        .map_or(("as stock", Expected::Same), |difference| (difference.name, (difference.expected)(exchange)))
}

/// Compares our answer with an expectation; the error says what differs.
pub fn compare(exchange: &Exchange, expected: &Expected, ours: &Reply) -> Result<(), String> {
    let stock = &exchange.stock;
    let (status, body) = match expected {
        Expected::Exactly(status, body) => (*status, Some(body.clone())),
        Expected::Status(status) => (*status, None),
        Expected::Same => (stock.status, Some(stock.text())),
        Expected::Document | Expected::SameJson | Expected::State => (200, None),
    };
    if ours.status != status {
        return Err(format!("status {} instead of {status}: {}", ours.status, ours.text()));
    }
    // An answer to HEAD has no body, whatever its length header says.
    if exchange.method != "HEAD" && body.is_some_and(|body| body != ours.text()) {
        return Err(format!("body {:?}", ours.text()));
    }
    match expected {
        Expected::SameJson if sorted(&ours.json()) != sorted(&stock.json()) => return Err(format!("JSON {}", ours.text())),
        Expected::State => compare_states(&last_line(&stock.text()), &ours.json())?,
        _ => {}
    }
    compare_headers(exchange, ours)
}

fn compare_headers(exchange: &Exchange, ours: &Reply) -> Result<(), String> {
    if ours.status != exchange.stock.status {
        return Ok(());
    }
    for name in ["www-authenticate", "x-content-type-options"] {
        if ours.header(name) != exchange.stock.header(name) {
            return Err(format!("header {name}: {:?}", ours.header(name)));
        }
    }
    let json = exchange.stock.status == 200 && serde_json::from_slice::<Json>(&ours.body).is_ok();
    // README 8.16: a JSON answer says so; stock leaves it to be sniffed as text.
    let wanted = if json { Some("application/json") } else { exchange.stock.header("content-type") };
    if ours.header("content-type") != wanted {
        return Err(format!("content type {:?} instead of {wanted:?}", ours.header("content-type")));
    }
    Ok(())
}

fn last_line(text: &str) -> Json {
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

/// A set of configs in one order.
fn sorted(set: &Json) -> Json {
    let mut set = set.clone();
    if let Some(configs) = set["configs"].as_array_mut() {
        configs.sort_by_key(ToString::to_string);
    }
    set
}

fn compare_states(stock: &Json, ours: &Json) -> Result<(), String> {
    for key in ["not_running", "warmup"] {
        if stock[key] != ours[key] {
            return Err(format!("state {key}: {}", ours[key]));
        }
    }
    let names = |state: &Json| {
        let nodes = state["nodes"].as_array().cloned().unwrap_or_default();
        let mut names: Vec<_> = nodes.iter().map(|node| node["name"].to_string()).collect();
        names.sort();
        (state["nodes"].is_null(), names)
    };
    if names(stock) != names(ours) {
        return Err(format!("state nodes: {}", ours["nodes"]));
    }
    let dangling = |state: &Json| {
        let mut configs: Vec<_> = state["dangling"].as_array().into_iter().flatten().map(ToString::to_string).collect();
        configs.sort();
        configs
    };
    if dangling(stock) == dangling(ours) { Ok(()) } else { Err(format!("state dangling: {}", ours["dangling"])) }
}
