//! The forwarder of events on a made-up cluster and made-up outputs, in virtual time.

#![expect(clippy::unwrap_used, reason = "tests panic")]

#[path = "event_forwarder/fates.rs"]
mod fates;
#[path = "event_forwarder/finishing.rs"]
mod finishing;
#[path = "event_forwarder/leaders.rs"]
mod leaders;
#[path = "event_forwarder/nodes.rs"]
mod nodes;
#[path = "event_forwarder/options.rs"]
mod options;
#[path = "event_forwarder/reading.rs"]
mod reading;
#[path = "event_forwarder/rig.rs"]
mod rig;
#[path = "event_forwarder/turmoil.rs"]
mod turmoil;
#[path = "event_forwarder/watching.rs"]
mod watching;
