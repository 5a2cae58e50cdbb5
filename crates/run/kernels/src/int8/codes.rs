//! Codes by themselves: copies with a border, tables, and whole arrays of numbers scaled.
//!
//! What is copied changes its sign bit on the way, which makes signed codes of unsigned ones and
//! the other way round.

use super::scale::{To, write};
use super::{Scale, Word};
use crate::isa::{Isa, Kernel, LANES, Simd};

/// Copies bytes, each with the bits of `flip` turned.
///
/// # Panics
/// If the slices differ in length.
pub fn flip(x: &[u8], flip: u8, out: &mut [u8]) {
    assert_eq!(x.len(), out.len(), "as many bytes");
    if flip == 0 {
        out.copy_from_slice(x);
    } else {
        for (out, x) in out.iter_mut().zip(x) {
            *out = x ^ flip;
        }
    }
}

/// An image's lines with a border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Border {
    /// Lines of the image.
    pub lines: usize,
    /// Bytes of a line.
    pub line: usize,
    /// Bytes before a line.
    pub left: usize,
    /// Bytes of a line with its borders; what does not fit is left out.
    pub width: usize,
    /// Bits that are turned in what is copied.
    pub flip: u8,
}

impl Border {
    /// Copies lines from `first` on, counted from the image's first, as many as `out` has whole;
    /// `fill` stands in the border.
    ///
    /// # Panics
    /// If `image` is shorter than its lines.
    pub fn copy(&self, image: &[u8], first: isize, fill: u8, out: &mut [u8]) {
        let inside = self.line.min(self.width.saturating_sub(self.left));
        for (y, out) in (first..).zip(out.chunks_exact_mut(self.width.max(1))) {
            let Some(y) = usize::try_from(y).ok().filter(|&y| y < self.lines) else {
                out.fill(fill);
                continue;
            };
            let (before, rest) = out.split_at_mut(self.left.min(self.width));
            let (middle, after) = rest.split_at_mut(inside);
            before.fill(fill);
            flip(&image[y * self.line..][..inside], self.flip, middle);
            after.fill(fill);
        }
    }
}

/// Bytes by a table of as many bytes.
///
/// # Panics
/// If the slices differ in length.
pub fn lookup(x: &[u8], flip: u8, table: &[u8; 256], out: &mut [u8]) {
    assert_eq!(x.len(), out.len(), "as many bytes");
    for (out, x) in out.iter_mut().zip(x) {
        *out = table[usize::from(x ^ flip)];
    }
}

/// Bytes by a table of words.
///
/// # Panics
/// If there are not as many words as bytes.
pub fn lookup_words(x: &[u8], flip: u8, table: &[[u8; 4]; 256], out: &mut [u8]) {
    let (out, _) = out.as_chunks_mut::<4>();
    assert_eq!(x.len(), out.len(), "as many words");
    for (out, x) in out.iter_mut().zip(x) {
        *out = table[usize::from(x ^ flip)];
    }
}

/// 32-bit integers scaled one by one: `[rows, channels]`, channel c by word c, or all by one word.
#[derive(Debug)]
pub struct Scaling<'a> {
    /// The integers, little-endian.
    pub x: &'a [u8],
    /// How they become numbers.
    pub scale: &'a Scale,
    /// A word for each channel, or one for all.
    pub words: &'a [Word],
    /// The numbers.
    pub out: &'a mut [u8],
}

impl Scaling<'_> {
    /// Computes it.
    ///
    /// # Panics
    /// If the slices do not fit each other.
    pub fn run(self, isa: Isa) {
        assert!(!self.words.is_empty(), "a word at least");
        assert_eq!(self.x.len() / 4 * self.scale.to.bytes(), self.out.len(), "as many numbers");
        isa.run(self);
    }
}

impl Kernel for Scaling<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (x, _) = self.x.as_chunks::<4>();
        let width = self.scale.to.bytes();
        let row = if self.words.len() == 1 { x.len() } else { self.words.len() };
        for (x, out) in x.chunks(row.max(1)).zip(self.out.chunks_mut(row.max(1) * width)) {
            let all = x.chunks(LANES).zip(out.chunks_mut(LANES * width));
            for (i, (x, out)) in all.enumerate() {
                let mut sums = [0; LANES];
                for (sum, x) in sums.iter_mut().zip(x) {
                    *sum = i32::from_le_bytes(*x);
                }
                let (mut factor, mut shift, mut mask) = ([0; LANES], [0; LANES], [0; LANES]);
                for lane in 0..x.len() {
                    let at = if self.words.len() == 1 { 0 } else { i * LANES + lane };
                    let word = self.words[at];
                    (factor[lane], shift[lane], mask[lane]) =
                        (word.factor, word.shift, word.mask());
                }
                let word = [s.load_i(&factor), s.load_i(&shift), s.load_i(&mask)];
                self.scale.store(s, s.load_i(&sums), word, out);
            }
        }
    }
}

/// How singles become whole numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nearest {
    /// Halves to even.
    Even,
    /// Halves away from zero.
    Away,
}

/// Singles as codes: `clamp(round(x / unit) + zero)`, or `x · unit` where `is_factor`. What is no
/// number counts as 0.
#[derive(Debug)]
pub struct Quantising<'a> {
    /// The singles, little-endian.
    pub x: &'a [u8],
    /// What one code stands for, or its inverse.
    pub unit: f32,
    /// Whether singles are multiplied.
    pub is_factor: bool,
    /// How they are rounded.
    pub nearest: Nearest,
    /// Added after rounding; of the type's size.
    pub zero: i32,
    /// The least and the greatest code, within the type.
    pub bounds: (i32, i32),
    /// The codes' type: bytes or 16-bit integers.
    pub to: To,
    /// The codes.
    pub out: &'a mut [u8],
}

impl Quantising<'_> {
    /// Computes it.
    ///
    /// # Panics
    /// If the slices do not fit each other.
    pub fn run(self, isa: Isa) {
        assert_eq!(self.x.len() / 4 * self.to.bytes(), self.out.len(), "as many codes");
        isa.run(self);
    }
}

impl Kernel for Quantising<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (x, _) = self.x.as_chunks::<4>();
        let unit = s.splat(self.unit);
        // Rounding does not change the order, so that bounds may come first; one more keeps halves.
        let low = s.splat((self.bounds.0 - self.zero - 1) as f32);
        let high = s.splat((self.bounds.1 - self.zero + 1) as f32);
        let width = self.to.bytes();
        for (x, out) in x.chunks(LANES).zip(self.out.chunks_mut(LANES * width)) {
            let mut values = [0.0; LANES];
            for (value, x) in values.iter_mut().zip(x) {
                *value = f32::from_le_bytes(*x);
            }
            let value = s.load(&values);
            let value = if self.is_factor { s.mul(value, unit) } else { s.div(value, unit) };
            let number =
                s.select_lt(value, s.splat(f32::INFINITY), value, s.max(value, s.splat(0.0)));
            let held = s.min(s.max(number, low), high);
            let rounded = match self.nearest {
                Nearest::Even => s.round_to_i(held),
                Nearest::Away => {
                    let whole = s.trunc_to_i(held);
                    let rest = s.sub(held, s.to_f(whole));
                    s.add_i(whole, s.trunc_to_i(s.add(rest, rest)))
                }
            };
            let code = s.add_i(rounded, s.splat_i(self.zero));
            let code = s.min_i(s.max_i(code, s.splat_i(self.bounds.0)), s.splat_i(self.bounds.1));
            write(s, self.to, code, out);
        }
    }
}

/// Bytes as singles: `(x - zero) · unit`.
#[derive(Debug)]
pub struct Dequantising<'a> {
    /// The codes.
    pub x: &'a [u8],
    /// Whether they are signed.
    pub signed: bool,
    /// The code of 0.
    pub zero: i32,
    /// What one code stands for.
    pub unit: f32,
    /// The singles, little-endian.
    pub out: &'a mut [u8],
}

impl Dequantising<'_> {
    /// Computes it.
    ///
    /// # Panics
    /// If the slices do not fit each other.
    pub fn run(self, isa: Isa) {
        assert_eq!(self.x.len() * 4, self.out.len(), "as many singles");
        isa.run(self);
    }
}

impl Kernel for Dequantising<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (zero, unit) = (s.splat_i(self.zero), s.splat(self.unit));
        for (x, out) in self.x.chunks(LANES).zip(self.out.chunks_mut(4 * LANES)) {
            let mut bytes = [0; LANES];
            bytes[..x.len()].copy_from_slice(x);
            let code = if self.signed { s.load_i8(&bytes) } else { s.load_u8(&bytes) };
            let value = s.mul(s.to_f(s.sub_i(code, zero)), unit);
            let mut values = [0.0; LANES];
            s.store(value, &mut values);
            for (out, value) in out.as_chunks_mut().0.iter_mut().zip(values) {
                *out = value.to_le_bytes();
            }
        }
    }
}

/// What becomes of two whole numbers; what does not fit wraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pair {
    /// Their sum.
    Sum,
    /// Their difference.
    Difference,
    /// Their product.
    Product,
}

/// How codes stand for real numbers: `(code - zero) · unit`.
#[derive(Clone, Copy, Debug)]
pub struct Unit {
    /// What one code stands for.
    pub unit: f32,
    /// The code of 0.
    pub zero: i32,
}

/// Codes of sums, differences or products of what bytes stand for, in steps of singles: halves to even.
#[derive(Debug)]
pub struct CodePairs<'a> {
    /// What becomes of two numbers.
    pub pair: Pair,
    /// As many bytes each as codes, or one, or a row that repeats.
    pub operands: [&'a [u8]; 2],
    /// Whether they are signed.
    pub signed: [bool; 2],
    /// What they stand for.
    pub units: [Unit; 2],
    /// What codes stand for.
    pub result: Unit,
    /// The least and the greatest code, within the type.
    pub bounds: (i32, i32),
    /// The codes' type: bytes.
    pub to: To,
    /// The codes.
    pub out: &'a mut [u8],
}

impl CodePairs<'_> {
    /// Computes it.
    ///
    /// # Panics
    /// If an operand is neither as long as the codes, nor one byte, nor a row that the codes are a
    /// whole number of.
    pub fn run(self, isa: Isa) {
        let len = self.out.len();
        let fits = |operand: &&[u8]| !operand.is_empty() && len.is_multiple_of(operand.len());
        assert!(len == 0 || self.operands.iter().all(fits), "operands repeat in the codes");
        if len > 0 {
            isa.run(self);
        }
    }
}

impl Kernel for CodePairs<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let [a, b] = self.operands;
        let row = [a.len(), b.len()].into_iter().filter(|&len| len > 1).min();
        let row = row.unwrap_or(self.out.len());
        let zeros = self.units.map(|of| s.splat_i(of.zero));
        let units = self.units.map(|of| s.splat(of.unit));
        let (unit, zero) = (s.splat(self.result.unit), s.splat_i(self.result.zero));
        let (low, high) = (s.splat_i(self.bounds.0), s.splat_i(self.bounds.1));
        let width = self.to.bytes();
        // The bytes of operand i from `at` on, wherever it repeats.
        let load = |i: usize, at: usize, count: usize| {
            let x = self.operands[i];
            let mut bytes = [0; LANES];
            let bytes = if x.len() == 1 {
                bytes = [x[0]; LANES];
                &bytes
            } else if let Some(whole) = x[at % x.len()..].first_chunk::<LANES>() {
                whole
            } else {
                bytes[..count].copy_from_slice(&x[at % x.len()..][..count]);
                &bytes
            };
            let code = if self.signed[i] { s.load_i8(bytes) } else { s.load_u8(bytes) };
            s.mul(s.to_f(s.sub_i(code, zeros[i])), units[i])
        };
        for (first, out) in (0..).step_by(row).zip(self.out.chunks_mut(row * width)) {
            for (i, out) in out.chunks_mut(LANES * width).enumerate() {
                let (at, count) = (first + i * LANES, out.len() / width);
                let (a, b) = (load(0, at, count), load(1, at, count));
                let value = match self.pair {
                    Pair::Sum => s.add(a, b),
                    Pair::Difference => s.sub(a, b),
                    Pair::Product => s.mul(a, b),
                };
                // Beyond what bytes hold: so that rounded numbers fit 32 bits.
                let steps = s.div(value, unit);
                let held = s.min(s.max(steps, s.splat(-1e6)), s.splat(1e6));
                let code = s.add_i(s.round_to_i(held), zero);
                write(s, self.to, s.min_i(s.max_i(code, low), high), out);
            }
        }
    }
}

/// Pairs of 32-bit integers, little-endian; `b` repeats.
///
/// # Panics
/// If `a` and `out` differ in length, or `b` is empty while they are not.
pub fn pairs(pair: Pair, a: &[u8], b: &[u8], out: &mut [u8]) {
    assert_eq!(a.len(), out.len(), "as many numbers");
    let of = |a: [u8; 4], b: [u8; 4]| {
        let (a, b) = (i32::from_le_bytes(a), i32::from_le_bytes(b));
        match pair {
            Pair::Sum => a.wrapping_add(b),
            Pair::Difference => a.wrapping_sub(b),
            Pair::Product => a.wrapping_mul(b),
        }
        .to_le_bytes()
    };
    let ((a, _), (b, _), (out, _)) =
        (a.as_chunks::<4>(), b.as_chunks::<4>(), out.as_chunks_mut::<4>());
    if let [one] = b {
        for (out, a) in out.iter_mut().zip(a) {
            *out = of(*a, *one);
        }
        return;
    }
    for (out, a) in out.chunks_mut(b.len()).zip(a.chunks(b.len())) {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            *out = of(*a, *b);
        }
    }
}
