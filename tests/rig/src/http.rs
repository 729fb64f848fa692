//! The API server by path and JSON, without types: for tests that look at what a client with types has done.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, Response};
use serde_json::Value;

use crate::error::RigError;
use crate::identity::Identity;

/// Longest wait for an answer; watches have none.
const ANSWER: Duration = Duration::from_secs(60);

/// How a patch is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchKind {
    /// JSON merge patch.
    Merge,
    /// Strategic merge patch; not for custom resources.
    Strategic,
    /// JSON patch: a list of operations.
    Json,
}

impl PatchKind {
    fn content_type(self) -> &'static str {
        match self {
            Self::Merge => "application/merge-patch+json",
            Self::Strategic => "application/strategic-merge-patch+json",
            Self::Json => "application/json-patch+json",
        }
    }
}

impl Identity {
    /// Reads the object or list at `path`, for example `/api/v1/namespaces/default/pods?limit=5`.
    pub async fn get(&self, path: &str) -> Result<Value, RigError> {
        self.request("GET", path, None).await
    }

    /// Creates `object` in the collection at `path`, or posts it to a subresource; returns what the server made of it.
    pub async fn create(&self, path: &str, object: &Value) -> Result<Value, RigError> {
        self.request("POST", path, Some(("application/json", object))).await
    }

    /// Replaces the object at `path`; 409 when its `resourceVersion` is old.
    pub async fn replace(&self, path: &str, object: &Value) -> Result<Value, RigError> {
        self.request("PUT", path, Some(("application/json", object))).await
    }

    /// Patches the object at `path`, or its status when the path ends with `/status`.
    pub async fn patch(&self, path: &str, kind: PatchKind, patch: &Value) -> Result<Value, RigError> {
        self.request("PATCH", path, Some((kind.content_type(), patch))).await
    }

    /// Deletes the object or collection at `path`.
    pub async fn delete(&self, path: &str) -> Result<Value, RigError> {
        self.request("DELETE", path, None).await
    }

    /// Opens a watch of the collection at `path` (without query) from `resource_version` on.
    pub async fn watch(&self, path: &str, resource_version: &str) -> Result<Watch, RigError> {
        let path = format!("{path}?watch=true&resourceVersion={resource_version}");
        let failed = |source| RigError::Request { verb: "GET", path: path.clone(), source };
        let response = self.client().await?.get(format!("{}{path}", self.url())).bearer_auth(self.token()).send().await.map_err(failed)?;
        if !response.status().is_success() {
            return Err(refusal("GET", path, response).await);
        }
        Ok(Watch { path, response, unread: Vec::new() })
    }

    async fn request(&self, verb: &'static str, path: &str, body: Option<(&'static str, &Value)>) -> Result<Value, RigError> {
        let method = match verb {
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            "PATCH" => Method::PATCH,
            "DELETE" => Method::DELETE,
            _ => Method::GET,
        };
        let mut request = self.client().await?.request(method, format!("{}{path}", self.url())).bearer_auth(self.token()).timeout(ANSWER);
        if let Some((kind, body)) = body {
            request = request.header(CONTENT_TYPE, kind).body(body.to_string());
        }
        let response = request.send().await.map_err(|source| RigError::Request { verb, path: path.to_owned(), source })?;
        answer(verb, path, response).await
    }
}

/// The object of an answer; health routes answer with a word, which becomes a string.
pub(crate) async fn answer(verb: &'static str, path: &str, response: Response) -> Result<Value, RigError> {
    let path = path.to_owned();
    if !response.status().is_success() {
        return Err(refusal(verb, path, response).await);
    }
    let text = match response.text().await {
        Ok(text) => text,
        Err(source) => return Err(RigError::Request { verb, path, source }),
    };
    match serde_json::from_str(&text) {
        Ok(object) => Ok(object),
        Err(_) if !text.starts_with('{') => Ok(Value::String(text)),
        Err(_) => Err(RigError::Answer { verb, path, text }),
    }
}

/// What the Status object of a refusal says, or its text.
async fn refusal(verb: &'static str, path: String, response: Response) -> RigError {
    let status = response.status().as_u16();
    // Without a body the status still says enough.
    let text = response.text().await.unwrap_or_default();
    let object = serde_json::from_str::<Value>(&text).unwrap_or_default();
    let message = object["message"].as_str().unwrap_or(&text).to_owned();
    let reason = object["reason"].as_str().unwrap_or_default().to_owned();
    RigError::Refused { verb, path, status, reason, message }
}

/// An open watch.
#[derive(Debug)]
pub struct Watch {
    path: String,
    response: Response,
    unread: Vec<u8>,
}

impl Watch {
    /// The next event with its `type` and `object`; none when the server ended the watch.
    ///
    /// # Errors
    ///
    /// The connection broke, or a line is not JSON.
    pub async fn next(&mut self) -> Result<Option<Value>, RigError> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                let read = serde_json::from_slice(&line);
                return read.map(Some).map_err(|_| RigError::Answer {
                    verb: "GET",
                    path: self.path.clone(),
                    text: String::from_utf8_lossy(&line).into_owned(),
                });
            }
            match self.response.chunk().await {
                Ok(Some(chunk)) => self.unread.extend_from_slice(&chunk),
                Ok(None) => return Ok(None),
                Err(source) => return Err(RigError::Request { verb: "GET", path: self.path.clone(), source }),
            }
        }
    }
}
