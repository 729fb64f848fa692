//! Prometheus text as JSON, for scripts without a parser for it.

use serde_json::{Value as Json, json};

/// One object per series: `{"series":"name{labels}","value":1}`; values that JSON cannot hold are texts.
pub(super) fn to_json(text: &str) -> Json {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .filter_map(|line| {
            // Label values may contain blanks and brackets, the value may be followed by a time.
            let name_end = line.rfind('}').map_or_else(|| line.find(' '), |bracket| Some(bracket + 1))?;
            let value = line[name_end..].split_whitespace().next()?;
            let number = value.parse::<f64>().ok().filter(|number| number.is_finite()).map_or_else(|| Json::from(value), Json::from);
            Some(json!({"series": &line[..name_end], "value": number}))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_told_apart_from_their_values() {
        let text = "# HELP a b\n# TYPE a gauge\na 1\nb{x=\"y z\",le=\"+Inf\"} 2.5 1700000000\nc NaN\n";
        assert_eq!(
            to_json(text),
            json!([{"series": "a", "value": 1.0}, {"series": "b{x=\"y z\",le=\"+Inf\"}", "value": 2.5}, {"series": "c", "value": "NaN"}])
        );
    }
}
