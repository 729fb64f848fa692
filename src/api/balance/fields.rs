//! Bodies of commands, read as leniently as a Go server reads them, with errors that name what would be right.

use serde::de::Deserialize as _;
use serde_json::{Map, Value as Json};

/// A body or query that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum FieldError {
    /// Not JSON, or another value than an object.
    #[error("the body is not a JSON object ({source}); for example: {example}")]
    Body {
        /// Where and why.
        #[source]
        source: serde_json::Error,
        /// What would be right.
        example: &'static str,
    },
    /// A field of another type.
    #[error("{field} is {found}; allowed: {allowed}; for example: {example}")]
    Type {
        /// Which.
        field: &'static str,
        /// What was sent.
        found: Json,
        /// What would be right.
        allowed: &'static str,
        /// A whole body.
        example: &'static str,
    },
    /// A field that must be there.
    #[error("{field} is missing; for example: {example}")]
    Missing {
        /// Which.
        field: &'static str,
        /// A whole body.
        example: &'static str,
    },
    /// Neither a check nor a node is asked about, or both.
    #[error("ask about one check or one node: /api/v1/muster/explain?check=NAME or /api/v1/muster/explain?node=NAME")]
    Question,
}

/// The fields of a body. Keys match without regard to case, unknown ones are skipped; `null` and an empty body have none.
#[derive(Debug)]
pub(super) struct Fields {
    fields: Map<String, Json>,
    example: &'static str,
}

impl Fields {
    /// Reads the first JSON value of a body.
    ///
    /// Errors: [`FieldError::Body`].
    pub(super) fn decode(body: &[u8], example: &'static str) -> Result<Self, FieldError> {
        if body.trim_ascii().is_empty() {
            return Ok(Self { fields: Map::new(), example });
        }
        let mut decoder = serde_json::Deserializer::from_slice(body);
        let fields = Option::<Map<String, Json>>::deserialize(&mut decoder).map_err(|source| FieldError::Body { source, example })?;
        Ok(Self { fields: fields.unwrap_or_default(), example })
    }

    /// The value of a field; `None` when absent or `null`. Of several with one name the last one counts.
    fn get(&self, name: &str) -> Option<&Json> {
        let found = self.fields.iter().rev().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        found.filter(|value| !value.is_null())
    }

    fn wrong(&self, field: &'static str, found: &Json, allowed: &'static str) -> FieldError {
        FieldError::Type { field, found: found.clone(), allowed, example: self.example }
    }

    /// Whether a field is true; false when absent.
    ///
    /// Errors: [`FieldError::Type`].
    pub(super) fn flag(&self, name: &'static str) -> Result<bool, FieldError> {
        let Some(value) = self.get(name) else { return Ok(false) };
        value.as_bool().ok_or_else(|| self.wrong(name, value, "true, false"))
    }

    /// A number that must be there.
    ///
    /// Errors: [`FieldError::Type`], [`FieldError::Missing`].
    pub(super) fn number(&self, name: &'static str) -> Result<u64, FieldError> {
        let value = self.get(name).ok_or(FieldError::Missing { field: name, example: self.example })?;
        value.as_u64().ok_or_else(|| self.wrong(name, value, "a whole number that is not negative"))
    }

    /// A text that must be there.
    ///
    /// Errors: [`FieldError::Type`], [`FieldError::Missing`].
    pub(super) fn text(&self, name: &'static str) -> Result<String, FieldError> {
        let value = self.get(name).ok_or(FieldError::Missing { field: name, example: self.example })?;
        let text = value.as_str().map(str::trim).filter(|text| !text.is_empty());
        text.map(str::to_owned).ok_or_else(|| self.wrong(name, value, "a text that is not empty"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = r#"{"force":false}"#;

    fn fields(body: &str) -> Fields {
        Fields::decode(body.as_bytes(), EXAMPLE).unwrap()
    }

    #[test]
    fn what_a_stock_command_line_may_send_is_understood() {
        for body in ["", " \n", "null", "{}", r#"{"force":null}"#, r#"{"force":false}"#, r#"{"other":[1]}"#] {
            assert!(!fields(body).flag("force").unwrap(), "{body}");
        }
        for body in [r#"{"force":true}"#, r#"{"Force":true}"#, r#"{"FORCE":true} trailing"#, r#"{"force":false,"Force":true}"#] {
            assert!(fields(body).flag("force").unwrap(), "{body}");
        }
    }

    #[test]
    fn errors_name_the_mend() {
        let error = Fields::decode(b"[1]", EXAMPLE).unwrap_err().to_string();
        assert!(error.starts_with("the body is not a JSON object (") && error.ends_with(r#"for example: {"force":false}"#), "{error}");
        assert!(Fields::decode(b"{\"force\":", EXAMPLE).is_err());
        let error = fields(r#"{"force":"yes"}"#).flag("force").unwrap_err().to_string();
        assert_eq!(error, r#"force is "yes"; allowed: true, false; for example: {"force":false}"#);
        let error = fields("{}").number("number").unwrap_err().to_string();
        assert_eq!(error, r#"number is missing; for example: {"force":false}"#);
        assert!(fields(r#"{"number":-1}"#).number("number").is_err() && fields(r#"{"check":" "}"#).text("check").is_err());
    }
}
