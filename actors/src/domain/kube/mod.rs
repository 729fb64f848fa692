//! Kubernetes objects as far as muster looks at them, and what follows from them.

pub mod objects;
