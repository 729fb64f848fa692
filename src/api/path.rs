//! A request path, decoded and cut into segments.

use std::borrow::Cow;

/// Most segments any route has, plus one so that longer paths match none.
const MAX_SEGMENTS: usize = 10;

/// Why a path is refused with 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// A `%` is not followed by two hexadecimal digits.
    #[error("invalid URL escape in path")]
    Escape,
    /// The decoded bytes are not UTF-8, or hold a control character.
    #[error("invalid character in path")]
    Character,
}

/// The decoded path of a request, without its query.
#[derive(Debug)]
pub struct Path<'a> {
    text: Cow<'a, str>,
}

impl<'a> Path<'a> {
    /// Decodes percent escapes.
    ///
    /// Errors: [`PathError`].
    pub fn parse(raw: &'a str) -> Result<Self, PathError> {
        if !raw.contains('%') {
            return Ok(Self { text: Cow::Borrowed(raw) });
        }
        let mut bytes = Vec::with_capacity(raw.len());
        let mut rest = raw.as_bytes();
        while let Some((&first, tail)) = rest.split_first() {
            if first != b'%' {
                bytes.push(first);
                rest = tail;
                continue;
            }
            let [high, low, after @ ..] = tail else { return Err(PathError::Escape) };
            let (Some(high), Some(low)) = (char::from(*high).to_digit(16), char::from(*low).to_digit(16)) else {
                return Err(PathError::Escape);
            };
            bytes.push((high * 16 + low) as u8);
            rest = after;
        }
        let text = String::from_utf8(bytes).map_err(|_| PathError::Character)?;
        if text.chars().any(char::is_control) {
            return Err(PathError::Character);
        }
        Ok(Self { text: Cow::Owned(text) })
    }

    /// What follows a prefix, slashes and all; `None` if nothing does.
    ///
    /// For the one route whose last part is a name that may hold slashes.
    pub fn below(&self, prefix: &str) -> Option<&str> {
        self.text.strip_prefix(prefix).filter(|rest| !rest.is_empty())
    }

    /// The pieces between slashes.
    ///
    /// A path that is not clean (doubled or final slash, `.` or `..`) and one that is longer than any route have no segments, so
    /// they match no route.
    pub fn segments(&self) -> Segments<'_> {
        let mut segments = Segments { pieces: [""; MAX_SEGMENTS], count: 0 };
        let Some(inner) = self.text.strip_prefix('/') else { return segments };
        for piece in inner.split('/') {
            if matches!(piece, "" | "." | "..") || segments.count == MAX_SEGMENTS {
                return Segments { pieces: [""; MAX_SEGMENTS], count: 0 };
            }
            segments.pieces[segments.count] = piece;
            segments.count += 1;
        }
        segments
    }
}

/// Segments of a path, without an allocation.
#[derive(Debug, Clone, Copy)]
pub struct Segments<'a> {
    pieces: [&'a str; MAX_SEGMENTS],
    count: usize,
}

impl<'a> Segments<'a> {
    /// The segments in order.
    pub fn as_slice(&self) -> &[&'a str] {
        self.pieces.get(..self.count).unwrap_or_default()
    }
}

/// Value of a query parameter, the first of its name, decoded; `None` when absent.
pub fn query_value(query: Option<&str>, name: &str) -> Option<String> {
    url::form_urlencoded::parse(query?.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(raw: &str) -> Vec<String> {
        let path = Path::parse(raw).unwrap();
        path.segments().as_slice().iter().map(|piece| (*piece).to_owned()).collect()
    }

    #[test]
    fn escapes_are_decoded_before_the_path_is_cut() {
        assert_eq!(pieces("/api/v1/tags"), ["api", "v1", "tags"]);
        assert_eq!(pieces("/a%2Fb"), ["a", "b"]);
        assert_eq!(pieces("/caf%C3%A9%20x"), ["café x"]);
    }

    #[test]
    fn the_rest_behind_a_prefix_keeps_its_slashes() {
        let path = Path::parse("/check/http_check:http%3A//a/b%20c:1f").unwrap();
        assert_eq!(path.below("/check/"), Some("http_check:http://a/b c:1f"));
        assert_eq!(path.below("/other/"), None);
        assert_eq!(Path::parse("/check/").unwrap().below("/check/"), None);
    }

    #[test]
    fn unclean_paths_have_no_segments() {
        for raw in ["/", "//version", "/version/", "/a/../b", "/a/./b", "", "*", "/1/2/3/4/5/6/7/8/9/10/11"] {
            assert!(pieces(raw).is_empty(), "{raw}");
        }
    }

    #[test]
    fn bad_escapes_and_control_characters_are_refused() {
        assert_eq!(Path::parse("/%zz").unwrap_err(), PathError::Escape);
        assert_eq!(Path::parse("/a%").unwrap_err(), PathError::Escape);
        assert_eq!(Path::parse("/a%4").unwrap_err(), PathError::Escape);
        assert_eq!(Path::parse("/a%00b").unwrap_err(), PathError::Character);
        assert_eq!(Path::parse("/a%0d%0ab").unwrap_err(), PathError::Character);
        assert_eq!(Path::parse("/a%ff").unwrap_err(), PathError::Character);
    }

    #[test]
    fn query_values_are_decoded() {
        assert_eq!(query_value(Some("a=1&format=te%78t"), "format").as_deref(), Some("text"));
        assert_eq!(query_value(Some("raw"), "raw").as_deref(), Some(""));
        assert_eq!(query_value(None, "raw"), None);
    }
}
