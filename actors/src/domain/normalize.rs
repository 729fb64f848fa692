//! Names as the Python base library writes them. Source: node-runner 9, "normalisation helpers".

/// A tag value made of a free text, as in `instance:<name>`.
///
/// `legacy` = `enable_legacy_tags_normalization`: with it `-` becomes `_` too.
#[must_use]
pub fn normalize_tag(text: &str, legacy: bool) -> String {
    let replaced = text.chars().map(|letter| if is_replaced_in_tags(letter) && (legacy || letter != '-') { '_' } else { letter });
    tidy(&replaced.collect::<String>())
}

/// A metric name made of a free text, with `prefix` and a dot in front unless the prefix is empty.
#[must_use]
pub fn normalize_metric(text: &str, prefix: &str) -> String {
    let ascii = text.chars().filter(char::is_ascii);
    let from_first_letter = ascii.skip_while(|letter| !letter.is_ascii_alphabetic());
    let replaced: String =
        from_first_letter.map(|letter| if letter.is_ascii_alphanumeric() || letter == '.' { letter } else { '_' }).collect();
    let name = tidy(&replaced);
    if prefix.is_empty() { name } else { format!("{}.{name}", tidy(prefix)) }
}

fn is_replaced_in_tags(letter: char) -> bool {
    matches!(letter, ',' | '+' | '*' | '-' | '/' | '(' | ')' | '[' | ']' | '{' | '}') || letter.is_whitespace()
}

/// Collapses runs of `_`, removes `_` beside dots, and strips `_` at both ends.
fn tidy(text: &str) -> String {
    let mut tidied = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter == '.' {
            tidied.truncate(tidied.trim_end_matches('_').len());
        }
        if letter != '_' || !tidied.ends_with(['_', '.']) {
            tidied.push(letter);
        }
    }
    tidied.trim_matches('_').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_normalised_as_measured() {
        assert_eq!(normalize_tag("my-name (x)", true), "my_name_x");
        assert_eq!(normalize_tag("my-name (x)", false), "my-name_x");
        assert_eq!(normalize_tag("My-Web", true), "My_Web");
        assert_eq!(normalize_tag("_a_._b_", true), "a.b");
    }

    #[test]
    fn metric_names_are_normalised_as_measured() {
        assert_eq!(normalize_metric("a b/c", "p"), "p.a_b_c");
        assert_eq!(normalize_metric("99 lives", ""), "lives");
        assert_eq!(normalize_metric("a..b__c", ""), "a..b_c");
        assert_eq!(normalize_metric("a._b", ""), "a.b");
    }
}
