//! What agents were told before something happened, to be compared with what they were told after it.

use crate::ledger::Sums;
use crate::world::World;

/// What agents had before something happened.
pub struct Before {
    runners: Vec<(String, Vec<String>)>,
    sums: Sums,
}

impl Before {
    pub fn note(world: &World) -> Self {
        Self { runners: world.runners.owners().into_iter().collect(), sums: world.sums() }
    }

    /// Panics if a check moved, a set was sent again or emptied, or a check runs twice.
    pub fn assert_unnoticed(&self, world: &World, what: &str) {
        let now: Vec<_> = world.runners.owners().into_iter().collect();
        let moved = self.runners.iter().zip(&now).filter(|(before, now)| before != now).count();
        assert!(moved == 0 && now.len() == self.runners.len(), "{what}: {moved} checks moved\n{}", world.words());
        let since = world.sums().since(self.sums);
        assert_eq!((since.resent, since.emptied), (0, 0), "{what}: sets were sent again or emptied\n{}", world.words());
        world.runners.assert_well();
        world.endpoints.assert_well();
    }
}
