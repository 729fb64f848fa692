//! Asking an actor with a deadline.

use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::{Actor, Handler, MailboxError, Message};

use crate::kernel::mailbox::Handle;

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
