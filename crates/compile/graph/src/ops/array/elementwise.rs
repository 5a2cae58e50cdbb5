//! Functions of each element, of pairs, and between types.

use super::{Array, Arrays, OpError};
use alloc::format;
use plan::array::{Map, Zip};
use tensor::DType;

/// Which operands a function is defined for.
#[derive(Clone, Copy)]
enum Domain {
    Floats,
    Numbers,
    Integers,
    Truths,
}

impl Domain {
    fn of(map: Map) -> Self {
        match map {
            Map::Not => Self::Truths,
            Map::BitNot => Self::Integers,
            Map::Abs
            | Map::Negate
            | Map::Sign
            | Map::Square
            | Map::Relu
            | Map::Relu6
            | Map::LeakyRelu { .. }
            | Map::Clamp { .. } => Self::Numbers,
            _ => Self::Floats,
        }
    }

    fn check(self, operands: &Arrays<'_>, array: &Array) -> Result<(), OpError> {
        let dtype = array.dtype;
        match self {
            Self::Floats => operands.typed(array, "floats", dtype.is_float()),
            Self::Numbers => operands.typed(array, "numbers", array.is_number()),
            Self::Integers => operands.typed(array, "integers", dtype.is_integer()),
            Self::Truths => operands.typed(array, "truth values", dtype == DType::Bool),
        }
    }
}

/// Whether a function gives floats for floats, as activations of cells must.
pub(super) fn is_activation(map: Map) -> bool {
    !matches!(map, Map::Not | Map::BitNot | Map::IsNan | Map::IsInf { .. })
}

pub(super) fn map(operands: &Arrays<'_>, map: Map) -> Result<Array, OpError> {
    let x = operands.array(0)?;
    Domain::of(map).check(operands, &x)?;
    let dtype = match map {
        Map::IsNan | Map::IsInf { .. } => DType::Bool,
        _ => x.dtype,
    };
    operands.result(dtype, &x.dims)
}

pub(super) fn zip(operands: &Arrays<'_>, zip: Zip) -> Result<Array, OpError> {
    let (a, b) = (operands.array(0)?, operands.array(1)?);
    let (domain, compares) = match zip {
        Zip::And | Zip::Or | Zip::Xor => (Domain::Truths, false),
        Zip::BitAnd | Zip::BitOr | Zip::BitXor | Zip::ShiftLeft | Zip::ShiftRight => {
            (Domain::Integers, false)
        }
        Zip::Atan2 => (Domain::Floats, false),
        Zip::Equal | Zip::NotEqual if a.dtype == DType::Bool => (Domain::Truths, true),
        Zip::Equal
        | Zip::NotEqual
        | Zip::Less
        | Zip::LessOrEqual
        | Zip::Greater
        | Zip::GreaterOrEqual => (Domain::Numbers, true),
        Zip::Add
        | Zip::Subtract
        | Zip::Multiply
        | Zip::Divide
        | Zip::Power
        | Zip::Modulo
        | Zip::Remainder
        | Zip::Minimum
        | Zip::Maximum
        | Zip::Prelu
        | Zip::SquaredDifference
        | Zip::FloorDivide => (Domain::Numbers, false),
    };
    domain.check(operands, &a)?;
    if zip == Zip::Power {
        domain.check(operands, &b)?;
    } else {
        operands.same_type(&a, &b)?;
    }
    let dims = broadcast(operands, &[a, b])?;
    operands.result(if compares { DType::Bool } else { a.dtype }, &dims)
}

pub(super) fn select(operands: &Arrays<'_>) -> Result<Array, OpError> {
    let all = [operands.array(0)?, operands.array(1)?, operands.array(2)?];
    Domain::Truths.check(operands, &all[0])?;
    operands.same_type(&all[1], &all[2])?;
    let dims = broadcast(operands, &all)?;
    operands.result(all[1].dtype, &dims)
}

pub(super) fn broadcast(operands: &Arrays<'_>, arrays: &[Array]) -> Result<tensor::Shape, OpError> {
    let all = arrays.iter().try_fold(tensor::Shape::SCALAR, |all, x| all.broadcast(&x.dims));
    all.ok_or_else(|| {
        let shapes: alloc::vec::Vec<_> = arrays.iter().map(|array| array.dims).collect();
        operands.error(format!("operands do not fit each other: {shapes:?}"))
    })
}

pub(super) fn cast(operands: &Arrays<'_>, to: DType) -> Result<Array, OpError> {
    let x = operands.array(0)?;
    operands.result(to, &x.dims)
}

pub(super) fn quantize(
    operands: &Arrays<'_>,
    axis: u8,
    block: u32,
    to: DType,
) -> Result<Array, OpError> {
    let (x, scale) = (operands.array(0)?, operands.array(1)?);
    operands.typed(&x, "numbers", x.is_number())?;
    operands.typed(&scale, "float scales", scale.dtype.is_float())?;
    let coded = !to.is_float() && to != DType::Bool;
    operands.require(coded, || format!("cannot quantise to {to}"))?;
    scales(operands, &x, &scale, axis, block)?;
    operands.optional_array_of(2, to, &scale.dims)?;
    operands.result(to, &x.dims)
}

pub(super) fn dequantize(
    operands: &Arrays<'_>,
    axis: u8,
    block: u32,
    to: DType,
) -> Result<Array, OpError> {
    let (x, scale) = (operands.array(0)?, operands.array(1)?);
    operands.typed(&x, "codes", !x.dtype.is_float() && x.dtype != DType::Bool)?;
    operands.typed(&scale, "float scales", scale.dtype.is_float())?;
    operands.require(to.is_float(), || format!("cannot dequantise to {to}"))?;
    scales(operands, &x, &scale, axis, block)?;
    operands.optional_array_of(2, x.dtype, &scale.dims)?;
    operands.result(to, &x.dims)
}

/// Refuses scales that are neither one number, nor one for each index, nor one for each block.
fn scales(
    operands: &Arrays<'_>,
    x: &Array,
    scale: &Array,
    axis: u8,
    block: u32,
) -> Result<(), OpError> {
    let fits = match (&*scale.dims, block) {
        ([] | [1], 0) => true,
        (&[n], 0) => x.dims.get(usize::from(axis)) == Some(&n),
        (_, 0) => false,
        (dims, _) => {
            let blocks = |i, dim: u64| {
                if i == usize::from(axis) { dim.div_ceil(u64::from(block)) } else { dim }
            };
            usize::from(axis) < x.dims.len()
                && dims.len() == x.dims.len()
                && (0..).zip(x.dims.iter()).zip(dims).all(|((i, &dim), &n)| blocks(i, dim) == n)
        }
    };
    operands.require(fits, || {
        format!("scales {} do not fit {} along dimension {axis}, block {block}", scale.dims, x.dims)
    })
}
