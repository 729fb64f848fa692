//! Layout: colours and padding.

/// Colours, if there are any.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Paint {
    enabled: bool,
}

impl Paint {
    /// With or without colours.
    pub(super) const fn new(enabled: bool) -> Self {
        Self { enabled }
    }

    /// Good.
    pub(super) fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// Bad.
    pub(super) fn red(self, text: &str) -> String {
        self.wrap("31", text)
    }

    /// A title.
    pub(super) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.enabled { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Colours the titles and states of a finished text, line by line.
pub(super) fn paint_lines(paint: Paint, text: &str) -> String {
    let mut painted = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (body, end) = line.strip_suffix('\n').map_or((line, ""), |body| (body, "\n"));
        let is_title = body.starts_with("===") && body.ends_with("===") && body.contains(|c: char| c != '=');
        let body = if is_title {
            paint.bold(body)
        } else {
            body.replace("[OK]", &format!("[{}]", paint.green("OK"))).replace("[ERROR]", &format!("[{}]", paint.red("ERROR")))
        };
        painted.push_str(&body);
        painted.push_str(end);
    }
    painted
}

/// Rows in columns of equal width, `gap` blanks apart; nothing is added behind the last column.
pub(super) fn columns(rows: &[Vec<String>], gap: usize) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            line.push_str(cell);
            let padding = widths[column] + gap - cell.chars().count();
            line.extend(std::iter::repeat_n(' ', padding));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_padded_to_the_widest_cell() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let text = columns(&[row(["Name", "Running checks"]), row(["a-long-node", "2"])], 3);
        assert_eq!(text, "Name          Running checks\na-long-node   2\n");
    }

    #[test]
    fn without_colours_the_text_stays() {
        let text = "=== load check ===\nInstance ID: a [OK]\n===\n";
        assert_eq!(paint_lines(Paint::new(false), text), text);
        let painted = paint_lines(Paint::new(true), text);
        assert_eq!(painted, "\u{1b}[1m=== load check ===\u{1b}[0m\nInstance ID: a [\u{1b}[32mOK\u{1b}[0m]\n===\n");
    }
}
