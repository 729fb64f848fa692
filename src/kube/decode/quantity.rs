//! Amounts as Kubernetes writes them: `500m`, `4Gi`, `1e3`.

/// What each suffix multiplies with.
const SUFFIXES: [(&str, f64); 15] = [
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("Ei", 1_152_921_504_606_846_976.0),
    ("n", 1e-9),
    ("u", 1e-6),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
];

/// The number; `None` if this is no amount.
pub(in crate::kube) fn amount(text: &str) -> Option<f64> {
    let suffixed = SUFFIXES.iter().find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, *factor)));
    let (number, factor) = suffixed.unwrap_or((text, 1.0));
    // The parser also knows words like `inf`.
    let begins_well = number.trim_start_matches(['+', '-']).starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let number = number.parse::<f64>().ok().filter(|_| begins_well)?;
    // Dividing by a power of ten is exact where multiplying by its inverse is not.
    Some(if factor < 1.0 { number / (1.0 / factor).round() } else { number * factor })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_with_every_kind_of_suffix() {
        for (text, expected) in [
            ("10", 10.0),
            ("500m", 0.5),
            ("300m", 0.3),
            ("4Gi", 4_294_967_296.0),
            ("2k", 2000.0),
            ("1.5M", 1.5e6),
            ("1e3", 1000.0),
            ("1E3", 1000.0),
            ("2E", 2e18),
            ("250u", 0.000_25),
            ("7n", 7e-9),
            ("-3", -3.0),
            ("+.5", 0.5),
            ("0", 0.0),
        ] {
            assert_eq!(amount(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_none() {
        for text in ["", "m", "Gi", "ten", "inf", "NaN", "1 Gi", "1GiB", "--1"] {
            assert_eq!(amount(text), None, "{text}");
        }
    }
}
