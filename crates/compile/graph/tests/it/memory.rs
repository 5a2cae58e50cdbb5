//! Placement of values: nothing that lives at once overlaps, and the arena is small.

use crate::LAYER;
use ledge_graph::{
    compile, compile_for,
    memory::{ALIGN, Life, lower_bound, place},
    text,
};
use plan::*;
use proptest::prelude::*;
use std::sync::Arc;

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

/// Lives as chains of layers with skips have them, from a number.
fn network(seed: u64, values: usize) -> Vec<Life> {
    let mut state = seed;
    let mut next = |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % bound
    };
    let mut lives = Vec::new();
    for first in 0..values {
        let skip = if next(5) == 0 { usize::try_from(next(12)).expect("small") } else { 1 };
        let shrunk = 1 << (first * 6 / values);
        lives.push(Life { bytes: (1 + next(8)) * 65_536 / shrunk, first, last: first + skip });
    }
    lives
}

#[test]
fn networks_reach_the_least_that_is_possible() {
    let reached = (0..40).filter(|&seed| {
        let lives = network(seed, 150);
        place(&lives).bytes == lower_bound(&lives)
    });
    // All but what cannot be reached or is not found.
    assert!(reached.count() >= 37);
}

#[test]
fn placing_the_same_twice_gives_the_same() {
    for seed in 0..10 {
        let lives = network(seed, 200);
        assert_eq!(place(&lives), place(&lives));
    }
}

#[test]
fn what_is_only_read_otherwise_lies_in_the_same_bytes() {
    let text = "\
input v0 \"x\" F32 [4, 32]
v1 = map(v0) fn=exp
v2 = reshape(v1) dims=[2,64]
v3 = view(v2) dims=[1,64] strides=[64,1] offset=64
v4 = map(v3) fn=abs
v5 = view(v2) dims=[64,2] strides=[1,64] offset=0
v6 = map(v5) fn=abs
v7 = reshape(v6) dims=[128]
v8 = view(v2) dims=[1,3] strides=[64,1] offset=5
v9 = map(v8) fn=abs
output v4 \"part\"
output v7 \"turned\"
output v9 \"crooked\"
";
    let plan = compile(text::parse(text).unwrap()).unwrap();
    let names: Vec<&str> = plan.steps.iter().map(|step| step.op.name()).collect();
    assert_eq!(names, ["map", "map", "view", "map", "view", "map"]);
    let (exp, abs) = (&plan.steps[0].output, plan.steps[1].slot(0));
    assert_eq!((abs.buffer, abs.offset), (exp.buffer, exp.offset + 4 * 64));
    // What is only reshaped is written where the output is.
    assert_eq!(plan.steps[3].output.buffer, plan.outputs[1].slot.buffer);
    assert_eq!(plan.outputs[1].slot.dims.len(), 1);
}

/// Lets sums take the place of either operand, and other functions that of their only one; functions of
/// one element may be columns of something, others only whole parts.
#[derive(Debug)]
struct Free;

impl Backend for Free {
    fn name(&self) -> &'static str {
        "free"
    }

    fn accept(&self, _step: &Step, _plan: &Plan) -> Result<Needs, Refusal> {
        Ok(Needs::default())
    }

    fn freedom(&self, step: &Step, _plan: &Plan) -> Freedom {
        let over = match step.op.name() {
            "zip" => vec![0, 1],
            "map" => vec![0],
            _ => vec![],
        };
        let part = if step.op.name() == "map" { Part::Columns } else { Part::Whole };
        Freedom { over, part }
    }

    fn load(
        &self,
        _plan: Plan,
        _weights: Arc<dyn WeightSource>,
        _grant: &mut Grant,
        _control: &dyn Control,
    ) -> Result<Arc<dyn Program>, LoadError> {
        Err(LoadError::Cancelled)
    }
}

#[test]
fn results_take_the_place_of_what_nothing_reads_any_more() {
    // Each line's result and the operands whose place it may have; none where all are read again, are an
    // input, are repeated, or are read twice by the step itself.
    let text = "\
weight w0 \"w\" F32 [8]
input v0 \"x\" F32 [4, 8]
v1 = map(v0) fn=exp
v2 = map(v1) fn=abs
v3 = reshape(v2) dims=[32]
v4 = map(v3) fn=exp
v5 = zip(v2, v1) fn=add
v6 = zip(v5, v5) fn=multiply
v7 = reduce(v6) fn=sum axes=1 keep=false
v8 = zip(v7, v6) fn=add
v9 = zip(w0, v8) fn=add
v10 = reshape(v4) dims=[4,8]
v11 = zip(v10, v9) fn=add
v12 = map(v11) fn=abs
output v12 \"y\"
";
    let graph = text::parse(text).unwrap();
    let plan = compile_for(graph.clone(), &Free).unwrap();
    let place = |i: usize| (plan.steps[i].output.buffer, plan.steps[i].output.offset);
    let taken: Vec<Vec<usize>> = plan
        .steps
        .iter()
        .enumerate()
        .map(|(i, step)| {
            let lies = |operand: &Operand| match operand {
                Operand::Slot(slot) => (slot.buffer, slot.offset) == place(i),
                _ => false,
            };
            (0..step.inputs.len()).filter(|&i| lies(&step.inputs[i])).collect()
        })
        .collect();
    let none = Vec::new;
    let want: Vec<Vec<usize>> =
        vec![none(), none(), none(), vec![0], none(), none(), vec![1], vec![1], vec![0], none()];
    let names: Vec<&str> = plan.steps.iter().map(|step| step.op.name()).collect();
    assert_eq!(taken, want, "{names:?}");
    let apart = compile(graph).unwrap();
    assert!(plan.bytes_of(BufferKind::Arena) < apart.bytes_of(BufferKind::Arena));
}

#[test]
fn what_is_joined_is_written_where_the_whole_has_it() {
    // The first two concatenations are none any more; the others join an input, a value twice, what is
    // read elsewhere or cannot be columns, and columns that would begin between two lines.
    let text = "\
input v0 \"x\" F32 [4, 16]
v1 = map(v0) fn=exp
v2 = map(v0) fn=abs
v3 = concat(v1, v2) axis=1
v4 = map(v3) fn=exp
v5 = zip(v3, v4) fn=add
v6 = concat(v4, v5) axis=0
v7 = concat(v4, v5) axis=1
v8 = concat(v0, v2) axis=1
v9 = map(v6) fn=abs
v10 = concat(v9, v9) axis=0
v11 = view(v7) dims=[4,8] strides=[64,1] offset=3
v12 = map(v11) fn=exp
v13 = map(v11) fn=abs
v14 = concat(v12, v13) axis=1
output v8 \"y8\"
output v10 \"y10\"
output v14 \"y14\"
";
    let text = text.replace("v8 = concat(v0, v2)", "v15 = map(v0) fn=sqrt\nv8 = concat(v0, v15)");
    let graph = text::parse(&text).unwrap();
    let plan = compile_for(graph.clone(), &Free).unwrap();
    let joined = |step: &&Step| step.op.name() == "concat";
    let steps: Vec<&Step> = plan.steps.iter().collect();
    assert_eq!(steps.iter().copied().filter(joined).count(), 4);
    // Columns of `v3`, and then rows of `v6`, the second of which is no function of one element.
    let [exp, abs, read] = [0, 1, 2].map(|i| steps[i]);
    assert_eq!((exp.output.pitch, abs.output.pitch), (Some(32), Some(32)));
    assert_eq!(abs.output.offset, exp.output.offset + 64);
    assert_eq!((read.slot(0).offset, read.slot(0).pitch), (exp.output.offset, None));
    let sum = steps[3];
    assert_eq!((sum.output.offset, sum.output.pitch), (read.output.offset + 4 * 32 * 4, None));
    let apart = compile(graph).unwrap();
    assert_eq!(apart.steps.iter().filter(joined).count(), 6);
    assert!(plan.bytes_of(BufferKind::Arena) <= apart.bytes_of(BufferKind::Arena));
}

#[test]
fn an_input_that_is_passed_on_is_copied() {
    let text = "input v0 \"x\" F32 [4]\nv1 = reshape(v0) dims=[2,2]\noutput v1 \"y\"\n";
    let plan = compile(text::parse(text).unwrap()).unwrap();
    assert_eq!(plan.steps.len(), 1);
    assert_ne!(plan.inputs[0].slot.buffer, plan.outputs[0].slot.buffer);
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
