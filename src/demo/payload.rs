//! What is in the payloads of the `datadog` output, as far as the demo counts it.

use std::collections::BTreeMap;
use std::io::{self, Read as _};

use serde::Deserialize;

/// Largest decompressed payload it reads.
const MAX_BODY_BYTES: u64 = 16 * 1024 * 1024;

/// One report of a check: a service check with the time of the run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Report {
    /// Seconds since the Unix epoch.
    pub timestamp: i64,
    /// Tags, `key:value` or a bare word.
    #[serde(default)]
    pub tags: Option<Vec<String>>,
}

/// What tells an event of the demo from all others. A process starts at most once in a second, so its start has one name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct EventId {
    /// Who made it.
    pub host: String,
    /// When. Units: seconds since the Unix epoch.
    #[serde(rename = "timestamp")]
    pub at: i64,
    /// Its type, for example `Agent Startup`.
    #[serde(rename = "event_type", default)]
    pub kind: String,
}

#[derive(Deserialize)]
struct Events {
    /// By source.
    events: BTreeMap<String, Vec<EventId>>,
}

/// Reads the reports of a payload of `/api/v1/check_run`.
///
/// Errors: it cannot be decompressed, or is none.
pub fn reports(encoding: &str, body: &[u8]) -> io::Result<Vec<Report>> {
    Ok(serde_json::from_slice(&plain(encoding, body)?)?)
}

/// Reads the events of a payload of `/intake/`.
///
/// Errors: it cannot be decompressed, or is none.
pub fn events(encoding: &str, body: &[u8]) -> io::Result<Vec<EventId>> {
    let Events { events } = serde_json::from_slice(&plain(encoding, body)?)?;
    Ok(events.into_values().flatten().collect())
}

fn plain(encoding: &str, body: &[u8]) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    match encoding {
        "zstd" => zstd::stream::read::Decoder::new(body)?.take(MAX_BODY_BYTES).read_to_end(&mut plain)?,
        "deflate" => flate2::read::ZlibDecoder::new(body).take(MAX_BODY_BYTES).read_to_end(&mut plain)?,
        "gzip" => flate2::read::GzDecoder::new(body).take(MAX_BODY_BYTES).read_to_end(&mut plain)?,
        _ => body.take(MAX_BODY_BYTES).read_to_end(&mut plain)?,
    };
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_all_sources_are_read() {
        let body = br#"{"apiKey":"","events":{"System":[{"msg_title":"","timestamp":7,"host":"a","event_type":"Agent Startup"}],
            "api":[{"timestamp":8,"host":"b"}]},"internalHostname":""}"#;
        let id = |host: &str, at, kind: &str| EventId { host: host.into(), at, kind: kind.into() };
        let expected = [id("a", 7, "Agent Startup"), id("b", 8, "")];
        assert_eq!(events("", body).unwrap(), expected);
        let compressed = zstd::encode_all(body.as_slice(), 1).unwrap();
        assert_eq!(events("zstd", &compressed).unwrap(), expected);
        assert!(events("zstd", body).is_err() && events("", b"[]").is_err());
    }

    #[test]
    fn reports_without_tags_are_reports() {
        let expected = [Report { timestamp: 7, tags: None }, Report { timestamp: 8, tags: Some(vec!["a:b".into()]) }];
        assert_eq!(reports("", br#"[{"timestamp":7,"tags":null},{"timestamp":8,"tags":["a:b"]}]"#).unwrap(), expected);
    }
}
