//! AVX-512 with VNNI: a register is one zmm, `vpdpbusd` takes 64 products an instruction.
//!
//! For Ice Lake and Zen 4 and later. Twelve tokens a tile: 12 integer and 12 float accumulators
//! leave eight of the 32 registers for weights and scales, and hide the latency of two dot
//! products a cycle, which eight do not (Xeon, November 2026: 78 % of the peak against 61).

// Clippy does not report this in tests.
#![cfg_attr(not(test), expect(clippy::wildcard_imports, reason = "sixty prefixed intrinsics"))]

use core::arch::{asm, x86_64::*};

use super::{
    super::{Bound, Kernel, Simd},
    ops, quad,
};

/// Proof that this processor has AVX-512 F, BW, DQ, VL and VNNI, AVX2, FMA and F16C.
#[derive(Clone, Copy, Debug)]
pub struct Avx512Vnni(());

impl Avx512Vnni {
    /// The token, if the processor (without `std`: the build's target) has the features.
    pub fn detect() -> Option<Self> {
        #[cfg(feature = "std")]
        let has = std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512bw")
            && std::arch::is_x86_feature_detected!("avx512dq")
            && std::arch::is_x86_feature_detected!("avx512vl")
            && std::arch::is_x86_feature_detected!("avx512vnni")
            && std::arch::is_x86_feature_detected!("avx2")
            && std::arch::is_x86_feature_detected!("fma")
            && std::arch::is_x86_feature_detected!("f16c");
        #[cfg(not(feature = "std"))]
        let has = cfg!(all(
            target_feature = "avx512f",
            target_feature = "avx512bw",
            target_feature = "avx512dq",
            target_feature = "avx512vl",
            target_feature = "avx512vnni",
            target_feature = "avx2",
            target_feature = "fma",
            target_feature = "f16c"
        ));
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
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
fn trampoline<K: Kernel>(token: Avx512Vnni, kernel: K) -> K::Output {
    kernel.run(token)
}

/// `vpdpwssd`: adds to each lane the products of two pairs of 16-bit integers.
///
/// As assembler, because LLVM takes the intrinsic apart into a multiplication and an addition
/// where sums form a chain, which is twice the work where ports and not latency are the limit.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn dpwssd(mut acc: __m512i, a: __m512i, b: __m512i) -> __m512i {
    // SAFETY: one arithmetic instruction on registers; the function's features include it.
    unsafe {
        asm!(
            "vpdpwssd {acc}, {a}, {b}",
            acc = inout(zmm_reg) acc,
            a = in(zmm_reg) a,
            b = in(zmm_reg) b,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    acc
}

/// The mask of the first `len` lanes.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "16 ones at most")]
fn first_lanes(len: usize) -> __mmask16 {
    assert!(len <= 16, "a register has 16 lanes");
    (0xffff_u32 >> (16 - len)) as u16
}

impl Simd for Avx512Vnni {
    type F = __m512;
    type I = __m512i;
    type B = __m512i;

    const TILE: usize = 12;
    const PAIRED: bool = true;
    const ROWS: usize = 12;
    const CENTERED: bool = false;

    ops! {
        fn splat(value: f32) -> __m512 { _mm512_set1_ps(value) }
        fn load(from: &[f32; 16]) -> __m512 { _mm512_loadu_ps(from.as_ptr()) }
        fn store(a: __m512, to: &mut [f32; 16]) -> () { _mm512_storeu_ps(to.as_mut_ptr(), a) }
        fn load_f16(from: &[u8; 32]) -> __m512 {
            _mm512_cvtph_ps(_mm256_loadu_si256(from.as_ptr().cast()))
        }
        fn load_bf16(from: &[u8; 32]) -> __m512 {
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(
                _mm256_loadu_si256(from.as_ptr().cast()),
            )))
        }
        fn store_f16(a: __m512, to: &mut [u8; 32]) -> () {
            _mm256_storeu_si256(
                to.as_mut_ptr().cast(),
                _mm512_cvtps_ph::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a),
            )
        }
        fn add(a: __m512, b: __m512) -> __m512 { _mm512_add_ps(a, b) }
        fn sub(a: __m512, b: __m512) -> __m512 { _mm512_sub_ps(a, b) }
        fn mul(a: __m512, b: __m512) -> __m512 { _mm512_mul_ps(a, b) }
        fn div(a: __m512, b: __m512) -> __m512 { _mm512_div_ps(a, b) }
        fn fma(a: __m512, b: __m512, c: __m512) -> __m512 { _mm512_fmadd_ps(a, b, c) }
        fn fnma(a: __m512, b: __m512, c: __m512) -> __m512 { _mm512_fnmadd_ps(a, b, c) }
        fn times_power(a: __m512, n: __m512) -> __m512 { _mm512_scalef_ps(a, n) }
        fn max(a: __m512, b: __m512) -> __m512 { _mm512_max_ps(a, b) }
        fn min(a: __m512, b: __m512) -> __m512 { _mm512_min_ps(a, b) }
        fn sqrt(a: __m512) -> __m512 { _mm512_sqrt_ps(a) }
        fn select_lt(a: __m512, b: __m512, x: __m512, y: __m512) -> __m512 {
            _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), y, x)
        }
        fn round_to_i(a: __m512) -> __m512i { _mm512_cvtps_epi32(a) }
        fn trunc_to_i(a: __m512) -> __m512i { _mm512_cvttps_epi32(a) }
        fn to_f(a: __m512i) -> __m512 { _mm512_cvtepi32_ps(a) }
        fn bits(a: __m512) -> __m512i { _mm512_castps_si512(a) }
        fn of_bits(a: __m512i) -> __m512 { _mm512_castsi512_ps(a) }

        fn splat_i(value: i32) -> __m512i { _mm512_set1_epi32(value) }
        fn load_i(from: &[i32; 16]) -> __m512i { _mm512_loadu_si512(from.as_ptr().cast()) }
        fn store_i(a: __m512i, to: &mut [i32; 16]) -> () {
            _mm512_storeu_si512(to.as_mut_ptr().cast(), a)
        }
        fn load_i8(from: &[u8; 16]) -> __m512i {
            _mm512_cvtepi8_epi32(_mm_loadu_si128(from.as_ptr().cast()))
        }
        fn load_u8(from: &[u8; 16]) -> __m512i {
            _mm512_cvtepu8_epi32(_mm_loadu_si128(from.as_ptr().cast()))
        }
        fn store_i8(a: __m512i, to: &mut [u8; 16]) -> () {
            _mm_storeu_si128(to.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(a))
        }
        fn add_i(a: __m512i, b: __m512i) -> __m512i { _mm512_add_epi32(a, b) }
        fn sub_i(a: __m512i, b: __m512i) -> __m512i { _mm512_sub_epi32(a, b) }
        fn mul_i(a: __m512i, b: __m512i) -> __m512i { _mm512_mullo_epi32(a, b) }
        fn factor(a: __m512i) -> __m512i { _mm512_and_si512(a, _mm512_set1_epi32(0xffff)) }
        fn fold(acc: __m512i, a: __m512i, b: __m512i) -> __m512i { dpwssd(acc, a, b) }
        fn and_i(a: __m512i, b: __m512i) -> __m512i { _mm512_and_si512(a, b) }
        fn or_i(a: __m512i, b: __m512i) -> __m512i { _mm512_or_si512(a, b) }
        fn max_i(a: __m512i, b: __m512i) -> __m512i { _mm512_max_epi32(a, b) }
        fn shl_i(a: __m512i, count: u32) -> __m512i {
            _mm512_sll_epi32(a, _mm_cvtsi32_si128(count.cast_signed()))
        }
        fn shr_i(a: __m512i, count: u32) -> __m512i {
            _mm512_sra_epi32(a, _mm_cvtsi32_si128(count.cast_signed()))
        }

        fn prefetch(at: &u8, ahead: usize) -> () {
            // Past the first-level cache, whose few buffers are what reading waits for.
            _mm_prefetch::<_MM_HINT_T1>(core::ptr::from_ref(at).wrapping_add(ahead).cast())
        }
        fn load_b(from: &[u8; 64]) -> __m512i { _mm512_loadu_si512(from.as_ptr().cast()) }
        fn store_b(a: __m512i, to: &mut [u8; 64]) -> () {
            _mm512_storeu_si512(to.as_mut_ptr().cast(), a)
        }
        fn splat_b(value: u8) -> __m512i { _mm512_set1_epi8(value.cast_signed()) }
        fn and_b(a: __m512i, b: __m512i) -> __m512i { _mm512_and_si512(a, b) }
        fn or_b(a: __m512i, b: __m512i) -> __m512i { _mm512_or_si512(a, b) }
        fn sub_b(a: __m512i, b: __m512i) -> __m512i { _mm512_sub_epi8(a, b) }
        fn shl_b(a: __m512i, count: u32) -> __m512i {
            _mm512_sll_epi16(a, _mm_cvtsi32_si128(count.cast_signed()))
        }
        fn shr_b(a: __m512i, count: u32) -> __m512i {
            _mm512_srl_epi16(a, _mm_cvtsi32_si128(count.cast_signed()))
        }
        fn lookup(table: &[u8; 16], idx: __m512i) -> __m512i {
            _mm512_shuffle_epi8(
                _mm512_broadcast_i32x4(_mm_loadu_si128(table.as_ptr().cast())),
                idx,
            )
        }
        fn widen_lo(a: __m512i) -> __m512i { _mm512_cvtepu8_epi16(_mm512_castsi512_si256(a)) }
        fn widen_hi(a: __m512i) -> __m512i {
            _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64::<1>(a))
        }
        fn dot_pairs(acc: __m512i, w: __m512i, x: i32) -> __m512i {
            dpwssd(acc, w, _mm512_set1_epi32(x))
        }
        fn sum(a: __m512) -> f32 {{
            let a = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a));
            let a = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let a = _mm_add_ps(a, _mm_movehl_ps(a, a));
            _mm_cvtss_f32(_mm_add_ss(a, _mm_movehdup_ps(a)))
        }}
        fn max_lane(a: __m512) -> f32 {{
            let a = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a));
            let a = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let a = _mm_max_ps(a, _mm_movehl_ps(a, a));
            _mm_cvtss_f32(_mm_max_ss(a, _mm_movehdup_ps(a)))
        }}
        fn sum_i(a: __m512i) -> i32 { _mm512_reduce_add_epi32(a) }
        fn max_lane_i(a: __m512i) -> i32 { _mm512_reduce_max_epi32(a) }
        fn load_part(from: &[f32]) -> __m512 {
            _mm512_maskz_loadu_ps(first_lanes(from.len()), from.as_ptr())
        }
        fn store_part(a: __m512, to: &mut [f32]) -> () {
            _mm512_mask_storeu_ps(to.as_mut_ptr(), first_lanes(to.len()), a)
        }
    }

    #[inline(always)]
    fn load_apart<const N: usize>(self, from: &[f32], step: usize) -> [__m512; N] {
        assert!(N == 1 || N <= 8 && step <= from.len(), "no sum overflows");
        assert!((N - 1) * step + 16 <= from.len(), "sixteen values each");
        core::array::from_fn(|n| {
            // SAFETY: the token proves the features; the sixteen values are inside of `from`, as
            // was just asserted for the last of them.
            unsafe { _mm512_loadu_ps(from.as_ptr().add(n * step)) }
        })
    }

    #[inline(always)]
    fn as_i(self, a: __m512i) -> __m512i {
        a
    }

    #[inline(always)]
    fn as_b(self, a: __m512i) -> __m512i {
        a
    }

    #[inline(always)]
    fn dot16<const N: usize, R: Bound>(
        self,
        mut acc: [__m512i; N],
        w: [__m512i; 4],
        x: &[[u8; 32]; N],
        half: usize,
    ) -> [__m512i; N] {
        for c in 0..4 {
            for t in 0..N {
                // SAFETY: the token proves VNNI. The broadcast folds into the instruction.
                acc[t] = unsafe {
                    _mm512_dpbusd_epi32(acc[t], w[c], _mm512_set1_epi32(quad(&x[t], 4 * half + c)))
                };
            }
        }
        acc
    }

    const SHIFT: u8 = 128;

    ops! {
        fn min_i(a: __m512i, b: __m512i) -> __m512i { _mm512_min_epi32(a, b) }
        fn greater_i(a: __m512i, b: __m512i) -> __m512i {
            _mm512_movm_epi32(_mm512_cmpgt_epi32_mask(a, b))
        }
        fn shr_each(a: __m512i, count: __m512i) -> __m512i { _mm512_srav_epi32(a, count) }
        fn mul_high(a: __m512i, b: __m512i) -> __m512i {{
            let half = _mm512_set1_epi64(1 << 30);
            let even = _mm512_add_epi64(_mm512_mul_epi32(a, b), half);
            let (a, b) = (_mm512_srli_epi64::<32>(a), _mm512_srli_epi64::<32>(b));
            let odd = _mm512_add_epi64(_mm512_mul_epi32(a, b), half);
            let (even, odd) = (_mm512_srli_epi64::<31>(even), _mm512_slli_epi64::<1>(odd));
            _mm512_mask_blend_epi32(0xaaaa, even, odd)
        }}
        fn dot4(acc: __m512i, w: __m512i, x: i32) -> __m512i {
            _mm512_dpbusd_epi32(acc, _mm512_set1_epi32(x), w)
        }
    }
}
