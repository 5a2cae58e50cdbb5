//! Windows that slide over spatial dimensions: convolutions, pools and their inverses.

use super::{Array, Arrays, OpError, epilogue};
use alloc::{format, vec::Vec};
use plan::array::{Channels, Conv, Epilogue, Pool, PoolKind};
use tensor::{DType, Shape};

/// Refuses a window that does not fit `spatial` dimensions.
fn check(operands: &Arrays<'_>, conv: &Conv, spatial: usize) -> Result<(), OpError> {
    let lists = [&conv.kernel, &conv.strides, &conv.dilations, &conv.before, &conv.after];
    operands.require(lists.iter().all(|list| list.len() == spatial), || {
        format!("a window of {:?} over {spatial} dimensions", conv.kernel)
    })?;
    let positive = lists[..3].iter().all(|list| list.iter().all(|&n| n > 0));
    operands.require(positive && conv.groups > 0, || {
        format!("windows, steps and groups are at least 1, are {conv:?}")
    })
}

/// The operand's batch, channels and spatial extents.
fn image(operands: &Arrays<'_>, x: &Array, channels: Channels) -> Result<Image, OpError> {
    let rank = x.dims.len();
    operands.require(rank >= 2, || format!("takes images, not {}", x.dims))?;
    let from = channels.spatial();
    let spatial = x.dims[from..from + rank - 2].to_vec();
    Ok(Image { n: x.dims[0], c: x.dims[channels.axis(rank)], spatial })
}

/// Extents of an image, in whichever order they stand.
struct Image {
    n: u64,
    c: u64,
    spatial: Vec<u64>,
}

/// Refuses weights that do not fit the window; gives the first and the last of a filter's channels:
/// `[first, second, …]`, or `[first, …, second]` with channels last.
fn weights(operands: &Arrays<'_>, conv: &Conv, channels: Channels) -> Result<[u64; 2], OpError> {
    let w = operands.array(1)?;
    check(operands, conv, operands.array(0)?.dims.len() - 2)?;
    let window = conv.kernel.iter().map(|&n| u64::from(n));
    let rank = w.dims.len();
    let from = channels.spatial();
    let fits =
        rank == conv.kernel.len() + 2 && w.dims[from..from + rank - 2].iter().copied().eq(window);
    operands.require(fits, || format!("weights {} do not fit {:?}", w.dims, conv.kernel))?;
    Ok([w.dims[0], w.dims[channels.axis(rank)]])
}

/// Spatial extents of a convolution's result.
fn places(operands: &Arrays<'_>, spatial: &[u64], conv: &Conv) -> Result<Vec<u64>, OpError> {
    let places = (0..).zip(spatial).map(|(i, &dim)| conv.extent(i, dim));
    let places: Option<Vec<u64>> = places.collect();
    places.ok_or_else(|| {
        operands.error(format!("the window does not fit into {spatial:?}: {conv:?}"))
    })
}

/// The type of a convolution's result; bytes give `I32`.
fn products(operands: &Arrays<'_>, x: &Array, w: &Array) -> Result<DType, OpError> {
    if x.is_byte() && w.is_byte() {
        return Ok(DType::I32);
    }
    if x.dtype == DType::I16 && w.dtype == DType::I8 {
        return Ok(DType::I64);
    }
    operands.typed(x, "floats or bytes", x.dtype.is_float())?;
    operands.weight_type(x, w)?;
    Ok(x.dtype)
}

pub(super) fn conv(operands: &Arrays<'_>, conv: &Conv) -> Result<Array, OpError> {
    sums(operands, conv, Channels::First, 3)
}

pub(super) fn conv_last(
    operands: &Arrays<'_>,
    conv: &Conv,
    fused: &Epilogue,
) -> Result<Array, OpError> {
    let sums = sums(operands, conv, Channels::Last, 4)?;
    epilogue::result(operands, fused, &sums, [3, 6])
}

/// The sums of a convolution; its zero points are operands `zeros` and the one behind.
fn sums(
    operands: &Arrays<'_>,
    conv: &Conv,
    channels: Channels,
    zeros: usize,
) -> Result<Array, OpError> {
    let (x, w) = (operands.array(0)?, operands.array(1)?);
    let dtype = products(operands, &x, &w)?;
    let Image { n, c, spatial } = image(operands, &x, channels)?;
    let [m, per_group] = weights(operands, conv, channels)?;
    let groups = u64::from(conv.groups);
    operands
        .require(per_group.checked_mul(groups) == Some(c) && m.is_multiple_of(groups), || {
            format!("{c} channels and {m} filters of {per_group} in {groups} groups")
        })?;
    operands.optional_array_of(2, dtype, &[m])?;
    if x.is_byte() {
        operands.optional_array_of(zeros, x.dtype, &[])?;
        if let Some(zero) = operands.optional_array(zeros + 1)? {
            operands.same_type(&w, &zero)?;
            operands.require(matches!(&*zero.dims, []) || *zero.dims == [m], || {
                format!("zero points {} for {m} filters", zero.dims)
            })?;
        }
    } else {
        operands.absent(zeros, "products without zero points")?;
        operands.absent(zeros + 1, "products without zero points")?;
    }
    let places = places(operands, &spatial, conv)?;
    operands.result(dtype, &channels.image(n, m, places))
}

pub(super) fn transpose(
    operands: &Arrays<'_>,
    conv: &Conv,
    output: &[u32],
) -> Result<Array, OpError> {
    let (x, w) = (operands.array(0)?, operands.array(1)?);
    operands.typed(&x, "floats", x.dtype.is_float())?;
    operands.weight_type(&x, &w)?;
    let Image { n, c, spatial } = image(operands, &x, Channels::First)?;
    let [inputs, per_group] = weights(operands, conv, Channels::First)?;
    let groups = u64::from(conv.groups);
    operands.require(inputs == c && c.is_multiple_of(groups), || {
        format!("{c} channels, {inputs} filters in {groups} groups")
    })?;
    let m = per_group.saturating_mul(groups);
    operands.optional_array_of(2, x.dtype, &[m])?;
    operands.require(output.len() == spatial.len(), || {
        format!("{} extents for {} dimensions", output.len(), spatial.len())
    })?;
    let mut dims = Vec::from([n, m]);
    dims.extend(output.iter().map(|&n| u64::from(n)));
    operands.result(x.dtype, &dims)
}

pub(super) fn transpose_last(
    operands: &Arrays<'_>,
    conv: &Conv,
    output: &[u32],
    fused: &Epilogue,
) -> Result<Array, OpError> {
    let (x, w) = (operands.array(0)?, operands.array(1)?);
    operands.typed(&x, "floats", x.dtype.is_float())?;
    operands.weight_type(&x, &w)?;
    let Image { n, c, spatial } = image(operands, &x, Channels::Last)?;
    let [m, inputs] = weights(operands, conv, Channels::Last)?;
    operands.require(inputs == c && conv.groups == 1 && m > 0, || {
        format!("{c} channels, {m} filters of {inputs} in {} groups", conv.groups)
    })?;
    operands.optional_array_of(2, x.dtype, &[m])?;
    operands.require(output.len() == spatial.len(), || {
        format!("{} extents for {} dimensions", output.len(), spatial.len())
    })?;
    let places = output.iter().map(|&n| u64::from(n));
    let sums = operands.result(x.dtype, &Channels::Last.image(n, m, places))?;
    // There are no codes to scale: operand 4 is refused before.
    epilogue::result(operands, fused, &sums, [3, 4])
}

pub(super) fn deform(
    operands: &Arrays<'_>,
    conv: &Conv,
    offset_groups: u32,
) -> Result<Array, OpError> {
    let (x, w) = (operands.array(0)?, operands.array(1)?);
    operands.typed(&x, "floats", x.dtype.is_float())?;
    operands.same_type(&x, &w)?;
    let Image { n, c, spatial } = image(operands, &x, Channels::First)?;
    let [m, per_group] = weights(operands, conv, Channels::First)?;
    let (groups, shared) = (u64::from(conv.groups), u64::from(offset_groups));
    let fits = per_group.checked_mul(groups) == Some(c)
        && m.is_multiple_of(groups)
        && shared > 0
        && c.is_multiple_of(shared);
    operands.require(fits, || format!("{c} channels, {groups} and {shared} groups"))?;
    operands.require(x.dims.len() == 4, || format!("takes images, not {}", x.dims))?;
    let places = places(operands, &spatial, conv)?;
    let taps = conv.kernel.iter().map(|&n| u64::from(n)).product::<u64>().saturating_mul(shared);
    let like = |per_tap: u64| -> Vec<u64> {
        [n, taps.saturating_mul(per_tap)].into_iter().chain(places.iter().copied()).collect()
    };
    operands.array(2)?;
    operands.optional_array_of(2, x.dtype, &like(2))?;
    operands.optional_array_of(3, x.dtype, &[m])?;
    operands.optional_array_of(4, x.dtype, &like(1))?;
    let mut dims = Vec::from([n, m]);
    dims.extend(places);
    operands.result(x.dtype, &dims)
}

pub(super) fn pool(operands: &Arrays<'_>, pool: &Pool) -> Result<Array, OpError> {
    let x = operands.array(0)?;
    operands.typed(&x, "numbers", x.is_number())?;
    let Image { n, c, spatial } = image(operands, &x, pool.channels)?;
    check(operands, &pool.conv, spatial.len())?;
    operands.require(pool.output.len() == spatial.len() && pool.conv.groups == 1, || {
        format!("extents {:?} of {}", pool.output, x.dims)
    })?;
    for (i, &places) in pool.output.iter().enumerate() {
        // The last window must begin inside of the operand or the padding before it.
        let last = u64::from(places).saturating_sub(1) * u64::from(pool.conv.strides[i]);
        let room = spatial[i] + u64::from(pool.conv.before[i]) + u64::from(pool.conv.after[i]);
        operands.require(places == 0 || last < room, || {
            format!("{places} windows do not fit into {}: {:?}", x.dims, pool.conv)
        })?;
    }
    let dtype = match pool.kind {
        PoolKind::MaxIndex { .. } => {
            operands.require(pool.channels == Channels::First, || {
                "positions are those of channels first".into()
            })?;
            DType::I64
        }
        PoolKind::Max | PoolKind::Average { .. } => x.dtype,
        PoolKind::Lp { .. } => {
            operands.typed(&x, "floats", x.dtype.is_float())?;
            x.dtype
        }
    };
    let places = pool.output.iter().map(|&n| u64::from(n));
    operands.result(dtype, &pool.channels.image(n, c, places))
}

pub(super) fn unpool(operands: &Arrays<'_>, dims: Shape) -> Result<Array, OpError> {
    let (x, index) = (operands.array(0)?, operands.array(1)?);
    operands.typed(&x, "numbers", x.is_number())?;
    operands.require(index.dtype == DType::I64 && index.dims == x.dims, || {
        format!("indices must be I64 {}, are {} {}", x.dims, index.dtype, index.dims)
    })?;
    operands.result(x.dtype, &dims)
}

pub(super) fn col2im(operands: &Arrays<'_>, image: &[u32], conv: &Conv) -> Result<Array, OpError> {
    let x = operands.array(0)?;
    operands.typed(&x, "numbers", x.is_number())?;
    let &[n, rows, blocks] = &*x.dims else {
        return Err(operands.error(format!("takes [n, c * block, blocks], not {}", x.dims)));
    };
    check(operands, conv, image.len())?;
    let taps = conv.kernel.iter().try_fold(1u64, |all, &k| all.checked_mul(u64::from(k)));
    let places = (0..)
        .zip(image)
        .try_fold(1u64, |all, (i, &dim)| all.checked_mul(conv.extent(i, u64::from(dim))?));
    let channels = taps.filter(|&taps| rows.is_multiple_of(taps)).map(|taps| rows / taps);
    let (Some(c), true) = (channels, places == Some(blocks) && conv.groups == 1) else {
        return Err(operands.error(format!("{} is no image of {image:?}", x.dims)));
    };
    let mut dims = Vec::from([n, c]);
    dims.extend(image.iter().map(|&n| u64::from(n)));
    operands.result(x.dtype, &dims)
}
