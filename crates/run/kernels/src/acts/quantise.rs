//! Quantisation of rows into one tile.
//!
//! The largest magnitude is found among bit patterns, whose integer order is that of magnitudes
//! with NaN on top; so the result does not depend on the order of comparisons, and a NaN is never
//! lost. A quant is at most 127 in magnitude, because the inverse scale is the rounded quotient
//! of 127 and that magnitude.

use core::cmp::Ordering;

use tensor::F16;

use super::{ANCHOR, ActKind, Terms};
use crate::isa::{Kernel, Simd};

/// The bits of a float without its sign.
const MAGNITUDE: i32 = 0x7fff_ffff;

/// The bits of infinity: from here on magnitudes are infinite or NaN.
const INFINITE: i32 = 0x7f80_0000;

/// Quantises `x`: `[width, k] f32` into a tile.
pub(super) struct Rows<'a> {
    pub kind: ActKind,
    pub k: usize,
    pub x: &'a [f32],
    pub tile: &'a mut [u8],
}

impl Kernel for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { kind, k, x, tile } = self;
        let n = x.len() / k;
        let record_bytes = n * kind.record_bytes();
        for t in 0..n {
            let row = &x[t * k..(t + 1) * k];
            let count = tile.len() / record_bytes;
            match kind {
                ActKind::F32 => {
                    for i in 0..count {
                        let x = if i < k { row[i] } else { 0.0 };
                        put(tile, 4 * (n * i + t), x.to_le_bytes());
                    }
                }
                ActKind::Q8(terms) => {
                    let (blocks, _) = row.as_chunks();
                    for i in 0..count {
                        let block = if i < blocks.len() { &blocks[i] } else { &[0.0; 32] };
                        let record = &mut tile[i * record_bytes..(i + 1) * record_bytes];
                        q8(s, block, terms, record, n, t);
                    }
                }
                ActKind::Q8K(terms) => {
                    let (blocks, _) = row.as_chunks();
                    for i in 0..count {
                        let record = &mut tile[i * record_bytes..(i + 1) * record_bytes];
                        q8k(s, &blocks[i], terms, record, n, t);
                    }
                }
            }
        }
    }
}

/// Writes a few bytes.
#[inline(always)]
fn put<const N: usize>(record: &mut [u8], at: usize, bytes: [u8; N]) {
    *record[at..].first_chunk_mut().expect("a record holds what is written") = bytes;
}

/// Rounds to the nearest integer, halves away from zero, for magnitudes below 2²².
#[inline(always)]
fn round_half_away<S: Simd>(s: S, a: S::F) -> S::I {
    // The largest number below one half: with one half itself, the number before 0.5 would
    // round up in the addition.
    let half = s.bits(s.splat(0.499_999_97));
    let sign = s.and_i(s.bits(a), s.splat_i(i32::MIN));
    s.trunc_to_i(s.add(a, s.of_bits(s.or_i(half, sign))))
}

/// Bits of the largest magnitude.
#[inline(always)]
fn magnitude_of<S: Simd, const CHUNKS: usize>(s: S, x: &[[f32; 16]; CHUNKS]) -> i32 {
    let mut largest = s.splat_i(0);
    for c in 0..CHUNKS {
        let chunk = &x[c];
        largest = s.max_i(largest, s.and_i(s.bits(s.load(chunk)), s.splat_i(MAGNITUDE)));
    }
    s.max_lane_i(largest)
}

/// One token of a Q8 record: the scale is rounded to a half, the quants are not made with it.
#[inline(always)]
fn q8<S: Simd>(s: S, x: &[f32; 32], terms: Terms, record: &mut [u8], n: usize, t: usize) {
    let x: &[[f32; 16]; 2] = halves(x);
    let magnitude = magnitude_of(s, x);
    let scale = f32::from_bits(magnitude.cast_unsigned()) / 127.0;
    let inverse = 1.0 / scale;
    // Infinite for a zero block and where the scale is too small to have an inverse.
    let inverse = if magnitude < INFINITE && inverse < f32::INFINITY { inverse } else { 0.0 };
    let mut sums = s.splat_i(0);
    for half in 0..2 {
        let quants = if magnitude < INFINITE {
            round_half_away(s, s.mul(s.load(&x[half]), s.splat(inverse)))
        } else {
            s.splat_i(0)
        };
        let mut bytes = [0; 16];
        s.store_i8(quants, &mut bytes);
        put(record, 32 * t + 16 * half, bytes);
        sums = s.add_i(sums, quants);
    }
    let sum = s.sum_i(sums);
    let exact_scale = scale;
    let scale = F16::from_f32(scale).to_f32();
    put(record, 32 * n + 4 * t, scale.to_le_bytes());
    let term = match terms {
        Terms::Zero32(zero) => {
            (ANCHOR.to_bits().cast_signed() - i32::from(zero) * sum).to_le_bytes()
        }
        Terms::Sum => {
            // llama.cpp keeps this as a half, and it counts: every row's minimum is multiplied by
            // it, so that the rounding shifts all outputs alike (6 × the divergence without it).
            let sum = exact_scale * sum as f32;
            let half = F16::from_f32(sum).to_f32();
            (if half.is_finite() { half } else { sum }).to_le_bytes()
        }
        Terms::Zero16(_) | Terms::Pairs32 | Terms::Pairs16 => {
            unreachable!("blocks of 32 have one scale and one sum")
        }
    };
    put(record, 36 * n + 4 * t, term);
}

/// One token of a Q8K record: the value of largest magnitude, the first of equals, becomes −127.
#[inline(always)]
fn q8k<S: Simd>(s: S, x: &[f32; 256], terms: Terms, record: &mut [u8], n: usize, t: usize) {
    let chunks: &[[f32; 16]; 16] = halves(x);
    // Largest bit patterns among the numbers and among the numbers negated.
    let (mut above, mut below) = (s.splat_i(0), s.splat_i(0));
    for c in 0..16 {
        let bits = s.bits(s.load(&chunks[c]));
        above = s.max_i(above, bits);
        below = s.max_i(below, s.add_i(bits, s.splat_i(i32::MIN)));
    }
    let (above, below) = (s.max_lane_i(above), s.max_lane_i(below));
    let magnitude = f32::from_bits(above.max(below).cast_unsigned());
    let extreme = match above.cmp(&below) {
        Ordering::Greater => magnitude,
        Ordering::Less => -magnitude,
        Ordering::Equal => {
            let first = x.iter().find(|v| v.abs().to_bits() == magnitude.to_bits());
            first.copied().unwrap_or(magnitude)
        }
    };
    let inverse = -127.0 / extreme;
    let usable = inverse.is_finite() && magnitude < f32::INFINITY;
    let scale = if usable {
        1.0 / inverse
    } else if magnitude < f32::INFINITY {
        0.0
    } else {
        magnitude
    };
    let mut sums = [0; 16];
    let mut magnitudes = [0; 16];
    for c in 0..16 {
        let quants = if usable {
            s.round_to_i(s.mul(s.load(&chunks[c]), s.splat(inverse)))
        } else {
            s.splat_i(0)
        };
        let mut bytes = [0; 16];
        s.store_i8(quants, &mut bytes);
        put(record, (c / 2 * n + t) * 32 + c % 2 * 16, bytes);
        // Two sums at once: magnitudes in the upper half, in the lower one quants above −128.
        let magnitude = s.max_i(quants, s.sub_i(s.splat_i(0), quants));
        let both = s.add_i(s.shl_i(magnitude, 16), s.add_i(quants, s.splat_i(128)));
        let both = s.sum_i(both);
        sums[c] = (both & 0xffff) - 16 * 128;
        magnitudes[c] = both >> 16;
    }
    put(record, 256 * n + 4 * t, scale.to_le_bytes());
    let at = 260 * n + 4 * t;
    match terms {
        Terms::Zero16(zero) => {
            for j in 0..16 {
                put(record, at + 4 * n * j, (-i32::from(zero) * sums[j]).to_le_bytes());
            }
            let mut peak = 0;
            for j in 0..16 {
                peak = peak.max(magnitudes[j]);
            }
            put(record, at + 4 * n * 16, peak.to_le_bytes());
        }
        Terms::Zero32(zero) => {
            for j in 0..8 {
                let sum = sums[2 * j] + sums[2 * j + 1];
                put(record, at + 4 * n * j, (-i32::from(zero) * sum).to_le_bytes());
            }
        }
        Terms::Pairs16 => {
            for j in 0..8 {
                put(record, at + 4 * n * j, pair(sums[2 * j], sums[2 * j + 1]));
            }
        }
        Terms::Pairs32 => {
            for j in 0..4 {
                let sums = &sums[4 * j..4 * j + 4];
                put(record, at + 4 * n * j, pair(sums[0] + sums[1], sums[2] + sums[3]));
            }
            let mut peak = 0;
            for j in 0..8 {
                let sum = sums[2 * j] + sums[2 * j + 1];
                let magnitude = magnitudes[2 * j] + magnitudes[2 * j + 1];
                // Of positive and of negative quants, the larger sum.
                peak = peak.max(i32::midpoint(magnitude, sum.abs()));
            }
            put(record, at + 4 * n * 4, peak.to_le_bytes());
        }
        Terms::Sum => unreachable!("blocks of 256 have integer minimums"),
    }
}

/// Two sums of at most 32 · 127 in magnitude as 16-bit integers.
#[inline(always)]
fn pair(first: i32, second: i32) -> [u8; 4] {
    ((first & 0xffff) | (second << 16)).to_le_bytes()
}

/// A block as registers of sixteen.
#[inline(always)]
fn halves<const N: usize, const CHUNKS: usize>(x: &[f32; N]) -> &[[f32; 16]; CHUNKS] {
    x.as_chunks().0.first_chunk().expect("the block is sixteen times as long as the result")
}
