use super::super::Sight;
use super::super::tests::{CASE, CASES, Case, noise, oracle};
use super::*;
use std::{vec, vec::Vec};

/// Runs all positions in chunks of `chunk` tokens; what was never stored is `garbage`.
fn run(isa: Isa, case: &Case, chunk: usize, garbage: u8, [q, k, v]: [&[f32]; 3]) -> Vec<f32> {
    let bytes = page_bytes(case.head_dim, case.v_head_dim);
    let mut pages = vec![garbage; case.positions.div_ceil(PAGE) * bytes];
    let values = v.chunks_exact(case.v_head_dim);
    for (at, (key, value)) in k.chunks_exact(case.head_dim).zip(values).enumerate() {
        store(isa, &mut pages, at, key, value);
    }
    let head = Head { pages: &pages, head_dim: case.head_dim, v_head_dim: case.v_head_dim };
    let scores = Scores { scale: 0.4, soft_cap: case.soft_cap };
    let mut out = Vec::new();
    for (number, elements) in q.chunks(chunk * case.group * case.head_dim).enumerate() {
        let count = elements.len() / case.head_dim;
        let queries =
            Queries { elements, group: case.group, first: number * chunk, sight: case.sight };
        let mut sums = vec![0.0; Partial::len(count, case.v_head_dim)];
        let mut total = Partial::of(&mut sums, count, case.v_head_dim);
        total.clear();
        let mut scratch = vec![0.0; scratch_len(count, case.head_dim, case.v_head_dim)];
        let segments = 0..case.positions.div_ceil(SEGMENT);
        attend(isa, scores, &head, &queries, segments, &mut scratch, &mut total);
        for query in 0..count {
            let mut one = vec![0.0; case.v_head_dim];
            total.finish(query, case.sink, &mut one);
            out.extend(one);
        }
    }
    out
}

/// Blocks as signed bytes with a scale each, half as precise where they are stored.
fn rounded(rows: &[f32], block: usize, stored: bool) -> Vec<f32> {
    let round = |row: &[f32]| {
        let scale = row.iter().fold(0.0f32, |most, x| most.max(x.abs())) / 127.0;
        let by = if stored { F16::from_f32(scale).to_f32() } else { scale };
        row.iter().map(|x| if scale > 0.0 { (x / scale).round() * by } else { 0.0 }).collect()
    };
    rows.chunks(block).flat_map::<Vec<_>, _>(round).collect()
}

#[test]
fn attention_in_bytes_agrees_with_that_of_rounded_rows_however_it_is_cut() {
    for case in CASES {
        let q = noise(1, case.positions * case.group * case.head_dim);
        let k = noise(2, case.positions * case.head_dim);
        let v = noise(3, case.positions * case.v_head_dim);
        let rows = [&q[..], &k, &v];
        let one = run(Isa::SCALAR, &case, 1, 0, rows);
        let blocks = |rows: &[f32], stored| -> Vec<f32> {
            let rows = rows.chunks(case.head_dim);
            rows.flat_map(|row| rounded(row, BLOCK, stored)).collect()
        };
        let want = [blocks(&q, false), blocks(&k, true), rounded(&v, case.v_head_dim, true)];
        for (got, want) in one.iter().zip(oracle(&case, &want[0], &want[1], &want[2])) {
            // Shares have 14 bits; the largest is at most 1.
            assert!((f64::from(*got) - want).abs() < 2e-4, "{got} {want}");
        }
        for isa in Isa::available() {
            let other = isa.specification();
            let one =
                if other == Isa::SCALAR { one.clone() } else { run(other, &case, 1, 0, rows) };
            for (chunk, garbage) in [(1, 0), (7, 0xff), (64, 0x7f), (512, 0xff)] {
                let other = run(isa, &case, chunk, garbage, rows);
                assert_eq!(one, other, "{isa}, chunks of {chunk}, {} positions", case.positions);
            }
        }
    }
}

#[test]
fn what_is_no_number_stays_where_it_is_seen() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 1e-42] {
        for which in 0..2 {
            let mut rows = [noise(1, 90 * 8), noise(2, 90 * 8), noise(3, 90 * 8)];
            rows[1 + which][8 * 8..10 * 8].fill(bad);
            let rows = [&rows[0][..], &rows[1], &rows[2]];
            for isa in Isa::available() {
                let out = run(isa, &CASE, 7, 0xff, rows);
                assert!(out[..8 * 8].iter().all(|x| x.is_finite()), "earlier ones do not see it");
                if !bad.is_finite() {
                    assert!(out[10 * 8..].iter().all(|x| x.is_nan()), "{isa}: later ones do");
                }
            }
        }
    }
    let case = Case { sight: Sight::Last(3), ..CASE };
    let zeros = vec![0.0; 90 * 8];
    let out = run(Isa::detect(), &case, 7, 0, [&zeros, &zeros, &zeros]);
    assert!(out.iter().all(|&x| x == 0.0));
}

/// Element `i` of all rows together.
type Content = fn(usize) -> f32;

/// Rows that stress rounding, range and zero points.
const CONTENTS: [(&str, Content); 8] = [
    ("zeros of both signs", |i| if i.is_multiple_of(2) { 0.0 } else { -0.0 }),
    ("one end", |_| 1.0),
    ("the other end", |_| -1.0),
    ("both ends", |i| if i.is_multiple_of(2) { 1.0 } else { -1.0 }),
    ("an outlier", |i| if i.is_multiple_of(10) { 300.0 } else { 0.01 }),
    ("ties", |i| if i.is_multiple_of(8) { 127.0 } else { (i % 251) as f32 - 125.5 }),
    ("subnormal", |i| f32::from_bits(u32::try_from(i % 5000).unwrap_or(0))),
    ("largest", |i| if i.is_multiple_of(3) { f32::MAX } else { f32::MIN }),
];

#[test]
fn every_instruction_set_gives_the_same_bits_for_awkward_rows() {
    let bits = |x: &f32| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() };
    let case = Case { positions: 150, head_dim: 40, v_head_dim: 24, group: 3, ..CASE };
    let lens = [case.group * case.head_dim, case.head_dim, case.v_head_dim];
    let lens = lens.map(|len| len * case.positions);
    for (name, content) in CONTENTS {
        // Awkward queries, keys, values, and all of them; what is left is ordinary.
        for awkward in [[true, false, false], [false, true, false], [false, false, true], [true; 3]]
        {
            let row = |which: usize, seed| -> Vec<f32> {
                let some = (0..lens[which]).map(content).collect();
                if awkward[which] { some } else { noise(seed, lens[which]) }
            };
            let rows = [row(0, 1), row(1, 2), row(2, 3)];
            let rows = [&rows[0][..], &rows[1], &rows[2]];
            for isa in Isa::available().skip(1) {
                let want = run(isa.specification(), &case, 1, 0, rows);
                let want: Vec<_> = want.iter().map(bits).collect();
                let got = run(isa, &case, 50, 0x81, rows);
                let got: Vec<_> = got.iter().map(bits).collect();
                assert!(got == want, "{isa}, {name}, {awkward:?}");
            }
        }
    }
}
