//! Series as protobuf. Source: node-runner 14.3.

use muster_actors::domain::samples::SeriesKind;
use prost::Message;

use crate::output::prepare::PreparedSeries;

/// The whole body.
#[derive(Clone, PartialEq, Message)]
pub struct MetricPayload {
    /// All series.
    #[prost(message, repeated, tag = "1")]
    pub series: Vec<MetricSeries>,
}

/// One series.
#[derive(Clone, PartialEq, Message)]
pub struct MetricSeries {
    /// `host` and `device`.
    #[prost(message, repeated, tag = "1")]
    pub resources: Vec<Resource>,
    /// Name.
    #[prost(string, tag = "2")]
    pub metric: String,
    /// Tags.
    #[prost(string, repeated, tag = "3")]
    pub tags: Vec<String>,
    /// Points.
    #[prost(message, repeated, tag = "4")]
    pub points: Vec<MetricPoint>,
    /// 1 count, 2 rate, 3 gauge: not the order of the JSON names.
    #[prost(int32, tag = "5")]
    pub kind: i32,
    /// Unit; not used by checks.
    #[prost(string, tag = "6")]
    pub unit: String,
    /// Source type.
    #[prost(string, tag = "7")]
    pub source_type_name: String,
    /// Seconds.
    #[prost(int64, tag = "8")]
    pub interval: i64,
    /// Origin; written only for series that are not indexed.
    #[prost(message, optional, tag = "9")]
    pub metadata: Option<Metadata>,
}

/// What a series belongs to.
#[derive(Clone, PartialEq, Message)]
pub struct Resource {
    /// `host` or `device`.
    #[prost(string, tag = "1")]
    pub kind: String,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
}

/// One point.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct MetricPoint {
    /// Value.
    #[prost(double, tag = "1")]
    pub value: f64,
    /// Seconds since the Unix epoch.
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

/// Metadata of a series.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Metadata {
    /// Where it comes from.
    #[prost(message, optional, tag = "1")]
    pub origin: Option<Origin>,
}

/// Origin of a series.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Origin {
    /// 9 = not indexed.
    #[prost(int32, tag = "3")]
    pub metric_type: i32,
}

/// `metric_type` of a series that is not to be indexed. Source: cluster-agent-kubernetes 6.3.
const NOT_INDEXED: i32 = 9;

/// Writes a body.
#[must_use]
pub fn body(series: &[PreparedSeries<'_>]) -> Vec<u8> {
    MetricPayload { series: series.iter().map(convert).collect() }.encode_to_vec()
}

fn convert(prepared: &PreparedSeries<'_>) -> MetricSeries {
    let source = prepared.series;
    // The host resource is written even when the host is empty, as upstream does.
    let mut resources = vec![Resource { kind: "host".to_owned(), name: source.host.clone() }];
    if let Some(device) = prepared.device {
        resources.push(Resource { kind: "device".to_owned(), name: device.to_owned() });
    }
    MetricSeries {
        resources,
        metric: prepared.name.to_string(),
        tags: prepared.tags.iter().map(|tag| (*tag).to_owned()).collect(),
        points: prepared.points.iter().map(|&(timestamp, value)| MetricPoint { value, timestamp }).collect(),
        kind: match source.kind {
            SeriesKind::Count => 1,
            SeriesKind::Rate => 2,
            SeriesKind::Gauge => 3,
        },
        unit: String::new(),
        source_type_name: source.source_type_name.clone(),
        interval: source.interval,
        metadata: source.no_index.then_some(Metadata { origin: Some(Origin { metric_type: NOT_INDEXED }) }),
    }
}

#[cfg(test)]
mod tests {
    use muster_actors::domain::samples::Series;

    use super::*;
    use crate::output::prepare;

    fn response_time() -> Series {
        Series {
            name: "network.http.response_time".to_owned(),
            points: vec![(1_700_000_000, 0.25)],
            tags: vec!["url:http://a/".to_owned()],
            host: "node-1".to_owned(),
            kind: SeriesKind::Gauge,
            interval: 0,
            source_type_name: "System".to_owned(),
            no_index: false,
        }
    }

    fn encode(series: Series) -> Vec<u8> {
        let all = [series];
        body(&prepare::series(&all, 10_000).0)
    }

    fn hex(bytes: &[u8]) -> String {
        use std::fmt::Write as _;
        bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    #[test]
    fn nr_t48_bytes_are_exact() {
        assert_eq!(
            hex(&encode(response_time())),
            "0a560a0e0a04686f737412066e6f64652d31121a6e6574776f726b2e687474702e726573706f6e73655f74696d651a0d75726c3a\
             687474703a2f2f612f220f09000000000000d03f1080e2cfaa0628033a0653797374656d"
        );
        let count = Series {
            name: "c".to_owned(),
            points: vec![(1_700_000_000, 5.0)],
            tags: vec![],
            kind: SeriesKind::Count,
            interval: 10,
            source_type_name: String::new(),
            ..response_time()
        };
        assert_eq!(hex(&encode(count)), "0a280a0e0a04686f737412066e6f64652d31120163220f0900000000000014401080e2cfaa062801400a");
    }

    #[test]
    fn a_device_is_a_resource_and_an_empty_host_is_written() {
        let series = Series { host: String::new(), tags: vec!["device:sda".to_owned()], ..response_time() };
        let decoded = MetricPayload::decode(encode(series).as_slice()).unwrap();
        let resources: Vec<_> = decoded.series[0].resources.iter().map(|one| (one.kind.as_str(), one.name.as_str())).collect();
        assert_eq!(resources, [("host", ""), ("device", "sda")]);
        assert!(decoded.series[0].tags.is_empty());
    }

    #[test]
    fn a_series_that_is_not_indexed_says_so() {
        let decoded = MetricPayload::decode(encode(Series { no_index: true, ..response_time() }).as_slice()).unwrap();
        assert_eq!(decoded.series[0].metadata.unwrap().origin.unwrap().metric_type, 9);
    }
}
