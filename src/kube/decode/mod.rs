//! Decoding watched objects straight into slim forms.
//!
//! Why own forms: a full pod takes six times as long to decode and fifteen times the memory.

mod endpoints;
mod form;
mod head;
mod interner;
mod node;
mod plain;
mod pod;

pub use endpoints::{EndpointSliceForm, EndpointsForm};
pub use form::{Form, Slim};
pub use interner::Interner;
pub use node::NodeForm;
pub use plain::{NamespaceForm, ServiceForm};
pub use pod::PodForm;
