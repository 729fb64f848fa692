//! Handles: addresses that survive a restart.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Handler, Message};
use arc_swap::ArcSwapOption;
use futures_util::future::BoxFuture;

/// Mailbox capacity of actors that own state.
///
/// Units: messages. Why: the framework default of 16 fills during any burst (style 4.4).
pub const STATE_OWNER_CAPACITY: usize = 4096;

/// Why a message was not put into a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TellError {
    /// The actor is between two incarnations, or was never started.
    #[error("tell {0}: actor is down")]
    Down(&'static str),
    /// The mailbox holds as many messages as it may.
    #[error("tell {0}: mailbox is full")]
    Full(&'static str),
}

/// Why an ask got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The actor is between two incarnations, was never started, or died while it held the question.
    #[error("ask {0}: actor is down")]
    Down(&'static str),
    /// No answer within the deadline; a full mailbox ends here too, because an ask waits for room.
    #[error("ask {actor}: no answer within {deadline:?}")]
    Timeout {
        /// Name of the asked actor.
        actor: &'static str,
        /// The deadline that passed.
        deadline: Duration,
    },
}

struct Inner<A: Actor> {
    name: &'static str,
    current: ArcSwapOption<Addr<A>>,
    refused: AtomicU64,
}

/// Address of an actor by role: always leads to the current incarnation and answers "down" in between.
pub struct Handle<A: Actor> {
    inner: Arc<Inner<A>>,
}

impl<A: Actor> Clone for Handle<A> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<A: Actor> fmt::Debug for Handle<A> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Handle({})", self.inner.name)
    }
}

impl<A: Actor> Handle<A> {
    /// A handle that leads nowhere until the supervisor binds it; create it first, then pass it to the factories that need it.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self { inner: Arc::new(Inner { name, current: ArcSwapOption::empty(), refused: AtomicU64::new(0) }) }
    }

    /// Name of the actor, as in `docs/ARCHITECTURE.md`; also its name in health reports.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.inner.name
    }

    /// Messages refused so far because the actor was down or its mailbox full.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.inner.refused.load(Ordering::Relaxed)
    }

    /// The current incarnation.
    pub(crate) fn current(&self) -> Option<Arc<Addr<A>>> {
        self.inner.current.load_full()
    }

    /// Points the handle to a new incarnation, or to none.
    pub(crate) fn bind(&self, incarnation: Option<Addr<A>>) {
        self.inner.current.store(incarnation.map(Arc::new));
    }

    /// Puts a message into the mailbox without waiting.
    ///
    /// Errors: [`TellError::Down`], [`TellError::Full`].
    pub fn tell<M>(&self, message: M) -> Result<(), TellError>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        let sent = match self.inner.current.load().as_deref() {
            None => Err(TellError::Down(self.inner.name)),
            Some(addr) => addr.try_send(message).map_err(|refusal| match refusal {
                actix::prelude::SendError::Full(_) => TellError::Full(self.inner.name),
                actix::prelude::SendError::Closed(_) => TellError::Down(self.inner.name),
            }),
        };
        if sent.is_err() {
            self.inner.refused.fetch_add(1, Ordering::Relaxed);
        }
        sent
    }

    /// Puts a message into the mailbox even if it is full; lost when the actor is down.
    ///
    /// Why: for facts that the sender repeats or that may be lost, see style 4.4.
    pub fn post<M>(&self, message: M)
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        match self.inner.current.load().as_deref() {
            None => {
                self.inner.refused.fetch_add(1, Ordering::Relaxed);
            }
            Some(addr) => addr.do_send(message),
        }
    }

    /// This handle narrowed to one kind of message, so that the sender need not know the actor.
    #[must_use]
    pub fn outlet<M>(&self) -> Outlet<M>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        Outlet { target: Arc::new(self.clone()) }
    }
}

/// What an [`Outlet`] leads to.
trait Accepts<M: Message + Send>: Send + Sync
where
    M::Result: Send,
{
    fn accept(&self, message: M) -> Result<(), TellError>;
    fn force(&self, message: M);
    fn answer(&self, message: M, deadline: Duration) -> BoxFuture<'static, Result<M::Result, AskError>>;
    fn target_name(&self) -> &'static str;
}

impl<A, M> Accepts<M> for Handle<A>
where
    A: Actor + Handler<M>,
    A::Context: ToEnvelope<A, M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn accept(&self, message: M) -> Result<(), TellError> {
        self.tell(message)
    }

    fn force(&self, message: M) {
        self.post(message);
    }

    fn answer(&self, message: M, deadline: Duration) -> BoxFuture<'static, Result<M::Result, AskError>> {
        let handle = self.clone();
        Box::pin(async move { handle.ask(message, deadline).await })
    }

    fn target_name(&self) -> &'static str {
        self.inner.name
    }
}

/// A way to send one kind of message to whoever handles it.
///
/// Why: two actors that talk to each other would otherwise import each other's files.
pub struct Outlet<M: Message + Send>
where
    M::Result: Send,
{
    target: Arc<dyn Accepts<M>>,
}

impl<M: Message + Send + 'static> Clone for Outlet<M>
where
    M::Result: Send,
{
    fn clone(&self) -> Self {
        Self { target: Arc::clone(&self.target) }
    }
}

impl<M: Message + Send + 'static> fmt::Debug for Outlet<M>
where
    M::Result: Send,
{
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Outlet({})", self.target.target_name())
    }
}

impl<M: Message + Send + 'static> Outlet<M>
where
    M::Result: Send,
{
    /// As [`Handle::tell`].
    ///
    /// Errors: [`TellError::Down`], [`TellError::Full`].
    pub fn tell(&self, message: M) -> Result<(), TellError> {
        self.target.accept(message)
    }

    /// As [`Handle::post`].
    pub fn post(&self, message: M) {
        self.target.force(message);
    }

    /// As [`Handle::ask`].
    ///
    /// Errors: see [`AskError`].
    pub async fn ask(&self, message: M, deadline: Duration) -> Result<M::Result, AskError> {
        self.target.answer(message, deadline).await
    }
}
