//! A line of blocks in a terminal.

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Columns of a line.
pub(super) const WIDTH: usize = 60;

/// What becomes of the values that fall into one column.
#[derive(Clone, Copy, Debug)]
pub(super) enum Gather {
    /// The largest.
    Most,
    /// All of them together.
    Sum,
}

/// The values of [`WIDTH`] columns; each value is at a share of the whole, from 0 to 1.
pub(super) fn columns(values: impl Iterator<Item = (f64, f64)>, gather: Gather) -> Vec<Option<f64>> {
    let mut columns: Vec<Option<f64>> = vec![None; WIDTH];
    for (share, value) in values {
        let column = ((share * WIDTH as f64) as usize).min(WIDTH - 1);
        columns[column] = Some(match (columns[column], gather) {
            (None, _) => value,
            (Some(before), Gather::Most) => before.max(value),
            (Some(before), Gather::Sum) => before + value,
        });
    }
    columns
}

/// A block for each column, `least` the lowest and `most` the highest one. A column without a value goes on with the one before.
pub(super) fn line(columns: &[Option<f64>], least: f64, most: f64) -> String {
    let mut last = least;
    columns
        .iter()
        .map(|value| {
            last = value.unwrap_or(last);
            let height = if most > least { (last - least) / (most - least) } else { 0.0 };
            BLOCKS[((height * 7.0).round() as usize).min(7)]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_value_is_the_highest_block() {
        let values = columns([(0.0, 1.0), (0.5, 3.0), (0.5, 2.0), (1.0, 5.0)].into_iter(), Gather::Most);
        let drawn: Vec<char> = line(&values, 1.0, 5.0).chars().collect();
        assert_eq!((drawn[0], drawn[29], drawn[30], drawn[59]), ('▁', '▁', '▅', '█'));
        assert_eq!(columns([(0.5, 3.0), (0.5, 2.0)].into_iter(), Gather::Sum)[30], Some(5.0));
        assert_eq!(line(&[Some(1.0)], 1.0, 1.0), "▁");
    }
}
