//! The program of the operator that knows secrets. Source: autodiscovery 8.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use muster_actors::domain::config::CheckConfig;
use muster_actors::domain::secret::Secret;
use muster_actors::domain::secrets::{Handles, SecretError, SecretValues, hidden, read_answer, request};
use muster_actors::ports::SecretBackend;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::sync::Semaphore;

use crate::config::settings::{SecretBackendSettings, SecretRefreshSettings};

/// Programs that run at the same time, at most.
///
/// Why: a listing may name many secrets at once, and the operator's program may be heavy.
const MAX_RUNNING: usize = 4;

/// Pause before a program is started again that was being written a moment ago.
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// Runs the program for handles it has not told yet. Clones share what it told, for as long as the process lives.
#[derive(Clone)]
pub struct SecretCommand {
    shared: Arc<Shared>,
}

struct Shared {
    program: std::path::PathBuf,
    settings: SecretBackendSettings,
    told: Mutex<Told>,
    running: Semaphore,
}

/// What the program told.
#[derive(Default)]
struct Told {
    known: SecretValues,
    /// What it told before a refresh; still not to be shown.
    before: SecretValues,
}

impl Told {
    /// Takes a value in. Returns whether it is another one than before.
    fn learn(&mut self, handle: &str, value: Secret<String>) -> bool {
        match self.known.insert(handle.to_owned(), value.clone()) {
            Some(old) if old != value => {
                self.before.insert(format!("{handle} {}", self.before.len()), old);
                true
            }
            Some(_) => false,
            None => true,
        }
    }
}

/// What a refresh brought.
#[derive(Debug, Default)]
pub struct Refreshed {
    /// Handles with other values than before.
    pub changed: SecretValues,
    /// Why some, or all, have no new value; they keep the old one.
    pub failure: Option<SecretError>,
}

/// Why a run gave no output.
enum RunError {
    Timeout,
    Failed(String),
}

impl SecretCommand {
    /// The backend that the settings name; none if there is no program.
    #[must_use]
    pub fn from_settings(settings: SecretBackendSettings) -> Option<Self> {
        let program = settings.command.clone()?;
        let shared = Shared { program, settings, told: Mutex::default(), running: Semaphore::new(MAX_RUNNING) };
        Some(Self { shared: Arc::new(shared) })
    }

    /// Whether secrets of check configurations are resolved here (`secret_backend_skip_checks`).
    #[must_use]
    pub fn serves_checks(&self) -> bool {
        !self.shared.settings.skip_checks
    }

    /// Takes in what the program told another value of this kind: it need not be asked for that.
    pub fn remember(&self, values: &SecretValues) {
        let mut told = self.shared.told();
        for (handle, value) in values {
            told.learn(handle, value.clone());
        }
    }

    /// When to ask anew.
    #[must_use]
    pub fn refresh_settings(&self) -> SecretRefreshSettings {
        self.shared.settings.refresh
    }

    /// Asks anew for all that was told so far, in one call.
    pub async fn refresh(&self) -> Refreshed {
        let handles: Handles = self.shared.told().known.keys().cloned().collect();
        if handles.is_empty() {
            return Refreshed::default();
        }
        // Never closed, so this cannot fail.
        let _turn = self.shared.running.acquire().await;
        self.shared.ask(&handles).await.unwrap_or_else(|error| Refreshed { failure: Some(error), ..Refreshed::default() })
    }

    /// The config with every secret masked that the program has told so far, for people.
    #[must_use]
    pub fn hide(&self, config: &CheckConfig) -> CheckConfig {
        let told = self.shared.told();
        hidden(&hidden(config, &told.known), &told.before)
    }
}

impl SecretBackend for SecretCommand {
    fn resolve(&self, handles: Handles) -> BoxFuture<'static, Result<SecretValues, SecretError>> {
        let shared = Arc::clone(&self.shared);
        async move { shared.resolve(handles).await }.boxed()
    }
}

impl Shared {
    async fn resolve(&self, handles: Handles) -> Result<SecretValues, SecretError> {
        let mut new = self.unknown(&handles);
        if !new.is_empty() {
            // Never closed, so this cannot fail.
            let _turn = self.running.acquire().await;
            new = self.unknown(&handles);
        }
        if !new.is_empty()
            && let Some(failure) = self.ask(&new).await?.failure
        {
            return Err(failure);
        }
        let told = self.told();
        let value =
            |handle: String| told.known.get(&handle).cloned().map(|value| (handle.clone(), value)).ok_or(SecretError::Missing(handle));
        handles.into_iter().map(value).collect()
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unknown(&self, handles: &Handles) -> Handles {
        let told = self.told();
        handles.iter().filter(|handle| !told.known.contains_key(*handle)).cloned().collect()
    }

    /// Runs the program and keeps what it tells. One handle without a value does not lose the others.
    async fn ask(&self, handles: &Handles) -> Result<Refreshed, SecretError> {
        let command = || self.program.display().to_string();
        let output = tokio::time::timeout(self.settings.timeout, self.run(&request(handles)))
            .await
            .unwrap_or(Err(RunError::Timeout))
            .map_err(|error| match error {
                RunError::Timeout => SecretError::Timeout { command: command() },
                RunError::Failed(reason) => SecretError::Command { command: command(), reason },
            })?;
        let mut asked = Refreshed::default();
        for (handle, value) in read_answer(handles, &output, self.settings.remove_trailing_line_break)? {
            match value {
                Ok(value) => {
                    if self.told().learn(&handle, value.clone()) {
                        asked.changed.insert(handle, value);
                    }
                }
                Err(error) => asked.failure = asked.failure.or(Some(error)),
            }
        }
        Ok(asked)
    }

    /// Standard output of one run. Dropping the future kills the program.
    async fn run(&self, input: &str) -> Result<Vec<u8>, RunError> {
        check_rights(&self.program, self.settings.group_exec_allowed).await.map_err(RunError::Failed)?;
        let failed = |step: &str| {
            let step = step.to_owned();
            move |error: io::Error| RunError::Failed(format!("{step}: {error}"))
        };
        let mut child = self.spawn().await.map_err(failed("start"))?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let write = async {
            if let Some(mut stdin) = stdin {
                // A program that reads nothing may have its reasons; what counts is its output.
                let _ = stdin.write_all(input.as_bytes()).await;
            }
        };
        let limit = self.settings.output_max_size;
        let (output, errors, ()) = tokio::join!(read_limited(stdout, limit), read_limited(stderr, limit), write);
        let output = output.map_err(|error| RunError::Failed(format!("read its output: {error}")))?;
        // What it writes there may hold secrets, so it is never shown.
        errors.map_err(|error| RunError::Failed(format!("read its error output: {error}")))?;
        let status = child.wait().await.map_err(failed("wait for its end"))?;
        if status.success() { Ok(output) } else { Err(RunError::Failed(status.to_string())) }
    }

    async fn spawn(&self) -> io::Result<tokio::process::Child> {
        let mut command = Command::new(&self.program);
        command.args(&self.settings.arguments).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        match command.spawn() {
            // Somebody has it open for writing, perhaps because it is being installed.
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                tokio::time::sleep(BUSY_PAUSE).await;
                command.spawn()
            }
            other => other,
        }
    }
}

/// Reads to the end; more than `limit` bytes are an error, and the rest is not read.
async fn read_limited(stream: Option<impl AsyncRead + Unpin>, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        let mut limited = stream.take((limit as u64).saturating_add(1));
        limited.read_to_end(&mut bytes).await?;
    }
    if bytes.len() > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {limit} bytes (secret_backend_output_max_size)")));
    }
    Ok(bytes)
}

/// A program that others may change or run must not be trusted with secrets.
///
/// Errors: what is wrong, with what was found and what is allowed.
async fn check_rights(program: &Path, group_exec_allowed: bool) -> Result<(), String> {
    let metadata = tokio::fs::metadata(program).await.map_err(|error| format!("look at it: {error}"))?;
    if !metadata.is_file() {
        return Err("not a regular file".to_owned());
    }
    let mode = metadata.permissions().mode() & 0o777;
    let (forbidden, allowed) = if group_exec_allowed { (0o027, "at most 0750") } else { (0o077, "at most 0700") };
    if mode & forbidden == 0 {
        return Ok(());
    }
    let hint = if !group_exec_allowed && mode & 0o027 == 0 { ", or set secret_backend_command_allow_group_exec_perm" } else { "" };
    Err(format!("invalid executable, 'group' or 'others' have rights on it: found mode {mode:04o}, allowed: {allowed}{hint}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::path::PathBuf;

    use muster_actors::domain::config::Data;

    use super::*;

    struct Program {
        folder: tempfile::TempDir,
    }

    impl Program {
        /// A shell script, written by another process: one that this process writes could not be run while a parallel test starts its own.
        fn new(script: &str, mode: &str) -> Self {
            let program = Self { folder: tempfile::tempdir().unwrap() };
            let write = format!("cat > '{0}' && chmod {mode} '{0}'", program.path().display());
            let mut writer = std::process::Command::new("/bin/sh").arg("-c").arg(write).stdin(Stdio::piped()).spawn().unwrap();
            writer.stdin.take().unwrap().write_all(format!("#!/bin/sh\n{script}\n").as_bytes()).unwrap();
            assert!(writer.wait().unwrap().success());
            program
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("backend")
        }

        fn settings(&self) -> SecretBackendSettings {
            SecretBackendSettings {
                command: Some(self.path()),
                arguments: Vec::new(),
                timeout: Duration::from_secs(30),
                output_max_size: 1024,
                group_exec_allowed: false,
                skip_checks: false,
                remove_trailing_line_break: false,
                refresh: SecretRefreshSettings::default(),
            }
        }
    }

    async fn resolve(settings: SecretBackendSettings, handles: &[&str]) -> Result<Vec<(String, String)>, String> {
        ask(&SecretCommand::from_settings(settings).unwrap(), handles).await
    }

    async fn ask(backend: &SecretCommand, handles: &[&str]) -> Result<Vec<(String, String)>, String> {
        let values = backend.resolve(handles.iter().map(ToString::to_string).collect()).await.map_err(|error| error.to_string())?;
        Ok(values.into_iter().map(|(handle, value)| (handle, value.expose().clone())).collect())
    }

    fn pair(handle: &str, value: &str) -> (String, String) {
        (handle.to_owned(), value.to_owned())
    }

    #[tokio::test]
    async fn ad_v60_the_program_gets_the_handles_and_its_answer_is_kept() {
        let script = r#"cat >> "$1.in"; echo >> "$1.in"; echo '{"db_pass":{"value":"0123","error":null}}'"#;
        let program = Program::new(script, "0700");
        let log = program.folder.path().join("log");
        let backend =
            SecretCommand::from_settings(SecretBackendSettings { arguments: vec![log.display().to_string()], ..program.settings() })
                .unwrap();
        for _ in 0..2 {
            assert_eq!(ask(&backend, &["db_pass"]).await, Ok(vec![pair("db_pass", "0123")]));
        }
        let input = std::fs::read_to_string(log.with_extension("in")).unwrap();
        assert_eq!(input, "{\"secrets\":[\"db_pass\"],\"version\":\"1.0\"}\n", "asked once");
        let plain = CheckConfig { instances: vec![Data::from("user: '0123'\nm: 0123\n")], ..CheckConfig::default() };
        assert_eq!(backend.hide(&plain).instances[0].text(), "m: 83\nuser: '********'\n");
        let error = ask(&backend, &["db_pass", "other"]).await.unwrap_err();
        assert_eq!(error, "secret handle 'other' was not resolved by the secret_backend_command");
        assert!(std::fs::read_to_string(log.with_extension("in")).unwrap().ends_with("{\"secrets\":[\"other\"],\"version\":\"1.0\"}\n"));
    }

    #[tokio::test]
    async fn a_program_that_fails_or_talks_nonsense_is_an_error_without_its_output() {
        let failing = Program::new("echo hunter2; echo hunter2 >&2; exit 3", "0700");
        let error = resolve(failing.settings(), &["a"]).await.unwrap_err();
        assert_eq!(error, format!("error while running '{}': exit status: 3", failing.path().display()));
        let nonsense = Program::new("echo hunter2", "0700");
        let error = resolve(nonsense.settings(), &["a"]).await.unwrap_err();
        assert!(error.starts_with("could not unmarshal 'secret_backend_command' output: ") && !error.contains("hunter2"), "{error}");
        let missing = SecretBackendSettings { command: Some(failing.path().join("x")), ..failing.settings() };
        assert!(resolve(missing, &["a"]).await.unwrap_err().contains("look at it: "));
    }

    #[tokio::test]
    async fn a_program_that_does_not_end_is_killed() {
        let program = Program::new("echo $$ > \"$0.pid\"; exec sleep 1000", "0700");
        let settings = SecretBackendSettings { timeout: Duration::from_secs(1), ..program.settings() };
        let error = resolve(settings, &["a"]).await.unwrap_err();
        assert_eq!(error, format!("error while running '{}': command timeout", program.path().display()));
        let id = std::fs::read_to_string(program.folder.path().join("backend.pid")).unwrap();
        let process = PathBuf::from("/proc").join(id.trim());
        for _ in 0..500 {
            if !process.exists() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("process {id} is still there");
    }

    #[tokio::test]
    async fn output_is_limited() {
        let program = Program::new("head -c 2000 /dev/zero; cat > /dev/null", "0700");
        let error = resolve(program.settings(), &["a"]).await.unwrap_err();
        assert!(error.ends_with("read its output: more than 1024 bytes (secret_backend_output_max_size)"), "{error}");
        let noisy = Program::new("head -c 2000 /dev/zero >&2; echo '{}'", "0700");
        let error = resolve(noisy.settings(), &["a"]).await.unwrap_err();
        assert!(error.ends_with("read its error output: more than 1024 bytes (secret_backend_output_max_size)"), "{error}");
    }

    #[tokio::test]
    async fn a_program_that_others_may_touch_is_not_run() {
        let answer = r#"echo '{"a":{"value":"x"}}'"#;
        for (mode, group_allowed, allowed) in
            [("0700", false, true), ("0750", false, false), ("0750", true, true), ("0701", true, false), ("0770", true, false)]
        {
            let program = Program::new(answer, mode);
            let settings = SecretBackendSettings { group_exec_allowed: group_allowed, ..program.settings() };
            let answer = resolve(settings, &["a"]).await;
            assert_eq!(answer.is_ok(), allowed, "{mode} {answer:?}");
            if let Err(error) = answer {
                assert!(error.contains(&format!("found mode {mode}, allowed: at most 07")), "{error}");
            }
        }
    }

    #[tokio::test]
    async fn line_breaks_are_removed_if_asked_for() {
        let program = Program::new(r#"printf %s '{"a":{"value":"x\r\n"}}'"#, "0700");
        let settings = SecretBackendSettings { remove_trailing_line_break: true, ..program.settings() };
        assert_eq!(resolve(settings, &["a"]).await, Ok(vec![pair("a", "x")]));
    }

    #[test]
    fn ad_v60_without_a_program_there_is_no_backend_and_with_skip_checks_none_for_checks() {
        let program = Program::new("true", "0700");
        assert!(SecretCommand::from_settings(SecretBackendSettings { command: None, ..program.settings() }).is_none());
        let serves = |settings| SecretCommand::from_settings(settings).unwrap().serves_checks();
        assert!(serves(program.settings()));
        assert!(!serves(SecretBackendSettings { skip_checks: true, ..program.settings() }));
    }

    #[tokio::test]
    async fn a_refresh_asks_for_all_at_once_and_one_that_fails_keeps_its_value() {
        let script = r#"cat >> "$0.in"; echo >> "$0.in"; cat "$0.answer""#;
        let program = Program::new(script, "0700");
        let answer = |text: &str| std::fs::write(program.folder.path().join("backend.answer"), text).unwrap();
        let backend = SecretCommand::from_settings(program.settings()).unwrap();
        assert!(backend.refresh().await.changed.is_empty(), "nobody asked for anything yet, so the program is not run");
        answer(r#"{"a":{"value":"a-one"},"b":{"value":"b-one"}}"#);
        ask(&backend, &["a", "b"]).await.unwrap();
        answer(r#"{"a":{"value":"a-two"},"b":{"error":"gone"}}"#);
        let Refreshed { changed, failure } = backend.refresh().await;
        assert_eq!(changed.keys().collect::<Vec<_>>(), ["a"]);
        assert_eq!(failure.unwrap().to_string(), "an error occurred while resolving 'b': gone");
        assert_eq!(ask(&backend, &["a", "b"]).await, Ok(vec![pair("a", "a-two"), pair("b", "b-one")]));
        let input = std::fs::read_to_string(program.folder.path().join("backend.in")).unwrap();
        assert_eq!(input.lines().count(), 2, "{input}");
        let config = CheckConfig { instances: vec![Data::from("m: a-one\nu: a-two\n")], ..CheckConfig::default() };
        assert_eq!(backend.hide(&config).instances[0].text(), "m: '********'\nu: '********'\n", "what was a secret stays one");
    }
}
