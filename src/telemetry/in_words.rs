//! Figures, times and reasons in the words of people: for the status and for the command line.

pub(crate) mod bars;
pub(crate) mod reasons;
pub(crate) mod when;

/// `1 check`, `2 checks`.
pub(crate) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_no_plural() {
        assert_eq!([counted(0, "move"), counted(1, "move"), counted(2, "move")], ["0 moves", "1 move", "2 moves"]);
    }
}
