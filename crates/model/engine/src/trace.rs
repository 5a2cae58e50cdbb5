//! Keeps the spans of runs in memory that was taken beforehand.
//!
//! A ring of slots: noting a span is one addition and a few stores, from any thread, without a lock and
//! without allocation; when the ring is full the oldest spans give way and are counted. Spans are
//! read when nothing runs any more.

use crate::device::{Clock, Monotonic};
use plan::{Span, Trace, Who};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Spans of the last runs.
#[derive(Debug)]
pub struct Recorder {
    clock: Monotonic,
    slots: Box<[Slot]>,
    next: AtomicU64,
}

/// The words of a span: unit and worker, begin, end, rows, position.
#[derive(Debug, Default)]
struct Slot([AtomicU64; 5]);

/// The worker's number of spans that are nobody's alone.
const ALL: u64 = u32::MAX as u64;

impl Recorder {
    /// Room for so many spans, 40 bytes each, taken and touched now.
    pub fn new(spans: usize) -> Self {
        let slots: Box<[Slot]> = (0..spans.max(1)).map(|_| Slot::default()).collect();
        // Zeroed memory may be the system's promise only; written memory is there.
        for slot in &slots {
            slot.0[0].store(ALL, Ordering::Relaxed);
        }
        Self { clock: Monotonic::default(), slots, next: AtomicU64::new(0) }
    }

    /// The spans that are kept, by their beginning.
    pub fn spans(&self) -> Vec<Span> {
        let noted = self.next.load(Ordering::Acquire);
        let kept = usize::try_from(noted).unwrap_or(usize::MAX).min(self.slots.len());
        let mut spans: Vec<Span> = self.slots[..kept].iter().map(Slot::read).collect();
        spans.sort_by_key(|span| (span.begin, std::cmp::Reverse(span.end)));
        spans
    }

    /// Spans that gave way to later ones.
    pub fn lost(&self) -> u64 {
        self.next.load(Ordering::Acquire).saturating_sub(self.slots.len() as u64)
    }

    /// Forgets all spans.
    pub fn clear(&mut self) {
        *self.next.get_mut() = 0;
    }
}

impl Slot {
    fn read(&self) -> Span {
        let [what, begin, end, rows, position] =
            [0, 1, 2, 3, 4].map(|i| self.0[i].load(Ordering::Relaxed));
        let half = |word: u64| u32::try_from(word & ALL).unwrap_or(u32::MAX);
        let who = if what & ALL == ALL { Who::All } else { Who::Worker(half(what)) };
        Span {
            unit: half(what >> 32),
            who,
            begin: Duration::from_nanos(begin),
            end: Duration::from_nanos(end),
            rows,
            position,
        }
    }
}

impl Trace for Recorder {
    fn now(&self) -> Duration {
        self.clock.now()
    }

    fn note(&self, span: Span) {
        let turn = self.next.fetch_add(1, Ordering::AcqRel) % self.slots.len() as u64;
        let Some(slot) = usize::try_from(turn).ok().and_then(|turn| self.slots.get(turn)) else {
            return;
        };
        let who = match span.who {
            Who::All => ALL,
            Who::Worker(worker) => u64::from(worker),
        };
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let what = u64::from(span.unit) << 32 | who;
        let words = [what, nanos(span.begin), nanos(span.end), span.rows, span.position];
        for (slot, word) in slot.0.iter().zip(words) {
            slot.store(word, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_ring_keeps_the_last_spans_and_counts_the_others() {
        let recorder = Recorder::new(4);
        let time = Duration::from_nanos;
        for unit in 0..6 {
            let who = if unit % 2 == 0 { Who::All } else { Who::Worker(unit) };
            let (begin, end) = (time(u64::from(unit)), time(u64::from(unit) + 1));
            recorder.note(Span { unit, who, begin, end, rows: 7, position: 9 });
        }
        let spans = recorder.spans();
        let kept: Vec<_> = spans.iter().map(|span| (span.unit, span.who)).collect();
        let (all, worker) = (Who::All, Who::Worker);
        assert_eq!(kept, [(2, all), (3, worker(3)), (4, all), (5, worker(5))]);
        assert_eq!((spans[0].rows, spans[0].position, recorder.lost()), (7, 9, 2));
    }
}
