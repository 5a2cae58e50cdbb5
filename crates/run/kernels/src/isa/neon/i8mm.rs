//! NEON with the 8-bit matrix product: `usmmla` takes two rows and two tokens, eight deep.
//!
//! Two chunks of weights, zipped, give the rows' operands; two tokens' bytes, zipped, the other.
//! The result is two by two, so sums over 16 or 32 elements are kept apart and join the tokens'
//! sums by two unzips. Single tokens take the dot product. No stable intrinsic exists.
#![expect(clippy::multiple_unsafe_ops_per_block, reason = "one token proves them all")]

use core::arch::{aarch64::*, asm};

use super::{
    super::{Bound, Kernel, extends::Extends},
    B, I, NeonDot,
};

/// Proof that this processor has the 8-bit matrix product besides what [`NeonDot`] proves.
#[derive(Clone, Copy, Debug)]
pub struct NeonI8mm(NeonDot);

impl NeonI8mm {
    /// The token, if the processor (without `std`: the build's target) has the features.
    pub fn detect() -> Option<Self> {
        #[cfg(feature = "std")]
        let has = std::arch::is_aarch64_feature_detected!("i8mm");
        #[cfg(not(feature = "std"))]
        let has = cfg!(target_feature = "i8mm");
        if has { NeonDot::detect().map(Self) } else { None }
    }

    /// Runs `kernel` compiled with the set's features.
    #[inline]
    pub fn enter<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: `self` exists, so `detect` saw every feature that `trampoline` enables.
        unsafe { trampoline(self, kernel) }
    }
}

/// Gives the body of `kernel` the set's features.
#[target_feature(enable = "neon,dotprod,i8mm")]
fn trampoline<K: Kernel>(token: NeonI8mm, kernel: K) -> K::Output {
    kernel.run(token)
}

impl Extends for NeonI8mm {
    type Base = NeonDot;

    const TILE: usize = 4;
    const PAIRED: bool = false;

    #[inline(always)]
    fn base(self) -> NeonDot {
        self.0
    }

    #[inline(always)]
    fn dot16<const N: usize, R: Bound>(
        self,
        mut acc: [I; N],
        w: [B; 4],
        x: &[[u8; 32]; N],
        half: usize,
    ) -> [I; N] {
        for t in (0..N).step_by(2) {
            // SAFETY: the token proves the matrix product.
            unsafe {
                let (one, two) = (operand(&x[t], half), operand(&x[(t + 1) % N], half));
                for quarter in 0..4 {
                    let mut pairs = [vdupq_n_s32(0); 2];
                    pairs = matrix(pairs, &w, quarter, one, two);
                    add(&mut acc, t, quarter, pairs);
                }
            }
        }
        acc
    }

    #[inline(always)]
    fn dot32<const N: usize, R: Bound>(
        self,
        mut acc: [I; N],
        first: [B; 4],
        second: [B; 4],
        x: &[[u8; 32]; N],
    ) -> [I; N] {
        for t in (0..N).step_by(2) {
            // SAFETY: the token proves the matrix product.
            unsafe {
                let (one, two) = (operand(&x[t], 0), operand(&x[(t + 1) % N], 0));
                let (three, four) = (operand(&x[t], 1), operand(&x[(t + 1) % N], 1));
                for quarter in 0..4 {
                    let mut pairs = [vdupq_n_s32(0); 2];
                    pairs = matrix(pairs, &first, quarter, one, two);
                    pairs = matrix(pairs, &second, quarter, three, four);
                    add(&mut acc, t, quarter, pairs);
                }
            }
        }
        acc
    }
}

/// Half of a token's block.
#[inline]
#[target_feature(enable = "neon")]
fn operand(x: &[u8; 32], half: usize) -> uint64x2_t {
    // SAFETY: 16 bytes from 0 or 16 on lie within the 32.
    vreinterpretq_u64_u8(unsafe { vld1q_u8(x[16 * half..16 * half + 16].as_ptr()) })
}

/// Sixteen elements of four rows times two tokens: rows 0 and 1, then rows 2 and 3.
#[inline]
#[target_feature(enable = "neon,i8mm")]
fn matrix(
    pairs: [int32x4_t; 2],
    w: &[B; 4],
    quarter: usize,
    one: uint64x2_t,
    two: uint64x2_t,
) -> [int32x4_t; 2] {
    let w = [
        vreinterpretq_u32_u8(w[0][quarter]),
        vreinterpretq_u32_u8(w[1][quarter]),
        vreinterpretq_u32_u8(w[2][quarter]),
        vreinterpretq_u32_u8(w[3][quarter]),
    ];
    let (low, high) = (vzip1q_u64(one, two), vzip2q_u64(one, two));
    [
        usmmla(usmmla(pairs[0], vzip1q_u32(w[0], w[1]), low), vzip1q_u32(w[2], w[3]), high),
        usmmla(usmmla(pairs[1], vzip2q_u32(w[0], w[1]), low), vzip2q_u32(w[2], w[3]), high),
    ]
}

/// Adds the two-by-two sums to those of tokens `t` and, if there is one, `t + 1`.
#[inline]
#[target_feature(enable = "neon")]
fn add<const N: usize>(acc: &mut [I; N], t: usize, quarter: usize, pairs: [int32x4_t; 2]) {
    acc[t][quarter] = vaddq_s32(acc[t][quarter], vuzp1q_s32(pairs[0], pairs[1]));
    if t + 1 < N {
        acc[t + 1][quarter] = vaddq_s32(acc[t + 1][quarter], vuzp2q_s32(pairs[0], pairs[1]));
    }
}

/// Adds two rows of eight unsigned bytes times two columns of eight signed bytes.
#[inline]
#[target_feature(enable = "neon,i8mm")]
fn usmmla(mut acc: int32x4_t, rows: uint32x4_t, columns: uint64x2_t) -> int32x4_t {
    // SAFETY: one arithmetic instruction on registers; the function's features include it.
    unsafe {
        asm!(
            "usmmla {acc:v}.4s, {rows:v}.16b, {columns:v}.16b",
            acc = inout(vreg) acc,
            rows = in(vreg) rows,
            columns = in(vreg) columns,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    acc
}
