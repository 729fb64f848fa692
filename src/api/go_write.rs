//! JSON as a Go encoder writes it.

/// Escapes what Go escapes in strings beyond the standard: `<`, `>`, `&` and the two line separators of Unicode.
///
/// `json` is valid JSON, in which these only occur inside strings.
pub fn escape(json: &[u8]) -> Vec<u8> {
    let mut written = Vec::with_capacity(json.len());
    let mut rest = json;
    while let Some((&byte, after)) = rest.split_first() {
        let (escaped, length): (Option<&[u8]>, usize) = match (byte, after) {
            (b'<', _) => (Some(b"\\u003c"), 1),
            (b'>', _) => (Some(b"\\u003e"), 1),
            (b'&', _) => (Some(b"\\u0026"), 1),
            (0xe2, [0x80, 0xa8, ..]) => (Some(b"\\u2028"), 3),
            (0xe2, [0x80, 0xa9, ..]) => (Some(b"\\u2029"), 3),
            _ => (None, 1),
        };
        let (taken, after) = rest.split_at(length);
        written.extend_from_slice(escaped.unwrap_or(taken));
        rest = after;
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_escapes_is_escaped_and_means_the_same() {
        let value = serde_json::json!({ "a<b>": "x&y \u{2028}\u{2029} \u{2027} ü \"q\" \\" });
        let plain = serde_json::to_vec(&value).unwrap();
        let written = escape(&plain);
        let text = std::str::from_utf8(&written).unwrap();
        assert_eq!(text, "{\"a\\u003cb\\u003e\":\"x\\u0026y \\u2028\\u2029 \u{2027} ü \\\"q\\\" \\\\\"}");
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&written).unwrap(), value);
    }
}
