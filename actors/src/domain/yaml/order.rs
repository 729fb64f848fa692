//! Order of mapping keys in written text.

use std::cmp::Ordering;

use crate::domain::yaml::value::Value;

/// Sorts entries by key as yaml v2 does.
///
/// Why an own sort: the order of yaml v2 has cycles (`a2` < `a10` < `a1b` < `a2`), on which the standard sort may panic. Starting from
/// byte order makes the result a function of the set of keys.
pub(super) fn sorted(entries: &[(Value, Value)]) -> Vec<&(Value, Value)> {
    let mut sorted: Vec<_> = entries.iter().collect();
    sorted.sort_by_cached_key(|(key, _)| key.key_text());
    merge_sort(sorted)
}

fn merge_sort(mut entries: Vec<&(Value, Value)>) -> Vec<&(Value, Value)> {
    if entries.len() < 2 {
        return entries;
    }
    let right = merge_sort(entries.split_off(entries.len() / 2));
    let mut right = right.into_iter().peekable();
    let left = merge_sort(entries);
    let mut merged = Vec::with_capacity(left.len() + right.len());
    for entry in left {
        while let Some(earlier) = right.next_if(|candidate| less(&candidate.0, &entry.0)) {
            merged.push(earlier);
        }
        merged.push(entry);
    }
    merged.extend(right);
    merged
}

fn less(left: &Value, right: &Value) -> bool {
    match (as_number(left), as_number(right)) {
        (Some(left_number), Some(right_number)) if left_number == right_number => kind(left) < kind(right),
        (Some(left_number), Some(right_number)) => left_number < right_number,
        _ => match (left, right) {
            (Value::Text(left), Value::Text(right)) => text_order(left, right) == Ordering::Less,
            _ => kind(left) < kind(right),
        },
    }
}

fn as_number(key: &Value) -> Option<f64> {
    match key {
        Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
        Value::Int(number) => Some(*number as f64),
        Value::UInt(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        Value::Null | Value::Text(_) | Value::List(_) | Value::Map(_) => None,
    }
}

fn kind(key: &Value) -> u8 {
    match key {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Int(_) => 2,
        Value::UInt(_) => 3,
        Value::Float(_) => 4,
        Value::Text(_) => 5,
        Value::List(_) => 6,
        Value::Map(_) => 7,
    }
}

/// At the first different character: letters by code point, others before letters, digit runs by value; then the shorter first.
fn text_order(left: &str, right: &str) -> Ordering {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let Some(at) = left.iter().zip(&right).position(|(one, other)| one != other) else {
        return left.len().cmp(&right.len());
    };
    match (left[at].is_alphabetic(), right[at].is_alphabetic()) {
        (true, true) => return left[at].cmp(&right[at]),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    // A zero behind other digits counts as a digit of that number, not as a leading zero.
    let mut start = 0;
    if left[at] == '0' || right[at] == '0' {
        start = i64::from(left[..at].iter().rev().take_while(|digit| digit.is_ascii_digit()).any(|digit| *digit != '0'));
    }
    let (left_number, left_end) = digit_run(&left, at, start);
    let (right_number, right_end) = digit_run(&right, at, start);
    left_number.cmp(&right_number).then(left_end.cmp(&right_end)).then(left[at].cmp(&right[at]))
}

fn digit_run(text: &[char], from: usize, start: i64) -> (i64, usize) {
    let mut number = start;
    let mut end = from;
    while let Some(digit) = text.get(end).and_then(|character| character.to_digit(10)) {
        number = number.wrapping_mul(10).wrapping_add(i64::from(digit));
        end += 1;
    }
    (number, end)
}
