//! Sums of products: convolutions and products of matrices, scaled to the output's numbers.

use super::{
    super::{
        super::{
            Profile,
            value::{Array, Layout},
        },
        Call, Outputs, extents, linear, one, window,
    },
    Real, Target, hybrid, input, output,
};
use crate::network::{Builder, Fault, Tensor};
use formats::tflite::options::{self, Activation};
use plan::{
    ArrayOp,
    array::{PadMode, Rounding},
};
use tensor::DType;

/// The way of rounding of products and sums of products.
pub(super) fn products(profile: Profile) -> Rounding {
    match profile {
        Profile::Tflm | Profile::Reference => Rounding::Double,
        Profile::Xnnpack => Rounding::Fp32Even,
    }
}

/// The way of rounding of a convolution's sums; those of 64 bits are the same everywhere.
fn sums_of(profile: Profile, sums: DType) -> Rounding {
    if sums == DType::I64 { Rounding::Reduced } else { products(profile) }
}

/// Factors from sums of products to the output's numbers.
fn factors(call: &Call<'_>, x: Real, to: Real, is_rows: bool) -> Result<Vec<f64>, Fault> {
    let w = call.input(1)?;
    let quantization = w.quantization.as_deref();
    let quantization = quantization.filter(|found| found.details.is_none());
    let quantization = quantization.ok_or_else(|| Fault::unsupported("weights without a scale"))?;
    let count = quantization.scales.len().max(1);
    let per_channel = quantization.is_per_channel();
    if (0..quantization.zero_points.len()).any(|i| quantization.zero_point(i) != 0) && per_channel {
        return Err(Fault::unsupported("zero points for each channel"));
    }
    let factor = |channel: usize| {
        let scale = quantization.scale(channel).unwrap_or(0.0);
        if call.profile == Profile::Xnnpack && x.dtype != DType::I16 {
            return f64::from(x.scale * scale / to.scale);
        }
        // One scale is multiplied in single precision, but for convolutions of signed numbers.
        let single = !per_channel && (is_rows || x.dtype == DType::U8);
        let product =
            if single { f64::from(x.scale * scale) } else { f64::from(x.scale) * f64::from(scale) };
        product / f64::from(to.scale)
    };
    Ok((0..count).map(factor).collect())
}

/// The one zero point of the weights.
fn weight_zero(call: &Call<'_>) -> Result<i32, Fault> {
    let quantization = call.input(1)?.quantization.as_deref();
    let zero = quantization.map_or(0, |found| found.zero_point(0));
    i32::try_from(zero).map_err(|_| Fault::invalid("a zero point beyond 32 bits"))
}

/// A zero point as an operand; none where it is 0.
fn zero_point(b: &Builder<'_>, dtype: DType, zero: i32) -> Option<Tensor> {
    (zero != 0).then(|| b.scalar(dtype, zero.into()))
}

/// Operands of a product: both of 8 bits, or 16 beside 8.
fn operands(x: &Tensor, w: &Tensor, zeros: [i32; 2]) -> Result<DType, Fault> {
    let byte = |dtype| matches!(dtype, DType::I8 | DType::U8);
    match (x.dtype, w.dtype) {
        (a, b) if byte(a) && byte(b) => Ok(DType::I32),
        (DType::I16, DType::I8) if zeros == [0, 0] => Ok(DType::I64),
        (a, b) => Err(Fault::unsupported(format!("{a} inputs beside {b} weights"))),
    }
}

/// What is added to sums, in their type.
fn bias(
    b: &mut Builder<'_>,
    call: &Call<'_>,
    i: usize,
    to: DType,
) -> Result<Option<Tensor>, Fault> {
    let Some(bias) = call.optional(i)? else { return Ok(None) };
    let bias = bias.tensor(b)?;
    Ok(Some(b.cast(&bias, to)?))
}

fn convolve(
    b: &mut Builder<'_>,
    call: &Call<'_>,
    over: impl Fn(&Call<'_>, u64) -> Result<window::Window, Fault>,
    (order, activation): ([usize; 4], Activation),
) -> Outputs {
    if hybrid::is_hybrid(call)? {
        return hybrid::convolve(b, call, over, (order, activation));
    }
    let (real, to) = (input(call, 0)?, output(call)?);
    let x = call.array(0)?.first(b)?;
    let (channels, space) = window::image(&x)?;
    let (conv, _) = over(call, channels)?.over(space)?;
    let w = call.tensor(b, 1)?;
    let w = b.transpose(&w, &order)?;
    let w_zero = weight_zero(call)?;
    let sums = operands(&x, &w, [real.zero, w_zero])?;
    let bias = bias(b, call, 2, sums)?;
    let (x_zero, w_zero) = (zero_point(b, x.dtype, real.zero), zero_point(b, w.dtype, w_zero));
    let mut list = vec![Some(&x), Some(&w), bias.as_ref()];
    if sums == DType::I32 {
        list.extend([x_zero.as_ref(), w_zero.as_ref()]);
    }
    let sums = b.apply(ArrayOp::Conv(conv), &list)?;
    let target = Target::of(sums_of(call.profile, sums.dtype), to, activation)?;
    let factors = factors(call, real, to, false)?;
    one(Array::new(Layout::First, target.scale(b, &sums, 1, &factors)?))
}

pub(super) fn conv(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let activation = options::Conv2d::read(call.options())?.activation;
    convolve(b, call, window::conv_window, ([0, 3, 1, 2], activation))
}

pub(super) fn depthwise(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let activation = options::DepthwiseConv2d::read(call.options())?.activation;
    convolve(b, call, window::depthwise_window, ([3, 0, 1, 2], activation))
}

/// The convolution over the operand spread out, its weights turned round.
pub(super) fn transpose_conv(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let options = options::TransposeConv::read(call.options())?;
    let (real, to) = (input(call, 2)?, output(call)?);
    let size = extents(&call.ints(b, 0)?)?;
    let (x, w) = (call.array(2)?.first(b)?, call.tensor(b, 1)?);
    let (&[n, c, h, width], &[_, kh, kw, _], &[_, to_h, to_w, _]) =
        (&*x.dims, &*w.dims, size.as_slice())
    else {
        return Err(Fault::invalid(format!("{size:?} from {} by {}", x.dims, w.dims)));
    };
    if weight_zero(call)? != 0 {
        return Err(Fault::unsupported("a zero point of the weights"));
    }
    if [h, width, kh, kw, to_h, to_w].iter().any(|&n| n > 1 << 24) {
        return Err(Fault::unsupported("an image of more than 2^24 rows or columns"));
    }
    let bad = || Fault::invalid(format!("{size:?} from {} by {}", x.dims, w.dims));
    let stride = |n: i32| i64::from(n).max(1);
    let (sh, sw) = (stride(options.stride_h), stride(options.stride_w));
    // Every element is followed by zeros, so that a window of step 1 meets each at its distance.
    let spread = b.reshape(&x, &[n, c, h, 1, width, 1])?;
    let zero = b.scalar(x.dtype, real.zero.into());
    let after = [0, 0, 0, sh - 1, 0, sw - 1];
    let spread = b.pad(&spread, PadMode::Constant, &[0; 6], &after, Some(&zero))?;
    let (wide_h, wide_w) = (h * sh.unsigned_abs(), width * sw.unsigned_abs());
    let spread = b.reshape(&spread, &[n, c, wide_h, wide_w])?;
    let border = |input: u64, step: i64, kernel: u64, to: u64| {
        let reach = input.saturating_sub(1).saturating_mul(step.unsigned_abs()) + kernel;
        let before = kernel.cast_signed() - 1 - (reach.saturating_sub(to) / 2).cast_signed();
        let have = (input.saturating_mul(step.unsigned_abs())).cast_signed();
        (before, to.cast_signed() + kernel.cast_signed() - 1 - have - before)
    };
    let ((top, bottom), (left, right)) = (border(h, sh, kh, to_h), border(width, sw, kw, to_w));
    let (before, after) = ([0, 0, top, left], [0, 0, bottom, right]);
    let spread = b.pad(&spread, PadMode::Constant, &before, &after, Some(&zero))?;
    let turned = b.slice(&w, 1, kh.checked_sub(1).ok_or_else(bad)?, kh, -1)?;
    let turned = b.slice(&turned, 2, kw.checked_sub(1).ok_or_else(bad)?, kw, -1)?;
    let turned = b.transpose(&turned, &[0, 3, 1, 2])?;
    let sums = operands(&spread, &turned, [real.zero, 0])?;
    let plain = window::Window {
        kernel: [kh, kw],
        strides: [1, 1],
        dilations: [1, 1],
        padding: options::Padding::Valid,
        groups: 1,
    };
    let (_, space) = window::image(&spread)?;
    let (conv, _) = plain.over(space)?;
    let bias = bias(b, call, 3, sums)?;
    let x_zero = zero_point(b, x.dtype, real.zero);
    let mut list = vec![Some(&spread), Some(&turned), bias.as_ref()];
    if sums == DType::I32 {
        list.push(x_zero.as_ref());
    }
    let sums = b.apply(ArrayOp::Conv(conv), &list)?;
    let target = Target::of(sums_of(call.profile, sums.dtype), to, options.activation)?;
    let factors = factors(call, real, to, false)?;
    one(Array::new(Layout::First, target.scale(b, &sums, 1, &factors)?))
}

pub(super) fn fully_connected(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    if hybrid::is_hybrid(call)? {
        return hybrid::fully_connected(b, call);
    }
    let options = options::FullyConnected::read(call.options())?;
    if options.weights_format {
        return Err(Fault::unsupported("weights in shuffled blocks"));
    }
    let (real, to) = (input(call, 0)?, output(call)?);
    let (x, w) = (call.tensor(b, 0)?, call.tensor(b, 1)?);
    let (rows, dims) = linear::connected(&x.dims, &w.dims, options.keep_num_dims)?;
    let x = b.reshape(&x, &rows)?;
    let w = b.swap(&w, 0, 1)?;
    let sums = product(b, call, (&x, &w), real)?;
    let rounding = match (call.profile, sums.dtype) {
        // XNNPACK leaves sums of 64 bits to LiteRT's own kernels.
        (Profile::Reference, _) | (Profile::Xnnpack, DType::I64) => Rounding::SingleAway,
        (profile, sums) => sums_of(profile, sums),
    };
    let target = Target::of(rounding, to, options.activation)?;
    let factors = factors(call, real, to, true)?;
    let result = target.scale(b, &sums, 1, &factors)?;
    one(b.reshape(&result, &dims)?)
}

/// Sums of products of matrices, and their bias.
fn product(
    b: &mut Builder<'_>,
    call: &Call<'_>,
    (x, w): (&Tensor, &Tensor),
    real: Real,
) -> Result<Tensor, Fault> {
    let w_zero = weight_zero(call)?;
    let ty = operands(x, w, [real.zero, w_zero])?;
    let (x_zero, w_zero) = (zero_point(b, x.dtype, real.zero), zero_point(b, w.dtype, w_zero));
    let mut list = vec![Some(x), Some(w)];
    if ty == DType::I32 {
        list.extend([x_zero.as_ref(), w_zero.as_ref()]);
    }
    let sums = b.apply(ArrayOp::MatMul, &list)?;
    match bias(b, call, 2, ty)? {
        Some(bias) => b.add(&sums, &bias),
        None => Ok(sums),
    }
}

pub(super) fn batch_matmul(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    if hybrid::is_hybrid(call)? {
        return hybrid::batch_matmul(b, call);
    }
    let options = options::BatchMatmul::read(call.options())?;
    let (real, to) = (input(call, 0)?, output(call)?);
    let (mut x, mut y) = (call.tensor(b, 0)?, call.tensor(b, 1)?);
    for (operand, turned) in [(&mut x, options.transpose_left), (&mut y, options.transpose_right)] {
        let rank = operand.rank();
        if rank < 2 {
            return Err(Fault::invalid(format!("matrices of {}", operand.dims)));
        }
        if turned {
            *operand = b.swap(operand, rank - 2, rank - 1)?;
        }
    }
    let sums = product(b, call, (&x, &y), real)?;
    let target = Target::of(Rounding::Double, to, Activation::None)?;
    let factor = f64::from(real.scale * input(call, 1)?.scale) / f64::from(to.scale);
    one(target.scale(b, &sums, 0, &[factor])?)
}
