//! Who may call which path. Decided before any route is looked up.
//!
//! Source: cluster-agent-kubernetes 1.2 (authority).

use actix_http::StatusCode;
use actix_http::header::{self, HeaderValue};
use subtle::ConstantTimeEq as _;

use crate::api::reply::{self, Reply};
use crate::config::Secret;
use crate::config::tokens::MIN_LENGTH;

/// Longest part of a refused scheme that is repeated to the caller.
///
/// Units: bytes.
const ECHOED_SCHEME: usize = 64;

/// Which token opens a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathClass {
    /// Used by agents, runners and other replicas: the cluster token only.
    External,
    /// Used by commands: the local token or the cluster token.
    Internal,
    /// The API of one machine: the local token only.
    Local,
    /// Open to everybody.
    Open,
}

/// The tokens a server accepts. A class whose token is missing is closed.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    /// Shared with agents and runners.
    pub cluster: Option<Secret<String>>,
    /// File token of this machine or pod.
    pub local: Option<Secret<String>>,
}

/// Why a call is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No `Authorization` header, or an empty one.
    NoToken,
    /// The first word of the header is not `Bearer`.
    Scheme(String),
    /// The token is wrong, or the header is not two words separated by one space.
    Invalid,
}

impl Refusal {
    /// The answer, with the exact texts and headers of stock servers.
    pub fn reply(&self) -> Reply {
        match self {
            Self::NoToken => challenge("no session token provided"),
            Self::Scheme(scheme) => challenge(&format!("unsupported authorization scheme: {scheme}")),
            Self::Invalid => reply::text(StatusCode::FORBIDDEN, "invalid session token"),
        }
    }
}

fn challenge(text: &str) -> Reply {
    let realm = HeaderValue::from_static("Bearer realm=\"Datadog Agent\"");
    reply::with_header(reply::text(StatusCode::UNAUTHORIZED, text), header::WWW_AUTHENTICATE, realm)
}

/// Class of a path of the cluster role, served or not.
///
/// The table of cluster-agent-kubernetes 1.2. It sees the decoded path without the query, so an argument cannot change the class.
pub fn cluster_class(segments: &[&str]) -> PathClass {
    match segments {
        ["version"]
        | ["api", "v1", "languagedetection"]
        | ["api", "v2", "series"]
        | ["api", "v1", "clusterchecks" | "endpointschecks", _, _]
        | ["api", "v1", "metadata", _, _, _]
        | ["api", "v1", "metadata", "namespace", _]
        | ["api", "v1", "annotations" | "uid" | "info", "node", _]
        | ["api", "v1", "tags", "node" | "namespace" | "pod", _]
        | ["api", "v1", "tags", "pod", _, _, _]
        | ["api", "v1", "tags", "cf", "apps", _]
        | ["api", "v1", "cluster", "id" | "eks-identity"]
        | ["api", "v1", "cf", "apps" | "orgs" | "org_quotas"]
        | ["api", "v1", "cf", "apps", _]
        | ["api", "v1", "muster", "replica", ..] => PathClass::External,
        _ => PathClass::Internal,
    }
}

/// Decides whether a call with this `Authorization` header may see a path of this class.
///
/// Errors: [`Refusal`].
pub fn authorize(class: PathClass, header: Option<&[u8]>, tokens: &Tokens) -> Result<(), Refusal> {
    if class == PathClass::Open {
        return Ok(());
    }
    let header = match header {
        None | Some([]) => return Err(Refusal::NoToken),
        Some(header) => header,
    };
    let mut words = header.split(|byte| *byte == b' ');
    let scheme = words.next().unwrap_or_default();
    if scheme != b"Bearer" {
        let shown = scheme.get(..ECHOED_SCHEME).unwrap_or(scheme);
        return Err(Refusal::Scheme(String::from_utf8_lossy(shown).into_owned()));
    }
    let (Some(presented), None) = (words.next(), words.next()) else { return Err(Refusal::Invalid) };
    let cluster = matches(tokens.cluster.as_ref(), presented);
    let local = matches(tokens.local.as_ref(), presented);
    let accepted = match class {
        PathClass::External => cluster,
        PathClass::Local => local,
        PathClass::Internal => cluster | local,
        PathClass::Open => true,
    };
    if accepted { Ok(()) } else { Err(Refusal::Invalid) }
}

/// Takes the same time wherever the two differ. A token that is too short opens nothing, whoever configured it.
fn matches(token: Option<&Secret<String>>, presented: &[u8]) -> bool {
    let Some(token) = token.map(|token| token.expose().as_bytes()).filter(|token| token.len() >= MIN_LENGTH) else { return false };
    token.ct_eq(presented).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::path::Path;

    const CLUSTER: &str = "0123456789abcdef0123456789abcdef";
    const LOCAL: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    fn tokens() -> Tokens {
        Tokens { cluster: Some(Secret::new(CLUSTER.to_owned())), local: Some(Secret::new(LOCAL.to_owned())) }
    }

    fn class(path: &str) -> PathClass {
        cluster_class(Path::parse(path).unwrap().segments().as_slice())
    }

    fn decide(class: PathClass, header: &str) -> Result<(), Refusal> {
        authorize(class, Some(header.as_bytes()), &tokens())
    }

    #[test]
    fn ca_h1_h2_h3_the_three_refusals() {
        assert_eq!(authorize(PathClass::External, None, &tokens()), Err(Refusal::NoToken));
        assert_eq!(decide(PathClass::External, ""), Err(Refusal::NoToken));
        assert_eq!(decide(PathClass::External, "Basic abc"), Err(Refusal::Scheme("Basic".to_owned())));
        assert_eq!(decide(PathClass::External, &format!("bearer {CLUSTER}")), Err(Refusal::Scheme("bearer".to_owned())));
        assert_eq!(decide(PathClass::External, "Bearer wrong"), Err(Refusal::Invalid));
        assert_eq!(decide(PathClass::External, "Bearer"), Err(Refusal::Invalid));
        assert_eq!(decide(PathClass::External, &format!("Bearer {CLUSTER} x")), Err(Refusal::Invalid));
    }

    #[test]
    fn ca_h4_h5_h7_which_token_opens_which_class() {
        let cluster = format!("Bearer {CLUSTER}");
        let local = format!("Bearer {LOCAL}");
        assert!(decide(PathClass::External, &cluster).is_ok());
        assert!(decide(PathClass::External, &local).is_err());
        assert!(decide(PathClass::Internal, &cluster).is_ok());
        assert!(decide(PathClass::Internal, &local).is_ok());
        assert!(decide(PathClass::Local, &cluster).is_err());
        assert!(decide(PathClass::Local, &local).is_ok());
        assert!(authorize(PathClass::Open, None, &tokens()).is_ok());
    }

    #[test]
    fn ca_h6_two_spaces_are_three_words() {
        assert_eq!(decide(PathClass::External, &format!("Bearer  {CLUSTER}")), Err(Refusal::Invalid));
    }

    #[test]
    fn a_class_without_a_token_is_closed_even_to_an_empty_token() {
        let empty = Tokens { cluster: Some(Secret::new(String::new())), local: Some(Secret::new(String::new())) };
        for tokens in [Tokens::default(), empty] {
            for header in ["Bearer ", "Bearer"] {
                assert_eq!(authorize(PathClass::External, Some(header.as_bytes()), &tokens), Err(Refusal::Invalid));
                assert_eq!(authorize(PathClass::Internal, Some(header.as_bytes()), &tokens), Err(Refusal::Invalid));
            }
        }
    }

    #[test]
    fn ca_h10_h11_classes_are_decided_on_the_path_alone() {
        assert_eq!(class("/api/v1/annotations/node/n1"), PathClass::External);
        assert_eq!(class("/api/v1/tags/pod"), PathClass::Internal);
        assert_eq!(class("/api/v1/tags/pod/n1"), PathClass::External);
        assert_eq!(class("/api/v1/tags/pod/n1/default"), PathClass::Internal);
        assert_eq!(class("/api/v1/tags/pod/n1/default/p"), PathClass::External);
        assert_eq!(class("/api/v1/clusterchecks"), PathClass::Internal);
        assert_eq!(class("/api/v1/clusterchecks/rebalance"), PathClass::Internal);
        assert_eq!(class("/api/v1/clusterchecks/isolate/check/a:1"), PathClass::Internal);
        assert_eq!(class("/api/v1/clusterchecks/status/n1"), PathClass::External);
        assert_eq!(class("/api/v1/endpointschecks/configs"), PathClass::Internal);
        assert_eq!(class("/api/v1/endpointschecks/configs/n1"), PathClass::External);
        assert_eq!(class("/api/v1/muster/replica/deltas"), PathClass::External);
        assert_eq!(class("/api/v1/muster/journal"), PathClass::Internal);
        assert_eq!(class("/nope"), PathClass::Internal);
    }

    #[test]
    fn a_long_scheme_is_not_echoed_in_full() {
        let Err(Refusal::Scheme(shown)) = decide(PathClass::External, &"x".repeat(10_000)) else { panic!("accepted") };
        assert_eq!(shown.len(), ECHOED_SCHEME);
    }
}
