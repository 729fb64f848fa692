//! Distributions as protobuf, and as JSON for stdout. Source: node-runner 14.5.

use muster_actors::domain::samples::SketchSeries;
use prost::Message;
use serde::Serialize;

use crate::output::prepare::PreparedSketch;
use crate::output::series_v1::Number;

/// The whole body.
#[derive(Clone, PartialEq, Message)]
pub struct SketchPayload {
    /// All sketches.
    #[prost(message, repeated, tag = "1")]
    pub sketches: Vec<Sketch>,
}

/// Sketches of one context.
#[derive(Clone, PartialEq, Message)]
pub struct Sketch {
    /// Name.
    #[prost(string, tag = "1")]
    pub metric: String,
    /// Host.
    #[prost(string, tag = "2")]
    pub host: String,
    /// Tags.
    #[prost(string, repeated, tag = "4")]
    pub tags: Vec<String>,
    /// One per time.
    #[prost(message, repeated, tag = "7")]
    pub dogsketches: Vec<Dogsketch>,
}

/// The sketch of one time.
#[derive(Clone, PartialEq, Message)]
pub struct Dogsketch {
    /// Seconds since the Unix epoch.
    #[prost(int64, tag = "1")]
    pub ts: i64,
    /// Number of values.
    #[prost(int64, tag = "2")]
    pub cnt: i64,
    /// Smallest value.
    #[prost(double, tag = "3")]
    pub min: f64,
    /// Largest value.
    #[prost(double, tag = "4")]
    pub max: f64,
    /// Mean.
    #[prost(double, tag = "5")]
    pub avg: f64,
    /// Sum.
    #[prost(double, tag = "6")]
    pub sum: f64,
    /// Keys of the bins, ascending.
    #[prost(sint32, repeated, tag = "7")]
    pub k: Vec<i32>,
    /// Values per bin.
    #[prost(uint32, repeated, tag = "8")]
    pub n: Vec<u32>,
}

/// Writes a body.
#[must_use]
pub fn body(sketches: &[PreparedSketch<'_>]) -> Vec<u8> {
    SketchPayload { sketches: sketches.iter().map(convert).collect() }.encode_to_vec()
}

fn convert(prepared: &PreparedSketch<'_>) -> Sketch {
    let source = prepared.sketch;
    Sketch {
        metric: prepared.name.to_string(),
        host: source.host.clone(),
        tags: source.tags.clone(),
        dogsketches: vec![Dogsketch {
            ts: source.timestamp,
            cnt: source.count,
            min: source.min,
            max: source.max,
            avg: source.average,
            sum: source.sum,
            k: source.bins.iter().map(|(key, _)| *key).collect(),
            n: source.bins.iter().map(|(_, count)| *count).collect(),
        }],
    }
}

/// One distribution as stdout shows it.
#[derive(Serialize)]
pub struct SketchJson<'a> {
    sketch: &'a str,
    timestamp: i64,
    count: i64,
    min: Number,
    max: Number,
    avg: Number,
    sum: Number,
    /// `[key, number]` pairs.
    bins: &'a [(i32, u32)],
    tags: &'a [String],
    host: &'a str,
}

impl<'a> From<&'a SketchSeries> for SketchJson<'a> {
    fn from(sketch: &'a SketchSeries) -> Self {
        Self {
            sketch: &sketch.name,
            timestamp: sketch.timestamp,
            count: sketch.count,
            min: Number(sketch.min),
            max: Number(sketch.max),
            avg: Number(sketch.average),
            sum: Number(sketch.sum),
            bins: &sketch.bins,
            tags: &sketch.tags,
            host: &sketch.host,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::prepare;

    #[test]
    fn numbers_of_fields_and_packing_are_those_of_the_intake() {
        let sketch = SketchSeries {
            name: "d".to_owned(),
            tags: vec!["a:b".to_owned()],
            host: "h".to_owned(),
            timestamp: 1,
            count: 3,
            min: 0.0,
            max: 1.0,
            average: 0.5,
            sum: 1.5,
            bins: vec![(-1, 1), (1338, 2)],
        };
        let all = [sketch];
        let bytes = body(&prepare::sketches(&all).0);
        // By hand: sketch { 1 "d", 2 "h", 4 "a:b", 7 { 1 ts, 2 cnt, (3 is 0 and left out), 4, 5, 6, 7 zigzag packed, 8 packed } }.
        let expected: Vec<u8> = [
            &[0x0a, 0x35][..],
            &[0x0a, 1, b'd', 0x12, 1, b'h', 0x22, 3, b'a', b':', b'b'],
            &[0x3a, 0x28, 0x08, 1, 0x10, 3],
            &[0x21, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f],
            &[0x29, 0, 0, 0, 0, 0, 0, 0xe0, 0x3f],
            &[0x31, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f],
            &[0x3a, 3, 0x01, 0xf4, 0x14],
            &[0x42, 2, 1, 2],
        ]
        .concat();
        assert_eq!(bytes, expected);
    }
}
