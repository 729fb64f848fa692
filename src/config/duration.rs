//! Durations in Go's text form, as stock configuration writes them.

use std::time::Duration;

/// Reads `1h30m`, `10m`, `1.5s`, `500ms`; `None` when it is no such text or negative.
///
/// Source: cluster-agent-kubernetes 7.1.
#[must_use]
pub fn parse_go(text: &str) -> Option<Duration> {
    let text = text.strip_prefix('+').unwrap_or(text);
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|length| *length > 0)?;
        let (number, tail) = rest.split_at(digits);
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, after) = tail.split_at(end);
        let seconds = number.parse::<f64>().ok()? * unit_seconds(unit)?;
        total = total.checked_add(Duration::try_from_secs_f64(seconds).ok()?)?;
        rest = after;
    }
    Some(total)
}

fn unit_seconds(unit: &str) -> Option<f64> {
    match unit {
        "h" => Some(3600.0),
        "m" => Some(60.0),
        "s" => Some(1.0),
        "ms" => Some(1e-3),
        "us" | "µs" | "μs" => Some(1e-6),
        "ns" => Some(1e-9),
        _ => None,
    }
}

/// Writes a duration as Go prints it: `10m0s`, `1h0m0s`, `500ms`, `0s`.
#[must_use]
pub fn go_text(duration: Duration) -> String {
    if duration.is_zero() {
        return "0s".to_owned();
    }
    if duration < Duration::from_secs(1) {
        let nanos = duration.as_nanos() as f64;
        return if nanos < 1e3 {
            format!("{nanos}ns")
        } else if nanos < 1e6 {
            format!("{}µs", nanos / 1e3)
        } else {
            format!("{}ms", nanos / 1e6)
        };
    }
    let whole = duration.as_secs();
    let (hours, minutes) = (whole / 3600, whole / 60 % 60);
    let seconds = (whole % 60) as f64 + f64::from(duration.subsec_nanos()) / 1e9;
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_are_read_and_written() {
        for (text, seconds, back) in [
            ("10m", 600.0, "10m0s"),
            ("1h30m", 5400.0, "1h30m0s"),
            ("90s", 90.0, "1m30s"),
            ("500ms", 0.5, "500ms"),
            ("1.5s", 1.5, "1.5s"),
            ("20m", 1200.0, "20m0s"),
            ("0", 0.0, "0s"),
            ("1h", 3600.0, "1h0m0s"),
            ("250us", 0.000_25, "250µs"),
        ] {
            let parsed = parse_go(text).unwrap_or_else(|| panic!("{text} is a duration"));
            assert_eq!(parsed, Duration::from_secs_f64(seconds), "{text}");
            assert_eq!(go_text(parsed), back);
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "m", "10", "10x", "1h30", "-5s", "1..5s", "h1", "99999999999999999999h"] {
            assert_eq!(parse_go(text), None, "{text}");
        }
    }
}
