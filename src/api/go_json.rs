//! JSON as a Go decoder reads it: leniently.
//!
//! Keys match without regard to case, unknown keys are skipped, `null` leaves the default, and whatever follows the first value is
//! not looked at. Wrong types are errors. Source: cluster-checks 2 (request quirks) and 4.1.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use muster_actors::domain::node::CheckCompatibility;
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

/// What an agent posts. Early 6.x agents also send `events`, which are skipped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeStatus {
    /// Version of its set; 0 at start, -1 = heartbeat only.
    pub last_change: i64,
    /// 1 = runner, 2 = node agent, 0 or absent = older than about 7.68.
    pub node_type: u8,
    /// Names it runs and refuses; a developer option of upstream, absent from released agents.
    pub compatibility: CheckCompatibility,
    /// Whether it honours grants; only ours says so.
    pub honours_grants: bool,
}

/// A body that is not a node status; the text says what was found and what is expected.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// No value at all.
    #[error("EOF")]
    Empty,
    /// The value ends too early.
    #[error("unexpected EOF")]
    Truncated,
    /// Not JSON, or JSON of another type.
    #[error("decode node status: {0}")]
    Value(#[source] serde_json::Error),
}

impl NodeStatus {
    /// Reads the first JSON value of a body.
    ///
    /// Errors: [`DecodeError`].
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        if body.trim_ascii_start().is_empty() {
            return Err(DecodeError::Empty);
        }
        let mut decoder = serde_json::Deserializer::from_slice(body);
        match Option::<Self>::deserialize(&mut decoder) {
            Ok(status) => Ok(status.unwrap_or_default()),
            Err(error) if error.is_eof() => Err(DecodeError::Truncated),
            Err(error) => Err(DecodeError::Value(error)),
        }
    }
}

impl<'de> Deserialize<'de> for NodeStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(StatusVisitor)
    }
}

struct StatusVisitor;

impl<'de> Visitor<'de> for StatusVisitor {
    type Value = NodeStatus;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object with last_change (integer) and node_type (0 to 255)")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NodeStatus, A::Error> {
        let mut status = NodeStatus::default();
        while let Some(key) = map.next_key::<Key>()? {
            match key {
                Key::LastChange => status.last_change = map.next_value::<Option<i64>>()?.unwrap_or(status.last_change),
                Key::NodeType => status.node_type = map.next_value::<Option<u8>>()?.unwrap_or(status.node_type),
                Key::Compatibility => status.compatibility = compatibility(map.next_value()?),
                Key::Grants => status.honours_grants = map.next_value::<Option<bool>>()?.unwrap_or(status.honours_grants),
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(status)
    }
}

/// Lists of names by key; unknown keys must hold lists of names too, because nobody sends any.
type Names = BTreeMap<String, Option<BTreeSet<String>>>;

fn compatibility(lists: Option<Names>) -> CheckCompatibility {
    let mut lists = lists.unwrap_or_default();
    let mut take = |wanted: &str| {
        let key = lists.keys().find(|key| key.eq_ignore_ascii_case(wanted)).cloned();
        key.and_then(|key| lists.remove(&key)).flatten().unwrap_or_default()
    };
    CheckCompatibility { include: take("include"), exclude: take("exclude") }
}

enum Key {
    LastChange,
    NodeType,
    Compatibility,
    Grants,
    Other,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // As bytes: a key that is not UTF-8 is an unknown key, not an error.
        deserializer.deserialize_bytes(KeyVisitor)
    }
}

struct KeyVisitor;

impl Visitor<'_> for KeyVisitor {
    type Value = Key;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a key")
    }

    fn visit_bytes<E: de::Error>(self, key: &[u8]) -> Result<Key, E> {
        Ok(if key.eq_ignore_ascii_case(b"last_change") {
            Key::LastChange
        } else if key.eq_ignore_ascii_case(b"node_type") {
            Key::NodeType
        } else if key.eq_ignore_ascii_case(b"check_compatibility") {
            Key::Compatibility
        } else if key == b"muster_grants" {
            Key::Grants
        } else {
            Key::Other
        })
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<Key, E> {
        self.visit_bytes(key.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(i64, u8)> {
        NodeStatus::decode(text.as_bytes()).ok().map(|status| (status.last_change, status.node_type))
    }

    #[test]
    fn only_agents_that_say_so_honour_grants() {
        let honours = |text: &str| NodeStatus::decode(text.as_bytes()).unwrap().honours_grants;
        assert!(honours(r#"{"last_change":7,"node_type":1,"muster_grants":true}"#));
        for other in [r#"{"last_change":7}"#, r#"{"muster_grants":false}"#, r#"{"muster_grants":null}"#] {
            assert!(!honours(other));
        }
    }

    #[test]
    fn bodies_of_stock_agents_are_read() {
        assert_eq!(read(r#"{"last_change":1730000000123456789,"node_type":1}"#), Some((1_730_000_000_123_456_789, 1)));
        assert_eq!(read(r#"{"last_change":1560000000}"#), Some((1_560_000_000, 0)));
        assert_eq!(read(r#"{"last_change":-1,"node_type":2}"#), Some((-1, 2)));
        assert_eq!(read(r#"{"last_change":7,"events":[{"a":1}]}"#), Some((7, 0)));
        assert_eq!(read(r#"{"last_change":7,"node_type":1,"check_compatibility":{"include":["a"]}}"#), Some((7, 1)));
    }

    #[test]
    fn cc_t20_lenient_and_strict_in_the_right_places() {
        assert_eq!(read(r#"{"LAST_CHANGE":3,"x":1}"#), Some((3, 0)));
        assert_eq!(read("null"), Some((0, 0)));
        assert_eq!(read("{}"), Some((0, 0)));
        assert_eq!(read(r#"{"last_change":null}"#), Some((0, 0)));
        assert_eq!(read(r#"{"last_change":0} trailing"#), Some((0, 0)));
        assert_eq!(read(r#"{"last_change":1,"last_change":2}"#), Some((2, 0)), "the last one wins");
        assert_eq!(read(r#"{"node_type":255}"#), Some((0, 255)));
        for wrong in [
            r#"{"last_change":"1"}"#,
            r#"{"last_change":1.5}"#,
            r#"{"last_change":1.0}"#,
            r#"{"last_change":9223372036854775808}"#,
            r#"{"last_change":true}"#,
            r#"{"node_type":256}"#,
            r#"{"node_type":-1}"#,
            r#""x""#,
            "[]",
            "1",
            "true",
            "{",
            "nul",
            "",
            "  ",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn declared_names_are_read() {
        let declared = |text: &str| NodeStatus::decode(text.as_bytes()).unwrap().compatibility;
        let found = declared(r#"{"check_compatibility":{"include":["postgres","redisdb"],"Exclude":["http_check"]}}"#);
        assert_eq!(found.include.iter().collect::<Vec<_>>(), ["postgres", "redisdb"]);
        assert_eq!(found.exclude.iter().collect::<Vec<_>>(), ["http_check"]);
        for nothing in [r#"{"check_compatibility":null}"#, r#"{"check_compatibility":{}}"#, r#"{"check_compatibility":{"include":null}}"#] {
            assert!(!declared(nothing).is_declared(), "{nothing}");
        }
        assert!(NodeStatus::decode(br#"{"check_compatibility":{"include":"postgres"}}"#).is_err());
    }

    #[test]
    fn ends_too_early_in_the_words_of_the_stock_server() {
        assert_eq!(NodeStatus::decode(b"").unwrap_err().to_string(), "EOF");
        assert_eq!(NodeStatus::decode(b"{\"last_change\":0").unwrap_err().to_string(), "unexpected EOF");
    }

    #[test]
    fn a_key_that_is_not_utf8_is_skipped() {
        assert_eq!(NodeStatus::decode(b"{\"\xff\":1,\"last_change\":4}").unwrap().last_change, 4);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
            let _ = NodeStatus::decode(&bytes);
        }

        #[test]
        fn every_status_a_go_agent_can_write_is_read_back(last_change: i64, node_type: u8) {
            let text = format!("{{\"last_change\":{last_change},\"node_type\":{node_type}}}");
            proptest::prop_assert_eq!(read(&text), Some((last_change, node_type)));
        }
    }
}
