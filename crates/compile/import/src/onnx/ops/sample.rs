//! Samples between elements: resizing, grids, regions.

use super::{
    super::call::{Call, Outputs, one},
    shape::extents,
};
use crate::network::{Builder, Fault, Tensor, emit::list};
use plan::{
    ArrayOp,
    array::{Coordinates, GridPadding, Interpolation, Nearest, Resize, RoiAlign},
};
use tensor::Shape;

#[expect(clippy::cast_possible_truncation, reason = "scales are singles in files")]
fn singles(list: &[f64]) -> Vec<f32> {
    list.iter().map(|&x| x as f32).collect()
}

fn nearest(call: &Call<'_>) -> Result<Nearest, Fault> {
    Ok(match call.text("nearest_mode", "round_prefer_floor")? {
        "round_prefer_floor" => Nearest::HalfDown,
        "round_prefer_ceil" => Nearest::HalfUp,
        "floor" => Nearest::Floor,
        "ceil" => Nearest::Ceil,
        other => return Err(Fault::unsupported(format!("nearest_mode `{other}`"))),
    })
}

/// Opset 10 and Upsample: scales alone, asymmetric places, the lower neighbour.
fn plain(b: &mut Builder<'_>, call: &Call<'_>, x: &Tensor, scales: &[f32]) -> Outputs {
    let mode = match call.text("mode", "nearest")? {
        "nearest" => Interpolation::Nearest(Nearest::Floor),
        "linear" | "bilinear" => Interpolation::Linear,
        other => return Err(Fault::unsupported(format!("mode `{other}`"))),
    };
    let dims = scaled(&x.dims, scales)?;
    let op = Resize {
        dims,
        scales: list(scales)?,
        mode,
        coordinates: Coordinates::Asymmetric,
        exclude_outside: false,
        antialias: false,
        roi_start: list(&[])?,
        roi_end: list(&[])?,
        extrapolation: 0.0,
    };
    one(b.apply(ArrayOp::Resize(op), &[Some(x)])?)
}

fn scaled(dims: &[u64], scales: &[f32]) -> Result<Shape, Fault> {
    if scales.len() != dims.len() || scales.iter().any(|s| !(s.is_finite() && *s > 0.0)) {
        return Err(Fault::invalid(format!("scales {scales:?} of {dims:?}")));
    }
    #[expect(clippy::cast_possible_truncation, reason = "extents are checked by the graph's rule")]
    let dims: Vec<u64> =
        dims.iter().zip(scales).map(|(&n, &s)| (n as f64 * f64::from(s)).floor() as u64).collect();
    Shape::new(&dims).ok_or_else(|| Fault::unsupported("more than 8 dimensions"))
}

pub(super) fn upsample(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    let scales = match call.version {
        ..=6 => vec![1.0, 1.0, call.float("height_scale", 1.0)?, call.float("width_scale", 1.0)?],
        7 | 8 => call.floats("scales")?.unwrap_or_default().to_vec(),
        _ => singles(&b.floats(call.tensor(1)?)?),
    };
    plain(b, call, x, &scales)
}

pub(super) fn resize(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    if call.version < 11 {
        let scales = singles(&b.floats(call.tensor(1)?)?);
        return plain(b, call, x, &scales);
    }
    let rank = x.rank();
    let axes: Vec<usize> = match call.ints("axes")? {
        Some(axes) => axes.iter().map(|&axis| x.axis(axis)).collect::<Result<_, _>>()?,
        None => (0..rank).collect(),
    };
    let nearest = nearest(call)?;
    let a = call.float("cubic_coeff_a", -0.75)?;
    let mode = match call.text("mode", "nearest")? {
        "nearest" => Interpolation::Nearest(nearest),
        "linear" => Interpolation::Linear,
        "cubic" => Interpolation::Cubic { a },
        other => return Err(Fault::unsupported(format!("mode `{other}`"))),
    };
    let coordinates = match call.text("coordinate_transformation_mode", "half_pixel")? {
        // `tf_half_pixel_for_nn`, opset 11 only: for nearest neighbours, half a pixel inside each.
        "half_pixel" | "tf_half_pixel_for_nn" => Coordinates::HalfPixel,
        "half_pixel_symmetric" => Coordinates::HalfPixelSymmetric,
        "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
        "align_corners" => Coordinates::AlignCorners,
        "asymmetric" => Coordinates::Asymmetric,
        "tf_crop_and_resize" => Coordinates::CropAndResize,
        other => {
            return Err(Fault::unsupported(format!("coordinate_transformation_mode `{other}`")));
        }
    };
    let (mut scales, mut dims) = (vec![1f32; rank], x.dims.to_vec());
    let given = call.optional(2)?.filter(|t| t.elements() > 0).cloned();
    let sizes = call.optional(3)?.filter(|t| t.elements() > 0).cloned();
    let policy = call.text("keep_aspect_ratio_policy", "stretch")?;
    match (given, sizes) {
        (Some(given), None) => {
            let given = singles(&b.floats(&given)?);
            if given.len() != axes.len() {
                return Err(Fault::invalid(format!(
                    "{} scales for {} axes",
                    given.len(),
                    axes.len()
                )));
            }
            for (&axis, &scale) in axes.iter().zip(&given) {
                scales[axis] = scale;
            }
            dims = scaled(&x.dims, &scales)?.to_vec();
        }
        (None, Some(sizes)) => {
            let sizes = extents(&b.ints(&sizes)?)?;
            if sizes.len() != axes.len() {
                return Err(Fault::invalid(format!(
                    "{} sizes for {} axes",
                    sizes.len(),
                    axes.len()
                )));
            }
            stretch(&axes, &sizes, policy, (&mut scales, &mut dims))?;
        }
        _ => return Err(Fault::invalid("either scales or sizes must be given")),
    }
    let (mut starts, mut ends) = (Vec::new(), Vec::new());
    if coordinates == Coordinates::CropAndResize {
        let roi = singles(&b.floats(call.tensor(1)?)?);
        if roi.len() != 2 * axes.len() {
            return Err(Fault::invalid(format!("a roi of {} numbers", roi.len())));
        }
        (starts, ends) = (vec![0.0; rank], vec![1.0; rank]);
        for (i, &axis) in axes.iter().enumerate() {
            (starts[axis], ends[axis]) = (roi[i], roi[axes.len() + i]);
        }
    }
    let op = Resize {
        dims: Shape::new(&dims).ok_or_else(|| Fault::unsupported("more than 8 dimensions"))?,
        scales: list(&scales)?,
        mode,
        coordinates,
        exclude_outside: call.flag("exclude_outside", false)?,
        antialias: call.flag("antialias", false)?,
        roi_start: list(&starts)?,
        roi_end: list(&ends)?,
        extrapolation: call.float("extrapolation_value", 0.0)?,
    };
    one(b.apply(ArrayOp::Resize(op), &[Some(x)])?)
}

/// Scales and extents from wanted sizes, which a policy may make equal along all axes.
fn stretch(
    axes: &[usize],
    sizes: &[u64],
    policy: &str,
    (scales, dims): (&mut [f32], &mut [u64]),
) -> Result<(), Fault> {
    let ratio = |axis: usize, size: u64| size as f64 / dims[axis].max(1) as f64;
    let ratios: Vec<f64> = axes.iter().zip(sizes).map(|(&axis, &size)| ratio(axis, size)).collect();
    let shared = match policy {
        "stretch" => None,
        "not_larger" => ratios.iter().copied().reduce(f64::min),
        "not_smaller" => ratios.iter().copied().reduce(f64::max),
        other => return Err(Fault::unsupported(format!("keep_aspect_ratio_policy `{other}`"))),
    };
    #[expect(clippy::cast_possible_truncation, reason = "extents are checked by the graph's rule")]
    for ((&axis, &size), own) in axes.iter().zip(sizes).zip(&ratios) {
        let exact = shared.unwrap_or(*own);
        scales[axis] = exact as f32;
        dims[axis] = match shared {
            Some(scale) => (scale * dims[axis] as f64 + 0.5).floor() as u64,
            None => size,
        };
    }
    Ok(())
}

pub(super) fn grid_sample(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (x, grid) = (call.tensor(0)?, call.tensor(1)?);
    let mode = match call.text("mode", "linear")? {
        "nearest" => Interpolation::Nearest(Nearest::HalfEven),
        "linear" | "bilinear" => Interpolation::Linear,
        "cubic" | "bicubic" => Interpolation::Cubic { a: -0.75 },
        other => return Err(Fault::unsupported(format!("mode `{other}`"))),
    };
    let padding = match call.text("padding_mode", "zeros")? {
        "zeros" => GridPadding::Zeros,
        "border" => GridPadding::Border,
        "reflection" => GridPadding::Reflection,
        other => return Err(Fault::unsupported(format!("padding_mode `{other}`"))),
    };
    let align_corners = call.flag("align_corners", false)?;
    let op = ArrayOp::GridSample { mode, padding, align_corners };
    one(b.apply(op, &[Some(x), Some(grid)])?)
}

pub(super) fn affine_grid(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let theta = call.tensor(0)?;
    let size = extents(&b.ints(call.tensor(1)?)?)?;
    let corners = call.flag("align_corners", false)?;
    let (batch, space) = match &size[..] {
        [n, _, space @ ..] if (2..=3).contains(&space.len()) => (*n, space),
        _ => return Err(Fault::invalid(format!("a size of {size:?}"))),
    };
    // Places from -1 to 1, the last dimension first, then a 1 for the translation.
    let place = |i: u64, n: u64| match (corners, n) {
        (true, 0 | 1) => 0.0,
        (true, n) => 2.0 * i as f64 / (n - 1) as f64 - 1.0,
        (false, n) => (2 * i + 1) as f64 / n as f64 - 1.0,
    };
    let points: u64 = space.iter().product();
    if points > 1 << 26 {
        return Err(Fault::invalid(format!("a grid of {points} points")));
    }
    let mut base = Vec::new();
    for point in 0..points {
        let mut rest = point;
        for &n in space.iter().rev() {
            base.push(place(rest % n, n));
            rest /= n;
        }
        base.push(1.0);
    }
    let wide = space.len() as u64 + 1;
    let base = b.numbers(theta.dtype, &[1, points, wide], &base)?;
    let turned = b.swap(theta, 1, 2)?;
    let grid = b.matmul(&base, &turned)?;
    let dims: Vec<u64> = [&[batch], space, &[space.len() as u64]].concat();
    one(b.reshape(&grid, &dims)?)
}

pub(super) fn roi_align(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let extent = |name: &'static str, default| {
        u64::try_from(call.int(name, default)?).map_err(|_| Fault::invalid(name.to_owned()))
    };
    let max = match call.text("mode", "avg")? {
        "avg" => false,
        "max" => true,
        other => return Err(Fault::unsupported(format!("mode `{other}`"))),
    };
    // Opset 16 shifts by half a pixel; before, it did not.
    let shifted = if call.version < 16 { "output_half_pixel" } else { "half_pixel" };
    let op = RoiAlign {
        max,
        height: extent("output_height", 1)?,
        width: extent("output_width", 1)?,
        sampling: u32::try_from(extent("sampling_ratio", 0)?).unwrap_or(u32::MAX),
        scale: call.float("spatial_scale", 1.0)?,
        half_pixel: call.text("coordinate_transformation_mode", shifted)? == "half_pixel",
    };
    let operands = [Some(call.tensor(0)?), Some(call.tensor(1)?), Some(call.tensor(2)?)];
    one(b.apply(ArrayOp::RoiAlign(op), &operands)?)
}
