//! Types of YAML 1.1 scalars: what a plain text means, and whether a text must be quoted to stay text.

use crate::domain::yaml::value::Value;

/// Value of an untagged plain scalar.
///
/// Dates and base-60 numbers stay text, as they do when yaml v2 reads into untyped values.
pub(super) fn resolve_plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "true" | "True" | "TRUE" => return Value::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        _ => {}
    }
    match text.as_bytes().first() {
        Some(b'.') => finite_float(text).map_or_else(|| Value::from(text), Value::Float),
        Some(b'+' | b'-' | b'0'..=b'9') if !is_date(text) => resolve_number(&text.replace('_', "")).unwrap_or_else(|| Value::from(text)),
        _ => Value::from(text),
    }
}

/// Whether this text, written plain, would be read as something else than this text.
pub(super) fn reads_as_other_type(text: &str) -> bool {
    !matches!(resolve_plain(text), Value::Text(_)) || is_date(text) || is_base_60(text)
}

/// An integer with the base prefixes `0x`, `0o`, `0b`, or `0` for octal, without underscores.
pub(crate) fn integer(text: &str) -> Option<Value> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if !digits.bytes().all(|byte| char::from(byte).is_digit(radix)) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        // In 128 bits, because the smallest integer has no positive counterpart.
        return i64::try_from(-i128::from(magnitude)).ok().map(Value::Int);
    }
    Some(i64::try_from(magnitude).map_or(Value::UInt(magnitude), Value::Int))
}

fn resolve_number(text: &str) -> Option<Value> {
    integer(text).or_else(|| is_decimal_float(text).then(|| finite_float(text)).flatten().map(Value::Float))
}

fn finite_float(text: &str) -> Option<f64> {
    // A text too big for a double stays text.
    text.parse::<f64>().ok().filter(|number| number.is_finite())
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_decimal_float(text: &str) -> bool {
    let rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mantissa_ok = all_digits(whole) && all_digits(fraction) && !(whole.is_empty() && fraction.is_empty());
    let exponent_ok = exponent.is_none_or(|text| {
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        !digits.is_empty() && all_digits(digits)
    });
    mantissa_ok && exponent_ok
}

fn all_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A date, or a date with a time, in one of the forms that yaml v2 knows.
fn is_date(text: &str) -> bool {
    let Some((date, time)) = text.split_at_checked(text.find(['T', 't', ' ']).unwrap_or(text.len())) else {
        return false;
    };
    is_calendar_date(date) && (time.is_empty() || is_time(time))
}

fn is_calendar_date(text: &str) -> bool {
    let mut parts = text.split('-');
    let (Some(year), Some(month), Some(day), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let (true, Some(month), Some(day)) = (year.len() == 4 && all_digits(year), small_number(month), small_number(day)) else {
        return false;
    };
    let year: u32 = year.parse().unwrap_or_default();
    let leap = (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return false,
    };
    (1..=days).contains(&day)
}

/// `T10:00:00.5Z` or `t10:00:00+01:00`; after a blank without zone.
fn is_time(text: &str) -> bool {
    let Some((separator, rest)) = text.split_at_checked(1) else {
        return false;
    };
    let clock = if separator == " " {
        rest
    } else if let Some(utc) = rest.strip_suffix('Z') {
        utc
    } else if let Some((clock, zone)) = rest.rfind(['+', '-']).map(|at| rest.split_at(at)) {
        let zone_ok = zone.len() == 6 && zone.as_bytes()[3] == b':' && all_digits(&zone[1..3]) && all_digits(&zone[4..]);
        if !zone_ok {
            return false;
        }
        clock
    } else {
        return false;
    };
    let mut parts = clock.splitn(3, ':');
    let (Some(hour), Some(minute), Some(second)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let (second, fraction) = second.split_once('.').unwrap_or((second, "0"));
    small_number(hour).is_some_and(|hour| hour < 24)
        && small_number(minute).is_some_and(|minute| minute < 60)
        && small_number(second).is_some_and(|second| second < 60)
        && !fraction.is_empty()
        && all_digits(fraction)
}

fn small_number(text: &str) -> Option<u32> {
    if (1..=2).contains(&text.len()) && all_digits(text) { text.parse().ok() } else { None }
}

/// `[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?`
fn is_base_60(text: &str) -> bool {
    let rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    let Some((first, rest)) = rest.split_once(':') else {
        return false;
    };
    let (groups, fraction) = rest.split_once('.').unwrap_or((rest, ""));
    let digits_or_underscores = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    first.starts_with(|first: char| first.is_ascii_digit())
        && digits_or_underscores(first)
        && digits_or_underscores(fraction)
        && groups.split(':').all(|group| small_number(group).is_some_and(|number| number < 60))
}
