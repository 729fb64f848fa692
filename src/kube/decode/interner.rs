//! One copy of each text that many objects of one kind share.

use std::collections::HashSet;
use std::sync::Arc;

/// Number of texts from which on those that nobody uses any more are looked for.
const FIRST_SWEEP: usize = 1024;

/// Texts in use by the objects of one watch: label keys, namespaces, node names.
#[derive(Debug)]
pub struct Interner {
    texts: HashSet<Arc<str>>,
    sweep_at: usize,
}

impl Default for Interner {
    fn default() -> Self {
        Self { texts: HashSet::new(), sweep_at: FIRST_SWEEP }
    }
}

impl Interner {
    /// The shared copy of a text.
    pub fn share(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        if self.texts.len() >= self.sweep_at {
            self.texts.retain(|text| Arc::strong_count(text) > 1);
            self.sweep_at = FIRST_SWEEP.max(self.texts.len() * 2);
        }
        let shared: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&shared));
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one() {
        let mut interner = Interner::default();
        assert!(Arc::ptr_eq(&interner.share("app"), &interner.share("app")));
    }

    #[test]
    fn texts_that_nobody_uses_do_not_pile_up() {
        let mut interner = Interner::default();
        let kept: Vec<_> = (0..10).map(|number| interner.share(&format!("kept-{number}"))).collect();
        for number in 0..FIRST_SWEEP * 10 {
            interner.share(&number.to_string());
        }
        assert!(interner.texts.len() <= FIRST_SWEEP);
        assert!(kept.iter().all(|text| interner.texts.contains(text)));
    }
}
