//! Functions of single elements, of pairs, and conversions.

use super::super::{
    call::{Call, Outputs, Value, one},
    constant,
};
use crate::network::{Builder, Fault, Narrow, Tensor};
use formats::onnx::ElementType;
use plan::{
    ArrayOp,
    array::{Map, Zip},
};
use tensor::DType;

/// A function of pairs; before opset 7 operands are aligned by an attribute.
pub(super) fn zip(b: &mut Builder<'_>, call: &Call<'_>, zip: Zip) -> Outputs {
    let (x, y) = (call.tensor(0)?, call.tensor(1)?);
    let broadcast = call.flag("broadcast", false)?;
    let axis = call.int("axis", -1)?;
    if call.version >= 7 || !broadcast || axis == -1 {
        return one(b.zip(zip, x, y)?);
    }
    let axis = x.axis(axis)?;
    let behind = x.rank().checked_sub(axis + y.rank());
    let behind = behind.ok_or_else(|| Fault::invalid(format!("axis {axis} is too large")))?;
    let mut dims = y.dims.to_vec();
    dims.extend(std::iter::repeat_n(1, behind));
    let y = b.reshape(y, &dims)?;
    one(b.zip(zip, x, &y)?)
}

/// The same function between any number of operands.
pub(super) fn fold(b: &mut Builder<'_>, call: &Call<'_>, zip: Zip) -> Result<Tensor, Fault> {
    let mut all = call.tensors()?.into_iter();
    let first = all.next().ok_or_else(|| Fault::invalid("there is no input"))?;
    let mut result = first.clone();
    for tensor in all {
        result = b.zip(zip, &result, tensor)?;
    }
    Ok(result)
}

pub(super) fn mean(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let sum = fold(b, call, Zip::Add)?;
    one(b.with(Zip::Divide, &sum, call.inputs.len() as f64)?)
}

pub(super) fn modulo(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let zip = if call.flag("fmod", false)? { Zip::Remainder } else { Zip::Modulo };
    one(b.zip(zip, call.tensor(0)?, call.tensor(1)?)?)
}

pub(super) fn bit_shift(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let zip = match call.text("direction", "")? {
        "LEFT" => Zip::ShiftLeft,
        "RIGHT" => Zip::ShiftRight,
        other => return Err(Fault::invalid(format!("direction `{other}`"))),
    };
    one(b.zip(zip, call.tensor(0)?, call.tensor(1)?)?)
}

pub(super) fn prelu(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (x, slope) = (call.tensor(0)?, call.tensor(1)?);
    // Before opset 7 one slope a channel stood without trailing dimensions.
    if call.version < 7 && slope.rank() == 1 && x.rank() > 2 && slope.elements() > 1 {
        let mut dims = slope.dims.to_vec();
        dims.extend(std::iter::repeat_n(1, x.rank() - 2));
        let slope = b.reshape(slope, &dims)?;
        return one(b.zip(Zip::Prelu, x, &slope)?);
    }
    one(b.zip(Zip::Prelu, x, slope)?)
}

pub(super) fn select(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    one(b.select(call.tensor(0)?, call.tensor(1)?, call.tensor(2)?)?)
}

pub(super) fn clip(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    if call.version < 11 {
        let low = call.float("min", f32::NEG_INFINITY)?;
        let high = call.float("max", f32::INFINITY)?;
        return one(b.map(Map::Clamp { low, high }, x)?);
    }
    let (low, high) = (call.optional(1)?, call.optional(2)?);
    let known = |bound: Option<&Tensor>| bound.is_none_or(|bound| b.is_known(bound));
    if x.dtype == DType::F32 && known(low) && known(high) {
        let mut number = |bound: Option<&Tensor>, default: f64| match bound {
            Some(bound) => b
                .floats(bound)?
                .first()
                .copied()
                .ok_or_else(|| Fault::invalid("a bound must be one number")),
            None => Ok(default),
        };
        let low = number(low, f64::NEG_INFINITY)?;
        let high = number(high, f64::INFINITY)?;
        return one(b.map(clamp(low, high), x)?);
    }
    let mut result = x.clone();
    if let Some(low) = low {
        result = b.zip(Zip::Maximum, &result, low)?;
    }
    if let Some(high) = high {
        result = b.zip(Zip::Minimum, &result, high)?;
    }
    one(result)
}

#[expect(clippy::cast_possible_truncation, reason = "the bounds were singles")]
fn clamp(low: f64, high: f64) -> Map {
    Map::Clamp { low: low as f32, high: high as f32 }
}

pub(super) fn cast(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let to = match call.version {
        ..=5 => legacy(call.text("to", "")?)?,
        _ => code(call.int("to", 0)?)?,
    };
    let saturate = call.flag("saturate", true)?;
    call.text("round_mode", "up")?;
    one(convert(b, call.tensor(0)?, to, saturate)?)
}

/// The type of a code in an attribute.
pub(in super::super) fn code(code: i64) -> Result<ElementType, Fault> {
    ElementType::from_code(code).ok_or_else(|| Fault::invalid(format!("element type {code}")))
}

/// Types by the names of opset 5.
fn legacy(name: &str) -> Result<ElementType, Fault> {
    let same = |ty: &ElementType| {
        let upper = format!("{ty:?}").to_ascii_uppercase();
        upper == name.to_ascii_uppercase()
    };
    ElementType::all().find(same).ok_or_else(|| Fault::invalid(format!("element type `{name}`")))
}

pub(super) fn cast_like(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let saturate = call.flag("saturate", true)?;
    call.text("round_mode", "up")?;
    let like = call.tensor(1)?;
    one(convert_to(b, call.tensor(0)?, like.dtype, like.narrow, saturate)?)
}

/// The elements in another type of a file.
pub(in super::super) fn convert(
    b: &mut Builder<'_>,
    x: &Tensor,
    to: ElementType,
    saturate: bool,
) -> Result<Tensor, Fault> {
    let (dtype, narrow) = constant::element(to)?;
    convert_to(b, x, dtype, narrow, saturate)
}

pub(super) fn convert_to(
    b: &mut Builder<'_>,
    x: &Tensor,
    dtype: DType,
    narrow: Option<Narrow>,
    saturate: bool,
) -> Result<Tensor, Fault> {
    if (x.dtype, x.narrow) == (dtype, narrow) {
        return Ok(x.clone());
    }
    let Some(narrow) = narrow else {
        if x.dtype == dtype {
            return Ok(x.clone().narrowed(None));
        }
        return b.apply(ArrayOp::Cast { to: dtype, saturate }, &[Some(x)]);
    };
    // By way of 32 bits, so that numbers beyond a byte wrap around as the narrow type does.
    let wide = b.cast(x, DType::I32)?;
    let bits = f64::from(1u32 << narrow.bits());
    let low = match narrow {
        Narrow::Int4 | Narrow::Int2 => bits / 2.0,
        Narrow::Uint4 | Narrow::Uint2 => 0.0,
    };
    let shifted = b.with(Zip::Add, &wide, low)?;
    let wrapped = b.with(Zip::Modulo, &shifted, bits)?;
    let wrapped = b.with(Zip::Subtract, &wrapped, low)?;
    Ok(b.cast(&wrapped, narrow.dtype())?.narrowed(Some(narrow)))
}

pub(super) fn dropout(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    let ratio = call.float("ratio", 0.5)?;
    call.int("seed", 0)?;
    call.int("is_test", 1)?;
    if let Some(training) = call.optional(2)?
        && b.ints(training)?.first() == Some(&1)
    {
        let ratio = match call.optional(1)? {
            Some(ratio) => b.floats(ratio)?.first().copied().unwrap_or(0.5),
            None => f64::from(ratio),
        };
        if ratio != 0.0 {
            return Err(Fault::unsupported("dropout in training draws random numbers"));
        }
    }
    // Before opset 12 the mask was a number like the data, which nobody reads at inference.
    let mask = b.filled(if call.version < 10 { x.dtype } else { DType::Bool }, &x.dims, 1.0)?;
    Ok(vec![Value::Tensor(x.clone()), Value::Tensor(mask)])
}

fn parametric(b: &mut Builder<'_>, call: &Call<'_>, map: Map) -> Outputs {
    one(b.map(map, call.tensor(0)?)?)
}

pub(super) fn celu(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let alpha = call.float("alpha", 1.0)?;
    parametric(b, call, Map::Celu { alpha })
}

pub(super) fn elu(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let alpha = call.float("alpha", 1.0)?;
    parametric(b, call, Map::Elu { alpha })
}

pub(super) fn selu(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    // Klambauer et al. 2017; opset 1 rounded the constants to four digits.
    let (alpha, gamma) = if call.version < 6 { (1.6732, 1.0507) } else { (1.673_263_2, 1.050_701) };
    let (alpha, gamma) = (call.float("alpha", alpha)?, call.float("gamma", gamma)?);
    parametric(b, call, Map::Selu { alpha, gamma })
}

pub(super) fn leaky_relu(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let alpha = call.float("alpha", 0.01)?;
    parametric(b, call, Map::LeakyRelu { alpha })
}

pub(super) fn thresholded_relu(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let alpha = call.float("alpha", 1.0)?;
    parametric(b, call, Map::ThresholdedRelu { alpha })
}

pub(super) fn hard_sigmoid(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (alpha, beta) = (call.float("alpha", 0.2)?, call.float("beta", 0.5)?);
    parametric(b, call, Map::HardSigmoid { alpha, beta })
}

pub(super) fn shrink(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (bias, lambda) = (call.float("bias", 0.0)?, call.float("lambd", 0.5)?);
    parametric(b, call, Map::Shrink { bias, lambda })
}

pub(super) fn swish(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let alpha = call.float("alpha", 1.0)?;
    parametric(b, call, Map::Swish { alpha })
}

pub(super) fn is_inf(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let negative = call.flag("detect_negative", true)?;
    let positive = call.flag("detect_positive", true)?;
    parametric(b, call, Map::IsInf { negative, positive })
}

pub(super) fn gelu(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let map = match call.text("approximate", "none")? {
        "none" => Map::Gelu,
        "tanh" => Map::GeluTanh,
        other => return Err(Fault::unsupported(format!("approximate `{other}`"))),
    };
    parametric(b, call, map)
}

pub(super) fn bit_cast(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    let (dtype, narrow) = constant::element(code(call.int("to", 0)?)?)?;
    if narrow.is_some() || x.narrow.is_some() || dtype.bytes() != x.dtype.bytes() {
        return Err(Fault::unsupported(format!("bits of {} as {dtype}", x.dtype)));
    }
    let bytes = b.bytes(x)?.to_vec();
    one(b.known(dtype, &x.dims, bytes)?)
}
