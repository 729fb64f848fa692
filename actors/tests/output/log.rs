//! What is logged on the thread of a test.

use std::cell::RefCell;
use std::fmt::Debug;
use std::sync::Once;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

thread_local! {
    static MESSAGES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// From now on [`logged`] counts.
pub fn listen() {
    static ONCE: Once = Once::new();
    // One for all threads: of several, callsites remember only the one that was there first.
    ONCE.call_once(|| {
        tracing::subscriber::set_global_default(Listener).unwrap();
        tracing::callsite::rebuild_interest_cache();
    });
}

/// How often something was logged, from information to error.
pub fn logged(message: &str) -> usize {
    MESSAGES.with_borrow(|messages| messages.iter().filter(|logged| logged.contains(message)).count())
}

struct Listener;

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn event(&self, event: &Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        MESSAGES.with_borrow_mut(|messages| messages.push(message.0));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
