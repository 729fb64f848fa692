//! Requests of an output, and what their answers mean.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use futures_util::future::{BoxFuture, FutureExt as _, ready};
use tracing::{debug, error, info, warn};

use super::stages::{Attempt, Disk, Stage};
use super::{Output, is_loud};
use crate::domain::breakers::Wave;
use crate::domain::delivery::{DropReason, Fate, KeyState, Payload, Route, SendResult, Verdict};
use crate::domain::payload_queue::Held;
use crate::domain::spool_policy::outlasts;
use crate::messages::output::KeyChanged;
use crate::ports::StoreError;

/// How an attempt ended.
enum Ending {
    Result(SendResult),
    /// The body is not on the disk any more, or damaged.
    BodyGone,
    /// The disk could not be read.
    BodyUnread(StoreError),
}

impl Output {
    /// Begins as many requests as there may be.
    pub(super) fn send_next(&mut self, context: &mut Context<Self>) {
        if matches!(self.stage, Stage::Closed(_)) {
            return;
        }
        let now = self.parts.clock.monotonic();
        let policy = self.parts.policy;
        let read_until = self.sends_from_disk().then(|| policy.spool.reading_goal(policy.max_queue_bytes));
        while self.in_flight.len() < policy.max_in_flight.max(1) {
            let (breakers, in_flight) = (&self.breakers, &self.in_flight);
            let under_way = |route: &Route| in_flight.values().filter(|attempt| attempt.held.payload.route == *route).count();
            let Some(held) = self.queue.lease(read_until, |route| breakers.allow(route, now, under_way(route))) else {
                self.wake_up_when_a_route_opens(now, context);
                return;
            };
            let (order, wave, key_changes) = (held.order(), self.breakers.wave(&held.payload.route), self.key_changes);
            let attempt = self.attempt(&held);
            self.in_flight.insert(order, Attempt { held, wave, key_changes });
            context.spawn(attempt.into_actor(self).map(move |ending, output, context| {
                // After a drain nobody waits for it.
                if let Some(attempt) = output.in_flight.remove(&order) {
                    output.conclude(attempt, ending);
                    output.go_on(context);
                }
            }));
        }
    }

    /// An end leaves to the next life what is only on the disk.
    fn sends_from_disk(&self) -> bool {
        self.spool.disk == Disk::Working && matches!(self.stage, Stage::Open)
    }

    fn attempt(&self, held: &Held) -> BoxFuture<'static, Ending> {
        let transport = Arc::clone(&self.parts.transport);
        if held.in_memory() {
            return transport.send(&held.payload).map(Ending::Result).boxed();
        }
        let (Some(spool), Some(id)) = (&self.parts.spool, held.stored) else { return ready(Ending::BodyGone).boxed() };
        let body = spool.body(id);
        let (route, contents) = (held.payload.route, held.payload.contents);
        async move {
            match body.await {
                Ok(Some(body)) => Ending::Result(transport.send(&Payload { route, body, contents }).await),
                Ok(None) => Ending::BodyGone,
                Err(error) => Ending::BodyUnread(error),
            }
        }
        .boxed()
    }

    fn wake_up_when_a_route_opens(&mut self, now: Duration, context: &mut Context<Self>) {
        if let Some(timer) = self.wake_up.take() {
            context.cancel_future(timer);
        }
        let opens_at = self.queue.routes(self.sends_from_disk()).filter_map(|route| self.breakers.opens_at(route, now)).min();
        if let Some(opens_at) = opens_at {
            self.wake_up = Some(context.run_later(opens_at.saturating_sub(now), |output, context| {
                output.wake_up = None;
                output.go_on(context);
            }));
        }
    }

    fn conclude(&mut self, attempt: Attempt, ending: Ending) {
        match ending {
            Ending::Result(result) => self.judge(attempt, &result),
            Ending::BodyGone => {
                let Attempt { held, .. } = attempt;
                error!(destination = self.stats.destination, route = held.payload.route.name, "damaged file of the spool removed");
                self.drop_payload(held, DropReason::Damaged);
            }
            Ending::BodyUnread(error) => {
                self.queue.put_back(attempt.held, true);
                self.lose_disk(&error);
            }
        }
    }

    /// Draws the consequences of an answer, or of none.
    fn judge(&mut self, attempt: Attempt, result: &SendResult) {
        let Attempt { held, wave, key_changes } = attempt;
        let (route, contents) = (held.payload.route, held.payload.contents);
        self.stats.note_error(route.name, result);
        match result.verdict() {
            Verdict::Delivered => {
                self.settle(&held);
                self.breakers.succeeded(route);
                self.stats.sent += contents;
                let counts = self.stats.route(route.name);
                counts.success += 1;
                counts.success_bytes += contents.bytes;
                self.notice_key(KeyState::Valid);
                self.say_sent(route);
                self.tell(held.ticket, Fate::Safe);
            }
            Verdict::Drop(DropReason::InvalidKey) if key_changes != self.key_changes => {
                // It was the key before this one.
                self.stats.retries += 1;
                self.queue.put_back(held, true);
            }
            Verdict::Drop(reason) if held.stored.is_some() && outlasts(reason, &contents) => {
                self.notice_key(KeyState::Invalid);
                self.try_later(held, wave);
            }
            Verdict::Drop(reason) => {
                if reason != DropReason::Closed {
                    // The destination works, it only does not want this payload.
                    self.breakers.succeeded(route);
                }
                self.drop_payload(held, reason);
                if reason == DropReason::InvalidKey {
                    self.notice_key(KeyState::Invalid);
                }
                if !is_loud(self.stats.dropped.get(&reason).map_or(0, |dropped| dropped.payloads)) {
                    // It was told often enough.
                } else if reason == DropReason::InvalidKey {
                    // In the words of stock, which people search for.
                    error!("API Key invalid (403 response), dropping transaction for {}{}", self.stats.destination, route.path);
                } else {
                    error!(destination = self.stats.destination, route = route.name, reason = reason.as_str(), "payload dropped");
                }
            }
            Verdict::Retry => self.try_later(held, wave),
        }
        self.stats.route(route.name).backoff_errors = self.breakers.errors(&route);
    }

    /// Tells of the first payload that was accepted, and of every n-th.
    fn say_sent(&self, route: Route) {
        let (destination, route) = (&self.stats.destination, route.name);
        let (accepted, logging_frequency) = (self.stats.sent.payloads, self.parts.policy.log_every);
        if is_told(accepted, logging_frequency) {
            info!(%destination, route, accepted, logging_frequency, "payload accepted");
        } else {
            debug!(%destination, route, accepted, "payload accepted");
        }
    }

    /// Ends a payload that was taken out of the queue.
    fn settle(&mut self, held: &Held) {
        self.queue.settle(held);
        self.spool.discard(held);
    }

    fn drop_payload(&mut self, held: Held, reason: DropReason) {
        self.queue.settle(&held);
        self.count_gone(vec![held], reason);
    }

    fn try_later(&mut self, held: Held, wave: Wave) {
        let route = held.payload.route;
        self.queue.put_back(held, true);
        let delay = self.breakers.failed(route, wave, self.parts.clock.monotonic(), self.parts.random.unit());
        let errors = self.breakers.errors(&route);
        self.stats.retries += 1;
        if is_loud(self.stats.retries) {
            let (destination, error) = (&self.stats.destination, self.stats.last_error.as_deref().unwrap_or_default());
            warn!(%destination, route = route.name, error, errors, retries = self.stats.retries, ?delay, "sending failed");
        }
    }

    /// Takes note of what an answer says about the key.
    fn notice_key(&mut self, seen: KeyState) {
        let before = self.stats.key_state;
        match seen {
            // An accepted payload only takes a suspicion back; it is no answer to a question nobody asked.
            KeyState::Valid if before == KeyState::Invalid => {
                info!(destination = self.stats.destination, "API key accepted again");
                self.stats.key_state = KeyState::Valid;
            }
            KeyState::Invalid => {
                if before != KeyState::Invalid {
                    let (destination, key_ending) = (&self.stats.destination, self.stats.key_ending.as_deref().unwrap_or_default());
                    error!(%destination, key_ending, "API key invalid, dropping what it would have carried; stored events wait for another");
                }
                self.stats.key_state = KeyState::Invalid;
            }
            KeyState::Valid | KeyState::Unknown | KeyState::NotChecked => {}
        }
    }

    /// Goes on with another key.
    pub(super) fn take_key(&mut self, changed: KeyChanged, context: &mut Context<Self>) {
        let (destination, key_ending) = (&self.stats.destination, changed.ending.as_str());
        info!(%destination, key_ending, "going on with another API key");
        self.stats.key_ending = Some(changed.ending);
        self.stats.key_state = KeyState::NotChecked;
        self.key_changes += 1;
        self.breakers.open_all();
        if self.parts.policy.key_check_interval.is_some() {
            self.check_key(context);
        }
    }

    pub(super) fn check_key(&mut self, context: &mut Context<Self>) {
        let Some(question) = self.parts.transport.check_key() else { return };
        let asked_with = self.key_changes;
        context.spawn(question.into_actor(self).map(move |answer, output, _| {
            if output.key_changes != asked_with {
                return;
            }
            if answer == KeyState::Invalid {
                output.notice_key(answer);
            }
            output.stats.key_state = answer;
            output.publish();
        }));
    }
}

/// Whether the n-th success is told to everybody: the first one, so that people see that it works, and each `every`-th.
fn is_told(n: u64, every: u64) -> bool {
    every > 0 && (n == 1 || n.is_multiple_of(every))
}

#[cfg(test)]
mod tests {
    use super::is_told;

    #[test]
    fn of_many_successes_few_are_told() {
        let told = |every| (1..=1500).filter(|n| is_told(*n, every)).collect::<Vec<u64>>();
        assert_eq!(told(500), [1, 500, 1000, 1500]);
        assert_eq!(told(1).len(), 1500);
        assert!(told(0).is_empty(), "who writes lines to a pipe tells nothing about it");
    }
}
