//! What moves elements without computing with them.

use crate::walk::{Out, Strides, coordinates, copy as copy_steps, dense, place, size};
use crate::{Inputs, dtype};
use plan::array::{Pad, PadMode, View};
use tensor::shape::RANK_MAX;
use tensor::{Shape, TensorRef};

pub(crate) fn copy(inputs: &Inputs<'_, '_>, out: &mut Out<'_>) {
    let width = size(out.dtype.bytes());
    let start = out.first * width;
    let bytes = out.bytes.len();
    out.bytes.copy_from_slice(&inputs.at(0).bytes()[start..start + bytes]);
}

pub(crate) fn view(view: &View, inputs: &Inputs<'_, '_>, out: &mut Out<'_>) {
    let mut strides: Strides = [0; RANK_MAX];
    for (stride, &step) in strides.iter_mut().zip(view.strides.iter()) {
        // Dimensions of one element may have any step; the others stay inside the operand.
        *stride = isize::try_from(step).unwrap_or(0);
    }
    for (stride, &dim) in strides.iter_mut().zip(view.dims.iter()) {
        if dim <= 1 {
            *stride = 0;
        }
    }
    if out.len() > 0 {
        copy_steps(out, strides, size(view.offset).cast_signed(), inputs.at(0).bytes());
    }
}

pub(crate) fn concat(axis: u8, inputs: &Inputs<'_, '_>, out: &mut Out<'_>) {
    let mut at = 0;
    for i in 0..inputs.0.len() {
        at += copy_along(axis, out.dims, at, &inputs.at(i), out.bytes);
    }
}

/// Copies one operand of a `Concat` to its place: from `at` on along `axis` of a result of `dims`,
/// whose bytes are `out`. Gives the operand's extent there.
///
/// # Panics
/// If the operand does not fit there.
pub fn copy_along(axis: u8, dims: Shape, at: u64, x: &TensorRef<'_>, out: &mut [u8]) -> u64 {
    let axis = usize::from(axis);
    let behind: usize = dims[axis + 1..].iter().map(|&dim| size(dim)).product();
    let inner = behind * size(dtype(x).bytes());
    let extent = x.shape()[axis];
    let (row, part, start) = (size(dims[axis]) * inner, size(extent) * inner, size(at) * inner);
    if part > 0 {
        for (to, from) in out.chunks_exact_mut(row).zip(x.bytes().chunks_exact(part)) {
            to[start..start + part].copy_from_slice(from);
        }
    }
    extent
}

/// The element that stands at place `at` of `len`, or `None` outside of a constant border.
fn mirrored(mode: PadMode, at: i64, len: i64) -> Option<i64> {
    if (0..len).contains(&at) {
        return Some(at);
    }
    match mode {
        PadMode::Constant => None,
        PadMode::Edge => Some(at.clamp(0, len - 1)),
        PadMode::Wrap => Some(at.rem_euclid(len)),
        PadMode::Reflect if len == 1 => Some(0),
        PadMode::Reflect => {
            let at = at.rem_euclid(2 * (len - 1));
            Some(at.min(2 * (len - 1) - at))
        }
        PadMode::Symmetric => {
            let at = at.rem_euclid(2 * len);
            Some(at.min(2 * len - 1 - at))
        }
    }
}

pub(crate) fn pad(pad: &Pad, inputs: &Inputs<'_, '_>, out: &mut Out<'_>) {
    let x = inputs.at(0);
    let shape = x.shape();
    let steps = dense(&shape);
    let width = size(out.dtype.bytes());
    let zeros = [0; 8];
    let value = inputs.get(1).map_or(&zeros[..width], |value| value.bytes());
    let from = x.bytes();
    for (i, to) in (out.first..).zip(out.bytes.chunks_exact_mut(width)) {
        let at = coordinates(&out.dims, i);
        let mut source = Some(0);
        for (d, &dim) in shape.iter().enumerate() {
            let wanted = size(at[d] as u64).cast_signed() as i64 - pad.before[d];
            // Negative amounts behind crop, so that what is read there is inside anyway.
            let found = mirrored(pad.mode, wanted, dim.cast_signed());
            source = source
                .zip(found)
                .map(|(sum, at)| sum + usize::try_from(at).expect("inside") * place(steps[d]));
        }
        to.copy_from_slice(source.map_or(value, |i| &from[i * width..][..width]));
    }
}

pub(crate) fn triangle(upper: bool, k: i64, inputs: &Inputs<'_, '_>, out: &mut Out<'_>) {
    copy(inputs, out);
    let rank = out.dims.len();
    let width = size(out.dtype.bytes());
    for (i, to) in (out.first..).zip(out.bytes.chunks_exact_mut(width)) {
        let at = coordinates(&out.dims, i);
        let (row, column) = (at[rank - 2] as i128, at[rank - 1] as i128);
        let diagonal = column - row;
        let kept = if upper { diagonal >= k.into() } else { diagonal <= k.into() };
        if !kept {
            to.fill(0);
        }
    }
}
