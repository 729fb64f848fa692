//! Who is to hear what became of a batch, while its parts go different ways.

use std::collections::BTreeMap;

use crate::domain::delivery::Fate;

/// Number of a batch whose source wants to hear of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

#[derive(Debug)]
struct Open<R> {
    receipt: R,
    /// Parts of which it is not known yet what becomes of them.
    outstanding: u64,
    fate: Fate,
}

/// Receipts that are not settled, by ticket.
#[derive(Debug)]
pub struct Receipts<R> {
    next: u64,
    open: BTreeMap<Ticket, Open<R>>,
}

impl<R> Default for Receipts<R> {
    fn default() -> Self {
        Self { next: 0, open: BTreeMap::new() }
    }
}

impl<R> Receipts<R> {
    /// Takes the receipt of a batch of one part: itself.
    pub fn open(&mut self, receipt: R) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.open.insert(ticket, Open { receipt, outstanding: 1, fate: Fate::Safe });
        ticket
    }

    /// Adds parts that have to be settled too.
    pub fn expect(&mut self, ticket: Ticket, parts: u64) {
        if let Some(open) = self.open.get_mut(&ticket) {
            open.outstanding += parts;
        }
    }

    /// Settles one part. With the last one the receipt comes back, and what is to be told.
    #[must_use]
    pub fn settle(&mut self, ticket: Ticket, fate: Fate) -> Option<(R, Fate)> {
        let open = self.open.get_mut(&ticket)?;
        open.fate = open.fate.with(fate);
        open.outstanding = open.outstanding.saturating_sub(1);
        if open.outstanding > 0 {
            return None;
        }
        let open = self.open.remove(&ticket)?;
        Some((open.receipt, open.fate))
    }

    /// Takes all receipts out, settled or not.
    pub fn take_all(&mut self) -> Vec<R> {
        std::mem::take(&mut self.open).into_values().map(|open| open.receipt).collect()
    }

    /// Number of receipts that are not settled.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether all are settled.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::delivery::DropReason;

    #[test]
    fn a_batch_is_safe_when_its_last_part_is() {
        let mut receipts = Receipts::default();
        let (first, second) = (receipts.open("first"), receipts.open("second"));
        receipts.expect(first, 2);
        assert_eq!(receipts.settle(first, Fate::Safe), None, "the batch itself became two payloads");
        assert_eq!(receipts.settle(first, Fate::Safe), None);
        assert_eq!(receipts.settle(second, Fate::Safe), Some(("second", Fate::Safe)));
        assert_eq!(receipts.settle(first, Fate::Safe), Some(("first", Fate::Safe)));
        assert_eq!(receipts.settle(first, Fate::Safe), None, "told once");
        assert!(receipts.is_empty());
    }

    #[test]
    fn one_lost_part_makes_it_lost_but_only_when_all_is_known() {
        let mut receipts = Receipts::default();
        let ticket = receipts.open(());
        receipts.expect(ticket, 2);
        assert_eq!(receipts.settle(ticket, DropReason::Oversize.fate()), None);
        assert_eq!(receipts.settle(ticket, DropReason::QueueFull.fate()), None);
        assert_eq!(receipts.settle(ticket, Fate::Safe), Some(((), Fate::Lost(DropReason::QueueFull))));
    }

    #[test]
    fn what_is_open_at_the_end_comes_out() {
        let mut receipts = Receipts::default();
        receipts.open(1);
        let settled = receipts.open(2);
        assert!(receipts.settle(settled, Fate::Safe).is_some());
        assert_eq!((receipts.len(), receipts.take_all()), (1, vec![1]));
        assert!(receipts.is_empty());
    }
}
