//! What every actor answers: a liveness ping and a question for its observable state.

use actix::{Actor, Context, Handler, Message};

/// Liveness question. Source: style 4.11.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Pong")]
pub struct Ping;

/// Answer to [`Ping`]: the actor gets around to its mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pong;

/// Asks for the observable state, for tests, diagnostics and support bundles. Source: style 4.10.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "serde_json::Value")]
pub struct Observe;

/// An actor that can describe its state.
pub trait Observed {
    /// The state worth looking at. Short: it runs inside the actor. Never contains secrets.
    fn observe(&self) -> serde_json::Value;
}

/// An actor that the kernel can run. Implemented by [`supervised!`](crate::supervised).
///
/// A panic in `stopping` or `stopped` while the actor is already failing aborts the process, so these hooks must not panic.
pub trait Supervised: Actor<Context = Context<Self>> + Observed + Handler<Ping> + Handler<Observe> {}

/// Lets the kernel run an actor that implements [`Observed`]: answers [`Ping`] and [`Observe`].
///
/// Why a macro: the trait rules forbid implementing the framework's `Handler` for all such actors at once.
#[macro_export]
macro_rules! supervised {
    ($actor:ty) => {
        impl ::actix::Handler<$crate::kernel::supervised::Ping> for $actor {
            type Result = ::actix::MessageResult<$crate::kernel::supervised::Ping>;

            fn handle(&mut self, _: $crate::kernel::supervised::Ping, _: &mut ::actix::Context<Self>) -> Self::Result {
                ::actix::MessageResult($crate::kernel::supervised::Pong)
            }
        }

        impl ::actix::Handler<$crate::kernel::supervised::Observe> for $actor {
            type Result = ::actix::MessageResult<$crate::kernel::supervised::Observe>;

            fn handle(&mut self, _: $crate::kernel::supervised::Observe, _: &mut ::actix::Context<Self>) -> Self::Result {
                ::actix::MessageResult($crate::kernel::supervised::Observed::observe(self))
            }
        }

        impl $crate::kernel::supervised::Supervised for $actor {}
    };
}
