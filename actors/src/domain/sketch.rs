//! Distributions with a relative error bound (DDSketch), in the key space of the intake. Source: node-runner 14.5.

use std::collections::BTreeMap;

/// Ratio of two neighbouring bin edges: 1 + 2/128.
const GAMMA: f64 = 1.015_625;
/// Key of the value 1.
const BIAS: i32 = 1338;
/// Key of everything too large.
const HIGHEST_KEY: i32 = 32_767;
/// Bins of one sketch; above it the lowest are merged.
const BIN_LIMIT: usize = 4096;

/// Key of a value: 0 for values too small to tell from 0, negative for negative values.
#[must_use]
pub fn key_of(value: f64) -> i32 {
    if value < 0.0 {
        return -key_of(-value);
    }
    if value < lower_edge(1) {
        return 0;
    }
    let exponent = (value.ln() / GAMMA.ln()).round_ties_even();
    if exponent >= f64::from(HIGHEST_KEY - BIAS) { HIGHEST_KEY } else { (exponent as i32 + BIAS).max(1) }
}

/// Lower edge of a bin, mirrored for negative keys; infinite for the outermost ones.
#[must_use]
pub fn lower_edge(key: i32) -> f64 {
    match key {
        0 => 0.0,
        HIGHEST_KEY.. => f64::INFINITY,
        1.. => (f64::from(key - BIAS) * GAMMA.ln()).exp(),
        _ => -lower_edge(-key),
    }
}

/// Values of one context between two commits.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sketch {
    bins: BTreeMap<i32, u64>,
    count: u64,
    min: f64,
    max: f64,
    sum: f64,
}

impl Sketch {
    /// Adds `count` times the same value; values that are not finite are ignored.
    pub fn add(&mut self, value: f64, count: u64) {
        if value.is_finite() {
            self.add_at(key_of(value), value, count);
        }
    }

    /// Adds `count` values spread linearly over `[lower, upper]`; an infinite `upper` puts all of them at `lower`.
    pub fn add_interpolated(&mut self, lower: f64, upper: f64, count: u64) {
        if upper == f64::INFINITY || lower >= upper {
            return self.add(lower, count);
        }
        if !lower.is_finite() || !upper.is_finite() {
            return;
        }
        let (first, last) = (key_of(lower), key_of(upper));
        let share = count as f64 / (upper - lower);
        let (mut key, mut edge, mut left, mut remainder) = (first, lower_edge(first), count, 0.0);
        for next in first + 1..=last {
            if left == 0 {
                return;
            }
            let next_edge = lower_edge(next);
            let exact = share * (next_edge - edge);
            // The remainder is only carried for bins that hold something, else many bins of one value would appear.
            if exact > 1.0 {
                remainder += exact.fract();
            }
            let mut here = exact as u64;
            if remainder > 1.0 {
                here += 1;
                remainder -= 1.0;
            }
            if here > 0 {
                let here = here.min(left);
                self.add_at(key, edge, here);
                left -= here;
                (key, edge) = (next, next_edge);
            }
        }
        self.add_at(key, edge, left);
    }

    /// Number of values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Smallest value, 0 when empty.
    #[must_use]
    pub fn min(&self) -> f64 {
        self.min
    }

    /// Largest value, 0 when empty.
    #[must_use]
    pub fn max(&self) -> f64 {
        self.max
    }

    /// Sum of the values.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// Mean of the values, 0 when empty.
    #[must_use]
    pub fn average(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum / self.count as f64 }
    }

    /// (key, number of values), ascending by key; a number above 32 bits is cut to them, which is what the intake can hold.
    #[must_use]
    pub fn bins(&self) -> Vec<(i32, u32)> {
        self.bins.iter().map(|(key, count)| (*key, u32::try_from(*count).unwrap_or(u32::MAX))).collect()
    }

    fn add_at(&mut self, key: i32, value: f64, count: u64) {
        if count == 0 {
            return;
        }
        if self.count == 0 {
            (self.min, self.max) = (value, value);
        }
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.sum += value * count as f64;
        self.count += count;
        *self.bins.entry(key).or_default() += count;
        while self.bins.len() > BIN_LIMIT {
            let (Some((_, lowest)), Some(mut second)) = (self.bins.pop_first(), self.bins.first_entry()) else { return };
            *second.get_mut() += lowest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nr_t20_keys_of_values() {
        let expected = [
            (0.0, 0),
            (1e-9, 1),
            (0.001, 892),
            (0.1, 1189),
            (0.25, 1249),
            (0.5, 1293),
            (1.0, 1338),
            (2.0, 1383),
            (10.0, 1487),
            (100.0, 1635),
            (1000.0, 1784),
            (1e6, 2229),
            (-1.0, -1338),
        ];
        for (value, key) in expected {
            assert_eq!(key_of(value), key, "{value}");
        }
        assert_eq!(key_of(9.9e-10), 0);
        assert_eq!(key_of(f64::MAX), 32_767);
        assert_eq!(key_of(f64::INFINITY), 32_767);
    }

    #[test]
    fn a_bucket_inside_one_bin_goes_to_its_lower_edge() {
        let mut sketch = Sketch::default();
        sketch.add_interpolated(1.0, 1.001, 5);
        assert_eq!(sketch.bins(), [(1338, 5)]);
        assert_eq!((sketch.min(), sketch.max(), sketch.sum()), (1.0, 1.0, 5.0));
    }

    #[test]
    fn values_are_spread_in_proportion_to_the_width_of_the_bins() {
        let mut sketch = Sketch::default();
        sketch.add_interpolated(10.0, 20.0, 1000);
        assert_eq!(sketch.count(), 1000);
        let bins = sketch.bins();
        assert_eq!((bins.first().unwrap().0, bins.last().unwrap().0), (key_of(10.0), key_of(20.0)));
        // Bins grow with the value, so a uniform spread puts more into the later ones.
        assert!(bins[1].1 < bins[bins.len() - 3].1);
        assert!((sketch.average() - 15.0).abs() < 0.2, "{}", sketch.average());
    }

    #[test]
    fn too_many_bins_are_merged_at_the_low_end() {
        let mut sketch = Sketch::default();
        for key in 1..=5000 {
            sketch.add(lower_edge(key), 1);
        }
        assert_eq!(sketch.bins().len(), 4096);
        assert_eq!(sketch.count(), 5000);
        assert_eq!(sketch.bins().iter().map(|bin| u64::from(bin.1)).sum::<u64>(), 5000);
    }

    proptest! {
        #[test]
        fn interpolation_keeps_every_value(lower in -1e6..1e6_f64, width in 0.0..1e6_f64, count in 0_u64..1_000_000) {
            let mut sketch = Sketch::default();
            sketch.add_interpolated(lower, lower + width, count);
            prop_assert_eq!(sketch.count(), count);
            prop_assert_eq!(sketch.bins().iter().map(|bin| u64::from(bin.1)).sum::<u64>(), count);
        }

        #[test]
        fn the_key_of_a_lower_edge_is_its_bin(key in 1..5000_i32) {
            prop_assert_eq!(key_of(lower_edge(key)), key);
        }
    }
}
