//! Tests of reading and writing YAML.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::{MAX_DEPTH, Position, Value, parse, parse_document, write, write_indented};

fn rewritten(text: &str) -> String {
    write(&parse(text).unwrap())
}

#[test]
fn scalars_follow_yaml_1_1() {
    let cases = [
        ("yes", Value::Bool(true)),
        ("On", Value::Bool(true)),
        ("n", Value::Bool(false)),
        ("OFF", Value::Bool(false)),
        ("~", Value::Null),
        ("", Value::Null),
        ("0777", Value::Int(511)),
        ("0o17", Value::Int(15)),
        ("0x1F", Value::Int(31)),
        ("-0b11", Value::Int(-3)),
        ("1_000", Value::Int(1000)),
        ("+5", Value::Int(5)),
        ("08", Value::Float(8.0)),
        ("-9223372036854775808", Value::Int(i64::MIN)),
        ("18446744073709551615", Value::UInt(u64::MAX)),
        ("100000000000000000000", Value::Float(1e20)),
        ("1e3", Value::Float(1000.0)),
        (".5", Value::Float(0.5)),
        (".inf", Value::Float(f64::INFINITY)),
        ("1e999", Value::from("1e999")),
        ("12:30", Value::from("12:30")),
        ("2001-01-01", Value::from("2001-01-01")),
        ("'yes'", Value::from("yes")),
        ("\"1\"", Value::from("1")),
        ("!!str 1", Value::from("1")),
        ("!!float 1", Value::Float(1.0)),
        ("!!int '3'", Value::Int(3)),
        ("!custom 1", Value::from("1")),
        ("!!binary aGk=", Value::from("hi")),
        ("-", Value::List(vec![Value::Null])),
        ("a: b", Value::Map(vec![(Value::from("a"), Value::from("b"))])),
        ("{foo:bar}", Value::Map(vec![(Value::from("foo:bar"), Value::Null)])),
        ("yes: 1", Value::Map(vec![(Value::Bool(true), Value::Int(1))])),
        ("a: <<", Value::Map(vec![(Value::from("a"), Value::from("<<"))])),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text).unwrap(), expected, "{text}");
    }
    assert!(parse("!!int x").is_err());
}

#[test]
fn recorded_scalars_are_written_as_recorded() {
    // Values of a dispatched instance of a stock server, service adc/scalars.
    let cases = [
        ("", "\"\""),
        ("null", "\"null\""),
        ("~", "\"~\""),
        ("true", "\"true\""),
        ("yes", "\"yes\""),
        ("off", "\"off\""),
        ("1", "\"1\""),
        ("0x1F", "\"0x1F\""),
        ("1_000", "\"1_000\""),
        ("1.5", "\"1.5\""),
        (".inf", "\".inf\""),
        ("2001-01-01", "\"2001-01-01\""),
        ("12:30", "\"12:30\""),
        ("0o7", "\"0o7\""),
        ("-", "'-'"),
        ("- a", "'- a'"),
        ("a: b", "'a: b'"),
        ("a #b", "'a #b'"),
        ("#x", "'#x'"),
        ("@x", "'@x'"),
        ("`x", "'`x'"),
        ("%x", "'%x'"),
        ("!x", "'!x'"),
        ("&x", "'&x'"),
        ("*x", "'*x'"),
        ("?x", "?x"),
        ("a,b", "a,b"),
        ("[x]", "'[x]'"),
        ("{x}", "'{x}'"),
        ("x:", "'x:'"),
        (":x", ":x"),
        ("x: y: z", "'x: y: z'"),
        ("=", "="),
        ("<<", "<<"),
        ("|", "'|'"),
        (">", "'>'"),
        ("> x", "'> x'"),
        (" x", "' x'"),
        ("x ", "'x '"),
        ("---", "'---'"),
        ("...", "'...'"),
        ("it's", "it's"),
        ("'s", "'''s'"),
        ("a\tb", "\"a\\tb\""),
        ("\u{1f600}", "\"\\U0001F600\""),
        ("é", "é"),
        ("2001-12-14t21:59:43.10-05:00", "\"2001-12-14t21:59:43.10-05:00\""),
        ("2001-02-30", "2001-02-30"),
        ("a\nb", "|-\n  a\n  b"),
        ("a\nb\n", "|\n  a\n  b"),
        ("a\n\n", "\"a\\n\\n\""),
        (" a\nb", "\" a\\nb\""),
    ];
    for (value, expected) in cases {
        let text = write(&Value::Map(vec![(Value::from("k"), Value::from(value))]));
        assert_eq!(text, format!("k: {expected}\n"));
        assert_eq!(parse(&text).unwrap().get("k"), Some(&Value::from(value)), "{text}");
    }
}

#[test]
fn recorded_numbers_are_written_as_recorded() {
    // As stock re-serialises an annotation, service adc/numbers2.
    let text = "a: 1\nb: 0\nc: 1.5\nd: 100000000000000000000\ne: 1e+21\nf: 1e-07\ng: 123456789012345680\ni: -1.25e-09\nj: 100000\n";
    let expected = text.replace("100000000000000000000", "1e+20");
    assert_eq!(rewritten(text), expected);
    assert_eq!(rewritten("[1e6, 1.0, 1234567.5, 0.0001, 0.00001]"), "- 1e+06\n- 1\n- 1.2345675e+06\n- 0.0001\n- 1e-05\n");
}

#[test]
fn recorded_keys_are_sorted_and_quoted_as_recorded() {
    // Service adc/keys.
    let keys = ["", "-", "~", "1", "9", "10", "A", "B", "a b", "a-b", "a.b", "a:b", "a_b", "empty", "null", "on", "true", "y", "é"];
    let mut entries: Vec<_> = keys.iter().map(|key| (Value::from(*key), Value::Int(1))).collect();
    entries.reverse();
    let text = write(&Value::Map(entries));
    let lines: Vec<_> = text.lines().map(|line| line.trim_end_matches(": 1")).collect();
    let expected = [
        "\"\"", "'-'", "\"~\"", "\"1\"", "\"9\"", "\"10\"", "A", "B", "a b", "a-b", "a.b", "a:b", "a_b", "empty", "\"null\"", "\"on\"",
        "\"true\"", "\"y\"", "é",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn numbers_come_before_text_and_runs_of_digits_count() {
    assert_eq!(rewritten("{b: 1, 10: 1, 2: 1, a10: 1, a9: 1, true: 1}"), "true: 1\n2: 1\n10: 1\na9: 1\na10: 1\nb: 1\n");
}

#[test]
fn keys_whose_order_is_a_cycle_are_still_written_the_same_way() {
    let one = rewritten("{a2: 1, a10: 1, a1b: 1}");
    assert_eq!(rewritten("{a1b: 1, a2: 1, a10: 1}"), one);
    assert_eq!(rewritten("{a10: 1, a1b: 1, a2: 1}"), one);
}

#[test]
fn collections_are_written_in_block_style() {
    assert_eq!(rewritten("[[1, [2]], {b: 1, a: [x]}, {}, []]"), "- - 1\n  - - 2\n- a:\n  - x\n  b: 1\n- {}\n- []\n");
    assert_eq!(rewritten("{a: {b: {c: 1}}, l: [{m: 1, o: [2]}]}"), "a:\n  b:\n    c: 1\nl:\n- m: 1\n  o:\n  - 2\n");
    assert_eq!(rewritten("~"), "null\n");
    assert_eq!(rewritten("{}"), "{}\n");
    assert_eq!(write_indented(&parse("tags: [a]\nx: {l: [1]}").unwrap()), "tags:\n  - a\nx:\n  l:\n    - 1");
}

#[test]
fn merge_keys_merge_in_document_order() {
    let text = "base: &b {x: 1, z: 1}\nfirst: {<<: *b, z: 2}\nlast: {z: 2, <<: *b}\nseveral: {<<: [{x: 3}, *b]}\n";
    let value = parse(text).unwrap();
    assert_eq!(write(value.get("first").unwrap()), "x: 1\nz: 2\n");
    assert_eq!(write(value.get("last").unwrap()), "x: 1\nz: 1\n");
    assert_eq!(write(value.get("several").unwrap()), "x: 3\nz: 1\n");
    assert!(parse("<<: 1").is_err());
    assert_eq!(write(&Value::Map(vec![(Value::from("<<"), Value::Int(1))])), "\"<<\": 1\n");
}

#[test]
fn the_last_of_duplicate_keys_wins_and_is_reported() {
    let document = parse_document("a: 1\nb:\n  a: 2\na: 3\n").unwrap();
    assert_eq!(document.value.get("a"), Some(&Value::Int(3)));
    assert_eq!(document.warnings.len(), 1);
    assert_eq!(document.warnings[0].position, Position { line: 4, column: 1 });
    assert!(parse_document("1: a\n'1': b\n").unwrap().warnings.is_empty());
}

#[test]
fn only_the_first_document_is_read() {
    let document = parse_document("a: 1\n---\nb: 2\n").unwrap();
    assert_eq!(write(&document.value), "a: 1\n");
    assert_eq!(document.warnings[0].position.line, 2);
    assert!(parse_document("---\na: 1\n...\n").unwrap().warnings.is_empty());
}

#[test]
fn positions_and_raw_texts_are_known() {
    let document = parse_document("name: 0x10\ninstances:\n  - url: x\n    tags: [a]\n  - 5\n").unwrap();
    assert_eq!(document.raw_text("name"), Some("0x10"));
    assert_eq!(document.raw_text("instances"), None);
    assert_eq!(document.position("instances"), Some(Position { line: 2, column: 1 }));
    assert_eq!(document.position("instances[0].tags"), Some(Position { line: 4, column: 5 }));
    assert_eq!(document.position("instances[1]"), Some(Position { line: 5, column: 5 }));
}

#[test]
fn errors_name_line_and_column() {
    let error = parse("a: 1\nb: [1, 2\nc: 3\n").unwrap_err();
    assert!(error.line >= 2, "{error}");
    let error = parse("a: 1\n  b: 2\n").unwrap_err();
    assert_eq!(error.line, 2, "{error}");
    let error = parse("a: é\u{1}\n").unwrap_err();
    assert_eq!(error.to_string(), "line 1, column 5: control character U+0001 is not allowed");
    assert!(parse("host: %%host%%").is_err());
    assert!(parse("a:\n\t- b\n").is_err());
    assert!(parse("? [a]\n: 1\n").is_err());
    assert!(parse("*unknown").is_err());
}

#[test]
fn hostile_text_hits_a_limit() {
    let mut laughs = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for level in 1..10 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        writeln!(laughs, "a{level}: &a{level} [{aliases}]").unwrap();
    }
    assert!(parse(&laughs).unwrap_err().message.contains("expand"));
    assert!(parse("a: &a [*a]").unwrap_err().message.contains("contains it"));
    assert!(parse(&"[".repeat(100_000)).is_err());
    assert!(parse(&"- ".repeat(100_000)).is_err());
    assert!(parse(&"{a: ".repeat(MAX_DEPTH + 1)).is_err());
    let deepest = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
    assert!(parse(&deepest).is_ok());
    let aliases_deepen = format!("a: &a {deepest}\nb: [*a]\n");
    assert!(parse(&aliases_deepen).is_err());
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (i64::MAX as u64 + 1..).prop_map(Value::UInt),
        (-1_000_000_i32..1_000_000).prop_map(|thousandths| Value::Float((f64::from(thousandths) + 0.5) / 1000.0)),
        (1_i32..300).prop_map(|exponent| Value::Float(1.25 * 10_f64.powi(-exponent))),
        (6_i32..300).prop_map(|exponent| Value::Float(1.25 * 10_f64.powi(exponent))),
        "[ -~\\n\\té\u{85}\u{2028}\u{1f600}\\r]{0,12}".prop_map(Value::Text),
        prop::sample::select(vec!["<<", "~", "1:30", "---", "- ", "0x", "2001-1-1", "a\n\nb\n", "\u{feff}", ".5", "=", "%%host%%"])
            .prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(4, 40, 5, |inner| {
        let map = prop::collection::vec((scalar(), inner.clone()), 0..5).prop_map(|entries| {
            let mut unique: Vec<(Value, Value)> = Vec::new();
            for (key, value) in entries {
                if unique.iter().all(|(other, _)| *other != key) {
                    unique.push((key, value));
                }
            }
            Value::Map(unique)
        });
        prop_oneof![prop::collection::vec(inner, 0..5).prop_map(Value::List), map]
    })
}

/// The same value with map entries in written order.
fn canonical(value: &Value) -> Value {
    match value {
        Value::List(items) => Value::List(items.iter().map(canonical).collect()),
        Value::Map(entries) => {
            Value::Map(super::order::sorted(entries).into_iter().map(|(key, value)| (key.clone(), canonical(value))).collect())
        }
        scalar => scalar.clone(),
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(value in value()) {
        let text = write(&value);
        let read = parse(&text);
        prop_assert_eq!(read.as_ref().ok(), Some(&canonical(&value)), "{:?}", text);
        prop_assert_eq!(write(&canonical(&value)), text);
        prop_assert_eq!(parse(&write_indented(&value)).ok(), Some(canonical(&value)));
    }

    #[test]
    fn no_text_panics(text in "[-a1:?,\\[\\]{}&*!|>'\"%@`# \\n\\t<~.\\\\é]{0,60}") {
        if let Ok(value) = parse(&text) {
            let _ = write(&value);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&String::from_utf8_lossy(&bytes));
    }
}
