//! The thread that notices changes of config files and sends full listings.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use muster_actors::kernel::clock::Clock;
use muster_actors::kernel::mailbox::{Outlet, TellError};
use muster_actors::messages::kube_discovery::FileTemplates;
use muster_actors::messages::resolver::ProviderListing;
use muster_actors::ports::DiscoverySource;
use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tracing::{debug, warn};

use crate::autodiscovery::file_provider::{FileDiscovery, FileOptions, FileProvider, PROVIDER};

/// How soon changes are noticed.
#[derive(Debug, Clone)]
pub struct WatchOptions {
    /// Quiet time to wait for after a change, so that a burst of changes is read once.
    pub quiet: Duration,
    /// Longest wait for quiet.
    pub patience: Duration,
    /// Time between passes when nothing is noticed: some file systems tell nothing, and a search path may appear later.
    pub rescan: Duration,
    /// The same while a directory cannot be watched or a search path is missing.
    pub blind_rescan: Duration,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self {
            quiet: Duration::from_millis(100),
            patience: Duration::from_millis(400),
            rescan: Duration::from_secs(60),
            blind_rescan: Duration::from_secs(10),
        }
    }
}

/// Who is told what files say.
#[derive(Debug, Clone)]
pub struct Listeners {
    /// Takes configs.
    pub listings: Outlet<ProviderListing>,
    /// Takes templates that wait for a Kubernetes object; `None` where nothing looks for such objects.
    pub templates: Option<Outlet<FileTemplates>>,
}

impl From<Outlet<ProviderListing>> for Listeners {
    fn from(listings: Outlet<ProviderListing>) -> Self {
        Self { listings, templates: None }
    }
}

impl Listeners {
    fn tell(&self, found: &FileDiscovery) -> Result<(), TellError> {
        let listed = self.listings.tell(ProviderListing {
            provider: PROVIDER,
            configs: found.configs.clone(),
            errors: found.errors.clone(),
            warnings: found.warnings.clone(),
        });
        match &self.templates {
            Some(templates) => listed.and(templates.tell(FileTemplates { configs: found.templates.clone() })),
            None => listed,
        }
    }
}

/// Hears how long each pass over the files took. Called on the watcher's thread.
pub type PassObserver = Arc<dyn Fn(Duration) + Send + Sync>;

/// Time until a second look at an empty file, and until a listing that was not taken is sent again.
const SOON: Duration = Duration::from_secs(1);

enum Signal {
    Changed,
    Requested,
    Stop,
}

/// Watches config files on a thread of its own until it is dropped.
#[derive(Debug)]
pub struct FileWatch {
    signals: Sender<Signal>,
    thread: Option<JoinHandle<()>>,
}

impl FileWatch {
    /// Starts watching. The first listing is sent when it is requested; `passes` hears of every pass.
    ///
    /// Errors: the thread cannot be started. A watch that cannot be set up is no error, the files are read periodically then.
    pub fn start(
        files: FileOptions,
        options: WatchOptions,
        clock: Arc<dyn Clock>,
        listeners: impl Into<Listeners>,
        passes: PassObserver,
    ) -> io::Result<Self> {
        let (signals, received) = channel();
        let eyes = Eyes::open(signals.clone());
        let mut loop_state = WatchLoop {
            provider: FileProvider::new(files),
            options,
            clock,
            listeners: listeners.into(),
            passes,
            eyes,
            received,
            sent: None,
            requested: false,
            warned: BTreeMap::new(),
        };
        let thread = std::thread::Builder::new().name("file-watch".to_owned()).spawn(move || loop_state.run())?;
        Ok(Self { signals, thread: Some(thread) })
    }
}

impl DiscoverySource for FileWatch {
    fn provider(&self) -> &'static str {
        PROVIDER
    }

    fn request_listing(&self) {
        // The thread ends only with this value.
        let _ = self.signals.send(Signal::Requested);
    }
}

impl Drop for FileWatch {
    fn drop(&mut self) {
        let _ = self.signals.send(Signal::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct WatchLoop {
    provider: FileProvider,
    options: WatchOptions,
    clock: Arc<dyn Clock>,
    listeners: Listeners,
    passes: PassObserver,
    eyes: Eyes,
    received: Receiver<Signal>,
    /// What the last listing that was taken said.
    sent: Option<FileDiscovery>,
    /// Somebody waits for a listing, even if nothing changed.
    requested: bool,
    /// Integration -> warnings that are in the log already.
    warned: BTreeMap<String, Vec<String>>,
}

impl WatchLoop {
    fn run(&mut self) {
        let mut next_pass = self.pass();
        loop {
            match self.received.recv_timeout(next_pass) {
                Ok(Signal::Requested) => self.requested = true,
                Ok(Signal::Changed) => {
                    if self.wait_for_quiet().is_break() {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
            next_pass = self.pass();
        }
    }

    /// Swallows further changes until there are none for a moment.
    fn wait_for_quiet(&mut self) -> std::ops::ControlFlow<()> {
        let deadline = self.clock.monotonic() + self.options.patience;
        loop {
            let left = deadline.saturating_sub(self.clock.monotonic());
            match self.received.recv_timeout(left.min(self.options.quiet)) {
                Ok(Signal::Changed) if !left.is_zero() => {}
                Ok(Signal::Changed) | Err(RecvTimeoutError::Timeout) => return std::ops::ControlFlow::Continue(()),
                Ok(Signal::Requested) => self.requested = true,
                Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return std::ops::ControlFlow::Break(()),
            }
        }
    }

    /// Reads everything, sends it if it is new or was asked for, and tells when to read again at the latest.
    fn pass(&mut self) -> Duration {
        let began = self.clock.monotonic();
        let mut found = self.provider.collect(began);
        if self.eyes.look_at(&found) {
            // A change between reading a directory and watching it would go unnoticed.
            found = self.provider.collect(self.clock.monotonic());
        }
        (self.passes)(self.clock.monotonic().saturating_sub(began));
        if self.listeners.templates.is_none() {
            found.warn_of_templates();
        }
        self.log_new_warnings(&found);
        let blind = self.eyes.blind || !found.missing.is_empty();
        let unsettled = found.unsettled;
        let late = !self.send(found);
        if unsettled || late {
            SOON
        } else if blind {
            self.options.blind_rescan
        } else {
            self.options.rescan
        }
    }

    /// Whether nothing is left to be sent.
    fn send(&mut self, found: FileDiscovery) -> bool {
        if self.sent.is_none() && !self.requested {
            return true;
        }
        let unchanged = self.sent.as_ref().is_some_and(|sent| {
            sent.configs == found.configs
                && sent.templates == found.templates
                && sent.errors == found.errors
                && sent.warnings == found.warnings
        });
        if unchanged && !self.requested {
            return true;
        }
        match self.listeners.tell(&found) {
            Ok(()) => {
                self.sent = Some(found);
                self.requested = false;
                true
            }
            // The receiver asks again when it is back, and a change is sent again soon.
            Err(error) => {
                debug!(%error, "listing of config files not taken");
                false
            }
        }
    }

    fn log_new_warnings(&mut self, found: &FileDiscovery) {
        for (name, warnings) in &found.warnings {
            let known = self.warned.get(name);
            for warning in warnings.iter().filter(|warning| known.is_none_or(|known| !known.contains(warning))) {
                warn!(integration = name, warning, "config file is odd");
            }
        }
        self.warned.clone_from(&found.warnings);
    }
}

/// The watched directories. Directories are watched, not files, because editors and Kubernetes replace files and swap links.
struct Eyes {
    watcher: Option<RecommendedWatcher>,
    /// Directory, without links -> when it was created, so that a new one under an old name is noticed.
    watched: BTreeMap<PathBuf, Option<SystemTime>>,
    /// Something that should be watched is not.
    blind: bool,
}

impl Eyes {
    fn open(signals: Sender<Signal>) -> Self {
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.map_or(true, |event| is_change(event.kind)) {
                // Nobody listens any more while the thread ends.
                let _ = signals.send(Signal::Changed);
            }
        });
        let watcher = watcher.inspect_err(|error| warn!(%error, "cannot watch files, they are read periodically")).ok();
        Self { watcher, watched: BTreeMap::new(), blind: false }
    }

    /// Watches what a pass has seen, and the directories in which missing search paths would appear. Tells whether a watch is new.
    fn look_at(&mut self, found: &FileDiscovery) -> bool {
        let Some(watcher) = &mut self.watcher else {
            self.blind = true;
            return false;
        };
        let parents = found.missing.iter().filter_map(|path| path.parent());
        let wanted: BTreeMap<PathBuf, Option<SystemTime>> = found
            .directories
            .iter()
            .map(PathBuf::as_path)
            .chain(parents)
            .filter_map(|path| path.canonicalize().ok())
            .map(|path| (path.clone(), path.metadata().and_then(|metadata| metadata.created()).ok()))
            .collect();
        self.watched.retain(|path, created| {
            let keep = wanted.get(path) == Some(created);
            if !keep {
                // It may be gone, and its watch with it.
                let _ = watcher.unwatch(path);
            }
            keep
        });
        self.blind = false;
        let mut has_new = false;
        for (path, created) in wanted {
            if self.watched.contains_key(&path) {
                continue;
            }
            match watcher.watch(&path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(path, created);
                    has_new = true;
                }
                Err(error) => {
                    debug!(path = %path.display(), %error, "cannot watch directory, it is read periodically");
                    self.blind = true;
                }
            }
        }
        has_new
    }
}

/// Reading is no change; without this, every pass would cause the next.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => true,
    }
}
