//! Kubernetes objects as far as muster looks at them, and what follows from them.

pub mod informer;
pub mod informer_status;
pub mod objects;
