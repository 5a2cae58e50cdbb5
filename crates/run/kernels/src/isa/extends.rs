//! Sets that have the registers of another set and better integer products.
//!
//! Such a set says what it extends and how it multiplies; everything else is the other's, which
//! is inlined and so compiled with the features of the extending set.

use super::{Bound, Simd};

/// An instruction set that extends another.
pub trait Extends: Copy {
    /// The set that is extended.
    type Base: Simd;

    /// [`Simd::TILE`].
    const TILE: usize;
    /// [`Simd::PAIRED`].
    const PAIRED: bool;

    /// The other set, which a processor that has this one has too.
    fn base(self) -> Self::Base;

    /// [`Simd::fma`]: the other set's, but for sets that are told apart by it.
    #[inline(always)]
    fn fma(self, a: F<Self>, b: F<Self>, c: F<Self>) -> F<Self> {
        self.base().fma(a, b, c)
    }

    /// [`Simd::fnma`], likewise.
    #[inline(always)]
    fn fnma(self, a: F<Self>, b: F<Self>, c: F<Self>) -> F<Self> {
        self.base().fnma(a, b, c)
    }

    /// [`Simd::anchored`], likewise.
    #[inline(always)]
    fn anchored(self, acc: I<Self>, scale: F<Self>, offset: F<Self>) -> F<Self> {
        self.base().anchored(acc, scale, offset)
    }

    /// [`Simd::dot16`], never centered.
    fn dot16<const N: usize, R: Bound>(
        self,
        acc: [I<Self>; N],
        w: [B<Self>; 4],
        x: &[[u8; 32]; N],
        half: usize,
    ) -> [I<Self>; N];

    /// [`Simd::dot32`].
    #[inline(always)]
    fn dot32<const N: usize, R: Bound>(
        self,
        acc: [I<Self>; N],
        first: [B<Self>; 4],
        second: [B<Self>; 4],
        x: &[[u8; 32]; N],
    ) -> [I<Self>; N] {
        let acc = Extends::dot16::<N, R>(self, acc, first, x, 0);
        Extends::dot16::<N, R>(self, acc, second, x, 1)
    }

    /// [`Simd::dot4`].
    #[inline(always)]
    fn dot4(self, acc: I<Self>, w: B<Self>, x: i32) -> I<Self> {
        self.base().dot4(acc, w, x)
    }
}

/// Floats of the extended set.
pub(super) type F<E> = <<E as Extends>::Base as Simd>::F;
/// Integers of the extended set.
pub(super) type I<E> = <<E as Extends>::Base as Simd>::I;
/// Bytes of the extended set.
pub(super) type B<E> = <<E as Extends>::Base as Simd>::B;

/// Stamps methods that are the extended set's.
macro_rules! inherit {
    ($(fn $name:ident($($arg:ident: $ty:ty),*) -> $out:ty;)*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: $ty),*) -> $out {
            self.base().$name($($arg),*)
        }
    )*};
}

impl<E: Extends> Simd for E {
    type F = F<E>;
    type I = I<E>;
    type B = B<E>;

    const TILE: usize = <E as Extends>::TILE;
    const PAIRED: bool = <E as Extends>::PAIRED;
    const ROWS: usize = <E::Base as Simd>::ROWS;
    const CENTERED: bool = false;

    inherit! {
        fn splat(value: f32) -> Self::F;
        fn load(from: &[f32; 16]) -> Self::F;
        fn store(a: Self::F, to: &mut [f32; 16]) -> ();
        fn load_f16(from: &[u8; 32]) -> Self::F;
        fn load_bf16(from: &[u8; 32]) -> Self::F;
        fn store_f16(a: Self::F, to: &mut [u8; 32]) -> ();
        fn add(a: Self::F, b: Self::F) -> Self::F;
        fn sub(a: Self::F, b: Self::F) -> Self::F;
        fn mul(a: Self::F, b: Self::F) -> Self::F;
        fn div(a: Self::F, b: Self::F) -> Self::F;
        fn max(a: Self::F, b: Self::F) -> Self::F;
        fn min(a: Self::F, b: Self::F) -> Self::F;
        fn sqrt(a: Self::F) -> Self::F;
        fn select_lt(a: Self::F, b: Self::F, x: Self::F, y: Self::F) -> Self::F;
        fn round_to_i(a: Self::F) -> Self::I;
        fn trunc_to_i(a: Self::F) -> Self::I;
        fn to_f(a: Self::I) -> Self::F;
        fn bits(a: Self::F) -> Self::I;
        fn of_bits(a: Self::I) -> Self::F;
        fn splat_i(value: i32) -> Self::I;
        fn load_i(from: &[i32; 16]) -> Self::I;
        fn store_i(a: Self::I, to: &mut [i32; 16]) -> ();
        fn load_i8(from: &[u8; 16]) -> Self::I;
        fn load_u8(from: &[u8; 16]) -> Self::I;
        fn store_i8(a: Self::I, to: &mut [u8; 16]) -> ();
        fn add_i(a: Self::I, b: Self::I) -> Self::I;
        fn sub_i(a: Self::I, b: Self::I) -> Self::I;
        fn mul_i(a: Self::I, b: Self::I) -> Self::I;
        fn factor(a: Self::I) -> Self::I;
        fn fold(acc: Self::I, a: Self::I, b: Self::I) -> Self::I;
        fn and_i(a: Self::I, b: Self::I) -> Self::I;
        fn or_i(a: Self::I, b: Self::I) -> Self::I;
        fn max_i(a: Self::I, b: Self::I) -> Self::I;
        fn shl_i(a: Self::I, count: u32) -> Self::I;
        fn shr_i(a: Self::I, count: u32) -> Self::I;
        fn prefetch(at: &u8, ahead: usize) -> ();
        fn load_b(from: &[u8; 64]) -> Self::B;
        fn store_b(a: Self::B, to: &mut [u8; 64]) -> ();
        fn splat_b(value: u8) -> Self::B;
        fn and_b(a: Self::B, b: Self::B) -> Self::B;
        fn or_b(a: Self::B, b: Self::B) -> Self::B;
        fn sub_b(a: Self::B, b: Self::B) -> Self::B;
        fn shl_b(a: Self::B, count: u32) -> Self::B;
        fn shr_b(a: Self::B, count: u32) -> Self::B;
        fn lookup(table: &[u8; 16], idx: Self::B) -> Self::B;
        fn as_i(a: Self::B) -> Self::I;
        fn as_b(a: Self::I) -> Self::B;
        fn widen_lo(a: Self::B) -> Self::B;
        fn widen_hi(a: Self::B) -> Self::B;
        fn dot_pairs(acc: Self::I, w: Self::B, x: i32) -> Self::I;
        fn sum(a: Self::F) -> f32;
        fn max_lane(a: Self::F) -> f32;
        fn sum_i(a: Self::I) -> i32;
        fn max_lane_i(a: Self::I) -> i32;
        fn min_i(a: Self::I, b: Self::I) -> Self::I;
        fn greater_i(a: Self::I, b: Self::I) -> Self::I;
        fn shr_each(a: Self::I, count: Self::I) -> Self::I;
        fn mul_high(a: Self::I, b: Self::I) -> Self::I;
        fn load_part(from: &[f32]) -> Self::F;
        fn store_part(a: Self::F, to: &mut [f32]) -> ();
    }

    const SHIFT: u8 = <E::Base as Simd>::SHIFT;

    #[inline(always)]
    fn dot4(self, acc: Self::I, w: Self::B, x: i32) -> Self::I {
        Extends::dot4(self, acc, w, x)
    }

    #[inline(always)]
    fn load_apart<const N: usize>(self, from: &[f32], step: usize) -> [Self::F; N] {
        self.base().load_apart(from, step)
    }

    #[inline(always)]
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        Extends::fma(self, a, b, c)
    }

    #[inline(always)]
    fn fnma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        Extends::fnma(self, a, b, c)
    }

    #[inline(always)]
    fn anchored(self, acc: Self::I, scale: Self::F, offset: Self::F) -> Self::F {
        Extends::anchored(self, acc, scale, offset)
    }

    #[inline(always)]
    fn dot16<const N: usize, R: Bound>(
        self,
        acc: [Self::I; N],
        w: [Self::B; 4],
        x: &[[u8; 32]; N],
        half: usize,
    ) -> [Self::I; N] {
        Extends::dot16::<N, R>(self, acc, w, x, half)
    }

    #[inline(always)]
    fn dot32<const N: usize, R: Bound>(
        self,
        acc: [Self::I; N],
        first: [Self::B; 4],
        second: [Self::B; 4],
        x: &[[u8; 32]; N],
    ) -> [Self::I; N] {
        Extends::dot32::<N, R>(self, acc, first, second, x)
    }
}
