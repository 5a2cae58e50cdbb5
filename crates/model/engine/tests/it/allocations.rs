//! No allocation in the token loop: counted by an allocator, on the caller's thread, which does
//! all the work when there is one thread.

use crate::{generation, house, ids, load, request};
use ledge_engine::{llm::sampler::Sampling, trace::Recorder};
use plan::{Control, Trace, Uncontrolled};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

#[expect(unsafe_code, reason = "an allocator is an unsafe trait; this one only counts")]
// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the trait's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the trait's contract.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of this thread while `job` runs.
pub(crate) fn counted(job: impl FnOnce()) -> u64 {
    let before = COUNT.with(Cell::get);
    job();
    COUNT.with(Cell::get) - before
}

/// Notes what ran when.
struct Traced(Recorder);

impl Control for Traced {
    fn cancelled(&self) -> bool {
        false
    }

    fn progress(&self, _done: u64, _total: u64) {}

    fn trace(&self) -> Option<&dyn Trace> {
        Some(&self.0)
    }
}

#[test]
fn the_token_loop_allocates_nothing_traced_or_not() {
    let traced = Traced(Recorder::new(1 << 12));
    for control in [&Uncontrolled as &dyn Control, &traced] {
        let lm = load(&house(), &request(1, 64));
        let mut session = lm.session().unwrap();
        session.append(&ids(&lm, "The old woman went"), control).unwrap();
        let sampling =
            Sampling { seed: 3, repetition_penalty: 1.1, top_k: 40, ..Sampling::default() };
        let mut generation = generation(&lm, sampling, 60);
        generation.next(&mut session, control).unwrap();
        let before = COUNT.with(Cell::get);
        for _ in 0..50 {
            assert!(generation.next(&mut session, control).unwrap().is_some());
        }
        assert_eq!(COUNT.with(Cell::get) - before, 0);
    }
    assert!(!traced.0.spans().is_empty());
}
