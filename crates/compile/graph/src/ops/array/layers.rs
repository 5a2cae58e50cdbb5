//! Products of matrices, recurrent cells, Fourier transforms.

use super::elementwise::is_activation;
use super::{Array, Arrays, ELEMENTS_MAX, OpError, epilogue};
use alloc::{format, vec::Vec};
use plan::array::{Cell, Dft, Direction, Epilogue, Recurrent};
use tensor::{DType, Shape};

pub(super) fn matmul(operands: &Arrays<'_>) -> Result<Array, OpError> {
    if !is_bytes(&operands.array(0)?, &operands.array(1)?) {
        operands.at_most(2)?;
    }
    product(operands, 2)
}

pub(super) fn matmul_fused(operands: &Arrays<'_>, fused: &Epilogue) -> Result<Array, OpError> {
    let sums = product(operands, 4)?;
    operands.optional_array_of(2, sums.dtype, &sums.dims[sums.dims.len() - 1..])?;
    epilogue::result(operands, fused, &sums, [3, 6])
}

fn is_bytes(a: &Array, b: &Array) -> bool {
    a.is_byte() && b.is_byte()
}

/// The sums of a product; its zero points are operands `zeros` and the one behind.
fn product(operands: &Arrays<'_>, zeros: usize) -> Result<Array, OpError> {
    let (a, b) = (operands.array(0)?, operands.array(1)?);
    let bytes = is_bytes(&a, &b);
    operands.typed(&a, "numbers", a.is_number())?;
    let wide = a.dtype == DType::I16 && b.dtype == DType::I8;
    if !bytes {
        operands.absent(zeros, "products without zero points")?;
        operands.absent(zeros + 1, "products without zero points")?;
    }
    if !bytes && !wide {
        operands.weight_type(&a, &b)?;
    }
    let outer = |x: &Array| Shape::new(&x.dims[..x.dims.len().saturating_sub(2)]);
    let dims = || -> Option<Vec<u64>> {
        let (&[.., m, k], &[.., inner, n]) = (&*a.dims, &*b.dims) else { return None };
        let mut dims = outer(&a)?.broadcast(&outer(&b)?)?.to_vec();
        dims.extend([m, n]);
        (k == inner).then_some(dims)
    };
    let dims = dims()
        .ok_or_else(|| operands.error(format!("{} and {} have no product", a.dims, b.dims)))?;
    let dtype = match (bytes, wide) {
        (true, _) => DType::I32,
        (false, true) => DType::I64,
        (false, false) => a.dtype,
    };
    let ty = operands.result(dtype, &dims)?;
    for (i, x, across) in [(zeros, &a, dims.len() - 1), (zeros + 1, &b, dims.len() - 2)] {
        let Some(zero) = operands.optional_array(i)? else { continue };
        operands.same_type(x, &zero)?;
        let mut most = dims.clone();
        most[across] = 1;
        let most = Shape::new(&most).expect("as many dimensions as the result");
        operands.require(zero.dims.broadcast(&most) == Some(most), || {
            format!("zero points {} do not repeat to {most}", zero.dims)
        })?;
    }
    Ok(ty)
}

pub(super) fn recurrent(operands: &Arrays<'_>, op: &Recurrent) -> Result<Array, OpError> {
    let x = operands.array(0)?;
    operands.typed(&x, "floats", x.dtype.is_float())?;
    let &[t, n, inputs] = &*x.dims else {
        return Err(operands.error(format!("takes [steps, batch, inputs], not {}", x.dims)));
    };
    operands.require(op.activations.iter().all(|&map| is_activation(map)), || {
        format!("{:?} are no activations", op.activations)
    })?;
    operands.require(op.clip.is_none_or(|clip| clip >= 0.0), || "negative clip".into())?;
    let (gates, results) = match op.cell {
        Cell::Rnn => (1, 1),
        Cell::Gru { .. } => (3, 1),
        Cell::Lstm { .. } => (4, 2),
    };
    let directions = match op.direction {
        Direction::Forward | Direction::Reverse => 1,
        Direction::Both => 2,
    };
    let hidden = u64::from(op.hidden);
    let rows = gates * hidden;
    for (i, dims) in [(1, [directions, rows, inputs]), (2, [directions, rows, hidden])] {
        operands.array(i)?;
        operands.optional_array_of(i, x.dtype, &dims)?;
    }
    operands.optional_array_of(3, x.dtype, &[directions, 2 * rows])?;
    operands.optional_array_of(4, DType::I32, &[n])?;
    operands.optional_array_of(5, x.dtype, &[directions, n, hidden])?;
    operands.optional_array_of(6, x.dtype, &[directions, n, hidden])?;
    operands.optional_array_of(7, x.dtype, &[directions, 3 * hidden])?;
    operands.result(x.dtype, &[results, t, directions, n, hidden])
}

pub(super) fn dft(operands: &Arrays<'_>, op: &Dft) -> Result<Array, OpError> {
    let x = operands.array(0)?;
    operands.typed(&x, "floats", x.dtype.is_float())?;
    let parts = x.dims.dims().last().copied().unwrap_or(0);
    let axis = operands.axis(op.axis, &x)?;
    let fits = axis + 1 < x.dims.len()
        && (parts == 2 || (parts == 1 && !(op.inverse && op.onesided)))
        && !(parts == 2 && op.onesided && !op.inverse);
    operands.require(fits, || format!("no such transform of {}", x.dims))?;
    operands
        .require((1..=ELEMENTS_MAX).contains(&op.length), || format!("{} points", op.length))?;
    let mut dims = x.dims.to_vec();
    let (points, parts) = match (op.inverse, op.onesided) {
        (false, true) => (op.length / 2 + 1, 2),
        (true, true) => (op.length, 1),
        (_, false) => (op.length, 2),
    };
    dims[axis] = points;
    dims[x.dims.len() - 1] = parts;
    operands.result(x.dtype, &dims)
}
