//! Several contenders, a lock that compares and swaps, and a network, clocks and processes that do what they can.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use proptest::prelude::*;

use super::*;

/// What happens to one call. Units: milliseconds.
#[derive(Clone, Copy, Debug)]
struct Fate {
    request_takes: u64,
    answer_takes: u64,
    request_lost: bool,
    answer_lost: bool,
}

/// A call that nothing happens to.
const SMOOTH: Fate = Fate { request_takes: 4, answer_takes: 4, request_lost: false, answer_lost: false };

#[derive(Clone, Copy, Debug)]
enum Trouble {
    /// The process stands still.
    Pause { milliseconds: u64 },
    /// The process dies and comes back, under the same name.
    Crash { back_after: u64 },
    /// Its wall clock jumps.
    Step { seconds: i64 },
    /// None of its calls arrives.
    CutOff { milliseconds: u64 },
    /// Somebody writes a label, so that versions change and the record does not.
    Label,
}

#[derive(Clone, Debug)]
enum Event {
    Wake,
    Arrive { call: u64, action: Action, fate: Fate },
    Answer { call: u64, lock: Result<Option<StoredLock>, LockError> },
    Trouble(Trouble),
}

struct Process {
    contender: Contender,
    life: u64,
    /// What other threads of the process read.
    published: Leadership,
    started_at: u64,
    wall_offset: i64,
    paused_until: u64,
    cut_off_until: u64,
    /// The call under way, and whether it writes.
    call: Option<(u64, bool)>,
}

/// The world. Units of all times: milliseconds of true time.
struct World {
    now: u64,
    leases: Vec<u64>,
    processes: Vec<Process>,
    lock: Option<StoredLock>,
    versions: u64,
    calls: u64,
    fates: Vec<Fate>,
    /// From then on calls are smooth.
    calm_from: u64,
    /// When, number of the event, of which process, in which of its lives.
    queue: BinaryHeap<Reverse<(u64, u64, usize, u64)>>,
    events: BTreeMap<u64, Event>,
    numbered: u64,
    /// Who led in which epoch: process and life.
    terms: BTreeMap<u64, (usize, u64)>,
}

/// Life of an event that concerns the process whoever lives.
const ANY_LIFE: u64 = u64::MAX;

impl World {
    fn new(leases: &[u64], fates: Vec<Fate>, troubles: &[(u64, usize, Trouble)], calm_from: u64) -> Self {
        let mut world = Self {
            now: 0,
            leases: leases.to_vec(),
            processes: Vec::new(),
            lock: None,
            versions: 0,
            calls: 0,
            fates,
            calm_from,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            numbered: 0,
            terms: BTreeMap::new(),
        };
        for index in 0..leases.len() {
            let process = world.born(index, 0);
            world.processes.push(process);
            world.schedule(index as u64 * 70, index, 0, Event::Wake);
        }
        for (at, index, trouble) in troubles {
            world.schedule(*at, index % leases.len(), ANY_LIFE, Event::Trouble(*trouble));
        }
        world
    }

    fn born(&self, index: usize, life: u64) -> Process {
        let candidacy = Candidacy {
            identity: format!("p{index}"),
            address: None,
            timings: LeaseTimings::from_lease(seconds(self.leases[index])),
            release: true,
        };
        Process {
            contender: Contender::new(candidacy, Epoch(0)),
            life,
            published: Leadership::default(),
            started_at: self.now,
            wall_offset: 0,
            paused_until: 0,
            cut_off_until: 0,
            call: None,
        }
    }

    fn schedule(&mut self, at: u64, process: usize, life: u64, event: Event) {
        self.numbered += 1;
        self.events.insert(self.numbered, event);
        self.queue.push(Reverse((at.max(self.now), self.numbered, process, life)));
    }

    /// Lets everything up to this time happen.
    fn run_until(&mut self, end: u64) {
        while let Some(Reverse((at, number, index, life))) = self.queue.peek().copied().filter(|next| next.0.0 <= end) {
            self.queue.pop();
            self.now = at;
            let process = &self.processes[index];
            let outside = matches!(self.events[&number], Event::Arrive { .. } | Event::Trouble(_));
            // What is on its way arrives, whatever became of its sender.
            if !outside && process.paused_until > at {
                let until = process.paused_until;
                self.queue.push(Reverse((until, number, index, life)));
                continue;
            }
            let Some(event) = self.events.remove(&number) else { continue };
            if outside || life == process.life {
                self.happen(index, life, event);
            }
            self.check();
        }
        self.now = end;
        self.check();
    }

    fn happen(&mut self, index: usize, life: u64, event: Event) {
        match event {
            Event::Wake => {
                let (now, unix) = self.clocks(index);
                let action = self.processes[index].contender.wake(now, unix);
                self.go_on(index, action);
            }
            Event::Arrive { call, action, fate } => {
                let lock = self.serve(action);
                if !fate.answer_lost {
                    self.schedule(self.now + fate.answer_takes, index, life, Event::Answer { call, lock });
                }
            }
            Event::Answer { call, lock } => {
                let (now, unix) = self.clocks(index);
                let process = &mut self.processes[index];
                let Some((_, writes)) = process.call.take_if(|(under_way, _)| *under_way == call) else { return };
                let action = if writes {
                    process.contender.written(now, lock.map(|lock| lock.expect("a write answers with what it wrote")))
                } else {
                    process.contender.read(now, unix, lock)
                };
                self.go_on(index, action);
            }
            Event::Trouble(trouble) => self.trouble(index, trouble),
        }
    }

    fn trouble(&mut self, index: usize, trouble: Trouble) {
        let now = self.now;
        let process = &mut self.processes[index];
        match trouble {
            Trouble::Pause { milliseconds } => process.paused_until = process.paused_until.max(now + milliseconds),
            Trouble::Step { seconds } => process.wall_offset += seconds * 1_000_000_000,
            Trouble::CutOff { milliseconds } => process.cut_off_until = now + milliseconds,
            Trouble::Label => {
                self.versions += 1;
                let version = LockVersion(self.versions.to_string());
                if let Some(lock) = &mut self.lock {
                    lock.version = version;
                }
            }
            Trouble::Crash { back_after } => {
                let life = process.life + 1;
                self.processes[index] = self.born(index, life);
                self.processes[index].started_at = now + back_after;
                self.schedule(now + back_after, index, life, Event::Wake);
            }
        }
    }

    fn serve(&mut self, action: Action) -> Result<Option<StoredLock>, LockError> {
        let Action::Write { record, version } = action else { return Ok(self.lock.clone()) };
        if self.lock.as_ref().map(|lock| &lock.version) != version.as_ref() {
            return Err(LockError::Conflict);
        }
        // As a ConfigMap does it, which keeps whole seconds, and an API server, for which the same is no change.
        let whole = |nanos: i64| nanos.div_euclid(1_000_000_000) * 1_000_000_000;
        let record = LockRecord { acquired_at: whole(record.acquired_at), renewed_at: whole(record.renewed_at), ..record };
        if self.lock.as_ref().is_none_or(|lock| lock.record != record) {
            self.versions += 1;
            self.lock = Some(StoredLock { record, version: LockVersion(self.versions.to_string()) });
        }
        Ok(self.lock.clone())
    }

    fn clocks(&self, index: usize) -> (Duration, i64) {
        let process = &self.processes[index];
        (self.local(index), START + process.wall_offset + self.now as i64 * 1_000_000)
    }

    /// The monotonic clock of a process: it begins somewhere else in each life and runs as the true time.
    fn local(&self, index: usize) -> Duration {
        let process = &self.processes[index];
        Duration::from_millis(self.now.saturating_sub(process.started_at) + 1_000 * (index as u64 + process.life))
    }

    fn go_on(&mut self, index: usize, action: Action) {
        let local = self.local(index);
        let life = self.processes[index].life;
        let limit = LeaseTimings::from_lease(seconds(self.leases[index])).call_limit().as_millis() as u64;
        if action == Action::Rest {
            let wake = self.processes[index].contender.next_wake(local, 0.5);
            let pause = wake.saturating_sub(local).as_nanos().div_ceil(1_000_000) as u64;
            self.schedule(self.now + pause, index, life, Event::Wake);
        } else {
            self.calls += 1;
            let call = self.calls;
            let cut_off = self.processes[index].cut_off_until > self.now;
            let fate = if self.now >= self.calm_from { SMOOTH } else { self.fates[call as usize % self.fates.len()] };
            self.processes[index].call = Some((call, matches!(action, Action::Write { .. })));
            if !(fate.request_lost || cut_off) {
                self.schedule(self.now + fate.request_takes, index, life, Event::Arrive { call, action, fate });
            }
            let timeout = Err(LockError::Unavailable("no answer".to_owned()));
            self.schedule(self.now + limit, index, life, Event::Answer { call, lock: timeout });
        }
        self.processes[index].published = self.processes[index].contender.leadership(local);
    }

    fn leaders(&self) -> Vec<usize> {
        (0..self.processes.len()).filter(|index| self.processes[*index].published.leads(self.local(*index))).collect()
    }

    /// Leading can begin at an event only, so looking after each of them finds every overlap.
    fn check(&mut self) {
        let leaders = self.leaders();
        assert!(leaders.len() <= 1, "{leaders:?} lead at {} ms", self.now);
        for index in leaders {
            let epoch = self.processes[index].published.epoch.0;
            let holder = (index, self.processes[index].life);
            assert_eq!(*self.terms.entry(epoch).or_insert(holder), holder, "epoch {epoch} has two leaders");
            assert_eq!(self.terms.last_key_value().map(|(last, _)| *last), Some(epoch), "epochs grow");
        }
    }
}

/// Length of the time with trouble, in milliseconds.
const TROUBLED: u64 = 240_000;

/// Longest pause, cut or absence.
const LONGEST_TROUBLE: u64 = 40_000;

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let takes = || prop_oneof![6 => 0..50_u64, 2 => 0..3_000_u64, 1 => 0..30_000_u64];
    let fate = (takes(), takes(), prop::bool::weighted(0.1), prop::bool::weighted(0.1)).prop_map(
        |(request_takes, answer_takes, request_lost, answer_lost)| Fate { request_takes, answer_takes, request_lost, answer_lost },
    );
    prop::collection::vec(fate, 1..40)
}

fn troubles() -> impl Strategy<Value = Vec<(u64, usize, Trouble)>> {
    let trouble = prop_oneof![
        (0..LONGEST_TROUBLE).prop_map(|milliseconds| Trouble::Pause { milliseconds }),
        (0..LONGEST_TROUBLE).prop_map(|milliseconds| Trouble::CutOff { milliseconds }),
        (0..LONGEST_TROUBLE).prop_map(|back_after| Trouble::Crash { back_after }),
        (-100_000..100_000_i64).prop_map(|seconds| Trouble::Step { seconds }),
        Just(Trouble::Label),
    ];
    prop::collection::vec((0..TROUBLED, 0..3_usize, trouble), 0..12)
}

fn leases() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(prop::sample::select(vec![5_u64, 15, 20]), 2..=3)
}

proptest! {
    #[test]
    fn never_do_two_replicas_lead_and_in_the_end_one_does(leases in leases(), fates in fates(), troubles in troubles()) {
        let mut world = World::new(&leases, fates, &troubles, TROUBLED);
        world.run_until(TROUBLED + LONGEST_TROUBLE);
        // By now the last trouble and the last late call are over.
        let longest = leases.iter().max().copied().unwrap_or_default();
        world.run_until(TROUBLED + LONGEST_TROUBLE + longest * 1_500);
        prop_assert_eq!(world.leaders().len(), 1);
    }

    #[test]
    fn a_wall_clock_that_jumps_every_second_changes_nothing(steps in prop::collection::vec(-10_i64..10, 60)) {
        let troubles: Vec<_> = (1_u64..).zip(&steps).map(|(at, seconds)| (at * 1_000, 0, Trouble::Step { seconds: *seconds })).collect();
        let mut world = World::new(&[15, 15], vec![SMOOTH], &troubles, 0);
        for at in (1_000..60_000).step_by(500) {
            world.run_until(at);
            prop_assert_eq!(world.leaders(), vec![0]);
        }
    }

    #[test]
    fn a_free_lock_is_taken_within_lease_and_retry(lease in 5..60_u64, dies_at in 1_000..60_000_u64) {
        let crash = [(dies_at, 0, Trouble::Crash { back_after: 1_000_000 })];
        let mut world = World::new(&[lease, lease, lease], vec![SMOOTH], &crash, 0);
        world.run_until(dies_at - 1);
        prop_assert_eq!(world.leaders(), vec![0]);
        let timings = LeaseTimings::from_lease(seconds(lease));
        world.run_until(dies_at + (timings.lease + timings.retry).as_millis() as u64);
        prop_assert_eq!(world.leaders().len(), 1);
    }
}
