//! NEON with the dot-product instructions: a register is four q registers of four lanes.
//!
//! `sdot` multiplies signed bytes and picks one of four groups of activations out of a register,
//! so that a token's 16 activations are loaded once. Weights above 127 are centered to signed
//! bytes. The standard library has no stable `sdot`; it is one line of assembler here.
#![expect(unsafe_code, reason = "intrinsics; the token proves that the processor has them")]
// Clippy does not report this in tests.
#![cfg_attr(not(test), expect(clippy::wildcard_imports, reason = "sixty prefixed intrinsics"))]
#![expect(clippy::cast_possible_truncation, reason = "shift counts are below 8")]

use core::arch::{aarch64::*, asm};

use super::{Bound, Kernel, Simd};

mod i8mm;

pub use i8mm::NeonI8mm;

/// Proof that this processor has NEON with the dot-product instructions.
#[derive(Clone, Copy, Debug)]
pub struct NeonDot(());

impl NeonDot {
    /// The token, if the processor (without `std`: the build's target) has the features.
    pub fn detect() -> Option<Self> {
        #[cfg(feature = "std")]
        let has = std::arch::is_aarch64_feature_detected!("neon")
            && std::arch::is_aarch64_feature_detected!("dotprod");
        #[cfg(not(feature = "std"))]
        let has = cfg!(all(target_feature = "neon", target_feature = "dotprod"));
        has.then_some(Self(()))
    }

    /// Runs `kernel` compiled with the set's features.
    #[inline]
    pub fn enter<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: `self` exists, so `detect` saw every feature that `trampoline` enables.
        unsafe { trampoline(self, kernel) }
    }
}

/// Gives the body of `kernel` the set's features.
#[target_feature(enable = "neon,dotprod")]
fn trampoline<K: Kernel>(token: NeonDot, kernel: K) -> K::Output {
    kernel.run(token)
}

/// Four quarters of floats, lanes 0 to 3 first.
type F = [float32x4_t; 4];
/// Four quarters of integers.
type I = [int32x4_t; 4];
/// Four quarters of bytes.
type B = [uint8x16_t; 4];

/// Stamps methods of [`Simd`] whose body is a few intrinsics.
macro_rules! ops {
    ($(fn $name:ident($($arg:ident: $ty:ty),*) -> $out:ty { $value:expr })*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: $ty),*) -> $out {
            // SAFETY: the token exists, so detection saw every feature that this needs; loads and
            // stores stay within the arrays, whose sizes are their types.
            unsafe { $value }
        }
    )*};
}

impl Simd for NeonDot {
    type F = F;
    type I = I;
    type B = B;

    const TILE: usize = 4;
    const PAIRED: bool = false;
    const ROWS: usize = 6;
    const CENTERED: bool = true;

    ops! {
        fn splat(value: f32) -> F { [vdupq_n_f32(value); 4] }
        fn load(from: &[f32; 16]) -> F {
            [
                vld1q_f32(from.as_ptr()),
                vld1q_f32(from[4..].as_ptr()),
                vld1q_f32(from[8..].as_ptr()),
                vld1q_f32(from[12..].as_ptr()),
            ]
        }
        fn store(a: F, to: &mut [f32; 16]) -> () {
            {
                vst1q_f32(to.as_mut_ptr(), a[0]);
                vst1q_f32(to[4..].as_mut_ptr(), a[1]);
                vst1q_f32(to[8..].as_mut_ptr(), a[2]);
                vst1q_f32(to[12..].as_mut_ptr(), a[3]);
            }
        }
        fn load_f16(from: &[u8; 32]) -> F {
            [
                half_to_f32(vld1_u8(from.as_ptr())),
                half_to_f32(vld1_u8(from[8..].as_ptr())),
                half_to_f32(vld1_u8(from[16..].as_ptr())),
                half_to_f32(vld1_u8(from[24..].as_ptr())),
            ]
        }
        fn load_bf16(from: &[u8; 32]) -> F {
            [
                bf16_to_f32(vld1_u8(from.as_ptr())),
                bf16_to_f32(vld1_u8(from[8..].as_ptr())),
                bf16_to_f32(vld1_u8(from[16..].as_ptr())),
                bf16_to_f32(vld1_u8(from[24..].as_ptr())),
            ]
        }
        fn store_f16(a: F, to: &mut [u8; 32]) -> () {
            {
                vst1_u8(to.as_mut_ptr(), f32_to_half(a[0]));
                vst1_u8(to[8..].as_mut_ptr(), f32_to_half(a[1]));
                vst1_u8(to[16..].as_mut_ptr(), f32_to_half(a[2]));
                vst1_u8(to[24..].as_mut_ptr(), f32_to_half(a[3]));
            }
        }
        fn add(a: F, b: F) -> F { each!(vaddq_f32, a, b) }
        fn sub(a: F, b: F) -> F { each!(vsubq_f32, a, b) }
        fn mul(a: F, b: F) -> F { each!(vmulq_f32, a, b) }
        fn div(a: F, b: F) -> F { each!(vdivq_f32, a, b) }
        fn fma(a: F, b: F, c: F) -> F { each!(vfmaq_f32, c, a, b) }
        fn fnma(a: F, b: F, c: F) -> F { each!(vfmsq_f32, c, a, b) }
        fn max(a: F, b: F) -> F { each!(vbslq_f32, each!(vcgtq_f32, a, b), a, b) }
        fn min(a: F, b: F) -> F { each!(vbslq_f32, each!(vcltq_f32, a, b), a, b) }
        fn sqrt(a: F) -> F { each!(vsqrtq_f32, a) }
        fn select_lt(a: F, b: F, x: F, y: F) -> F {
            each!(vbslq_f32, each!(vcltq_f32, a, b), x, y)
        }
        fn round_to_i(a: F) -> I { each!(vcvtnq_s32_f32, a) }
        fn trunc_to_i(a: F) -> I { each!(vcvtq_s32_f32, a) }
        fn to_f(a: I) -> F { each!(vcvtq_f32_s32, a) }
        fn bits(a: F) -> I { each!(vreinterpretq_s32_f32, a) }
        fn of_bits(a: I) -> F { each!(vreinterpretq_f32_s32, a) }

        fn splat_i(value: i32) -> I { [vdupq_n_s32(value); 4] }
        fn load_i(from: &[i32; 16]) -> I {
            [
                vld1q_s32(from.as_ptr()),
                vld1q_s32(from[4..].as_ptr()),
                vld1q_s32(from[8..].as_ptr()),
                vld1q_s32(from[12..].as_ptr()),
            ]
        }
        fn store_i(a: I, to: &mut [i32; 16]) -> () {
            {
                vst1q_s32(to.as_mut_ptr(), a[0]);
                vst1q_s32(to[4..].as_mut_ptr(), a[1]);
                vst1q_s32(to[8..].as_mut_ptr(), a[2]);
                vst1q_s32(to[12..].as_mut_ptr(), a[3]);
            }
        }
        fn load_i8(from: &[u8; 16]) -> I {
            {
                let bytes = vreinterpretq_s8_u8(vld1q_u8(from.as_ptr()));
                let (low, high) = (vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes));
                [
                    vmovl_s16(vget_low_s16(low)),
                    vmovl_high_s16(low),
                    vmovl_s16(vget_low_s16(high)),
                    vmovl_high_s16(high),
                ]
            }
        }
        fn load_u8(from: &[u8; 16]) -> I {
            {
                let bytes = vld1q_u8(from.as_ptr());
                let (low, high) = (vmovl_u8(vget_low_u8(bytes)), vmovl_high_u8(bytes));
                [
                    vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(low))),
                    vreinterpretq_s32_u32(vmovl_high_u16(low)),
                    vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(high))),
                    vreinterpretq_s32_u32(vmovl_high_u16(high)),
                ]
            }
        }
        fn store_i8(a: I, to: &mut [u8; 16]) -> () {
            {
                let low = vmovn_high_s32(vmovn_s32(a[0]), a[1]);
                let high = vmovn_high_s32(vmovn_s32(a[2]), a[3]);
                let bytes = vmovn_high_s16(vmovn_s16(low), high);
                vst1q_u8(to.as_mut_ptr(), vreinterpretq_u8_s8(bytes));
            }
        }
        fn add_i(a: I, b: I) -> I { each!(vaddq_s32, a, b) }
        fn sub_i(a: I, b: I) -> I { each!(vsubq_s32, a, b) }
        fn mul_i(a: I, b: I) -> I { each!(vmulq_s32, a, b) }
        fn fold(acc: I, a: I, b: I) -> I { each!(vmlaq_s32, acc, a, b) }
        fn and_i(a: I, b: I) -> I { each!(vandq_s32, a, b) }
        fn or_i(a: I, b: I) -> I { each!(vorrq_s32, a, b) }
        fn max_i(a: I, b: I) -> I { each!(vmaxq_s32, a, b) }
        fn shl_i(a: I, count: u32) -> I {
            each!(vshlq_s32, a, [vdupq_n_s32(count.cast_signed()); 4])
        }
        fn shr_i(a: I, count: u32) -> I {
            each!(vshlq_s32, a, [vdupq_n_s32(-count.cast_signed()); 4])
        }

        fn load_b(from: &[u8; 64]) -> B {
            [
                vld1q_u8(from.as_ptr()),
                vld1q_u8(from[16..].as_ptr()),
                vld1q_u8(from[32..].as_ptr()),
                vld1q_u8(from[48..].as_ptr()),
            ]
        }
        fn store_b(a: B, to: &mut [u8; 64]) -> () {
            {
                vst1q_u8(to.as_mut_ptr(), a[0]);
                vst1q_u8(to[16..].as_mut_ptr(), a[1]);
                vst1q_u8(to[32..].as_mut_ptr(), a[2]);
                vst1q_u8(to[48..].as_mut_ptr(), a[3]);
            }
        }
        fn splat_b(value: u8) -> B { [vdupq_n_u8(value); 4] }
        fn and_b(a: B, b: B) -> B { each!(vandq_u8, a, b) }
        fn or_b(a: B, b: B) -> B { each!(vorrq_u8, a, b) }
        fn sub_b(a: B, b: B) -> B { each!(vsubq_u8, a, b) }
        fn shl_b(a: B, count: u32) -> B {
            each!(vshlq_u8, a, [vdupq_n_s8(count as i8); 4])
        }
        fn shr_b(a: B, count: u32) -> B {
            each!(vshlq_u8, a, [vdupq_n_s8(-(count as i8)); 4])
        }
        fn lookup(table: &[u8; 16], idx: B) -> B {
            each!(vqtbl1q_u8, [vld1q_u8(table.as_ptr()); 4], idx)
        }
        fn as_i(a: B) -> I { each!(vreinterpretq_s32_u8, a) }
        fn as_b(a: I) -> B { each!(vreinterpretq_u8_s32, a) }
        fn widen_lo(a: B) -> B { widen(a[0], a[1]) }
        fn widen_hi(a: B) -> B { widen(a[2], a[3]) }
        fn dot_pairs(acc: I, w: B, x: i32) -> I {
            {
                let x = vreinterpretq_s16_s32(vdupq_n_s32(x));
                [
                    vaddq_s32(acc[0], pairs(w[0], x)),
                    vaddq_s32(acc[1], pairs(w[1], x)),
                    vaddq_s32(acc[2], pairs(w[2], x)),
                    vaddq_s32(acc[3], pairs(w[3], x)),
                ]
            }
        }
    }

    #[inline(always)]
    fn factor(self, a: I) -> I {
        a
    }

    #[inline(always)]
    fn dot16<const N: usize, R: Bound>(
        self,
        mut acc: [I; N],
        w: [B; 4],
        x: &[[u8; 32]; N],
        half: usize,
    ) -> [I; N] {
        for t in 0..N {
            // SAFETY: the token proves NEON and the dot product.
            acc[t] = unsafe { dot16_one::<R>(acc[t], w, &x[t], half) };
        }
        acc
    }

    const SHIFT: u8 = 0;

    ops! {
        fn min_i(a: I, b: I) -> I { each!(vminq_s32, a, b) }
        fn greater_i(a: I, b: I) -> I {
            each!(vreinterpretq_s32_u32, each!(vcgtq_s32, a, b))
        }
        fn shr_each(a: I, count: I) -> I { each!(vshlq_s32, a, each!(vnegq_s32, count)) }
        fn mul_high(a: I, b: I) -> I { each!(mul_high, a, b) }
        fn dot4(acc: I, w: B, x: i32) -> I {
            {
                let x = vreinterpretq_s8_s32(vdupq_n_s32(x));
                [
                    sdot::<0>(acc[0], vreinterpretq_s8_u8(w[0]), x),
                    sdot::<0>(acc[1], vreinterpretq_s8_u8(w[1]), x),
                    sdot::<0>(acc[2], vreinterpretq_s8_u8(w[2]), x),
                    sdot::<0>(acc[3], vreinterpretq_s8_u8(w[3]), x),
                ]
            }
        }
    }
}

/// A quarter of [`Simd::mul_high`].
#[inline]
#[target_feature(enable = "neon")]
fn mul_high(a: int32x4_t, b: int32x4_t) -> int32x4_t {
    let low = vmull_s32(vget_low_s32(a), vget_low_s32(b));
    vcombine_s32(vrshrn_n_s64::<31>(low), vrshrn_n_s64::<31>(vmull_high_s32(a, b)))
}

/// Four little-endian halves as floats.
#[inline]
#[target_feature(enable = "neon")]
fn half_to_f32(a: uint8x8_t) -> float32x4_t {
    vcvt_f32_f16(vreinterpret_f16_u8(a))
}

/// Four floats as little-endian halves, to nearest, ties to even.
#[inline]
#[target_feature(enable = "neon")]
fn f32_to_half(a: float32x4_t) -> uint8x8_t {
    vreinterpret_u8_f16(vcvt_f16_f32(a))
}

/// Four little-endian bfloat16 as floats.
#[inline]
#[target_feature(enable = "neon")]
fn bf16_to_f32(a: uint8x8_t) -> float32x4_t {
    vreinterpretq_f32_u32(vshll_n_u16::<16>(vreinterpret_u16_u8(a)))
}

/// 32 bytes as 16-bit integers.
#[inline]
#[target_feature(enable = "neon")]
fn widen(a: uint8x16_t, b: uint8x16_t) -> B {
    [
        vreinterpretq_u8_u16(vmovl_u8(vget_low_u8(a))),
        vreinterpretq_u8_u16(vmovl_high_u8(a)),
        vreinterpretq_u8_u16(vmovl_u8(vget_low_u8(b))),
        vreinterpretq_u8_u16(vmovl_high_u8(b)),
    ]
}

/// Products of 16-bit integers, added in pairs.
#[inline]
#[target_feature(enable = "neon")]
fn pairs(w: uint8x16_t, x: int16x8_t) -> int32x4_t {
    let w = vreinterpretq_s16_u8(w);
    vpaddq_s32(vmull_s16(vget_low_s16(w), vget_low_s16(x)), vmull_high_s16(w, x))
}

/// Adds to lane r the product of its four signed bytes in `w` with group `GROUP` of `x`.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn sdot<const GROUP: usize>(mut acc: int32x4_t, w: int8x16_t, x: int8x16_t) -> int32x4_t {
    // SAFETY: one arithmetic instruction on registers; the function's features include it.
    unsafe {
        asm!(
            "sdot {acc:v}.4s, {w:v}.16b, {x:v}.4b[{group}]",
            acc = inout(vreg) acc,
            w = in(vreg) w,
            // An operand by element is one of the sixteen low registers only for 16-bit elements.
            x = in(vreg) x,
            group = const GROUP,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    acc
}

/// One token of [`Simd::dot16`].
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn dot16_one<R: Bound>(mut acc: I, w: [B; 4], x: &[u8; 32], half: usize) -> I {
    // SAFETY: 16 bytes from 0 or 16 on lie within the 32.
    let x = vreinterpretq_s8_u8(unsafe { vld1q_u8(x[16 * half..16 * half + 16].as_ptr()) });
    for quarter in 0..4 {
        acc[quarter] = sdot::<0>(acc[quarter], signed::<R>(w[0][quarter]), x);
        acc[quarter] = sdot::<1>(acc[quarter], signed::<R>(w[1][quarter]), x);
        acc[quarter] = sdot::<2>(acc[quarter], signed::<R>(w[2][quarter]), x);
        acc[quarter] = sdot::<3>(acc[quarter], signed::<R>(w[3][quarter]), x);
    }
    acc
}

/// Weights as signed bytes, less 128 where they would not fit.
#[inline]
#[target_feature(enable = "neon")]
fn signed<R: Bound>(w: uint8x16_t) -> int8x16_t {
    vreinterpretq_s8_u8(if R::MAX < 128 { w } else { veorq_u8(w, vdupq_n_u8(0x80)) })
}
