//! `secret-helper read`: resolves secrets for a program that asks on standard input. Source: cluster-agent-kubernetes 7.9, 8.1.
//!
//! It is run as `secret_backend_command`, by ours and by stock agents. No value and no handle is logged.

mod file;
mod kubernetes;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use kube::Client;
use serde::{Deserialize, Serialize};

use self::kubernetes::SecretObjects;
use super::arguments::SecretReadOptions;
use super::context::Context;
use super::failure::{CommandResult, Failure};

/// Largest request that is read, bytes.
const MAX_REQUEST_BYTES: u64 = 1024 * 1024;

/// What the program asks.
#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    version: String,
    #[serde(default)]
    secrets: Vec<String>,
}

/// What it is told about one handle.
#[derive(Serialize)]
struct Resolved {
    value: Option<String>,
    error: Option<String>,
}

impl From<Result<String, String>> for Resolved {
    fn from(found: Result<String, String>) -> Self {
        match found {
            Ok(value) => Self { value: Some(value), error: None },
            Err(error) => Self { value: None, error: Some(error) },
        }
    }
}

pub(super) async fn read(context: &Context, options: &SecretReadOptions) -> CommandResult {
    let mut request = Vec::new();
    let taken = std::io::stdin().take(MAX_REQUEST_BYTES + 1).read_to_end(&mut request);
    taken.map_err(|error| Failure::new(format!("read the request from standard input: {error}")))?;
    answer(&request, options, async || context.kube_client().await).await
}

/// `connect` is called when a handle needs the API server, and once.
async fn answer(request: &[u8], options: &SecretReadOptions, connect: impl AsyncFnOnce() -> Result<Client, String>) -> CommandResult {
    let handles = parse(request)?;
    // A folder that is named by nothing (`readsecret.sh` without an argument) is none.
    let folder = options.folder.as_deref().filter(|folder| !folder.as_os_str().is_empty());
    let answers = match (folder, options.with_provider_prefixes) {
        (folder, true) => with_prefixes(handles, folder, connect).await,
        (Some(folder), false) => handles.into_iter().map(|handle| resolve(handle, |handle| below(folder, handle))).collect(),
        (None, false) => return Err(Failure::new("which folder holds the secrets? Give it, or --with-provider-prefixes")),
    };
    serde_json::to_string(&answers).map(|text| text + "\n").map_err(|error| Failure::new(format!("write the answer: {error}")))
}

/// Errors: the request is none, or of another version. Its text is not repeated: it may be anything.
fn parse(request: &[u8]) -> Result<Vec<String>, Failure> {
    if request.len() as u64 > MAX_REQUEST_BYTES {
        return Err(Failure::new(format!("the request is larger than {MAX_REQUEST_BYTES} bytes")));
    }
    let request: Request = serde_json::from_slice(request).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        Failure::new(format!("the request on standard input is not {{\"version\":\"1.0\",\"secrets\":[\"handle\"]}}: {place}"))
    })?;
    if request.version.split('.').next() != Some("1") {
        return Err(Failure::new(format!("incompatible protocol version {:?}; allowed: 1.x", request.version)));
    }
    if request.secrets.is_empty() {
        return Err(Failure::new("no secrets in the request"));
    }
    Ok(request.secrets)
}

fn resolve(handle: String, find: impl Fn(&str) -> Result<String, String>) -> (String, Resolved) {
    let found = find(&handle).into();
    (handle, found)
}

fn below(folder: &Path, handle: &str) -> Result<String, String> {
    file::read_below(folder, handle).map_err(|error| error.to_string())
}

/// `file@<path>` and `k8s_secret@<namespace>/<name>/<key>`. With a folder, files are looked for below it.
async fn with_prefixes(
    handles: Vec<String>,
    folder: Option<&Path>,
    connect: impl AsyncFnOnce() -> Result<Client, String>,
) -> BTreeMap<String, Resolved> {
    let place_of = |handle: &str| handle.strip_prefix("k8s_secret@").map(str::to_owned);
    let client = if handles.iter().any(|handle| place_of(handle).is_some()) { Some(connect().await) } else { None };
    let mut objects = SecretObjects::default();
    let mut answers = BTreeMap::new();
    for handle in handles {
        let found = match (place_of(&handle), handle.strip_prefix("file@"), &client) {
            (Some(place), _, Some(Ok(client))) => objects.read(client, &place).await,
            (Some(_), _, Some(Err(text))) => Err(text.clone()),
            (_, Some(path), _) => match folder {
                Some(folder) => below(folder, path),
                None => file::read_at(path).map_err(|error| error.to_string()),
            },
            _ => Err("unknown provider; allowed: file@<path>, k8s_secret@<namespace>/<name>/<key>".to_owned()),
        };
        answers.insert(handle, found.into());
    }
    answers
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::{Value as Json, json};

    use super::*;
    use crate::kube::testing::{Reply, Script};

    fn ask(handles: &[&str]) -> Vec<u8> {
        json!({"version": "1.0", "secrets": handles, "type": "", "config": {}}).to_string().into_bytes()
    }

    fn options(folder: Option<&Path>, with_provider_prefixes: bool) -> SecretReadOptions {
        SecretReadOptions { folder: folder.map(PathBuf::from), with_provider_prefixes }
    }

    async fn nowhere() -> Result<Client, String> {
        Err("no cluster here".to_owned())
    }

    async fn answered(request: &[u8], options: &SecretReadOptions, script: &Script) -> Json {
        let client = script.client();
        serde_json::from_str(&answer(request, options, async || Ok(client)).await.unwrap()).unwrap()
    }

    #[tokio::test]
    async fn one_bad_handle_does_not_spoil_the_others() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("password"), "hunter2").unwrap();
        let said = answered(&ask(&["password", "missing", "password"]), &options(Some(folder.path()), false), &Script::new()).await;
        assert_eq!(
            said,
            json!({"password": {"value": "hunter2", "error": null}, "missing": {"value": null, "error": "secret does not exist"}})
        );
    }

    #[tokio::test]
    async fn without_prefixes_every_handle_is_a_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file@x"), "plain").unwrap();
        let said = answered(&ask(&["file@x", "k8s_secret@a/b/c"]), &options(Some(folder.path()), false), &Script::new()).await;
        assert_eq!(said["file@x"]["value"], "plain");
        assert_eq!(said["k8s_secret@a/b/c"]["error"], "secret does not exist");
    }

    #[tokio::test]
    async fn prefixes_say_where_a_secret_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "hunter2").unwrap();
        let file = format!("file@{}", path.display());
        let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "data": {"user": "YWRtaW4="}});
        let script = Script::new().on("GET", "/api/v1/namespaces/ns/secrets/db", Reply::json(200, &object));
        let handles = [&*file, "k8s_secret@ns/db/user", "vault@x", "password"];
        let said = answered(&ask(&handles), &options(None, true), &script).await;
        assert_eq!(said[&file]["value"], "hunter2");
        assert_eq!(said["k8s_secret@ns/db/user"], json!({"value": "admin", "error": null}));
        for handle in ["vault@x", "password"] {
            assert!(said[handle]["error"].as_str().unwrap().starts_with("unknown provider; allowed: file@"), "{said}");
        }
        script.finish();
        let said = answered(&ask(&["file@password", &file]), &options(Some(folder.path()), true), &Script::new()).await;
        assert_eq!(said["file@password"]["value"], "hunter2");
        assert!(said[&file]["error"].as_str().unwrap().starts_with("the handle must be the path of a file below "), "{said}");
    }

    #[tokio::test]
    async fn files_need_no_cluster_and_objects_say_what_is_wrong_with_it() {
        let said = answer(&ask(&["file@/none", "k8s_secret@a/b/c"]), &options(None, true), nowhere).await.unwrap();
        let said: Json = serde_json::from_str(&said).unwrap();
        assert_eq!(said["file@/none"]["error"], "secret does not exist");
        assert_eq!(said["k8s_secret@a/b/c"]["error"], "no cluster here");
        let connect = async || -> Result<Client, String> { panic!("nobody asked for an object") };
        answer(&ask(&["file@/none"]), &options(None, true), connect).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_no_request_is_refused_without_repeating_it() {
        let folder = options(Some(Path::new("/nowhere")), false);
        for (request, expected) in [
            (&b"hunter2"[..], "the request on standard input is not {\"version\":\"1.0\",\"secrets\":[\"handle\"]}: line 1, column 1"),
            (br#"{"version":"1.0","secrets":["hunter2",1]}"#, "the request on standard input is not "),
            (br#"{"version":"2.0","secrets":["a"]}"#, "incompatible protocol version \"2.0\"; allowed: 1.x"),
            (br#"{"secrets":["a"]}"#, "incompatible protocol version \"\"; allowed: 1.x"),
            (br#"{"version":"1.0","secrets":[]}"#, "no secrets in the request"),
        ] {
            let failure = answer(request, &folder, nowhere).await.unwrap_err();
            assert!(failure.message.starts_with(expected) && !failure.message.contains("hunter2"), "{}", failure.message);
            assert_eq!((failure.output.as_str(), failure.code), ("", 1));
        }
        for folder in [None, Some(Path::new(""))] {
            let failure = answer(&ask(&["a"]), &options(folder, false), nowhere).await.unwrap_err();
            assert!(failure.message.starts_with("which folder holds the secrets?"), "{}", failure.message);
        }
        answer(br#"{"version":"1.1","secrets":["a"]}"#, &folder, nowhere).await.unwrap();
    }
}
