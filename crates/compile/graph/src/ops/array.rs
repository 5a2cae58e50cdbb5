//! Rules of the operators on dense arrays, whose extents are all numbers.
//!
//! Extents and attributes come from files, so each is checked before it is computed with: axes
//! against ranks, windows and steps against zero, products against [`ELEMENTS_MAX`], reads of a
//! view against its operand. What passes here can be run without a further check, but for indices
//! that are data. Operands are values or weights alike.

mod elementwise;
mod epilogue;
mod index;
mod layers;
mod movement;
mod quant;
mod reduce;
mod sample;
mod window;

use super::{OpError, Operands};
use crate::{Input, Type};
use alloc::{format, string::String, vec::Vec};
use plan::{ArrayOp, Dim};
use tensor::{DType, Shape, TensorType};

/// The most elements of any array.
pub const ELEMENTS_MAX: u64 = 1 << 40;

/// An operand or a result: its element type and extents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Array {
    /// Element type.
    pub dtype: DType,
    /// Extents, outermost first.
    pub dims: Shape,
}

/// The rule in a graph.
pub(super) fn infer(operands: &Operands<'_>, op: &ArrayOp) -> Result<Type, OpError> {
    let list: Vec<Option<Array>> =
        (0..operands.inputs.len()).map(|i| operand(operands, i)).collect::<Result<_, _>>()?;
    let result = result(op, &list)?;
    Ok(Type { dtype: result.dtype, dims: result.dims.iter().map(|&dim| Dim::Fixed(dim)).collect() })
}

/// Operand `i` of a node: a value or a weight whose extents are all numbers.
fn operand(operands: &Operands<'_>, i: usize) -> Result<Option<Array>, OpError> {
    let fixed = |dim: &Dim| match dim {
        Dim::Fixed(n) => Some(*n),
        Dim::Symbol(_) => None,
    };
    let array = match operands.get(i) {
        Input::Absent => return Ok(None),
        Input::Value(_) => {
            let ty = operands.graph.ty(operands.value_id(i)?);
            let dims: Option<Vec<u64>> = ty.dims.iter().map(fixed).collect();
            dims.and_then(|dims| Shape::new(&dims)).map(|dims| Array { dtype: ty.dtype, dims })
        }
        Input::Weight(_) => {
            let weight = operands.weight(i)?;
            match weight.ty {
                TensorType::Plain(dtype) => Some(Array { dtype, dims: weight.shape }),
                TensorType::Block(_) => None,
            }
        }
        Input::State(_) => None,
    };
    array.map(Some).ok_or_else(|| {
        operands.error(format!("operand {i} must be an array whose extents are numbers"))
    })
}

/// What `op` gives for these operands: the rule without a graph.
///
/// # Errors
/// If operands are missing or do not fit the operator or each other.
pub fn result(op: &ArrayOp, operands: &[Option<Array>]) -> Result<Array, OpError> {
    let operands = &Arrays { op: op.name(), list: operands };
    operands.at_most(most_operands(op))?;
    match *op {
        ArrayOp::Map(map) => elementwise::map(operands, map),
        ArrayOp::Zip(zip) => elementwise::zip(operands, zip),
        ArrayOp::Select => elementwise::select(operands),
        ArrayOp::Cast { to, .. } => elementwise::cast(operands, to),
        ArrayOp::Quantize { axis, block, to, .. } => {
            elementwise::quantize(operands, axis, block, to)
        }
        ArrayOp::Dequantize { axis, block, to } => {
            elementwise::dequantize(operands, axis, block, to)
        }
        ArrayOp::Requant(op) => quant::requant(operands, &op),
        ArrayOp::Lookup => quant::lookup(operands),
        ArrayOp::CodePairs(op) => quant::code_pairs(operands, &op),
        ArrayOp::Reshape { dims } => movement::reshape(operands, dims),
        ArrayOp::View(view) => movement::view(operands, &view),
        ArrayOp::Concat { axis } => movement::concat(operands, axis),
        ArrayOp::Pad(pad) => movement::pad(operands, &pad),
        ArrayOp::Triangle { .. } => movement::triangle(operands),
        ArrayOp::Reduce(op) => reduce::reduce(operands, op),
        ArrayOp::ArgReduce { axis, .. } => reduce::arg(operands, axis),
        ArrayOp::Accumulate { axis, .. } => reduce::accumulate(operands, axis),
        ArrayOp::TopK { axis, k, .. } => reduce::top_k(operands, axis, k),
        ArrayOp::Softmax { axis, .. } => reduce::softmax(operands, axis),
        ArrayOp::Normalise { axis, .. } => reduce::normalise(operands, axis),
        ArrayOp::LocalResponse { axis, .. } => reduce::local_response(operands, axis),
        ArrayOp::MatMul => layers::matmul(operands),
        ArrayOp::MatMulFused(epilogue) => layers::matmul_fused(operands, &epilogue),
        ArrayOp::Recurrent(op) => layers::recurrent(operands, &op),
        ArrayOp::Dft(op) => layers::dft(operands, &op),
        ArrayOp::Conv(op) => window::conv(operands, &op),
        ArrayOp::ConvLast { conv, epilogue } => window::conv_last(operands, &conv, &epilogue),
        ArrayOp::ConvTranspose { conv, output } => window::transpose(operands, &conv, &output),
        ArrayOp::ConvTransposeLast { conv, output, epilogue } => {
            window::transpose_last(operands, &conv, &output, &epilogue)
        }
        ArrayOp::DeformConv { conv, offset_groups } => {
            window::deform(operands, &conv, offset_groups)
        }
        ArrayOp::Pool(pool) => window::pool(operands, &pool),
        ArrayOp::MaxUnpool { dims } => window::unpool(operands, dims),
        ArrayOp::Col2Im { image, conv } => window::col2im(operands, &image, &conv),
        ArrayOp::Gather { axis, batch } => index::gather(operands, axis, batch),
        ArrayOp::GatherElements { axis } => index::gather_elements(operands, axis),
        ArrayOp::GatherNd { batch } => index::gather_nd(operands, batch),
        ArrayOp::ScatterElements { axis, combine } => {
            index::scatter_elements(operands, axis, combine)
        }
        ArrayOp::ScatterNd { combine } => index::scatter_nd(operands, combine),
        ArrayOp::OneHot { axis, depth } => index::one_hot(operands, axis, depth),
        ArrayOp::Resize(op) => sample::resize(operands, &op),
        ArrayOp::GridSample { mode, .. } => sample::grid(operands, mode),
        ArrayOp::RoiAlign(op) => sample::roi_align(operands, &op),
    }
}

/// How many operands an operator takes at most.
fn most_operands(op: &ArrayOp) -> usize {
    match op {
        ArrayOp::Map(_)
        | ArrayOp::Cast { .. }
        | ArrayOp::Reshape { .. }
        | ArrayOp::View(_)
        | ArrayOp::Reduce(_)
        | ArrayOp::ArgReduce { .. }
        | ArrayOp::Accumulate { .. }
        | ArrayOp::Pool(_)
        | ArrayOp::Resize(_)
        | ArrayOp::Col2Im { .. }
        | ArrayOp::TopK { .. }
        | ArrayOp::Softmax { .. }
        | ArrayOp::LocalResponse { .. }
        | ArrayOp::Dft(_)
        | ArrayOp::Triangle { .. } => 1,
        ArrayOp::Zip(_)
        | ArrayOp::Pad(_)
        | ArrayOp::MaxUnpool { .. }
        | ArrayOp::Gather { .. }
        | ArrayOp::GatherElements { .. }
        | ArrayOp::GatherNd { .. }
        | ArrayOp::OneHot { .. }
        | ArrayOp::GridSample { .. }
        | ArrayOp::Requant(_)
        | ArrayOp::Lookup
        | ArrayOp::CodePairs(_) => 2,
        ArrayOp::Select
        | ArrayOp::ConvTranspose { .. }
        | ArrayOp::ScatterElements { .. }
        | ArrayOp::ScatterNd { .. }
        | ArrayOp::RoiAlign(_)
        | ArrayOp::Normalise { .. }
        | ArrayOp::Quantize { .. }
        | ArrayOp::Dequantize { .. } => 3,
        ArrayOp::MatMul | ArrayOp::ConvTransposeLast { .. } => 4,
        ArrayOp::Conv(_) | ArrayOp::DeformConv { .. } => 5,
        ArrayOp::ConvLast { .. } | ArrayOp::MatMulFused(_) => 7,
        ArrayOp::Recurrent(_) => 8,
        ArrayOp::Concat { .. } => usize::MAX,
    }
}

/// The operands of one operator, fetched with errors that name the place.
struct Arrays<'a> {
    op: &'static str,
    list: &'a [Option<Array>],
}

impl Arrays<'_> {
    fn error(&self, reason: String) -> OpError {
        OpError { op: self.op, reason }
    }

    fn require(&self, holds: bool, reason: impl FnOnce() -> String) -> Result<(), OpError> {
        if holds { Ok(()) } else { Err(self.error(reason())) }
    }

    /// At most `max` operands.
    fn at_most(&self, max: usize) -> Result<(), OpError> {
        self.require(self.list.len() <= max, || {
            format!("takes at most {max} operands, has {}", self.list.len())
        })
    }

    /// Operand `i`.
    fn array(&self, i: usize) -> Result<Array, OpError> {
        self.optional_array(i)?.ok_or_else(|| self.error(format!("operand {i} is missing")))
    }

    /// Operand `i`, if it is there.
    fn optional_array(&self, i: usize) -> Result<Option<Array>, OpError> {
        let array = self.list.get(i).copied().flatten();
        if let Some(array) = array.filter(|array| array.elements().is_none()) {
            return Err(self.error(format!("operand {i} of {} is beyond 2^40", array.dims)));
        }
        Ok(array)
    }

    /// Operand `i`: absent, or an array of this type and these extents.
    fn optional_array_of(&self, i: usize, dtype: DType, dims: &[u64]) -> Result<(), OpError> {
        let Some(array) = self.optional_array(i)? else { return Ok(()) };
        self.require(array.dtype == dtype && *array.dims == *dims, || {
            format!("operand {i} must be {dtype} {dims:?}, is {} {}", array.dtype, array.dims)
        })
    }

    /// Refuses operand `i` where there must be none.
    fn absent(&self, i: usize, why: &str) -> Result<(), OpError> {
        self.require(self.optional_array(i)?.is_none(), || format!("operand {i} with {why}"))
    }

    /// Refuses an axis outside of `array`; gives it as an index.
    fn axis(&self, axis: u8, array: &Array) -> Result<usize, OpError> {
        let rank = array.dims.len();
        self.require(usize::from(axis) < rank, || {
            format!("there is no dimension {axis} among {rank}")
        })?;
        Ok(usize::from(axis))
    }

    /// Refuses an operand whose type does not fit.
    fn typed(&self, array: &Array, what: &str, fits: bool) -> Result<(), OpError> {
        self.require(fits, || format!("takes {what}, not {}", array.dtype))
    }

    /// Refuses operands of different types.
    fn same_type(&self, a: &Array, b: &Array) -> Result<(), OpError> {
        self.require(a.dtype == b.dtype, || {
            format!("operands must have one type, are {} and {}", a.dtype, b.dtype)
        })
    }

    /// Refuses weights of another type than the operand's: halves do for singles.
    fn weight_type(&self, x: &Array, w: &Array) -> Result<(), OpError> {
        let half = matches!(w.dtype, DType::F16 | DType::BF16);
        if half && x.dtype == DType::F32 { Ok(()) } else { self.same_type(x, w) }
    }

    /// The result, if it has at most eight dimensions and [`ELEMENTS_MAX`] elements.
    fn result(&self, dtype: DType, dims: &[u64]) -> Result<Array, OpError> {
        let array = Shape::new(dims).map(|dims| Array { dtype, dims });
        array.filter(|array| array.elements().is_some()).ok_or_else(|| {
            self.error(format!("a result of {dims:?} is beyond 8 dimensions or 2^40 elements"))
        })
    }
}

impl Array {
    /// Elements, or `None` beyond [`ELEMENTS_MAX`].
    fn elements(&self) -> Option<u64> {
        // Extents of 0 must not hide others that overflow: strides are products of them.
        let product = |&dim: &u64, all: u64| all.checked_mul(dim.max(1));
        let all = self.dims.iter().try_fold(1u64, |all, dim| product(dim, all))?;
        (all <= ELEMENTS_MAX).then(|| self.dims.iter().product())
    }

    fn is_number(&self) -> bool {
        self.dtype.is_float() || self.dtype.is_integer()
    }

    fn is_index(&self) -> bool {
        matches!(self.dtype, DType::I32 | DType::I64)
    }

    /// Integers of 8 bits, whose products are `I32`.
    fn is_byte(&self) -> bool {
        matches!(self.dtype, DType::I8 | DType::U8)
    }
}
