//! Immutable snapshots that one owner publishes and any thread reads.

use std::sync::Arc;

use arc_swap::ArcSwap;

/// The owner's end: replaces the snapshot as a whole. Not cloneable, so there is one writer.
#[derive(Debug)]
pub struct Publisher<T> {
    cell: Arc<ArcSwap<T>>,
}

impl<T> Publisher<T> {
    /// Starts with a first snapshot.
    #[must_use]
    pub fn new(first: T) -> Self {
        Self { cell: Arc::new(ArcSwap::from_pointee(first)) }
    }

    /// Replaces the snapshot.
    pub fn publish(&self, next: impl Into<Arc<T>>) {
        self.cell.store(next.into());
    }

    /// A reader of this snapshot.
    #[must_use]
    pub fn reader(&self) -> Reader<T> {
        Reader { cell: Arc::clone(&self.cell) }
    }
}

/// A reader's end: never waits.
#[derive(Debug)]
pub struct Reader<T> {
    cell: Arc<ArcSwap<T>>,
}

impl<T> Clone for Reader<T> {
    fn clone(&self) -> Self {
        Self { cell: Arc::clone(&self.cell) }
    }
}

impl<T> Reader<T> {
    /// The snapshot of this moment, kept alive by the returned pointer.
    #[must_use]
    pub fn current(&self) -> Arc<T> {
        self.cell.load_full()
    }

    /// The snapshot of this moment without touching its reference count; drop it soon.
    #[must_use]
    pub fn peek(&self) -> arc_swap::Guard<Arc<T>> {
        self.cell.load()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_sees_the_newest_snapshot_and_keeps_the_one_it_holds() {
        let publisher = Publisher::new(1);
        let reader = publisher.reader();
        let held = reader.current();
        publisher.publish(2);
        assert_eq!((*held, *reader.current(), **reader.peek()), (1, 2, 2));
    }

    #[test]
    fn a_reader_outlives_its_publisher() {
        let reader = Publisher::new(7).reader();
        assert_eq!(*reader.current(), 7);
    }
}
