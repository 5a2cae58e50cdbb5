//! Operators that only move elements: joins, cuts, borders, turns.

use super::{
    super::value::{Array, placed, shared_layout},
    Call, Outputs, Value,
    elementwise::{activate, forms},
    extents, one,
    reduce::axes,
};
use crate::network::{
    Builder, Fault, Tensor,
    emit::{axis_of, contiguous},
};
use formats::tflite::options::{self, Mirror};
use plan::{ArrayOp, array::PadMode};

pub(super) fn concatenation(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let options = options::Concatenation::read(call.options())?;
    let axis = call.array(0)?.axis(options.axis.into())?;
    let (layout, list) = forms(b, &call.arrays()?)?;
    let result = b.concat(&list, placed(layout, axis))?;
    one(Array::new(layout, activate(b, result, options.activation)?))
}

/// The parts of a `CONCATENATION` of codes, which have one scale now.
pub(super) fn concatenated(b: &mut Builder<'_>, call: &Call<'_>, parts: &[Array]) -> Outputs {
    let options = options::Concatenation::read(call.options())?;
    if options.activation != options::Activation::None {
        return Err(Fault::unsupported("an activation"));
    }
    let axis = call.array(0)?.axis(options.axis.into())?;
    let parts: Vec<&Array> = parts.iter().collect();
    let (layout, list) = forms(b, &parts)?;
    one(Array::new(layout, b.concat(&list, placed(layout, axis))?))
}

pub(super) fn pack(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let options = options::Pack::read(call.options())?;
    let axis = axis_of(options.axis.into(), call.array(0)?.rank() + 1)?;
    let mut parts = Vec::with_capacity(call.inputs.len());
    for i in 0..call.inputs.len() {
        let part = call.tensor(b, i)?;
        parts.push(b.unsqueeze(&part, axis)?);
    }
    one(b.concat(&parts, axis)?)
}

pub(super) fn unpack(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let options = options::Unpack::read(call.options())?;
    let x = call.tensor(b, 0)?;
    let axis = x.axis(options.axis.into())?;
    let count = x.dims[axis];
    if i64::try_from(count) != Ok(options.count.into()) {
        return Err(Fault::invalid(format!("{} parts of {count} elements", options.count)));
    }
    let part = |place| {
        let part = b.slice(&x, axis, place, 1, 1)?;
        Ok(b.squeeze(&part, &[axis])?.into())
    };
    (0..count).map(part).collect()
}

/// Parts of these sizes along a dimension.
fn parts(b: &mut Builder<'_>, x: &Tensor, axis: usize, sizes: &[u64]) -> Outputs {
    let total = sizes.iter().try_fold(0u64, |sum, &size| sum.checked_add(size));
    if total != x.dims.get(axis).copied() {
        return Err(Fault::invalid(format!("parts of {sizes:?} of {}", x.dims)));
    }
    let mut start = 0;
    let mut list = Vec::with_capacity(sizes.len());
    for &size in sizes {
        list.push(b.slice(x, axis, start, size, 1)?.into());
        start += size;
    }
    Ok(list)
}

pub(super) fn split(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let count = options::Split::read(call.options())?.parts;
    let axis = call.int(b, 0)?;
    let x = call.tensor(b, 1)?;
    let axis = x.axis(axis)?;
    let count = u64::try_from(count).unwrap_or(0);
    let size = x.dims[axis].checked_div(count).unwrap_or(0);
    let places = usize::try_from(count).unwrap_or(usize::MAX);
    if places != call.operator.outputs.len() {
        return Err(Fault::invalid(format!("{count} parts, not one for each output")));
    }
    parts(b, &x, axis, &vec![size; places])
}

pub(super) fn split_v(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (x, mut sizes) = (call.tensor(b, 0)?, call.ints(b, 1)?);
    let axis = call.int(b, 2)?;
    let axis = x.axis(axis)?;
    let known: i64 = sizes.iter().filter(|&&n| n != -1).fold(0, |sum, &n| sum.saturating_add(n));
    for size in &mut sizes {
        if *size == -1 {
            *size = x.dims[axis].cast_signed().saturating_sub(known);
        }
    }
    parts(b, &x, axis, &extents(&sizes)?)
}

pub(super) fn transpose(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let order = axes(b, call, 1)?;
    let x = call.tensor(b, 0)?;
    one(b.transpose(&x, &order)?)
}

pub(super) fn reverse(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let axes = axes(b, call, 1)?;
    let mut x = call.tensor(b, 0)?;
    for axis in axes {
        let len = x.dims[axis];
        x = b.slice(&x, axis, len.saturating_sub(1), len, -1)?;
    }
    one(x)
}

pub(super) fn tile(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (x, times) = (call.tensor(b, 0)?, extents(&call.ints(b, 1)?)?);
    if times.len() != x.rank() {
        return Err(Fault::invalid(format!("{times:?} times an array of {}", x.dims)));
    }
    let mut lead = Vec::new();
    let mut all = Vec::new();
    let mut dims = Vec::new();
    for (&dim, &times) in x.dims.iter().zip(&times) {
        if times == 1 {
            lead.push(dim);
            all.push(dim);
        } else {
            lead.extend([1, dim]);
            all.extend([times, dim]);
        }
        dims.push(dim.saturating_mul(times));
    }
    let x = b.reshape(&x, &lead)?;
    let x = b.expand(&x, &all)?;
    one(b.reshape(&x, &dims)?)
}

/// A border of amounts that an input gives, in pairs.
fn border(b: &mut Builder<'_>, call: &Call<'_>) -> Result<(Vec<i64>, Vec<i64>), Fault> {
    let amounts = call.ints(b, 1)?;
    let rank = call.array(0)?.rank();
    if amounts.len() != 2 * rank || amounts.iter().any(|&n| n < 0) {
        return Err(Fault::invalid(format!("a border of {amounts:?} around {rank} dimensions")));
    }
    Ok(amounts.chunks_exact(2).map(|pair| (pair[0], pair[1])).unzip())
}

pub(super) fn pad(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let value = call.optional(2)?.map(|value| value.tensor(b)).transpose()?;
    let value = value.map(|value| b.reshape(&value, &[])).transpose()?;
    bordered(b, call, PadMode::Constant, value.as_ref())
}

pub(super) fn mirror_pad(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let mode = match options::MirrorPad::read(call.options())?.mode {
        Mirror::Reflect => PadMode::Reflect,
        Mirror::Symmetric => PadMode::Symmetric,
    };
    bordered(b, call, mode, None)
}

/// A border in the layout that is at hand.
pub(super) fn bordered(
    b: &mut Builder<'_>,
    call: &Call<'_>,
    mode: PadMode,
    value: Option<&Tensor>,
) -> Outputs {
    let (before, after) = border(b, call)?;
    let x = call.array(0)?;
    let layout = shared_layout(b, &[x]);
    let x = x.form(b, layout)?;
    let place = |list: &[i64]| {
        let mut moved = list.to_vec();
        for (axis, &amount) in list.iter().enumerate() {
            if let Some(slot) = moved.get_mut(placed(layout, axis)) {
                *slot = amount;
            }
        }
        moved
    };
    one(Array::new(layout, b.pad(&x, mode, &place(&before), &place(&after), value)?))
}

pub(super) fn gather(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let options = options::Gather::read(call.options())?;
    let (x, index) = (call.tensor(b, 0)?, call.tensor(b, 1)?);
    let axis = x.axis(options.axis.into())?;
    let batch = u8::try_from(options.batch_dims)
        .map_err(|_| Fault::unsupported(format!("batch_dims {}", options.batch_dims)))?;
    let op = ArrayOp::Gather { axis: crate::network::emit::dim(axis), batch };
    one(b.apply(op, &[Some(&x), Some(&index)])?)
}

pub(super) fn gather_nd(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (x, index) = (call.tensor(b, 0)?, call.tensor(b, 1)?);
    one(b.apply(ArrayOp::GatherNd { batch: 0 }, &[Some(&x), Some(&index)])?)
}

pub(super) fn slice(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(b, 0)?;
    let (begins, mut sizes) = (call.ints(b, 1)?, call.ints(b, 2)?);
    if begins.len() != x.rank() || sizes.len() != x.rank() {
        return Err(Fault::invalid(format!("{sizes:?} at {begins:?} of {}", x.dims)));
    }
    let mut offset = 0u64;
    for ((&begin, size), (&dim, stride)) in
        begins.iter().zip(&mut sizes).zip(x.dims.iter().zip(contiguous(&x.dims)))
    {
        if *size == -1 {
            *size = dim.cast_signed().saturating_sub(begin);
        }
        if begin < 0 || *size < 0 || begin.saturating_add(*size) > dim.cast_signed() {
            return Err(Fault::invalid(format!("{size} elements at {begin} of {dim}")));
        }
        offset += begin.unsigned_abs().saturating_mul(stride.unsigned_abs());
    }
    let sizes = extents(&sizes)?;
    let offset = if sizes.contains(&0) { 0 } else { offset };
    one(b.view(&x, &sizes, &contiguous(&x.dims), offset)?)
}

pub(super) fn strided_slice(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let options = options::StridedSlice::read(call.options())?;
    let x = call.tensor(b, 0)?;
    let (begins, ends, steps) = (call.ints(b, 1)?, call.ints(b, 2)?, call.ints(b, 3)?);
    if begins.len() != ends.len() || begins.len() != steps.len() || begins.len() > 31 {
        return Err(Fault::invalid("begins, ends and steps are of different lengths"));
    }
    let bit = |mask: i32, i: usize| mask >> i & 1 == 1;
    let count = begins.len();
    let ellipsis = (0..count).find(|&i| bit(options.ellipsis_mask, i));
    let is_new = |i: usize| bit(options.new_axis_mask, i) && ellipsis != Some(i);
    let added = (0..count).filter(|&i| is_new(i)).count();
    let named = count - added - usize::from(ellipsis.is_some());
    let Some(unnamed) = x.rank().checked_sub(named) else {
        return Err(Fault::invalid(format!("{named} dimensions of {}", x.dims)));
    };
    let own = contiguous(&x.dims);
    let (mut view, mut strides, mut dims, mut offset) = (Vec::new(), Vec::new(), Vec::new(), 0u64);
    let mut axis = 0;
    for i in 0..count {
        if ellipsis == Some(i) {
            for _ in 0..unnamed {
                view.push(x.dims[axis]);
                dims.push(x.dims[axis]);
                strides.push(own[axis]);
                axis += 1;
            }
            continue;
        }
        if bit(options.new_axis_mask, i) {
            dims.push(1);
            continue;
        }
        let dim = x.dims[axis].cast_signed();
        let step = steps[i];
        let place = |n: i64| if n < 0 { n.saturating_add(dim) } else { n };
        let (start, len) = if bit(options.shrink_axis_mask, i) {
            let start = place(begins[i]);
            if start < 0 || start >= dim {
                return Err(Fault::invalid(format!("element {} of {dim}", begins[i])));
            }
            (start, 1)
        } else {
            if step == 0 {
                return Err(Fault::invalid("a step of 0"));
            }
            let (low, high) = if step > 0 { (0, dim) } else { (-1, dim - 1) };
            let (first, last) = if step > 0 { (low, high) } else { (high, low) };
            let start =
                if bit(options.begin_mask, i) { first } else { place(begins[i]).clamp(low, high) };
            let end = match (bit(options.end_mask, i), options.offset) {
                (true, _) => last,
                (false, true) => start.saturating_add(ends[i]).clamp(low, high),
                (false, false) => place(ends[i]).clamp(low, high),
            };
            let room = if step > 0 { end - start } else { start - end };
            (start, room.max(0).unsigned_abs().div_ceil(step.unsigned_abs()).cast_signed())
        };
        view.push(len.unsigned_abs());
        strides.push(own[axis].saturating_mul(if len > 1 { step } else { 1 }));
        offset += start.max(0).unsigned_abs().saturating_mul(own[axis].unsigned_abs());
        if !bit(options.shrink_axis_mask, i) {
            dims.push(len.unsigned_abs());
        }
        axis += 1;
    }
    for axis in axis..x.rank() {
        view.push(x.dims[axis]);
        dims.push(x.dims[axis]);
        strides.push(own[axis]);
    }
    let offset = if view.contains(&0) { 0 } else { offset };
    let cut = b.view(&x, &view, &strides, offset)?;
    one(b.reshape(&cut, &dims)?)
}

fn block(size: i32) -> Result<u64, Fault> {
    u64::try_from(size)
        .ok()
        .filter(|&n| n > 0 && n < 1 << 16)
        .ok_or_else(|| Fault::invalid(format!("blocks of {size}")))
}

fn image(x: &Tensor) -> Result<[u64; 4], Fault> {
    <[u64; 4]>::try_from(&*x.dims).map_err(|_| Fault::invalid(format!("an image of {}", x.dims)))
}

pub(super) fn depth_to_space(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let size = block(options::DepthToSpace::read(call.options())?.block_size)?;
    let x = call.tensor(b, 0)?;
    let [n, h, w, c] = image(&x)?;
    let depth = c / (size * size);
    let x = b.reshape(&x, &[n, h, w, size, size, depth])?;
    let x = b.transpose(&x, &[0, 1, 3, 2, 4, 5])?;
    one(b.reshape(&x, &[n, h * size, w * size, depth])?)
}

pub(super) fn space_to_depth(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let size = block(options::SpaceToDepth::read(call.options())?.block_size)?;
    let x = call.tensor(b, 0)?;
    let [n, h, w, c] = image(&x)?;
    let x = b.reshape(&x, &[n, h / size, size, w / size, size, c])?;
    let x = b.transpose(&x, &[0, 1, 3, 2, 4, 5])?;
    one(b.reshape(&x, &[n, h / size, w / size, c.saturating_mul(size * size)])?)
}

/// Sizes of blocks, and amounts in pairs.
fn blocks(b: &mut Builder<'_>, call: &Call<'_>) -> Result<(Vec<u64>, Vec<u64>), Fault> {
    let (sizes, amounts) = (extents(&call.ints(b, 1)?)?, extents(&call.ints(b, 2)?)?);
    let rank = call.array(0)?.rank();
    let fits = amounts.len() == 2 * sizes.len() && sizes.len() < rank;
    if !fits || sizes.iter().any(|&size| size == 0 || size > 1 << 16) {
        return Err(Fault::invalid(format!("blocks of {sizes:?} with {amounts:?}")));
    }
    Ok((sizes, amounts))
}

pub(super) fn space_to_batch(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (sizes, amounts) = blocks(b, call)?;
    let x = call.tensor(b, 0)?;
    let (mut before, mut after) = (vec![0; x.rank()], vec![0; x.rank()]);
    for (i, pair) in amounts.chunks_exact(2).enumerate() {
        (before[i + 1], after[i + 1]) = (pair[0].cast_signed(), pair[1].cast_signed());
    }
    let x = b.pad(&x, PadMode::Constant, &before, &after, None)?;
    let spatial = sizes.len();
    let mut split = vec![x.dims[0]];
    for (i, &size) in sizes.iter().enumerate() {
        split.extend([x.dims[i + 1] / size, size]);
    }
    split.extend(&x.dims[spatial + 1..]);
    let mut order: Vec<usize> = (0..spatial).map(|i| 2 * i + 2).collect();
    order.push(0);
    order.extend((0..spatial).map(|i| 2 * i + 1));
    order.extend(2 * spatial + 1..split.len());
    let mut dims = vec![sizes.iter().fold(x.dims[0], |all, &size| all.saturating_mul(size))];
    dims.extend(sizes.iter().enumerate().map(|(i, &size)| x.dims[i + 1] / size));
    dims.extend(&x.dims[spatial + 1..]);
    let x = b.reshape(&x, &split)?;
    let x = b.transpose(&x, &order)?;
    one(b.reshape(&x, &dims)?)
}

pub(super) fn batch_to_space(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (sizes, amounts) = blocks(b, call)?;
    let x = call.tensor(b, 0)?;
    let spatial = sizes.len();
    let all = sizes.iter().fold(1u64, |all, &size| all.saturating_mul(size));
    let batch = x.dims[0] / all;
    let mut split = sizes.clone();
    split.push(batch);
    split.extend(&x.dims[1..]);
    let mut order = vec![spatial];
    order.extend((0..spatial).flat_map(|i| [spatial + 1 + i, i]));
    order.extend(2 * spatial + 1..split.len());
    let mut dims = vec![batch];
    dims.extend((0..spatial).map(|i| x.dims[i + 1].saturating_mul(sizes[i])));
    dims.extend(&x.dims[spatial + 1..]);
    let x = b.reshape(&x, &split)?;
    let x = b.transpose(&x, &order)?;
    let x = b.reshape(&x, &dims)?;
    let (mut before, mut after) = (vec![0; x.rank()], vec![0; x.rank()]);
    for (i, pair) in amounts.chunks_exact(2).enumerate() {
        (before[i + 1], after[i + 1]) = (-pair[0].cast_signed(), -pair[1].cast_signed());
    }
    one(Value::from(b.pad(&x, PadMode::Constant, &before, &after, None)?))
}
