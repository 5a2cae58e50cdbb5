//! Products of real numbers with weights of bytes: each row of the operand is quantised while it
//! runs, so that the sums are of whole numbers. The row of a convolution is a whole image.
//!
//! `LiteRT`'s own kernels take the range of a row around zero, or from its least to its greatest number
//! where the file asks for it and where channels have scales of their own; XNNPACK does the latter, with a
//! rounding of its own. `TensorFlow` Lite Micro has no such operators; its profile follows `LiteRT`.

use super::{
    super::{
        super::{
            Profile,
            value::{Array, Layout},
        },
        Call, Outputs,
        elementwise::activate,
        linear, one, window,
    },
    Target,
};
use crate::network::{Builder, Fault, Tensor};
use formats::tflite::options::{self, Activation};
use plan::{
    ArrayOp,
    array::{Map, ReduceKind, Rounding, Zip},
};
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

    /// From the least to the greatest number of each row in 255 steps, halves away from zero.
    fn with_zero(b: &mut Builder<'_>, x: &Tensor) -> Result<Self, Fault> {
        let least = b.reduce(ReduceKind::Min, x, &[1], true)?;
        let greatest = b.reduce(ReduceKind::Max, x, &[1], true)?;
        let (least, greatest) = (b.cast(&least, DType::F64)?, b.cast(&greatest, DType::F64)?);
        let least = b.with(Zip::Minimum, &least, 0.0)?;
        let greatest = b.with(Zip::Maximum, &greatest, 0.0)?;
        let nothing = b.zip(Zip::Equal, &least, &greatest)?;
        let range = b.sub(&greatest, &least)?;
        let scale = b.with(Zip::Divide, &range, 255.0)?;
        let unit = b.scalar(DType::F64, 1.0);
        let scale = b.select(&nothing, &unit, &scale)?;
        let (low, high) = (b.div(&least, &scale)?, b.div(&greatest, &scale)?);
        let (lowest, highest) = (b.scalar(DType::F64, -128.0), b.scalar(DType::F64, 127.0));
        let (from_low, from_high) = (b.sub(&lowest, &low)?, b.sub(&highest, &high)?);
        // The end of the range that stands nearer to 0 decides.
        let (low, high) = (b.map(Map::Abs, &low)?, b.map(Map::Abs, &high)?);
        let (low, high) = (b.with(Zip::Add, &low, 128.0)?, b.with(Zip::Add, &high, 127.0)?);
        let by_least = b.zip(Zip::Less, &low, &high)?;
        let zero = b.select(&by_least, &from_low, &from_high)?;
        let zero = b.cast(&zero, DType::F32)?;
        let codes =
            Target { rounding: Rounding::SingleAway, zero: 0, range: (-128, 127), to: DType::I8 };
        let whole = Target { to: DType::I32, ..codes };
        let zero = whole.scale(b, &zero, 0, &[1.0])?;
        let scale = b.cast(&scale, DType::F32)?;
        let per_unit = b.map(Map::Reciprocal, &scale)?;
        let scaled = b.mul(x, &per_unit)?;
        let moved = b.cast(&zero, DType::F32)?;
        let moved = b.add(&scaled, &moved)?;
        Ok(Self { codes: codes.scale(b, &moved, 0, &[1.0])?, scale, zero: Some(zero) })
    }

    /// As a profile's runtime has it.
    fn of(b: &mut Builder<'_>, x: &Tensor, profile: Profile, zero: bool) -> Result<Self, Fault> {
        match (profile, zero) {
            (Profile::Xnnpack, _) => Self::from_least(b, x),
            (Profile::Tflm | Profile::Reference, true) => Self::with_zero(b, x),
            (Profile::Tflm | Profile::Reference, false) => Self::around_zero(b, x),
        }
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
    let rows = Rows::of(b, &x, call.profile, options.asymmetric_inputs)?;
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

/// A convolution of each image, with weights in this order as `[outputs, channels, h, w]`.
pub(super) fn convolve(
    b: &mut Builder<'_>,
    call: &Call<'_>,
    over: impl Fn(&Call<'_>, u64) -> Result<window::Window, Fault>,
    (order, activation): ([usize; 4], Activation),
) -> Outputs {
    let x = call.array(0)?.first(b)?;
    let (channels, space) = window::image(&x)?;
    let (conv, _) = over(call, channels)?.over(space)?;
    let w = call.tensor(b, 1)?;
    let w = b.transpose(&w, &order)?;
    let scales = scales(b, call, DType::F32)?;
    let per_channel = scales.elements() > 1;
    let along = |b: &mut Builder<'_>, x: &Tensor| b.reshape(x, &[x.elements(), 1, 1]);
    let scales = along(b, &scales)?;
    let bias = call.optional(2)?.map(|bias| bias.tensor(b)).transpose()?;
    let bias = bias.map(|bias| along(b, &bias)).transpose()?;
    let mut images = Vec::new();
    for image in 0..x.dims[0] {
        let one = b.slice(&x, 0, image, 1, 1)?;
        let row = b.reshape(&one, &[1, one.elements()])?;
        let rows = Rows::of(b, &row, call.profile, per_channel)?;
        let codes = b.reshape(&rows.codes, &one.dims)?;
        let zero = match &rows.zero {
            Some(zero) => {
                let zero = b.cast(zero, DType::I8)?;
                Some(b.reshape(&zero, &[])?)
            }
            None => None,
        };
        let sums = b.apply(
            ArrayOp::Conv(conv),
            &[Some(&codes), Some(&w), None, zero.as_ref()][..if zero.is_some() { 4 } else { 2 }],
        )?;
        let sums = b.cast(&sums, DType::F32)?;
        let scale = b.reshape(&rows.scale, &[1, 1, 1])?;
        let scale = b.mul(&scales, &scale)?;
        let mut real = b.mul(&sums, &scale)?;
        if let Some(bias) = &bias {
            real = b.add(&real, bias)?;
        }
        images.push(activate(b, real, activation)?);
    }
    one(Array::new(Layout::First, b.concat(&images, 0)?))
}

/// Products of matrices, the left ones of real numbers.
pub(super) fn batch_matmul(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let options = options::BatchMatmul::read(call.options())?;
    let (mut x, mut w) = (call.tensor(b, 0)?, call.tensor(b, 1)?);
    for (operand, turned) in [(&mut x, options.transpose_left), (&mut w, options.transpose_right)] {
        let rank = operand.rank();
        if rank < 2 {
            return Err(Fault::invalid(format!("matrices of {}", operand.dims)));
        }
        if turned {
            *operand = b.swap(operand, rank - 2, rank - 1)?;
        }
    }
    let (width, mut by_row) = (x.dims.last(), x.dims.to_vec());
    let row = b.reshape(&x, &[x.elements().checked_div(width).unwrap_or(0), width])?;
    let rows = Rows::of(b, &row, call.profile, options.asymmetric_inputs)?;
    if let Some(last) = by_row.last_mut() {
        *last = 1;
    }
    let codes = b.reshape(&rows.codes, &x.dims)?;
    let mut sums = b.matmul(&codes, &w)?;
    if let Some(zero) = &rows.zero {
        let wide = b.cast(&w, DType::I32)?;
        let columns = b.reduce(ReduceKind::Sum, &wide, &[w.rank() - 2], true)?;
        let zero = b.reshape(zero, &by_row)?;
        let moved = b.mul(&zero, &columns)?;
        sums = b.sub(&sums, &moved)?;
    }
    let sums = b.cast(&sums, DType::F32)?;
    let scales = scales(b, call, DType::F32)?;
    let scale = b.reshape(&rows.scale, &by_row)?;
    let scale = b.mul(&scale, &scales)?;
    one(b.mul(&sums, &scale)?)
}
