//! Reads recordings and turns their exchanges into bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value as Json;

use crate::client::{Connection, Reply};
use crate::site::{CLUSTER, LOCAL};

/// One request with the answer of the stock server.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// File and line, for messages.
    pub place: String,
    /// Connection of the recording; 0 where it does not say.
    pub connection: u64,
    pub method: String,
    pub path: String,
    /// All request headers in order, tokens filled in.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub stock: Reply,
}

impl Exchange {
    /// The path without its query.
    pub fn bare_path(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }

    pub fn authorization(&self) -> Option<&str> {
        self.headers.iter().find(|(name, _)| name == "Authorization").map(|(_, value)| value.as_str())
    }

    pub fn has_cluster_token(&self) -> bool {
        self.authorization() == Some(&format!("Bearer {CLUSTER}"))
    }

    pub fn has_local_token(&self) -> bool {
        self.authorization() == Some(&format!("Bearer {LOCAL}"))
    }

    pub async fn replay(&self, connection: &mut Connection) -> Reply {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.path).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend(format!("{name}: {value}\r\n").bytes());
        }
        bytes.extend(b"\r\n");
        bytes.extend(&self.body);
        connection.send(&bytes).await;
        connection.reply(self.method != "HEAD").await.unwrap_or_else(|| panic!("{}: no answer", self.place))
    }
}

/// The lines of a recording.
fn lines(file: &str) -> Vec<(String, Json)> {
    let path = format!("{}/tests/data/recordings/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.lines().enumerate().map(|(index, line)| (format!("{file}:{}", index + 1), serde_json::from_str(line).unwrap())).collect()
}

/// The exchanges of a recording, in order. Lines about connections, HTTP/2 frames and broken exchanges are left out.
pub fn exchanges(file: &str) -> Vec<Exchange> {
    lines(file).into_iter().filter(|(_, line)| line["method"].is_string()).map(|(place, line)| exchange(place, &line)).collect()
}

/// Protocols offered on the connections of a recording.
pub fn offered_protocols(file: &str) -> Vec<Option<String>> {
    let opened = lines(file).into_iter().filter(|(_, line)| line["ev"] == "open");
    opened.map(|(_, line)| line["alpn"].as_str().map(str::to_owned)).collect()
}

fn exchange(place: String, line: &Json) -> Exchange {
    let body = bytes(&line["req_body"]);
    let mut headers: Vec<(String, String)> = match &line["req_headers"] {
        Json::Array(pairs) => pairs.iter().map(|pair| (text(&pair[0]), text(&pair[1]))).collect(),
        Json::Object(map) => map.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
        other => panic!("{place}: {other}"),
    };
    let named = |headers: &[(String, String)], wanted: &str| headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
    if !named(&headers, "host") {
        headers.insert(0, ("Host".to_owned(), "localhost".to_owned()));
    }
    if !line["req_body"].is_null() && line["method"] != "GET" && !named(&headers, "content-length") {
        headers.push(("Content-Length".to_owned(), body.len().to_string()));
    }
    match line["auth"].as_str() {
        None | Some("none") => {}
        Some("cluster") => headers.push(("Authorization".to_owned(), format!("Bearer {CLUSTER}"))),
        Some("local") => headers.push(("Authorization".to_owned(), format!("Bearer {LOCAL}"))),
        Some(raw) => headers.push(("Authorization".to_owned(), raw.strip_prefix("raw:").unwrap().to_owned())),
    }
    for (_, value) in &mut headers {
        *value = value.replace("<cluster-token>", CLUSTER).replace("<local-token>", LOCAL);
    }
    let stock = Reply {
        status: line["status"].as_u64().unwrap().try_into().unwrap(),
        headers: line["resp_headers"].as_array().into_iter().flatten().map(|pair| (text(&pair[0]), text(&pair[1]))).collect(),
        body: bytes(&line["resp_body"]),
    };
    Exchange {
        place,
        connection: line["conn"].as_u64().unwrap_or_default(),
        method: text(&line["method"]),
        path: text(&line["path"]),
        headers,
        body,
        stock,
    }
}

fn text(value: &Json) -> String {
    value.as_str().unwrap().to_owned()
}

fn bytes(body: &Json) -> Vec<u8> {
    match body {
        Json::String(text) => text.clone().into_bytes(),
        Json::Object(map) => match (map.get("text"), map.get("b64")) {
            (Some(text), _) => text.as_str().unwrap().as_bytes().to_vec(),
            (None, Some(encoded)) => BASE64.decode(encoded.as_str().unwrap()).unwrap(),
            (None, None) => Vec::new(),
        },
        _ => Vec::new(),
    }
}
