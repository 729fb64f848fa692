//! Decoding watched objects straight into slim forms.
//!
//! Why own forms: a full pod takes six times as long to decode and fifteen times the memory.

mod endpoints;
mod event;
mod form;
mod head;
mod interner;
mod node;
mod plain;
mod pod;
mod quantity;

pub use endpoints::{EndpointSliceForm, EndpointsForm};
pub use event::EventForm;
pub use form::{Form, Slim};
pub(super) use head::or_empty;
pub use interner::Interner;
pub use node::NodeForm;
pub use plain::{NamespaceForm, ServiceForm};
pub use pod::PodForm;
pub(super) use quantity::amount;
