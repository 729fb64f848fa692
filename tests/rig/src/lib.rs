//! A real Kubernetes control plane for tests: etcd, API server, controllers, scheduler and, instead of kubelets, kwok.
//! No containers, no privileges, no fixed ports; several side by side.
//!
//! The programs come from the folder `KUBEBUILDER_ASSETS` names, else from `tests/devcluster`, which is built once into the
//! user's cache folder.
//!
//! ```no_run
//! # async fn example() -> Result<(), muster_rig::RigError> {
//! use muster_rig::{ControlPlane, Options};
//!
//! let plane = ControlPlane::start(Options::full()).await?;
//! let admin = plane.admin();
//! let nodes = admin.get("/api/v1/nodes").await?;
//! # Ok(()) }
//! ```

mod certificates;
mod client;
mod commands;
mod control_plane;
mod crowd;
mod error;
mod etcd;
mod folder;
mod guard;
mod http;
mod identity;
mod kubectl;
mod link;
mod manifest;
mod options;
mod outages;
mod ports;
mod process;
mod programs;
mod shared;
mod waiting;

pub use crate::control_plane::ControlPlane;
pub use crate::crowd::{pod, pods};
pub use crate::error::RigError;
pub use crate::http::{PatchKind, Watch};
pub use crate::identity::{Identity, InCluster};
pub use crate::link::Link;
pub use crate::manifest::environment_of;
pub use crate::options::Options;
pub use crate::ports::free_ports;
pub use crate::shared::SharedPlane;
pub use crate::waiting::{HANG, until};
