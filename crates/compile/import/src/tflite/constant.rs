//! Constant tensors of a file. Large ones stay in the file until a backend asks for them; sparse
//! ones are expanded and types narrower than a byte unpacked, one element a byte.

use crate::network::{Constant, Fault, Narrow, Stored, Tensor};
use formats::tflite::{self, Model, TensorType};
use tensor::{DType, Shape};

/// Tensors up to this size are copied at once.
const COPIED_BYTES: usize = 4 << 10;

/// How elements of a file's type are held.
pub(super) fn held(ty: TensorType) -> Result<(DType, Option<Narrow>), Fault> {
    if let Some(dtype) = ty.dtype() {
        return Ok((dtype, None));
    }
    let narrow = match ty {
        TensorType::Int4 => Narrow::Int4,
        TensorType::Uint4 => Narrow::Uint4,
        TensorType::Int2 => Narrow::Int2,
        other => return Err(Fault::unsupported(format!("element type {other}"))),
    };
    Ok((narrow.dtype(), Some(narrow)))
}

/// The constant of a tensor, if it has one; `file` is the file that it was read out of.
pub(super) fn constant(
    file: &[u8],
    model: &Model<'_>,
    tensor: &tflite::Tensor<'_>,
) -> Result<Option<Tensor>, Fault> {
    let of_rank = || Fault::unsupported(format!("{} dimensions; at most 8", tensor.shape.len()));
    if let Some(external) = model.external(tensor) {
        let (dtype, narrow) = held(tensor.ty)?;
        if narrow.is_some() || !external.packing.is_empty() {
            return Err(Fault::unsupported("packed elements in another file"));
        }
        let stored = Stored {
            file: Some(external.location.into()),
            offset: external.offset,
            bytes: external.length,
        };
        let dims = Shape::new(&tensor.shape).ok_or_else(of_rank)?;
        return Ok(Some(Tensor::of(dtype, dims, Constant::Stored(stored))));
    }
    let empty = || (tensor.elements() == 0).then_some(&[][..]);
    // No elements need no bytes: the shape of a scalar, say.
    let Some(bytes) = model.constant(tensor).or_else(empty) else { return Ok(None) };
    let (dtype, narrow) = held(tensor.ty)?;
    let dims = Shape::new(&tensor.shape).ok_or_else(of_rank)?;
    if bytes.is_empty() {
        return Ok(Some(Tensor::constant(dtype, dims, Vec::new()).narrowed(narrow)));
    }
    if narrow.is_none()
        && tensor.sparsity.is_none()
        && bytes.len() > COPIED_BYTES
        && let Some(offset) = bytes.as_ptr().addr().checked_sub(file.as_ptr().addr())
        && file.get(offset..).is_some_and(|rest| rest.len() >= bytes.len())
    {
        let stored = Stored { file: None, offset: offset as u64, bytes: bytes.len() as u64 };
        return Ok(Some(Tensor::of(dtype, dims, Constant::Stored(stored))));
    }
    let Some(bytes) = model.expand(tensor)? else { return Ok(None) };
    let bytes = match narrow {
        Some(narrow) => unpack(&bytes, narrow, tensor.elements()),
        None => bytes.into_owned(),
    };
    Ok(Some(Tensor::constant(dtype, dims, bytes).narrowed(narrow)))
}

/// Packed elements, the first in the lowest bits, one a byte with their sign.
fn unpack(bytes: &[u8], narrow: Narrow, count: u64) -> Vec<u8> {
    let bits = narrow.bits();
    let signed = matches!(narrow, Narrow::Int4 | Narrow::Int2);
    let parts = bytes.iter().flat_map(|&byte| {
        (0..8 / bits).map(move |part| {
            let high = byte.wrapping_shl(8 - bits - part * bits);
            if signed {
                (high.cast_signed() >> (8 - bits)).cast_unsigned()
            } else {
                high >> (8 - bits)
            }
        })
    });
    parts.take(usize::try_from(count).unwrap_or(usize::MAX)).collect()
}
