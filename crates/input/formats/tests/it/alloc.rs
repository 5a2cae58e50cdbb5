//! Counts what a thread holds on the heap, so that tests can bound what a file makes us take.
#![expect(unsafe_code, reason = "`GlobalAlloc` is an unsafe trait")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    /// Bytes that this thread took and has not given back; negative if it freed others' bytes.
    static LIVE: Cell<i64> = const { Cell::new(0) };
    /// The largest value of `LIVE` since it was reset.
    static PEAK: Cell<i64> = const { Cell::new(0) };
}

/// Counts `taken` and `given` bytes, in this order.
fn count(taken: usize, given: usize) {
    let [taken, given] = [taken, given].map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
    // A thread that is ending has no counters any more, and no test that asks.
    let _ = LIVE.try_with(|live| {
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(live.get() + taken)));
        live.set(live.get() + taken - given);
    });
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // For a moment both are there.
        count(size, layout.size());
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { System.realloc(place, layout, size) }
    }
}

/// Runs `work` on this thread and gives the most bytes that it held at a time.
pub(crate) fn peak<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = LIVE.get();
    PEAK.set(before);
    let result = work();
    (result, u64::try_from(PEAK.get() - before).unwrap_or(0))
}
