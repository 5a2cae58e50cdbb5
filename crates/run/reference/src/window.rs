//! Windows that slide over spatial dimensions: convolutions, pools and their inverses.
//!
//! Each element of a result is computed by itself, from the taps of its window that fall inside of
//! the operand; loops run over those alone, so a window that is larger than its operand costs
//! nothing.

use crate::ending::Ending;
use crate::number::{Numbers, Wide, by_domain, is_float, limits, store};
use crate::walk::{Out, coordinates, place, size};
use crate::{Inputs, dtype};
use core::ops::{Add, Mul, Sub};
use plan::array::{Channels, Conv, Epilogue, Pool, PoolKind};
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

/// How the elements of an image follow each other.
#[derive(Clone, Copy)]
struct Image {
    channels: Channels,
    /// How many channels there are, and steps from one to the next.
    each: [usize; 2],
    /// Elements of a channel, and steps from one to the next.
    plane: [usize; 2],
}

impl Image {
    fn new(channels: Channels, dims: &[u64]) -> Self {
        let count = size(dims[channels.axis(dims.len())]);
        let from = channels.spatial();
        let plane = product(&dims[from..from + dims.len() - 2]);
        match channels {
            Channels::First => Self { channels, each: [count, plane], plane: [plane, 1] },
            Channels::Last => Self { channels, each: [count, 1], plane: [plane, count] },
        }
    }

    /// The first element of channel `c` of image `n`.
    fn first(&self, n: usize, c: usize) -> usize {
        n * self.each[0] * self.plane[0] + c * self.each[1]
    }

    /// Image, channel and place of a result's element.
    fn split<'a>(&self, at: &'a [usize], rank: usize) -> (usize, usize, &'a [usize]) {
        let from = self.channels.spatial();
        (at[0], at[self.channels.axis(rank)], &at[from..from + rank - 2])
    }
}

pub(crate) fn conv(conv: &Conv, inputs: &Inputs<'_, '_>, out: &mut Out<'_>) {
    by_domain!(out.dtype, W => {
        convolve::<W>(conv, Channels::First, inputs, [2, 3, 4], &Ending::none(), out);
    });
}

pub(crate) fn conv_last(
    conv: &Conv,
    epilogue: &Epilogue,
    inputs: &Inputs<'_, '_>,
    out: &mut Out<'_>,
) {
    by_domain!(out.dtype, W => {
        let ending = Ending::new(epilogue, inputs, [3, 6]);
        convolve::<W>(conv, Channels::Last, inputs, [2, 4, 5], &ending, out);
    });
}

/// A convolution whose bias and zero points are the operands `optional`.
fn convolve<W: Wide + Add<Output = W> + Sub<Output = W> + Mul<Output = W>>(
    conv: &Conv,
    channels: Channels,
    inputs: &Inputs<'_, '_>,
    optional: [usize; 3],
    ending: &Ending<'_, W>,
    out: &mut Out<'_>,
) {
    let (x, w) = (inputs.at(0), inputs.at(1));
    let [from, filter] = [x, w].map(|x| Image::new(channels, &x.shape()));
    let (dims, rank) = (x.shape(), x.shape().len());
    let spatial = &dims[channels.spatial()..][..rank - 2];
    let per_group = filter.each[0];
    let filters_per_group = size(w.shape()[0]) / size(conv.groups.into());
    let one_zero = inputs.get(optional[2]).is_none_or(|zero| zero.shape().is_empty());
    let [bias, x_zero, w_zero] =
        optional.map(|i| -> Option<Numbers<'_, W>> { inputs.get(i).map(Numbers::of) });
    let x_zero = x_zero.map_or(W::ZERO, |zero| zero.at(0));
    let (x, w): (Numbers<'_, W>, Numbers<'_, W>) = (Numbers::of(x), Numbers::of(w));
    out.fill_each(|i, at| {
        let (n, m, at) = from.split(at, rank);
        let group = m / filters_per_group;
        let zero = w_zero.map_or(W::ZERO, |zero| zero.at(if one_zero { 0 } else { m }));
        let first = from.first(n, group * per_group);
        let mut sum = bias.map_or(W::ZERO, |bias| bias.at(m));
        taps(conv, spatial, &start(conv, at), &mut |tap, place| {
            for c in 0..per_group {
                let value = x.at(first + c * from.each[1] + place * from.plane[1]) - x_zero;
                let weight = w.at(filter.first(m, c) + tap * filter.plane[1]) - zero;
                sum = sum + value * weight;
            }
        });
        ending.of(i, m, sum)
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

pub(crate) fn transpose_last(
    conv: &Conv,
    epilogue: &Epilogue,
    inputs: &Inputs<'_, '_>,
    out: &mut Out<'_>,
) {
    let (x, w) = (inputs.at(0), inputs.at(1));
    let (dims, rank) = (x.shape(), x.shape().len());
    let channels = size(dims[rank - 1]);
    let spatial = &dims[1..rank - 1];
    let (plane, window) = (product(spatial), product(&w.shape()[1..rank - 1]));
    let ending: Ending<'_, f64> = Ending::new(epilogue, inputs, [3, 4]);
    let bias: Option<Numbers<'_, f64>> = inputs.get(2).map(Numbers::of);
    let (x, w): (Numbers<'_, f64>, Numbers<'_, f64>) = (Numbers::of(x), Numbers::of(w));
    out.fill_each(|i, at| {
        let (n, m) = (at[0], at[rank - 1]);
        let mut sum = bias.map_or(0.0, |bias| bias.at(m));
        sources(conv, spatial, &at[1..rank - 1], 0, (0, 0), &mut |tap, source| {
            let from = (n * plane + source) * channels;
            let weights = (m * window + tap) * channels;
            for c in 0..channels {
                sum += x.at(from + c) * w.at(weights + c);
            }
        });
        ending.of(i, m, sum)
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
    match pool.kind {
        PoolKind::Max | PoolKind::MaxIndex { .. } => {
            by_domain!(dtype(&x), W => largest::<W>(pool, x, out));
        }
        PoolKind::Average { count_padding } if !is_float(out.dtype) => {
            average::<i128>(pool, count_padding, x, out, |sum, count| {
                let count = i128::from(count.max(1));
                (sum + sum.signum() * (count / 2)) / count
            });
        }
        PoolKind::Average { count_padding } => {
            average::<f64>(pool, count_padding, x, out, |sum, count| {
                if count == 0 { 0.0 } else { sum / count as f64 }
            });
        }
        PoolKind::Lp { p } => {
            let windows = Windows::new(pool, x);
            let x: Numbers<'_, f64> = Numbers::of(x);
            let p = f64::from(p);
            out.fill_at(|at| {
                let mut sum = 0.0;
                windows.taps(at, |place, _| sum += x.at(place).abs().powf(p));
                sum.powf(1.0 / p)
            });
        }
    }
}

/// The windows of a pool over an operand.
struct Windows<'p> {
    pool: &'p Pool,
    image: Image,
    dims: Shape,
}

impl<'p> Windows<'p> {
    fn new(pool: &'p Pool, x: TensorRef<'_>) -> Self {
        Self { pool, image: Image::new(pool.channels, &x.shape()), dims: x.shape() }
    }

    fn spatial(&self) -> &[u64] {
        &self.dims[self.pool.channels.spatial()..][..self.dims.len() - 2]
    }

    /// Where the window of a result's element begins.
    fn start(&self, at: &[usize]) -> [i64; RANK_MAX] {
        start(&self.pool.conv, self.image.split(at, self.dims.len()).2)
    }

    /// Goes through the window of a result's element: `f(place, in its plane)`.
    fn taps(&self, at: &[usize], mut f: impl FnMut(usize, usize)) {
        let (n, c, _) = self.image.split(at, self.dims.len());
        let first = self.image.first(n, c);
        taps(&self.pool.conv, self.spatial(), &self.start(at), &mut |_, place| {
            f(first + place * self.image.plane[1], place);
        });
    }
}

fn average<W: Wide + Add<Output = W>>(
    pool: &Pool,
    count_padding: bool,
    x: TensorRef<'_>,
    out: &mut Out<'_>,
    mean: impl Fn(W, u64) -> W,
) {
    let windows = Windows::new(pool, x);
    let x: Numbers<'_, W> = Numbers::of(x);
    out.fill_at(|at| {
        let (mut sum, mut count) = (W::ZERO, 0);
        windows.taps(at, |place, _| {
            sum = sum + x.at(place);
            count += 1;
        });
        if count_padding {
            count = padded(&pool.conv, windows.spatial(), &windows.start(at));
        }
        mean(sum, count)
    });
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
    let windows = Windows::new(pool, x);
    let dims = x.shape();
    let least = if is_float(dtype(&x)) {
        W::of_float(f64::NEG_INFINITY)
    } else {
        W::of_integer(limits(dtype(&x)).0)
    };
    let x: Numbers<'_, W> = Numbers::of(x);
    let best = |at: &[usize]| {
        let mut best = (least, None);
        windows.taps(at, |flat, place| {
            let value = x.at(flat);
            if best.1.is_none() || value > best.0 || value.partial_cmp(&value).is_none() {
                best = (value, Some(place));
            }
        });
        best
    };
    match pool.kind {
        PoolKind::MaxIndex { column_major } => {
            let put = store::<i128>(DType::I64);
            for i in 0..out.len() {
                let at = coordinates(&out.dims, out.first + i);
                let place = best(&at).1.unwrap_or(0);
                let place =
                    if column_major && dims.len() >= 4 { swapped(&dims, place) } else { place };
                let first = windows.image.first(at[0], at[1]);
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
