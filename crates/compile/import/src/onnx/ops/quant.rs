//! Quantised numbers: to and from floats, and products of integers.

use super::{
    super::{
        call::{Call, Outputs, many, one},
        constant,
    },
    window::convolution,
};
use crate::network::{Builder, Fault, Narrow, Tensor, emit::dim};
use plan::{
    ArrayOp,
    array::{Map, ReduceKind, Requant, Rounding, Zip},
};
use tensor::DType;

/// Where scales vary: axis and block of the attributes, checked against the operand.
fn placement(call: &Call<'_>, x: &Tensor, scale: &Tensor) -> Result<(u8, u32), Fault> {
    let axis = call.int("axis", 1)?;
    let block = u32::try_from(call.int("block_size", 0)?)
        .map_err(|_| Fault::invalid("block_size is out of range"))?;
    if scale.elements() == 1 && block == 0 {
        return Ok((0, 0));
    }
    Ok((dim(x.axis(axis)?), block))
}

/// One number as a scalar, whatever its rank; a vector as it is.
fn plain(b: &mut Builder<'_>, x: &Tensor, block: u32) -> Result<Tensor, Fault> {
    if x.elements() == 1 && block == 0 { b.reshape(x, &[]) } else { Ok(x.clone()) }
}

pub(super) fn quantize(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (x, scale, zero) = (call.tensor(0)?, call.tensor(1)?, call.optional(2)?);
    let (axis, block) = placement(call, x, scale)?;
    let saturate = call.flag("saturate", true)?;
    call.int("precision", 0)?;
    let wanted = match call.int("output_dtype", 0)? {
        0 => None,
        code => Some(constant::element(super::elementwise::code(code)?)?),
    };
    let own = zero.map(|zero| (zero.dtype, zero.narrow));
    let (to, narrow) = own.or(wanted).unwrap_or((DType::U8, None));
    let x = b.cast(x, if x.dtype.is_float() { x.dtype } else { DType::F32 })?;
    let scale = plain(b, scale, block)?;
    let zero = zero.map(|zero| plain(b, zero, block)).transpose()?;
    one(quantized(b, &x, (&scale, zero.as_ref()), (axis, block), (to, narrow), saturate)?)
}

fn quantized(
    b: &mut Builder<'_>,
    x: &Tensor,
    (scale, zero): (&Tensor, Option<&Tensor>),
    (axis, block): (u8, u32),
    (to, narrow): (DType, Option<Narrow>),
    saturate: bool,
) -> Result<Tensor, Fault> {
    let op = ArrayOp::Quantize { axis, block, to, saturate };
    let scale = b.cast(scale, x.dtype)?;
    let y = b.apply(op, &[Some(x), Some(&scale), zero])?;
    let Some(narrow) = narrow else { return Ok(y) };
    let (low, high) = match narrow {
        Narrow::Int4 => (-8.0, 7.0),
        Narrow::Uint4 => (0.0, 15.0),
        Narrow::Int2 => (-2.0, 1.0),
        Narrow::Uint2 => (0.0, 3.0),
    };
    let y = b.with(Zip::Maximum, &y, low)?;
    Ok(b.with(Zip::Minimum, &y, high)?.narrowed(Some(narrow)))
}

pub(super) fn dequantize(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (x, scale, zero) = (call.tensor(0)?, call.tensor(1)?, call.optional(2)?);
    let (axis, block) = placement(call, x, scale)?;
    let to = match call.int("output_dtype", 0)? {
        0 => scale.dtype,
        code => constant::element(super::elementwise::code(code)?)?.0,
    };
    let scale = plain(b, scale, block)?;
    let zero = zero.map(|zero| plain(b, zero, block)).transpose()?;
    let op = ArrayOp::Dequantize { axis, block, to };
    one(b.apply(op, &[Some(x), Some(&scale), zero.as_ref()])?)
}

/// `(x - zero) * scale` with one scale.
pub(super) fn to_float(
    b: &mut Builder<'_>,
    x: &Tensor,
    scale: &Tensor,
    zero: Option<&Tensor>,
) -> Result<Tensor, Fault> {
    let scale = plain(b, scale, 0)?;
    let zero = zero.map(|zero| plain(b, zero, 0)).transpose()?;
    let op = ArrayOp::Dequantize { axis: 0, block: 0, to: DType::F32 };
    b.apply(op, &[Some(x), Some(&scale), zero.as_ref()])
}

/// `saturate(round(x / scale) + zero)` with one scale, in the type of `zero`.
pub(super) fn to_integer(
    b: &mut Builder<'_>,
    x: &Tensor,
    scale: &Tensor,
    zero: Option<&Tensor>,
    default: DType,
) -> Result<Tensor, Fault> {
    let to = zero.map_or(default, |zero| zero.dtype);
    let scale = plain(b, scale, 0)?;
    let zero = zero.map(|zero| plain(b, zero, 0)).transpose()?;
    quantized(b, x, (&scale, zero.as_ref()), (0, 0), (to, None), true)
}

/// `(y, scale, zero)` with the range of `x` spread over 0 to 255.
pub(super) fn spread(b: &mut Builder<'_>, x: &Tensor) -> Result<[Tensor; 3], Fault> {
    let axes: Vec<usize> = (0..x.rank()).collect();
    let high = b.reduce(ReduceKind::Max, x, &axes, false)?;
    let low = b.reduce(ReduceKind::Min, x, &axes, false)?;
    let high = b.with(Zip::Maximum, &high, 0.0)?;
    let low = b.with(Zip::Minimum, &low, 0.0)?;
    let range = b.sub(&high, &low)?;
    let scale = b.with(Zip::Divide, &range, 255.0)?;
    // All zeros: any scale will do.
    let flat = b.with(Zip::Equal, &scale, 0.0)?;
    let ones = b.scalar(x.dtype, 1.0);
    let divisor = b.select(&flat, &ones, &scale)?;
    let zero = b.map(Map::Negate, &low)?;
    let zero = b.div(&zero, &divisor)?;
    let zero = b.map(Map::Round, &zero)?;
    let zero = b.map(Map::Clamp { low: 0.0, high: 255.0 }, &zero)?;
    let zero = b.cast(&zero, DType::U8)?;
    let y = to_integer(b, x, &divisor, Some(&zero), DType::U8)?;
    Ok([y, scale, zero])
}

pub(super) fn dynamic_quantize(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    many(spread(b, call.tensor(0)?)?)
}

pub(super) fn conv_integer(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (x, w) = (call.tensor(0)?, call.tensor(1)?);
    let op = ArrayOp::Conv(convolution(call, x, w)?);
    let x_zero = call.optional(2)?.map(|zero| plain(b, zero, 0)).transpose()?;
    let w_zero = call.optional(3)?.map(|zero| plain(b, zero, 0)).transpose()?;
    one(b.apply(op, &[Some(x), Some(w), None, x_zero.as_ref(), w_zero.as_ref()])?)
}

/// A zero point or scale of the left factor: one number, or one a row.
fn by_row(b: &mut Builder<'_>, x: &Tensor) -> Result<Tensor, Fault> {
    match x.rank() {
        1 if x.elements() > 1 => b.reshape(x, &[x.elements(), 1]),
        _ => Ok(x.clone()),
    }
}

/// The product of 8-bit factors in 32 bits.
pub(super) fn integer_product(
    b: &mut Builder<'_>,
    (x, y): (&Tensor, &Tensor),
    (x_zero, y_zero): (Option<&Tensor>, Option<&Tensor>),
) -> Result<Tensor, Fault> {
    let x_zero = x_zero.map(|zero| by_row(b, zero)).transpose()?;
    b.apply(ArrayOp::MatMul, &[Some(x), Some(y), x_zero.as_ref(), y_zero])
}

pub(super) fn matmul_integer(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let factors = (call.tensor(0)?, call.tensor(1)?);
    one(integer_product(b, factors, (call.optional(2)?, call.optional(3)?))?)
}

/// `acc * factor` as integers of the type of `zero`; factors are one number, or vary along `axis`.
pub(super) fn rescale(
    b: &mut Builder<'_>,
    acc: &Tensor,
    factor: &Tensor,
    (zero, axis): (&Tensor, usize),
) -> Result<Tensor, Fault> {
    let along = match &factor.dims[..] {
        [] => true,
        dims => factor.elements() == 1 || dims.len() == 1 && acc.dims.get(axis) == dims.first(),
    };
    let limits = match zero.dtype {
        DType::I8 => Some((-128, 127)),
        DType::U8 => Some((0, 255)),
        _ => None,
    };
    if let (true, Some((low, high)), true) = (along, limits, b.is_known(zero))
        && let [zero_point] = b.ints(zero)?[..]
        && let Ok(zero_point) = i32::try_from(zero_point)
    {
        let factor = plain(b, factor, 0)?;
        let factor = b.cast(&factor, DType::F64)?;
        let op = Requant {
            rounding: Rounding::Fp32Even,
            axis: dim(axis),
            zero: zero_point,
            low,
            high,
            to: zero.dtype,
        };
        return b.apply(ArrayOp::Requant(op), &[Some(acc), Some(&factor)]);
    }
    let factor = match &factor.dims[..] {
        [n] if axis + 1 < acc.rank() => {
            let mut dims = vec![1; acc.rank() - axis];
            dims[0] = *n;
            b.reshape(factor, &dims)?
        }
        _ => factor.clone(),
    };
    let factor = &factor;
    let real = b.cast(acc, DType::F32)?;
    let real = b.mul(&real, factor)?;
    let one = b.scalar(DType::F32, 1.0);
    to_integer(b, &real, &one, Some(zero), zero.dtype)
}

pub(super) fn qlinear_matmul(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (x, y) = (call.tensor(0)?, call.tensor(3)?);
    let acc = integer_product(b, (x, y), (call.optional(2)?, call.optional(5)?))?;
    let x_scale = by_row(b, call.tensor(1)?)?;
    let x_scale = b.cast(&x_scale, DType::F32)?;
    let y_scale = b.cast(call.tensor(4)?, DType::F32)?;
    let out_scale = b.cast(call.tensor(6)?, DType::F32)?;
    let factor = b.mul(&x_scale, &y_scale)?;
    let factor = b.div(&factor, &out_scale)?;
    let axis = acc.rank().saturating_sub(1);
    one(rescale(b, &acc, &factor, (call.tensor(7)?, axis))?)
}

pub(super) fn qlinear_conv(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (x, w) = (call.tensor(0)?, call.tensor(3)?);
    let op = ArrayOp::Conv(convolution(call, x, w)?);
    let x_zero = plain(b, call.tensor(2)?, 0)?;
    let w_zero = plain(b, call.tensor(5)?, 0)?;
    let operands = [Some(x), Some(w), call.optional(8)?, Some(&x_zero), Some(&w_zero)];
    let acc = b.apply(op, &operands)?;
    let w_scale = plain(b, call.tensor(4)?, 0)?;
    let x_scale = plain(b, call.tensor(1)?, 0)?;
    let out_scale = plain(b, call.tensor(6)?, 0)?;
    let factor = b.mul(&w_scale, &x_scale)?;
    let factor = b.div(&factor, &out_scale)?;
    one(rescale(b, &acc, &factor, (call.tensor(7)?, 1))?)
}
