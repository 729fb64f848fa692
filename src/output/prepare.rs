//! What the intake wants of every metric, whatever the body looks like: names, device, finite numbers.

use std::borrow::Cow;

use muster_actors::domain::delivery::Contents;
use muster_actors::domain::metric_name::normalize_metric_name;
use muster_actors::domain::samples::{Series, SketchSeries};

/// A series ready for a body.
#[derive(Clone, Debug)]
pub struct PreparedSeries<'a> {
    /// Name in the form of the intake.
    pub name: Cow<'a, str>,
    /// Value of the `device:` tag.
    pub device: Option<&'a str>,
    /// Tags without the `device:` tag.
    pub tags: Vec<&'a str>,
    /// (seconds since the Unix epoch, finite value).
    pub points: Cow<'a, [(i64, f64)]>,
    /// Everything else.
    pub series: &'a Series,
}

impl PreparedSeries<'_> {
    /// For splitting by size.
    #[must_use]
    pub fn contents(&self) -> Contents {
        Contents { points: self.points.len() as u64, ..Contents::default() }
    }

    /// Lower bound of the encoded size, in bytes.
    #[must_use]
    pub fn least_bytes(&self) -> u64 {
        let texts = self.name.len() + self.series.host.len() + self.tags.iter().map(|tag| tag.len() + 2).sum::<usize>();
        (texts + self.points.len() * 15) as u64
    }
}

/// Prepares series; each holds at most `max_points` points, longer ones are cut into several.
///
/// Also returns what has no valid form: names without a letter, numbers that are not finite.
#[must_use]
pub fn series(all: &[Series], max_points: usize) -> (Vec<PreparedSeries<'_>>, Contents) {
    let mut prepared = Vec::with_capacity(all.len());
    let mut invalid = Contents::default();
    for series in all {
        let Some(name) = normalize_metric_name(&series.name) else {
            invalid.points += series.points.len() as u64;
            continue;
        };
        let (device, tags) = split_device(&series.tags);
        if series.points.iter().all(|(_, value)| value.is_finite()) {
            for points in series.points.chunks(max_points.max(1)) {
                let (name, tags) = (name.clone(), tags.clone());
                prepared.push(PreparedSeries { name, device, tags, points: Cow::Borrowed(points), series });
            }
        } else {
            let finite: Vec<(i64, f64)> = series.points.iter().filter(|(_, value)| value.is_finite()).copied().collect();
            invalid.points += (series.points.len() - finite.len()) as u64;
            for points in finite.chunks(max_points.max(1)) {
                let (name, tags) = (name.clone(), tags.clone());
                prepared.push(PreparedSeries { name, device, tags, points: Cow::Owned(points.to_vec()), series });
            }
        }
    }
    (prepared, invalid)
}

/// A sketch ready for a body.
#[derive(Clone, Debug)]
pub struct PreparedSketch<'a> {
    /// Name in the form of the intake.
    pub name: Cow<'a, str>,
    /// Everything else.
    pub sketch: &'a SketchSeries,
}

impl PreparedSketch<'_> {
    /// For splitting by size.
    #[must_use]
    pub fn contents(&self) -> Contents {
        Contents { sketches: 1, ..Contents::default() }
    }

    /// Lower bound of the encoded size, in bytes.
    #[must_use]
    pub fn least_bytes(&self) -> u64 {
        let texts = self.name.len() + self.sketch.host.len() + self.sketch.tags.iter().map(|tag| tag.len() + 2).sum::<usize>();
        (texts + self.sketch.bins.len() * 2 + 40) as u64
    }
}

/// Prepares sketches and counts those without a valid name.
#[must_use]
pub fn sketches(all: &[SketchSeries]) -> (Vec<PreparedSketch<'_>>, Contents) {
    let prepared: Vec<_> =
        all.iter().filter_map(|sketch| normalize_metric_name(&sketch.name).map(|name| PreparedSketch { name, sketch })).collect();
    let invalid = Contents { sketches: (all.len() - prepared.len()) as u64, ..Contents::default() };
    (prepared, invalid)
}

/// The first `device:` tag becomes the device; all of them leave the tags. Source: node-runner 14.2.
fn split_device(tags: &[String]) -> (Option<&str>, Vec<&str>) {
    let device = tags.iter().find_map(|tag| tag.strip_prefix("device:"));
    let others = tags.iter().map(String::as_str).filter(|tag| !tag.starts_with("device:")).collect();
    (device, others)
}

#[cfg(test)]
mod tests {
    use muster_actors::domain::samples::SeriesKind;

    use super::*;

    fn plain(name: &str, points: Vec<(i64, f64)>, tags: &[&str]) -> Series {
        Series {
            name: name.to_owned(),
            points,
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            host: "node-1".to_owned(),
            kind: SeriesKind::Gauge,
            interval: 0,
            source_type_name: "System".to_owned(),
            no_index: false,
        }
    }

    #[test]
    fn numbers_that_are_not_finite_are_left_out_and_counted() {
        let all = [plain("a", vec![(1, 1.0), (2, f64::NAN), (3, f64::INFINITY)], &[]), plain("b", vec![(1, f64::NAN)], &[])];
        let (prepared, invalid) = series(&all, 10);
        assert_eq!(prepared.len(), 1);
        assert_eq!(prepared[0].points.as_ref(), &[(1, 1.0)]);
        assert_eq!(invalid.points, 3);
    }

    #[test]
    fn names_are_normalised_and_hopeless_ones_counted() {
        let all = [plain("PLUGIN.nginx-stat.qps", vec![(1, 1.0)], &[]), plain("123", vec![(1, 1.0), (2, 2.0)], &[])];
        let (prepared, invalid) = series(&all, 10);
        assert_eq!(prepared[0].name, "PLUGIN.nginx_stat.qps");
        assert_eq!(invalid.points, 2);
    }

    #[test]
    fn a_device_tag_becomes_the_device() {
        let all = [plain("a", vec![(1, 1.0)], &["x:y", "device:sda"])];
        let (prepared, _) = series(&all, 10);
        assert_eq!(prepared[0].device, Some("sda"));
        assert_eq!(prepared[0].tags, ["x:y"]);
    }

    #[test]
    fn a_long_series_is_cut() {
        let all = [plain("a", (0..25).map(|at| (at, 1.0)).collect(), &["x:y"])];
        let (prepared, _) = series(&all, 10);
        assert_eq!(prepared.iter().map(|part| part.points.len()).collect::<Vec<_>>(), [10, 10, 5]);
        assert_eq!(prepared[2].points[0].0, 20);
    }
}
