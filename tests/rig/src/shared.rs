//! One control plane for all tests of a binary.

use std::ops::Deref;
use std::thread;

use tokio::sync::OnceCell;

use crate::control_plane::ControlPlane;
use crate::error::RigError;
use crate::options::Options;

/// Never dropped: the guard of its processes ends them with the test binary.
static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();

/// The shared control plane. Outages need one of your own, so they cannot be called through this.
#[derive(Debug)]
pub struct SharedPlane(&'static ControlPlane);

impl ControlPlane {
    /// The control plane that all tests of this process share, started in full by the first who asks. Take a
    /// [`ControlPlane::namespace`] of your own in it; what belongs to no namespace (nodes, cluster roles, webhooks, custom
    /// resource definitions) needs names of its own too, or a control plane of your own.
    pub async fn shared() -> Result<SharedPlane, RigError> {
        SHARED.get_or_try_init(|| Self::start(Options::full())).await.map(SharedPlane)
    }
}

impl Deref for SharedPlane {
    type Target = ControlPlane;

    fn deref(&self) -> &ControlPlane {
        self.0
    }
}

impl Drop for SharedPlane {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.0.failure_report());
        }
    }
}
