//! What runners of every version answer, read leniently. Source: cluster-checks 4.8, node-runner 8.
//!
//! A value that is not what it should be counts as not told; only what is no JSON at all, or something else altogether, is an error.

use std::collections::BTreeMap;
use std::fmt;

use muster_actors::domain::figures::CheckFigures;
use muster_actors::domain::ids::CheckId;
use muster_actors::ports::RunnerError;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Statistics of the checks of a runner, without the entry that has no name.
///
/// Errors: [`RunnerError::Garbled`].
pub(super) fn checks(body: &[u8]) -> Result<BTreeMap<CheckId, CheckFigures>, RunnerError> {
    let told: Option<BTreeMap<CheckId, Lenient>> = serde_json::from_slice(body).map_err(garbled)?;
    let mut told = told.unwrap_or_default();
    told.remove("");
    Ok(told.into_iter().filter_map(|(id, entry)| Some((id, entry.into_figures()?))).collect())
}

/// Number of workers of a runner.
///
/// Errors: [`RunnerError::Garbled`], also if it does not say how many.
pub(super) fn workers(body: &[u8]) -> Result<u32, RunnerError> {
    let told: Lenient = serde_json::from_slice(body).map_err(garbled)?;
    let Lenient::Entry(entry) = told else { return Err(RunnerError::Garbled("no object".to_owned())) };
    let Some(Scalar::Number(count)) = entry.count else { return Err(RunnerError::Garbled("no number in Count".to_owned())) };
    u32::try_from(count).map_err(|_| RunnerError::Garbled(format!("{count} in Count")))
}

fn garbled(error: serde_json::Error) -> RunnerError {
    RunnerError::Garbled(error.to_string())
}

/// A JSON value of which only some keys matter, if it is an object.
enum Lenient {
    /// An object; boxed because there are many.
    Entry(Box<Entry>),
    /// Anything else.
    Other,
}

/// The keys that matter of both routes.
#[derive(Default)]
struct Entry {
    figures: CheckFigures,
    count: Option<Scalar>,
}

impl Lenient {
    /// The figures, `None` if nothing is told.
    fn into_figures(self) -> Option<CheckFigures> {
        if let Self::Entry(entry) = self { Some(entry.figures) } else { None }
    }
}

/// A value as far as it can be one of those that are expected.
#[derive(Clone, Copy)]
enum Scalar {
    /// A whole number; fractions are cut off, and what is too large is the largest.
    Number(i64),
    Bool(bool),
    Other,
}

impl Scalar {
    fn number(self) -> i64 {
        if let Self::Number(number) = self { number } else { 0 }
    }

    fn is_true(self) -> bool {
        matches!(self, Self::Bool(true))
    }
}

/// The visits that both visitors have in common: values that are read and not looked at.
macro_rules! ignore {
    ($other:expr; $($visit:ident($type:ty)),*) => {
        $(fn $visit<E: serde::de::Error>(self, _: $type) -> Result<Self::Value, E> {
            Ok($other)
        })*

        fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
            Ok($other)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok($other)
        }
    };
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ScalarVisitor;

        impl<'de> Visitor<'de> for ScalarVisitor {
            type Value = Scalar;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a number or a boolean")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
                Ok(Scalar::Bool(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
                Ok(Scalar::Number(value))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
                Ok(Scalar::Number(i64::try_from(value).unwrap_or(i64::MAX)))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
                // Saturates, and no number is 0.
                Ok(Scalar::Number(value as i64))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Scalar::Other)
            }

            ignore!(Scalar::Other; visit_str(&str));
        }

        deserializer.deserialize_any(ScalarVisitor)
    }
}

impl<'de> Deserialize<'de> for Lenient {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntryVisitor;

        impl<'de> Visitor<'de> for EntryVisitor {
            type Value = Lenient;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Lenient, A::Error> {
                let mut entry = Box::<Entry>::default();
                while let Some(key) = map.next_key::<Key>()? {
                    let Some(slot) = key.0 else {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    };
                    slot(&mut entry, map.next_value()?);
                }
                Ok(Lenient::Entry(entry))
            }

            ignore!(Lenient::Other; visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_f64(f64), visit_str(&str));
        }

        deserializer.deserialize_any(EntryVisitor)
    }
}

/// Where the value of a key goes; `None` = nowhere.
struct Key(Option<fn(&mut Entry, Scalar)>);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl Visitor<'_> for KeyVisitor {
            type Value = Key;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a key")
            }

            fn visit_str<E>(self, key: &str) -> Result<Key, E> {
                Ok(Key(match key {
                    "AverageExecutionTime" => Some(|entry, value| entry.figures.average_execution_time = value.number()),
                    "MetricSamples" => Some(|entry, value| entry.figures.metric_samples = value.number()),
                    "HistogramBuckets" => Some(|entry, value| entry.figures.histogram_buckets = value.number()),
                    "Events" => Some(|entry, value| entry.figures.events = value.number()),
                    "LastExecFailed" => Some(|entry, value| entry.figures.last_exec_failed = value.is_true()),
                    "TotalRuns" => Some(|entry, value| {
                        entry.figures.total_runs = if let Scalar::Number(runs) = value { u64::try_from(runs).ok() } else { None };
                    }),
                    "Pending" => Some(|entry, value| entry.figures.pending = value.is_true()),
                    "Count" => Some(|entry, value| entry.count = Some(value)),
                    _ => None,
                }))
            }
        }

        deserializer.deserialize_str(KeyVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> BTreeMap<CheckId, CheckFigures> {
        checks(body.as_bytes()).unwrap()
    }

    #[test]
    fn every_version_of_statistics_is_read() {
        let oldest = read(r#"{"a:1":{"AverageExecutionTime":12,"MetricSamples":40}}"#);
        let expected = CheckFigures { average_execution_time: 12, metric_samples: 40, ..CheckFigures::default() };
        assert_eq!(oldest["a:1"], expected);
        let middle =
            read(r#"{"a:1":{"AverageExecutionTime":12,"MetricSamples":40,"HistogramBuckets":5,"Events":6,"LastExecFailed":true}}"#);
        let expected = CheckFigures { histogram_buckets: 5, events: 6, last_exec_failed: true, ..expected };
        assert_eq!(middle["a:1"], expected);
        let newest = read(
            r#"{"http_check:web:e052798b07e68481":{"AverageExecutionTime":12,"MetricSamples":3,"HistogramBuckets":0,"Events":0,"ServiceChecks":2,
            "LastExecFailed":false,"LastError":"","TotalRuns":40,"TotalErrors":0,"TotalMetricSamples":120,"TotalEvents":0,
            "TotalServiceChecks":80,"LastSuccessDate":1700000000,"LastExecutionDate":1700000000123}}"#,
        );
        let expected = CheckFigures { average_execution_time: 12, metric_samples: 3, total_runs: Some(40), ..CheckFigures::default() };
        assert_eq!(newest["http_check:web:e052798b07e68481"], expected);
        let ours = read(r#"{"a:1":{"AverageExecutionTime":0,"TotalRuns":0,"Pending":true}}"#);
        assert_eq!(ours["a:1"], CheckFigures { total_runs: Some(0), pending: true, ..CheckFigures::default() });
    }

    #[test]
    fn cc_t49_the_entry_without_a_name_is_dropped() {
        let told = read(r#"{"redisdb:cache:1f00aa":{"AverageExecutionTime":12,"MetricSamples":40},"":{"AverageExecutionTime":9}}"#);
        assert_eq!(told.keys().map(CheckId::as_str).collect::<Vec<_>>(), ["redisdb:cache:1f00aa"]);
    }

    #[test]
    fn values_that_are_not_what_they_should_be_count_as_not_told() {
        let time =
            |value: &str| read(&format!(r#"{{"a":{{"AverageExecutionTime":{value},"MetricSamples":7}}}}"#))["a"].average_execution_time;
        for (value, number) in [
            ("12.9", 12),
            ("1.2e3", 1200),
            ("null", 0),
            ("\"12\"", 0),
            ("true", 0),
            ("[1,[2]]", 0),
            ("{\"a\":{}}", 0),
            ("-5", -5),
            ("1e300", i64::MAX),
            ("-1e300", i64::MIN),
            ("18446744073709551615", i64::MAX),
            ("9223372036854775808", i64::MAX),
        ] {
            assert_eq!(time(value), number, "{value}");
        }
        let flags = read(r#"{"a":{"LastExecFailed":null,"TotalRuns":-1,"Pending":1},"b":{"TotalRuns":2.0,"TotalRuns":3}}"#);
        assert_eq!(flags["a"], CheckFigures::default());
        assert_eq!(flags["b"].total_runs, Some(3), "the last one wins, as in Go");
    }

    #[test]
    fn entries_that_are_no_objects_are_left_out_and_the_others_count() {
        let told = read(
            r#"{"a":null,"b":3,"c":"x","d":[{"AverageExecutionTime":1}],"e":{},"f":{"AverageExecutionTime":1},"g":true,"h":-1,"i":0.5}"#,
        );
        assert_eq!(told.keys().map(CheckId::as_str).collect::<Vec<_>>(), ["e", "f"]);
        assert!(read("null").is_empty() && read("{}").is_empty());
        let many: Vec<String> = (0..100_000).map(|number| format!(r#""c:{number}":{{"MetricSamples":{number}}}"#)).collect();
        assert_eq!(read(&format!("{{{}}}", many.join(",")))["c:99999"].metric_samples, 99_999);
    }

    #[test]
    fn what_is_no_json_is_garbled() {
        for body in ["", "{", "[]", "3", "\"x\"", r#"{"a":{"AverageExecutionTime":NaN}}"#, r#"{"a":{}} x"#, r#"{"a":{}}{"#, "<html>"] {
            assert!(matches!(checks(body.as_bytes()), Err(RunnerError::Garbled(_))), "{body}");
        }
        let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        let _ = checks(deep.as_bytes());
    }

    #[test]
    fn workers_are_told_by_count() {
        assert_eq!(workers(br#"{"Count":4,"Instances":{"worker_1":{"Utilization":0.25},"worker_2":{"Utilization":0}}}"#), Ok(4));
        assert_eq!(workers(br#"{"Instances":null,"Count":7.0}"#), Ok(7));
        assert_eq!(workers(br#"{"Count":0}"#), Ok(0));
        for body in
            ["{}", "null", "[4]", "4", r#"{"Count":null}"#, r#"{"Count":-1}"#, r#"{"Count":1e12}"#, r#"{"Count":"4"}"#, "{\"Count\":"]
        {
            assert!(matches!(workers(body.as_bytes()), Err(RunnerError::Garbled(_))), "{body}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
            let _ = (checks(&bytes), workers(&bytes));
        }

        #[test]
        fn what_our_own_form_says_is_read_back(average_execution_time: i64, metric_samples: i64, total_runs: Option<u32>, pending: bool) {
            let total_runs = total_runs.map(u64::from);
            let figures = CheckFigures { average_execution_time, metric_samples, total_runs, pending, ..CheckFigures::default() };
            let body = serde_json::json!({ "a": figures }).to_string();
            proptest::prop_assert_eq!(&read(&body)["a"], &figures);
        }
    }
}
