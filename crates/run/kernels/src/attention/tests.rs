use super::*;
use std::{vec, vec::Vec};

/// Numbers between -1 and 1 that look random.
pub(super) fn noise(seed: u32, len: usize) -> Vec<f32> {
    let mut x = seed.wrapping_mul(2_654_435_761) | 1;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        x as f32 / 2f32.powi(31) - 1.0
    };
    (0..len).map(|_| next()).collect()
}

pub(super) struct Case {
    pub(super) positions: usize,
    pub(super) head_dim: usize,
    pub(super) v_head_dim: usize,
    pub(super) group: usize,
    pub(super) sight: Sight,
    pub(super) soft_cap: Option<f32>,
    pub(super) sink: Option<f32>,
}

pub(super) const CASE: Case = Case {
    positions: 90,
    head_dim: 8,
    v_head_dim: 8,
    group: 1,
    sight: Sight::Last(usize::MAX - 1),
    soft_cap: None,
    sink: None,
};

pub(super) const CASES: [Case; 12] = [
    CASE,
    Case { group: 3, positions: 70, ..CASE },
    Case { head_dim: 80, v_head_dim: 48, ..CASE },
    Case { sight: Sight::Last(1), ..CASE },
    Case { sight: Sight::Last(20), positions: 200, ..CASE },
    Case { sight: Sight::Last(70), positions: 600, ..CASE },
    Case { sight: Sight::All(90), ..CASE },
    Case { soft_cap: Some(0.7), ..CASE },
    Case { positions: 1100, group: 2, ..CASE },
    Case { sink: Some(-0.5), group: 2, ..CASE },
    Case { sink: Some(30.0), soft_cap: Some(0.7), ..CASE },
    Case { sink: Some(-200.0), sight: Sight::Last(20), ..CASE },
];

/// Attention of every query at every position, in double precision.
pub(super) fn oracle(case: &Case, q: &[f32], k: &[f32], v: &[f32]) -> Vec<f64> {
    let mut out = Vec::new();
    for position in 0..case.positions {
        for query in q.chunks_exact(case.head_dim).skip(position * case.group).take(case.group) {
            let seen = case.sight.from(position);
            let scores: Vec<f64> = seen
                .clone()
                .map(|at| {
                    let key = &k[at * case.head_dim..][..case.head_dim];
                    let dot: f64 =
                        query.iter().zip(key).map(|(q, k)| f64::from(*q) * f64::from(*k)).sum();
                    let score = dot * 0.4;
                    case.soft_cap.map_or(score, |cap| {
                        let cap = f64::from(cap);
                        cap * (score / cap).tanh()
                    })
                })
                .collect();
            let sink = case.sink.map_or(f64::NEG_INFINITY, f64::from);
            let max = scores.iter().copied().fold(sink, f64::max);
            let sum = scores.iter().map(|s| (s - max).exp()).sum::<f64>() + (sink - max).exp();
            for element in 0..case.v_head_dim {
                let weighed: f64 = seen
                    .clone()
                    .zip(&scores)
                    .map(|(at, s)| (s - max).exp() * f64::from(v[at * case.v_head_dim + element]))
                    .sum();
                out.push(weighed / sum);
            }
        }
    }
    out
}

/// Runs all positions in chunks of `chunk` tokens.
fn run<T: Stored>(
    isa: Isa,
    case: &Case,
    chunk: usize,
    q: &[f32],
    k: &[f32],
    v: &[f32],
) -> Vec<f32> {
    let pages = case.positions.div_ceil(PAGE);
    let mut keys = vec![T::ZERO; pages * PAGE * case.head_dim];
    let mut values = vec![T::ZERO; pages * PAGE * case.v_head_dim];
    let rows = k.chunks_exact(case.head_dim).zip(v.chunks_exact(case.v_head_dim));
    for (at, (key, value)) in rows.enumerate() {
        store(isa, &mut keys, &mut values, at, key, value);
    }
    // What was never stored must not matter.
    let [key, value] = [case.head_dim, case.v_head_dim].map(|dim| vec![f32::NAN; dim]);
    for at in case.positions..pages * PAGE {
        store(isa, &mut keys, &mut values, at, &key, &value);
    }
    let head =
        Head { keys: &keys, values: &values, head_dim: case.head_dim, v_head_dim: case.v_head_dim };
    let scores = Scores { scale: 0.4, soft_cap: case.soft_cap };
    let segments = case.positions.div_ceil(SEGMENT);
    let mut out = Vec::new();
    for (number, elements) in q.chunks(chunk * case.group * case.head_dim).enumerate() {
        let count = elements.len() / case.head_dim;
        let queries =
            Queries { elements, group: case.group, first: number * chunk, sight: case.sight };
        let mut sums = vec![0.0; Partial::len(count, case.v_head_dim)];
        let mut total = Partial::of(&mut sums, count, case.v_head_dim);
        total.clear();
        let mut scratch = vec![0.0; scratch_len(count, case.head_dim, case.v_head_dim)];
        attend(isa, scores, &head, &queries, 0..segments, &mut scratch, &mut total);
        for query in 0..count {
            let mut one = vec![0.0; case.v_head_dim];
            total.finish(query, case.sink, &mut one);
            out.extend(one);
        }
    }
    out
}

#[test]
fn attention_agrees_with_double_precision_however_it_is_cut() {
    for case in CASES {
        let q = noise(1, case.positions * case.group * case.head_dim);
        let k = noise(2, case.positions * case.head_dim);
        let v = noise(3, case.positions * case.v_head_dim);
        let one = run::<f32>(Isa::SCALAR, &case, 1, &q, &k, &v);
        for (got, want) in one.iter().zip(oracle(&case, &q, &k, &v)) {
            assert!((f64::from(*got) - want).abs() < 2e-6, "{got} {want}");
        }
        for chunk in [7, 64, 512] {
            assert_eq!(one, run::<f32>(Isa::SCALAR, &case, chunk, &q, &k, &v), "chunks of {chunk}");
        }
        let half = run::<F16>(Isa::SCALAR, &case, 64, &q, &k, &v);
        assert_eq!(half, run::<F16>(Isa::SCALAR, &case, 1, &q, &k, &v));
        for isa in Isa::available() {
            let (mut one, mut half) = (one.clone(), half.clone());
            let other = isa.specification();
            if other != Isa::SCALAR {
                one = run::<f32>(other, &case, 64, &q, &k, &v);
                half = run::<F16>(other, &case, 64, &q, &k, &v);
            }
            assert_eq!(one, run::<f32>(isa, &case, 7, &q, &k, &v), "{isa}");
            assert_eq!(half, run::<F16>(isa, &case, 7, &q, &k, &v), "{isa}");
        }
        for (got, want) in half.iter().zip(one) {
            assert!((got - want).abs() < 2e-3, "{got} {want}");
        }
    }
}

#[test]
fn bad_keys_give_numbers_or_nan_and_no_fault() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
        let q = noise(1, 90 * 8);
        let mut k = noise(2, 90 * 8);
        k[8 * 8..10 * 8].fill(bad);
        let out = run::<f32>(Isa::detect(), &CASE, 7, &q, &k, &noise(3, 90 * 8));
        assert!(out[..8 * 8].iter().all(|x| x.is_finite()), "earlier positions do not see it");
    }
}
