//! Metric names as intakes accept them.

use std::borrow::Cow;

/// Brings a metric name into the form of the intake: letters, digits, `_` and `.`, starting with a letter.
///
/// Other characters become `_`, `_.` and `._` collapse to `.`, what stands before the first letter is cut.
/// Returns `None` when no letter is left.
///
/// Source: node-runner 9. Why here: every output that normalises must agree with the others.
#[must_use]
pub fn normalize_metric_name(name: &str) -> Option<Cow<'_, str>> {
    if is_normal(name) {
        return Some(Cow::Borrowed(name));
    }
    let first_letter = name.find(|letter: char| letter.is_ascii_alphabetic())?;
    let mut normal = String::with_capacity(name.len());
    for letter in name[first_letter..].chars() {
        match letter {
            '.' => {
                while normal.ends_with('_') {
                    normal.pop();
                }
                normal.push('.');
            }
            letter if letter.is_ascii_alphanumeric() => normal.push(letter),
            _ => {
                if !normal.ends_with('.') {
                    normal.push('_');
                }
            }
        }
    }
    Some(Cow::Owned(normal))
}

fn is_normal(name: &str) -> bool {
    let allowed = |letter: u8| letter.is_ascii_alphanumeric() || letter == b'_' || letter == b'.';
    name.as_bytes().first().is_some_and(u8::is_ascii_alphabetic)
        && name.bytes().all(allowed)
        && !name.contains("_.")
        && !name.contains("._")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn other_characters_become_underscores_and_collapse_beside_dots() {
        let cases = [
            ("network.http.response_time", Some("network.http.response_time")),
            ("PLUGIN.nginx-stat.qps", Some("PLUGIN.nginx_stat.qps")),
            ("a b/c", Some("a_b_c")),
            ("a_.b", Some("a.b")),
            ("a._b", Some("a.b")),
            ("a-.-b", Some("a.b")),
            ("a__.b", Some("a.b")),
            ("größe.x", Some("gr__e.x")),
            ("1st.place", Some("st.place")),
            ("_x", Some("x")),
            ("n_o_i_n_d_e_x.a", Some("n_o_i_n_d_e_x.a")),
            ("", None),
            ("123._", None),
        ];
        for (given, expected) in cases {
            assert_eq!(normalize_metric_name(given).as_deref(), expected, "{given:?}");
        }
    }

    proptest! {
        #[test]
        fn a_normal_name_stays_as_it_is(name in "\\PC{0,30}") {
            if let Some(normal) = normalize_metric_name(&name) {
                prop_assert!(is_normal(&normal), "{normal:?}");
            }
        }
    }
}
