//! Placement of values: nothing that lives at once overlaps, and the arena is small.

use crate::LAYER;
use ledge_graph::{
    compile,
    memory::{ALIGN, Life, lower_bound, place},
    text,
};
use plan::BufferKind;
use proptest::prelude::*;

proptest! {
    #[test]
    fn values_that_live_at_once_never_overlap(
        list in prop::collection::vec((0u64..5000, 0usize..40, 0usize..10), 0..60)
    ) {
        let lives: Vec<Life> = list
            .iter()
            .map(|&(bytes, first, steps)| Life { bytes, first, last: first + steps })
            .collect();
        let layout = place(&lives);
        prop_assert!(layout.bytes >= lower_bound(&lives));
        for (i, a) in lives.iter().enumerate() {
            prop_assert_eq!(layout.offsets[i] % ALIGN, 0);
            prop_assert!(layout.offsets[i] + a.bytes <= layout.bytes);
            for (j, b) in lives.iter().enumerate().skip(i + 1) {
                if a.first <= b.last && b.first <= a.last {
                    let apart = layout.offsets[i] + a.bytes <= layout.offsets[j]
                        || layout.offsets[j] + b.bytes <= layout.offsets[i];
                    prop_assert!(apart, "{a:?} and {b:?} overlap");
                }
            }
        }
    }
}

#[test]
fn a_chain_needs_two_values_at_once() {
    let lives: Vec<Life> = (0..10).map(|i| Life { bytes: 1024, first: i, last: i + 1 }).collect();
    assert_eq!(place(&lives).bytes, 2048);
}

#[test]
fn a_plan_names_its_arena_and_its_ports() {
    let plan = compile(text::parse(LAYER).unwrap()).unwrap();
    assert_eq!(plan.steps.len(), 23);
    assert_eq!(plan.bytes_of(BufferKind::Io).0, 8 * 4 + 2 * 4 + 2 * 100 * 4);
    // The widest moment holds the residual, gate, up and their product for 8 tokens.
    let arena = plan.bytes_of(BufferKind::Arena).0;
    assert!((8 * 4 * 3 * 128..=8 * 4 * 6 * 128).contains(&arena), "{arena}");
    assert_eq!(plan.steps.last().unwrap().output.buffer, plan.outputs[0].slot.buffer);
}
