//! Titles, lines and dates of the status text.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A boxed title, its body, and an empty line.
pub(super) fn section(out: &mut String, title: &str, body: impl FnOnce(&mut String)) {
    boxed(out, title);
    out.push('\n');
    body(out);
    out.push('\n');
}

/// A title between two rules.
pub(super) fn boxed(out: &mut String, title: &str) {
    let rule = "=".repeat(title.chars().count());
    let _ = writeln!(out, "{rule}\n{title}\n{rule}");
}

/// A title above a rule of `mark`.
pub(super) fn heading(out: &mut String, indent: usize, title: &str, mark: &str) {
    line(out, indent, title);
    line(out, indent, &mark.repeat(title.chars().count()));
}

/// One line.
pub(super) fn line(out: &mut String, indent: usize, text: &str) {
    let text = text.trim_end();
    let _ = writeln!(out, "{:indent$}{text}", "");
}

/// `2026-11-21 11:53:43.665 UTC (1795262023665)`.
pub(super) fn with_milliseconds(unix_nanos: i64) -> String {
    let time = Timestamp::from_nanosecond(i128::from(unix_nanos)).unwrap_or_default();
    let shown = time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S%.3f UTC").to_string();
    format!("{shown} ({})", unix_nanos.div_euclid(1_000_000))
}

/// `2026-11-21 11:53:41 UTC (1795262021000)`; `Never` for 0.
pub(super) fn in_seconds(unix_millis: i64) -> String {
    if unix_millis == 0 {
        return "Never".to_owned();
    }
    let seconds = unix_millis.div_euclid(1000);
    let time = Timestamp::from_second(seconds).unwrap_or_default();
    format!("{} ({})", time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S UTC"), seconds * 1000)
}
