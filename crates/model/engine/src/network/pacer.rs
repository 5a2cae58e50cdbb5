//! Keeping a rate: frames that come in steadily, a network that may be too slow for them, and a
//! bound on how late a result may be.
//!
//! A [`Pacer`] says for each frame whether to run it or to let it go and use the last result
//! again, and counts both. It has no clock: times are given, as durations since the beginning. At
//! least one result comes for every step that a run takes, however slow runs are; the first frame
//! is always run.
//!
//! ```
//! use ledge_engine::network::{Pacer, Turn};
//! use std::time::Duration;
//!
//! let ms = Duration::from_millis;
//! // A frame every 30 ms, results at most 60 ms late; this network takes 50 ms.
//! let mut pacer = Pacer::new(ms(30), ms(60));
//! let mut now = ms(0);
//! for frame in 0..10u32 {
//!     let due = ms(30) * frame;
//!     now = now.max(due);
//!     let score = match pacer.turn(due, now) {
//!         Turn::Run => {
//!             now += ms(50); // the network runs here
//!             *pacer.ran(frame, due, now)
//!         }
//!         Turn::Reuse(last) => *last,
//!     };
//!     assert!(score <= frame);
//! }
//! let pace = pacer.pace();
//! assert_eq!((pace.frames, pace.run + pace.skipped), (10, 10));
//! assert!(pace.skipped > 0 && pace.late == 0);
//! ```

use std::time::Duration;

/// Decides which frames are run.
#[derive(Clone, Debug)]
pub struct Pacer<T> {
    interval: Duration,
    budget: Duration,
    /// What a run takes: the mean of the last ones, weighed towards the newest.
    cost: Duration,
    begun: Duration,
    last: Option<T>,
    pace: Pace,
}

/// What to do with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn<'p, T> {
    /// Run it, and give the result to [`Pacer::ran`].
    Run,
    /// Let it go: its result would be late. This is the last one.
    Reuse(&'p T),
}

/// How a rate was kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// Frames that came.
    pub frames: u64,
    /// Of them, those that were run.
    pub run: u64,
    /// Of them, those that were let go.
    pub skipped: u64,
    /// Results that came later than the budget allows.
    pub late: u64,
    /// How late the latest result was.
    pub worst: Duration,
}

impl<T> Pacer<T> {
    /// Frames come at this interval; results may be late by the budget.
    pub fn new(interval: Duration, budget: Duration) -> Self {
        Self {
            interval,
            budget,
            cost: Duration::ZERO,
            begun: Duration::ZERO,
            last: None,
            pace: Pace::default(),
        }
    }

    /// What to do at `now` with the frame that came at `due`.
    pub fn turn(&mut self, due: Duration, now: Duration) -> Turn<'_, T> {
        self.pace.frames += 1;
        // Where no run keeps the budget, the newest frame is run all the same.
        let allowed = self.budget.checked_sub(self.cost).unwrap_or(self.interval);
        let behind = now.saturating_sub(due);
        match &self.last {
            Some(last) if behind > allowed => {
                self.pace.skipped += 1;
                Turn::Reuse(last)
            }
            _ => {
                self.begun = now;
                Turn::Run
            }
        }
    }

    /// Takes the result of the frame that came at `due` and was ready at `now`.
    pub fn ran(&mut self, result: T, due: Duration, now: Duration) -> &T {
        let cost = now.saturating_sub(self.begun);
        self.cost = if self.pace.run == 0 { cost } else { (self.cost * 3 + cost) / 4 };
        self.pace.run += 1;
        let behind = now.saturating_sub(due);
        self.pace.late += u64::from(behind > self.budget);
        self.pace.worst = self.pace.worst.max(behind);
        self.last.insert(result)
    }

    /// The last result.
    pub fn last(&self) -> Option<&T> {
        self.last.as_ref()
    }

    /// The counts so far.
    pub fn pace(&self) -> Pace {
        self.pace
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames every 10 ms for a second, runs of `cost` ms: how the rate was kept.
    fn kept(cost: u64, budget: u64) -> Pace {
        let ms = Duration::from_millis;
        let mut pacer = Pacer::new(ms(10), ms(budget));
        let mut now = Duration::ZERO;
        for frame in 0..100 {
            let due = ms(10 * frame);
            now = now.max(due);
            if pacer.turn(due, now) == Turn::Run {
                now += ms(cost);
                pacer.ran(frame, due, now);
            }
        }
        pacer.pace()
    }

    #[test]
    fn what_is_quick_enough_is_always_run() {
        for (cost, budget) in [(0, 20), (5, 10), (10, 10), (10, 50)] {
            let pace = kept(cost, budget);
            assert_eq!((pace.run, pace.skipped, pace.late), (100, 0, 0), "{cost} {budget}");
        }
    }

    #[test]
    fn what_is_too_slow_stays_within_the_budget() {
        for (cost, budget, least) in [(15, 40, 55), (30, 50, 30), (90, 120, 10)] {
            let pace = kept(cost, budget);
            assert_eq!(pace.run + pace.skipped, 100);
            assert!(pace.run >= least, "{cost} {budget} {pace:?}");
            assert_eq!(pace.late, 0, "{cost} {budget} {pace:?}");
        }
    }

    #[test]
    fn a_budget_that_no_run_keeps_does_not_stop_everything() {
        let pace = kept(35, 20);
        assert!(pace.run >= 24 && pace.late == pace.run, "{pace:?}");
        assert!(pace.worst <= Duration::from_millis(45), "{pace:?}");
    }
}
