//! Every operator on dense arrays, computed plainly: the specification of all kernels.
//!
//! [`run`] computes what `plan::ArrayOp` documents, for every element type that the operator takes:
//! floats in double precision and rounded once, integers exactly and wrapped once. It allocates
//! nothing; [`scratch_bytes`] says beforehand what it needs. Operands must have passed the graph's
//! rules (a panic is a fault of ours); only indices that are data can be wrong, and are a [`Fault`].
//! It folds constants at import and runs what has no faster kernel. This crate is internal to Ledge.

mod number;
mod walk;
mod map;
mod zip;
mod cast;
mod movement;
mod index;
mod reduce;
mod norm;
mod quant;
mod ending;
mod matmul;
mod window;
mod sample;
mod recurrent;
mod dft;

pub use map::apply;
pub use movement::copy_along;
pub use sample::{is_kept, samples};
pub use walk::Out;

use plan::ArrayOp;
use tensor::view::tensor_bytes;
use tensor::{DType, Shape, TensorRef, TensorType};

/// What a run can find wrong: everything else was checked before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// An index that is data points outside of its array.
    #[error("index {index} is outside of {extent} elements")]
    Index {
        /// The index.
        index: i64,
        /// The extent that it points into.
        extent: u64,
    },
    /// The result would be larger than the system's memory.
    #[error("a result of {0:?} does not fit any memory")]
    Size(Shape),
}

/// Operands of an operator, absent ones included; trailing absent ones may be left out.
pub(crate) struct Inputs<'a, 'b>(&'b [Option<TensorRef<'a>>]);

impl<'a> Inputs<'a, '_> {
    fn get(&self, i: usize) -> Option<TensorRef<'a>> {
        self.0.get(i).copied().flatten()
    }

    fn at(&self, i: usize) -> TensorRef<'a> {
        self.get(i).expect("the graph's rules require the operand")
    }
}

/// The element type of a plain tensor.
pub(crate) fn dtype(x: &TensorRef<'_>) -> DType {
    match x.ty() {
        TensorType::Plain(dtype) => dtype,
        TensorType::Block(block) => panic!("arrays are plain, not {block}"),
    }
}

/// Whether any part of the result can be computed apart from the rest ([`Out::part`]).
pub fn divides(op: &ArrayOp) -> bool {
    match op {
        ArrayOp::Map(_)
        | ArrayOp::Zip(_)
        | ArrayOp::Select
        | ArrayOp::Cast { .. }
        | ArrayOp::Reshape { .. }
        | ArrayOp::View(_)
        | ArrayOp::Pad(_)
        | ArrayOp::Reduce(_)
        | ArrayOp::ArgReduce { .. }
        | ArrayOp::MatMul
        | ArrayOp::MatMulFused(_)
        | ArrayOp::Conv(_)
        | ArrayOp::ConvLast { .. }
        | ArrayOp::ConvTranspose { .. }
        | ArrayOp::ConvTransposeLast { .. }
        | ArrayOp::DeformConv { .. }
        | ArrayOp::Pool(_)
        | ArrayOp::Gather { .. }
        | ArrayOp::GatherElements { .. }
        | ArrayOp::GatherNd { .. }
        | ArrayOp::OneHot { .. }
        | ArrayOp::Resize(_)
        | ArrayOp::GridSample { .. }
        | ArrayOp::RoiAlign(_)
        | ArrayOp::Col2Im { .. }
        | ArrayOp::Triangle { .. }
        | ArrayOp::LocalResponse { .. }
        | ArrayOp::Quantize { .. }
        | ArrayOp::Dequantize { .. }
        | ArrayOp::Requant(_)
        | ArrayOp::Lookup
        | ArrayOp::CodePairs(_) => true,
        ArrayOp::Concat { .. }
        | ArrayOp::Accumulate { .. }
        | ArrayOp::MaxUnpool { .. }
        | ArrayOp::ScatterElements { .. }
        | ArrayOp::ScatterNd { .. }
        | ArrayOp::TopK { .. }
        | ArrayOp::Softmax { .. }
        | ArrayOp::Normalise { .. }
        | ArrayOp::Recurrent(_)
        | ArrayOp::Dft(_) => false,
    }
}

/// Bytes of scratch that [`run`] needs, aligned to 8.
pub fn scratch_bytes(op: &ArrayOp) -> u64 {
    match op {
        ArrayOp::Recurrent(op) => recurrent::scratch_bytes(op),
        ArrayOp::Dft(op) => dft::scratch_bytes(op),
        _ => 0,
    }
}

/// Computes `op` into `out`.
///
/// # Errors
/// If an index that is data is outside of its array.
///
/// # Panics
/// If operands do not fit the operator, or scratch is too small.
pub fn run(
    op: &ArrayOp,
    inputs: &[Option<TensorRef<'_>>],
    out: &mut Out<'_>,
    scratch: &mut [u8],
) -> Result<(), Fault> {
    let inputs = &Inputs(inputs);
    match *op {
        ArrayOp::Map(map) => map::map(map, inputs, out),
        ArrayOp::Zip(zip) => zip::zip(zip, inputs, out),
        ArrayOp::Select => zip::select(inputs, out),
        ArrayOp::Cast { saturate, .. } => cast::cast(saturate, inputs, out),
        ArrayOp::Quantize { axis, block, saturate, .. } => {
            cast::quantize(axis, block, saturate, inputs, out);
        }
        ArrayOp::Dequantize { axis, block, .. } => cast::dequantize(axis, block, inputs, out),
        ArrayOp::Requant(op) => quant::requant(&op, inputs, out),
        ArrayOp::Lookup => quant::lookup(inputs, out),
        ArrayOp::CodePairs(op) => quant::code_pairs(&op, inputs, out),
        ArrayOp::Reshape { .. } => movement::copy(inputs, out),
        ArrayOp::View(view) => movement::view(&view, inputs, out),
        ArrayOp::Concat { axis } => movement::concat(axis, inputs, out),
        ArrayOp::Pad(pad) => movement::pad(&pad, inputs, out),
        ArrayOp::Triangle { upper, k } => movement::triangle(upper, k, inputs, out),
        ArrayOp::OneHot { axis, .. } => index::one_hot(axis, inputs, out),
        ArrayOp::Gather { axis, batch } => index::gather(axis, batch, inputs, out)?,
        ArrayOp::GatherElements { axis } => index::gather_elements(axis, inputs, out)?,
        ArrayOp::GatherNd { batch } => index::gather_nd(batch, inputs, out)?,
        ArrayOp::ScatterElements { axis, combine } => {
            index::scatter_elements(axis, combine, inputs, out)?;
        }
        ArrayOp::ScatterNd { combine } => index::scatter_nd(combine, inputs, out)?,
        ArrayOp::MaxUnpool { .. } => index::unpool(inputs, out)?,
        ArrayOp::Reduce(op) => reduce::reduce(op, inputs, out),
        ArrayOp::ArgReduce { largest, axis, last } => {
            reduce::arg(reduce::Search { largest, last }, axis, inputs, out);
        }
        ArrayOp::Accumulate { product, axis, exclusive, reverse } => {
            reduce::accumulate(reduce::Run { product, exclusive, reverse }, axis, inputs, out);
        }
        ArrayOp::TopK { axis, largest, .. } => reduce::top_k(axis, largest, inputs, out),
        ArrayOp::Softmax { axis, log } => norm::softmax(axis, log, inputs, out),
        ArrayOp::Normalise { axis, eps, rms } => norm::normalise(axis, eps, rms, inputs, out),
        ArrayOp::LocalResponse { axis, size, alpha, beta, bias } => {
            norm::local_response(axis, size, [alpha, beta, bias].map(f64::from), inputs, out);
        }
        ArrayOp::MatMul => matmul::matmul(inputs, out),
        ArrayOp::MatMulFused(epilogue) => matmul::fused(&epilogue, inputs, out),
        ArrayOp::Conv(conv) => window::conv(&conv, inputs, out),
        ArrayOp::ConvLast { conv, epilogue } => window::conv_last(&conv, &epilogue, inputs, out),
        ArrayOp::ConvTranspose { conv, .. } => window::transpose(&conv, inputs, out),
        ArrayOp::ConvTransposeLast { conv, epilogue, .. } => {
            window::transpose_last(&conv, &epilogue, inputs, out);
        }
        ArrayOp::DeformConv { conv, offset_groups } => {
            window::deform(&conv, offset_groups, inputs, out);
        }
        ArrayOp::Pool(pool) => window::pool(&pool, inputs, out),
        ArrayOp::Col2Im { conv, .. } => window::col2im(&conv, inputs, out),
        ArrayOp::Resize(op) => sample::resize(&op, inputs, out),
        ArrayOp::GridSample { mode, padding, align_corners } => {
            sample::grid(mode, padding, align_corners, inputs, out);
        }
        ArrayOp::RoiAlign(op) => sample::roi_align(&op, inputs, out)?,
        ArrayOp::Recurrent(op) => recurrent::recurrent(&op, inputs, out, scratch),
        ArrayOp::Dft(op) => dft::dft(op, inputs, out, scratch),
    }
    Ok(())
}

/// Computes `op` into memory of its own: what constants are folded with.
///
/// # Errors
/// As [`run`], or if the result does not fit memory.
///
/// # Panics
/// As [`run`].
pub fn evaluate(
    op: &ArrayOp,
    inputs: &[Option<TensorRef<'_>>],
    dtype: DType,
    dims: Shape,
) -> Result<Vec<u8>, Fault> {
    let bytes = tensor_bytes(dtype.into(), dims).ok().and_then(tensor::Bytes::to_usize);
    let bytes = bytes.ok_or(Fault::Size(dims))?;
    let mut result = Vec::new();
    result.try_reserve_exact(bytes).map_err(|_| Fault::Size(dims))?;
    result.resize(bytes, 0);
    let words = usize::try_from(scratch_bytes(op).div_ceil(8)).map_err(|_| Fault::Size(dims))?;
    let mut scratch: Vec<f64> = Vec::new();
    scratch.try_reserve_exact(words).map_err(|_| Fault::Size(dims))?;
    scratch.resize(words, 0.0);
    let mut out = Out::whole(dtype, dims, &mut result);
    run(op, inputs, &mut out, tensor::cast::to_bytes_mut(&mut scratch))?;
    Ok(result)
}

#[cfg(test)]
mod tests;
