//! Products of real numbers with weights of bytes: each row of the operand is quantised while it
//! runs, so that the sums are of whole numbers.
//!
//! `LiteRT`'s own kernels take the range of a row around zero, XNNPACK from its least to its
//! greatest number. `TensorFlow` Lite Micro has no such operators; its profile follows `LiteRT`.

use super::{
    super::{super::Profile, Call, Outputs, elementwise::activate, linear, one},
    Target,
};
use crate::network::{Builder, Fault, Tensor};
use formats::tflite::options;
use plan::array::{Map, ReduceKind, Rounding, Zip};
use tensor::DType;

/// Whether real numbers stand beside weights of bytes.
pub(super) fn is_hybrid(call: &Call<'_>) -> Result<bool, Fault> {
    Ok(call.array(0)?.dtype() == DType::F32 && call.array(1)?.dtype() == DType::I8)
}

/// Rows of bytes: `number = (code - zero) * scale`.
struct Rows {
    /// `[rows, width] I8`.
    codes: Tensor,
    /// `[rows, 1] F32`.
    scale: Tensor,
    /// `[rows, 1] I32`; none where it is 0.
    zero: Option<Tensor>,
}

impl Rows {
    /// The range of each row around zero in 127 steps, halves away from zero.
    fn around_zero(b: &mut Builder<'_>, x: &Tensor) -> Result<Self, Fault> {
        let size = b.map(Map::Abs, x)?;
        let range = b.reduce(ReduceKind::Max, &size, &[1], true)?;
        // A row of zeros has the range 0, whose codes are all 0.
        let nothing = b.scalar(DType::F32, 0.0);
        let nothing = b.zip(Zip::Equal, &range, &nothing)?;
        let steps = b.scalar(DType::F32, 127.0);
        let range = b.select(&nothing, &steps, &range)?;
        let per_unit = b.div(&steps, &range)?;
        let scaled = b.mul(x, &per_unit)?;
        let target =
            Target { rounding: Rounding::SingleAway, zero: 0, range: (-127, 127), to: DType::I8 };
        let codes = target.scale(b, &scaled, 0, &[1.0])?;
        Ok(Self { codes, scale: b.div(&range, &steps)?, zero: None })
    }

    /// From the least to the greatest number of each row in 255 steps, halves to even.
    fn from_least(b: &mut Builder<'_>, x: &Tensor) -> Result<Self, Fault> {
        let least = b.reduce(ReduceKind::Min, x, &[1], true)?;
        let least = b.with(Zip::Minimum, &least, 0.0)?;
        let greatest = b.reduce(ReduceKind::Max, x, &[1], true)?;
        let greatest = b.with(Zip::Maximum, &greatest, 0.0)?;
        let nothing = b.zip(Zip::Equal, &least, &greatest)?;
        let range = b.sub(&greatest, &least)?;
        let steps = b.scalar(DType::F32, 255.0);
        let range = b.select(&nothing, &steps, &range)?;
        let per_unit = b.div(&steps, &range)?;
        let (low, high) = (b.mul(&least, &per_unit)?, b.mul(&greatest, &per_unit)?);
        // The end of the range that the zero point misses by less decides.
        let (below, above) = (b.with(Zip::Add, &low, -128.0)?, b.with(Zip::Add, &high, 127.0)?);
        let balance = b.add(&below, &above)?;
        let nothing = b.scalar(DType::F32, 0.0);
        let by_least = b.zip(Zip::Greater, &balance, &nothing)?;
        let (lowest, highest) = (b.scalar(DType::F32, -128.0), b.scalar(DType::F32, 127.0));
        let (from_low, from_high) = (b.sub(&lowest, &low)?, b.sub(&highest, &high)?);
        let zero = b.select(&by_least, &from_low, &from_high)?;
        let zero = b.zip(Zip::Maximum, &zero, &lowest)?;
        let zero = b.zip(Zip::Minimum, &zero, &highest)?;
        let zero = b.map(Map::Round, &zero)?;
        let zero = b.cast(&zero, DType::I32)?;
        let scaled = b.mul(x, &per_unit)?;
        let wide = Target::wide(Rounding::Fp32Even).scale(b, &scaled, 0, &[1.0])?;
        let moved = b.add(&wide, &zero)?;
        let codes = b.cast(&moved, DType::I8)?;
        Ok(Self { codes, scale: b.map(Map::Reciprocal, &per_unit)?, zero: Some(zero) })
    }
}

/// One number for each output, or one for all.
fn scales(b: &Builder<'_>, call: &Call<'_>, dtype: DType) -> Result<Tensor, Fault> {
    let w = call.input(1)?;
    let quantization = w.quantization.as_deref();
    let quantization = quantization.filter(|found| found.details.is_none());
    let quantization = quantization.ok_or_else(|| Fault::unsupported("weights without a scale"))?;
    let count = quantization.scales.len();
    if count == 0 || (0..quantization.zero_points.len()).any(|i| quantization.zero_point(i) != 0) {
        return Err(Fault::unsupported("weights with a zero point or no scale"));
    }
    let list: Vec<f64> = (0..count).map(|i| quantization.scale(i).unwrap_or(0.0).into()).collect();
    b.numbers(dtype, &[count as u64], &list)
}

pub(super) fn fully_connected(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let options = options::FullyConnected::read(call.options())?;
    if options.weights_format {
        return Err(Fault::unsupported("weights in shuffled blocks"));
    }
    let (x, w) = (call.tensor(b, 0)?, call.tensor(b, 1)?);
    let (rows, dims) = linear::connected(&x.dims, &w.dims, options.keep_num_dims)?;
    let x = b.reshape(&x, &rows)?;
    let quick = call.profile == Profile::Xnnpack;
    let rows = if quick { Rows::from_least(b, &x)? } else { Rows::around_zero(b, &x)? };
    let turned = b.swap(&w, 0, 1)?;
    let mut sums = b.matmul(&rows.codes, &turned)?;
    if let Some(zero) = &rows.zero {
        let wide = b.cast(&turned, DType::I32)?;
        let columns = b.reduce(ReduceKind::Sum, &wide, &[0], true)?;
        let moved = b.mul(zero, &columns)?;
        sums = b.sub(&sums, &moved)?;
    }
    let sums = b.cast(&sums, DType::F32)?;
    let bias = call.optional(2)?.map(|bias| bias.tensor(b)).transpose()?;
    let mut result = if quick {
        // XNNPACK multiplies and adds without rounding in between.
        let scaled = b.mul(&sums, &rows.scale)?;
        let wide = b.cast(&scaled, DType::F64)?;
        let scales = scales(b, call, DType::F64)?;
        let mut wide = b.mul(&wide, &scales)?;
        if let Some(bias) = bias {
            let bias = b.cast(&bias, DType::F64)?;
            wide = b.add(&wide, &bias)?;
        }
        b.cast(&wide, DType::F32)?
    } else {
        let scales = scales(b, call, DType::F32)?;
        let scale = b.mul(&rows.scale, &scales)?;
        let scaled = b.mul(&sums, &scale)?;
        match bias {
            Some(bias) => b.add(&scaled, &bias)?,
            None => scaled,
        }
    };
    result = activate(b, result, options.activation)?;
    one(b.reshape(&result, &dims)?)
}
