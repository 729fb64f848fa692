//! Runs actors from factories, restarts them after a panic, watches that they answer, stops them in order.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::AsyncContext as _;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::{error, warn};

use crate::kernel::clock::Clock;
use crate::kernel::health::{HealthCatalogue, PING_INTERVAL, SELF_NAME, UNHEALTHY_AFTER};
use crate::kernel::intensity::RestartIntensity;
use crate::kernel::lifeline::{DeathBell, Lifeline, Stop, Toll};
use crate::kernel::mailbox::Handle;
use crate::kernel::registry::{Entry, Registry};
use crate::kernel::supervised::Supervised;
use crate::kernel::tree::{ChildId, GroupId, Step, Strategy, Tree};

/// Exit code of a process whose kernel gave up. Source: style 4.7.
pub const EXIT_CODE_EXHAUSTED: i32 = 70;

/// Restarts did not help, and no group is left to escalate to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("keep actors of group {group} running: {actor} failed too often")]
pub struct Exhausted {
    /// The outermost group that failed.
    pub group: &'static str,
    /// The actor whose death was the last straw.
    pub actor: String,
}

/// Makes and starts one incarnation; the sender stops it. `None` when the factory panicked.
type Start = Box<dyn Fn(ChildId) -> Option<oneshot::Sender<Stop>>>;

/// What the role does when the kernel gives up.
type GiveUp = Box<dyn FnOnce(Exhausted)>;

struct Child {
    entry: Arc<Entry>,
    start: Start,
    order: RefCell<Option<oneshot::Sender<Stop>>>,
    started_before: Cell<bool>,
    /// Whether a ping is on its way, so that a hung actor collects one and not thousands.
    pinged: Cell<bool>,
}

struct Inner {
    clock: Arc<dyn Clock>,
    health: Arc<HealthCatalogue>,
    registry: Registry,
    tree: RefCell<Tree>,
    children: RefCell<Vec<Rc<Child>>>,
    group_names: RefCell<Vec<&'static str>>,
    tolls: mpsc::UnboundedSender<Toll>,
    on_exhausted: Cell<Option<GiveUp>>,
    someone_died: Notify,
    nurse: Cell<Option<JoinHandle<()>>>,
}

/// The host of all actors of one role. Cheap to clone; lives on the thread of its actors.
///
/// Dropping all clones without [`Kernel::shutdown`] stops the actors too, but nobody waits for them.
#[derive(Clone)]
pub struct Kernel {
    inner: Rc<Inner>,
}

impl Kernel {
    /// Starts an empty kernel; must run inside an actix system.
    ///
    /// `on_exhausted` is called once if an outermost group fails too often; all actors have been told to stop by then.
    #[must_use]
    pub fn start(clock: Arc<dyn Clock>, on_exhausted: impl FnOnce(Exhausted) + 'static) -> Self {
        let (tolls, news) = mpsc::unbounded_channel();
        let inner = Rc::new(Inner {
            health: Arc::new(HealthCatalogue::new(Arc::clone(&clock))),
            clock,
            registry: Registry::default(),
            tree: RefCell::default(),
            children: RefCell::default(),
            group_names: RefCell::default(),
            tolls,
            on_exhausted: Cell::new(Some(Box::new(on_exhausted))),
            someone_died: Notify::new(),
            nurse: Cell::default(),
        });
        // The first ends with the last bell, also when that rings after shutdown; the second must be ended.
        actix_rt::spawn(hear_tolls(Rc::downgrade(&inner), news));
        inner.nurse.set(Some(actix_rt::spawn(ping_all(Rc::downgrade(&inner)))));
        Self { inner }
    }

    /// Adds a group whose members restart together, below `parent` or as an outermost one.
    #[must_use]
    pub fn group(&self, name: &'static str, parent: Option<&Group>) -> Group {
        self.add_group(name, parent, Strategy::Together)
    }

    /// Adds a group in which only the member that died restarts.
    #[must_use]
    pub fn one_for_one(&self, name: &'static str, parent: Option<&Group>) -> Group {
        self.add_group(name, parent, Strategy::OneForOne)
    }

    fn add_group(&self, name: &'static str, parent: Option<&Group>, strategy: Strategy) -> Group {
        let id = self.inner.tree.borrow_mut().add_group(parent.map(|group| group.id), strategy);
        self.inner.group_names.borrow_mut().push(name);
        Group { kernel: self.clone(), id }
    }

    /// What is alive, ready and started.
    #[must_use]
    pub fn health(&self) -> Arc<HealthCatalogue> {
        Arc::clone(&self.inner.health)
    }

    /// The actors by name.
    #[must_use]
    pub fn registry(&self) -> Registry {
        self.inner.registry.clone()
    }

    /// Makes the current incarnation of an actor panic, as a bug would; used by simulations and tests.
    ///
    /// Returns whether there was one. It dies when it next looks at its mailbox.
    pub fn crash(&self, name: &str) -> bool {
        let child = self.inner.children.borrow().iter().find(|child| child.entry.name == name).cloned();
        let order = child.and_then(|child| child.order.borrow_mut().take());
        order.is_some_and(|order| order.send(Stop::Crash).is_ok())
    }

    /// Stops all groups, the newest first, waiting at most `grace` altogether; no actor restarts any more.
    ///
    /// Returns the names of the actors that did not stop. Each actor's stop hooks run; messages still in mailboxes are dropped,
    /// so owners that must drain do so before.
    pub async fn shutdown(&self, grace: Duration) -> Vec<String> {
        self.inner.tree.borrow_mut().close();
        let groups = self.inner.tree.borrow().group_count();
        let stop_in_order = async {
            for group in (0..groups).rev() {
                let steps = self.inner.tree.borrow_mut().stop_group(group);
                self.inner.carry_out(steps, None);
                loop {
                    let death = self.inner.someone_died.notified();
                    if self.inner.tree.borrow().running(Some(group)).next().is_none() {
                        break;
                    }
                    death.await;
                }
            }
        };
        // A passed deadline needs no answer of its own: who is left is counted below.
        let _ = tokio::time::timeout(grace, stop_in_order).await;
        for group in (0..groups).rev() {
            let steps = self.inner.tree.borrow_mut().stop_group(group);
            self.inner.carry_out(steps, None);
        }
        if let Some(nurse) = self.inner.nurse.take() {
            nurse.abort();
        }
        let children = self.inner.children.borrow();
        let left: Vec<String> = self.inner.tree.borrow().running(None).map(|id| children[id].entry.name.clone()).collect();
        if !left.is_empty() {
            warn!(actors = ?left, "actors did not stop in time");
        }
        left
    }
}

/// Actors that share a restart limit. Cheap to clone.
#[derive(Clone)]
pub struct Group {
    kernel: Kernel,
    id: GroupId,
}

impl Group {
    /// Replaces the default limit of 5 restarts in 60 s.
    #[must_use]
    pub fn with_intensity(self, intensity: RestartIntensity) -> Self {
        self.kernel.inner.tree.borrow_mut().set_intensity(self.id, intensity);
        self
    }

    /// Starts an actor and keeps it running: the handle always leads to the current incarnation.
    ///
    /// `capacity` is that of the mailbox, in messages. An actor that stops itself is restarted as if it had failed. After
    /// shutdown began nothing is started.
    pub fn child<A: Supervised>(&self, handle: &Handle<A>, capacity: usize, factory: impl Fn() -> A + 'static) {
        let inner = &self.kernel.inner;
        let entry = inner.registry.add(handle);
        inner.health.watch(&entry.name);
        let handle = handle.clone();
        let tolls = inner.tolls.clone();
        let start: Start = Box::new(move |child| start_incarnation(child, &handle, capacity, &factory, &tolls));
        inner.children.borrow_mut().push(Rc::new(Child {
            entry,
            start,
            order: RefCell::default(),
            started_before: Cell::new(false),
            pinged: Cell::new(false),
        }));
        let (_, steps) = inner.tree.borrow_mut().add_child(self.id);
        inner.carry_out(steps, None);
    }
}

/// Creates the actor in a context that holds its lifeline.
fn start_incarnation<A: Supervised>(
    child: ChildId,
    handle: &Handle<A>,
    capacity: usize,
    factory: &impl Fn() -> A,
    tolls: &mpsc::UnboundedSender<Toll>,
) -> Option<oneshot::Sender<Stop>> {
    let (order, ordered) = oneshot::channel();
    let bell = DeathBell { child, handle: handle.clone(), supervisor: tolls.clone() };
    // Unwind safety: a panic drops the half-made context, which rings the bell; nothing else is shared.
    let created = catch_unwind(AssertUnwindSafe(|| {
        A::create(|context| {
            context.set_mailbox_capacity(capacity);
            context.spawn(Lifeline::new(ordered, bell));
            factory()
        })
    }));
    handle.bind(Some(created.ok()?));
    Some(order)
}

impl Inner {
    /// Does what the tree decided. Must be called without a borrow of the tree: factories may use the kernel.
    fn carry_out(self: &Rc<Self>, steps: Vec<Step>, cause: Option<ChildId>) {
        for step in steps {
            match step {
                Step::Stop(id) => {
                    let order = self.child(id).order.borrow_mut().take();
                    if let Some(order) = order {
                        // It may just have died; then its bell has rung already.
                        let _ = order.send(Stop::Orderly);
                    }
                }
                Step::Start(id) => self.start(id),
                Step::GiveUp(group) => {
                    let group = self.group_names.borrow()[group];
                    let actor = cause.map(|id| self.child(id).entry.name.clone()).unwrap_or_default();
                    error!(group, actor, "actors fail too often, giving up");
                    if let Some(on_exhausted) = self.on_exhausted.take() {
                        on_exhausted(Exhausted { group, actor });
                    }
                }
            }
        }
    }

    fn start(self: &Rc<Self>, id: ChildId) {
        let child = self.child(id);
        if child.started_before.replace(true) {
            child.entry.restarts.fetch_add(1, Ordering::Relaxed);
        }
        let order = (child.start)(id);
        child.order.replace(order);
        self.ping(&child);
    }

    fn bury(self: &Rc<Self>, toll: Toll) {
        let child = self.child(toll.child);
        child.order.replace(None);
        if toll.panicked {
            let panics = child.entry.panics.fetch_add(1, Ordering::Relaxed) + 1;
            warn!(actor = child.entry.name, panics, "actor panicked");
        }
        let now = self.clock.monotonic();
        let steps = self.tree.borrow_mut().died(toll.child, now);
        self.carry_out(steps, Some(toll.child));
        self.someone_died.notify_waiters();
    }

    /// Asks an actor for a sign of life, unless the last question is still open.
    fn ping(&self, child: &Rc<Child>) {
        if child.pinged.replace(true) {
            return;
        }
        let child = Rc::clone(child);
        let health = Arc::clone(&self.health);
        actix_rt::spawn(async move {
            if child.entry.ping(UNHEALTHY_AFTER).await.is_ok() {
                health.beat(&child.entry.name);
            }
            child.pinged.set(false);
        });
    }

    fn child(&self, id: ChildId) -> Rc<Child> {
        Rc::clone(&self.children.borrow()[id])
    }
}

async fn hear_tolls(kernel: Weak<Inner>, mut news: mpsc::UnboundedReceiver<Toll>) {
    while let Some(toll) = news.recv().await {
        let Some(kernel) = kernel.upgrade() else { return };
        kernel.bury(toll);
    }
}

async fn ping_all(kernel: Weak<Inner>) {
    loop {
        {
            let Some(kernel) = kernel.upgrade() else { return };
            kernel.health.beat(SELF_NAME);
            let children = kernel.children.borrow().clone();
            for child in children.iter().filter(|child| child.entry.alive()) {
                kernel.ping(child);
            }
        }
        tokio::time::sleep(PING_INTERVAL).await;
    }
}
