//! AVX-VNNI: the registers of AVX2, and `vpdpbusd`, which takes 32 products an instruction.
//!
//! For Alder Lake and later and for Zen 5. Four tokens a tile make eight integer sums, as many as
//! hide most of the latency; float sums are kept in memory where registers do not suffice.

use core::arch::x86_64::{__m256i, _mm256_dpbusd_avx_epi32, _mm256_set1_epi32};

use super::{
    super::{Bound, Kernel, extends::Extends},
    Avx2, quad,
};

/// Proof that this processor has AVX-VNNI besides what [`Avx2`] proves.
#[derive(Clone, Copy, Debug)]
pub struct AvxVnni(Avx2);

impl AvxVnni {
    /// The token, if the processor (without `std`: the build's target) has the features.
    pub fn detect() -> Option<Self> {
        #[cfg(feature = "std")]
        let has = std::arch::is_x86_feature_detected!("avxvnni");
        #[cfg(not(feature = "std"))]
        let has = cfg!(target_feature = "avxvnni");
        if has { Avx2::detect().map(Self) } else { None }
    }

    /// Runs `kernel` compiled with the set's features.
    #[inline]
    pub fn enter<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: `self` exists, so `detect` saw every feature that `trampoline` enables.
        unsafe { trampoline(self, kernel) }
    }
}

/// Gives the body of `kernel` the set's features.
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
fn trampoline<K: Kernel>(token: AvxVnni, kernel: K) -> K::Output {
    kernel.run(token)
}

impl Extends for AvxVnni {
    type Base = Avx2;

    const TILE: usize = 4;
    const PAIRED: bool = true;

    #[inline(always)]
    fn base(self) -> Avx2 {
        self.0
    }

    #[inline(always)]
    fn dot16<const N: usize, R: Bound>(
        self,
        mut acc: [[__m256i; 2]; N],
        w: [[__m256i; 2]; 4],
        x: &[[u8; 32]; N],
        half: usize,
    ) -> [[__m256i; 2]; N] {
        for c in 0..4 {
            for t in 0..N {
                // SAFETY: the token proves AVX-VNNI.
                acc[t] = unsafe { dot4(acc[t], w[c], quad(&x[t], 4 * half + c)) };
            }
        }
        acc
    }

    #[inline(always)]
    fn dot4(self, acc: [__m256i; 2], w: [__m256i; 2], x: i32) -> [__m256i; 2] {
        // SAFETY: the token proves AVX-VNNI.
        unsafe { signed_dot4(acc, w, x) }
    }
}

/// Signed weights of sixteen rows times four unsigned bytes.
#[inline]
#[target_feature(enable = "avx2,avxvnni")]
fn signed_dot4(acc: [__m256i; 2], w: [__m256i; 2], x: i32) -> [__m256i; 2] {
    let x = _mm256_set1_epi32(x);
    [_mm256_dpbusd_avx_epi32(acc[0], x, w[0]), _mm256_dpbusd_avx_epi32(acc[1], x, w[1])]
}

/// Four elements of sixteen rows times four bytes of a token.
#[inline]
#[target_feature(enable = "avx2,avxvnni")]
fn dot4(acc: [__m256i; 2], w: [__m256i; 2], x: i32) -> [__m256i; 2] {
    let x = _mm256_set1_epi32(x);
    [_mm256_dpbusd_avx_epi32(acc[0], w[0], x), _mm256_dpbusd_avx_epi32(acc[1], w[1], x)]
}
