//! Products of matrices.

use super::{Call, Outputs, elementwise::activate, one};
use crate::network::{Builder, Fault};
use formats::tflite::options;

pub(super) fn fully_connected(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let options = options::FullyConnected::read(call.options())?;
    if options.weights_format {
        return Err(Fault::unsupported("weights in shuffled blocks"));
    }
    let x = call.tensor(b, 0)?;
    let (rows, dims) = connected(&x.dims, &call.array(1)?.dims(), options.keep_num_dims)?;
    let w = call.array(1)?.weight(b)?;
    let w = b.swap(&w, 0, 1)?;
    let x = b.reshape(&x, &rows)?;
    let mut result = b.matmul(&x, &w)?;
    if let Some(bias) = call.optional(2)? {
        let bias = bias.tensor(b)?;
        result = b.add(&result, &bias)?;
    }
    let result = activate(b, result, options.activation)?;
    one(b.reshape(&result, &dims)?)
}

/// Extents of the operand as rows, and of the result.
pub(super) fn connected(x: &[u64], w: &[u64], keep: bool) -> Result<([u64; 2], Vec<u64>), Fault> {
    let &[out, width] = w else {
        return Err(Fault::invalid(format!("weights of {w:?}")));
    };
    let elements: u64 = x.iter().product();
    let batch = elements.checked_div(width).filter(|batch| batch * width == elements);
    let batch =
        batch.ok_or_else(|| Fault::invalid(format!("weights of {w:?} for an input of {x:?}")))?;
    let mut dims = vec![batch, out];
    if keep {
        dims = x.to_vec();
        if dims.pop() != Some(width) {
            return Err(Fault::invalid(format!("weights of {w:?} for an input of {x:?}")));
        }
        dims.push(out);
    }
    Ok(([batch, width], dims))
}

pub(super) fn batch_matmul(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let options = options::BatchMatmul::read(call.options())?;
    let (mut x, mut y) = (call.tensor(b, 0)?, call.array(1)?.weight(b)?);
    for (operand, turned) in [(&mut x, options.transpose_left), (&mut y, options.transpose_right)] {
        let rank = operand.rank();
        if rank < 2 {
            return Err(Fault::invalid(format!("matrices of {}", operand.dims)));
        }
        if turned {
            *operand = b.swap(operand, rank - 2, rank - 1)?;
        }
    }
    one(b.matmul(&x, &y)?)
}
