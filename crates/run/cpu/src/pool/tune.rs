//! How many threads a token is worth: the fewest that are as fast as any, found by trying.
//!
//! Generation waits for memory, which few threads saturate, and for the slowest of them, which may
//! share its processor with a foreign one; both show in nothing but the time that a token takes. So
//! tokens are timed, some at a time, and now and then other numbers of threads are tried for a
//! moment: fewer in the beginning and when tokens have become slow, all of them after a pause. What
//! is much slower even at its best is given up at the first or second token, and what failed is tried
//! less and less often. What is best is known to all sequences of a program. Only times enter here, no
//! clock.

use core::num::NonZeroUsize;
use core::time::Duration;

/// The least time that is judged: some time slices.
const WINDOW: Duration = Duration::from_millis(40);

/// The fewest tokens that are judged.
const TOKENS: u32 = 4;

/// As fast, within what two windows of one number differ by.
const SAME: f64 = 1.04;

/// Slow enough to try fewer threads, and to give a trial up at the second token.
const SLOW: f64 = 1.25;

/// To give it up at the first: a second one would cost as much, and short texts notice.
const HOPELESS: f64 = 1.5;

/// From a trial to the next of its kind, at first.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// The longest: a trial costs a [`WINDOW`] at a low rate.
const PAUSE_MAX: Duration = Duration::from_secs(4);

/// Tokens that were run one after the other by one number of threads.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    time: Duration,
    tokens: u32,
    /// Seconds of the fastest token: what no interruption made longer.
    fastest: f64,
}

impl Window {
    fn mean(self) -> f64 {
        self.time.as_secs_f64() / f64::from(self.tokens.max(1))
    }
}

/// When a kind of trial is due.
#[derive(Clone, Copy, Debug)]
struct Due {
    pause: Duration,
    /// Time of all tokens from which on there may be another.
    at: Duration,
}

impl Due {
    const NOW: Self = Self { pause: PAUSE_MIN, at: Duration::ZERO };

    fn after(now: Duration, pause: Duration) -> Self {
        Self { pause, at: now + pause }
    }
}

/// Decides how many threads run a token.
#[derive(Debug)]
pub(crate) struct Tuner {
    most: usize,
    /// What is best as far as is known, and what is tried instead.
    best: usize,
    trial: Option<usize>,
    /// Half of the best number may be as good: so far it always was.
    halve: bool,
    window: Window,
    /// Seconds of a token with the best number: lately, and in its fastest window.
    lately: f64,
    fastest: f64,
    fewer: Due,
    more: Due,
    /// Time of all tokens.
    now: Duration,
}

impl Tuner {
    /// All of so many threads, until others have been tried.
    pub(crate) fn new(most: NonZeroUsize) -> Self {
        let most = most.get();
        let (window, now) = (Window::default(), Duration::ZERO);
        let [lately, fastest] = [f64::INFINITY; 2];
        let [fewer, more] = [Due::NOW; 2];
        let (best, trial, halve) = (most, None, true);
        Self { most, best, trial, halve, window, lately, fastest, fewer, more, now }
    }

    /// Threads for the next token.
    pub(crate) fn threads(&self) -> usize {
        self.trial.unwrap_or(self.best)
    }

    /// So long took a token with [`threads`](Self::threads) of them.
    pub(crate) fn ran(&mut self, time: Duration) {
        let first = self.now.is_zero();
        self.now += time;
        // The first token finds cold caches and threads that sleep.
        if first || self.most == 1 {
            return;
        }
        let Window { tokens, fastest, .. } = self.window;
        let token = time.as_secs_f64();
        let fastest = if tokens == 0 { token } else { fastest.min(token) };
        self.window = Window { time: self.window.time + time, tokens: tokens + 1, fastest };
        let full = self.window.time >= WINDOW && self.window.tokens >= TOKENS;
        let bound = if tokens > 0 { SLOW } else { HOPELESS };
        let hopeless = self.trial.is_some() && fastest > bound * self.lately;
        if !full && !hopeless {
            return;
        }
        let mean = self.window.mean();
        self.window = Window::default();
        if let Some(trial) = self.trial.take() {
            return self.judge(trial, mean);
        }
        self.lately = mean;
        self.fastest = self.fastest.min(mean);
        self.try_others();
    }

    /// Keeps a number that was tried, or goes back.
    fn judge(&mut self, trial: usize, mean: f64) {
        let less = trial < self.best;
        let due = if less { &mut self.fewer } else { &mut self.more };
        // More threads must be worth their while.
        let kept = mean <= if less { SAME * self.lately } else { self.lately / SAME };
        if kept {
            (self.best, self.lately, self.fastest) = (trial, mean, mean);
            *due = Due::NOW;
        } else {
            // What is slow now, for whatever reason, is no reason for the next trial.
            self.fastest = self.lately;
            self.halve &= !less;
            *due = Due::after(self.now, (due.pause * 2).min(PAUSE_MAX));
        }
        if less && kept {
            self.more.at = self.now + self.more.pause;
        }
    }

    /// Tries another number if it is time to.
    fn try_others(&mut self) {
        let slow = self.lately > SLOW * self.fastest && self.now >= self.fewer.at;
        if self.best > 1 && (slow || self.halve) {
            // Memory may want half of the threads; a foreign one takes one processor.
            self.trial = Some(if self.halve { self.best.div_ceil(2) } else { self.best - 1 });
        } else if self.best < self.most && self.now >= self.more.at {
            self.trial = Some(self.most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs tokens for so many seconds of their own time; the tokens of each number of threads.
    fn run(tuner: &mut Tuner, seconds: f64, ms: impl Fn(usize) -> f64) -> Vec<u32> {
        let mut tokens = vec![0; tuner.most + 1];
        let end = tuner.now + Duration::from_secs_f64(seconds);
        while tuner.now < end {
            let threads = tuner.threads();
            tokens[threads] += 1;
            tuner.ran(Duration::from_secs_f64(ms(threads) / 1e3));
        }
        tokens
    }

    fn tuner(most: usize) -> Tuner {
        Tuner::new(NonZeroUsize::new(most).unwrap())
    }

    #[test]
    fn threads_that_help_are_used_and_trials_are_short() {
        for (most, ms) in [(2, 2.0), (2, 25.0), (8, 4.0)] {
            let mut tuner = tuner(most);
            let tokens = run(&mut tuner, 5.0, |threads| ms * most as f64 / threads as f64);
            assert_eq!((tuner.threads(), tokens[most.div_ceil(2)]), (most, 1), "{most} {ms}");
        }
    }

    #[test]
    fn memory_that_few_threads_saturate_is_read_by_few() {
        let mut tuner = tuner(16);
        let tokens = run(&mut tuner, 20.0, |threads| 10.0 * f64::max(0.25, 1.0 / threads as f64));
        assert_eq!(tuner.threads(), 4);
        assert!(tokens[4] > 18 * 400, "{tokens:?}");
    }

    #[test]
    fn a_foreign_thread_gets_its_processor_until_it_ends() {
        let calm = |threads| if threads == 2 { 2.0 } else { 3.6 };
        let busy = |threads| if threads == 2 { 5.0 } else { 3.8 };
        let mut tuner = tuner(2);
        run(&mut tuner, 1.0, calm);
        for _ in 0..3 {
            let tokens = run(&mut tuner, 10.0, busy);
            assert!(tokens[1] > 20 * tokens[2], "{tokens:?}");
            run(&mut tuner, 5.0, calm);
            assert_eq!(tuner.threads(), 2);
        }
    }

    #[test]
    fn interruptions_that_hit_any_number_of_threads_change_little() {
        let mut tuner = tuner(2);
        let count = core::cell::Cell::new(0);
        let tokens = run(&mut tuner, 20.0, |threads| {
            count.set(count.get() + 1);
            let away = if count.get() % 17 == 0 { 12.0 } else { 0.0 };
            away + 4.4 / threads as f64
        });
        assert!(tokens[2] > 9 * tokens[1], "{tokens:?}");
    }

    #[test]
    fn longer_sequences_make_slower_tokens_and_change_nothing() {
        let mut tuner = tuner(2);
        for step in 0..50 {
            run(&mut tuner, 0.2, |threads| f64::from(40 + step) / threads as f64);
        }
        assert_eq!(tuner.best, 2);
    }

    #[test]
    fn one_thread_stays_one() {
        let mut tuner = tuner(1);
        assert_eq!(run(&mut tuner, 1.0, |_| 10.0)[1], 100);
    }
}
