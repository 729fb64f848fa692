//! Times of a scenario: `90s`, `10m`, `1h30m`, or a number of seconds.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::{Serialize, Serializer};

/// A length of time, or a time counted from the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub Duration);

const ALLOWED: &str = "a time such as \"90s\", \"10m\", \"1h30m\", or a number of seconds";

/// Longest time that is simulated: a year.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

impl Span {
    /// So many seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// So many minutes.
    #[must_use]
    pub const fn from_minutes(minutes: u64) -> Self {
        Self::from_secs(minutes * 60)
    }

    /// So many hours.
    #[must_use]
    pub const fn from_hours(hours: u64) -> Self {
        Self::from_secs(hours * 3600)
    }

    /// A number of seconds; `None` if it is negative, no number, or longer than a year.
    #[must_use]
    pub fn from_seconds(seconds: f64) -> Option<Self> {
        Duration::try_from_secs_f64(seconds).ok().filter(|span| *span <= LONGEST).map(Self)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0.as_secs(), self.0.subsec_millis());
        if rest > 0 {
            return write!(out, "{}s", self.0.as_secs_f64());
        }
        let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
        if hours > 0 {
            write!(out, "{hours}h")?;
        }
        if minutes > 0 {
            write!(out, "{minutes}m")?;
        }
        if seconds > 0 || whole == 0 {
            write!(out, "{seconds}s")?;
        }
        Ok(())
    }
}

/// A text is no time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no time; allowed is {ALLOWED}")]
pub struct NoSpan(String);

impl FromStr for Span {
    type Err = NoSpan;

    fn from_str(text: &str) -> Result<Self, NoSpan> {
        let refuse = || NoSpan(text.to_owned());
        let mut rest = text.trim();
        if let Ok(seconds) = rest.parse::<f64>() {
            return Self::from_seconds(seconds).ok_or_else(refuse);
        }
        let mut total = 0.0;
        while !rest.is_empty() {
            let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').ok_or_else(refuse)?;
            let number: f64 = rest[..digits].parse().map_err(|_| refuse())?;
            let after = &rest[digits..];
            let end = after.find(|letter: char| letter.is_ascii_digit()).unwrap_or(after.len());
            total += number
                * match after[..end].trim() {
                    "ms" => 0.001,
                    "s" => 1.0,
                    "m" => 60.0,
                    "h" => 3600.0,
                    "d" => 86_400.0,
                    _ => return Err(refuse()),
                };
            rest = &after[end..];
        }
        if text.trim().is_empty() { Err(refuse()) } else { Self::from_seconds(total).ok_or_else(refuse) }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

struct SpanVisitor;

impl Visitor<'_> for SpanVisitor {
    type Value = Span;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(ALLOWED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Span, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<Span, E> {
        self.visit_f64(seconds as f64)
    }

    fn visit_f64<E: Error>(self, seconds: f64) -> Result<Span, E> {
        Span::from_seconds(seconds).ok_or_else(|| E::custom(NoSpan(seconds.to_string())))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SpanVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written() {
        for (text, seconds) in [("90s", 90), ("10m", 600), ("1h30m", 5400), ("0s", 0), ("2d", 172_800), ("45", 45), ("1h 30m", 5400)] {
            assert_eq!(text.parse(), Ok(Span::from_secs(seconds)), "{text}");
        }
        for span in
            [Span::from_secs(0), Span::from_secs(5), Span::from_minutes(90), Span::from_hours(24), Span(Duration::from_millis(1500))]
        {
            assert_eq!(span.to_string().parse(), Ok(span));
        }
        assert_eq!(Span::from_secs(5405).to_string(), "1h30m5s");
    }

    #[test]
    fn what_is_no_time_is_told_with_what_would_be() {
        for text in ["", "soon", "10", "-5s", "5x", "1e400", "9999999h", "NaN"] {
            if let Err(error) = text.parse::<Span>() {
                assert!(error.to_string().contains("\"10m\""), "{error}");
            } else {
                assert_eq!(text, "10");
            }
        }
    }
}
