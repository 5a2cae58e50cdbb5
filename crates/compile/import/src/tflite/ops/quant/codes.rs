//! Functions of one code, as tables of all codes, and what is made of real numbers in between.

use super::{
    super::{
        super::{
            Profile,
            value::{Array, shared_layout},
        },
        Call, Outputs, one,
    },
    Target, all_codes, input, output, reals, stored, tables, through,
};
use crate::network::{Builder, Fault};
use formats::tflite::options::{self, Activation};
use plan::array::{Map, ReduceKind, Rounding, Zip};
use tensor::DType;

/// A function of each real number, as a table.
pub(super) fn unary(b: &mut Builder<'_>, call: &Call<'_>, map: Map) -> Outputs {
    let (real, to) = (input(call, 0)?, output(call)?);
    match (real.dtype, map) {
        (DType::I16, Map::Sigmoid) => return tables::logistic(b, call),
        (DType::I16, Map::Tanh) => return tables::hyperbolic_tangent(b, call),
        (DType::I16, _) => return Err(Fault::unsupported("16-bit operands")),
        _ => {}
    }
    let reals = reals(b, real)?;
    let results = b.map(map, &reals)?;
    let rounding = match (call.profile, map) {
        (Profile::Xnnpack, Map::Elu { .. }) => Rounding::Fp32Even,
        _ => Rounding::SingleAway,
    };
    let table = stored(b, &results, to, rounding)?;
    one(through(b, call.array(0)?, &table)?)
}

/// Other numbers for the same reals, within bounds.
fn rescaled(b: &mut Builder<'_>, call: &Call<'_>, activation: Activation) -> Outputs {
    let (real, to) = (input(call, 0)?, output(call)?);
    let codes = all_codes(b, real)?;
    let target = Target::of(Rounding::Double, to, activation)?;
    let factor = f64::from(real.scale / to.scale);
    let table = target.scale(b, &codes, 0, &[factor])?;
    one(through(b, call.array(0)?, &table)?)
}

pub(super) fn relu(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    rescaled(b, call, Activation::Relu)
}

pub(super) fn relu6(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    rescaled(b, call, Activation::Relu6)
}

pub(super) fn relu_n1_to_1(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    rescaled(b, call, Activation::ReluN1To1)
}

pub(super) fn leaky_relu(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let alpha = options::LeakyRelu::read(call.options())?.alpha;
    let (real, to) = (input(call, 0)?, output(call)?);
    let codes = all_codes(b, real)?;
    let rounding = match call.profile {
        Profile::Tflm | Profile::Reference => Rounding::Double,
        Profile::Xnnpack => Rounding::Q8,
    };
    let target = Target::of(rounding, to, Activation::None)?;
    let factor = |slope: f32| match call.profile {
        Profile::Tflm => f64::from(real.scale) * f64::from(slope) / f64::from(to.scale),
        Profile::Reference | Profile::Xnnpack => f64::from(real.scale * slope / to.scale),
    };
    let above = target.scale(b, &codes, 0, &[factor(1.0)])?;
    let below = target.scale(b, &codes, 0, &[factor(alpha)])?;
    let zero = b.scalar(DType::I32, 0.0);
    let negative = b.zip(Zip::Less, &codes, &zero)?;
    let table = b.select(&negative, &below, &above)?;
    one(through(b, call.array(0)?, &table)?)
}

/// Real numbers as codes, or codes as others.
pub(super) fn quantize(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let to = output(call)?;
    let x = call.array(0)?;
    if x.dtype().is_float() {
        let layout = shared_layout(b, &[x]);
        let x = x.form(b, layout)?;
        let (rounding, x) = match call.profile {
            Profile::Xnnpack => {
                (Rounding::Fp32Even, b.with(Zip::Multiply, &x, (1.0 / to.scale).into())?)
            }
            Profile::Tflm | Profile::Reference => {
                (Rounding::SingleAway, b.with(Zip::Divide, &x, to.scale.into())?)
            }
        };
        let target = Target::of(rounding, to, Activation::None)?;
        return one(Array::new(layout, target.scale(b, &x, 0, &[1.0])?));
    }
    let real = input(call, 0)?;
    let bytes = real.dtype == DType::I8 && to.dtype == DType::I8;
    let rounding = match call.profile {
        Profile::Xnnpack if bytes => Rounding::Q8,
        _ => Rounding::Double,
    };
    let target = Target::of(rounding, to, Activation::None)?;
    let factor = match rounding {
        Rounding::Q8 => f64::from(real.scale / to.scale),
        _ => f64::from(real.scale) / f64::from(to.scale),
    };
    if real.dtype == DType::I32 {
        let layout = shared_layout(b, &[x]);
        let x = x.form(b, layout)?;
        let x = b.with(Zip::Subtract, &x, real.zero.into())?;
        return one(Array::new(layout, target.scale(b, &x, 0, &[factor])?));
    }
    let codes = all_codes(b, real)?;
    let table = target.scale(b, &codes, 0, &[factor])?;
    one(through(b, x, &table)?)
}

pub(super) fn dequantize(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let real = input(call, 0)?;
    let table = reals(b, real)?;
    one(through(b, call.array(0)?, &table)?)
}

pub(super) fn softmax(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let beta = options::Softmax::read(call.options())?.beta;
    let (real, to) = (input(call, 0)?, output(call)?);
    if real.dtype == DType::I16 {
        return tables::softmax(b, call);
    }
    let table = reals(b, real)?;
    let table = b.with(Zip::Multiply, &table, beta.into())?;
    let x = through(b, call.array(0)?, &table)?.tensor(b)?;
    let axis = x.axis(-1)?;
    let shares = b.softmax(&x, axis)?;
    one(stored(b, &shares, to, Rounding::SingleAway)?)
}

pub(super) fn l2_normalization(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (real, to) = (input(call, 0)?, output(call)?);
    let table = all_codes(b, real)?;
    let table = b.cast(&table, DType::F32)?;
    let x = through(b, call.array(0)?, &table)?.tensor(b)?;
    let axis = x.axis(-1)?;
    let length = b.reduce(ReduceKind::L2, &x, &[axis], true)?;
    let length = b.with(Zip::Maximum, &length, 1e-6)?;
    let result = b.div(&x, &length)?;
    one(stored(b, &result, to, Rounding::SingleAway)?)
}

pub(super) fn gelu(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let approximate = options::Gelu::read(call.options())?.approximate;
    unary(b, call, if approximate { Map::GeluTanh } else { Map::Gelu })
}

/// A factor in 16 bits and its exponent.
fn short(factor: f32) -> (i64, i32) {
    let (mut rest, mut exponent) = (f64::from(factor), 0);
    while rest >= 1.0 {
        (rest, exponent) = (rest / 2.0, exponent + 1);
    }
    while rest > 0.0 && rest < 0.5 {
        (rest, exponent) = (rest * 2.0, exponent - 1);
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most 2^31")]
    let q = (rest * f64::from(1u32 << 31)).round() as i64;
    let (q, exponent) = if q == 1 << 31 { (q / 2, exponent + 1) } else { (q, exponent) };
    (((q + (1 << 15)) >> 16).min(0x7fff), exponent)
}

fn clamped(x: i64) -> i64 {
    x.clamp(-32_768, 32_767)
}

/// The high half of the doubled product of two numbers of 16 bits.
fn high(a: i64, b: i64) -> i64 {
    let product = a * b;
    let nudge = if product >= 0 { 1 << 14 } else { 1 - (1 << 14) };
    clamped((product + nudge) / (1 << 15))
}

/// A number shifted down, halves away from zero.
fn shifted(x: i64, bits: i32) -> i64 {
    let bits = bits.clamp(0, 62).unsigned_abs();
    let mask = (1i64 << bits) - 1;
    let threshold = (mask >> 1) + i64::from(x < 0);
    (x >> bits) + i64::from(x & mask > threshold)
}

/// `x * relu6(x + 3) / 6` in numbers of 16 bits with 7 bits below the code, the ramp in 15 bits.
pub(super) fn hard_swish(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (real, to) = (input(call, 0)?, output(call)?);
    if real.dtype == DType::I16 {
        return Err(Fault::unsupported("16-bit operands"));
    }
    let fine = real.scale / 128.0;
    let (factor, exponent) = short(fine / to.scale);
    let (slope, steepness) = short(fine / (3.0 / 32_768.0));
    let ((low, high_code), (least, greatest)) = (real.limits()?, to.limits()?);
    let codes = (low..=high_code).map(|code| {
        let x = (i64::from(code) - i64::from(real.zero)) * 128;
        let mut ramp = x;
        if steepness > 0 {
            ramp = clamped(ramp << (steepness - 1).min(16));
        }
        ramp = high(ramp, slope);
        if steepness > 0 {
            ramp = clamped(ramp << 1);
        }
        ramp = (shifted(ramp, -steepness) + (1 << 15)) >> 1;
        let result = shifted(ramp * high(x, factor) / (1 << 15), -exponent) + i64::from(to.zero);
        result.clamp(least.into(), greatest.into()) as f64
    });
    let codes: Vec<f64> = codes.collect();
    let table = b.numbers(to.dtype, &[codes.len() as u64], &codes)?;
    one(through(b, call.array(0)?, &table)?)
}
