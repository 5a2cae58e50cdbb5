//! WebAssembly's 128-bit registers: a register is four of them, bytes go through 16 bits.
//!
//! `i32x4.dot_i16x8_s` multiplies 16-bit integers and adds them in pairs; even and odd bytes of
//! weights are widened by a mask and a shift, and so are those of tokens, so that each of its sums
//! is a row's. A build with the relaxed instructions has a multiply-add that is fused where the
//! machine has one; without, products are rounded before they are added. It also has a dot product
//! of four bytes, exact where those of one side have seven bits, as most types' weights have.
//! (The quick compiler of Node 20's V8 loses what it adds to: run such a module there with
//! `--no-liftoff`.) A module either has these instructions or not: nothing is detected.
#![expect(unsafe_code, reason = "loads and stores, which the arrays bound")]
// Clippy does not report this in tests.
#![cfg_attr(not(test), expect(clippy::wildcard_imports, reason = "sixty prefixed intrinsics"))]

use core::arch::wasm32::*;

use super::{Bound, Simd};
use crate::acts::ANCHOR;

/// Proof that this module was built with 128-bit registers.
#[derive(Clone, Copy, Debug)]
pub struct Wasm(());

impl Wasm {
    /// The set's name.
    pub const NAME: &'static str =
        if cfg!(target_feature = "relaxed-simd") { "wasmrelaxed" } else { "wasm" };

    /// The token: this code exists only in builds with the registers.
    pub const fn new() -> Self {
        Self(())
    }
}

impl Default for Wasm {
    fn default() -> Self {
        Self::new()
    }
}

/// Four quarters of floats, integers or bytes, the lowest first.
type V = [v128; 4];

/// Stamps methods of [`Simd`] whose body is a few intrinsics.
macro_rules! ops {
    ($(fn $name:ident($($arg:ident: $ty:ty),*) -> $out:ty { $value:expr })*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: $ty),*) -> $out {
            $value
        }
    )*};
}

/// Sixteen bytes from memory.
#[inline(always)]
fn load(from: &[u8; 16]) -> v128 {
    // SAFETY: the array has sixteen bytes, and the instruction asks for no alignment.
    unsafe { v128_load(from.as_ptr().cast()) }
}

/// Writes sixteen bytes to memory.
#[inline(always)]
fn store(a: v128, to: &mut [u8; 16]) {
    // SAFETY: as in `load`.
    unsafe { v128_store(to.as_mut_ptr().cast(), a) }
}

/// The 64 bytes of sixteen words.
#[inline(always)]
fn bytes_of<T: Word>(from: &[T; 16]) -> &[u8; 64] {
    // SAFETY: words of four bytes without padding, every bit of which is initialised.
    unsafe { &*core::ptr::from_ref(from).cast() }
}

/// The 64 bytes of sixteen words, to be written.
#[inline(always)]
fn bytes_of_mut<T: Word>(to: &mut [T; 16]) -> &mut [u8; 64] {
    // SAFETY: as in `bytes_of`, and any four bytes make a word.
    unsafe { &mut *core::ptr::from_mut(to).cast() }
}

/// Numbers of four bytes.
trait Word {}
impl Word for f32 {}
impl Word for i32 {}

/// All quarters.
#[inline(always)]
fn load_all(from: &[u8; 64]) -> V {
    let mut all = [i32x4_splat(0); 4];
    for q in 0..4 {
        all[q] = load(from[16 * q..].first_chunk().expect("four quarters"));
    }
    all
}

/// Writes all quarters.
#[inline(always)]
fn store_all(a: V, to: &mut [u8; 64]) {
    for q in 0..4 {
        store(a[q], to[16 * q..].first_chunk_mut().expect("four quarters"));
    }
}

impl Simd for Wasm {
    type F = V;
    type I = V;
    type B = V;

    const TILE: usize = 2;
    const PAIRED: bool = false;
    const CENTERED: bool = false;
    const SHIFT: u8 = 128;
    const ROWS: usize = 4;

    ops! {
        fn splat(value: f32) -> V { [f32x4_splat(value); 4] }
        fn load(from: &[f32; 16]) -> V { load_all(bytes_of(from)) }
        fn store(a: V, to: &mut [f32; 16]) -> () { store_all(a, bytes_of_mut(to)) }
        fn load_f16(from: &[u8; 32]) -> V { each!(half_to_f32, each!(words_to_longs, pairs(from))) }
        fn load_bf16(from: &[u8; 32]) -> V {
            each!(i32x4_shl, each!(words_to_longs, pairs(from)), [16; 4])
        }
        fn store_f16(a: V, to: &mut [u8; 32]) -> () {
            {
                let halves = each!(f32_to_half, a);
                for side in 0..2 {
                    let words = u16x8_narrow_i32x4(halves[2 * side], halves[2 * side + 1]);
                    store(words, to[16 * side..].first_chunk_mut().expect("two sides"));
                }
            }
        }
        fn add(a: V, b: V) -> V { each!(f32x4_add, a, b) }
        fn sub(a: V, b: V) -> V { each!(f32x4_sub, a, b) }
        fn mul(a: V, b: V) -> V { each!(f32x4_mul, a, b) }
        fn div(a: V, b: V) -> V { each!(f32x4_div, a, b) }
        fn fma(a: V, b: V, c: V) -> V { each!(madd, a, b, c) }
        fn fnma(a: V, b: V, c: V) -> V { each!(nmadd, a, b, c) }
        fn anchored(acc: V, scale: V, offset: V) -> V {
            {
                let anchor = i32x4_splat(ANCHOR.to_bits().cast_signed());
                let dots = each!(f32x4_convert_i32x4, each!(i32x4_sub, acc, [anchor; 4]));
                // Adding zero makes the sign of zeros that of a sum.
                let products = each!(f32x4_mul, dots, scale);
                let products = each!(f32x4_add, products, [f32x4_splat(0.0); 4]);
                let infinity = [f32x4_splat(f32::INFINITY); 4];
                let finite = each!(f32x4_lt, each!(f32x4_abs, offset), infinity);
                each!(v128_bitselect, products, each!(f32x4_add, offset, scale), finite)
            }
        }
        // Not `pmax` and `pmin`, of which LLVM 22 makes relaxed ones that lose NaN.
        fn max(a: V, b: V) -> V { each!(v128_bitselect, a, b, each!(f32x4_gt, a, b)) }
        fn min(a: V, b: V) -> V { each!(v128_bitselect, a, b, each!(f32x4_lt, a, b)) }
        fn sqrt(a: V) -> V { each!(f32x4_sqrt, a) }
        fn select_lt(a: V, b: V, x: V, y: V) -> V {
            each!(v128_bitselect, x, y, each!(f32x4_lt, a, b))
        }
        fn round_to_i(a: V) -> V { each!(i32x4_trunc_sat_f32x4, each!(f32x4_nearest, a)) }
        fn trunc_to_i(a: V) -> V { each!(i32x4_trunc_sat_f32x4, a) }
        fn to_f(a: V) -> V { each!(f32x4_convert_i32x4, a) }
        fn bits(a: V) -> V { a }
        fn of_bits(a: V) -> V { a }

        fn splat_i(value: i32) -> V { [i32x4_splat(value); 4] }
        fn load_i(from: &[i32; 16]) -> V { load_all(bytes_of(from)) }
        fn store_i(a: V, to: &mut [i32; 16]) -> () { store_all(a, bytes_of_mut(to)) }
        fn load_i8(from: &[u8; 16]) -> V {
            {
                let bytes = load(from);
                let (low, high) = (i16x8_extend_low_i8x16(bytes), i16x8_extend_high_i8x16(bytes));
                [
                    i32x4_extend_low_i16x8(low),
                    i32x4_extend_high_i16x8(low),
                    i32x4_extend_low_i16x8(high),
                    i32x4_extend_high_i16x8(high),
                ]
            }
        }
        fn load_u8(from: &[u8; 16]) -> V {
            {
                let bytes = load(from);
                let (low, high) = (u16x8_extend_low_u8x16(bytes), u16x8_extend_high_u8x16(bytes));
                [
                    u32x4_extend_low_u16x8(low),
                    u32x4_extend_high_u16x8(low),
                    u32x4_extend_low_u16x8(high),
                    u32x4_extend_high_u16x8(high),
                ]
            }
        }
        fn store_i8(a: V, to: &mut [u8; 16]) -> () {
            {
                let (low, high) =
                    (i16x8_narrow_i32x4(a[0], a[1]), i16x8_narrow_i32x4(a[2], a[3]));
                store(i8x16_narrow_i16x8(low, high), to)
            }
        }
        fn add_i(a: V, b: V) -> V { each!(i32x4_add, a, b) }
        fn sub_i(a: V, b: V) -> V { each!(i32x4_sub, a, b) }
        fn mul_i(a: V, b: V) -> V { each!(i32x4_mul, a, b) }
        fn factor(a: V) -> V { each!(v128_and, a, [i32x4_splat(0xffff); 4]) }
        fn fold(acc: V, a: V, b: V) -> V { each!(i32x4_add, acc, each!(i32x4_dot_i16x8, a, b)) }
        fn and_i(a: V, b: V) -> V { each!(v128_and, a, b) }
        fn or_i(a: V, b: V) -> V { each!(v128_or, a, b) }
        fn max_i(a: V, b: V) -> V { each!(i32x4_max, a, b) }
        fn min_i(a: V, b: V) -> V { each!(i32x4_min, a, b) }
        fn greater_i(a: V, b: V) -> V { each!(i32x4_gt, a, b) }
        fn shr_each(a: V, count: V) -> V { each!(shr_each, a, count) }
        fn mul_high(a: V, b: V) -> V { each!(mul_high, a, b) }
        fn shl_i(a: V, count: u32) -> V { each!(i32x4_shl, a, [count; 4]) }
        fn shr_i(a: V, count: u32) -> V { each!(i32x4_shr, a, [count; 4]) }

        fn load_b(from: &[u8; 64]) -> V { load_all(from) }
        fn store_b(a: V, to: &mut [u8; 64]) -> () { store_all(a, to) }
        fn splat_b(value: u8) -> V { [u8x16_splat(value); 4] }
        fn and_b(a: V, b: V) -> V { each!(v128_and, a, b) }
        fn or_b(a: V, b: V) -> V { each!(v128_or, a, b) }
        fn sub_b(a: V, b: V) -> V { each!(i8x16_sub, a, b) }
        fn shl_b(a: V, count: u32) -> V { each!(i16x8_shl, a, [count; 4]) }
        fn shr_b(a: V, count: u32) -> V { each!(u16x8_shr, a, [count; 4]) }
        fn lookup(table: &[u8; 16], idx: V) -> V { each!(i8x16_swizzle, [load(table); 4], idx) }
        fn as_i(a: V) -> V { a }
        fn as_b(a: V) -> V { a }
        fn widen_lo(a: V) -> V { widen(a[0], a[1]) }
        fn widen_hi(a: V) -> V { widen(a[2], a[3]) }
        fn dot_pairs(acc: V, w: V, x: i32) -> V {
            each!(i32x4_add, acc, each!(i32x4_dot_i16x8, w, [i32x4_splat(x); 4]))
        }
    }

    #[inline(always)]
    fn dot4(self, acc: V, w: V, x: i32) -> V {
        let (low, high) = (i32x4_splat(x & 0x00ff_00ff), i32x4_splat((x >> 8) & 0x00ff_00ff));
        let mut sums = acc;
        for q in 0..4 {
            let (even, odd) = words(w[q]);
            let products = i32x4_add(i32x4_dot_i16x8(even, low), i32x4_dot_i16x8(odd, high));
            sums[q] = i32x4_add(acc[q], products);
        }
        sums
    }

    #[inline(always)]
    fn dot16<const N: usize, R: Bound>(
        self,
        mut acc: [V; N],
        w: [V; 4],
        x: &[[u8; 32]; N],
        half: usize,
    ) -> [V; N] {
        // Sums of two products, which a machine may cut to 16 bits, are at most 2 · 127 · 127.
        #[cfg(target_feature = "relaxed-simd")]
        if R::MAX < 128 {
            for c in 0..4 {
                for t in 0..N {
                    let x = x[t][16 * half + 4 * c..].first_chunk().expect("groups of a block");
                    let x = i32x4_splat(i32::from_le_bytes(*x));
                    for q in 0..4 {
                        acc[t][q] = i32x4_relaxed_dot_i8x16_i7x16_add(x, w[c][q], acc[t][q]);
                    }
                }
            }
            return acc;
        }
        for c in 0..4 {
            let even = each!(v128_and, w[c], [i16x8_splat(0xff); 4]);
            let odd = each!(u16x8_shr, w[c], [8; 4]);
            for t in 0..N {
                let x = x[t][16 * half + 4 * c..].first_chunk().expect("groups of a block");
                let (x_even, x_odd) = words(i32x4_splat(i32::from_le_bytes(*x)));
                for q in 0..4 {
                    let sums = i32x4_dot_i16x8(even[q], x_even);
                    let sums = i32x4_add(sums, i32x4_dot_i16x8(odd[q], x_odd));
                    acc[t][q] = i32x4_add(acc[t][q], sums);
                }
            }
        }
        acc
    }
}

/// Even and odd signed bytes as 16-bit integers.
#[inline(always)]
fn words(a: v128) -> (v128, v128) {
    (i16x8_shr(i16x8_shl(a, 8), 8), i16x8_shr(a, 8))
}

/// A quarter of [`Simd::shr_each`]: there is no such instruction.
#[inline(always)]
fn shr_each(a: v128, count: v128) -> v128 {
    i32x4(
        i32x4_extract_lane::<0>(a) >> i32x4_extract_lane::<0>(count),
        i32x4_extract_lane::<1>(a) >> i32x4_extract_lane::<1>(count),
        i32x4_extract_lane::<2>(a) >> i32x4_extract_lane::<2>(count),
        i32x4_extract_lane::<3>(a) >> i32x4_extract_lane::<3>(count),
    )
}

/// A quarter of [`Simd::mul_high`].
#[inline(always)]
fn mul_high(a: v128, b: v128) -> v128 {
    let half = i64x2_splat(1 << 30);
    let low = i64x2_shr(i64x2_add(i64x2_extmul_low_i32x4(a, b), half), 31);
    let high = i64x2_shr(i64x2_add(i64x2_extmul_high_i32x4(a, b), half), 31);
    i32x4_shuffle::<0, 2, 4, 6>(low, high)
}

/// `a · b + c`, rounded once or twice.
#[inline(always)]
fn madd(a: v128, b: v128, c: v128) -> v128 {
    #[cfg(target_feature = "relaxed-simd")]
    return f32x4_relaxed_madd(a, b, c);
    #[cfg(not(target_feature = "relaxed-simd"))]
    f32x4_add(f32x4_mul(a, b), c)
}

/// `c − a · b`, rounded once or twice.
#[inline(always)]
fn nmadd(a: v128, b: v128, c: v128) -> v128 {
    #[cfg(target_feature = "relaxed-simd")]
    return f32x4_relaxed_nmadd(a, b, c);
    #[cfg(not(target_feature = "relaxed-simd"))]
    f32x4_sub(c, f32x4_mul(a, b))
}

/// Sixteen 16-bit words, four in the low half of each register.
#[inline(always)]
fn pairs(from: &[u8; 32]) -> V {
    let [low, high] = [0, 16].map(|at| load(from[at..].first_chunk().expect("two sides")));
    [low, i64x2_shuffle::<1, 1>(low, low), high, i64x2_shuffle::<1, 1>(high, high)]
}

/// The four low words as unsigned integers.
#[inline(always)]
fn words_to_longs(a: v128) -> v128 {
    u32x4_extend_low_u16x8(a)
}

/// Four halves, each in the low part of a lane, as floats.
#[inline(always)]
fn half_to_f32(a: v128) -> v128 {
    let magnitude = v128_and(a, u32x4_splat(0x7fff));
    // Exponents are 112 too low, of subnormal halves as well, which are subnormal here: exact.
    let value = f32x4_mul(i32x4_shl(magnitude, 13), f32x4_splat(f32::from_bits(239 << 23)));
    let special = i32x4_gt(magnitude, u32x4_splat(0x7bff));
    let value = v128_or(value, v128_and(special, u32x4_splat(0x7f80_0000)));
    v128_or(value, i32x4_shl(v128_and(a, u32x4_splat(0x8000)), 16))
}

/// Four floats as halves, each in the low part of a lane, to nearest, ties to even.
#[inline(always)]
fn f32_to_half(a: v128) -> v128 {
    let magnitude = v128_and(a, u32x4_splat(0x7fff_ffff));
    // Ordinary: the exponent less 112, half a unit less one added, and one more for odd results.
    let odd = v128_and(u32x4_shr(magnitude, 13), u32x4_splat(1));
    let rounded = i32x4_add(i32x4_sub(magnitude, u32x4_splat((112 << 23) - 0xfff)), odd);
    let ordinary = u32x4_shr(rounded, 13);
    // Subnormal: adding a half leaves multiples of 2^-24 in the low bits.
    let half = f32x4_splat(0.5);
    let subnormal = i32x4_sub(f32x4_add(magnitude, half), half);
    let small = i32x4_lt(magnitude, u32x4_splat(113 << 23));
    let finite = v128_bitselect(subnormal, ordinary, small);
    let nan = i32x4_gt(magnitude, u32x4_splat(0x7f80_0000));
    let special = v128_bitselect(u32x4_splat(0x7e00), u32x4_splat(0x7c00), nan);
    let large = i32x4_gt(magnitude, u32x4_splat((143 << 23) - 1));
    let value = v128_bitselect(special, finite, large);
    v128_or(value, v128_and(u32x4_shr(a, 16), u32x4_splat(0x8000)))
}

/// 32 bytes as 16-bit integers.
#[inline(always)]
fn widen(a: v128, b: v128) -> V {
    [
        u16x8_extend_low_u8x16(a),
        u16x8_extend_high_u8x16(a),
        u16x8_extend_low_u8x16(b),
        u16x8_extend_high_u8x16(b),
    ]
}
