//! Series as JSON, for `use_v2_api.series: false` and for stdout. Source: node-runner 14.2.

use muster_actors::domain::samples::{Series, SeriesKind};
use serde::{Serialize, Serializer};

use crate::output::prepare::PreparedSeries;

#[derive(Serialize)]
struct Body<'a> {
    series: Vec<SeriesJson<'a>>,
}

/// One series as the intake and stdout show it.
#[derive(Serialize)]
pub struct SeriesJson<'a> {
    metric: &'a str,
    points: Vec<(i64, Number)>,
    tags: Vec<&'a str>,
    host: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'a str>,
    #[serde(rename = "type")]
    kind: SeriesKind,
    interval: i64,
    source_type_name: &'a str,
}

impl<'a> SeriesJson<'a> {
    fn of_prepared(prepared: &'a PreparedSeries<'a>) -> Self {
        Self {
            metric: &prepared.name,
            points: prepared.points.iter().map(|&(at, value)| (at, Number(value))).collect(),
            tags: prepared.tags.clone(),
            host: &prepared.series.host,
            device: prepared.device,
            kind: prepared.series.kind,
            interval: prepared.series.interval,
            source_type_name: &prepared.series.source_type_name,
        }
    }

    /// The series as it was submitted: name and tags untouched.
    #[must_use]
    pub fn as_submitted(series: &'a Series) -> Self {
        Self {
            metric: &series.name,
            points: series.points.iter().map(|&(at, value)| (at, Number(value))).collect(),
            tags: series.tags.iter().map(String::as_str).collect(),
            host: &series.host,
            device: None,
            kind: series.kind,
            interval: series.interval,
            source_type_name: &series.source_type_name,
        }
    }
}

/// A number that is written without a fraction when it has none, as upstream does.
#[derive(Clone, Copy, Debug)]
pub struct Number(pub f64);

/// Largest magnitude below which every whole double is exact.
const EXACT: f64 = 9_007_199_254_740_992.0;

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.fract() == 0.0 && self.0.abs() < EXACT {
            serializer.serialize_i64(self.0 as i64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

/// Writes a body.
#[must_use]
pub fn body(series: &[PreparedSeries<'_>]) -> Vec<u8> {
    // Strings, integers and finite numbers only: writing them to memory has no way to fail.
    serde_json::to_vec(&Body { series: series.iter().map(SeriesJson::of_prepared).collect() }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::prepare;

    fn can_connect() -> Series {
        Series {
            name: "network.http.can_connect".to_owned(),
            points: vec![(1_700_000_000, 1.0)],
            tags: vec!["url:http://a/".to_owned(), "instance:a".to_owned()],
            host: "node-1".to_owned(),
            kind: SeriesKind::Gauge,
            interval: 0,
            source_type_name: "System".to_owned(),
            no_index: false,
        }
    }

    fn encode(series: Series) -> String {
        let all = [series];
        String::from_utf8(body(&prepare::series(&all, usize::MAX).0)).unwrap()
    }

    #[test]
    fn nr_t47_text_is_exact() {
        assert_eq!(
            encode(can_connect()),
            r#"{"series":[{"metric":"network.http.can_connect","points":[[1700000000,1]],"tags":["url:http://a/","instance:a"],"host":"node-1","type":"gauge","interval":0,"source_type_name":"System"}]}"#
        );
    }

    #[test]
    fn a_device_tag_moves_and_fractions_stay() {
        let series = Series {
            points: vec![(1, 0.25), (2, -3.0), (3, 1e300)],
            tags: vec!["device:sda".to_owned()],
            kind: SeriesKind::Count,
            interval: 10,
            ..can_connect()
        };
        assert_eq!(
            encode(series),
            r#"{"series":[{"metric":"network.http.can_connect","points":[[1,0.25],[2,-3],[3,1e+300]],"tags":[],"host":"node-1","device":"sda","type":"count","interval":10,"source_type_name":"System"}]}"#
        );
    }
}
