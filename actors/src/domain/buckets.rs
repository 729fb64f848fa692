//! Where in its interval a check runs: a ring of one-second buckets filled sparsely. Source: node-runner 5.

use std::collections::BTreeMap;
use std::time::Duration;

/// Interval of a check that asks for none.
///
/// Source: node-runner 5 (T5).
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(15);

/// Checks of one interval, spread over its seconds.
///
/// Every tick (one second) visits the next bucket, so each check runs once per round at a fixed phase.
#[derive(Debug, Clone)]
pub struct Buckets<K> {
    /// Number of buckets.
    count: usize,
    /// Buckets that hold something; long intervals have many empty ones.
    filled: BTreeMap<usize, Vec<K>>,
    next_insertion: usize,
    next_visit: usize,
}

impl<K: PartialEq> Buckets<K> {
    /// A ring for an interval: one bucket per whole second, at least one.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        Self { count: bucket_count(interval), filled: BTreeMap::new(), next_insertion: 0, next_visit: 0 }
    }

    /// Puts a check into the next bucket of the sparse round and returns the bucket's index.
    pub fn insert(&mut self, check: K) -> usize {
        let index = self.next_insertion;
        self.filled.entry(index).or_default().push(check);
        self.next_insertion = (index + insertion_step(self.count)) % self.count;
        index
    }

    /// Takes a check out of the bucket that [`Self::insert`] named; the others keep their phase. False when it is not there.
    pub fn remove(&mut self, index: usize, check: &K) -> bool {
        let Some(bucket) = self.filled.get_mut(&index) else { return false };
        let before = bucket.len();
        bucket.retain(|held| held != check);
        let removed = bucket.len() < before;
        if bucket.is_empty() {
            self.filled.remove(&index);
        }
        removed
    }

    /// Moves on by one second and returns the checks that are due.
    pub fn tick(&mut self) -> &[K] {
        let index = self.next_visit;
        self.next_visit = (index + 1) % self.count;
        self.filled.get(&index).map_or(&[], Vec::as_slice)
    }

    /// Whether no check is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.filled.is_empty()
    }

    /// Number of ticks until a bucket is visited, at least 1.
    #[must_use]
    pub fn ticks_until(&self, index: usize) -> usize {
        (index % self.count + self.count - self.next_visit) % self.count + 1
    }
}

/// Number of buckets of an interval: its whole seconds, at least 1.
#[must_use]
pub fn bucket_count(interval: Duration) -> usize {
    usize::try_from(interval.as_secs()).unwrap_or(usize::MAX).max(1)
}

/// Distance between consecutive insertions; it has no common divisor with `count`, so `count` insertions visit every bucket once.
#[must_use]
pub fn insertion_step(count: usize) -> usize {
    let half = count / 2;
    match count {
        0..=2 => 1,
        _ if count % 2 == 1 => half,
        _ if half.is_multiple_of(2) => half - 1,
        _ => half - 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn first_indices(seconds: u64, count: usize) -> Vec<usize> {
        let mut ring = Buckets::new(Duration::from_secs(seconds));
        (0..count).map(|check| ring.insert(check)).collect()
    }

    #[test]
    fn nr_t4_insertions_are_sparse() {
        assert_eq!(first_indices(15, 6), [0, 7, 14, 6, 13, 5]);
        assert_eq!(first_indices(10, 6), [0, 3, 6, 9, 2, 5]);
        assert_eq!(first_indices(20, 6), [0, 9, 18, 7, 16, 5]);
        assert_eq!(first_indices(30, 6), [0, 13, 26, 9, 22, 5]);
        assert_eq!(first_indices(60, 6), [0, 29, 58, 27, 56, 25]);
        assert_eq!(first_indices(4, 6), [0, 1, 2, 3, 0, 1]);
        assert_eq!(first_indices(1, 3), [0, 0, 0]);
        assert_eq!(insertion_step(300), 149);
    }

    #[test]
    fn nr_t6_a_hundred_checks_are_spread_evenly() {
        let mut ring = Buckets::new(Duration::from_secs(15));
        for check in 0..100 {
            ring.insert(check);
        }
        let sizes: Vec<usize> = (0..15).map(|_| ring.tick().len()).collect();
        assert!(sizes.iter().all(|size| (6..=7).contains(size)), "{sizes:?}");
        assert_eq!(sizes.iter().sum::<usize>(), 100);
    }

    #[test]
    fn fractions_of_a_second_do_not_make_a_bucket() {
        assert_eq!(bucket_count(Duration::from_millis(1500)), 1);
        assert_eq!(bucket_count(Duration::from_millis(2900)), 2);
        assert_eq!(bucket_count(Duration::from_millis(200)), 1);
    }

    #[test]
    fn removing_a_check_leaves_the_phase_of_the_others() {
        let mut ring = Buckets::new(Duration::from_secs(3));
        for check in ["a", "b", "c"] {
            ring.insert(check);
        }
        assert!(ring.remove(1, &"b"));
        assert!(!ring.remove(1, &"b"));
        assert!(!ring.remove(0, &"c"));
        let visited: Vec<Vec<&str>> = (0..3).map(|_| ring.tick().to_vec()).collect();
        assert_eq!(visited, [vec!["a"], vec![], vec!["c"]]);
        assert!(!ring.is_empty());
    }

    #[test]
    fn the_ticks_until_a_bucket_are_counted_from_the_next_visit() {
        let mut ring = Buckets::<&str>::new(Duration::from_secs(15));
        assert_eq!((ring.ticks_until(0), ring.ticks_until(7)), (1, 8));
        ring.tick();
        assert_eq!((ring.ticks_until(0), ring.ticks_until(7)), (15, 7));
    }

    proptest! {
        #[test]
        fn as_many_insertions_as_buckets_visit_every_bucket_once(seconds in 1_u64..4000) {
            let indices = first_indices(seconds, usize::try_from(seconds).unwrap());
            let distinct: BTreeSet<usize> = indices.iter().copied().collect();
            prop_assert_eq!(distinct.len(), indices.len());
        }
    }
}
