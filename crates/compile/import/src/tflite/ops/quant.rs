//! Operators on quantised arrays, exact to the byte in each profile.
//!
//! Sums are held in 32 bits (64 beside 16-bit operands) and scaled by `ArrayOp::Requant`, whose way
//! of rounding the profile names. Whatever is a function of one 8-bit code alone is computed for all
//! codes while importing, by the same operators, and becomes a table. The arithmetic is that of
//! `TFLite`'s reference kernels; scales are multiplied in the precision in which those multiply them.

mod arrays;
mod codes;
mod fixed;
mod hybrid;
mod pairs;
mod products;
mod tables;

use super::{
    super::value::{Array, Layout, shared_layout},
    Call, Import, Outputs, Rule, elementwise,
};
use crate::network::{Builder, Fault, Tensor, emit::dim};
use formats::tflite::{self, options::Activation};
use plan::{
    ArrayOp,
    array::{Map, ReduceKind, Requant, Rounding, Zip},
};
use tensor::DType;

/// How one scale makes numbers stand for real ones.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Real {
    scale: f32,
    zero: i32,
    dtype: DType,
}

impl Real {
    fn of(tensor: &tflite::Tensor<'_>) -> Result<Self, Fault> {
        let what = |reason: &str| Fault::unsupported(format!("`{}` {reason}", tensor.name));
        let dtype = super::super::constant::held(tensor.ty)?.0;
        let quantization = tensor.quantization.as_deref().ok_or_else(|| what("has no scale"))?;
        if quantization.details.is_some() || quantization.scales.len() != 1 {
            return Err(what("has no single scale"));
        }
        let scale = quantization.scale(0).filter(|scale| scale.is_finite() && *scale > 0.0);
        let scale = scale.ok_or_else(|| Fault::invalid("a scale that is not positive"))?;
        let zero = i32::try_from(quantization.zero_point(0))
            .map_err(|_| Fault::invalid("a zero point beyond 32 bits"))?;
        let real = Self { scale, zero, dtype };
        let (low, high) = real.limits()?;
        if !(low..=high).contains(&zero) {
            return Err(Fault::invalid(format!("a zero point of {zero} in {dtype}")));
        }
        Ok(real)
    }

    /// The least and the greatest number of the type.
    fn limits(self) -> Result<(i32, i32), Fault> {
        Ok(match self.dtype {
            DType::I8 => (-128, 127),
            DType::U8 => (0, 255),
            DType::I16 => (-32_768, 32_767),
            DType::I32 => (i32::MIN, i32::MAX),
            other => return Err(Fault::unsupported(format!("quantised {other}"))),
        })
    }

    /// The least and the greatest number that an activation lets through.
    fn range(self, activation: Activation) -> Result<(i32, i32), Fault> {
        #[expect(clippy::cast_possible_truncation, reason = "`as` clamps, which is what is wanted")]
        let code = |x: f32| self.zero.saturating_add((x / self.scale).round() as i32);
        let (low, high) = self.limits()?;
        Ok(match activation {
            Activation::None => (low, high),
            Activation::Relu => (code(0.0).max(low).min(high), high),
            Activation::Relu6 => (code(0.0).max(low).min(high), code(6.0).min(high).max(low)),
            Activation::ReluN1To1 => (code(-1.0).max(low).min(high), code(1.0).min(high).max(low)),
            Activation::Tanh | Activation::SignBit => {
                return Err(Fault::unsupported(format!("the activation {activation:?}")));
            }
        })
    }
}

/// Scale and zero point of input `i`.
fn input(call: &Call<'_>, i: usize) -> Result<Real, Fault> {
    Real::of(call.input(i)?)
}

/// Scale and zero point of the output.
fn output(call: &Call<'_>) -> Result<Real, Fault> {
    Real::of(call.output(0)?)
}

/// What a sum becomes.
#[derive(Clone, Copy)]
struct Target {
    rounding: Rounding,
    zero: i32,
    range: (i32, i32),
    to: DType,
}

impl Target {
    /// A 32-bit number without bounds.
    fn wide(rounding: Rounding) -> Self {
        Self { rounding, zero: 0, range: (i32::MIN, i32::MAX), to: DType::I32 }
    }

    fn of(rounding: Rounding, real: Real, activation: Activation) -> Result<Self, Fault> {
        let range = real.range(activation)?;
        Ok(Self { rounding, zero: real.zero, range, to: real.dtype })
    }

    /// The numbers scaled by one factor, or by one for each index along a dimension.
    fn scale(
        self,
        b: &mut Builder<'_>,
        x: &Tensor,
        axis: usize,
        factors: &[f64],
    ) -> Result<Tensor, Fault> {
        let factor = match factors {
            [one] => b.scalar(DType::F64, *one),
            list => b.numbers(DType::F64, &[list.len() as u64], list)?,
        };
        let (low, high) = self.range;
        let op = Requant {
            rounding: self.rounding,
            axis: dim(axis),
            zero: self.zero,
            low,
            high,
            to: self.to,
        };
        b.apply(ArrayOp::Requant(op), &[Some(x), Some(&factor)])
    }
}

/// All codes of an 8-bit or 16-bit type as 32-bit numbers, less the zero point.
fn all_codes(b: &mut Builder<'_>, real: Real) -> Result<Tensor, Fault> {
    if !matches!(real.dtype, DType::I8 | DType::U8 | DType::I16) {
        return Err(Fault::unsupported(format!("quantised {}", real.dtype)));
    }
    let (low, high) = real.limits()?;
    let list: Vec<f64> = (low..=high).map(|code| f64::from(code) - f64::from(real.zero)).collect();
    b.numbers(DType::I32, &[list.len() as u64], &list)
}

/// The real numbers of all codes.
fn reals(b: &mut Builder<'_>, real: Real) -> Result<Tensor, Fault> {
    let codes = all_codes(b, real)?;
    let codes = b.cast(&codes, DType::F32)?;
    b.with(Zip::Multiply, &codes, real.scale.into())
}

/// Real numbers as codes.
fn stored(
    b: &mut Builder<'_>,
    x: &Tensor,
    real: Real,
    rounding: Rounding,
) -> Result<Tensor, Fault> {
    let target = Target::of(rounding, real, Activation::None)?;
    target.scale(b, x, 0, &[f64::from(1.0 / real.scale)])
}

/// An array's codes through a table.
fn through(b: &mut Builder<'_>, x: &Array, table: &Tensor) -> Result<Array, Fault> {
    let layout = shared_layout(b, &[x]);
    let x = x.form(b, layout)?;
    Ok(Array::new(layout, b.apply(ArrayOp::Lookup, &[Some(&x), Some(table)])?))
}

/// Layout and tensor of an array that was just made.
fn both(b: &mut Builder<'_>, arrays: &[&Array]) -> Result<(Layout, Vec<Tensor>), Fault> {
    elementwise::forms(b, arrays)
}

/// The rule of an operator with quantised operands, where it has one.
pub(super) fn find(name: &str, real: Rule) -> Option<Rule> {
    let found = OPERATORS.iter().find(|(known, _)| *known == name);
    if let Some((_, import)) = found {
        return Some(Rule::Real(*import));
    }
    match real {
        Rule::Map(map) => Some(Rule::Unary(map)),
        Rule::Zip(
            zip @ (Zip::Maximum
            | Zip::Minimum
            | Zip::Equal
            | Zip::NotEqual
            | Zip::Less
            | Zip::LessOrEqual
            | Zip::Greater
            | Zip::GreaterOrEqual),
        ) => Some(Rule::Alike(zip)),
        Rule::Reduce(kind @ (ReduceKind::Max | ReduceKind::Min)) => Some(Rule::Extreme(kind)),
        _ => None,
    }
}

/// Imports a function of each real number.
pub(super) fn map(b: &mut Builder<'_>, call: &Call<'_>, map: Map) -> Outputs {
    codes::unary(b, call, map)
}

/// Imports a comparison of codes.
pub(super) fn zip(b: &mut Builder<'_>, call: &Call<'_>, zip: Zip) -> Outputs {
    pairs::codes_alike(b, call, zip)
}

/// Imports the least or greatest code.
pub(super) fn reduce(b: &mut Builder<'_>, call: &Call<'_>, kind: ReduceKind) -> Outputs {
    arrays::extreme(b, call, kind)
}

/// Operators with a rule of their own.
const OPERATORS: &[(&str, Import)] = &[
    ("ADD", pairs::add),
    ("ARG_MAX", super::reduce::arg_max),
    ("ARG_MIN", super::reduce::arg_min),
    ("AVERAGE_POOL_2D", arrays::average_pool),
    ("BATCH_MATMUL", products::batch_matmul),
    ("CONCATENATION", arrays::concatenation),
    ("CONV_2D", products::conv),
    ("DEPTHWISE_CONV_2D", products::depthwise),
    ("DEQUANTIZE", codes::dequantize),
    ("FULLY_CONNECTED", products::fully_connected),
    ("GELU", codes::gelu),
    ("HARD_SWISH", codes::hard_swish),
    ("L2_NORMALIZATION", codes::l2_normalization),
    ("LEAKY_RELU", codes::leaky_relu),
    ("MAX_POOL_2D", arrays::max_pool),
    ("MEAN", arrays::mean),
    ("MUL", pairs::mul),
    ("PAD", arrays::pad),
    ("PADV2", arrays::pad),
    ("PRELU", pairs::prelu),
    ("QUANTIZE", codes::quantize),
    ("RELU", codes::relu),
    ("RELU6", codes::relu6),
    ("RELU_N1_TO_1", codes::relu_n1_to_1),
    ("RESIZE_BILINEAR", arrays::resize_bilinear),
    ("SOFTMAX", codes::softmax),
    ("SUB", pairs::sub),
    ("SUM", arrays::total),
    ("TRANSPOSE_CONV", products::transpose_conv),
];
