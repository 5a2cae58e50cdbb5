//! Functions of one element of an array, and of two: what networks do between their products.
//!
//! Every element of a result depends on those at its own place only, so that bits depend neither on
//! how an array is cut nor on the instruction set. Transcendental functions are those of
//! [`crate::exp`]. NaN gives NaN.

use crate::exp;
use crate::isa::{Isa, Kernel, LANES, Simd};

/// A function of one element.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names are those of mathematics; parameters are documented")]
pub enum Function {
    /// `min(max(x, low), high)`.
    Clamp {
        low: f32,
        high: f32,
    },
    Abs,
    Negate,
    Square,
    Sqrt,
    /// `1 / sqrt(x)`.
    Rsqrt,
    Reciprocal,
    Exp,
    Log,
    Erf,
    Tanh,
    Sigmoid,
    /// `x sigmoid(alpha x)`.
    Swish {
        alpha: f32,
    },
    /// `x Φ(x)`.
    Gelu,
    /// GELU by tanh.
    GeluTanh,
    Softplus,
    Mish,
    /// `x min(max(x / 6 + 1/2, 0), 1)`.
    HardSwish,
    /// `min(max(alpha x + beta, 0), 1)`.
    HardSigmoid {
        alpha: f32,
        beta: f32,
    },
    /// `x < 0 ? alpha x : x`.
    LeakyRelu {
        alpha: f32,
    },
    /// `gamma (x < 0 ? alpha (exp(x / width) - 1) : x)`: ELU, CELU and SELU.
    Elu {
        alpha: f32,
        gamma: f32,
        width: f32,
    },
}

/// A function of two elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Pairs {
    Add,
    Subtract,
    Multiply,
    Divide,
    /// NaN where either is.
    Minimum,
    /// NaN where either is.
    Maximum,
    /// `a < 0 ? a b : a`.
    Prelu,
    /// `(a - b)²`.
    SquaredDifference,
}

/// `x[i] = function(x[i])`.
pub fn map(isa: Isa, function: Function, x: &mut [f32]) {
    isa.run(Mapped { function, x });
}

/// `out[i] = function(x[i])`.
///
/// # Panics
/// If the lengths differ.
pub fn map_to(isa: Isa, function: Function, x: &[f32], out: &mut [f32]) {
    /// Elements that stay in the first-level cache.
    const CACHED: usize = 2048;
    assert_eq!(x.len(), out.len(), "equal lengths");
    for (x, out) in x.chunks(CACHED).zip(out.chunks_mut(CACHED)) {
        out.copy_from_slice(x);
        map(isa, function, out);
    }
}

/// `out[i] = function(a[i], b[i])`; an operand of fewer elements is repeated, at most one of them
/// unless it is one element.
///
/// # Panics
/// If `out` is not a whole number of times as long as an operand.
pub fn zip(isa: Isa, function: Pairs, a: &[f32], b: &[f32], out: &mut [f32]) {
    let Some(row) = row(&[a.len(), b.len()], out.len()) else { return };
    isa.run(Zipped { function, a: Some(a), b, row, out });
}

/// `a[i] = function(a[i], b[i])`; `b` of fewer elements is repeated.
///
/// # Panics
/// If `a` is not a whole number of times as long as `b`.
pub fn zip_into(isa: Isa, function: Pairs, a: &mut [f32], b: &[f32]) {
    let Some(row) = row(&[b.len()], a.len()) else { return };
    isa.run(Zipped { function, a: None, b, row, out: a });
}

/// Elements of a result that no operand begins anew in, unless it is one element.
fn row(operands: &[usize], len: usize) -> Option<usize> {
    let fits = |&own: &usize| own > 0 && len.is_multiple_of(own);
    assert!(len == 0 || operands.iter().all(fits), "{operands:?} elements in {len}");
    let row = operands.iter().copied().filter(|&own| own > 1).min().unwrap_or(len).min(len);
    let fits = |&own: &usize| own <= 1 || own == row || own == len;
    assert!(operands.iter().all(fits), "one of {operands:?} is repeated in {len}");
    (len > 0).then_some(row)
}

impl Function {
    /// The function of sixteen elements.
    #[inline(always)]
    pub(crate) fn of<S: Simd>(self, s: S, x: S::F) -> S::F {
        let (zero, one) = (s.splat(0.0), s.splat(1.0));
        match self {
            Self::Clamp { low, high } => s.min(s.splat(high), s.max(s.splat(low), x)),
            Self::Abs => s.of_bits(s.and_i(s.bits(x), s.splat_i(i32::MAX))),
            Self::Negate => s.sub(s.splat(-0.0), x),
            Self::Square => s.mul(x, x),
            Self::Sqrt => s.sqrt(x),
            Self::Rsqrt => s.div(one, s.sqrt(x)),
            Self::Reciprocal => s.div(one, x),
            Self::Exp => exp::exp(s, x),
            Self::Log => exp::ln(s, x),
            Self::Erf => exp::erf(s, x),
            Self::Tanh => exp::tanh(s, x),
            Self::Sigmoid => exp::sigmoid(s, x),
            Self::Swish { alpha } => s.mul(x, exp::sigmoid(s, s.mul(s.splat(alpha), x))),
            Self::Gelu => exp::gelu(s, x),
            Self::GeluTanh => exp::gelu_tanh(s, x),
            Self::Softplus => exp::softplus(s, x),
            Self::Mish => exp::mish(s, x),
            Self::HardSwish => {
                let gate = s.fma(x, s.splat(1.0 / 6.0), s.splat(0.5));
                s.mul(x, s.min(one, s.max(zero, gate)))
            }
            Self::HardSigmoid { alpha, beta } => {
                let gate = s.fma(x, s.splat(alpha), s.splat(beta));
                s.min(one, s.max(zero, gate))
            }
            Self::LeakyRelu { alpha } => s.select_lt(x, zero, s.mul(s.splat(alpha), x), x),
            Self::Elu { alpha, gamma, width } => {
                let below = s.min(zero, s.div(x, s.splat(width)));
                let below = s.mul(s.splat(alpha), exp::expm1_of_negative(s, below));
                s.mul(s.splat(gamma), s.select_lt(x, zero, below, x))
            }
        }
    }
}

impl Pairs {
    /// The function of sixteen pairs.
    #[inline(always)]
    fn of<S: Simd>(self, s: S, a: S::F, b: S::F) -> S::F {
        match self {
            Self::Add => s.add(a, b),
            Self::Subtract => s.sub(a, b),
            Self::Multiply => s.mul(a, b),
            Self::Divide => s.div(a, b),
            // Each gives its second operand where one is NaN; bits of a NaN beside others are one
            // still. Equal numbers keep their bits, but for zeros of two signs.
            Self::Minimum => {
                let (c, d) = (s.min(a, b), s.min(b, a));
                s.of_bits(s.or_i(s.bits(c), s.bits(d)))
            }
            Self::Maximum => {
                let (c, d) = (s.max(a, b), s.max(b, a));
                s.of_bits(s.or_i(s.bits(c), s.bits(d)))
            }
            Self::Prelu => s.select_lt(a, s.splat(0.0), s.mul(a, b), a),
            Self::SquaredDifference => s.mul(s.sub(a, b), s.sub(a, b)),
        }
    }
}

struct Mapped<'a> {
    function: Function,
    x: &'a mut [f32],
}

impl Kernel for Mapped<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (chunks, rest) = self.x.as_chunks_mut::<LANES>();
        for chunk in chunks {
            s.store(self.function.of(s, s.load(chunk)), chunk);
        }
        if !rest.is_empty() {
            s.store_part(self.function.of(s, s.load_part(rest)), rest);
        }
    }
}

struct Zipped<'a> {
    function: Pairs,
    /// What is in `out` where absent.
    a: Option<&'a [f32]>,
    b: &'a [f32],
    /// Elements of a row: what is repeated.
    row: usize,
    out: &'a mut [f32],
}

impl Kernel for Zipped<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { function, a, b, row, out } = self;
        let len = out.len();
        let one = |x: &[f32]| if x.len() == 1 && row != 1 { Some(x[0]) } else { None };
        let (a_one, b_one) = (a.and_then(one), b.len() == 1 && row != 1);
        let (a_all, b_all) = (s.splat(a_one.unwrap_or(0.0)), s.splat(b[0]));
        for (n, out) in out.chunks_mut(row).enumerate() {
            let begin = |own: usize| if own == len { n * row } else { 0 };
            let a_row = a.map_or(&[][..], |a| &a[begin(a.len())..]);
            let b_row = &b[begin(b.len())..];
            for (i, out) in out.chunks_mut(LANES).enumerate() {
                let at = i * LANES;
                let width = out.len();
                let a = if a.is_none() {
                    s.load_some(out)
                } else if a_one.is_some() {
                    a_all
                } else {
                    s.load_some(&a_row[at..at + width])
                };
                let b = if b_one { b_all } else { s.load_some(&b_row[at..at + width]) };
                let value = function.of(s, a, b);
                s.store_some(value, out);
            }
        }
    }
}

#[cfg(test)]
mod tests;
