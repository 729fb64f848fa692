//! One process of a control plane.

use std::fs::OpenOptions;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::error::RigError;
use crate::folder;

/// A command that can be started again after it was killed; each start appends to one log.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    command: Command,
    log: PathBuf,
    child: Option<Child>,
}

impl Process {
    /// Does not start it. The log is `<name>.log` in `folder`; `group` is the process group of the guard.
    pub(crate) fn new(name: &'static str, mut command: Command, folder: &Path, group: u32) -> Self {
        command.process_group(group.cast_signed()).stdin(Stdio::null()).current_dir(folder);
        Self { name, command, log: folder.join(format!("{name}.log")), child: None }
    }

    /// Starts it; nothing happens if it runs.
    pub(crate) fn start(&mut self) -> Result<(), RigError> {
        if self.child.is_some() {
            return Ok(());
        }
        let failed = |source| RigError::Spawn { process: self.name, source };
        let log = OpenOptions::new().create(true).append(true).open(&self.log).map_err(failed)?;
        let errors = log.try_clone().map_err(failed)?;
        self.child = Some(self.command.stdout(log).stderr(errors).spawn().map_err(failed)?);
        Ok(())
    }

    /// Kills it as `kill -9` does and returns when it is gone.
    pub(crate) fn kill(&mut self) -> Result<(), RigError> {
        let mut child = self.child.take().ok_or(RigError::NotRunning { process: self.name })?;
        let failed = |source| RigError::Spawn { process: self.name, source };
        child.kill().map_err(failed)?;
        child.wait().map_err(failed)?;
        Ok(())
    }

    /// An error if it ended by itself.
    pub(crate) fn check(&mut self) -> Result<(), RigError> {
        match self.ended() {
            Some(status) => Err(RigError::Ended { process: self.name, status, tail: folder::tail(&self.log) }),
            None => Ok(()),
        }
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().ok().flatten()
    }

    /// Collects it after the guard killed its group.
    pub(crate) fn collect(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Killed before; if waiting fails, there is nothing left to do for it.
            let _ = child.wait();
        }
    }
}
