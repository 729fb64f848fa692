//! The snapshot that outlives all replicas: saved by the leader after changes, read by a leader that finds no table.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use futures_util::future::BoxFuture;
use tracing::{info, warn};

use crate::cluster::replica::{Replica, State};
use crate::domain::replication::Mirror;
use crate::domain::snapshot;
use crate::kernel::heavy_work::heavy_work;
use crate::ports::{SaveOutcome, StoreError, still_leads};

/// Shortest time between two saves. Source: style 9.6.
const SAVE_INTERVAL: Duration = Duration::from_secs(5);

/// Longest time between two attempts.
const LAST_RETRY: Duration = Duration::from_secs(300);

/// Reads a snapshot; decodes it on a blocking thread. A snapshot that cannot be used is an error.
pub(super) async fn read(loading: BoxFuture<'static, Result<Option<Vec<u8>>, StoreError>>) -> Result<Option<Mirror>, String> {
    let Some(bytes) = loading.await.map_err(|error| describe(&error))? else { return Ok(None) };
    let table = heavy_work(move || snapshot::read_whole(&bytes)).await.ok_or("the snapshot is damaged, or a newer program wrote it")?;
    // Nobody confirmed it in the term before; what discovery knew is not kept.
    Ok(Some(Mirror { table, ..Mirror::default() }))
}

fn describe(error: &StoreError) -> String {
    format!("{error}: {}", error.source)
}

impl Replica {
    /// Something changed: saves it, but not more often than allowed.
    pub(super) fn save_later(&mut self, context: &mut Context<Self>) {
        if self.parts.snapshots.is_none() {
            return;
        }
        self.saving.unsaved = true;
        if self.saving.planned {
            return;
        }
        self.saving.planned = true;
        let earliest = self.saving.last_began.map_or(Duration::ZERO, |began| began + SAVE_INTERVAL);
        context.run_later(earliest.saturating_sub(self.now()), Self::save);
    }

    fn save(&mut self, context: &mut Context<Self>) {
        let now = self.now();
        let (State::Leading(_), Some(mirror), Some(store)) = (&self.state, &self.mirror, &self.parts.snapshots) else {
            // Whoever leads now saves what counts.
            self.saving.planned = false;
            return;
        };
        (self.saving.unsaved, self.saving.last_began) = (false, Some(now));
        let (table, store) = (mirror.table.clone(), Arc::clone(store));
        let leads = still_leads(self.parts.leadership.clone(), Arc::clone(&self.parts.clock), self.epoch);
        let work = async move {
            let bytes = heavy_work(move || snapshot::whole(&table)).await.map_err(|error| error.to_string())?;
            store.save(bytes, leads).await.map_err(|error| describe(&error))
        };
        context.spawn(work.into_actor(self).map(|outcome, replica, context| replica.saved(outcome, context)));
    }

    fn saved(&mut self, outcome: Result<SaveOutcome, String>, context: &mut Context<Self>) {
        self.saving.planned = false;
        match outcome {
            // If it is only the lease that was not renewed in time, this replica goes on; else it is over with the next message.
            Ok(SaveOutcome::NotLeading) => self.save_later(context),
            Ok(SaveOutcome::Saved) => {
                if self.saving.failures_in_a_row > 0 {
                    info!(failures = self.saving.failures, "snapshots are saved again");
                }
                self.saving.failures_in_a_row = 0;
                self.saving.saves += 1;
                if self.saving.unsaved {
                    self.save_later(context);
                }
            }
            Err(error) => {
                self.saving.failures += 1;
                self.saving.failures_in_a_row += 1;
                if self.saving.failures_in_a_row == 1 {
                    warn!(error, "no snapshot is saved: replicas work, but if all of them end at once, the assignment is forgotten");
                }
                let doubled = SAVE_INTERVAL * 2_u32.saturating_pow(self.saving.failures_in_a_row.min(10));
                self.saving.planned = true;
                context.run_later(doubled.min(LAST_RETRY), Self::save);
            }
        }
    }
}
