//! The token of a call.

use reqwest::header::{HeaderValue, InvalidHeaderValue};

use crate::config::Secret;

/// Value of `Authorization`, which is left out of logs.
pub(super) fn bearer(token: &Secret<String>) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose()))?;
    value.set_sensitive(true);
    Ok(value)
}
