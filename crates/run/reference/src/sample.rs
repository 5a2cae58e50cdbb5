//! Samples of arrays at places between their elements: resizing, grids, regions.

use crate::number::{Numbers, Wide, by_domain, is_float, limits};
use crate::walk::{Out, dense, place, size};
use crate::window::bilinear;
use crate::{Fault, Inputs, dtype};
use plan::array::{Coordinates, GridPadding, Interpolation, Nearest, Resize, RoiAlign};
use tensor::shape::RANK_MAX;

/// The place in the operand that index `i` of dimension `d` means; `None` outside of a region.
fn source(op: &Resize, d: usize, i: usize, input: u64) -> Option<f64> {
    let (i, scale, len) = (i as f64, f64::from(op.scales[d]), input as f64);
    let out = op.dims[d] as f64;
    let half = (i + 0.5) / scale - 0.5;
    Some(match op.coordinates {
        Coordinates::HalfPixel => half,
        Coordinates::HalfPixelSymmetric => {
            let adjustment = out / (scale * len);
            len / 2.0 * (1.0 - adjustment) + half
        }
        Coordinates::PytorchHalfPixel => {
            if out > 1.0 {
                half
            } else {
                -0.5
            }
        }
        Coordinates::AlignCorners => {
            let last = scale * len - 1.0;
            if last == 0.0 || out <= 1.0 { 0.0 } else { i * (len - 1.0) / last }
        }
        Coordinates::Asymmetric => i / scale,
        Coordinates::CropAndResize => {
            let (start, end) = (f64::from(op.roi_start[d]), f64::from(op.roi_end[d]));
            let at = if out > 1.0 {
                start * (len - 1.0) + i * (end - start) * (len - 1.0) / (out - 1.0)
            } else {
                0.5 * (start + end) * (len - 1.0)
            };
            return (0.0..=len - 1.0).contains(&at).then_some(at);
        }
    })
}

#[expect(clippy::cast_possible_truncation, reason = "places are near the operand")]
fn nearest(which: Nearest, at: f64) -> i64 {
    (match which {
        Nearest::HalfDown => (at - 0.5).ceil(),
        Nearest::HalfUp => (at + 0.5).floor(),
        Nearest::HalfEven => at.round_ties_even(),
        Nearest::Floor => at.floor(),
        Nearest::Ceil => at.ceil(),
    }) as i64
}

/// Keys' kernel (Keys 1981).
fn keys(a: f64, x: f64) -> f64 {
    let x = x.abs();
    if x <= 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        a * (((x - 5.0) * x + 8.0) * x - 4.0)
    } else {
        0.0
    }
}

/// The samples along one dimension: the first one's index, their number, how far they count.
struct Taps {
    first: i64,
    count: i64,
    at: f64,
    /// Shrinking widens the kernel by its inverse.
    squeeze: f64,
    mode: Interpolation,
    len: i64,
    exclude: bool,
    sum: f64,
}

impl Taps {
    #[expect(clippy::cast_possible_truncation, reason = "places are near the operand")]
    fn new(op: &Resize, d: usize, at: f64, len: u64) -> Self {
        let squeeze = if op.antialias { f64::from(op.scales[d]).min(1.0) } else { 1.0 };
        let reach = match op.mode {
            Interpolation::Nearest(_) => 0.0,
            Interpolation::Linear => 1.0,
            Interpolation::Cubic { .. } => 2.0,
        };
        let before = (-reach / squeeze).floor() + 1.0;
        let mut taps = Self {
            first: (at.floor() + before) as i64,
            count: (2.0 - 2.0 * before) as i64,
            at,
            squeeze,
            mode: op.mode,
            len: len.cast_signed(),
            exclude: op.exclude_outside,
            sum: 1.0,
        };
        if let Interpolation::Nearest(which) = op.mode {
            taps.first = nearest(which, at);
            taps.count = 1;
        }
        taps.sum = (0..taps.count).map(|k| taps.raw(k)).sum();
        taps
    }

    fn raw(&self, k: i64) -> f64 {
        let i = self.first + k;
        if self.exclude && !(0..self.len).contains(&i) {
            return 0.0;
        }
        let distance = (i as f64 - self.at) * self.squeeze;
        match self.mode {
            Interpolation::Nearest(_) => 1.0,
            Interpolation::Linear => (1.0 - distance.abs()).max(0.0),
            Interpolation::Cubic { a } => keys(a.into(), distance),
        }
    }

    /// Weight and index of sample `k`.
    fn tap(&self, k: i64) -> (f64, usize) {
        let i = (self.first + k).clamp(0, self.len - 1);
        (self.raw(k) / self.sum, usize::try_from(i).expect("clamped"))
    }
}

/// What index `i` of dimension `d` of a resized array blends: how much each sample counts, and which
/// index of the operand's `len` it is; `None` where that is outside of the region of interest.
///
/// # Panics
/// If `len` is zero.
pub fn samples(
    op: &Resize,
    d: usize,
    i: usize,
    len: u64,
) -> Option<impl Iterator<Item = (f64, usize)>> {
    let taps = Taps::new(op, d, source(op, d, i, len)?, len);
    Some((0..taps.count).map(move |k| taps.tap(k)))
}

pub(crate) fn resize(op: &Resize, inputs: &Inputs<'_, '_>, out: &mut Out<'_>) {
    let x = inputs.at(0);
    let (dims, steps) = (x.shape(), dense(&x.shape()));
    let exact = matches!(op.mode, Interpolation::Nearest(_)) && op.extrapolation == 0.0;
    if exact {
        return by_domain!(out.dtype, W => {
            let x: Numbers<'_, W> = Numbers::of(x);
            out.fill_at(|at| {
                let mut from = Some(0);
                for (d, &dim) in dims.iter().enumerate() {
                    let found = if is_kept(op, d, dim) {
                        Some(at[d])
                    } else {
                        source(op, d, at[d], dim).map(|place| Taps::new(op, d, place, dim).tap(0).1)
                    };
                    from = from.zip(found).map(|(sum, i)| sum + i * place(steps[d]));
                }
                from.map_or(W::ZERO, |from| x.at(from))
            });
        });
    }
    let whole = !is_float(out.dtype);
    let (low, high) = if whole { limits(out.dtype) } else { (0, 0) };
    let x: Numbers<'_, f64> = Numbers::of(x);
    out.fill_at(|at| {
        let mut taps: [Option<Taps>; RANK_MAX] = Default::default();
        for (d, &dim) in dims.iter().enumerate() {
            if is_kept(op, d, dim) {
                continue;
            }
            match source(op, d, at[d], dim) {
                Some(place) => taps[d] = Some(Taps::new(op, d, place, dim)),
                None => return f64::from(op.extrapolation),
            }
        }
        let value = blend(&taps[..dims.len()], at, &steps, 0, 0, &|i| x.at(i));
        // Between integers the nearest is taken, towards zero as a cast does in the specification.
        if whole { value.clamp(low as f64, high as f64) } else { value }
    });
}

/// Whether dimension `d` of extent `dim` is left alone.
#[expect(clippy::float_cmp, reason = "the importer writes 1 for what is left alone")]
pub fn is_kept(op: &Resize, d: usize, dim: u64) -> bool {
    op.scales[d] == 1.0 && op.dims[d] == dim && op.coordinates != Coordinates::CropAndResize
}

/// Blends the samples of dimension `d` and those behind it.
fn blend(
    taps: &[Option<Taps>],
    at: &[usize; RANK_MAX],
    steps: &[isize; RANK_MAX],
    d: usize,
    from: usize,
    x: &impl Fn(usize) -> f64,
) -> f64 {
    match taps.get(d) {
        None => x(from),
        Some(None) => blend(taps, at, steps, d + 1, from + at[d] * place(steps[d]), x),
        Some(Some(dim)) => (0..dim.count)
            .map(|k| {
                let (weight, i) = dim.tap(k);
                if weight == 0.0 {
                    return 0.0;
                }
                weight * blend(taps, at, steps, d + 1, from + i * place(steps[d]), x)
            })
            .sum(),
    }
}

/// A coordinate thrown back at the borders until it is inside.
fn reflect(x: f64, low: f64, high: f64) -> f64 {
    let span = high - low;
    if span <= 0.0 {
        return low;
    }
    let into = (x - low).rem_euclid(2.0 * span);
    low + into.min(2.0 * span - into)
}

#[expect(clippy::cast_possible_truncation, reason = "places far outside are clamped before")]
pub(crate) fn grid(
    mode: Interpolation,
    padding: GridPadding,
    align_corners: bool,
    inputs: &Inputs<'_, '_>,
    out: &mut Out<'_>,
) {
    let (x, grid) = (inputs.at(0), inputs.at(1));
    let dims = x.shape();
    let axes = dims.len() - 2;
    let steps = dense(&dims);
    let grid_steps = dense(&grid.shape());
    let (x, grid): (Numbers<'_, f64>, Numbers<'_, f64>) = (Numbers::of(x), Numbers::of(grid));
    let border = |d: usize| {
        let len = dims[2 + d] as f64;
        if align_corners { (0.0, len - 1.0) } else { (-0.5, len - 0.5) }
    };
    // The index that an index outside of dimension `d` stands for.
    let inside = |d: usize, i: f64| -> Option<usize> {
        let last = dims[2 + d] as f64 - 1.0;
        let (low, high) = border(d);
        let found = match padding {
            GridPadding::Zeros => return (0.0..=last).contains(&i).then_some(i as usize),
            GridPadding::Border => i.clamp(0.0, last),
            GridPadding::Reflection => reflect(i, low, high).clamp(0.0, last),
        };
        Some(found as usize)
    };
    out.fill_at(|at| {
        let base = at[0] * place(grid_steps[0])
            + (0..axes).map(|d| at[2 + d] * place(grid_steps[1 + d])).sum::<usize>();
        let first = at[0] * place(steps[0]) + at[1] * place(steps[1]);
        let mut spots = [0.0; 3];
        for (d, spot) in spots.iter_mut().enumerate().take(axes) {
            // The grid names the last dimension first.
            let unit = grid.at(base + axes - 1 - d);
            let len = dims[2 + d] as f64;
            let mut at = if align_corners {
                f64::midpoint(unit, 1.0) * (len - 1.0)
            } else {
                ((unit + 1.0) * len - 1.0) / 2.0
            };
            if matches!(mode, Interpolation::Nearest(_)) {
                at = at.round_ties_even();
            }
            let (low, high) = border(d);
            if at < low || at > high {
                match padding {
                    GridPadding::Zeros => {}
                    GridPadding::Border => at = at.clamp(0.0, len - 1.0),
                    GridPadding::Reflection => at = reflect(at, low, high),
                }
            }
            // Not a number reads as far outside.
            *spot = if at.is_nan() { -1e9 } else { at };
        }
        cells(mode, &spots[..axes], 0, &mut [0; 3], &|found| {
            let mut from = first;
            for (d, &i) in found.iter().enumerate().take(axes) {
                match inside(d, i as f64) {
                    Some(i) => from += i * place(steps[2 + d]),
                    None => return 0.0,
                }
            }
            x.at(from)
        })
    });
}

/// Blends `f(indices)` over the samples around `spots`.
#[expect(clippy::cast_possible_truncation, reason = "places far outside saturate")]
fn cells(
    mode: Interpolation,
    spots: &[f64],
    d: usize,
    found: &mut [i64; 3],
    f: &impl Fn(&[i64; 3]) -> f64,
) -> f64 {
    let Some(&at) = spots.get(d) else { return f(found) };
    let base = at.floor();
    let (first, count) = match mode {
        Interpolation::Nearest(_) => (at.round_ties_even(), 1),
        Interpolation::Linear => (base, 2),
        Interpolation::Cubic { .. } => (base - 1.0, 4),
    };
    let mut sum = 0.0;
    for k in 0..count {
        let i = first + f64::from(k);
        let weight = match mode {
            Interpolation::Nearest(_) => 1.0,
            Interpolation::Linear => 1.0 - (i - at).abs(),
            Interpolation::Cubic { a } => keys(a.into(), i - at),
        };
        found[d] = i as i64;
        sum += weight * cells(mode, spots, d + 1, found, f);
    }
    sum
}

/// The largest of the four weighted elements around a place: ONNX's maximum does not blend.
#[expect(clippy::cast_possible_truncation, reason = "places are inside of the image")]
fn heaviest(y: f64, x: f64, at: impl Fn(isize, isize) -> f64) -> f64 {
    let (top, left) = (y.floor(), x.floor());
    let (down, right) = (y - top, x - left);
    let (top, left) = (top as isize, left as isize);
    let pairs = [(0, 1.0 - down), (1, down)];
    let weighted = |(i, weight): (isize, f64)| {
        let row = |j| at(top + i, left + j);
        (weight * (1.0 - right) * row(0)).max(weight * right * row(1))
    };
    pairs.map(weighted).into_iter().fold(f64::NEG_INFINITY, f64::max)
}

pub(crate) fn roi_align(
    op: &RoiAlign,
    inputs: &Inputs<'_, '_>,
    out: &mut Out<'_>,
) -> Result<(), Fault> {
    let (x, rois, batch) = (inputs.at(0), inputs.at(1), inputs.at(2));
    debug_assert!(is_float(dtype(&x)));
    let dims = x.shape();
    let [images, channels, height, width] = [0, 1, 2, 3].map(|d| size(dims[d]));
    let batch: Numbers<'_, i128> = Numbers::of(batch);
    for r in 0..size(out.dims[0]) {
        let index = batch.at(r);
        if !(0..images as i128).contains(&index) {
            let index = i64::try_from(index).unwrap_or(i64::MAX);
            return Err(Fault::Index { index, extent: images as u64 });
        }
    }
    let (x, rois): (Numbers<'_, f64>, Numbers<'_, f64>) = (Numbers::of(x), Numbers::of(rois));
    let shift = if op.half_pixel { 0.5 } else { 0.0 };
    let scale = f64::from(op.scale);
    out.fill_at(|at| {
        let [r, c] = [at[0], at[1]];
        let image = usize::try_from(batch.at(r)).expect("checked before");
        let corner = |i: usize| rois.at(4 * r + i) * scale - shift;
        let [x1, y1, x2, y2] = [0, 1, 2, 3].map(corner);
        let extent = |from: f64, to: f64| {
            if op.half_pixel { to - from } else { (to - from).max(1.0) }
        };
        let (bin_h, bin_w) = (extent(y1, y2) / op.height as f64, extent(x1, x2) / op.width as f64);
        // More samples than the image has elements add nothing but time.
        let samples = |bin: f64, len: usize| {
            if op.sampling > 0 {
                f64::from(op.sampling)
            } else {
                bin.ceil().clamp(0.0, 2.0 * len as f64)
            }
        };
        let (down, across) = (samples(bin_h, height), samples(bin_w, width));
        let plane = (image * channels + c) * height * width;
        let pixel = |y: isize, x_at: isize| {
            let clamped =
                |i: isize, len: usize| usize::try_from(i.max(0)).unwrap_or(0).min(len - 1);
            x.at(plane + clamped(y, height) * width + clamped(x_at, width))
        };
        let (mut sum, mut best) = (0.0, f64::NEG_INFINITY);
        let mut iy = 0.0;
        while iy < down {
            let y = y1 + at[2] as f64 * bin_h + (iy + 0.5) * bin_h / down;
            let mut ix = 0.0;
            while ix < across {
                let x = x1 + at[3] as f64 * bin_w + (ix + 0.5) * bin_w / across;
                let outside = y < -1.0 || y > height as f64 || x < -1.0 || x > width as f64;
                let (y, x) = (y.clamp(0.0, height as f64 - 1.0), x.clamp(0.0, width as f64 - 1.0));
                let value = if outside { 0.0 } else { bilinear(y, x, pixel) };
                sum += value;
                best = best.max(if outside { 0.0 } else { heaviest(y, x, pixel) });
                ix += 1.0;
            }
            iy += 1.0;
        }
        if op.max {
            if best == f64::NEG_INFINITY { 0.0 } else { best }
        } else {
            sum / (down * across).max(1.0)
        }
    });
    Ok(())
}
