//! Samples of images at places between their elements.

use super::{Array, Arrays, OpError};
use alloc::{format, vec::Vec};
use plan::array::{Coordinates, Interpolation, Resize, RoiAlign};
use tensor::DType;

pub(super) fn resize(operands: &Arrays<'_>, op: &Resize) -> Result<Array, OpError> {
    let x = operands.array(0)?;
    let nearest = matches!(op.mode, Interpolation::Nearest(_));
    operands.typed(&x, "numbers", nearest || x.is_number())?;
    let rank = x.dims.len();
    let region = if op.coordinates == Coordinates::CropAndResize { rank } else { 0 };
    let fits = op.dims.len() == rank
        && op.scales.len() == rank
        && op.roi_start.len() == region
        && op.roi_end.len() == region;
    operands.require(fits, || format!("attributes for other ranks than {rank}: {op:?}"))?;
    let sound = op.scales.iter().all(|&scale| scale.is_finite() && scale > 0.0)
        && op.roi_start.iter().chain(op.roi_end.iter()).all(|place| place.is_finite());
    operands.require(sound, || format!("scales and regions are numbers, are {op:?}"))?;
    let filled = op.dims.elements() == Some(0) || x.dims.elements() != Some(0);
    operands.require(filled, || format!("{} cannot grow to {}", x.dims, op.dims))?;
    operands.result(x.dtype, &op.dims)
}

pub(super) fn grid(operands: &Arrays<'_>, mode: Interpolation) -> Result<Array, OpError> {
    let (x, grid) = (operands.array(0)?, operands.array(1)?);
    operands.typed(&x, "floats", x.dtype.is_float())?;
    operands.typed(&grid, "floats", grid.dtype.is_float())?;
    let places = || -> Option<Vec<u64>> {
        let (&[n, c, ref spatial @ ..], &[batch, ref places @ .., axes]) = (&*x.dims, &*grid.dims)
        else {
            return None;
        };
        let cubic = matches!(mode, Interpolation::Cubic { .. });
        let fits = axes == spatial.len() as u64
            && places.len() == spatial.len()
            && (1..=3).contains(&axes)
            && (!cubic || axes == 2)
            && n == batch
            && (grid.dims.elements() == Some(0) || !spatial.contains(&0));
        let mut dims = Vec::from([n, c]);
        dims.extend_from_slice(places);
        fits.then_some(dims)
    };
    let dims = places()
        .ok_or_else(|| operands.error(format!("{} cannot be sampled at {}", x.dims, grid.dims)))?;
    operands.result(x.dtype, &dims)
}

pub(super) fn roi_align(operands: &Arrays<'_>, op: &RoiAlign) -> Result<Array, OpError> {
    let x = operands.array(0)?;
    operands.typed(&x, "floats", x.dtype.is_float())?;
    let &[_, c, h, w] = &*x.dims else {
        return Err(operands.error(format!("takes images, not {}", x.dims)));
    };
    let batch = operands.array(2)?;
    let r = batch.dims.first().copied().unwrap_or(0);
    operands.array(1)?;
    operands.optional_array_of(1, x.dtype, &[r, 4])?;
    operands.optional_array_of(2, DType::I64, &[r])?;
    let fits = op.scale.is_finite() && op.height > 0 && op.width > 0 && h > 0 && w > 0;
    operands.require(fits, || format!("no samples of {}: {op:?}", x.dims))?;
    operands.result(x.dtype, &[r, c, op.height, op.width])
}
