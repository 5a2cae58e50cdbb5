//! Functions of two codes, each of which is scaled on its own first.

use super::{
    super::{
        super::{Profile, value::Array},
        Call, Outputs, elementwise, one,
    },
    Target, all_codes, both, input, output,
    products::products,
    through,
};
use crate::network::{Builder, Fault};
use formats::tflite::options::{self, Activation};
use plan::array::{Rounding, Zip};
use tensor::DType;

/// Bits that sums of two operands have below the point.
fn sum_bits(dtype: DType) -> u32 {
    if dtype == DType::I16 { 15 } else { 20 }
}

/// A sum of two operands, each scaled on its own first.
fn sum(b: &mut Builder<'_>, call: &Call<'_>, zip: Zip, activation: Activation) -> Outputs {
    let (x, y, to) = (input(call, 0)?, input(call, 1)?, output(call)?);
    if call.profile == Profile::Xnnpack && to.dtype != DType::I16 {
        return shifted(b, call, zip, activation);
    }
    let bits = sum_bits(to.dtype);
    let twice = 2.0 * f64::from(x.scale.max(y.scale));
    let mut parts = Vec::new();
    for (i, real) in [x, y].into_iter().enumerate() {
        let codes = all_codes(b, real)?;
        let codes = b.with(Zip::Multiply, &codes, f64::from(1u32 << bits))?;
        let factor = f64::from(real.scale) / twice;
        let table = Target::wide(Rounding::Double).scale(b, &codes, 0, &[factor])?;
        parts.push(through(b, call.array(i)?, &table)?);
    }
    let (layout, list) = both(b, &[&parts[0], &parts[1]])?;
    let sums = b.zip(zip, &list[0], &list[1])?;
    let target = Target::of(Rounding::Double, to, activation)?;
    let factor = twice / (f64::from(1u32 << bits) * f64::from(to.scale));
    one(Array::new(layout, target.scale(b, &sums, 0, &[factor])?))
}

/// A sum of two operands by whole factors of 21 bits and one shift, halves up.
fn shifted(b: &mut Builder<'_>, call: &Call<'_>, zip: Zip, activation: Activation) -> Outputs {
    let (x, y, to) = (input(call, 0)?, input(call, 1)?, output(call)?);
    let (a, c) = (x.scale / to.scale, y.scale / to.scale);
    let exponent = i32::try_from(a.max(c).to_bits() >> 23).unwrap_or(0) - 127;
    let shift = u32::try_from(20 - exponent).ok().filter(|shift| (13..=30).contains(shift));
    let shift = shift.ok_or_else(|| Fault::unsupported("scales that differ by more than 2^7"))?;
    let unit = f64::from(1u32 << shift);
    let mut parts = Vec::new();
    for (i, (real, factor)) in [(x, a), (y, c)].into_iter().enumerate() {
        let codes = all_codes(b, real)?;
        let whole = (f64::from(factor) * unit).round_ties_even();
        let table = b.with(Zip::Multiply, &codes, whole)?;
        parts.push(through(b, call.array(i)?, &table)?);
    }
    let (layout, list) = both(b, &[&parts[0], &parts[1]])?;
    let sums = b.zip(zip, &list[0], &list[1])?;
    let sums = b.with(Zip::Add, &sums, unit / 2.0)?;
    let sums = b.with(Zip::FloorDivide, &sums, unit)?;
    let target = Target::of(Rounding::SingleAway, to, activation)?;
    one(Array::new(layout, target.scale(b, &sums, 0, &[1.0])?))
}

pub(super) fn add(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    sum(b, call, Zip::Add, options::Add::read(call.options())?.activation)
}

pub(super) fn sub(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    sum(b, call, Zip::Subtract, options::Sub::read(call.options())?.activation)
}

pub(super) fn mul(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let activation = options::Mul::read(call.options())?.activation;
    let (x, y, to) = (input(call, 0)?, input(call, 1)?, output(call)?);
    let mut parts = Vec::new();
    for (i, real) in [x, y].into_iter().enumerate() {
        let codes = all_codes(b, real)?;
        parts.push(through(b, call.array(i)?, &codes)?);
    }
    let (layout, list) = both(b, &[&parts[0], &parts[1]])?;
    let product = b.mul(&list[0], &list[1])?;
    let factor = match call.profile {
        Profile::Tflm => f64::from(x.scale) * f64::from(y.scale) / f64::from(to.scale),
        Profile::Reference | Profile::Xnnpack => f64::from(x.scale * y.scale / to.scale),
    };
    let target = Target::of(products(call.profile), to, activation)?;
    one(Array::new(layout, target.scale(b, &product, 0, &[factor])?))
}

/// Operators that compare codes, which must stand for the same numbers.
pub(super) fn codes_alike(b: &mut Builder<'_>, call: &Call<'_>, zip: Zip) -> Outputs {
    if input(call, 0)? != input(call, 1)? {
        return Err(Fault::unsupported("operands of different scales"));
    }
    let gives_codes = matches!(zip, Zip::Maximum | Zip::Minimum);
    if gives_codes && input(call, 0)? != output(call)? {
        return Err(Fault::unsupported("a result of another scale"));
    }
    elementwise::zip(b, call, zip)
}

pub(super) fn prelu(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (x, alpha, to) = (input(call, 0)?, input(call, 1)?, output(call)?);
    let (own, slopes) = (all_codes(b, x)?, all_codes(b, alpha)?);
    let above = Target::wide(Rounding::Double);
    let above = above.scale(b, &own, 0, &[f64::from(x.scale / to.scale)])?;
    let zero = b.scalar(DType::I32, 0.0);
    let negative = b.zip(Zip::Less, &own, &zero)?;
    let parts = [
        through(b, call.array(0)?, &own)?,
        through(b, call.array(0)?, &above)?,
        through(b, call.array(0)?, &negative)?,
        through(b, call.array(1)?, &slopes)?,
    ];
    let refs: Vec<&Array> = parts.iter().collect();
    let (layout, list) = both(b, &refs)?;
    let below = b.mul(&list[0], &list[3])?;
    let factor = f64::from(x.scale * alpha.scale / to.scale);
    let below = Target::wide(Rounding::Double).scale(b, &below, 0, &[factor])?;
    let chosen = b.select(&list[2], &below, &list[1])?;
    let target = Target::of(Rounding::SingleAway, to, Activation::None)?;
    one(Array::new(layout, target.scale(b, &chosen, 0, &[1.0])?))
}
