//! Asking an actor with a deadline.

use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::{Actor, Handler, MailboxError, Message};

use crate::kernel::mailbox::Handle;

pub use crate::kernel::mailbox::AskError;

impl<A: Actor> Handle<A> {
    /// Sends a message and waits for its answer, at most `deadline`.
    ///
    /// Errors: [`AskError::Down`] at once if nobody is there, [`AskError::Timeout`] after the deadline.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that sends with a deadline")]
    pub async fn ask<M>(&self, message: M, deadline: Duration) -> Result<M::Result, AskError>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        let Some(incarnation) = self.current() else {
            return Err(AskError::Down(self.name()));
        };
        match incarnation.send(message).timeout(deadline).await {
            Ok(answer) => Ok(answer),
            Err(MailboxError::Closed) => Err(AskError::Down(self.name())),
            Err(MailboxError::Timeout) => Err(AskError::Timeout { actor: self.name(), deadline }),
        }
    }
}
