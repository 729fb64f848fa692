//! A world for tests and simulations: one thread, time that only passes when nobody has work, seeded randomness.
//!
//! For the same seed everything happens in the same order, as long as the code under test takes time and randomness from here
//! and iterates over ordered collections.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::{Actor, Context, Handler, Message, MessageResult};
use futures_util::FutureExt as _;

use crate::kernel::clock::{Clock, VirtualClock};
use crate::kernel::mailbox::{Handle, Outlet, STATE_OWNER_CAPACITY};
use crate::kernel::rng::{Random, SeededRandom};
use crate::kernel::supervised::Supervised;
use crate::kernel::supervisor::{Exhausted, Kernel};

/// Virtual time that actors have to stop at the end.
const FINISH_GRACE: Duration = Duration::from_secs(60);

/// Why a universe did not end well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UniverseError {
    /// Actors were still running after shutdown.
    #[error("stop all actors: {0:?} still running")]
    Leaked(Vec<String>),
    /// Another number of actors panicked than the test announced.
    #[error("end without surprise: {seen} panics, {expected} expected: {actors:?}")]
    Panics {
        /// Panics counted in all kernels.
        seen: u64,
        /// Panics announced by [`Universe::expect_panics`].
        expected: u64,
        /// Actors that panicked.
        actors: Vec<String>,
    },
    /// The restart limits of the default kernel were used up.
    #[error("keep the default kernel running")]
    Exhausted(#[source] Exhausted),
}

struct World {
    seed: u64,
    clock: Arc<VirtualClock>,
    random: Arc<SeededRandom>,
    kernels: RefCell<Vec<Kernel>>,
    expected_panics: Cell<u64>,
    exhausted: Rc<RefCell<Option<Exhausted>>>,
    stubs: RefCell<Vec<StubWatch>>,
}

/// Tells whether a stub still lives, and ends it. Stubs are no supervised actors, because a type that handles any message
/// cannot also handle pings.
struct StubWatch {
    name: &'static str,
    alive: Box<dyn Fn() -> bool>,
    end: Box<dyn Fn()>,
}

/// The world of one test. Cheap to clone.
#[derive(Clone)]
pub struct Universe {
    world: Rc<World>,
}

/// Runs a test in its own universe and checks that nothing is left behind.
///
/// Panics: as the body does, and with a [`UniverseError`] if actors leak or panic unannounced. The seed is printed in both cases.
pub fn run<F, T>(seed: u64, body: impl FnOnce(Universe) -> F) -> T
where
    F: Future<Output = T>,
{
    match try_run(seed, body) {
        Ok(value) => value,
        Err(error) => panic!("universe with seed {seed} failed to {error}"),
    }
}

/// As [`run`], but tells as a value what is wrong at the end. A panic of the body goes through.
///
/// Errors: see [`UniverseError`].
pub fn try_run<F, T>(seed: u64, body: impl FnOnce(Universe) -> F) -> Result<T, UniverseError>
where
    F: Future<Output = T>,
{
    #[expect(clippy::expect_used, reason = "without a runtime there is no test")]
    let system = actix_rt::System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("runtime for a test")
    });
    system.block_on(async move {
        let universe = Universe::new(seed);
        let ended = AssertUnwindSafe(body(universe.clone())).catch_unwind().await;
        let checked = universe.finish().await;
        match ended {
            Ok(value) => checked.map(|()| value),
            Err(panic) => rethrow(seed, panic),
        }
    })
}

#[expect(clippy::print_stderr, reason = "a failed test must name its seed")]
fn rethrow(seed: u64, panic: Box<dyn Any + Send>) -> ! {
    eprintln!("universe with seed {seed}: the test body panicked");
    std::panic::resume_unwind(panic)
}

impl Universe {
    fn new(seed: u64) -> Self {
        let universe = Self {
            world: Rc::new(World {
                seed,
                clock: Arc::new(VirtualClock::new()),
                random: Arc::new(SeededRandom::new(seed)),
                kernels: RefCell::default(),
                expected_panics: Cell::new(0),
                exhausted: Rc::default(),
                stubs: RefCell::default(),
            }),
        };
        let exhausted = Rc::clone(&universe.world.exhausted);
        let _ = universe.another_kernel(move |reason| {
            exhausted.replace(Some(reason));
        });
        universe
    }

    /// The seed of this universe.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.world.seed
    }

    /// The default kernel; if it gives up, the test fails at its end.
    #[must_use]
    pub fn kernel(&self) -> Kernel {
        self.world.kernels.borrow()[0].clone()
    }

    /// A further kernel, for example for a second replica; also checked at the end.
    pub fn another_kernel(&self, on_exhausted: impl FnOnce(Exhausted) + 'static) -> Kernel {
        let kernel = Kernel::start(self.clock(), on_exhausted);
        self.world.kernels.borrow_mut().push(kernel.clone());
        kernel
    }

    /// The clock of this universe as a port.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.virtual_clock()
    }

    /// The clock of this universe, whose wall time can be stepped.
    #[must_use]
    pub fn virtual_clock(&self) -> Arc<VirtualClock> {
        Arc::clone(&self.world.clock)
    }

    /// The random numbers of this universe.
    #[must_use]
    pub fn random(&self) -> Arc<dyn Random> {
        Arc::<SeededRandom>::clone(&self.world.random)
    }

    /// Lets virtual time pass; every timer on the way fires at its own time.
    pub async fn advance(&self, by: Duration) {
        tokio::time::sleep(by).await;
    }

    /// Waits until all mailboxes are empty and no blocking work is under way. Costs 1 ms of virtual time.
    ///
    /// Why: paused time only moves when no task can run, so the end of the shortest sleep proves that everyone is idle.
    pub async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    /// Announces `count` further panics of actors.
    pub fn expect_panics(&self, count: u64) {
        self.world.expected_panics.set(self.world.expected_panics.get() + count);
    }

    /// Starts a lone actor in a group of its own in the default kernel.
    pub fn start<A: Supervised>(&self, name: &'static str, factory: impl Fn() -> A + 'static) -> Handle<A> {
        let handle = Handle::new(name);
        self.bind(&handle, factory);
        handle
    }

    /// As [`Self::start`] for a handle that others already hold.
    pub fn bind<A: Supervised>(&self, handle: &Handle<A>, factory: impl Fn() -> A + 'static) {
        self.kernel().one_for_one(handle.name(), None).child(handle, STATE_OWNER_CAPACITY, factory);
    }

    /// An outlet to nobody in particular that records what arrives. For messages without an answer.
    pub fn recorder<M>(&self, name: &'static str) -> (Outlet<M>, Recorded<M>)
    where
        M: Message<Result = ()> + Send + Unpin + 'static,
    {
        let recorded = Recorded { messages: Arc::default() };
        let sink = recorded.clone();
        (self.stub(name, move |message| sink.push(message)), recorded)
    }

    /// An outlet that answers each message with a closure. A panic in it counts as one of an actor.
    pub fn stub<M>(&self, name: &'static str, answer: impl Fn(M) -> M::Result + 'static) -> Outlet<M>
    where
        M: Message + Send + Unpin + 'static,
        M::Result: Send + Unpin + 'static,
    {
        let handle = Handle::<Stub<M>>::new(name);
        handle.bind(Some(Stub { answer: Box::new(answer) }.start()));
        let (watched, ended) = (handle.clone(), handle.clone());
        self.world.stubs.borrow_mut().push(StubWatch {
            name,
            alive: Box::new(move || watched.current().is_some_and(|stub| stub.connected())),
            end: Box::new(move || ended.bind(None)),
        });
        handle.outlet()
    }

    /// Stops everything and checks that nothing was left behind.
    async fn finish(&self) -> Result<(), UniverseError> {
        let kernels = self.world.kernels.borrow().clone();
        let mut leaked = Vec::new();
        let mut seen = 0;
        let mut actors = Vec::new();
        for kernel in kernels.iter().rev() {
            leaked.extend(kernel.shutdown(FINISH_GRACE).await);
            for status in kernel.registry().statuses().into_iter().filter(|status| status.panics > 0) {
                seen += status.panics;
                actors.push(status.name);
            }
        }
        for stub in self.world.stubs.take() {
            if !(stub.alive)() {
                seen += 1;
                actors.push(stub.name.to_owned());
            }
            (stub.end)();
        }
        if !leaked.is_empty() {
            return Err(UniverseError::Leaked(leaked));
        }
        let expected = self.world.expected_panics.get();
        if seen != expected {
            return Err(UniverseError::Panics { seen, expected, actors });
        }
        self.world.exhausted.take().map_or(Ok(()), |reason| Err(UniverseError::Exhausted(reason)))
    }
}

/// Messages that arrived at a [`Universe::recorder`].
#[derive(Debug)]
pub struct Recorded<M> {
    messages: Arc<Mutex<Vec<M>>>,
}

impl<M> Clone for Recorded<M> {
    fn clone(&self) -> Self {
        Self { messages: Arc::clone(&self.messages) }
    }
}

impl<M> Recorded<M> {
    fn push(&self, message: M) {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).push(message);
    }

    /// Takes everything that arrived since the last call; [`Universe::settle`] first.
    #[must_use]
    pub fn take(&self) -> Vec<M> {
        std::mem::take(&mut *self.messages.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Stands for the receiver of one kind of message.
struct Stub<M: Message> {
    answer: Box<dyn Fn(M) -> M::Result>,
}

impl<M: Message + Unpin + 'static> Actor for Stub<M>
where
    M::Result: 'static,
{
    type Context = Context<Self>;
}

impl<M: Message + Send + Unpin + 'static> Handler<M> for Stub<M>
where
    M::Result: Send + Unpin + 'static,
{
    type Result = MessageResult<M>;

    fn handle(&mut self, message: M, _: &mut Context<Self>) -> Self::Result {
        MessageResult((self.answer)(message))
    }
}
