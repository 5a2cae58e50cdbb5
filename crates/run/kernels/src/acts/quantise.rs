//! Quantisation of rows into one tile.
//!
//! The largest magnitude is found among bit patterns, whose integer order is that of magnitudes
//! with NaN on top; so the result does not depend on the order of comparisons, and a NaN is never
//! lost. A quant is at most 127 in magnitude, because the inverse scale is the rounded quotient
//! of 127 and that magnitude.

use core::cmp::Ordering;

use super::{ANCHOR, ActKind, Terms};
use crate::isa::{Kernel, LANES, Simd};

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
                    for first in (0..count).step_by(LANES) {
                        let records = &mut tile[first * record_bytes..];
                        let here = LANES.min(count - first);
                        let records = &mut records[..here * record_bytes];
                        q8(s, &blocks[first.min(blocks.len())..], terms, records, n, t);
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

/// One token of up to sixteen Q8 records, whose scales are computed side by side: they are
/// rounded to halves, the quants are not made with them. Blocks that are missing are zero.
#[inline(always)]
fn q8<S: Simd>(s: S, x: &[[f32; 32]], terms: Terms, records: &mut [u8], n: usize, t: usize) {
    let record_bytes = n * ActKind::Q8(terms).record_bytes();
    let count = records.len() / record_bytes;
    let mut magnitudes = [0; LANES];
    for b in 0..count.min(x.len()) {
        magnitudes[b] = magnitude_of::<S, 2>(s, halves(&x[b]));
    }
    let scale = s.div(s.of_bits(s.load_i(&magnitudes)), s.splat(127.0));
    let inverse = s.div(s.splat(1.0), scale);
    // Infinite for a zero block and where the scale is too small to have an inverse.
    let inverse = s.select_lt(inverse, s.splat(f32::INFINITY), inverse, s.splat(0.0));
    let mut inverses = [0.0; LANES];
    s.store(inverse, &mut inverses);
    let mut sums = [0; LANES];
    for b in 0..count {
        let record = &mut records[b * record_bytes..(b + 1) * record_bytes];
        if b >= x.len() || magnitudes[b] >= INFINITE {
            put(record, 32 * t, [0; 32]);
            continue;
        }
        let x: &[[f32; 16]; 2] = halves(&x[b]);
        let inverse = s.splat(inverses[b]);
        let mut bytes = [[0; 16]; 2];
        let first = round_half_away(s, s.mul(s.load(&x[0]), inverse));
        let second = round_half_away(s, s.mul(s.load(&x[1]), inverse));
        s.store_i8(first, &mut bytes[0]);
        s.store_i8(second, &mut bytes[1]);
        put(record, 32 * t, bytes[0]);
        put(record, 32 * t + 16, bytes[1]);
        sums[b] = s.sum_i(s.add_i(first, second));
    }
    let scales = bits_of(s, as_half(s, scale));
    let terms = match terms {
        Terms::Zero32(zero) => {
            let zeros = s.mul_i(s.load_i(&sums), s.splat_i(i32::from(zero)));
            let mut terms = [0; LANES];
            s.store_i(s.sub_i(s.splat_i(ANCHOR.to_bits().cast_signed()), zeros), &mut terms);
            terms
        }
        Terms::Sum => {
            // llama.cpp keeps this as a half, and it counts: every row's minimum is multiplied by
            // it, so that the rounding shifts all outputs alike (6 × the divergence without it).
            let sum = s.mul(scale, s.to_f(s.load_i(&sums)));
            let half = as_half(s, sum);
            let size = s.of_bits(s.and_i(s.bits(half), s.splat_i(MAGNITUDE)));
            bits_of(s, s.select_lt(size, s.splat(f32::INFINITY), half, sum))
        }
        Terms::Zero16(_) | Terms::Pairs32 | Terms::Pairs16 => {
            unreachable!("blocks of 32 have one scale and one sum")
        }
    };
    for b in 0..count {
        let record = &mut records[b * record_bytes..(b + 1) * record_bytes];
        put(record, 32 * n + 4 * t, scales[b].to_le_bytes());
        put(record, 36 * n + 4 * t, terms[b].to_le_bytes());
    }
}

/// Rounds to a half and back.
#[inline(always)]
fn as_half<S: Simd>(s: S, a: S::F) -> S::F {
    let mut halves = [0; 32];
    s.store_f16(a, &mut halves);
    s.load_f16(&halves)
}

/// The bits of sixteen numbers.
#[inline(always)]
fn bits_of<S: Simd>(s: S, a: S::F) -> [i32; LANES] {
    let mut bits = [0; LANES];
    s.store_i(s.bits(a), &mut bits);
    bits
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
