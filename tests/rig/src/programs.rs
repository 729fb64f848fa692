//! Where the programs of the control plane are.

#![expect(clippy::disallowed_methods, reason = "the rig is a test tool with its own variables; the product's are read in config/env.rs")]

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::error::RigError;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../devcluster/build.sh");

/// Found or built once per process.
static FOUND: Mutex<Option<Programs>> = Mutex::new(None);

/// How a component is started.
#[derive(Debug, Clone)]
pub(crate) enum Programs {
    /// One file per component (`KUBEBUILDER_ASSETS`).
    Folder(PathBuf),
    /// One file for all; the first argument names the component.
    OneFile(PathBuf),
}

impl Programs {
    /// `KUBEBUILDER_ASSETS`, else `MUSTER_DEVCLUSTER`, else what `build.sh` prints, which takes minutes the first time and
    /// reports to standard error meanwhile. Blocks.
    pub(crate) fn find() -> Result<Self, RigError> {
        let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(programs) = &*found {
            return Ok(programs.clone());
        }
        let programs = Self::look()?;
        *found = Some(programs.clone());
        Ok(programs)
    }

    fn look() -> Result<Self, RigError> {
        if let Some(folder) = named("KUBEBUILDER_ASSETS") {
            return Ok(Self::Folder(folder));
        }
        if let Some(file) = named("MUSTER_DEVCLUSTER").filter(|file| file.is_file()) {
            return Ok(Self::OneFile(file));
        }
        let script = PathBuf::from(SCRIPT);
        let run = Command::new("bash").arg(&script).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
        let output = run.map_err(|source| RigError::BuildScript { script: script.clone(), source })?;
        let text = String::from_utf8_lossy(&output.stdout);
        match text.lines().last() {
            Some(file) if output.status.success() => Ok(Self::OneFile(file.into())),
            _ => Err(RigError::Build { script, status: output.status }),
        }
    }

    /// The command of a component, without its flags.
    pub(crate) fn command(&self, program: &'static str) -> Result<Command, RigError> {
        match self {
            Self::Folder(folder) => {
                let file = folder.join(program);
                if !file.is_file() {
                    return Err(RigError::MissingProgram { program, folder: folder.clone() });
                }
                Ok(Command::new(file))
            }
            Self::OneFile(file) => Ok(one_file(file, program)),
        }
    }

    /// What to type in a shell to run `program`.
    pub(crate) fn shell(&self, program: &str) -> String {
        match self {
            Self::Folder(folder) => folder.join(program).display().to_string(),
            Self::OneFile(file) => format!("{} {program}", file.display()),
        }
    }
}

fn one_file(file: &Path, program: &str) -> Command {
    let mut command = Command::new(file);
    command.arg(program);
    command
}

fn named(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}
