//! Ends every process of a control plane and removes its folder, however its owner ends.
//!
//! All of them are in one process group. A shell outside of it reads from a pipe that only the owner holds open: when the
//! owner lets go of it or is killed, the shell kills the group and removes the folder.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::error::RigError;

/// What the shell does; its arguments are the process group and the folder. Killed processes may still finish a write.
const SCRIPT: &str = r#"read -r _; kill -s KILL -- "-$1"; rm -rf -- "$2" 2>/dev/null || { sleep 1; rm -rf -- "$2"; }"#;

/// Held by the owner of a control plane.
#[derive(Debug)]
pub(crate) struct Guard {
    /// Keeps the process group existing while the others come and go.
    anchor: Child,
    watcher: Child,
    pipe: Option<ChildStdin>,
}

impl Guard {
    pub(crate) fn start(folder: &Path) -> Result<Self, RigError> {
        let failed = |source| RigError::Spawn { process: "the guard of the processes", source };
        let mut anchor = Command::new("cat")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let mut watch = Command::new("sh");
        watch.args(["-c", SCRIPT, "muster-rig-guard"]).arg(anchor.id().to_string()).arg(folder);
        let watcher = watch.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        match watcher {
            Ok(mut watcher) => Ok(Self { anchor, pipe: watcher.stdin.take(), watcher }),
            Err(source) => {
                // Without a watcher nothing was started yet but this one; a failure to end it changes nothing.
                let _ = anchor.kill();
                let _ = anchor.wait();
                Err(failed(source))
            }
        }
    }

    /// The process group of everything that is to end with the owner.
    pub(crate) fn group(&self) -> u32 {
        self.anchor.id()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.pipe.take());
        // They end by themselves now; waiting only collects them.
        let _ = self.watcher.wait();
        let _ = self.anchor.wait();
    }
}
