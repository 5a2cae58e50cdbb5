//! Windows that slide over spatial dimensions: convolutions and pools.

use super::{
    super::call::{Call, Outputs, Value, one},
    shape::extents,
};
use crate::network::{Builder, Fault, Tensor, emit::list};
use plan::{
    ArrayOp,
    array::{Channels, Conv, PadMode, Pool, PoolKind, ReduceKind},
};
use tensor::Shape;

/// One spatial dimension of a window.
#[derive(Clone, Copy, Debug)]
struct Line {
    input: u64,
    kernel: u64,
    stride: u64,
    dilation: u64,
    before: u64,
    after: u64,
}

impl Line {
    /// Elements between the first and the last tap, both included.
    fn span(&self) -> u64 {
        (self.kernel.saturating_sub(1)).saturating_mul(self.dilation).saturating_add(1)
    }
}

/// The window that a node's attributes describe, over an operand of these spatial extents.
fn lines(call: &Call<'_>, space: &[u64], kernel: Option<&[u64]>) -> Result<Vec<Line>, Fault> {
    let rank = space.len();
    let numbers = |name: &'static str, len: usize, default: u64, least: i64| {
        let Some(list) = call.ints(name)? else { return Ok(vec![default; len]) };
        if list.len() != len || list.iter().any(|&n| n < least || n > i64::from(u32::MAX)) {
            let reason = format!("{name} {list:?} for {rank} spatial dimensions");
            return Err(Fault::invalid(reason));
        }
        Ok(list.iter().map(|n| n.cast_unsigned()).collect::<Vec<u64>>())
    };
    let mut window = numbers("kernel_shape", rank, 0, 1)?;
    if let Some(kernel) = kernel {
        if call.attribute("kernel_shape").is_some() && window != kernel {
            return Err(Fault::invalid(format!("kernel_shape {window:?}, weights {kernel:?}")));
        }
        window = kernel.to_vec();
    }
    if window.contains(&0) || window.len() != rank {
        return Err(Fault::invalid(format!("a window of {window:?} over {space:?}")));
    }
    let strides = numbers("strides", rank, 1, 1)?;
    let dilations = numbers("dilations", rank, 1, 1)?;
    let pads = numbers("pads", 2 * rank, 0, 0)?;
    let same = match call.text("auto_pad", "NOTSET")? {
        "NOTSET" | "" => None,
        "VALID" => Some(None),
        "SAME_UPPER" => Some(Some(false)),
        "SAME_LOWER" => Some(Some(true)),
        other => return Err(Fault::invalid(format!("auto_pad `{other}`"))),
    };
    let line = |i: usize| {
        let mut line = Line {
            input: space[i],
            kernel: window[i],
            stride: strides[i],
            dilation: dilations[i],
            before: pads[i],
            after: pads[rank + i],
        };
        if let Some(same) = same {
            (line.before, line.after) = (0, 0);
            if let Some(lower) = same {
                let output = line.input.div_ceil(line.stride);
                let reach = output.saturating_sub(1).saturating_mul(line.stride) + line.span();
                let total = reach.saturating_sub(line.input);
                line.before = if lower { total.div_ceil(2) } else { total / 2 };
                line.after = total - line.before;
            }
        }
        line
    };
    Ok((0..rank).map(line).collect())
}

/// A window as the operator's attribute.
fn attribute(lines: &[Line], groups: i64) -> Result<Conv, Fault> {
    let of = |pick: fn(&Line) -> u64| {
        let list: Result<Vec<u32>, _> =
            lines.iter().map(|line| u32::try_from(pick(line))).collect();
        self::list(&list.map_err(|_| Fault::invalid("a window of more than 2^32 elements"))?)
    };
    Ok(Conv {
        kernel: of(|line| line.kernel)?,
        strides: of(|line| line.stride)?,
        dilations: of(|line| line.dilation)?,
        before: of(|line| line.before)?,
        after: of(|line| line.after)?,
        groups: u32::try_from(groups).map_err(|_| Fault::invalid(format!("{groups} groups")))?,
    })
}

fn space<'t>(x: &'t Tensor, what: &str) -> Result<&'t [u64], Fault> {
    x.dims.get(2..).ok_or_else(|| {
        Fault::invalid(format!("{what} must have channels and space, has {}", x.dims))
    })
}

/// The window of a convolution with these weights.
pub(super) fn convolution(call: &Call<'_>, x: &Tensor, w: &Tensor) -> Result<Conv, Fault> {
    let kernel = space(w, "the weight")?;
    attribute(&lines(call, space(x, "the input")?, Some(kernel))?, call.int("group", 1)?)
}

pub(super) fn conv(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (x, w) = (call.tensor(0)?, call.tensor(1)?);
    let op = ArrayOp::Conv(convolution(call, x, w)?);
    one(b.apply(op, &[Some(x), Some(w), call.optional(2)?])?)
}

pub(super) fn conv_transpose(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (x, w) = (call.tensor(0)?, call.tensor(1)?);
    let input = space(x, "the input")?;
    let kernel = space(w, "the weight")?;
    let rank = input.len();
    let mut lines = lines(call, input, Some(kernel))?;
    let extra = extents(call.ints("output_padding")?.unwrap_or(&vec![0; rank]))?;
    let wanted = call.ints("output_shape")?.map(extents).transpose()?;
    let wanted = wanted.map(|list| match list.len().checked_sub(rank) {
        // Some files give all extents, with batch and channels.
        Some(lead) => list[lead..].to_vec(),
        None => list,
    });
    let auto = call.text("auto_pad", "NOTSET")?;
    if extra.len() != rank || wanted.as_ref().is_some_and(|list| list.len() != rank) {
        return Err(Fault::invalid("output_padding or output_shape has another rank"));
    }
    let mut output = Vec::with_capacity(rank);
    for (i, line) in lines.iter_mut().enumerate() {
        // What the window covers, without pads.
        let full = line.input.saturating_sub(1).saturating_mul(line.stride);
        let full = full.saturating_add(line.span()).saturating_add(extra[i]);
        let want = match (&wanted, auto) {
            (Some(list), _) => Some(list[i]),
            (None, "SAME_UPPER" | "SAME_LOWER") => Some(line.input.saturating_mul(line.stride)),
            (None, _) => None,
        };
        let size = match want {
            Some(want) => {
                let total = full.saturating_sub(want);
                let small = total / 2;
                (line.before, line.after) = if auto == "SAME_UPPER" {
                    (small, total - small)
                } else {
                    (total - small, small)
                };
                want
            }
            None => full.checked_sub(line.before + line.after).ok_or_else(|| {
                Fault::invalid(format!("pads of {} are larger than {full}", line.before))
            })?,
        };
        output.push(u32::try_from(size).map_err(|_| Fault::invalid("a result above 2^32"))?);
    }
    let conv = attribute(&lines, call.int("group", 1)?)?;
    let op = ArrayOp::ConvTranspose { conv, output: list(&output)? };
    one(b.apply(op, &[Some(x), Some(w), call.optional(2)?])?)
}

pub(super) fn deform_conv(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (x, w) = (call.tensor(0)?, call.tensor(1)?);
    let groups = call.int("offset_group", 1)?;
    let offset_groups =
        u32::try_from(groups).map_err(|_| Fault::invalid(format!("{groups} offset groups")))?;
    let op = ArrayOp::DeformConv { conv: convolution(call, x, w)?, offset_groups };
    let (offset, bias, mask) = (call.tensor(2)?, call.optional(3)?, call.optional(4)?);
    one(b.apply(op, &[Some(x), Some(w), Some(offset), bias, mask])?)
}

/// Places of a pool's window, where a rounded-up last one must begin inside the operand.
fn pooled(call: &Call<'_>, lines: &mut [Line]) -> Result<Vec<u32>, Fault> {
    let ceil = call.flag("ceil_mode", false)?;
    let mut output = Vec::with_capacity(lines.len());
    for line in lines {
        let room = line.input + line.before + line.after;
        let Some(room) = room.checked_sub(line.span()) else {
            return Err(Fault::invalid(format!(
                "a window of {} over {} elements",
                line.span(),
                line.input
            )));
        };
        let mut count = if ceil { room.div_ceil(line.stride) } else { room / line.stride } + 1;
        if ceil && (count - 1) * line.stride >= line.input + line.before {
            count -= 1;
        }
        output.push(u32::try_from(count).map_err(|_| Fault::invalid("a result above 2^32"))?);
    }
    Ok(output)
}

fn pool(b: &mut Builder<'_>, call: &Call<'_>, kinds: &[PoolKind]) -> Outputs {
    Ok(pools(b, call, call.tensor(0)?, kinds)?.into_iter().map(Value::Tensor).collect())
}

fn pools(
    b: &mut Builder<'_>,
    call: &Call<'_>,
    x: &Tensor,
    kinds: &[PoolKind],
) -> Result<Vec<Tensor>, Fault> {
    let mut lines = lines(call, space(x, "the input")?, None)?;
    let output = list(&pooled(call, &mut lines)?)?;
    let conv = attribute(&lines, 1)?;
    kinds
        .iter()
        .map(|&kind| {
            let op = ArrayOp::Pool(Pool { kind, conv, output, channels: Channels::First });
            b.apply(op, &[Some(x)])
        })
        .collect()
}

pub(super) fn max_pool(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let column_major = call.flag("storage_order", false)?;
    let index = PoolKind::MaxIndex { column_major };
    let kinds: &[PoolKind] = if call.wants(1) { &[PoolKind::Max, index] } else { &[PoolKind::Max] };
    pool(b, call, kinds)
}

pub(super) fn average_pool(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    one(average_of(b, call, call.tensor(0)?)?)
}

/// The mean over the windows that a node's attributes describe.
pub(super) fn average_of(
    b: &mut Builder<'_>,
    call: &Call<'_>,
    x: &Tensor,
) -> Result<Tensor, Fault> {
    let count_padding = call.flag("count_include_pad", false)?;
    let mut list = pools(b, call, x, &[PoolKind::Average { count_padding }])?;
    list.pop().ok_or_else(|| Fault::invalid("a pool without a result"))
}

pub(super) fn lp_pool(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    pool(b, call, &[PoolKind::Lp { p: power(call)? }])
}

fn power(call: &Call<'_>) -> Result<u32, Fault> {
    // A number before opset 2.
    let p = if call.version < 2 { 2 } else { call.int("p", 2)? };
    u32::try_from(p).ok().filter(|&p| p > 0).ok_or_else(|| Fault::invalid(format!("p = {p}")))
}

fn global(b: &mut Builder<'_>, x: &Tensor, kind: ReduceKind) -> Result<Tensor, Fault> {
    space(x, "the input")?;
    let axes: Vec<usize> = (2..x.rank()).collect();
    b.reduce(kind, x, &axes, true)
}

pub(super) fn global_average(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    one(global(b, call.tensor(0)?, ReduceKind::Mean)?)
}

pub(super) fn global_max(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    one(global(b, call.tensor(0)?, ReduceKind::Max)?)
}

pub(super) fn global_lp(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let kind = match power(call)? {
        1 => ReduceKind::L1,
        2 => ReduceKind::L2,
        other => return Err(Fault::unsupported(format!("p = {other}"))),
    };
    one(global(b, call.tensor(0)?, kind)?)
}

pub(super) fn max_unpool(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (x, index) = (call.tensor(0)?, call.tensor(1)?);
    let lines = lines(call, space(x, "the input")?, None)?;
    let mut dims = x.dims[..2].to_vec();
    for line in &lines {
        let full = line.input.saturating_sub(1).saturating_mul(line.stride) + line.span();
        dims.push(full.saturating_sub(line.before + line.after));
    }
    let dims = Shape::new(&dims).ok_or_else(|| Fault::unsupported("more than 8 dimensions"))?;
    let natural = b.apply(ArrayOp::MaxUnpool { dims }, &[Some(x), Some(index)])?;
    let Some(wanted) = call.optional(2)? else { return one(natural) };
    // Indices count in the natural result; a given shape only adds a border behind it.
    let wanted = extents(&b.ints(wanted)?)?;
    if wanted.len() != dims.len() {
        return Err(Fault::invalid(format!("a result of {wanted:?}, not of {dims}")));
    }
    let signed = |n: u64| n.cast_signed();
    let after: Vec<i64> = wanted.iter().zip(&*dims).map(|(&a, &b)| signed(a) - signed(b)).collect();
    one(b.pad(&natural, PadMode::Constant, &vec![0; after.len()], &after, None)?)
}

pub(super) fn col2im(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    let image = extents(&b.ints(call.tensor(1)?)?)?;
    let block = extents(&b.ints(call.tensor(2)?)?)?;
    let conv = attribute(&lines(call, &image, Some(&block))?, 1)?;
    let image: Result<Vec<u32>, _> = image.iter().map(|&n| u32::try_from(n)).collect();
    let image = image.map_err(|_| Fault::invalid("an image above 2^32"))?;
    one(b.apply(ArrayOp::Col2Im { image: list(&image)?, conv }, &[Some(x)])?)
}
