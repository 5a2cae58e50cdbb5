//! The scalar set: every operation in plain Rust, the specification of all other sets.
//!
//! It needs no feature of the processor and no standard library; without the latter the fused
//! multiply-add and the square root are computed in double precision and rounded correctly.

use core::array::from_fn;

use tensor::{BF16, F16};

use super::{Bound, Simd};

/// The token of the scalar set, which anyone may make.
#[derive(Clone, Copy, Debug)]
pub struct Scalar;

/// `a · b + c`, rounded once.
#[inline]
pub fn fma(a: f32, b: f32, c: f32) -> f32 {
    #[cfg(feature = "std")]
    return a.mul_add(b, c);
    #[cfg(not(feature = "std"))]
    fma_in_f64(a, b, c)
}

/// The square root, rounded to nearest.
#[inline]
pub fn sqrt(a: f32) -> f32 {
    #[cfg(feature = "std")]
    return a.sqrt();
    #[cfg(not(feature = "std"))]
    sqrt_in_f64(a)
}

/// Fused multiply-add by rounding the double sum to odd, so that the second rounding is right
/// (Boldo and Melquiond 2008, "Emulation of FMA and correctly rounded sums").
#[cfg(any(test, not(feature = "std")))]
#[expect(clippy::cast_possible_truncation, reason = "the rounding to single is the point")]
fn fma_in_f64(a: f32, b: f32, c: f32) -> f32 {
    let (product, c) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = product + c;
    let c_part = sum - product;
    let error = (product - (sum - c_part)) + (c - c_part);
    let bits = sum.to_bits();
    if !sum.is_finite() || error == 0.0 || bits & 1 == 1 {
        return sum as f32;
    }
    let odd = if (error > 0.0) == (sum > 0.0) { bits + 1 } else { bits - 1 };
    f64::from_bits(odd) as f32
}

/// Square root by Newton's method in double precision.
#[cfg(any(test, not(feature = "std")))]
#[expect(clippy::cast_possible_truncation, reason = "the rounding to single is the point")]
fn sqrt_in_f64(a: f32) -> f32 {
    if a == 0.0 || a == f32::INFINITY || a.is_nan() {
        return a;
    }
    if a < 0.0 {
        return f32::NAN;
    }
    let a = f64::from(a);
    // Half the exponent is a first guess within 6 %; each step doubles its digits.
    let mut root = f64::from_bits((a.to_bits() >> 1) + (1023 << 51));
    for _ in 0..5 {
        root = 0.5 * (root + a / root);
    }
    root as f32
}

/// `±2²³` rounding: the nearest integer, ties to even, of a number below 2³¹.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "beyond ±2³¹ the result is unspecified")]
fn round_ties_even(a: f32) -> i32 {
    const STEP_ONE: f32 = 8_388_608.0;
    if a.abs() >= STEP_ONE {
        return a as i32;
    }
    let step = if a < 0.0 { -STEP_ONE } else { STEP_ONE };
    ((a + step) - step) as i32
}

/// The same number, which LLVM 22 cannot make a relaxed minimum of, as those lose NaN.
#[inline(always)]
pub(super) fn plain(a: f32) -> f32 {
    #[cfg(target_feature = "relaxed-simd")]
    return core::hint::black_box(a);
    #[cfg(not(target_feature = "relaxed-simd"))]
    a
}

/// Sixteen fused multiply-adds. Never inlined, as the next: bodies would become several times as
/// long for every kernel, and no faster.
#[inline(never)]
fn fma_lanes(a: &[f32; 16], b: &[f32; 16], c: &[f32; 16]) -> [f32; 16] {
    from_fn(|i| fma(a[i], b[i], c[i]))
}

/// Adds the products of sixteen weights of each lane with those of `x`.
#[inline(never)]
fn dot_lanes(acc: &mut [i32; 16], w: &[[u8; 64]; 4], x: &[u8]) {
    for c in 0..4 {
        for r in 0..16 {
            for i in 0..4 {
                let product = i32::from(w[c][4 * r + i]) * i32::from(x[4 * c + i].cast_signed());
                acc[r] = acc[r].wrapping_add(product);
            }
        }
    }
}

/// The bytes of lane r.
#[inline]
fn lane(a: &[u8; 64], r: usize) -> [u8; 4] {
    from_fn(|i| a[4 * r + i])
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "bytes and integers change their sign and width as the operations say"
)]
impl Simd for Scalar {
    type F = [f32; 16];
    type I = [i32; 16];
    type B = [u8; 64];

    const TILE: usize = 1;
    const PAIRED: bool = false;
    const ROWS: usize = 1;
    const CENTERED: bool = false;

    #[inline(always)]
    fn splat(self, value: f32) -> Self::F {
        [value; 16]
    }
    #[inline(always)]
    fn load(self, from: &[f32; 16]) -> Self::F {
        *from
    }
    #[inline(always)]
    fn store(self, a: Self::F, to: &mut [f32; 16]) {
        *to = a;
    }
    #[inline(always)]
    fn load_f16(self, from: &[u8; 32]) -> Self::F {
        from_fn(|i| F16::from_le_bytes([from[2 * i], from[2 * i + 1]]).to_f32())
    }
    #[inline(always)]
    fn load_bf16(self, from: &[u8; 32]) -> Self::F {
        from_fn(|i| BF16::from_le_bytes([from[2 * i], from[2 * i + 1]]).to_f32())
    }
    #[inline(always)]
    fn store_f16(self, a: Self::F, to: &mut [u8; 32]) {
        for i in 0..16 {
            [to[2 * i], to[2 * i + 1]] = F16::from_f32(a[i]).to_le_bytes();
        }
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        from_fn(|i| a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        from_fn(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        from_fn(|i| a[i] / b[i])
    }
    #[inline(always)]
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        fma_lanes(&a, &b, &c)
    }
    #[inline(always)]
    fn fnma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        fma_lanes(&from_fn(|i| -a[i]), &b, &c)
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        from_fn(|i| if a[i] > b[i] { a[i] } else { plain(b[i]) })
    }
    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        from_fn(|i| if a[i] < b[i] { a[i] } else { plain(b[i]) })
    }
    #[inline(always)]
    fn sqrt(self, a: Self::F) -> Self::F {
        from_fn(|i| sqrt(a[i]))
    }
    #[inline(always)]
    fn select_lt(self, a: Self::F, b: Self::F, x: Self::F, y: Self::F) -> Self::F {
        from_fn(|i| if a[i] < b[i] { x[i] } else { y[i] })
    }
    #[inline(always)]
    fn round_to_i(self, a: Self::F) -> Self::I {
        from_fn(|i| round_ties_even(a[i]))
    }
    #[inline(always)]
    fn trunc_to_i(self, a: Self::F) -> Self::I {
        from_fn(|i| a[i] as i32)
    }
    #[inline(always)]
    fn to_f(self, a: Self::I) -> Self::F {
        from_fn(|i| a[i] as f32)
    }
    #[inline(always)]
    fn bits(self, a: Self::F) -> Self::I {
        from_fn(|i| a[i].to_bits() as i32)
    }
    #[inline(always)]
    fn of_bits(self, a: Self::I) -> Self::F {
        from_fn(|i| f32::from_bits(a[i] as u32))
    }

    #[inline(always)]
    fn splat_i(self, value: i32) -> Self::I {
        [value; 16]
    }
    #[inline(always)]
    fn load_i(self, from: &[i32; 16]) -> Self::I {
        *from
    }
    #[inline(always)]
    fn store_i(self, a: Self::I, to: &mut [i32; 16]) {
        *to = a;
    }
    #[inline(always)]
    fn load_i8(self, from: &[u8; 16]) -> Self::I {
        from_fn(|i| i32::from(from[i] as i8))
    }
    #[inline(always)]
    fn load_u8(self, from: &[u8; 16]) -> Self::I {
        from_fn(|i| i32::from(from[i]))
    }
    #[inline(always)]
    fn store_i8(self, a: Self::I, to: &mut [u8; 16]) {
        *to = from_fn(|i| a[i] as u8);
    }
    #[inline(always)]
    fn add_i(self, a: Self::I, b: Self::I) -> Self::I {
        from_fn(|i| a[i].wrapping_add(b[i]))
    }
    #[inline(always)]
    fn sub_i(self, a: Self::I, b: Self::I) -> Self::I {
        from_fn(|i| a[i].wrapping_sub(b[i]))
    }
    #[inline(always)]
    fn mul_i(self, a: Self::I, b: Self::I) -> Self::I {
        from_fn(|i| a[i].wrapping_mul(b[i]))
    }
    #[inline(always)]
    fn factor(self, a: Self::I) -> Self::I {
        a
    }
    #[inline(always)]
    fn fold(self, acc: Self::I, a: Self::I, b: Self::I) -> Self::I {
        from_fn(|i| acc[i].wrapping_add(a[i].wrapping_mul(b[i])))
    }
    #[inline(always)]
    fn and_i(self, a: Self::I, b: Self::I) -> Self::I {
        from_fn(|i| a[i] & b[i])
    }
    #[inline(always)]
    fn or_i(self, a: Self::I, b: Self::I) -> Self::I {
        from_fn(|i| a[i] | b[i])
    }
    #[inline(always)]
    fn max_i(self, a: Self::I, b: Self::I) -> Self::I {
        from_fn(|i| a[i].max(b[i]))
    }
    #[inline(always)]
    fn shl_i(self, a: Self::I, count: u32) -> Self::I {
        from_fn(|i| a[i] << count)
    }
    #[inline(always)]
    fn shr_i(self, a: Self::I, count: u32) -> Self::I {
        from_fn(|i| a[i] >> count)
    }

    #[inline(always)]
    fn load_b(self, from: &[u8; 64]) -> Self::B {
        *from
    }
    #[inline(always)]
    fn store_b(self, a: Self::B, to: &mut [u8; 64]) {
        *to = a;
    }
    #[inline(always)]
    fn splat_b(self, value: u8) -> Self::B {
        [value; 64]
    }
    #[inline(always)]
    fn and_b(self, a: Self::B, b: Self::B) -> Self::B {
        from_fn(|i| a[i] & b[i])
    }
    #[inline(always)]
    fn or_b(self, a: Self::B, b: Self::B) -> Self::B {
        from_fn(|i| a[i] | b[i])
    }
    #[inline(always)]
    fn sub_b(self, a: Self::B, b: Self::B) -> Self::B {
        from_fn(|i| a[i].wrapping_sub(b[i]))
    }
    #[inline(always)]
    fn shl_b(self, a: Self::B, count: u32) -> Self::B {
        from_fn(|i| a[i] << count)
    }
    #[inline(always)]
    fn shr_b(self, a: Self::B, count: u32) -> Self::B {
        from_fn(|i| a[i] >> count)
    }
    #[inline(always)]
    fn lookup(self, table: &[u8; 16], idx: Self::B) -> Self::B {
        from_fn(|i| table[usize::from(idx[i] & 15)])
    }
    #[inline(always)]
    fn as_i(self, a: Self::B) -> Self::I {
        from_fn(|r| i32::from_le_bytes(lane(&a, r)))
    }
    #[inline(always)]
    fn as_b(self, a: Self::I) -> Self::B {
        from_fn(|i| a[i / 4].to_le_bytes()[i % 4])
    }
    #[inline(always)]
    fn widen_lo(self, a: Self::B) -> Self::B {
        from_fn(|i| if i % 2 == 0 { a[i / 2] } else { 0 })
    }
    #[inline(always)]
    fn widen_hi(self, a: Self::B) -> Self::B {
        from_fn(|i| if i % 2 == 0 { a[32 + i / 2] } else { 0 })
    }

    #[inline(always)]
    fn dot_pairs(self, acc: Self::I, w: Self::B, x: i32) -> Self::I {
        let (x0, x1) = (i32::from(x as i16), x >> 16);
        from_fn(|r| {
            let [a, b, c, d] = lane(&w, r);
            let (w0, w1) = (i16::from_le_bytes([a, b]), i16::from_le_bytes([c, d]));
            acc[r].wrapping_add(i32::from(w0) * x0).wrapping_add(i32::from(w1) * x1)
        })
    }

    #[inline(always)]
    fn dot16<const N: usize, R: Bound>(
        self,
        mut acc: [Self::I; N],
        w: [Self::B; 4],
        x: &[[u8; 32]; N],
        half: usize,
    ) -> [Self::I; N] {
        for t in 0..N {
            dot_lanes(&mut acc[t], &w, &x[t][16 * half..]);
        }
        acc
    }

    const SHIFT: u8 = 128;

    #[inline(always)]
    fn min_i(self, a: Self::I, b: Self::I) -> Self::I {
        from_fn(|i| a[i].min(b[i]))
    }
    #[inline(always)]
    fn greater_i(self, a: Self::I, b: Self::I) -> Self::I {
        from_fn(|i| -i32::from(a[i] > b[i]))
    }
    #[inline(always)]
    fn shr_each(self, a: Self::I, count: Self::I) -> Self::I {
        from_fn(|i| a[i] >> count[i])
    }
    #[inline(always)]
    fn mul_high(self, a: Self::I, b: Self::I) -> Self::I {
        from_fn(|i| ((i64::from(a[i]) * i64::from(b[i]) + (1 << 30)) >> 31) as i32)
    }
    #[inline(always)]
    fn dot4(self, acc: Self::I, w: Self::B, x: i32) -> Self::I {
        let x = x.to_le_bytes().map(i32::from);
        from_fn(|r| {
            let [a, b, c, d] = lane(&w, r).map(|w| i32::from(w as i8));
            acc[r].wrapping_add(a * x[0] + b * x[1] + c * x[2] + d * x[3])
        })
    }
}

/// The scalar set with every fused multiply-add rounded twice: what sets without one give.
#[cfg(all(test, target_arch = "wasm32"))]
#[derive(Clone, Copy, Debug)]
pub struct Unfused;

#[cfg(all(test, target_arch = "wasm32"))]
impl super::extends::Extends for Unfused {
    type Base = Scalar;

    const TILE: usize = 1;
    const PAIRED: bool = false;

    #[inline(always)]
    fn base(self) -> Scalar {
        Scalar
    }

    #[inline(always)]
    fn fma(self, a: [f32; 16], b: [f32; 16], c: [f32; 16]) -> [f32; 16] {
        from_fn(|i| a[i] * b[i] + c[i])
    }

    #[inline(always)]
    fn fnma(self, a: [f32; 16], b: [f32; 16], c: [f32; 16]) -> [f32; 16] {
        from_fn(|i| c[i] - a[i] * b[i])
    }

    #[inline(always)]
    fn anchored(self, acc: [i32; 16], scale: [f32; 16], offset: [f32; 16]) -> [f32; 16] {
        let anchor = crate::acts::ANCHOR.to_bits().cast_signed();
        from_fn(|i| {
            let product = acc[i].wrapping_sub(anchor) as f32 * scale[i] + 0.0;
            if offset[i].abs() < f32::INFINITY { product } else { offset[i] + scale[i] }
        })
    }

    #[inline(always)]
    fn dot16<const N: usize, R: Bound>(
        self,
        acc: [[i32; 16]; N],
        w: [[u8; 64]; 4],
        x: &[[u8; 32]; N],
        half: usize,
    ) -> [[i32; 16]; N] {
        Scalar.dot16::<N, R>(acc, w, x, half)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn double_precision_stands_in_for_the_standard_library() {
        let mut seed = 1u64;
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
            f32::from_bits((seed >> 32) as u32)
        };
        let special = [0.0, -0.0, 1.0, -1.5, f32::MAX, f32::MIN_POSITIVE, f32::INFINITY, f32::NAN];
        let special = special.map(|a| [a, a.next_up(), a.next_down()]).into_iter().flatten();
        let mut numbers: Vec<f32> = special.collect();
        numbers.extend((0..200).map(|_| next()));
        let same = |a: f32, b: f32| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
        for &a in &numbers {
            assert!(same(sqrt_in_f64(a), a.sqrt()), "sqrt {a:e}");
            for &b in &numbers {
                let near = -(a * b);
                for c in [b, near, near.next_up(), next(), 1.0] {
                    assert!(same(fma_in_f64(a, b, c), a.mul_add(b, c)), "{a:e} {b:e} {c:e}");
                }
            }
        }
    }
}
