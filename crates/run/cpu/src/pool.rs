//! The thread pool: the caller works as worker 0, the others wait by spinning, yielding, sleeping.
//!
//! One [`Team`] at a time uses the pool; it runs a job on all workers and returns when all have
//! finished. Between jobs of a run the workers spin, because waking a sleeping thread costs more
//! than a small layer; when no job comes for about a millisecond they sleep, so that an idle engine
//! uses no processor. With more threads than processors nobody spins. What a job computes never
//! depends on which worker did which part.
#![expect(unsafe_code, reason = "lends a job to other threads for the time of a call")]

mod parts;

pub use parts::{Parts, Split, TileMut, Tiles};

use core::cell::UnsafeCell;
use core::num::NonZeroUsize;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use core::time::Duration;
use plan::{Span, Trace, Who};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
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
    /// Counts jobs; a change is the signal to start.
    epoch: Alone<AtomicU32>,
    /// Workers that have not yet finished the job.
    busy: Alone<AtomicU32>,
    /// The next unit of a job's shared tail.
    next: Alone<AtomicUsize>,
    /// Workers that sleep or are about to.
    asleep: AtomicU32,
    /// Whether a worker panicked in the job.
    panicked: AtomicBool,
    /// Whether workers must end.
    stop: AtomicBool,
    /// Spins before yielding; none where threads outnumber processors.
    spins: u32,
    /// The job of the current epoch; valid until `busy` is zero.
    job: UnsafeCell<Option<Job<'static>>>,
}

// SAFETY: `job` is written only while `busy` is zero, by the one holder of the pool's lock, before
// the epoch changes (release), and read by workers only after they saw the change (acquire).
unsafe impl Sync for Shared {}

/// A fixed number of threads that run one job at a time.
pub struct Pool {
    lock: Mutex<()>,
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

impl Pool {
    /// Starts `threads - 1` workers.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn new(threads: NonZeroUsize) -> io::Result<Self> {
        let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let shared = Arc::new(Shared {
            epoch: Alone::default(),
            busy: Alone::default(),
            next: Alone::default(),
            asleep: AtomicU32::new(0),
            panicked: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            spins: if threads.get() > processors { 0 } else { SPINS },
            job: UnsafeCell::new(None),
        });
        let mut pool = Self { lock: Mutex::new(()), shared, workers: Vec::new() };
        for index in 1..threads.get() {
            let shared = Arc::clone(&pool.shared);
            let worker = thread::Builder::new()
                .name(format!("ledge-{index}"))
                .spawn(move || work(&shared, index))?;
            pool.workers.push(worker);
        }
        Ok(pool)
    }

    /// Threads that take part in a job, the caller included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Waits until no one else uses the pool, and takes it.
    pub fn team(&self) -> Team<'_> {
        // A panicking job leaves the pool as it was: `run` has waited for all workers.
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        Team { pool: self, tracing: None, _lock: lock }
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
        self.shared.epoch.0.fetch_add(1, Ordering::SeqCst);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
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
    _lock: MutexGuard<'a, ()>,
}

impl<'a> Team<'a> {
    /// Threads that take part, the caller included.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// Notes what each worker does in the jobs to come, or no longer.
    pub(crate) fn trace(&mut self, tracing: Option<Tracing<'a>>) {
        self.tracing = tracing;
    }

    /// Runs `job(worker)` once on every worker, the caller being worker 0.
    ///
    /// # Panics
    /// If the job panics on any of them, after all have finished.
    pub fn run(&mut self, job: Job<'_>) {
        let Some(tracing) = self.tracing else { return self.run_plainly(job) };
        self.run_plainly(&|worker| {
            let begin = tracing.trace.now();
            job(worker);
            let worker = u32::try_from(worker).unwrap_or(u32::MAX);
            tracing.note(Who::Worker(worker), begin);
        });
    }

    fn run_plainly(&mut self, job: Job<'_>) {
        let shared = &*self.pool.shared;
        let workers = self.pool.workers.len();
        if workers == 0 {
            return job(0);
        }
        // SAFETY: only the lifetime changes; this call returns after every worker is done with it.
        let lent = unsafe { core::mem::transmute::<Job<'_>, Job<'static>>(job) };
        // SAFETY: all workers have finished the last job (`busy` was zero), and the lock is ours.
        unsafe { *shared.job.get() = Some(lent) };
        shared.busy.0.store(u32::try_from(workers).expect("few threads"), Ordering::Relaxed);
        shared.epoch.0.fetch_add(1, Ordering::SeqCst);
        if shared.asleep.load(Ordering::SeqCst) > 0 {
            for worker in &self.pool.workers {
                worker.thread().unpark();
            }
        }
        let mine = catch_unwind(AssertUnwindSafe(|| job(0)));
        let mut spins = shared.spins;
        while shared.busy.0.load(Ordering::Acquire) > 0 {
            if spins > 0 {
                spins -= 1;
                hint::spin_loop();
            } else {
                // The worker may have lost its processor to someone: offer ours.
                thread::yield_now();
            }
        }
        let panicked = shared.panicked.swap(false, Ordering::Relaxed);
        if let Err(panic) = mine {
            resume_unwind(panic);
        }
        assert!(!panicked, "a worker panicked");
    }
}

/// A worker's life: wait for a change of epoch, run the job, say so.
fn work(shared: &Shared, index: usize) {
    let mut seen = 0;
    loop {
        seen = wait(shared, seen);
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        // SAFETY: the epoch changed, so a job was published, and it stays until `busy` is zero.
        let job = unsafe { *shared.job.get() };
        let job = job.expect("a job is published before its epoch");
        if catch_unwind(AssertUnwindSafe(|| job(index))).is_err() {
            shared.panicked.store(true, Ordering::Relaxed);
        }
        shared.busy.0.fetch_sub(1, Ordering::Release);
    }
}

/// Waits for an epoch other than `seen` and gives it.
fn wait(shared: &Shared, seen: u32) -> u32 {
    let changed = || {
        let epoch = shared.epoch.0.load(Ordering::SeqCst);
        (epoch != seen).then_some(epoch)
    };
    for _ in 0..shared.spins {
        if let Some(epoch) = changed() {
            return epoch;
        }
        hint::spin_loop();
    }
    for _ in 0..YIELDS {
        if let Some(epoch) = changed() {
            return epoch;
        }
        thread::yield_now();
    }
    // Sequential consistency: either the caller sees us asleep, or we see its new epoch.
    shared.asleep.fetch_add(1, Ordering::SeqCst);
    let epoch = loop {
        if let Some(epoch) = changed() {
            break epoch;
        }
        thread::park();
    };
    shared.asleep.fetch_sub(1, Ordering::SeqCst);
    epoch
}

#[cfg(test)]
mod tests;
