//! Windows that slide over every channel by itself: depthwise convolutions and pools.
//!
//! Images have channels last, so a register holds sixteen channels of a pixel, and some places of
//! the window beside each other share what is loaded of the weights. Each element is one chain
//! through the taps inside of the image, in their order: the same bits for every instruction set
//! and for any division of the rows.

use crate::isa::{Isa, Kernel, LANES, Simd};
use crate::window::Window;
use core::ops::Range;

/// What is computed of each window.
#[derive(Clone, Copy, Debug)]
pub enum Statistic<'a> {
    /// The sum of its elements times weights: a depthwise convolution.
    Weighted {
        /// A weight for each tap and channel, `[tap][channels]`.
        weights: &'a [f32],
        /// What each channel's sum begins with; zero where this is empty.
        bias: &'a [f32],
        /// The least result.
        low: f32,
        /// The greatest result.
        high: f32,
    },
    /// The largest element; NaN where one is.
    Largest,
    /// The mean.
    Mean {
        /// Whether padding counts as zeros.
        count_padding: bool,
    },
}

/// Computes the rows of results that `out` has room for, from `first` on, counted over all images:
/// `out: [rows][width][channels]`.
///
/// # Panics
/// If sizes disagree.
pub fn slide(
    isa: Isa,
    window: &Window,
    statistic: Statistic<'_>,
    x: &[f32],
    first: usize,
    out: &mut [f32],
) {
    let row = window.output[1] * window.channels;
    if row == 0 || out.is_empty() {
        return;
    }
    assert!(out.len().is_multiple_of(row), "whole rows");
    assert!(x.len().is_multiple_of(window.image_len()), "whole images");
    let rows = x.len() / window.image_len() * window.output[0];
    assert!(first + out.len() / row <= rows, "rows of these images");
    match statistic {
        Statistic::Weighted { weights, bias, low, high } => {
            assert_eq!(weights.len(), window.len() * window.channels, "a weight a tap and channel");
            assert!(bias.is_empty() || bias.len() == window.channels, "a bias a channel");
            isa.run(Slide { window, taps: Weighted { weights, bias, low, high }, x, first, out });
        }
        Statistic::Largest => isa.run(Slide { window, taps: Largest, x, first, out }),
        Statistic::Mean { count_padding } => {
            isa.run(Slide { window, taps: Mean { count_padding }, x, first, out });
        }
    }
}

/// What is done with a tap.
trait Taps: Copy {
    /// What a window of channels from `at` on begins with.
    fn begin<S: Simd>(self, s: S, at: usize, width: usize) -> S::F;

    /// What tap `tap` brings along to all places; `row` is the weights' length of one tap.
    fn load<S: Simd>(self, s: S, tap: usize, row: usize, at: usize, width: usize) -> S::F;

    /// Adds an element.
    fn add<S: Simd>(self, s: S, so_far: S::F, x: S::F, loaded: S::F) -> S::F;

    /// The result at a place of a row: its sum is of `inside` elements.
    fn end<S: Simd>(self, s: S, sum: S::F, window: &Window, at: [usize; 2], inside: usize) -> S::F;
}

#[derive(Clone, Copy)]
struct Weighted<'a> {
    weights: &'a [f32],
    bias: &'a [f32],
    low: f32,
    high: f32,
}

impl Taps for Weighted<'_> {
    #[inline(always)]
    fn begin<S: Simd>(self, s: S, at: usize, width: usize) -> S::F {
        if self.bias.is_empty() { s.splat(0.0) } else { load(s, &self.bias[at..at + width]) }
    }

    #[inline(always)]
    fn load<S: Simd>(self, s: S, tap: usize, row: usize, at: usize, width: usize) -> S::F {
        load(s, &self.weights[tap * row + at..][..width])
    }

    #[inline(always)]
    fn add<S: Simd>(self, s: S, so_far: S::F, x: S::F, loaded: S::F) -> S::F {
        s.fma(x, loaded, so_far)
    }

    #[inline(always)]
    fn end<S: Simd>(self, s: S, sum: S::F, _: &Window, _: [usize; 2], _: usize) -> S::F {
        s.min(s.splat(self.high), s.max(s.splat(self.low), sum))
    }
}

#[derive(Clone, Copy)]
struct Largest;

impl Taps for Largest {
    #[inline(always)]
    fn begin<S: Simd>(self, s: S, _: usize, _: usize) -> S::F {
        s.splat(f32::NEG_INFINITY)
    }

    #[inline(always)]
    fn load<S: Simd>(self, s: S, _: usize, _: usize, _: usize, _: usize) -> S::F {
        s.splat(0.0)
    }

    #[inline(always)]
    fn add<S: Simd>(self, s: S, so_far: S::F, x: S::F, _: S::F) -> S::F {
        // Each maximum gives its second operand where one is NaN; bits of a NaN beside others are
        // one still.
        let (a, b) = (s.max(so_far, x), s.max(x, so_far));
        s.of_bits(s.or_i(s.bits(a), s.bits(b)))
    }

    #[inline(always)]
    fn end<S: Simd>(self, _: S, sum: S::F, _: &Window, _: [usize; 2], _: usize) -> S::F {
        sum
    }
}

#[derive(Clone, Copy)]
struct Mean {
    count_padding: bool,
}

impl Taps for Mean {
    #[inline(always)]
    fn begin<S: Simd>(self, s: S, _: usize, _: usize) -> S::F {
        s.splat(0.0)
    }

    #[inline(always)]
    fn load<S: Simd>(self, s: S, _: usize, _: usize, _: usize, _: usize) -> S::F {
        s.splat(0.0)
    }

    #[inline(always)]
    fn add<S: Simd>(self, s: S, so_far: S::F, x: S::F, _: S::F) -> S::F {
        s.add(so_far, x)
    }

    #[inline(always)]
    fn end<S: Simd>(self, s: S, sum: S::F, window: &Window, at: [usize; 2], inside: usize) -> S::F {
        let count = if self.count_padding {
            window.padded_taps(0, at[0]) * window.padded_taps(1, at[1])
        } else {
            inside
        };
        s.div(sum, s.splat(count.max(1) as f32))
    }
}

struct Slide<'a, T> {
    window: &'a Window,
    taps: T,
    x: &'a [f32],
    first: usize,
    out: &'a mut [f32],
}

impl<T: Taps> Kernel for Slide<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { window, taps, x, first, out } = self;
        let channels = window.channels;
        // Fewer places are taken one by one.
        let inner = window.inner();
        let inner = if inner.len() < FEW { 0..0 } else { inner };
        for (i, out) in out.chunks_exact_mut(window.output[1] * channels).enumerate() {
            let (n, y) = ((first + i) / window.output[0], (first + i) % window.output[0]);
            let x = &x[n * window.image_len()..][..window.image_len()];
            let row = Row { window, taps, x, y, ys: window.taps(0, y), inner: inner.clone() };
            row.inner_places(s, out);
            for column in (0..row.inner.start).chain(row.inner.end..window.output[1]) {
                row.place(s, column, out);
            }
        }
    }
}

/// Chains that are taken together where there are as many places beside each other.
const FEW: usize = 4;

/// A row of places in one image.
struct Row<'a, T> {
    window: &'a Window,
    taps: T,
    x: &'a [f32],
    y: usize,
    /// The window's rows that are inside of the image.
    ys: Range<usize>,
    /// Places beside each other where its columns all are.
    inner: Range<usize>,
}

/// What chains that are taken together are of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beside {
    /// Places of the same channels.
    Places,
    /// Channels of the same place.
    Channels,
}

impl<T: Taps> Row<'_, T> {
    /// Computes all channels where the window is inside of the image.
    #[inline(always)]
    fn inner_places<S: Simd>(&self, s: S, out: &mut [f32]) {
        if S::ROWS > 8 && self.inner.len() >= 8 {
            self.inner_places_by::<S, 8>(s, out);
        } else {
            self.inner_places_by::<S, FEW>(s, out);
        }
    }

    /// The same, `N` places at a time: all their channels, as these lie side by side.
    #[inline(always)]
    fn inner_places_by<S: Simd, const N: usize>(&self, s: S, out: &mut [f32]) {
        let (inner, all) = (&self.inner, 0..self.window.kernel[1]);
        let channels = self.window.channels;
        let whole = channels / LANES * LANES;
        let mut column = inner.start;
        // The last ones overlap those before, which costs less than one by one: the results are the
        // same.
        while column < inner.end {
            column = column.min(inner.end - N);
            for at in (0..whole).step_by(LANES) {
                let place = [column, at, LANES];
                self.chains::<S, false, N>(s, Beside::Places, place, all.clone(), out);
            }
            if whole < channels {
                let place = [column, whole, channels - whole];
                self.chains::<S, true, N>(s, Beside::Places, place, all.clone(), out);
            }
            column += N;
        }
    }

    /// Computes all channels of one place, some of them together: a chain alone waits for itself.
    #[inline(always)]
    fn place<S: Simd>(&self, s: S, column: usize, out: &mut [f32]) {
        let (channels, xs) = (self.window.channels, self.window.taps(1, column));
        let beside = Beside::Channels;
        let mut at = 0;
        while at + FEW * LANES <= channels {
            let place = [column, at, LANES];
            self.chains::<S, false, FEW>(s, beside, place, xs.clone(), out);
            at += FEW * LANES;
        }
        while at + LANES <= channels {
            self.chains::<S, false, 1>(s, beside, [column, at, LANES], xs.clone(), out);
            at += LANES;
        }
        if at < channels {
            self.chains::<S, true, 1>(s, beside, [column, at, channels - at], xs, out);
        }
    }

    /// Computes `N` chains of taps `xs` of the window's columns: `width` channels from `at` on of
    /// the place at `column`, and what stands beside them.
    #[inline(always)]
    fn chains<S: Simd, const PART: bool, const N: usize>(
        &self,
        s: S,
        beside: Beside,
        [column, at, width]: [usize; 3],
        xs: Range<usize>,
        out: &mut [f32],
    ) {
        let window = self.window;
        let channels = window.channels;
        let width = if PART { width } else { LANES };
        // What is between chains: of the operand, of the result, of weights.
        let [step, apart, own] = match beside {
            Beside::Places => [window.strides[1] * channels, channels, 0],
            Beside::Channels => [LANES; 3],
        };
        let mut sums = [self.taps.begin(s, at, width); N];
        if own > 0 {
            for n in 1..N {
                sums[n] = self.taps.begin(s, at + n * own, width);
            }
        }
        for i in self.ys.clone() {
            let line = self.y * window.strides[0] + i * window.dilations[0] - window.before[0];
            let line = &self.x[line * window.image[1] * channels..][..window.image[1] * channels];
            for j in xs.clone() {
                let tap = i * window.kernel[1] + j;
                let mut loaded = [self.taps.load(s, tap, channels, at, width); N];
                if own > 0 {
                    for n in 1..N {
                        loaded[n] = self.taps.load(s, tap, channels, at + n * own, width);
                    }
                }
                let pixel = column * window.strides[1] + j * window.dilations[1] - window.before[1];
                let from = &line[pixel * channels + at..];
                if PART {
                    for n in 0..N {
                        let x = s.load_part(&from[n * step..n * step + width]);
                        sums[n] = self.taps.add(s, sums[n], x, loaded[n]);
                    }
                } else {
                    let x = s.load_apart::<N>(from, step);
                    for n in 0..N {
                        sums[n] = self.taps.add(s, sums[n], x[n], loaded[n]);
                    }
                }
            }
        }
        for n in 0..N {
            let inside = self.ys.len() * xs.len();
            let place = if own > 0 { column } else { column + n };
            let sum = self.taps.end(s, sums[n], window, [self.y, place], inside);
            let to = &mut out[column * channels + at + n * apart..][..width];
            if let Ok(to) = <&mut [f32; LANES]>::try_from(&mut *to) {
                s.store(sum, to);
            } else {
                s.store_part(sum, to);
            }
        }
    }
}

/// Up to sixteen numbers, zeros behind them.
#[inline(always)]
fn load<S: Simd>(s: S, from: &[f32]) -> S::F {
    match <&[f32; LANES]>::try_from(from) {
        Ok(whole) => s.load(whole),
        Err(_) => s.load_part(from),
    }
}

#[cfg(test)]
mod tests;
