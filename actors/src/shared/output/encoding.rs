//! From batches to payloads that wait.

use std::sync::Arc;

use actix::prelude::*;
use tracing::{error, warn};

use super::Output;
use super::stages::Stage;
use crate::domain::batch_queue::WaitingBatch;
use crate::domain::delivery::{DropReason, Encoded, Fate};
use crate::domain::receipts::Ticket;

impl Output {
    /// Makes payloads of the oldest batch, one batch at a time, unless the disk has not yet taken those of the one before.
    pub(super) fn encode_next(&mut self, context: &mut Context<Self>) {
        let full = self.spool.usable() && self.queue.is_over();
        if full || self.encoding.is_some() {
            return;
        }
        let Some(WaitingBatch { batch, contents, ticket, .. }) = self.batches.pop() else { return };
        self.encoding = Some((contents, ticket));
        let transport = Arc::clone(&self.parts.transport);
        let work = actix_rt::task::spawn_blocking(move || transport.encode(&batch));
        context.spawn(work.into_actor(self).map(|encoded, output, context| {
            // After a drain this batch is counted already.
            let Some((contents, ticket)) = output.encoding.take() else { return };
            match encoded {
                Ok(encoded) => output.take_over(encoded, ticket),
                Err(failure) => {
                    error!(destination = output.stats.destination, error = %failure, "encoding failed");
                    output.stats.count_dropped(DropReason::Encoding, contents);
                    output.tell(ticket, DropReason::Encoding.fate());
                }
            }
            output.go_on(context);
        }));
    }

    fn take_over(&mut self, encoded: Encoded, ticket: Option<Ticket>) {
        if !encoded.oversize.is_empty() {
            warn!(destination = self.stats.destination, contents = ?encoded.oversize, "single items too large to send");
        }
        if !encoded.uncompressed.is_empty() {
            error!(destination = self.stats.destination, contents = ?encoded.uncompressed, "compressing failed");
        }
        let left_out = [
            (encoded.uncompressed, DropReason::Compression),
            (encoded.oversize, DropReason::Oversize),
            (encoded.invalid, DropReason::Invalid),
        ];
        let mut fate = Fate::Safe;
        for (contents, reason) in left_out.into_iter().filter(|(contents, _)| !contents.is_empty()) {
            self.stats.count_dropped(reason, contents);
            fate = fate.with(reason.fate());
        }
        if let Some(ticket) = ticket {
            self.receipts.expect(ticket, encoded.payloads.len() as u64);
        }
        let ending = !matches!(self.stage, Stage::Open);
        for payload in encoded.payloads {
            let store_first = self.spool.usable() && self.parts.policy.spool.stores_first(&payload.contents, ending);
            self.queue.push(payload, ticket, store_first);
        }
        self.tell(ticket, fate);
    }
}
