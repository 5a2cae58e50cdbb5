//! Windows, statistics, joins and borders, whose results have the numbers of their operands or
//! whole sums of them.

use super::{
    super::{
        super::{
            Profile,
            value::{Array, Layout},
        },
        Call, Outputs, Value, movement, one, reduce, window,
    },
    Real, Target, all_codes, input, output, through,
};
use crate::network::{Builder, Fault, Tensor};
use formats::tflite::options::{self, Activation, ResizeBilinear};
use plan::array::{PadMode, PoolKind, ReduceKind, Rounding, Zip};
use tensor::DType;

pub(super) fn concatenation(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let to = output(call)?;
    let mut parts = Vec::new();
    for i in 0..call.inputs.len() {
        let (real, part) = (input(call, i)?, call.array(i)?.clone());
        if real == to {
            parts.push(part);
            continue;
        }
        // Codes, not numbers less their zero point, are scaled in single precision.
        let codes = all_codes(b, Real { zero: 0, ..real })?;
        let codes = b.cast(&codes, DType::F32)?;
        let scale = real.scale * (1.0 / to.scale);
        let scaled = b.with(Zip::Multiply, &codes, scale.into())?;
        let moved = b.with(Zip::Add, &scaled, (-(real.zero as f32) * scale).into())?;
        let target = Target::of(Rounding::SingleAway, to, Activation::None)?;
        let table = target.scale(b, &moved, 0, &[1.0])?;
        parts.push(through(b, &part, &table)?);
    }
    movement::concatenated(b, call, &parts)
}

fn pooled(b: &mut Builder<'_>, call: &Call<'_>, kind: PoolKind) -> Outputs {
    let activation = options::Pool2d::read(call.options())?.activation;
    let (real, to) = (input(call, 0)?, output(call)?);
    if real != to {
        return Err(Fault::unsupported("a pool with a result of another scale"));
    }
    let x = call.array(0)?.first(b)?;
    let result = Array::new(Layout::First, window::pooled(b, call, &x, kind)?);
    let range = to.range(activation)?;
    if range == to.limits()? {
        return one(result);
    }
    let codes = all_codes(b, Real { zero: 0, ..to })?;
    let target = Target { rounding: Rounding::SingleAway, zero: 0, range, to: to.dtype };
    let table = target.scale(b, &codes, 0, &[1.0])?;
    one(through(b, &result, &table)?)
}

pub(super) fn average_pool(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    pooled(b, call, PoolKind::Average { count_padding: false })
}

pub(super) fn max_pool(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    pooled(b, call, PoolKind::Max)
}

/// A sum or mean over dimensions.
fn summed(b: &mut Builder<'_>, call: &Call<'_>, is_mean: bool) -> Outputs {
    let (real, to) = (input(call, 0)?, output(call)?);
    let keep = options::Reducer::read(call.options())?.keep_dims;
    let axes = reduce::axes(b, call, 1)?;
    let x = call.tensor(b, 0)?;
    let count: u64 = axes.iter().map(|&axis| x.dims[axis]).fold(1, u64::saturating_mul);
    let x = b.cast(&x, DType::I32)?;
    let parts = if is_mean { count as f64 } else { 1.0 };
    let factor = f64::from(real.scale) / (parts * f64::from(to.scale));
    if call.profile == Profile::Xnnpack {
        // Whole codes are added; both zero points are one addition in single precision, behind
        // which halves go to even.
        let sums = b.reduce(ReduceKind::Sum, &x, &axes, keep)?;
        let sums = b.cast(&sums, DType::F32)?;
        #[expect(clippy::cast_possible_truncation, reason = "single precision is what is wanted")]
        let factor = factor as f32;
        let zeros = count as f32 * real.zero as f32;
        let scaled = b.with(Zip::Multiply, &sums, factor.into())?;
        let moved = b.with(Zip::Add, &scaled, (to.zero as f32 - zeros * factor).into())?;
        let target = Target::of(Rounding::Fp32Even, Real { zero: 0, ..to }, Activation::None)?;
        return one(target.scale(b, &moved, 0, &[1.0])?);
    }
    let x = b.with(Zip::Subtract, &x, real.zero.into())?;
    let sums = b.reduce(ReduceKind::Sum, &x, &axes, keep)?;
    one(Target::of(Rounding::Double, to, Activation::None)?.scale(b, &sums, 0, &[factor])?)
}

pub(super) fn mean(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    summed(b, call, true)
}

pub(super) fn total(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    summed(b, call, false)
}

pub(super) fn extreme(b: &mut Builder<'_>, call: &Call<'_>, kind: ReduceKind) -> Outputs {
    if input(call, 0)? != output(call)? {
        return Err(Fault::unsupported("a result of another scale"));
    }
    reduce::reduce(b, call, kind)
}

pub(super) fn pad(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (real, to) = (input(call, 0)?, output(call)?);
    if real != to {
        return Err(Fault::unsupported("a result of another scale"));
    }
    let value = match call.optional(2)? {
        Some(value) => {
            let value = value.tensor(b)?;
            b.reshape(&value, &[])?
        }
        None => b.scalar(real.dtype, real.zero.into()),
    };
    movement::bordered(b, call, PadMode::Constant, Some(&value))
}

/// One line of a resized image in fixed point: neighbours, and what the upper one weighs of `unit`.
struct Line {
    lower: Vec<i64>,
    upper: Vec<i64>,
    weight: Vec<f64>,
    unit: f64,
}

impl Line {
    fn empty(unit: f64) -> Self {
        Self { lower: Vec::new(), upper: Vec::new(), weight: Vec::new(), unit }
    }

    /// Places in steps of 1/1024, which are rounded once.
    fn fixed(from: u64, to: u64, options: ResizeBilinear) -> Self {
        let (from, to) = (from.cast_signed(), to.cast_signed());
        let scale = if options.align_corners && to > 1 {
            (1024 * (from - 1) + (to - 1) / 2) / (to - 1)
        } else {
            (1024 * from + to / 2) / to
        };
        let mut line = Self::empty(1024.0);
        for i in 0..to {
            let place =
                if options.half_pixel_centers { i * scale + scale / 2 - 512 } else { i * scale };
            let lower = (place / 1024).max(0).min(from - 1);
            line.lower.push(lower);
            line.upper.push(((place + 1023) / 1024).min(from - 1).max(0));
            line.weight.push((place - 1024 * lower) as f64);
        }
        line
    }

    /// Places in single precision, weights in steps of 1/2048.
    fn single(from: u64, to: u64, options: ResizeBilinear) -> Self {
        let scale = if options.align_corners && to > 1 {
            from.saturating_sub(1) as f32 / (to - 1) as f32
        } else {
            from as f32 / to as f32
        };
        let offset = if options.half_pixel_centers { 0.5 * scale - 0.5 } else { 0.0 };
        let last = from.cast_signed() - 1;
        let mut line = Self::empty(2048.0);
        for i in 0..to {
            let place = (i as f32 * scale + offset).max(0.0).min(last as f32);
            #[expect(clippy::cast_possible_truncation, reason = "between 0 and the last place")]
            let lower = place as i64;
            line.lower.push(lower);
            line.upper.push((lower + 1).min(last));
            line.weight.push(((place - lower as f32) * 2048.0).round_ties_even().into());
        }
        line
    }

    /// Both neighbours along a dimension, weighed and added.
    fn blend(&self, b: &mut Builder<'_>, x: &Tensor, axis: usize) -> Result<Tensor, Fault> {
        let count = self.lower.len() as u64;
        let mut dims = vec![1; x.rank()];
        dims[axis] = count;
        let mut sum = None;
        for (places, is_upper) in [(&self.lower, false), (&self.upper, true)] {
            let index = b.integers(&[count], places)?;
            let part = b.gather(x, &index, axis)?;
            let weigh = |&w: &f64| if is_upper { w } else { self.unit - w };
            let weights: Vec<f64> = self.weight.iter().map(weigh).collect();
            let weights = b.numbers(DType::I32, &dims, &weights)?;
            let part = b.mul(&part, &weights)?;
            sum = Some(match sum {
                Some(sum) => b.add(&sum, &part)?,
                None => part,
            });
        }
        sum.ok_or_else(|| Fault::invalid("nothing to blend"))
    }
}

pub(super) fn resize_bilinear(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let options = ResizeBilinear::read(call.options())?;
    let [h, w] = window::size(b, call)?;
    let dtype = call.array(0)?.dtype();
    if !matches!(dtype, DType::I8 | DType::U8) || h.max(w) > 1 << 20 {
        return Err(Fault::unsupported(format!("{dtype} at {h} by {w}")));
    }
    let x = call.array(0)?.first(b)?;
    let (_, [from_h, from_w]) = window::image(&x)?;
    if from_h == 0 || from_w == 0 || from_h.max(from_w) > 1 << 20 {
        return Err(Fault::invalid(format!("an image of {}", x.dims)));
    }
    if h == 0 || w == 0 {
        return Err(Fault::invalid(format!("an image of {h} by {w}")));
    }
    b.room(h.saturating_add(w).saturating_mul(3), DType::F64)?;
    let is_single = call.profile == Profile::Xnnpack;
    let make = if is_single { Line::single } else { Line::fixed };
    let line = |from, to| make(from, to, options);
    let x = b.cast(&x, DType::I32)?;
    let x = line(from_h, h).blend(b, &x, 2)?;
    let x = line(from_w, w).blend(b, &x, 3)?;
    let result = if is_single {
        let x = b.with(Zip::Add, &x, f64::from(1u32 << 21))?;
        b.with(Zip::FloorDivide, &x, f64::from(1u32 << 22))?
    } else {
        // A power of two as a factor is exact, and one product rounds halves away from zero.
        let target = Target::wide(Rounding::SingleAway);
        target.scale(b, &x, 0, &[1.0 / f64::from(1u32 << 20)])?
    };
    one(Value::Array(Array::new(Layout::First, b.cast(&result, dtype)?)))
}
