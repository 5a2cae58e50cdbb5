//! Constant tensors of a file as constants of a network. Large ones stay in the file until a
//! backend asks for them; types narrower than a byte are unpacked, one element a byte.

use crate::network::{Builder, Constant, Fault, Narrow, Numbers, Stored, Tensor};
use formats::onnx::{self, Contents, ElementType, SparseTensor};
use std::sync::Arc;
use tensor::{DType, Shape};

/// Tensors up to this size are copied at once.
const COPIED_BYTES: usize = 4 << 10;

/// How elements of a file's type are held.
pub(super) fn element(element: ElementType) -> Result<(DType, Option<Narrow>), Fault> {
    use ElementType as E;
    if let Some(dtype) = element.dtype() {
        return Ok((dtype, None));
    }
    let narrow = match element {
        E::Int4 => Narrow::Int4,
        E::Uint4 => Narrow::Uint4,
        E::Int2 => Narrow::Int2,
        E::Uint2 => Narrow::Uint2,
        E::Float8E4m3fn => return Ok((DType::F8E4M3, None)),
        E::Float8E5m2 => return Ok((DType::F8E5M2, None)),
        other => return Err(Fault::unsupported(format!("element type {other}"))),
    };
    Ok((narrow.dtype(), Some(narrow)))
}

/// A file's tensor as a constant; `file` is the file that it was read out of.
pub(super) fn constant(file: &[u8], tensor: &onnx::Tensor<'_>) -> Result<Tensor, Fault> {
    let (dtype, narrow) = element(tensor.element)?;
    let dims = tensor.shape().ok_or_else(|| {
        Fault::unsupported(format!("tensor `{}` has more than 8 dimensions", tensor.name))
    })?;
    if let (Contents::External(external), None) = (&tensor.contents, narrow) {
        let stored = Stored {
            file: Some(external.location.into()),
            offset: external.offset,
            bytes: external.length,
        };
        return Ok(Tensor::of(dtype, dims, Constant::Stored(stored)));
    }
    if let (Contents::Bytes(bytes), None) = (&tensor.contents, narrow)
        && bytes.len() > COPIED_BYTES
        && let Some(offset) = bytes.as_ptr().addr().checked_sub(file.as_ptr().addr())
        && file.get(offset..).is_some_and(|rest| rest.len() >= bytes.len())
    {
        let stored = Stored { file: None, offset: offset as u64, bytes: bytes.len() as u64 };
        return Ok(Tensor::of(dtype, dims, Constant::Stored(stored)));
    }
    let (dtype, narrow, dims, bytes) = elements(tensor)?;
    Ok(Tensor::constant(dtype, dims, bytes).narrowed(narrow))
}

/// Type, extents and elements of a tensor whose elements are in the file itself.
pub(super) fn elements(
    tensor: &onnx::Tensor<'_>,
) -> Result<(DType, Option<Narrow>, Shape, Vec<u8>), Fault> {
    let (dtype, narrow) = element(tensor.element)?;
    let dims = tensor.shape().ok_or_else(|| Fault::unsupported("more than 8 dimensions"))?;
    let bytes = tensor.bytes().map_err(|error| Fault::invalid(error.to_string()))?;
    let count = usize::try_from(tensor.elements()).unwrap_or(usize::MAX);
    let bytes = match narrow {
        Some(narrow) => unpack(&bytes, narrow, count),
        None => bytes.into_owned(),
    };
    Ok((dtype, narrow, dims, bytes))
}

/// Packed elements, the first in the lowest bits, one a byte with their sign.
fn unpack(bytes: &[u8], narrow: Narrow, count: usize) -> Vec<u8> {
    let bits = narrow.bits();
    let per_byte = (8 / bits) as usize;
    let signed = matches!(narrow, Narrow::Int4 | Narrow::Int2);
    let one = |place: usize| {
        let byte = bytes.get(place / per_byte).copied().unwrap_or_default();
        let shift = u32::try_from(place % per_byte).unwrap_or(0) * bits;
        let high = byte.wrapping_shl(8 - bits - shift);
        if signed { (high.cast_signed() >> (8 - bits)).cast_unsigned() } else { high >> (8 - bits) }
    };
    (0..count).map(one).collect()
}

/// A tensor that lists its non-zero elements, written out.
pub(super) fn sparse(builder: &Builder<'_>, tensor: &SparseTensor<'_>) -> Result<Tensor, Fault> {
    let (dtype, narrow) = element(tensor.values.element)?;
    let read = |part: &onnx::Tensor<'_>| {
        part.bytes()
            .map(std::borrow::Cow::into_owned)
            .map_err(|error| Fault::invalid(error.to_string()))
    };
    let (values, indices) = (read(&tensor.values)?, read(&tensor.indices)?);
    let dims = Shape::new(&tensor.dims).filter(|_| narrow.is_none());
    let dims = dims.ok_or_else(|| Fault::unsupported("a sparse tensor of this type"))?;
    let width = usize::try_from(dtype.bytes()).unwrap_or(8);
    let total = dims.elements().filter(|&n| n <= 1 << 28);
    let total = total.ok_or_else(|| Fault::invalid(format!("a sparse tensor of {dims}")))?;
    builder.room(total, dtype)?;
    let total = usize::try_from(total).map_err(|_| Fault::invalid("a sparse tensor"))?;
    let indices = Numbers { dtype: DType::I64, bytes: &indices }.ints()?;
    let count = values.len() / width;
    let rank = dims.len();
    let mut out = vec![0; total * width];
    for (i, value) in values.chunks_exact(width).enumerate() {
        let place = if indices.len() == count {
            indices[i]
        } else {
            let at = |d: usize| indices.get(i * rank + d).copied().unwrap_or(-1);
            (0..rank).fold(0i64, |place, d| {
                place.saturating_mul(dims[d].cast_signed()).saturating_add(at(d))
            })
        };
        let start = usize::try_from(place).ok().and_then(|place| place.checked_mul(width));
        let slot = start.and_then(|start| out.get_mut(start..start + width));
        slot.ok_or_else(|| Fault::invalid(format!("index {place} of a sparse tensor of {dims}")))?
            .copy_from_slice(value);
    }
    Ok(Tensor::constant(dtype, dims, Arc::<[u8]>::from(out)))
}
