//! Instruction sets: tokens that prove what the processor has, and the operations built on them.
//!
//! A token such as [`Avx2`] exists only if the processor has the features its methods use, so the
//! methods are safe. All sets speak of the same registers: 16 lanes of `f32` or `i32` and 64
//! bytes, whatever the hardware's width, and every operation gives the same bits everywhere; a
//! kernel is written once over [`Simd`] and entered through [`Isa::run`], which matches once and
//! compiles the whole body with the set's features.
//!
//! Rules for kernel bodies: `#[inline(always)]` on every function that takes a token, plain loops
//! over arrays of constant length, no closures; a function that is not inlined loses the features.

use core::{fmt, str::FromStr};

/// Applies an intrinsic to each quarter of its operands.
#[cfg(any(target_arch = "aarch64", all(target_arch = "wasm32", target_feature = "simd128")))]
macro_rules! each {
    ($f:ident, $a:expr) => {
        [$f($a[0]), $f($a[1]), $f($a[2]), $f($a[3])]
    };
    ($f:ident, $a:expr, $b:expr) => {
        [$f($a[0], $b[0]), $f($a[1], $b[1]), $f($a[2], $b[2]), $f($a[3], $b[3])]
    };
    ($f:ident, $a:expr, $b:expr, $c:expr) => {
        [
            $f($a[0], $b[0], $c[0]),
            $f($a[1], $b[1], $c[1]),
            $f($a[2], $b[2], $c[2]),
            $f($a[3], $b[3], $c[3]),
        ]
    };
}

pub(crate) mod apart;
mod extends;
pub mod scalar;
#[cfg(target_arch = "x86_64")]
pub mod x86;
#[cfg(target_arch = "aarch64")]
pub mod neon;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub mod wasm;

#[cfg(target_arch = "aarch64")]
pub use neon::{NeonDot, NeonI8mm};
pub use scalar::Scalar;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub use wasm::Wasm;
#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2, Avx512Vnni, AvxVnni};

/// Lanes of a register of `f32` or `i32`; also the rows of a weight panel.
pub const LANES: usize = 16;

/// Work that is compiled once for every instruction set.
///
/// `run` must be `#[inline(always)]`: it is inlined into a function that has the set's features.
pub trait Kernel {
    /// What the work yields.
    type Output;

    /// Does the work with the operations of `simd`.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// What weight bytes do not exceed, known when a kernel is compiled.
pub trait Bound {
    /// The largest weight byte.
    const MAX: u32;
}

/// A [`Bound`] of `MAX`.
#[derive(Clone, Copy, Debug)]
pub struct UpTo<const MAX: u32>;

impl<const MAX: u32> Bound for UpTo<MAX> {
    const MAX: u32 = MAX;
}

/// An instruction set that this processor has.
#[derive(Clone, Copy, Debug)]
pub enum Isa {
    /// Plain Rust: the specification of every operation.
    Scalar(Scalar),
    /// AVX2 with FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// AVX2 with the dot products of AVX-VNNI.
    #[cfg(target_arch = "x86_64")]
    AvxVnni(AvxVnni),
    /// AVX-512 F, BW, DQ, VL and VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni(Avx512Vnni),
    /// NEON with the dot-product instructions.
    #[cfg(target_arch = "aarch64")]
    NeonDot(NeonDot),
    /// NEON with the dot-product and the 8-bit matrix instructions.
    #[cfg(target_arch = "aarch64")]
    NeonI8mm(NeonI8mm),
    /// WebAssembly's 128-bit registers, with the relaxed instructions if the build has them.
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    Wasm(Wasm),
    /// The specification of sets that round products before they add: only tests run it.
    #[cfg(all(test, target_arch = "wasm32"))]
    Unfused(scalar::Unfused),
}

impl Isa {
    /// The scalar set, which every processor has.
    pub const SCALAR: Self = Self::Scalar(Scalar);

    /// The fastest set of this processor.
    pub fn detect() -> Self {
        Self::available().last().unwrap_or(Self::SCALAR)
    }

    /// All sets that this processor has, slowest first.
    pub fn available() -> impl Iterator<Item = Self> {
        let native = [
            #[cfg(target_arch = "x86_64")]
            Avx2::detect().map(Self::Avx2),
            #[cfg(target_arch = "x86_64")]
            AvxVnni::detect().map(Self::AvxVnni),
            #[cfg(target_arch = "x86_64")]
            Avx512Vnni::detect().map(Self::Avx512Vnni),
            #[cfg(target_arch = "aarch64")]
            NeonDot::detect().map(Self::NeonDot),
            #[cfg(target_arch = "aarch64")]
            NeonI8mm::detect().map(Self::NeonI8mm),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Some(Self::Wasm(Wasm::new())),
            None,
        ];
        core::iter::once(Self::SCALAR).chain(native.into_iter().flatten())
    }

    /// The name that users see and type: `scalar`, `avx2`, `avxvnni`, `avx512vnni`,
    /// `neondot`, `neoni8mm`, `wasm`, `wasmrelaxed`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar(_) => "scalar",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni(_) => "avxvnni",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni(_) => "avx512vnni",
            #[cfg(target_arch = "aarch64")]
            Self::NeonDot(_) => "neondot",
            #[cfg(target_arch = "aarch64")]
            Self::NeonI8mm(_) => "neoni8mm",
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Self::Wasm(_) => Wasm::NAME,
            #[cfg(all(test, target_arch = "wasm32"))]
            Self::Unfused(_) => "unfused",
        }
    }

    /// Tokens that a product takes at once on this set: [`Simd::TILE`].
    pub const fn tile(self) -> usize {
        match self {
            Self::Scalar(_) => Scalar::TILE,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => Avx2::TILE,
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni(_) => AvxVnni::TILE,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni(_) => Avx512Vnni::TILE,
            #[cfg(target_arch = "aarch64")]
            Self::NeonDot(_) => NeonDot::TILE,
            #[cfg(target_arch = "aarch64")]
            Self::NeonI8mm(_) => NeonI8mm::TILE,
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Self::Wasm(_) => Wasm::TILE,
            #[cfg(all(test, target_arch = "wasm32"))]
            Self::Unfused(_) => <scalar::Unfused as Simd>::TILE,
        }
    }

    /// What products of bytes want their operands to exceed signed ones by: [`Simd::SHIFT`].
    pub const fn shift(self) -> u8 {
        match self {
            Self::Scalar(_) => Scalar::SHIFT,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => Avx2::SHIFT,
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni(_) => AvxVnni::SHIFT,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni(_) => Avx512Vnni::SHIFT,
            #[cfg(target_arch = "aarch64")]
            Self::NeonDot(_) => NeonDot::SHIFT,
            #[cfg(target_arch = "aarch64")]
            Self::NeonI8mm(_) => NeonI8mm::SHIFT,
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Self::Wasm(_) => Wasm::SHIFT,
            #[cfg(all(test, target_arch = "wasm32"))]
            Self::Unfused(_) => <scalar::Unfused as Simd>::SHIFT,
        }
    }

    /// Rows that a product of floats takes at once on this set: [`Simd::ROWS`].
    pub const fn rows(self) -> usize {
        match self {
            Self::Scalar(_) => Scalar::ROWS,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => Avx2::ROWS,
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni(_) => AvxVnni::ROWS,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni(_) => Avx512Vnni::ROWS,
            #[cfg(target_arch = "aarch64")]
            Self::NeonDot(_) => NeonDot::ROWS,
            #[cfg(target_arch = "aarch64")]
            Self::NeonI8mm(_) => NeonI8mm::ROWS,
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Self::Wasm(_) => Wasm::ROWS,
            #[cfg(all(test, target_arch = "wasm32"))]
            Self::Unfused(_) => <scalar::Unfused as Simd>::ROWS,
        }
    }

    /// The sets that this processor has whose multiply-adds round once, as plain loops do.
    #[cfg(test)]
    pub(crate) fn fused() -> impl Iterator<Item = Self> {
        Self::available().filter(|isa| isa.specification() == Self::SCALAR)
    }

    /// The scalar set whose bits this set gives: [`SCALAR`](Self::SCALAR), unless the set adds to
    /// products that were rounded, as WebAssembly does on some machines.
    #[cfg(test)]
    pub(crate) fn specification(self) -> Self {
        if self.run(tests::Fuses) {
            return Self::SCALAR;
        }
        #[cfg(target_arch = "wasm32")]
        return Self::Unfused(scalar::Unfused);
        #[cfg(not(target_arch = "wasm32"))]
        unreachable!("{self} has a fused multiply-add")
    }

    /// Runs `kernel` compiled for this set, or for the set it extends, which does everything but
    /// products of bytes as well.
    #[inline]
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            Self::Scalar(token) => kernel.run(token),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(token) => token.enter(kernel),
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni(token) => extends::Extends::base(token).enter(kernel),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni(token) => token.enter(kernel),
            #[cfg(target_arch = "aarch64")]
            Self::NeonDot(token) => token.enter(kernel),
            #[cfg(target_arch = "aarch64")]
            Self::NeonI8mm(token) => extends::Extends::base(token).enter(kernel),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Self::Wasm(token) => kernel.run(token),
            #[cfg(all(test, target_arch = "wasm32"))]
            Self::Unfused(token) => kernel.run(token),
        }
    }

    /// Runs `kernel`, which multiplies bytes, compiled for this very set.
    #[inline]
    pub fn run_dots<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            Self::Scalar(token) => kernel.run(token),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(token) => token.enter(kernel),
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni(token) => token.enter(kernel),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni(token) => token.enter(kernel),
            #[cfg(target_arch = "aarch64")]
            Self::NeonDot(token) => token.enter(kernel),
            #[cfg(target_arch = "aarch64")]
            Self::NeonI8mm(token) => token.enter(kernel),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Self::Wasm(token) => kernel.run(token),
            #[cfg(all(test, target_arch = "wasm32"))]
            Self::Unfused(token) => kernel.run(token),
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl PartialEq for Isa {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Isa {}

/// A name that is no instruction set of this processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseIsaError;

impl fmt::Display for ParseIsaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an instruction set of this processor; it has")?;
        for isa in Isa::available() {
            write!(f, " {isa}")?;
        }
        Ok(())
    }
}

impl core::error::Error for ParseIsaError {}

impl FromStr for Isa {
    type Err = ParseIsaError;

    /// Finds the set of this name if the processor has it.
    fn from_str(name: &str) -> Result<Self, ParseIsaError> {
        Self::available().find(|isa| isa.name() == name).ok_or(ParseIsaError)
    }
}

/// The operations of an instruction set on registers of 16 lanes.
///
/// Every operation is defined lane by lane and gives the bits that [`Scalar`] gives, except that a
/// NaN may differ in sign and payload, and that WebAssembly has no fused multiply-add but where its
/// relaxed instructions find one: there [`fma`](Self::fma) and [`fnma`](Self::fnma) round twice.
/// Integer arithmetic wraps.
pub trait Simd: Copy {
    /// 16 `f32`.
    type F: Copy;
    /// 16 `i32`.
    type I: Copy;
    /// 64 bytes: lane r owns bytes 4 r to 4 r + 3.
    type B: Copy;

    /// Tokens that a product kernel should take at once: what the registers hold.
    const TILE: usize;
    /// Registers hold the integer sums of two blocks, whose instructions then alternate: eight
    /// sums alone do not hide the latency of two dot products a cycle.
    const PAIRED: bool;
    /// Rows of a tile of floats that the registers hold, times one panel, or times two where this is
    /// more than eight.
    const ROWS: usize;
    /// [`dot16`](Self::dot16) with a [`Bound`] of 128 and more subtracts 128 from every weight byte.
    const CENTERED: bool;

    /// `value` in all lanes.
    fn splat(self, value: f32) -> Self::F;
    /// Sixteen values from memory.
    fn load(self, from: &[f32; 16]) -> Self::F;
    /// Writes the lanes to memory.
    fn store(self, a: Self::F, to: &mut [f32; 16]);
    /// Sixteen little-endian halves, widened exactly.
    fn load_f16(self, from: &[u8; 32]) -> Self::F;
    /// Sixteen little-endian bfloat16, widened exactly.
    fn load_bf16(self, from: &[u8; 32]) -> Self::F;
    /// Writes the lanes as little-endian halves, rounded to nearest, ties to even.
    fn store_f16(self, a: Self::F, to: &mut [u8; 32]);
    /// `a + b`.
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a − b`.
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a · b`.
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a / b`.
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a · b + c`, rounded once.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `c − a · b`, rounded once.
    fn fnma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `(acc − anchor) · scale`, rounded once, for `acc` the bits of `acts::ANCHOR` plus an integer
    /// and `offset` = `−ANCHOR · scale`, which is exact; where it is infinite, the result is it,
    /// and NaN if the scale is not finite.
    #[inline(always)]
    fn anchored(self, acc: Self::I, scale: Self::F, offset: Self::F) -> Self::F {
        self.fma(self.of_bits(acc), scale, offset)
    }
    /// `a · 2ⁿ`, rounded once, for whole `n` from −252 to 254 and `a` from ½ to 2.
    #[inline(always)]
    fn times_power(self, a: Self::F, n: Self::F) -> Self::F {
        // In two factors, as one reaches from -126 to 127; the first product is exact.
        let n = self.trunc_to_i(n);
        let half = self.shr_i(n, 1);
        let rest = self.sub_i(n, half);
        let bias = self.splat_i(127);
        let half = self.of_bits(self.shl_i(self.add_i(half, bias), 23));
        let rest = self.of_bits(self.shl_i(self.add_i(rest, bias), 23));
        self.mul(self.mul(a, half), rest)
    }
    /// `a` where `a > b`, else `b` (also where one is NaN).
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a` where `a < b`, else `b` (also where one is NaN).
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// The square root, rounded to nearest.
    fn sqrt(self, a: Self::F) -> Self::F;
    /// `x` where `a < b`, else `y` (also where `a` or `b` is NaN).
    fn select_lt(self, a: Self::F, b: Self::F, x: Self::F, y: Self::F) -> Self::F;
    /// The nearest integer, ties to even. Unspecified beyond ±2³¹ and for NaN.
    fn round_to_i(self, a: Self::F) -> Self::I;
    /// The integer part. Unspecified beyond ±2³¹ and for NaN.
    fn trunc_to_i(self, a: Self::F) -> Self::I;
    /// The number nearest to each integer.
    fn to_f(self, a: Self::I) -> Self::F;
    /// The bit patterns.
    fn bits(self, a: Self::F) -> Self::I;
    /// The numbers that have these bit patterns.
    fn of_bits(self, a: Self::I) -> Self::F;

    /// `value` in all lanes.
    fn splat_i(self, value: i32) -> Self::I;
    /// Sixteen values from memory.
    fn load_i(self, from: &[i32; 16]) -> Self::I;
    /// Writes the lanes to memory.
    fn store_i(self, a: Self::I, to: &mut [i32; 16]);
    /// Sixteen bytes as integers from −128 to 127.
    fn load_i8(self, from: &[u8; 16]) -> Self::I;
    /// Sixteen bytes as integers from 0 to 255.
    fn load_u8(self, from: &[u8; 16]) -> Self::I;
    /// Writes the lanes, each from −128 to 127, as bytes.
    fn store_i8(self, a: Self::I, to: &mut [u8; 16]);
    /// `a + b`.
    fn add_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a − b`.
    fn sub_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// The low 32 bits of `a · b`.
    fn mul_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// Integers from −32767 to 32767 as [`fold`](Self::fold) takes them.
    fn factor(self, a: Self::I) -> Self::I;
    /// `acc + a · b` for `a` from −32768 to 32767 and `b` made by [`factor`](Self::factor).
    fn fold(self, acc: Self::I, a: Self::I, b: Self::I) -> Self::I;
    /// Bits set in both.
    fn and_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// Bits set in either.
    fn or_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// The larger, as signed integers.
    fn max_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// Bits moved up by `count` of 0 to 31.
    fn shl_i(self, a: Self::I, count: u32) -> Self::I;
    /// Bits moved down by `count` of 0 to 31, the sign repeated.
    fn shr_i(self, a: Self::I, count: u32) -> Self::I;

    /// Asks for the line `ahead` bytes behind `at`, wherever that is, to be brought near; a hint.
    #[inline(always)]
    fn prefetch(self, at: &u8, ahead: usize) {
        let _ = (at, ahead);
    }

    /// 64 bytes from memory.
    fn load_b(self, from: &[u8; 64]) -> Self::B;
    /// Writes the bytes to memory.
    fn store_b(self, a: Self::B, to: &mut [u8; 64]);
    /// `value` in all bytes.
    fn splat_b(self, value: u8) -> Self::B;
    /// Bits set in both.
    fn and_b(self, a: Self::B, b: Self::B) -> Self::B;
    /// Bits set in either.
    fn or_b(self, a: Self::B, b: Self::B) -> Self::B;
    /// `a − b` in every byte.
    fn sub_b(self, a: Self::B, b: Self::B) -> Self::B;
    /// Bits of every byte moved up by `count` of 0 to 7; the low `count` bits are unspecified.
    fn shl_b(self, a: Self::B, count: u32) -> Self::B;
    /// Bits of every byte moved down by `count` of 0 to 7; the high `count` bits are unspecified.
    fn shr_b(self, a: Self::B, count: u32) -> Self::B;
    /// Entry `idx` of `table` in every byte, `idx` from 0 to 15.
    fn lookup(self, table: &[u8; 16], idx: Self::B) -> Self::B;
    /// The lanes' bytes as little-endian integers.
    fn as_i(self, a: Self::B) -> Self::I;
    /// The bytes of little-endian integers.
    fn as_b(self, a: Self::I) -> Self::B;
    /// Bytes 0 to 31 as 32 little-endian 16-bit integers.
    fn widen_lo(self, a: Self::B) -> Self::B;
    /// Bytes 32 to 63 as 32 little-endian 16-bit integers.
    fn widen_hi(self, a: Self::B) -> Self::B;

    /// `acc + w[0] · x[0] + w[1] · x[1]`, where lane r of `w` is two 16-bit integers and `x` holds
    /// two more, the first in its low half.
    fn dot_pairs(self, acc: Self::I, w: Self::B, x: i32) -> Self::I;

    /// Products of 16 consecutive weights with `N` tokens: lane r of the result t is
    /// `acc[t] + Σ w[c][r][i] · x[t][16 · half + 4 c + i]` over c and i of 0 to 3.
    ///
    /// Weights are unsigned bytes of at most `R::MAX` (less 128 where
    /// [`CENTERED`](Self::CENTERED) says so and `MAX ≥ 128`); `x` are signed bytes from −127 to
    /// 127.
    fn dot16<const N: usize, R: Bound>(
        self,
        acc: [Self::I; N],
        w: [Self::B; 4],
        x: &[[u8; 32]; N],
        half: usize,
    ) -> [Self::I; N];

    /// [`dot16`](Self::dot16) of both halves, whose weights are `first` and `second`.
    #[inline(always)]
    fn dot32<const N: usize, R: Bound>(
        self,
        acc: [Self::I; N],
        first: [Self::B; 4],
        second: [Self::B; 4],
        x: &[[u8; 32]; N],
    ) -> [Self::I; N] {
        let acc = self.dot16::<N, R>(acc, first, x, 0);
        self.dot16::<N, R>(acc, second, x, 1)
    }

    /// The sum of all lanes: lane i and i + 8, then i and i + 4, i and i + 2, i and i + 1.
    #[inline(always)]
    fn sum(self, a: Self::F) -> f32 {
        let mut v = [0.0; 16];
        self.store(a, &mut v);
        let mut width = 8;
        while width > 0 {
            for i in 0..width {
                v[i] += v[i + width];
            }
            width /= 2;
        }
        v[0]
    }

    /// The largest lane, folded as [`sum`](Self::sum) is with [`max`](Self::max).
    #[inline(always)]
    fn max_lane(self, a: Self::F) -> f32 {
        let mut v = [0.0; 16];
        self.store(a, &mut v);
        let mut width = 8;
        while width > 0 {
            for i in 0..width {
                v[i] = if v[i] > v[i + width] { v[i] } else { scalar::plain(v[i + width]) };
            }
            width /= 2;
        }
        v[0]
    }

    /// The sum of all lanes.
    #[inline(always)]
    fn sum_i(self, a: Self::I) -> i32 {
        let mut v = [0; 16];
        self.store_i(a, &mut v);
        let mut sum = 0i32;
        for lane in v {
            sum = sum.wrapping_add(lane);
        }
        sum
    }

    /// The largest lane.
    #[inline(always)]
    fn max_lane_i(self, a: Self::I) -> i32 {
        let mut v = [0; 16];
        self.store_i(a, &mut v);
        let mut max = v[0];
        for lane in v {
            max = if lane > max { lane } else { max };
        }
        max
    }

    /// What [`dot4`](Self::dot4) wants its bytes to exceed signed ones by: 128 or 0.
    const SHIFT: u8;
    /// The smaller, as signed integers.
    fn min_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// −1 where `a > b`, else 0.
    fn greater_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// Bits moved down by each lane's `count` of 0 to 31, the sign repeated.
    fn shr_each(self, a: Self::I, count: Self::I) -> Self::I;
    /// The low 32 bits of `(a · b + 2³⁰) >> 31`, the product taken whole.
    fn mul_high(self, a: Self::I, b: Self::I) -> Self::I;
    /// `acc[r] + Σ w[r][i] · x[i]` over i of 0 to 3: signed bytes `w`, and bytes `x` of a
    /// little-endian word, unsigned where [`SHIFT`](Self::SHIFT) is 128 and signed where it is 0.
    fn dot4(self, acc: Self::I, w: Self::B, x: i32) -> Self::I;

    /// `N` times sixteen values from memory, `step` apart.
    #[inline(always)]
    fn load_apart<const N: usize>(self, from: &[f32], step: usize) -> [Self::F; N] {
        let mut all = [self.splat(0.0); N];
        for n in 0..N {
            let (lanes, _) = from[n * step..].split_first_chunk().expect("sixteen values each");
            all[n] = self.load(lanes);
        }
        all
    }

    /// Up to sixteen values from memory, zeros behind them.
    #[inline(always)]
    fn load_part(self, from: &[f32]) -> Self::F {
        let mut whole = [0.0; 16];
        whole[..from.len()].copy_from_slice(from);
        self.load(&whole)
    }

    /// Writes the first lanes to memory, as many as there is room for.
    #[inline(always)]
    fn store_part(self, a: Self::F, to: &mut [f32]) {
        let mut whole = [0.0; 16];
        self.store(a, &mut whole);
        to.copy_from_slice(&whole[..to.len()]);
    }

    /// Up to sixteen values from memory, zeros behind them: all of them in one load.
    #[inline(always)]
    fn load_some(self, from: &[f32]) -> Self::F {
        match from.try_into() {
            Ok(whole) => self.load(whole),
            Err(_) => self.load_part(from),
        }
    }

    /// Writes the first lanes to memory, as many as there is room for: all of them in one store.
    #[inline(always)]
    fn store_some(self, a: Self::F, to: &mut [f32]) {
        match (&mut *to).try_into() {
            Ok(whole) => self.store(a, whole),
            Err(_) => self.store_part(a, to),
        }
    }
}

#[cfg(test)]
mod tests;
