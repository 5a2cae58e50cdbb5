//! Windows that slide over spatial dimensions: convolutions, pools and their inverses.
//!
//! Each element of a result is computed by itself, from the taps of its window that fall inside of
//! the operand; loops run over those alone, so a window that is larger than its operand costs
//! nothing.

use crate::number::{Numbers, Wide, by_domain, is_float, limits, store};
use crate::walk::{Out, coordinates, place, size};
use crate::{Inputs, dtype};
use core::ops::{Add, Mul, Sub};
use plan::array::{Conv, Pool, PoolKind};
use tensor::shape::RANK_MAX;
use tensor::{DType, Shape, TensorRef};

/// Goes through the taps of a window: `f(tap, place)` with flat indices into the window and the
/// spatial part of the operand.
///
/// `start[d]` is where the window begins, its taps are `dilations[d]` apart.
fn taps(conv: &Conv, spatial: &[u64], start: &[i64; RANK_MAX], f: &mut impl FnMut(usize, usize)) {
    inner(conv, spatial, start, 0, 0, 0, f);
}

fn inner(
    conv: &Conv,
    spatial: &[u64],
    start: &[i64; RANK_MAX],
    d: usize,
    tap: usize,
    at: usize,
    f: &mut impl FnMut(usize, usize),
) {
    if d == spatial.len() {
        return f(tap, at);
    }
    let (kernel, gap, len) =
        (i64::from(conv.kernel[d]), i64::from(conv.dilations[d]), spatial[d].cast_signed());
    // Taps before the operand are skipped, those behind it end the loop.
    let first = if start[d] < 0 { (-start[d] + gap - 1) / gap } else { 0 };
    for k in first..kernel {
        let place = start[d] + k * gap;
        if place >= len {
            break;
        }
        let index = |n: i64| usize::try_from(n).expect("inside of the window and the operand");
        let tap = tap * index(kernel) + index(k);
        inner(conv, spatial, start, d + 1, tap, at * index(len) + index(place), f);
    }
}

/// Where the window of a result's element begins.
fn start(conv: &Conv, at: &[usize]) -> [i64; RANK_MAX] {
    let mut start = [0; RANK_MAX];
    for d in 0..conv.kernel.len() {
        let step = i64::from(conv.strides[d]);
        start[d] = i64::try_from(at[d]).unwrap_or(i64::MAX) * step - i64::from(conv.before[d]);
    }
    start
}

fn product(dims: &[u64]) -> usize {
    dims.iter().map(|&dim| size(dim)).product()
}

pub(crate) fn conv(conv: &Conv, inputs: &Inputs<'_, '_>, out: &mut Out<'_>) {
    by_domain!(out.dtype, W => convolve::<W>(conv, inputs, out));
}

fn convolve<W: Wide + Add<Output = W> + Sub<Output = W> + Mul<Output = W>>(
    conv: &Conv,
    inputs: &Inputs<'_, '_>,
    out: &mut Out<'_>,
) {
    let (x, w) = (inputs.at(0), inputs.at(1));
    let (dims, filters) = (x.shape(), size(w.shape()[0]));
    let (channels, per_group) = (size(dims[1]), size(w.shape()[1]));
    let (plane, window) = (product(&dims[2..]), product(&w.shape()[2..]));
    let filters_per_group = filters / size(conv.groups.into());
    let optional = |i: usize| -> Option<Numbers<'_, W>> { inputs.get(i).map(Numbers::of) };
    let (bias, x_zero, w_zero) = (optional(2), optional(3), optional(4));
    let one_zero = inputs.get(4).is_none_or(|zero| zero.shape().is_empty());
    let x_zero = x_zero.map_or(W::ZERO, |zero| zero.at(0));
    let (x, w): (Numbers<'_, W>, Numbers<'_, W>) = (Numbers::of(x), Numbers::of(w));
    out.fill_at(|at| {
        let (n, m) = (at[0], at[1]);
        let group = m / filters_per_group;
        let zero = w_zero.map_or(W::ZERO, |zero| zero.at(if one_zero { 0 } else { m }));
        let first = n * channels + group * per_group;
        let mut sum = bias.map_or(W::ZERO, |bias| bias.at(m));
        taps(conv, &dims[2..], &start(conv, &at[2..]), &mut |tap, place| {
            for c in 0..per_group {
                let value = x.at((first + c) * plane + place) - x_zero;
                sum = sum + value * (w.at((m * per_group + c) * window + tap) - zero);
            }
        });
        sum
    });
}

/// Goes through the elements that a transposed window spreads to place `at`: `f(tap, source)`.
fn sources(
    conv: &Conv,
    spatial: &[u64],
    at: &[usize],
    d: usize,
    found: (usize, usize),
    f: &mut impl FnMut(usize, usize),
) {
    let (tap, source) = found;
    if d == spatial.len() {
        return f(tap, source);
    }
    let (gap, step) = (i64::from(conv.dilations[d]), i64::from(conv.strides[d]));
    let to = i64::try_from(at[d]).unwrap_or(i64::MAX) + i64::from(conv.before[d]);
    let index = |n: i64| usize::try_from(n).expect("inside of the window and the operand");
    // `source * step + k * gap = to`: the fewer of the two are tried.
    for k in 0..i64::from(conv.kernel[d]).min(to / gap + 1) {
        let rest = to - k * gap;
        if rest % step == 0 && rest / step < spatial[d].cast_signed() {
            let tap = tap * size(conv.kernel[d].into()) + index(k);
            let source = source * size(spatial[d]) + index(rest / step);
            sources(conv, spatial, at, d + 1, (tap, source), f);
        }
    }
}

pub(crate) fn transpose(conv: &Conv, inputs: &Inputs<'_, '_>, out: &mut Out<'_>) {
    let (x, w) = (inputs.at(0), inputs.at(1));
    let (dims, per_group) = (x.shape(), size(w.shape()[1]));
    let channels = size(dims[1]);
    let channels_per_group = channels / size(conv.groups.into());
    let (plane, window) = (product(&dims[2..]), product(&w.shape()[2..]));
    let bias: Option<Numbers<'_, f64>> = inputs.get(2).map(Numbers::of);
    let (x, w): (Numbers<'_, f64>, Numbers<'_, f64>) = (Numbers::of(x), Numbers::of(w));
    out.fill_at(|at| {
        let (n, m) = (at[0], at[1]);
        let (group, filter) = (m / per_group, m % per_group);
        let mut sum = bias.map_or(0.0, |bias| bias.at(m));
        sources(conv, &dims[2..], &at[2..], 0, (0, 0), &mut |tap, source| {
            for c in group * channels_per_group..(group + 1) * channels_per_group {
                let weight = w.at((c * per_group + filter) * window + tap);
                sum += x.at((n * channels + c) * plane + source) * weight;
            }
        });
        sum
    });
}

pub(crate) fn col2im(conv: &Conv, inputs: &Inputs<'_, '_>, out: &mut Out<'_>) {
    let x = inputs.at(0);
    let blocks = size(x.shape()[2]);
    let window: usize = conv.kernel.iter().map(|&k| size(k.into())).product();
    let mut places = [0; RANK_MAX];
    for (d, &dim) in out.dims[2..].iter().enumerate() {
        places[d] = conv.extent(d, dim).expect("the rule checked the window");
    }
    let places = Shape::new(&places[..conv.kernel.len()]).expect("few dimensions");
    let channels = size(out.dims[1]);
    by_domain!(out.dtype, W => {
        let x: Numbers<'_, W> = Numbers::of(x);
        out.fill_at(|at| {
            let row = (at[0] * channels + at[1]) * window;
            let mut sum = W::ZERO;
            sources(conv, &places, &at[2..], 0, (0, 0), &mut |tap, source| {
                sum += x.at((row + tap) * blocks + source);
            });
            sum
        });
    });
}

pub(crate) fn deform(conv: &Conv, offset_groups: u32, inputs: &Inputs<'_, '_>, out: &mut Out<'_>) {
    let (x, w, offset) = (inputs.at(0), inputs.at(1), inputs.at(2));
    let (bias, mask) = (inputs.get(3), inputs.get(4));
    let (dims, shared) = (x.shape(), size(offset_groups.into()));
    let [channels, height, width] = [1, 2, 3].map(|d| size(dims[d]));
    let (filters, per_group) = (size(w.shape()[0]), size(w.shape()[1]));
    let filters_per_group = filters / size(conv.groups.into());
    let [kernel_h, kernel_w] = [0, 1].map(|d| size(conv.kernel[d].into()));
    let places = product(&out.dims[2..]);
    let out_width = size(out.dims[3]);
    let [x, w, offset] = [x, w, offset].map(Numbers::<'_, f64>::of);
    let [bias, mask] = [bias, mask].map(|x| x.map(Numbers::<'_, f64>::of));
    out.fill_at(|at| {
        let [n, m, y, column] = [at[0], at[1], at[2], at[3]];
        let spot = y * out_width + column;
        let start = start(conv, &at[2..]);
        let group = m / filters_per_group;
        let mut sum = bias.map_or(0.0, |bias| bias.at(m));
        for c in 0..per_group {
            let channel = group * per_group + c;
            let shared_group = channel / (channels / shared);
            for (i, j) in (0..kernel_h).flat_map(|i| (0..kernel_w).map(move |j| (i, j))) {
                let tap = i * kernel_w + j;
                let slot = (n * shared + shared_group) * kernel_h * kernel_w + tap;
                let moved = |axis: usize, k: usize| {
                    let shift = offset.at((2 * slot + axis) * places + spot);
                    start[axis] as f64 + (k * size(conv.dilations[axis].into())) as f64 + shift
                };
                let [rows, columns] = [height, width].map(usize::cast_signed);
                let image = |y: isize, x_at: isize| {
                    let inside = (0..rows).contains(&y) && (0..columns).contains(&x_at);
                    let flat = || place(y * columns + x_at);
                    if inside {
                        x.at((n * channels + channel) * height * width + flat())
                    } else {
                        0.0
                    }
                };
                let value = bilinear(moved(0, i), moved(1, j), image);
                let masked = mask.map_or(1.0, |mask| mask.at(slot * places + spot));
                sum += value * masked * w.at((m * per_group + c) * kernel_h * kernel_w + tap);
            }
        }
        sum
    });
}

/// The value between four elements of an image.
#[expect(clippy::cast_possible_truncation, reason = "places far outside read nothing anyway")]
pub(crate) fn bilinear(y: f64, x: f64, at: impl Fn(isize, isize) -> f64) -> f64 {
    let (top, left) = (y.floor(), x.floor());
    let (down, right) = (y - top, x - left);
    let (top, left) = (top as isize, left as isize);
    let row = |y| at(y, left) * (1.0 - right) + at(y, left.saturating_add(1)) * right;
    row(top) * (1.0 - down) + row(top.saturating_add(1)) * down
}

pub(crate) fn pool(pool: &Pool, inputs: &Inputs<'_, '_>, out: &mut Out<'_>) {
    let x = inputs.at(0);
    let dims = x.shape();
    match pool.kind {
        PoolKind::Max | PoolKind::MaxIndex { .. } => {
            by_domain!(dtype(&x), W => largest::<W>(pool, x, out));
        }
        PoolKind::Average { count_padding } if !is_float(out.dtype) => {
            let x: Numbers<'_, i128> = Numbers::of(x);
            let (channels, plane) = (size(dims[1]), product(&dims[2..]));
            out.fill_at(|at| {
                let first = (at[0] * channels + at[1]) * plane;
                let start = start(&pool.conv, &at[2..]);
                let (mut sum, mut count) = (0i128, 0u64);
                taps(&pool.conv, &dims[2..], &start, &mut |_, place| {
                    sum += x.at(first + place);
                    count += 1;
                });
                let count =
                    if count_padding { padded(&pool.conv, &dims[2..], &start) } else { count };
                let count = i128::from(count.max(1));
                (sum + sum.signum() * (count / 2)) / count
            });
        }
        PoolKind::Average { count_padding } => {
            let x: Numbers<'_, f64> = Numbers::of(x);
            let (channels, plane) = (size(dims[1]), product(&dims[2..]));
            out.fill_at(|at| {
                let first = (at[0] * channels + at[1]) * plane;
                let start = start(&pool.conv, &at[2..]);
                let (mut sum, mut count) = (0.0, 0u64);
                taps(&pool.conv, &dims[2..], &start, &mut |_, place| {
                    sum += x.at(first + place);
                    count += 1;
                });
                let count =
                    if count_padding { padded(&pool.conv, &dims[2..], &start) } else { count };
                if count == 0 { 0.0 } else { sum / count as f64 }
            });
        }
        PoolKind::Lp { p } => {
            let x: Numbers<'_, f64> = Numbers::of(x);
            let (channels, plane) = (size(dims[1]), product(&dims[2..]));
            let p = f64::from(p);
            out.fill_at(|at| {
                let first = (at[0] * channels + at[1]) * plane;
                let mut sum = 0.0;
                taps(&pool.conv, &dims[2..], &start(&pool.conv, &at[2..]), &mut |_, place| {
                    sum += x.at(first + place).abs().powf(p);
                });
                sum.powf(1.0 / p)
            });
        }
    }
}

/// Taps of a window inside of the operand and its padding.
fn padded(conv: &Conv, spatial: &[u64], start: &[i64; RANK_MAX]) -> u64 {
    let along = |(d, &dim): (usize, &u64)| {
        let end = dim.cast_signed() + i64::from(conv.after[d]);
        let room = (end - start[d]).max(0).cast_unsigned().div_ceil(conv.dilations[d].into());
        room.min(conv.kernel[d].into())
    };
    spatial.iter().enumerate().map(along).product()
}

fn largest<W: Wide>(pool: &Pool, x: TensorRef<'_>, out: &mut Out<'_>) {
    let dims = x.shape();
    let (channels, plane) = (size(dims[1]), product(&dims[2..]));
    let least = if is_float(dtype(&x)) {
        W::of_float(f64::NEG_INFINITY)
    } else {
        W::of_integer(limits(dtype(&x)).0)
    };
    let x: Numbers<'_, W> = Numbers::of(x);
    let best = |at: &[usize]| {
        let first = (at[0] * channels + at[1]) * plane;
        let mut best = (least, None);
        taps(&pool.conv, &dims[2..], &start(&pool.conv, &at[2..]), &mut |_, place| {
            let value = x.at(first + place);
            if best.1.is_none() || value > best.0 || value.partial_cmp(&value).is_none() {
                best = (value, Some(place));
            }
        });
        (best.0, first, best.1.unwrap_or(0))
    };
    match pool.kind {
        PoolKind::MaxIndex { column_major } => {
            let put = store::<i128>(DType::I64);
            for i in 0..out.len() {
                let (_, first, place) = best(&coordinates(&out.dims, out.first + i));
                let place =
                    if column_major && dims.len() >= 4 { swapped(&dims, place) } else { place };
                put(out.bytes, i, (first + place) as i128);
            }
        }
        _ => out.fill_at(|at| best(at).0),
    }
}

/// A place in a plane, counted with its last two dimensions swapped.
fn swapped(dims: &[u64], place: usize) -> usize {
    let [height, width] = [dims.len() - 2, dims.len() - 1].map(|d| size(dims[d]));
    let (plane, rest) = (place / (height * width), place % (height * width));
    plane * height * width + rest % width * height + rest / width
}
