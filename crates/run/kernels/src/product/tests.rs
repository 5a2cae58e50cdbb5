//! One table for all products: every instruction set, type, number of tokens, length and height,
//! ordinary and extreme contents, bit for bit against plain loops over the stored blocks; and
//! against double precision within a bound.

use tensor::block;

use super::*;
use crate::{
    acts::{
        ANCHOR, Terms,
        tests::{q8, q8_sum, q8k},
    },
    panel::{self, packed_bytes},
    samples::{Bits, Contents, row, same, token, types},
};

/// A block of 32 as integers: scale, quants less zero point, minimum.
struct Block {
    scale: f32,
    quants: Vec<i32>,
    minimum: Option<f32>,
}

/// A super-block as integers: scales, quants less zero point, minimums.
struct Super {
    scale: f32,
    quants: Vec<i32>,
    scales: Vec<i32>,
    minimums: Option<(f32, Vec<i32>)>,
}

fn ints<const N: usize, T: Into<i32> + Copy>(values: &[T; N]) -> Vec<i32> {
    values.iter().map(|&v| v.into()).collect()
}

fn read_block(ty: BlockType, bytes: &[u8]) -> Block {
    match ty {
        BlockType::Q4_0 => {
            let b = block::Q4_0::read(bytes.try_into().unwrap());
            Block { scale: b.d.to_f32(), quants: ints(&b.quants()), minimum: None }
        }
        BlockType::Q4_1 => {
            let b = block::Q4_1::read(bytes.try_into().unwrap());
            let minimum = Some(b.m.to_f32());
            Block { scale: b.d.to_f32(), quants: ints(&b.quants()), minimum }
        }
        BlockType::Q5_0 => {
            let b = block::Q5_0::read(bytes.try_into().unwrap());
            Block { scale: b.d.to_f32(), quants: ints(&b.quants()), minimum: None }
        }
        BlockType::Q5_1 => {
            let b = block::Q5_1::read(bytes.try_into().unwrap());
            let minimum = Some(b.m.to_f32());
            Block { scale: b.d.to_f32(), quants: ints(&b.quants()), minimum }
        }
        BlockType::Q8_0 => {
            let b = block::Q8_0::read(bytes.try_into().unwrap());
            Block { scale: b.d.to_f32(), quants: ints(&b.quants()), minimum: None }
        }
        BlockType::IQ4_NL => {
            let b = block::IQ4_NL::read(bytes.try_into().unwrap());
            Block { scale: b.d.to_f32(), quants: ints(&b.quants()), minimum: None }
        }
        BlockType::MXFP4 => {
            let b = block::MXFP4::read(bytes.try_into().unwrap());
            Block { scale: b.scale(), quants: ints(&b.quants()), minimum: None }
        }
        _ => panic!("{ty} has super-blocks"),
    }
}

fn read_super(ty: BlockType, bytes: &[u8]) -> Super {
    match ty {
        BlockType::Q2_K => {
            let b = block::Q2_K::read(bytes.try_into().unwrap());
            Super {
                scale: b.d.to_f32(),
                quants: ints(&b.quants()),
                scales: b.scales.iter().map(|s| i32::from(s & 15)).collect(),
                minimums: Some((
                    b.dmin.to_f32(),
                    b.scales.iter().map(|s| i32::from(s >> 4)).collect(),
                )),
            }
        }
        BlockType::Q3_K => {
            let b = block::Q3_K::read(bytes.try_into().unwrap());
            let scales = b.scales.iter().map(|&s| i32::from(s) - 32).collect();
            Super { scale: b.d.to_f32(), quants: ints(&b.quants()), scales, minimums: None }
        }
        BlockType::Q4_K => {
            let b = block::Q4_K::read(bytes.try_into().unwrap());
            Super {
                scale: b.d.to_f32(),
                quants: ints(&b.quants()),
                scales: ints(&b.scales),
                minimums: Some((b.dmin.to_f32(), ints(&b.mins))),
            }
        }
        BlockType::Q5_K => {
            let b = block::Q5_K::read(bytes.try_into().unwrap());
            Super {
                scale: b.d.to_f32(),
                quants: ints(&b.quants()),
                scales: ints(&b.scales),
                minimums: Some((b.dmin.to_f32(), ints(&b.mins))),
            }
        }
        BlockType::Q6_K => {
            let b = block::Q6_K::read(bytes.try_into().unwrap());
            let scales = b.scales.iter().map(|s| i32::from(s.cast_signed())).collect();
            Super { scale: b.d.to_f32(), quants: ints(&b.quants()), scales, minimums: None }
        }
        BlockType::IQ4_XS => {
            let b = block::IQ4_XS::read(bytes.try_into().unwrap());
            let scales = b.scales.iter().map(|&s| i32::from(s) - 32).collect();
            Super { scale: b.d.to_f32(), quants: ints(&b.quants()), scales, minimums: None }
        }
        _ => panic!("{ty} has blocks of 32"),
    }
}

fn dot(a: &[i32], b: &[i32]) -> i32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// A token's blocks as scales and quants, as its kind says; none for plain numbers.
fn quantised(ty: TensorType, x: &[f32]) -> Vec<(f32, Vec<i32>)> {
    match ActKind::of(ty).unwrap() {
        ActKind::F32 => Vec::new(),
        ActKind::Q8(_) => x.chunks(32).map(q8).collect(),
        ActKind::Q8K(_) => x.chunks(256).map(q8k).collect(),
    }
}

/// The product of one stored row and one token, as the module's head defines it.
fn reference(ty: TensorType, row: &[u8], x: &[f32], blocks: &[(f32, Vec<i32>)]) -> f32 {
    let mut f = 0.0f32;
    match ty {
        TensorType::Plain(_) => {
            let mut weights = vec![0.0; x.len()];
            tensor::decode_row(ty, row, &mut weights);
            for (w, x) in weights.iter().zip(x) {
                f = w.mul_add(*x, f);
            }
        }
        TensorType::Block(block) if block.elements() == 32 => {
            let bytes = usize::try_from(block.bytes()).unwrap();
            for ((stored, seen), (x_scale, x)) in row.chunks(bytes).zip(x.chunks(32)).zip(blocks) {
                let w = read_block(block, stored);
                let dot = dot(&w.quants, x) as f32 + ANCHOR;
                f = dot.mul_add(w.scale, -ANCHOR * w.scale).mul_add(*x_scale, f);
                if let Some(minimum) = w.minimum {
                    f = minimum.mul_add(q8_sum(seen), f);
                }
            }
        }
        TensorType::Block(block) => {
            let bytes = usize::try_from(block.bytes()).unwrap();
            for (stored, (x_scale, x)) in row.chunks(bytes).zip(blocks) {
                let w = read_super(block, stored);
                let sub = 256 / w.scales.len();
                let subs = || w.quants.chunks(sub).zip(x.chunks(sub));
                let g: i32 = subs().zip(&w.scales).map(|((w, x), scale)| dot(w, x) * scale).sum();
                let g = g as f32;
                if let Some((min_scale, minimums)) = &w.minimums {
                    let sums = subs().map(|(_, x)| x.iter().sum::<i32>());
                    let n: i32 = minimums.iter().zip(sums).map(|(m, sum)| m * sum).sum();
                    let product = (-(n as f32)).mul_add(*min_scale, g * w.scale);
                    f = product.mul_add(*x_scale, f);
                } else {
                    f = g.mul_add(w.scale * x_scale, f);
                }
            }
        }
    }
    f
}

/// A matrix of stored rows, packed.
struct Matrix {
    ty: TensorType,
    k: usize,
    rows: Vec<Vec<u8>>,
    packed: Vec<u8>,
}

impl Matrix {
    fn new(ty: TensorType, rows: usize, k: usize, contents: Contents, bits: &mut Bits) -> Self {
        let rows: Vec<Vec<u8>> = (0..rows).map(|_| row(ty, k, contents, bits)).collect();
        let mut packed = vec![0; packed_bytes(ty, rows.len(), k).unwrap()];
        let bytes = panel_bytes(ty, k).unwrap();
        for (rows, panel) in rows.chunks(LANES).zip(packed.chunks_mut(bytes)) {
            let rows: Vec<&[u8]> = rows.iter().map(Vec::as_slice).collect();
            panel::pack(ty, k, &rows, panel);
        }
        Self { ty, k, rows, packed }
    }

    fn panels(&self) -> Panels<'_> {
        Panels::new(self.ty, self.rows.len(), self.k, &self.packed)
    }

    /// `[tokens][rows]` by plain loops.
    fn reference(&self, x: &[f32]) -> Vec<f32> {
        let tokens = x.chunks(self.k);
        tokens
            .flat_map(|x| {
                let blocks = quantised(self.ty, x);
                self.rows.iter().map(move |row| reference(self.ty, row, x, &blocks))
            })
            .collect()
    }
}

/// Runs the product of all panels on one instruction set.
fn run(isa: Isa, weights: &Panels<'_>, x: &[f32]) -> Vec<f32> {
    let kind = ActKind::of(weights.ty()).unwrap();
    let tokens = x.len() / weights.k();
    let mut bytes = vec![0; kind.bytes(weights.k(), tokens)];
    let acts = Acts::quantise(isa, kind, weights.k(), x, &mut bytes);
    let mut out = vec![f32::NAN; tokens * weights.rows()];
    product(weights, 0..weights.count(), &acts, &mut out, weights.rows());
    out
}

/// Compares all sets and numbers of tokens with the reference.
fn check(ty: TensorType, k: usize, rows: usize, contents: Contents, bits: &mut Bits) {
    let matrix = Matrix::new(ty, rows, k, contents, bits);
    let x: Vec<f32> = (0..8).flat_map(|_| token(k, contents, bits)).collect();
    let fused = matrix.reference(&x);
    for isa in Isa::available() {
        let other = isa.specification();
        let unfused = (other != Isa::SCALAR).then(|| run(other, &matrix.panels(), &x));
        let want = unfused.as_ref().unwrap_or(&fused);
        for tokens in 1..=8 {
            let got = run(isa, &matrix.panels(), &x[..tokens * k]);
            for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
                assert!(
                    same(got, want),
                    "{isa} {ty} k {k} rows {rows} tokens {tokens} {contents:?}: token {} row {}: \
                     {got:e} is not {want:e}",
                    i / rows,
                    i % rows
                );
            }
        }
    }
}

#[test]
fn every_set_gives_the_bits_of_plain_loops() {
    let mut bits = Bits(1);
    for ty in types() {
        let (unit, odd) = match ty.block_elements() {
            256 => (256, 768),
            32 => (32, 896),
            _ => (1, 35),
        };
        for k in [unit, 2 * unit, odd, 2048] {
            for rows in [1, 16, 40] {
                check(ty, k, rows, Contents::Ordinary, &mut bits);
            }
        }
    }
}

#[test]
fn extremes_neither_saturate_nor_differ() {
    let mut bits = Bits(2);
    for ty in types() {
        for _ in 0..3 {
            check(ty, 512, 40, Contents::Ends, &mut bits);
            check(ty, 1024, 16, Contents::Scales, &mut bits);
        }
    }
}

#[test]
fn many_tokens_and_ranges_of_panels_give_the_same_bits() {
    let mut bits = Bits(4);
    for ty in types() {
        // Two slices of k, the second cut short; two groups of tokens, some left over.
        let (k, rows, tokens) = (1280, 70, 277);
        let matrix = Matrix::new(ty, rows, k, Contents::Ordinary, &mut bits);
        let x: Vec<f32> =
            (0..tokens).flat_map(|_| token(k, Contents::Ordinary, &mut bits)).collect();
        let fused = matrix.reference(&x);
        let weights = matrix.panels();
        for isa in Isa::available() {
            let other = isa.specification();
            let unfused = (other != Isa::SCALAR).then(|| run(other, &weights, &x));
            let want = unfused.as_ref().unwrap_or(&fused);
            assert_eq!(&run(isa, &weights, &x), want, "{isa} {ty}");
            let kind = ActKind::of(ty).unwrap();
            let mut bytes = vec![0; kind.bytes(k, tokens)];
            let acts = Acts::quantise(isa, kind, k, &x, &mut bytes);
            for (panels, height) in [(1..3, 32), (3..5, 22), (2..2, 0)] {
                let first = 16 * panels.start;
                let mut out = vec![0.0; tokens * 33];
                product(&weights, panels, &acts, &mut out, 33);
                for (t, out) in out.chunks(33).enumerate() {
                    assert_eq!(out[..height], want[t * rows + first..][..height], "{isa} {ty}");
                }
            }
        }
    }
}

#[test]
fn a_gated_product_is_the_gate_of_two() {
    let mut bits = Bits(8);
    for ty in types() {
        let (k, rows, tokens) = (1280, 40, 29);
        let [gate, up] = [(); 2].map(|()| Matrix::new(ty, rows, k, Contents::Ordinary, &mut bits));
        let x: Vec<f32> =
            (0..tokens).flat_map(|_| token(k, Contents::Ordinary, &mut bits)).collect();
        let both = [gate.panels(), up.panels()];
        for isa in Isa::available() {
            let [mut want, ups] = [run(isa, &both[0], &x), run(isa, &both[1], &x)];
            elementwise::gate(isa, Activation::Silu, &mut want, &ups);
            let kind = ActKind::of(ty).unwrap();
            let mut bytes = vec![0; kind.bytes(k, tokens)];
            let acts = Acts::quantise(isa, kind, k, &x, &mut bytes);
            let mut got = vec![0.0; tokens * rows];
            // Two ranges of panels, as two threads would take.
            for panels in [0..1, 1..3] {
                product_gated(&both, Activation::Silu, panels, &acts, |token, row, values| {
                    got[token * rows + row..][..values.len()].copy_from_slice(values);
                });
            }
            let same = got.iter().zip(&want).all(|(&got, &want)| same(got, want));
            assert!(same, "{isa} {ty}");
        }
    }
}

/// Single precision sums of a few hundred scaled integers stay within this share of the sum of
/// their magnitudes; plain numbers add 2048 terms.
const ROUNDING: f64 = 2e-6;

#[test]
fn products_are_close_to_double_precision() {
    let mut bits = Bits(6);
    for ty in types() {
        let k = 2048;
        let matrix = Matrix::new(ty, 16, k, Contents::Ordinary, &mut bits);
        let x = token(k, Contents::Ordinary, &mut bits);
        // The tokens as the product sees them.
        let blocks = quantised(ty, &x);
        let mut seen: Vec<f64> = blocks.into_iter().flat_map(scaled).collect();
        if seen.is_empty() {
            seen = x.iter().map(|&x| f64::from(x)).collect();
        }
        let got = run(Isa::detect(), &matrix.panels(), &x);
        for (row, got) in matrix.rows.iter().zip(got) {
            let mut weights = vec![0.0; k];
            tensor::decode_row(ty, row, &mut weights);
            let terms = weights.iter().zip(&seen).map(|(&w, x)| f64::from(w) * x);
            let (sum, size) = terms.fold((0.0, 0.0), |(s, m), t| (s + t, m + t.abs()));
            let error = (f64::from(got) - sum).abs() / size;
            // Minimums see sums of tokens that were rounded to halves.
            let halves = ActKind::of(ty) == Some(ActKind::Q8(Terms::Sum));
            let rounding = if halves { ROUNDING + 1.0 / 2048.0 } else { ROUNDING };
            assert!(error < rounding, "{ty}: {got} is not {sum}, off by {error:e} of {size}");
        }
    }
}

fn scaled((scale, quants): (f32, Vec<i32>)) -> Vec<f64> {
    quants.into_iter().map(|q| f64::from(scale) * f64::from(q)).collect()
}
