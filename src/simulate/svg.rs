//! The comparison as a drawing.

use std::fmt::Write as _;

use muster_actors::sim::fleet::{FleetReport, Point, Span};

use crate::simulate::comparison::Comparison;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 24.0;
const CHART: f64 = 220.0;

/// Told apart also by people who see no red or no green (Okabe and Ito).
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

/// A drawing of busiest/mean and of moves over time, with what happened.
#[must_use]
pub fn draw(comparison: &Comparison) -> String {
    let height = 110.0 + 2.0 * (CHART + 56.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    let scenario = &comparison.scenario;
    let length = Span::from_seconds(scenario.length_seconds).unwrap_or_default();
    let title = format!("{} agents, {} checks, {length}, seed {}", scenario.nodes, scenario.checks, comparison.seed);
    let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"26\" font-size=\"16\">{}</text>", escaped(&title));
    let mut x = LEFT;
    for (report, colour) in comparison.reports.iter().zip(COLOURS.iter().cycle()) {
        let _ = writeln!(svg, "<rect x=\"{x}\" y=\"40\" width=\"18\" height=\"4\" fill=\"{colour}\"/>");
        let _ = writeln!(svg, "<text x=\"{}\" y=\"47\">{}</text>", x + 24.0, escaped(&report.contender));
        x += 60.0 + 7.0 * report.contender.chars().count() as f64;
    }
    let most =
        |value: fn(&Point) -> f64, least: f64| comparison.reports.iter().flat_map(|report| &report.series).map(value).fold(least, f64::max);
    let ratio = |point: &Point| point.busiest_over_mean;
    let moves = |point: &Point| point.moves as f64;
    chart(&mut svg, comparison, &Chart { title: "busiest / mean", top: 84.0, least: 1.0, most: most(ratio, 1.05), value: ratio });
    let top = 84.0 + CHART + 56.0;
    chart(&mut svg, comparison, &Chart { title: "moves so far", top, least: 0.0, most: most(moves, 1.0), value: moves });
    svg.push_str("</svg>\n");
    svg
}

struct Chart {
    title: &'static str,
    top: f64,
    least: f64,
    most: f64,
    value: fn(&Point) -> f64,
}

impl Chart {
    fn y(&self, value: f64) -> f64 {
        self.top + CHART * (1.0 - (value - self.least) / (self.most - self.least).max(1e-9))
    }
}

fn chart(svg: &mut String, comparison: &Comparison, chart: &Chart) {
    let length = comparison.scenario.length_seconds.max(1e-9);
    let x = |seconds: f64| LEFT + (WIDTH - LEFT - RIGHT) * (seconds / length).min(1.0);
    let bottom = chart.top + CHART;
    let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"{}\" font-weight=\"bold\">{}</text>", chart.top - 10.0, chart.title);
    for step in 0..=4 {
        let value = chart.least + (chart.most - chart.least) * f64::from(step) / 4.0;
        let (y, label) = (chart.y(value), if chart.most < 20.0 { format!("{value:.2}") } else { format!("{value:.0}") });
        let _ = writeln!(svg, "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{}\" y2=\"{y:.1}\" stroke=\"#dddddd\"/>", WIDTH - RIGHT);
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>", LEFT - 8.0, y + 4.0);
        let at = Span::from_seconds((length * f64::from(step) / 4.0).round()).unwrap_or_default();
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{at}</text>",
            x(length * f64::from(step) / 4.0),
            bottom + 18.0
        );
    }
    for event in comparison.reports.first().into_iter().flat_map(|report| &report.events) {
        let at = x(event.at_seconds);
        let _ = writeln!(
            svg,
            "<line x1=\"{at:.1}\" y1=\"{}\" x2=\"{at:.1}\" y2=\"{bottom}\" stroke=\"#888888\" stroke-dasharray=\"3 3\">\
             <title>{}</title></line>",
            chart.top,
            escaped(&event.what)
        );
    }
    for (report, colour) in comparison.reports.iter().zip(COLOURS.iter().cycle()) {
        let _ = writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"{}\"/>",
            points(report, |point| (x(point.at_seconds), chart.y((chart.value)(point))))
        );
    }
}

/// Steps: a value holds until the next one.
fn points(report: &FleetReport, at: impl Fn(&Point) -> (f64, f64)) -> String {
    let mut text = String::new();
    let mut before = None;
    for point in &report.series {
        let (x, y) = at(point);
        if let Some(before) = before.filter(|before| *before != y) {
            let _ = write!(text, "{x:.1},{before:.1} ");
        }
        let _ = write!(text, "{x:.1},{y:.1} ");
        before = Some(y);
    }
    text.trim_end().to_owned()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use muster_actors::balance::policy::Strategy;
    use muster_actors::sim::fleet::{Contender, Scenario};

    use super::*;
    use crate::simulate::running::run_all;

    #[test]
    fn a_drawing_has_a_line_for_each_contender_and_marks_for_events() {
        let text = r#"{"version": 1, "length": "5m", "nodes": [{"name": "a<b"}, {"name": "c"}], "checks": [{"name": "x", "need": 0.5}],
            "events": [{"at": "1m", "kill": {"runners": ["a<b"], "for": "20s"}}]}"#;
        let scenario = Scenario::parse(text).unwrap();
        let contenders = [Contender::of(Strategy::Off), Contender::of(Strategy::Bounded)];
        let reports = run_all(&scenario, &contenders, 1, |_| {}).unwrap();
        let svg = draw(&Comparison::new(&scenario, 1, reports));
        assert!(svg.starts_with("<svg xmlns=") && svg.ends_with("</svg>\n"));
        assert_eq!((svg.matches("<polyline").count(), svg.matches("stroke-dasharray").count()), (4, 2));
        assert!(svg.contains("a&lt;b dead for 20s") && !svg.contains("a<b") && !svg.contains("NaN"));
    }
}
