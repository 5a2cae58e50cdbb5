//! What a core can do at most: reading memory, dot products of bytes, fused products of singles.
//!
//! The rates of kernels mean little without these beside them, taken in the same seconds: memory is
//! shared with other programs and other guests of a host, and processors change their clock. The
//! loops do nothing else; the caller has the clock.

use core::hint::black_box;

use crate::isa::{Isa, Kernel, Simd, UpTo};

/// Tokens of [`dots`]: as many independent sums as hide the latency of two dot products a cycle.
const TOKENS: usize = 12;

/// Reads all of `bytes` once, from front to back, less a tail below 64 bytes.
pub fn read(isa: Isa, bytes: &[u8]) {
    let (chunks, _) = bytes.as_chunks::<64>();
    black_box(isa.run(Read { chunks }));
}

struct Read<'a> {
    chunks: &'a [[u8; 64]],
}

impl Kernel for Read<'_> {
    type Output = [u8; 64];

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> [u8; 64] {
        let mut acc = [simd.splat_b(0); 4];
        let (fours, rest) = self.chunks.as_chunks::<4>();
        for four in fours {
            for i in 0..4 {
                acc[i] = simd.or_b(acc[i], simd.load_b(&four[i]));
            }
        }
        for chunk in rest {
            acc[0] = simd.or_b(acc[0], simd.load_b(chunk));
        }
        let acc = simd.or_b(simd.or_b(acc[0], acc[1]), simd.or_b(acc[2], acc[3]));
        let mut out = [0; 64];
        simd.store_b(acc, &mut out);
        out
    }
}

/// Multiplies 4-bit weights with 8-bit activations in registers, `rounds` times; gives the number of
/// multiplications.
pub fn dots(isa: Isa, rounds: usize) -> u64 {
    black_box(isa.run_dots(Dots { rounds, x: black_box([[1; 32]; TOKENS]) }));
    // 16 lanes of 16 weights each a round, for every token.
    (rounds * 16 * 16 * TOKENS) as u64
}

struct Dots {
    rounds: usize,
    x: [[u8; 32]; TOKENS],
}

impl Kernel for Dots {
    type Output = [i32; 16];

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> [i32; 16] {
        let mut acc = [simd.splat_i(0); TOKENS];
        let w = [simd.splat_b(black_box(3)); 4];
        for round in 0..self.rounds {
            acc = simd.dot16::<TOKENS, UpTo<15>>(acc, w, &self.x, round % 2);
        }
        let mut sum = acc[0];
        for t in 1..TOKENS {
            sum = simd.add_i(sum, acc[t]);
        }
        let mut out = [0; 16];
        simd.store_i(sum, &mut out);
        out
    }
}

/// Sums of [`fmas`]: enough to hide the latency of two vectors a cycle.
const SUMS: usize = 12;

/// Multiplies and adds singles in registers, `rounds` times; gives the number of multiplications.
pub fn fmas(isa: Isa, rounds: usize) -> u64 {
    black_box(isa.run(Fmas { rounds }));
    (rounds * 16 * SUMS) as u64
}

struct Fmas {
    rounds: usize,
}

impl Kernel for Fmas {
    type Output = [f32; 16];

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> [f32; 16] {
        let mut acc = [simd.splat(0.0); SUMS];
        let (a, b) = (simd.splat(black_box(1.0)), simd.splat(black_box(0.5)));
        for _ in 0..self.rounds {
            for sum in &mut acc {
                *sum = simd.fma(*sum, a, b);
            }
        }
        let mut all = acc[0];
        for sum in &acc[1..] {
            all = simd.add(all, *sum);
        }
        let mut out = [0.0; 16];
        simd.store(all, &mut out);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_are_seen_and_all_products_counted() {
        let mut bytes = [0; 64 * 9 + 5];
        bytes[64 * 8 + 63] = 9;
        let (chunks, _) = bytes.as_chunks::<64>();
        for isa in Isa::available() {
            assert_eq!(isa.run(Read { chunks })[63], 9, "{isa}");
            let sums = isa.run_dots(Dots { rounds: 3, x: [[1; 32]; TOKENS] });
            let total: i64 = sums.iter().map(|&sum| i64::from(sum)).sum();
            assert_eq!(u64::try_from(total), Ok(3 * dots(isa, 3)), "{isa}");
            let sums = isa.run(Fmas { rounds: 4 });
            assert_eq!(sums.map(f32::to_bits), [24.0_f32.to_bits(); 16], "{isa}");
            assert_eq!(fmas(isa, 4), 4 * 16 * 12, "{isa}");
        }
    }
}
