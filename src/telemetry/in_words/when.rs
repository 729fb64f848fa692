//! Points in time and durations in words.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use muster_actors::kernel::clock::{Clock as _, SystemClock};

const SECOND: i64 = 1_000_000_000;

/// Now. Units: nanoseconds since the Unix epoch.
pub(crate) fn now() -> i64 {
    SystemClock::new().unix_nanos()
}

/// `2026-11-21 11:53:41 UTC`.
pub(crate) fn date(unix_nanos: i64) -> String {
    let time = Timestamp::from_nanosecond(i128::from(unix_nanos)).unwrap_or_default();
    time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// `42 s`, `12 min`, `3 h 5 min`, `4 d 3 h`.
pub(crate) fn span(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let with = |whole: String, rest: i64, unit: &str| if rest == 0 { whole } else { format!("{whole} {rest} {unit}") };
    match seconds {
        ..60 => format!("{} s", seconds.max(0)),
        60..3600 => format!("{minutes} min"),
        3600..86_400 => with(format!("{hours} h"), minutes % 60, "min"),
        _ => with(format!("{days} d"), hours % 24, "h"),
    }
}

/// `12 min ago`.
pub(crate) fn ago(unix_nanos: i64, now: i64) -> String {
    format!("{} ago", span(now.saturating_sub(unix_nanos) / SECOND))
}

/// `in 12 min`, or `now`.
pub(crate) fn ahead(unix_nanos: i64, now: i64) -> String {
    if unix_nanos <= now { "now".to_owned() } else { format!("in {}", span((unix_nanos - now) / SECOND)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units_at_most() {
        for (seconds, text) in [
            (-5, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3599, "59 min"),
            (3600, "1 h"),
            (11_100, "3 h 5 min"),
            (86_400, "1 d"),
            (356_400, "4 d 3 h"),
        ] {
            assert_eq!(span(seconds), text);
        }
        assert_eq!(
            (ago(0, 90 * SECOND), ahead(90 * SECOND, 0), ahead(0, 1)),
            ("1 min ago".to_owned(), "in 1 min".to_owned(), "now".to_owned())
        );
        assert_eq!(date(1_795_262_021_000_000_000), "2026-11-21 11:53:41 UTC");
    }
}
