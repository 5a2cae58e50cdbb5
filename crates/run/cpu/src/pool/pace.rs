//! How many of a pool's threads take part: all, unless someone else wants their processors.
//!
//! Threads that share a processor with a foreign one are away for a time slice of milliseconds
//! now and then, and all others wait at the end of the job: with two processors and one foreign
//! thread, a small model kept 28 % of its rate on two threads, where one thread alone keeps 58 %.
//! So when more time is lost with waiting than a thread is worth, one fewer takes part; after a
//! pause, which becomes longer each time that it was not over, all are tried again. Once they went
//! well for as long as they paused, the next pause is short again: who came and went does not cost
//! what one who stays does. Two pools that share processors come to share them out this way. Only
//! times enter here, no clock.

use core::num::NonZeroUsize;
use core::time::Duration;
use std::time::Instant;

/// Waiting that is no matter of unequal work or of a slow wake-up.
const LATE: Duration = Duration::from_micros(500);

/// The time that is looked at together: some time slices.
const WINDOW: Duration = Duration::from_millis(50);

/// When the window's beginning says nothing about now.
const STALE: Duration = Duration::from_millis(500);

/// The first pause.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// The longest: trying costs a [`WINDOW`] at a low rate.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// What decides how many threads take part.
#[derive(Debug)]
pub(super) struct Pace {
    most: usize,
    now: usize,
    /// When the first late job of the window began to be waited for.
    begin: Option<Instant>,
    lost: Duration,
    pause: Duration,
    /// When all take part again, or last did.
    until: Option<Instant>,
}

impl Pace {
    /// All of so many threads.
    pub(super) fn new(threads: NonZeroUsize) -> Self {
        let most = threads.get();
        let lost = Duration::ZERO;
        Self { most, now: most, begin: None, lost, pause: PAUSE_MIN, until: None }
    }

    /// Threads that take part in the next job; the clock is asked only while some pause.
    pub(super) fn threads(&mut self, clock: impl FnOnce() -> Instant) -> usize {
        if self.now < self.most
            && let Some(until) = self.until
            && clock() >= until
        {
            (self.now, self.begin) = (self.most, None);
        }
        self.now
    }

    /// The caller had to wait for a job from `idle` until `now`.
    pub(super) fn waited(&mut self, idle: Instant, now: Instant) {
        let waited = now - idle;
        if waited < LATE {
            return;
        }
        let begin = self.begin.filter(|begin| now - *begin < STALE);
        let Some(begin) = begin else {
            (self.begin, self.lost) = (Some(idle), waited);
            return;
        };
        self.lost += waited;
        let elapsed = now - begin;
        if elapsed < WINDOW {
            return;
        }
        self.begin = None;
        // One fewer leaves (n - 1) / n of the rate, less a tenth for error.
        let rate = 1.0 - self.lost.as_secs_f64() / elapsed.as_secs_f64();
        if rate < 0.9 * (self.now - 1) as f64 / self.now as f64 {
            self.now -= 1;
            let calm = self.until.is_none_or(|until| now - until > self.pause);
            self.pause = if calm { PAUSE_MIN } else { (self.pause * 2).min(PAUSE_MAX) };
            self.until = Some(now + self.pause);
        }
    }
}

#[cfg(test)]
#[expect(clippy::unchecked_time_subtraction, reason = "the clock here begins late enough")]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[expect(clippy::disallowed_methods, reason = "a beginning for times that are made up")]
    fn pace(threads: usize) -> (Pace, Instant) {
        (Pace::new(NonZeroUsize::new(threads).unwrap()), Instant::now())
    }

    /// Jobs for `time`, each of 4 ms, of which `lost` are waited.
    fn run(pace: &mut Pace, now: &mut Instant, time: Duration, lost: Duration) {
        let end = *now + time;
        while *now < end {
            *now += 4 * MS;
            pace.waited(*now - lost, *now);
        }
    }

    #[test]
    fn late_workers_pause_and_pauses_grow_while_they_stay_late() {
        let (mut pace, mut now) = pace(3);
        for pause in [100, 200, 400, 800, 1600, 2000, 2000] {
            assert_eq!(pace.threads(|| now), 3);
            run(&mut pace, &mut now, 56 * MS, 2 * MS);
            let until = pace.until.unwrap();
            assert_eq!(pace.threads(|| now), 2);
            assert_eq!(pace.threads(|| until - MS), 2, "{pause} ms are not over");
            assert!(until - now <= pause * MS && until - now > (pause - 8) * MS, "{pause}");
            now = until;
        }
        assert_eq!(pace.threads(|| now), 3);
        now += PAUSE_MAX + MS;
        run(&mut pace, &mut now, 56 * MS, 2 * MS);
        assert_eq!(pace.pause, PAUSE_MIN);
    }

    #[test]
    fn who_comes_and_goes_costs_short_pauses() {
        let (mut pace, mut now) = pace(2);
        for _ in 0..5 {
            run(&mut pace, &mut now, 56 * MS, 3 * MS);
            assert_eq!((pace.threads(|| now), pace.pause), (1, PAUSE_MIN));
            now += 2 * PAUSE_MIN + MS;
            assert_eq!(pace.threads(|| now), 2);
        }
    }

    #[test]
    fn the_caller_never_pauses() {
        let (mut pace, mut now) = pace(2);
        run(&mut pace, &mut now, 120 * MS, 3 * MS);
        assert_eq!(pace.threads(|| now), 1);
    }

    #[test]
    fn unequal_work_and_few_disturbances_change_nothing() {
        for (threads, lost) in [(2, 2), (4, 1)] {
            let (mut pace, mut now) = pace(threads);
            run(&mut pace, &mut now, 500 * MS, lost * MS);
            for _ in 0..10 {
                now += 600 * MS;
                pace.waited(now - 100 * MS, now);
            }
            assert_eq!(pace.threads(|| unreachable!("nobody pauses")), threads);
        }
    }
}
