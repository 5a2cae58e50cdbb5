//! Whole plans on the processor: against double precision, and against themselves under another
//! number of threads and another division into chunks.
#![expect(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::cast_possible_truncation,
    reason = "tests: a panic is a failure, and all sizes are small"
)]

mod alloc;
mod array;
mod floats;
mod int8;
mod model;
mod oracle;

use ledge_cpu::{CpuBackend, Isa};
use model::{
    LAYERS, Layers, Memory, POSITIONS, VOCABULARY, encoder, language_model, quantised_model,
};
use plan::op::{NormKind, RopePairs, Unary};
use plan::*;
use std::num::NonZeroUsize;
use std::sync::Arc;
use tensor::Bytes;

fn backend(threads: usize) -> CpuBackend {
    CpuBackend::new(NonZeroUsize::new(threads).unwrap()).unwrap()
}

/// Loads a plan within exactly what it promises and makes a state.
fn load(plan: &Plan, memory: &Arc<Memory>, backend: &CpuBackend) -> Box<dyn State> {
    let mut plan = plan.clone();
    plan.place(backend).unwrap();
    let mut grant = Grant::new(plan.promise().total());
    let source = Arc::clone(memory) as Arc<dyn WeightSource>;
    let program = backend.load(plan, source, &mut grant, &Uncontrolled).unwrap();
    let state = program.state(&mut grant).unwrap();
    assert_eq!(grant.left(), Bytes::ZERO, "the promise is exact");
    state
}

fn write(state: &mut dyn State, port: usize, ids: &[u32]) {
    let bytes = tensor::cast::to_bytes(ids);
    state.input(port)[..bytes.len()].copy_from_slice(bytes);
}

/// Runs tokens and gives the logits of all of them.
fn step(state: &mut dyn State, ids: &[u32]) -> Result<Vec<f32>, RunError> {
    let rows: Vec<u32> = (0..u32::try_from(ids.len()).unwrap()).collect();
    write(state, 0, ids);
    write(state, 1, &rows);
    let n = ids.len() as u64;
    state.run(&[n, n], &Uncontrolled)?;
    let width = state.plan().outputs[0].slot.width() as usize;
    let out: &[f32] = tensor::cast::from_bytes(state.output(0)).unwrap();
    Ok(out[..ids.len() * width].to_vec())
}

fn in_chunks(state: &mut dyn State, ids: &[u32], chunk: usize) -> Vec<f32> {
    ids.chunks(chunk).flat_map(|ids| step(state, ids).unwrap()).collect()
}

fn ids(len: usize) -> Vec<u32> {
    let id = |x: &f32| ((x.abs() * 1e4) as u32) % u32::try_from(VOCABULARY).unwrap();
    model::noise(9, len).iter().map(id).collect()
}

fn assert_near(got: &[f32], want: &[Vec<f64>], tolerance: f64) {
    let want: Vec<f64> = want.concat();
    assert_eq!(got.len(), want.len());
    for (i, (got, want)) in got.iter().zip(&want).enumerate() {
        let error = (f64::from(*got) - want).abs();
        assert!(error <= tolerance, "element {i}: {got}, should be {want}");
    }
}

#[test]
fn language_models_agree_with_double_precision_and_with_themselves() {
    let tokens = 150;
    for layers in [
        LAYERS,
        Layers { pairs: RopePairs::Half, norm: NormKind::Layer, ..LAYERS },
        Layers { heads: 7, kv_heads: 1, head_dim: 10, v_head_dim: 6, ..LAYERS },
        Layers { window: Some(20), soft_cap: Some(2.0), activation: Unary::GeluTanh, ..LAYERS },
        Layers { experts: Some((5, 2)), ..LAYERS },
        Layers { sinks: true, window: Some(20), ..LAYERS },
        Layers { kv: KvType::F16, ..LAYERS },
        Layers { kv: KvType::Q8_0, ..LAYERS },
        Layers { kv: KvType::Q8_0, heads: 7, kv_heads: 1, head_dim: 10, v_head_dim: 6, ..LAYERS },
    ] {
        let (plan, memory) = language_model(layers, 64);
        let ids = ids(tokens);
        let rows: Vec<u32> = (0..u32::try_from(tokens).unwrap()).collect();
        let want = oracle::run(&plan, &memory, &[ids.clone(), rows]);
        let first = in_chunks(&mut *load(&plan, &memory, &backend(1)), &ids, 1);
        // Logits lie between -5 and 5; halves have 11 bits, bytes 7.
        let tolerance = match layers.kv {
            KvType::F32 => 1e-4,
            KvType::F16 => 1e-2,
            KvType::Q8_0 => 0.2,
        };
        assert_near(&first, &want, tolerance);
        for threads in [1, 2, 3, 8] {
            let backend = backend(threads);
            for chunk in [1, 7, 64] {
                let got = in_chunks(&mut *load(&plan, &memory, &backend), &ids, chunk);
                assert!(got == first, "{threads} threads, chunks of {chunk}, {layers:?}");
            }
        }
    }
}

#[test]
fn long_sequences_are_the_same_for_any_threads_and_chunks() {
    for (kv, sinks) in [(KvType::F32, true), (KvType::Q8_0, false)] {
        let layers = Layers { window: Some(600), kv, sinks, ..LAYERS };
        let (plan, memory) = language_model(layers, 64);
        let ids = ids(POSITIONS as usize);
        let run = |threads, chunk| {
            let backend = backend(threads);
            let mut state = load(&plan, &memory, &backend);
            in_chunks(&mut *state, &ids, chunk)
        };
        let first = run(1, 64);
        assert!(first == run(2, 3), "{kv}");
        assert!(first == run(3, 1), "{kv}");
    }
}

#[test]
fn encoders_agree_with_double_precision() {
    use Unary::{Gelu, GeluTanh, Relu, ReluSquared, Sigmoid, Silu, Tanh};
    for activation in [Silu, Gelu, GeluTanh, Relu, ReluSquared, Tanh, Sigmoid] {
        let (plan, memory) = encoder(activation, 90);
        let ids = ids(80);
        let want = oracle::run(&plan, &memory, &[ids.clone(), vec![0]]);
        let first = step(&mut *load(&plan, &memory, &backend(1)), &ids).unwrap();
        assert_near(&first, &want, 1e-4);
        let mut state = load(&plan, &memory, &backend(3));
        assert!(first == step(&mut *state, &ids).unwrap());
        assert_eq!(state.positions(), 0, "nothing is kept");
        assert!(first == step(&mut *state, &ids).unwrap());
    }
}

#[test]
fn runs_take_nothing_from_the_heap() {
    for layers in [
        LAYERS,
        Layers { experts: Some((4, 2)), kv: KvType::F16, ..LAYERS },
        Layers { kv: KvType::Q8_0, ..LAYERS },
    ] {
        let (plan, memory) = language_model(layers, 64);
        // One thread does all the work, of three the caller's part is counted.
        for threads in [1, 3] {
            let backend = backend(threads);
            let mut state = load(&plan, &memory, &backend);
            write(&mut *state, 0, &ids(64));
            write(&mut *state, 1, &[3]);
            let taken = alloc::taken_by(|| {
                for extents in [[64, 1], [7, 1], [1, 1], [1, 1]] {
                    write(&mut *state, 1, &[0]);
                    state.run(&extents, &Uncontrolled).unwrap();
                }
            });
            assert_eq!(taken, 0, "{threads} threads");
        }
    }
}

#[test]
fn quantised_weights_give_the_same_bits_everywhere_and_are_near_the_exact_product() {
    let (plan, memory) = quantised_model(64);
    let ids = ids(70);
    let rows: Vec<u32> = (0..70).collect();
    let want = oracle::run(&plan, &memory, &[ids.clone(), rows]);
    let first = in_chunks(&mut *load(&plan, &memory, &backend(1)), &ids, 1);
    // Activations are rounded to 8 bits: a hundredth of results between -1 and 1.
    assert_near(&first, &want, 0.05);
    for isa in Isa::available() {
        let backend = CpuBackend::with_isa(NonZeroUsize::new(2).unwrap(), isa).unwrap();
        for chunk in [7, 64] {
            let got = in_chunks(&mut *load(&plan, &memory, &backend), &ids, chunk);
            assert!(got == first, "{isa}, chunks of {chunk}");
        }
    }
}

#[test]
fn a_truncated_sequence_goes_on_as_if_the_rest_had_never_been() {
    let (plan, memory) = language_model(LAYERS, 64);
    let backend = backend(2);
    let ids = ids(40);
    let mut state = load(&plan, &memory, &backend);
    let straight = in_chunks(&mut *state, &ids, 10);
    state.truncate(17);
    assert_eq!(state.positions(), 17);
    let width = VOCABULARY as usize;
    assert!(step(&mut *state, &[3; 30]).is_ok());
    state.truncate(17);
    state.truncate(99);
    assert!(step(&mut *state, &ids[17..]).unwrap() == straight[17 * width..]);
}

/// Wants every call to end at once.
struct Stop;

impl Control for Stop {
    fn cancelled(&self) -> bool {
        true
    }

    fn progress(&self, _: u64, _: u64) {}
}

#[test]
fn bad_input_is_refused_and_changes_nothing() {
    let (plan, memory) = language_model(LAYERS, 64);
    let backend = backend(2);
    let mut state = load(&plan, &memory, &backend);
    let ids = ids(60);
    let want = step(&mut *state, &ids).unwrap();
    state.truncate(0);
    step(&mut *state, &ids[..20]).unwrap();

    let out_of_table = step(&mut *state, &[1, 50]).unwrap_err();
    let index = |input: &str, row, id, len| RunError::Index { input: input.into(), row, id, len };
    assert_eq!(out_of_table, index("ids", 1, 50, 50));
    write(&mut *state, 0, &[1, 2]);
    write(&mut *state, 1, &[2]);
    assert_eq!(state.run(&[2, 1], &Uncontrolled).unwrap_err(), index("rows", 0, 2, 2));

    write(&mut *state, 1, &[0]);
    assert_eq!(state.run(&[2, 1], &Stop).unwrap_err(), RunError::Cancelled);
    assert_eq!(state.positions(), 20);
    let rest = step(&mut *state, &ids[20..]).unwrap();
    assert!(rest == want[20 * VOCABULARY as usize..]);

    for _ in 0..10 {
        step(&mut *state, &[0; 64]).unwrap();
    }
    let full = step(&mut *state, &[0; 64]).unwrap_err();
    assert_eq!(full, RunError::Full { need: 60 + 11 * 64, have: POSITIONS });
    assert_eq!(state.positions(), 60 + 10 * 64);
}

#[test]
fn loading_stops_at_errors_and_at_the_grant() {
    let (mut plan, memory) = language_model(LAYERS, 8);
    let backend = backend(3);
    plan.place(&backend).unwrap();
    let load = |plan: &Plan, memory: &Arc<Memory>, bytes| {
        let source = Arc::clone(memory) as Arc<dyn WeightSource>;
        backend.load(plan.clone(), source, &mut Grant::new(bytes), &Uncontrolled)
    };
    let all = plan.promise().total();
    let short = load(&plan, &memory, Bytes(100)).unwrap_err();
    assert!(matches!(short, LoadError::Exceeded(_)), "{short:?}");
    for tensor in ["w0", "w1", "w5"] {
        let mut broken = memory.0.clone();
        broken.remove(tensor);
        let error = load(&plan, &Arc::new(Memory(broken)), all).unwrap_err();
        assert_eq!(error.to_string(), format!("tensor `{tensor}`: is not there"));
    }
}

#[test]
fn weights_that_are_no_numbers_give_numbers_or_nan_and_no_fault() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
        let layers = Layers { experts: Some((4, 2)), ..LAYERS };
        let (plan, memory) = language_model(layers, 16);
        let mut broken = memory.0.clone();
        for stored in broken.values_mut() {
            stored[8..12].copy_from_slice(&bad.to_le_bytes());
        }
        let backend = backend(2);
        let mut state = load(&plan, &Arc::new(Memory(broken)), &backend);
        assert_eq!(step(&mut *state, &ids(16)).unwrap().len(), 16 * VOCABULARY as usize);
    }
}
