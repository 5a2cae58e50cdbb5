//! Functions of 16-bit numbers as `TFLite` computes them: through tables with straight lines in
//! between, so that devices without floating point agree.
//!
//! Each result depends on one number alone and is computed here for all of them, but for SOFTMAX,
//! whose last step depends on a sum. Where the scale is 2⁻¹², the optimised LOGISTIC of `LiteRT`
//! (which stands behind XNNPACK) is a polynomial instead, off by at most 6 steps of 2⁻¹⁵.

use super::{
    super::{super::Profile, Call, Outputs, one},
    Real, fixed, input, output, through,
};
use crate::network::{Builder, Fault, Tensor};
use formats::tflite::options;
use plan::{
    ArrayOp,
    array::{Map, ReduceKind, Rounding, Zip},
};
use tensor::DType;

/// Steps of a table.
const STEPS: i32 = 512;

/// Entries of `TFLite`'s table of sigmoids that are one above the nearest number, by their bits: so
/// they answer for all codes of the scales 2^-12 and 2^-11.
const ABOVE: [u64; 4] = [0xc046_7bae_fa7b_d110, 0x0011_0090_2044_0005, 0x80, 0];

/// `round(sigmoid(i / 24) * 2^16)`, but for a few entries.
fn sigmoid_table() -> Vec<i32> {
    let entry = |i: usize| {
        let exact = 65536.0 / (1.0 + (-(i as f64) / 24.0).exp());
        whole(exact) + i32::from(ABOVE[i / 64] >> (i % 64) & 1 == 1)
    };
    (0..256).map(entry).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "`as` clamps; the numbers are below 2^31")]
fn whole(x: f64) -> i32 {
    x.round() as i32
}

/// How codes become arguments of the table of sigmoids, of which 2^12 · 3 are 1.
fn argument(real: Real) -> (i32, u32) {
    let mut multiplier = f64::from(real.scale) * 4096.0 * 3.0;
    let mut shift = 0;
    while multiplier <= 32767.0 / 2.0 && shift <= 30 {
        shift += 1;
        multiplier *= 2.0;
    }
    #[expect(clippy::cast_possible_truncation, reason = "the fraction is to be dropped")]
    let multiplier = multiplier as i32;
    (multiplier, shift)
}

/// A code as an argument of the table.
fn scaled(code: i16, (multiplier, shift): (i32, u32)) -> i64 {
    let round = if shift > 0 { 1i64 << (shift - 1) } else { 0 };
    (i64::from(code) * i64::from(multiplier) + round) >> shift
}

/// An entry of a table and what is added on the way to the next; none behind its end.
fn between(table: &[i32], argument: u64, bits: u32) -> Option<i64> {
    let place = usize::try_from(argument >> bits).ok().filter(|&place| place < 255)?;
    let (low, high) = (i64::from(table[place]), i64::from(table[place + 1]));
    let part = (argument & ((1 << bits) - 1)).cast_signed();
    Some((low << bits) + part * (high - low))
}

fn sigmoid(table: &[i32], argument: i64) -> i64 {
    let result = between(table, argument.unsigned_abs(), 9).unwrap_or(0x7fff << 10);
    let result = if argument >= 0 { result + (1 << 9) } else { (1 << 25) - result + (1 << 9) - 1 };
    result >> 10
}

/// By `2 · sigmoid(2 · x) - 1`.
fn tanh(table: &[i32], argument: i64) -> i64 {
    let result = between(table, argument.unsigned_abs(), 8).unwrap_or(0xffff << 8);
    let half = 1 << 23;
    let result = if argument >= 0 { result - half + 128 } else { half - result + 127 };
    result >> 8
}

/// A function of each code; codes are given as they are and as arguments of the table.
fn each(b: &mut Builder<'_>, call: &Call<'_>, f: impl Fn(i16, i64) -> i64) -> Outputs {
    let (real, to) = (input(call, 0)?, output(call)?);
    if real.zero != 0 || to.zero != 0 || to.dtype != DType::I16 {
        return Err(Fault::unsupported("16-bit operands with a zero point"));
    }
    let by = argument(real);
    let list: Vec<f64> =
        (i16::MIN..=i16::MAX).map(|code| f(code, scaled(code, by)) as f64).collect();
    let table = b.numbers(DType::I16, &[list.len() as u64], &list)?;
    one(through(b, call.array(0)?, &table)?)
}

pub(super) fn logistic(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let table = sigmoid_table();
    let plain = input(call, 0)?.scale.to_bits() == (1.0f32 / 4096.0).to_bits();
    let is_polynomial = plain && call.profile == Profile::Xnnpack;
    each(b, call, |code, argument| {
        if is_polynomial { fixed::logistic(code).into() } else { sigmoid(&table, argument) }
    })
}

pub(super) fn hyperbolic_tangent(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let table = sigmoid_table();
    each(b, call, |_, argument| tanh(&table, argument))
}

/// A function from `from` on to `to` in 512 steps, in units of 2^-15, each entry moved by half of
/// what a straight line misses in the middle of its step.
fn line_table(f: fn(f64) -> f64, from: f64, to: f64) -> Vec<i32> {
    let step = (to - from) / f64::from(STEPS);
    let unit = 32768.0;
    let entry = |i: i32| {
        if i == STEPS {
            return f(to) * unit;
        }
        let at = from + f64::from(i) * step;
        let here = (f(at) * unit).round();
        let middle = f64::midpoint(f(from + f64::from(i + 1) * step) * unit, here).round();
        here - ((middle - (f(at + step / 2.0) * unit).round()) / 2.0).round()
    };
    (0..=STEPS).map(|i| whole(entry(i)).clamp(-32768, 32767)).collect()
}

/// A 16-bit number through a table of lines.
fn looked_up(table: &[i32], value: i32) -> i32 {
    let place = usize::try_from(256 + (value >> 7)).unwrap_or(0).min(511);
    let slope = table[place + 1] - table[place];
    table[place] + ((slope * (value & 127) + 64) >> 7)
}

/// A table of whole numbers from which `index` picks.
fn pick(b: &mut Builder<'_>, list: &[f64], index: &Tensor) -> Result<Tensor, Fault> {
    let table = b.numbers(DType::I64, &[list.len() as u64], list)?;
    b.gather(&table, index, 0)
}

/// Shares of each row in units of 2^-15.
pub(super) fn softmax(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let beta = options::Softmax::read(call.options())?.beta;
    let (real, to) = (input(call, 0)?, output(call)?);
    if to.dtype != DType::I16 {
        return Err(Fault::unsupported("16-bit operands with another result"));
    }
    let x = call.tensor(b, 0)?;
    let axis = x.axis(-1)?;
    let x = b.cast(&x, DType::I32)?;
    let most = b.reduce(ReduceKind::Max, &x, &[axis], true)?;
    let below = b.sub(&most, &x)?;

    // What is 10 or more below the greatest counts as the least of the table.
    let table = line_table(f64::exp, -10.0, 0.0);
    let steps: Vec<f64> = (0..=65535).map(|n| -f64::from(n)).collect();
    let steps = b.numbers(DType::I32, &[65536], &steps)?;
    let factor = f64::from(real.scale) * f64::from(beta) / (10.0 / 65535.0);
    let target = super::Target {
        rounding: Rounding::Double,
        zero: 32767,
        range: (-32768, 32767),
        to: DType::I32,
    };
    let steps = target.scale(b, &steps, 0, &[factor])?;
    let places = b.ints(&steps)?;
    let powers: Vec<f64> = places
        .iter()
        .map(|&n| looked_up(&table, i32::try_from(n).unwrap_or(i32::MIN)).into())
        .collect();
    let powers = pick(b, &powers, &below)?;
    let sum = b.reduce(ReduceKind::Sum, &powers, &[axis], true)?;

    // The sum as 2^bits · (1 + part), the part in 16 bits. A quarter more keeps powers of two
    // clear of the logarithm's rounding.
    let real = b.cast(&sum, DType::F64)?;
    let real = b.with(Zip::Add, &real, 0.25)?;
    let bits = b.map(Map::Log, &real)?;
    let bits = b.with(Zip::Multiply, &bits, std::f64::consts::LOG2_E)?;
    let bits = b.map(Map::Floor, &bits)?;
    let bits = b.cast(&bits, DType::I64)?;
    let two = b.scalar(DType::I64, 2.0);
    let thirty = b.scalar(DType::I64, 30.0);
    let left = b.sub(&thirty, &bits)?;
    let left = b.zip(Zip::Power, &two, &left)?;
    let part = b.mul(&sum, &left)?;
    let part = b.with(Zip::Add, &part, 8192.0)?;
    let part = b.with(Zip::FloorDivide, &part, 16384.0)?;
    let part = b.with(Zip::Subtract, &part, 65536.0)?;
    let part = b.with(Zip::Minimum, &part, 65535.0)?;
    let table = line_table(|x| 1.0 / (1.0 + x), 0.0, 1.0);
    let inverse: Vec<f64> = (-32768..=32767).map(|n| looked_up(&table, n).into()).collect();
    let inverse = pick(b, &inverse, &part)?;
    let product = b.mul(&powers, &inverse)?;
    let right = b.zip(Zip::Power, &two, &bits)?;
    let half = b.with(Zip::FloorDivide, &right, 2.0)?;
    let product = b.add(&product, &half)?;
    let shares = b.zip(Zip::FloorDivide, &product, &right)?;
    let shares = b.with(Zip::Minimum, &shares, 32767.0)?;
    let shares = b.with(Zip::Maximum, &shares, 0.0)?;
    one(b.apply(ArrayOp::Cast { to: DType::I16, saturate: true }, &[Some(&shares)])?)
}
