//! How the supervisor notices that an incarnation is gone, and how it stops one.
//!
//! A panic in a handler drops the actor's context with everything spawned into it. The lifeline is such a future: when it is
//! dropped, its bell rings. So no actor needs a field for it, and an actor cannot forget it.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{self, Poll};

use actix::fut::ActorFuture;
use actix::{Actor, ActorContext as _, Context};
use tokio::sync::{mpsc, oneshot};

use crate::kernel::mailbox::Handle;
use crate::kernel::tree::ChildId;

/// Order to an incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// End after the messages at hand, running the actor's own stop hooks.
    Orderly,
    /// Panic, as a bug would.
    Crash,
}

/// News that an incarnation is gone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Toll {
    /// Whose incarnation.
    pub(crate) child: ChildId,
    /// Whether it ended by a panic.
    pub(crate) panicked: bool,
}

/// Rings when dropped: unbinds the handle and tells the supervisor.
pub(crate) struct DeathBell<A: Actor> {
    pub(crate) child: ChildId,
    pub(crate) handle: Handle<A>,
    pub(crate) supervisor: mpsc::UnboundedSender<Toll>,
}

impl<A: Actor> Drop for DeathBell<A> {
    fn drop(&mut self) {
        self.handle.bind(None);
        // The supervisor may be gone first when the whole system ends; then nobody needs to know.
        let _ = self.supervisor.send(Toll { child: self.child, panicked: std::thread::panicking() });
    }
}

/// Lives in the actor's context, holds the bell and waits for the order to stop.
pub(crate) struct Lifeline<A: Actor> {
    /// `None` once the order came: a received order must not be polled again.
    order: Option<oneshot::Receiver<Stop>>,
    bell: DeathBell<A>,
}

impl<A: Actor> Lifeline<A> {
    pub(crate) fn new(order: oneshot::Receiver<Stop>, bell: DeathBell<A>) -> Self {
        Self { order: Some(order), bell }
    }
}

impl<A: Actor> Unpin for Lifeline<A> {}

impl<A: Actor<Context = Context<A>>> ActorFuture<A> for Lifeline<A> {
    type Output = ();

    /// Never completes, because completing would ring the bell before the actor's stop hooks ran.
    fn poll(mut self: Pin<&mut Self>, _: &mut A, context: &mut Context<A>, task: &mut task::Context<'_>) -> Poll<()> {
        let Some(order) = self.order.as_mut() else { return Poll::Pending };
        let Poll::Ready(order) = Pin::new(order).poll(task) else { return Poll::Pending };
        self.order = None;
        // A vanished supervisor counts as an order to stop.
        match order.unwrap_or(Stop::Orderly) {
            Stop::Orderly => context.stop(),
            // Unwinds as a panic does but prints nothing: who ordered it knows, and a backtrace costs more than the run it is part of.
            Stop::Crash => std::panic::resume_unwind(Box::new(format!("crash of {} on request", self.bell.handle.name()))),
        }
        Poll::Pending
    }
}
