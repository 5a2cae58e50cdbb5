//! The thread pool: the caller works as worker 0, the others wait by spinning, yielding, sleeping.
//!
//! One [`Team`] at a time uses the pool; it runs a job on all workers and returns when all have
//! finished. Between jobs of a run the workers spin, because waking a sleeping thread costs more
//! than a small layer; when no job comes for about a millisecond they sleep, so that an idle engine
//! uses no processor. With more threads than processors nobody spins; where a processor serves
//! someone else besides, fewer workers take part for a while (`pace`); tokens are run by as many as
//! are worth it (`tune`). What a job computes never depends on which worker did which part, nor on
//! how many there were.
#![expect(unsafe_code, reason = "lends a job to other threads for the time of a call")]

mod pace;
mod parts;
mod tune;

pub use parts::{Parts, Split, TileMut, Tiles};
pub(crate) use tune::Tuner;

use core::cell::UnsafeCell;
use core::num::NonZeroUsize;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;
use pace::Pace;
use plan::{Span, Trace, Who};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;
use std::{fmt, hint, io};

/// Spins before the first yield: 20–50 µs, as a pause takes 40–140 cycles.
const SPINS: u32 = 1000;

/// Yields before sleeping: about a millisecond where no one else wants the processor.
const YIELDS: u32 = 2000;

/// What all workers run at the same time; the argument is the worker's number.
type Job<'a> = &'a (dyn Fn(usize) + Sync + 'a);

/// A word with a cache line of its own.
#[repr(align(128))]
#[derive(Debug, Default)]
struct Alone<T>(T);

/// What the caller and the workers share.
struct Shared {
    /// Counts jobs, in its low bits the workers that take part; a change is the signal to start.
    signal: Alone<AtomicU64>,
    /// Workers that have not yet finished the job.
    busy: Alone<AtomicU32>,
    /// The next unit of a job's shared tail.
    next: Alone<AtomicUsize>,
    /// Which workers sleep or are about to, from worker 1 on.
    asleep: Box<[Alone<AtomicBool>]>,
    /// Whether a worker panicked in the job.
    panicked: AtomicBool,
    /// Whether workers must end.
    stop: AtomicBool,
    /// Spins before yielding; none where threads outnumber processors.
    spins: u32,
    /// The job of the last signal; valid until `busy` is zero.
    job: UnsafeCell<Option<Job<'static>>>,
}

/// Bits of a signal that say how many workers take part, the caller included.
const COUNT_BITS: u32 = 16;

/// How many workers a signal calls, the caller included.
fn called(signal: u64) -> u64 {
    signal & ((1 << COUNT_BITS) - 1)
}

// SAFETY: `job` is written only while `busy` is zero, by the one holder of the pool's lock, before
// the signal changes (release), and read only by workers that a change called (acquire), each of
// which `busy` counts.
unsafe impl Sync for Shared {}

/// A fixed number of threads that run one job at a time.
pub struct Pool {
    /// Threads that may run at a time.
    most: usize,
    pace: Mutex<Pace>,
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

impl Pool {
    /// Starts `threads - 1` workers, which all take part.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn new(threads: NonZeroUsize) -> io::Result<Self> {
        Self::limited(threads, threads)
    }

    /// The same, but no more than `most` threads take part in a job.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn limited(threads: NonZeroUsize, most: NonZeroUsize) -> io::Result<Self> {
        let most = most.min(threads);
        let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let shared = Arc::new(Shared {
            signal: Alone::default(),
            busy: Alone::default(),
            next: Alone::default(),
            asleep: (1..threads.get()).map(|_| Alone::default()).collect(),
            panicked: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            spins: if most.get() > processors { 0 } else { SPINS },
            job: UnsafeCell::new(None),
        });
        let pace = Mutex::new(Pace::new(most));
        let mut pool = Self { most: most.get(), pace, shared, workers: Vec::new() };
        for index in 1..threads.get() {
            let shared = Arc::clone(&pool.shared);
            let worker = thread::Builder::new()
                .name(format!("ledge-{index}"))
                .spawn(move || work(&shared, index))?;
            pool.workers.push(worker);
        }
        Ok(pool)
    }

    /// Threads that take part in a job at most, the caller included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Threads that may run at a time, the caller included.
    pub(crate) fn most(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.most).unwrap_or(NonZeroUsize::MIN)
    }

    /// Waits until no one else uses the pool, and takes it.
    pub fn team(&self) -> Team<'_> {
        // A panicking job leaves the pool as it was: `run` has waited for all workers.
        let pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        Team { pool: self, tracing: None, pace, fixed: None }
    }

    /// Calls so many workers, the caller included.
    fn signal(&self, workers: usize) {
        let signal = &self.shared.signal.0;
        let count = (signal.load(Ordering::Relaxed) >> COUNT_BITS) + 1;
        // Sequential consistency: either a worker sees this, or we see it asleep.
        signal.store((count << COUNT_BITS) | workers as u64, Ordering::SeqCst);
        for (worker, asleep) in self.workers.iter().zip(&self.shared.asleep).take(workers - 1) {
            if asleep.0.load(Ordering::SeqCst) {
                worker.thread().unpark();
            }
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({} threads)", self.threads())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.signal(self.threads());
        for worker in self.workers.drain(..) {
            // A worker catches every panic of its jobs, so this cannot fail.
            drop(worker.join());
        }
    }
}

/// Where each worker's part of a job is noted, and as what.
#[derive(Clone, Copy)]
pub(crate) struct Tracing<'a> {
    pub(crate) trace: &'a dyn Trace,
    pub(crate) unit: u32,
    pub(crate) rows: u64,
    pub(crate) position: u64,
}

impl Tracing<'_> {
    /// Notes a span that ends now.
    pub(crate) fn note(&self, who: Who, begin: Duration) {
        let Self { trace, unit, rows, position } = *self;
        trace.note(Span { unit, who, begin, end: trace.now(), rows, position });
    }
}

impl fmt::Debug for Tracing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tracing(unit {})", self.unit)
    }
}

/// The right to run jobs on a pool.
#[derive(Debug)]
pub struct Team<'a> {
    pool: &'a Pool,
    tracing: Option<Tracing<'a>>,
    pace: MutexGuard<'a, Pace>,
    /// Threads that take part whatever the pace.
    fixed: Option<usize>,
}

impl<'a> Team<'a> {
    /// Threads that may take part, the caller included: parts of scratch that are needed.
    pub fn threads_max(&self) -> usize {
        self.pool.threads()
    }

    /// Threads that take part now, the caller included: at most the pool's.
    #[expect(clippy::disallowed_methods, reason = "a pause from some threads ends in time")]
    pub fn threads(&mut self) -> usize {
        self.fixed.unwrap_or_else(|| self.pace.threads(Instant::now))
    }

    /// Lets so many threads take part, of those that may, whatever the others had to wait.
    pub(crate) fn fix(&mut self, threads: usize) {
        self.fixed = Some(threads.clamp(1, self.pool.most));
    }

    /// Notes what each worker does in the jobs to come, or no longer.
    pub(crate) fn trace(&mut self, tracing: Option<Tracing<'a>>) {
        self.tracing = tracing;
    }

    /// Runs `job(worker)` once on each of some workers, the caller being worker 0: as many as
    /// [`threads`](Self::threads) says.
    ///
    /// # Panics
    /// If the job panics on any of them, after all have finished.
    pub fn run(&mut self, job: Job<'_>) {
        let threads = self.threads();
        self.run_on(threads, job);
    }

    /// The same on so many workers, of which there are as many.
    pub(crate) fn run_on(&mut self, threads: usize, job: Job<'_>) {
        let Some(tracing) = self.tracing else { return self.run_plainly(threads, job) };
        self.run_plainly(threads, &|worker| {
            let begin = tracing.trace.now();
            job(worker);
            let worker = u32::try_from(worker).unwrap_or(u32::MAX);
            tracing.note(Who::Worker(worker), begin);
        });
    }

    #[expect(clippy::disallowed_methods, reason = "who is late is a matter of time")]
    fn run_plainly(&mut self, threads: usize, job: Job<'_>) {
        let shared = &*self.pool.shared;
        if threads == 1 {
            return job(0);
        }
        // SAFETY: only the lifetime changes; this call returns after every worker is done with it.
        let lent = unsafe { core::mem::transmute::<Job<'_>, Job<'static>>(job) };
        // SAFETY: all workers have finished the last job (`busy` was zero), and the lock is ours.
        unsafe { *shared.job.get() = Some(lent) };
        shared.busy.0.store(u32::try_from(threads - 1).expect("few threads"), Ordering::Relaxed);
        self.pool.signal(threads);
        let mine = catch_unwind(AssertUnwindSafe(|| job(0)));
        let mut spins = shared.spins;
        let mut idle = None;
        while shared.busy.0.load(Ordering::Acquire) > 0 {
            if spins > 0 {
                spins -= 1;
                hint::spin_loop();
            } else {
                // The worker may have lost its processor to someone: offer ours.
                idle.get_or_insert_with(Instant::now);
                thread::yield_now();
            }
        }
        if let Some(idle) = idle
            && self.fixed.is_none()
        {
            self.pace.waited(idle, Instant::now());
        }
        let panicked = shared.panicked.swap(false, Ordering::Relaxed);
        if let Err(panic) = mine {
            resume_unwind(panic);
        }
        assert!(!panicked, "a worker panicked");
    }
}

/// A worker's life: wait for a signal, run the job, say so.
fn work(shared: &Shared, index: usize) {
    let mut seen = 0;
    loop {
        seen = wait(shared, index, seen);
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        // SAFETY: a signal called us, so a job was published, and it stays until `busy` is zero.
        let job = unsafe { *shared.job.get() };
        let job = job.expect("a job is published before its signal");
        if catch_unwind(AssertUnwindSafe(|| job(index))).is_err() {
            shared.panicked.store(true, Ordering::Relaxed);
        }
        shared.busy.0.fetch_sub(1, Ordering::Release);
    }
}

/// Waits for a signal other than `seen` that calls worker `index`, and gives it.
///
/// Signals for others do not keep it awake.
fn wait(shared: &Shared, index: usize, seen: u64) -> u64 {
    let changed = || {
        let signal = shared.signal.0.load(Ordering::SeqCst);
        (signal != seen && index < usize::try_from(called(signal)).unwrap_or(0)).then_some(signal)
    };
    for _ in 0..shared.spins {
        if let Some(signal) = changed() {
            return signal;
        }
        hint::spin_loop();
    }
    for _ in 0..YIELDS {
        if let Some(signal) = changed() {
            return signal;
        }
        thread::yield_now();
    }
    let asleep = &shared.asleep[index - 1].0;
    asleep.store(true, Ordering::SeqCst);
    let signal = loop {
        if let Some(signal) = changed() {
            break signal;
        }
        thread::park();
    };
    asleep.store(false, Ordering::SeqCst);
    signal
}

#[cfg(test)]
mod tests;
