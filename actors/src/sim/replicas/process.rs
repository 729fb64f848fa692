//! A simulated process: its actors and the threads that answer requests can stand still as a whole, as after SIGSTOP.
//!
//! While it stands still time goes on: its timers fall due, requests and answers pile up, and all of that is worked off at once when it
//! goes on.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};

use futures_util::future::{BoxFuture, FutureExt as _};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, LocalSet};

#[derive(Default)]
struct Switch {
    stopped: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// A running process. Its tasks end with it.
pub(super) struct Process {
    tasks: Rc<LocalSet>,
    switch: Rc<Switch>,
    door: ProcessDoor,
    intake: JoinHandle<()>,
    driver: JoinHandle<()>,
}

/// The way into a process from outside, for any thread.
#[derive(Clone)]
pub(super) struct ProcessDoor {
    jobs: mpsc::UnboundedSender<BoxFuture<'static, ()>>,
}

impl ProcessDoor {
    /// Does work inside the process; `None` if it ended before. While the process stands still, nothing happens.
    pub(super) async fn call<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let job = async move {
            // Whoever asked may have given up.
            let _ = answer.send(work.await);
        };
        self.jobs.send(job.boxed()).ok()?;
        answered.await.ok()
    }
}

impl Process {
    /// Starts a process that does nothing yet. `after_step` is called whenever its tasks did something.
    pub(super) fn start(after_step: impl Fn() + 'static) -> Self {
        let (jobs, mut arriving) = mpsc::unbounded_channel();
        let (tasks, jobs_under_way, switch) = (Rc::new(LocalSet::new()), LocalSet::new(), Rc::new(Switch::default()));
        let intake = jobs_under_way.spawn_local(async move {
            while let Some(job) = arriving.recv().await {
                actix_rt::spawn(job);
            }
        });
        let driven = Rc::clone(&tasks);
        let mut threads = Box::pin(async move { jobs_under_way.run_until(pending::<()>()).await });
        let mut actors = Box::pin(async move { driven.run_until(pending::<()>()).await });
        let watched = Rc::clone(&switch);
        let driver = actix_rt::spawn(poll_fn(move |context| {
            watched.waker.replace(Some(context.waker().clone()));
            if !watched.stopped.get() {
                // The threads that answer requests do not wait for actors: after a standstill they are the first ones.
                let _: Poll<()> = threads.as_mut().poll(context);
                let _: Poll<()> = actors.as_mut().poll(context);
                after_step();
            }
            Poll::Pending
        }));
        Self { tasks, switch, door: ProcessDoor { jobs }, intake, driver }
    }

    /// Runs a closure inside the process: what it spawns belongs to the process.
    pub(super) fn enter<T>(&self, inside: impl FnOnce() -> T) -> T {
        let _inside = self.tasks.enter();
        inside()
    }

    pub(super) fn door(&self) -> ProcessDoor {
        self.door.clone()
    }

    pub(super) fn stand_still(&self) {
        self.switch.stopped.set(true);
    }

    pub(super) fn go_on(&self) {
        self.switch.stopped.set(false);
        if let Some(waker) = self.switch.waker.take() {
            waker.wake();
        }
    }

    /// Nobody is let in any more; who waits at the door is sent away. What stood still goes on, so that it can be stopped.
    pub(super) fn close(&self) {
        self.intake.abort();
        self.go_on();
    }

    pub(super) fn stands_still(&self) -> bool {
        self.switch.stopped.get()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::kernel::universe;

    #[test]
    fn a_process_that_stands_still_handles_nothing_while_time_goes_on() {
        universe::run(1, |universe| async move {
            let process = Process::start(|| ());
            let ticks = Rc::new(Cell::new(0));
            let ticking = Rc::clone(&ticks);
            process.enter(|| {
                actix_rt::spawn(async move {
                    loop {
                        tokio::time::sleep(Duration::from_secs(1)).await;
                        ticking.set(ticking.get() + 1);
                    }
                })
            });
            universe.advance(Duration::from_millis(2_500)).await;
            assert_eq!(ticks.get(), 2);
            process.stand_still();
            let door = process.door();
            let asked = actix_rt::spawn(async move { door.call(async { 7 }).await });
            universe.advance(Duration::from_secs(10)).await;
            assert_eq!((ticks.get(), asked.is_finished()), (2, false));
            process.go_on();
            universe.settle().await;
            assert_eq!((ticks.get(), asked.await.unwrap()), (3, Some(7)), "the sleep that fell due ends once");
        });
    }

    #[test]
    fn nobody_answers_in_a_process_that_ended() {
        universe::run(1, |universe| async move {
            let process = Process::start(|| ());
            let door = process.door();
            drop(process);
            universe.settle().await;
            assert_eq!(door.call(async { 7 }).await, None);
        });
    }
}
