//! Spreading what would else happen at the same moment.

/// A share in `[0, 1)` that depends on the text only.
#[must_use]
pub fn spread_of(text: &str) -> f64 {
    f64::from(crc32fast::hash(text.as_bytes())) / (f64::from(u32::MAX) + 1.0)
}
