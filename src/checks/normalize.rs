//! Texts as upstream's Python writes them. Source: node-runner 9 and 10.6.

/// Makes a tag value safe: `my-name (x)` -> `my_name_x`.
///
/// `legacy` false keeps `-` (instance key `enable_legacy_tags_normalization`).
pub(crate) fn normalize_tag(text: &str, legacy: bool) -> String {
    let replaced = |letter: char| {
        matches!(letter, ',' | '+' | '*' | '/' | '(' | ')' | '[' | ']' | '{' | '}' | ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
            || (legacy && letter == '-')
    };
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        let letter = if replaced(letter) { '_' } else { letter };
        match letter {
            // Underscores collapse, and vanish around a dot.
            '_' if out.ends_with(['_', '.']) => {}
            '.' => {
                out.truncate(out.trim_end_matches('_').len());
                out.push('.');
            }
            other => out.push(other),
        }
    }
    out.trim_matches('_').to_owned()
}

/// A number as Python's `str(float)` prints it: `1.0`, `0.1`, `1e-05`, `inf`.
pub(crate) fn python_float(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    // Rust's `{:?}` switches to exponents at the same magnitudes as Python, only the exponent is written differently.
    let text = format!("{number:?}");
    let Some((mantissa, exponent)) = text.split_once('e') else {
        return text;
    };
    let mantissa = mantissa.strip_suffix(".0").unwrap_or(mantissa);
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// A bound or quantile as a tag value: like [`python_float`], but zero is `0`.
pub(crate) fn canonical_number(number: f64) -> String {
    if number == 0.0 { "0".to_owned() } else { python_float(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_lose_what_a_tag_cannot_hold() {
        let vectors = [
            ("my-name (x)", "my_name_x"),
            ("My-Web", "My_Web"),
            ("a__b", "a_b"),
            ("a_._b", "a.b"),
            ("a_.._b", "a..b"),
            ("_lead and trail_", "lead_and_trail"),
            ("(x)", "x"),
            ("a, b+c*d/e[f]{g}", "a_b_c_d_e_f_g"),
            ("grün", "grün"),
        ];
        for (text, expected) in vectors {
            assert_eq!(normalize_tag(text, true), expected, "{text:?}");
        }
        assert_eq!(normalize_tag("my-name (x)", false), "my-name_x");
    }

    #[test]
    fn numbers_look_like_python() {
        let vectors = [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.25e100, "1.25e+100"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
            (-2.5, "-2.5"),
        ];
        for (number, expected) in vectors {
            assert_eq!(python_float(number), expected);
        }
        assert_eq!(canonical_number(0.0), "0");
        assert_eq!(canonical_number(-0.0), "0");
        assert_eq!(canonical_number(10.0), "10.0");
    }
}
