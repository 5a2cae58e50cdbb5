//! AVX2 with FMA and F16C: a register is two ymm, integer products go through 16 bits.
//!
//! `vpmaddubsw` adds two products and saturates at ±32767; how many such sums may be added before
//! they are widened follows from the weights' bound (at most 2 · `MAX` · 127 a sum). For weights
//! above 127 even one sum may overflow: they are centered to signed bytes, and the sign moves to
//! the activations (2 · 128 · 127 fits).

// Clippy does not report this in tests.
#![cfg_attr(not(test), expect(clippy::wildcard_imports, reason = "sixty prefixed intrinsics"))]

use core::arch::x86_64::*;

use super::{
    super::{Bound, Kernel, Simd},
    ops, quad,
};

/// Proof that this processor has AVX2, FMA and F16C.
#[derive(Clone, Copy, Debug)]
pub struct Avx2(());

impl Avx2 {
    /// The token, if the processor (without `std`: the build's target) has the features.
    pub fn detect() -> Option<Self> {
        #[cfg(feature = "std")]
        let has = std::arch::is_x86_feature_detected!("avx2")
            && std::arch::is_x86_feature_detected!("fma")
            && std::arch::is_x86_feature_detected!("f16c");
        #[cfg(not(feature = "std"))]
        let has =
            cfg!(all(target_feature = "avx2", target_feature = "fma", target_feature = "f16c"));
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
#[target_feature(enable = "avx2,fma,f16c")]
fn trampoline<K: Kernel>(token: Avx2, kernel: K) -> K::Output {
    kernel.run(token)
}

/// Two halves of floats, lanes 0 to 7 first.
type F = [__m256; 2];
/// Two halves of integers or bytes, the lower first.
type I = [__m256i; 2];

impl Simd for Avx2 {
    type F = F;
    type I = I;
    type B = I;

    const TILE: usize = 4;
    const PAIRED: bool = false;
    const ROWS: usize = 6;
    const CENTERED: bool = true;

    ops! {
        fn splat(value: f32) -> F { [_mm256_set1_ps(value); 2] }
        fn load(from: &[f32; 16]) -> F {
            [_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from[8..].as_ptr())]
        }
        fn store(a: F, to: &mut [f32; 16]) -> () {
            {
                _mm256_storeu_ps(to.as_mut_ptr(), a[0]);
                _mm256_storeu_ps(to[8..].as_mut_ptr(), a[1]);
            }
        }
        fn load_f16(from: &[u8; 32]) -> F {
            [
                _mm256_cvtph_ps(_mm_loadu_si128(from.as_ptr().cast())),
                _mm256_cvtph_ps(_mm_loadu_si128(from[16..].as_ptr().cast())),
            ]
        }
        fn load_bf16(from: &[u8; 32]) -> F {
            [
                bf16_to_f32(_mm_loadu_si128(from.as_ptr().cast())),
                bf16_to_f32(_mm_loadu_si128(from[16..].as_ptr().cast())),
            ]
        }
        fn store_f16(a: F, to: &mut [u8; 32]) -> () {
            {
                const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT;
                let halves = [_mm256_cvtps_ph::<NEAREST>(a[0]), _mm256_cvtps_ph::<NEAREST>(a[1])];
                _mm_storeu_si128(to.as_mut_ptr().cast(), halves[0]);
                _mm_storeu_si128(to[16..].as_mut_ptr().cast(), halves[1]);
            }
        }
        fn add(a: F, b: F) -> F { [_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])] }
        fn sub(a: F, b: F) -> F { [_mm256_sub_ps(a[0], b[0]), _mm256_sub_ps(a[1], b[1])] }
        fn mul(a: F, b: F) -> F { [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])] }
        fn div(a: F, b: F) -> F { [_mm256_div_ps(a[0], b[0]), _mm256_div_ps(a[1], b[1])] }
        fn fma(a: F, b: F, c: F) -> F {
            [_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])]
        }
        fn fnma(a: F, b: F, c: F) -> F {
            [_mm256_fnmadd_ps(a[0], b[0], c[0]), _mm256_fnmadd_ps(a[1], b[1], c[1])]
        }
        fn max(a: F, b: F) -> F { [_mm256_max_ps(a[0], b[0]), _mm256_max_ps(a[1], b[1])] }
        fn min(a: F, b: F) -> F { [_mm256_min_ps(a[0], b[0]), _mm256_min_ps(a[1], b[1])] }
        fn sqrt(a: F) -> F { [_mm256_sqrt_ps(a[0]), _mm256_sqrt_ps(a[1])] }
        fn select_lt(a: F, b: F, x: F, y: F) -> F {
            [
                _mm256_blendv_ps(y[0], x[0], _mm256_cmp_ps::<_CMP_LT_OQ>(a[0], b[0])),
                _mm256_blendv_ps(y[1], x[1], _mm256_cmp_ps::<_CMP_LT_OQ>(a[1], b[1])),
            ]
        }
        fn round_to_i(a: F) -> I { [_mm256_cvtps_epi32(a[0]), _mm256_cvtps_epi32(a[1])] }
        fn trunc_to_i(a: F) -> I { [_mm256_cvttps_epi32(a[0]), _mm256_cvttps_epi32(a[1])] }
        fn to_f(a: I) -> F { [_mm256_cvtepi32_ps(a[0]), _mm256_cvtepi32_ps(a[1])] }
        fn bits(a: F) -> I { [_mm256_castps_si256(a[0]), _mm256_castps_si256(a[1])] }
        fn of_bits(a: I) -> F { [_mm256_castsi256_ps(a[0]), _mm256_castsi256_ps(a[1])] }

        fn splat_i(value: i32) -> I { [_mm256_set1_epi32(value); 2] }
        fn load_i(from: &[i32; 16]) -> I {
            [
                _mm256_loadu_si256(from.as_ptr().cast()),
                _mm256_loadu_si256(from[8..].as_ptr().cast()),
            ]
        }
        fn store_i(a: I, to: &mut [i32; 16]) -> () {
            {
                _mm256_storeu_si256(to.as_mut_ptr().cast(), a[0]);
                _mm256_storeu_si256(to[8..].as_mut_ptr().cast(), a[1]);
            }
        }
        fn load_i8(from: &[u8; 16]) -> I {
            [
                _mm256_cvtepi8_epi32(_mm_loadu_si64(from.as_ptr())),
                _mm256_cvtepi8_epi32(_mm_loadu_si64(from[8..].as_ptr())),
            ]
        }
        fn load_u8(from: &[u8; 16]) -> I {
            [
                _mm256_cvtepu8_epi32(_mm_loadu_si64(from.as_ptr())),
                _mm256_cvtepu8_epi32(_mm_loadu_si64(from[8..].as_ptr())),
            ]
        }
        fn store_i8(a: I, to: &mut [u8; 16]) -> () {
            {
                // Packing works in 128-bit lanes: the permutation puts the four quarters in order.
                let words = _mm256_permute4x64_epi64::<0xd8>(_mm256_packs_epi32(a[0], a[1]));
                let (low, high) =
                    (_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
                _mm_storeu_si128(to.as_mut_ptr().cast(), _mm_packs_epi16(low, high));
            }
        }
        fn add_i(a: I, b: I) -> I { [_mm256_add_epi32(a[0], b[0]), _mm256_add_epi32(a[1], b[1])] }
        fn sub_i(a: I, b: I) -> I { [_mm256_sub_epi32(a[0], b[0]), _mm256_sub_epi32(a[1], b[1])] }
        fn mul_i(a: I, b: I) -> I {
            [_mm256_mullo_epi32(a[0], b[0]), _mm256_mullo_epi32(a[1], b[1])]
        }
        fn factor(a: I) -> I {
            {
                let low = _mm256_set1_epi32(0xffff);
                [_mm256_and_si256(a[0], low), _mm256_and_si256(a[1], low)]
            }
        }
        fn fold(acc: I, a: I, b: I) -> I {
            [
                _mm256_add_epi32(acc[0], _mm256_madd_epi16(a[0], b[0])),
                _mm256_add_epi32(acc[1], _mm256_madd_epi16(a[1], b[1])),
            ]
        }
        fn and_i(a: I, b: I) -> I { [_mm256_and_si256(a[0], b[0]), _mm256_and_si256(a[1], b[1])] }
        fn or_i(a: I, b: I) -> I { [_mm256_or_si256(a[0], b[0]), _mm256_or_si256(a[1], b[1])] }
        fn max_i(a: I, b: I) -> I { [_mm256_max_epi32(a[0], b[0]), _mm256_max_epi32(a[1], b[1])] }
        fn shl_i(a: I, count: u32) -> I {
            {
                let count = _mm_cvtsi32_si128(count.cast_signed());
                [_mm256_sll_epi32(a[0], count), _mm256_sll_epi32(a[1], count)]
            }
        }
        fn shr_i(a: I, count: u32) -> I {
            {
                let count = _mm_cvtsi32_si128(count.cast_signed());
                [_mm256_sra_epi32(a[0], count), _mm256_sra_epi32(a[1], count)]
            }
        }

        fn prefetch(at: &u8, ahead: usize) -> () {
            // Past the first-level cache, whose few buffers are what reading waits for.
            _mm_prefetch::<_MM_HINT_T1>(core::ptr::from_ref(at).wrapping_add(ahead).cast())
        }
        fn load_b(from: &[u8; 64]) -> I {
            [
                _mm256_loadu_si256(from.as_ptr().cast()),
                _mm256_loadu_si256(from[32..].as_ptr().cast()),
            ]
        }
        fn store_b(a: I, to: &mut [u8; 64]) -> () {
            {
                _mm256_storeu_si256(to.as_mut_ptr().cast(), a[0]);
                _mm256_storeu_si256(to[32..].as_mut_ptr().cast(), a[1]);
            }
        }
        fn splat_b(value: u8) -> I { [_mm256_set1_epi8(value.cast_signed()); 2] }
        fn and_b(a: I, b: I) -> I { [_mm256_and_si256(a[0], b[0]), _mm256_and_si256(a[1], b[1])] }
        fn or_b(a: I, b: I) -> I { [_mm256_or_si256(a[0], b[0]), _mm256_or_si256(a[1], b[1])] }
        fn sub_b(a: I, b: I) -> I { [_mm256_sub_epi8(a[0], b[0]), _mm256_sub_epi8(a[1], b[1])] }
        fn shl_b(a: I, count: u32) -> I {
            {
                let count = _mm_cvtsi32_si128(count.cast_signed());
                [_mm256_sll_epi16(a[0], count), _mm256_sll_epi16(a[1], count)]
            }
        }
        fn shr_b(a: I, count: u32) -> I {
            {
                let count = _mm_cvtsi32_si128(count.cast_signed());
                [_mm256_srl_epi16(a[0], count), _mm256_srl_epi16(a[1], count)]
            }
        }
        fn lookup(table: &[u8; 16], idx: I) -> I {
            {
                let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast()));
                [_mm256_shuffle_epi8(table, idx[0]), _mm256_shuffle_epi8(table, idx[1])]
            }
        }
        fn widen_lo(a: I) -> I { widen(a[0]) }
        fn widen_hi(a: I) -> I { widen(a[1]) }
        fn dot_pairs(acc: I, w: I, x: i32) -> I {
            {
                let x = _mm256_set1_epi32(x);
                [
                    _mm256_add_epi32(acc[0], _mm256_madd_epi16(w[0], x)),
                    _mm256_add_epi32(acc[1], _mm256_madd_epi16(w[1], x)),
                ]
            }
        }
    }

    #[inline(always)]
    fn load_apart<const N: usize>(self, from: &[f32], step: usize) -> [F; N] {
        assert!(N == 1 || N <= 8 && step <= from.len(), "no sum overflows");
        assert!((N - 1) * step + 16 <= from.len(), "sixteen values each");
        core::array::from_fn(|n| {
            // SAFETY: the token proves the features; the sixteen values are inside of `from`, as
            // was just asserted for the last of them.
            unsafe {
                let at = from.as_ptr().add(n * step);
                [_mm256_loadu_ps(at), _mm256_loadu_ps(at.add(8))]
            }
        })
    }

    #[inline(always)]
    fn as_i(self, a: I) -> I {
        a
    }

    #[inline(always)]
    fn as_b(self, a: I) -> I {
        a
    }

    #[inline(always)]
    fn dot16<const N: usize, R: Bound>(
        self,
        mut acc: [I; N],
        w: [I; 4],
        x: &[[u8; 32]; N],
        half: usize,
    ) -> [I; N] {
        // One side after the other: eight rows' weights stay in registers for all tokens.
        for side in 0..2 {
            let w = [w[0][side], w[1][side], w[2][side], w[3][side]];
            for t in 0..N {
                // SAFETY: the token proves AVX2.
                acc[t][side] = unsafe { dot16_side::<R>(acc[t][side], w, &x[t], half) };
            }
        }
        acc
    }

    const SHIFT: u8 = 128;

    ops! {
        fn min_i(a: I, b: I) -> I { [_mm256_min_epi32(a[0], b[0]), _mm256_min_epi32(a[1], b[1])] }
        fn greater_i(a: I, b: I) -> I {
            [_mm256_cmpgt_epi32(a[0], b[0]), _mm256_cmpgt_epi32(a[1], b[1])]
        }
        fn shr_each(a: I, count: I) -> I {
            [_mm256_srav_epi32(a[0], count[0]), _mm256_srav_epi32(a[1], count[1])]
        }
        fn mul_high(a: I, b: I) -> I { [mul_high(a[0], b[0]), mul_high(a[1], b[1])] }
        fn dot4(acc: I, w: I, x: i32) -> I {
            [dot4_half(acc[0], w[0], x), dot4_half(acc[1], w[1], x)]
        }
    }
}

/// Half of [`Simd::mul_high`].
#[inline]
#[target_feature(enable = "avx2")]
fn mul_high(a: __m256i, b: __m256i) -> __m256i {
    let half = _mm256_set1_epi64x(1 << 30);
    let even = _mm256_add_epi64(_mm256_mul_epi32(a, b), half);
    let (a, b) = (_mm256_srli_epi64::<32>(a), _mm256_srli_epi64::<32>(b));
    let odd = _mm256_add_epi64(_mm256_mul_epi32(a, b), half);
    _mm256_blend_epi32::<0xaa>(_mm256_srli_epi64::<31>(even), _mm256_slli_epi64::<1>(odd))
}

/// Half of [`Simd::dot4`]: bytes become 16-bit integers, as sums of their products would saturate.
#[inline]
#[target_feature(enable = "avx2")]
fn dot4_half(acc: __m256i, w: __m256i, x: i32) -> __m256i {
    let even = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(w));
    let odd = _mm256_srai_epi16::<8>(w);
    let (low, high) = (x & 0x00ff_00ff, (x >> 8) & 0x00ff_00ff);
    let even = _mm256_madd_epi16(even, _mm256_set1_epi32(low));
    let odd = _mm256_madd_epi16(odd, _mm256_set1_epi32(high));
    _mm256_add_epi32(acc, _mm256_add_epi32(even, odd))
}

/// Eight bfloat16 as floats.
#[inline]
#[target_feature(enable = "avx2")]
fn bf16_to_f32(a: __m128i) -> __m256 {
    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(a)))
}

/// 32 bytes as 16-bit integers.
#[inline]
#[target_feature(enable = "avx2")]
fn widen(a: __m256i) -> I {
    [
        _mm256_cvtepu8_epi16(_mm256_castsi256_si128(a)),
        _mm256_cvtepu8_epi16(_mm256_extracti128_si256::<1>(a)),
    ]
}

/// One token of [`Simd::dot16`] and eight rows.
#[inline]
#[target_feature(enable = "avx2")]
fn dot16_side<R: Bound>(mut acc: __m256i, w: [__m256i; 4], x: &[u8; 32], half: usize) -> __m256i {
    let one = _mm256_set1_epi16(1);
    // Sums of two products that fit in 16 bits together: 4 · 2 · 31 · 127 = 31496,
    // 2 · 2 · 63 · 127 = 32004, 2 · 127 · 127 = 32258.
    let together = match R::MAX {
        0..=31 => 4,
        32..=63 => 2,
        _ => 1,
    };
    let mut sums = _mm256_setzero_si256();
    for c in 0..4 {
        let a = _mm256_set1_epi32(quad(x, 4 * half + c));
        let pairs = if R::MAX < 128 {
            _mm256_maddubs_epi16(w[c], a)
        } else {
            let signed = _mm256_xor_si256(w[c], _mm256_set1_epi8(-128));
            _mm256_maddubs_epi16(_mm256_abs_epi8(signed), _mm256_sign_epi8(a, signed))
        };
        sums = if c % together == 0 { pairs } else { _mm256_add_epi16(sums, pairs) };
        if c % together == together - 1 {
            acc = _mm256_add_epi32(acc, _mm256_madd_epi16(sums, one));
        }
    }
    acc
}
