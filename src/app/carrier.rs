//! Threads beside that of the actors.

use tokio::runtime::{Builder, Handle, Runtime};

/// Threads on which futures run away from the thread of the actors. Dropping it ends what is under way.
///
/// Why not the bare runtime: dropping that where other futures run panics, because it waits for its tasks, and a start that fails
/// drops it.
pub(super) struct Carrier {
    /// The way to run something there.
    pub(super) handle: Handle,
    /// There until it is dropped.
    runtime: Option<Runtime>,
}

impl Carrier {
    /// Starts so many threads of this name.
    ///
    /// Errors: the system refuses a thread.
    pub(super) fn start(name: &'static str, threads: usize) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(threads).thread_name(name).enable_all().build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
