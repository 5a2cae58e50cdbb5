//! Windows over images with channels last: where their taps are read.
//!
//! An image is `[height][width][channels]`, several follow each other; a window has two spatial
//! dimensions (one more of extent 1 makes two of one). Nothing here computes: [`Window::locate`]
//! says where [`crate::gemm`] finds the rows of a convolution, and [`Window::taps`] which taps of a
//! window are inside of the image.

use core::ops::Range;

/// The most numbers of a pixel that padding is read for.
pub const PADDING_MAX: usize = 4096;

/// What padding reads.
static ZEROS: [f32; PADDING_MAX] = [0.0; PADDING_MAX];

/// What padding reads: [`PADDING_MAX`] zeros.
pub fn padding() -> &'static [f32] {
    &ZEROS
}

/// Channels below which a window's row of pixels is read as one piece.
const NARROW: usize = 16;

/// A window that slides over images; pairs are height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Pixels of an image.
    pub image: [usize; 2],
    /// Numbers of a pixel.
    pub channels: usize,
    /// Extents of the window.
    pub kernel: [usize; 2],
    /// Steps of the window.
    pub strides: [usize; 2],
    /// Steps inside of the window.
    pub dilations: [usize; 2],
    /// Padding before the image.
    pub before: [usize; 2],
    /// Padding behind the image.
    pub after: [usize; 2],
    /// Places of the window.
    pub output: [usize; 2],
}

/// How the taps of a window are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The window is one pixel, and all pixels are read in order.
    Pixels,
    /// Tap by tap.
    Taps,
    /// Row by row, as pixels are narrow: at the image's border from a copy.
    Rows,
}

impl Window {
    /// Numbers of an image.
    pub fn image_len(&self) -> usize {
        self.image[0] * self.image[1] * self.channels
    }

    /// Taps of the window.
    pub fn len(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Whether the window has no taps.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How it is best read where `channels` of a pixel belong together.
    pub fn reading(&self, channels: usize) -> Reading {
        let plain = self.len() == 1 && self.strides == [1; 2];
        if plain && self.before == [0; 2] && self.output == self.image {
            return Reading::Pixels;
        }
        let rows = self.dilations[1] == 1 && channels == self.channels && channels < NARROW;
        if rows && self.kernel[1] > 1 { Reading::Rows } else { Reading::Taps }
    }

    /// The taps along dimension `d` at place `at` that are inside of the image.
    #[inline]
    pub fn taps(&self, d: usize, at: usize) -> Range<usize> {
        let (start, gap) = (at * self.strides[d], self.dilations[d]);
        let end = (self.image[d] + self.before[d]).saturating_sub(start).div_ceil(gap);
        let first = self.before[d].saturating_sub(start).div_ceil(gap);
        let end = end.min(self.kernel[d]);
        first.min(end)..end
    }

    /// Taps along dimension `d` at place `at` that are inside of the image or its padding.
    pub fn padded_taps(&self, d: usize, at: usize) -> usize {
        let end = self.image[d] + self.before[d] + self.after[d];
        let room = end.saturating_sub(at * self.strides[d]);
        room.div_ceil(self.dilations[d]).min(self.kernel[d])
    }

    /// The places along the width where the whole window is inside of the image.
    pub fn inner(&self) -> Range<usize> {
        let (step, before) = (self.strides[1], self.before[1]);
        let first = before.div_ceil(step).min(self.output[1]);
        let span = (self.kernel[1] - 1) * self.dilations[1] + 1;
        let end = (self.image[1] + before).checked_sub(span).map_or(0, |last| last / step + 1);
        first..end.clamp(first, self.output[1])
    }

    /// Numbers of a piece and pieces of a window that is read so.
    pub fn pieces(&self, reading: Reading, channels: usize) -> [usize; 2] {
        match reading {
            Reading::Pixels | Reading::Taps => [channels, self.len()],
            Reading::Rows => [channels * self.kernel[1], self.kernel[0]],
        }
    }

    /// Numbers that [`locate`](Self::locate) needs for copies of `rows` windows.
    pub fn copies_len(&self, reading: Reading, rows: usize) -> usize {
        match reading {
            Reading::Pixels | Reading::Taps => 0,
            Reading::Rows => rows * self.len() * self.channels,
        }
    }

    /// Where the windows `first..first + rows` are read, counted over all images, from channel
    /// `channel` on: fills `offsets`, `[piece][row]`, as [`crate::gemm::Product`] takes them; of
    /// windows that are equally far apart only those of the first.
    ///
    /// # Panics
    /// If `offsets` has another length than pieces times `rows`, `copies` is too short, or `x` has
    /// more numbers than fit offsets.
    pub fn locate<'a>(
        &self,
        reading: Reading,
        x: &[f32],
        [first, rows]: [usize; 2],
        channel: usize,
        offsets: &mut [u32],
        copies: &'a mut [f32],
    ) -> Located<'a> {
        // What is behind `x` is reached by offsets, too.
        let all = x.len() + PADDING_MAX.max(copies.len());
        assert!(u32::try_from(all).is_ok(), "offsets of {all} numbers fit");
        assert_eq!(offsets.len() % rows, 0, "an offset for each row and piece");
        if reading == Reading::Pixels {
            for to in offsets.iter_mut().take(1) {
                *to = offset(first * self.channels + channel);
            }
            return Located { edge: &ZEROS, step: Some(self.channels) };
        }
        let [height, width] = self.output;
        let (mut n, mut y) = (first / width / height, first / width % height);
        let (mut column, mut r) = (first % width, 0);
        // What takes divisions is found once for all places in a line.
        let inner = self.inner();
        if inner.start <= column && column + rows <= inner.end {
            let tap = Taps { at: [n, y, column], inside: [self.taps(0, y), 0..self.kernel[1]] };
            if self.contains(&tap) {
                match reading {
                    Reading::Rows => _ = self.each_row(&tap, rows, offsets),
                    _ => self.each_tap(x, &tap, channel, rows, offsets),
                }
                return Located { edge: &ZEROS, step: Some(self.strides[1] * self.channels) };
            }
        }
        while r < rows {
            let ys = self.taps(0, y);
            let end = width.min(column + rows - r);
            for column in column..end {
                let all = 0..self.kernel[1];
                let xs = if inner.contains(&column) { all } else { self.taps(1, column) };
                let tap = Taps { at: [n, y, column], inside: [ys.clone(), xs] };
                if reading == Reading::Taps {
                    self.each_tap(x, &tap, channel, rows, &mut offsets[r..]);
                } else if !self.each_row(&tap, rows, &mut offsets[r..]) {
                    let len = self.len() * self.channels;
                    let copy = &mut copies[r * len..][..len];
                    self.copy(x, &tap, copy);
                    for (y, to) in offsets[r..].iter_mut().step_by(rows).enumerate() {
                        *to = offset(x.len() + r * len + y * self.kernel[1] * self.channels);
                    }
                }
                r += 1;
            }
            column = 0;
            (n, y) = if y + 1 == height { (n + 1, 0) } else { (n, y + 1) };
        }
        Located { edge: if reading == Reading::Rows { copies } else { &ZEROS }, step: None }
    }

    /// Where the first tap is read at a place whose window is inside of the image.
    fn origin(&self, [n, y, column]: [usize; 3]) -> usize {
        let line = y * self.strides[0] - self.before[0];
        let column = column * self.strides[1] - self.before[1];
        n * self.image_len() + (line * self.image[1] + column) * self.channels
    }

    /// Offsets of a window's taps, `rows` apart.
    fn each_tap(&self, x: &[f32], taps: &Taps, channel: usize, rows: usize, offsets: &mut [u32]) {
        let [down, across] = [self.image[1] * self.channels, self.channels];
        let steps = [self.dilations[0] * down, self.dilations[1] * across];
        let mut places = offsets.iter_mut().step_by(rows);
        if self.contains(taps) {
            let mut line = self.origin(taps.at) + channel;
            for _ in 0..self.kernel[0] {
                let mut at = line;
                for to in places.by_ref().take(self.kernel[1]) {
                    *to = offset(at);
                    at += steps[1];
                }
                line += steps[0];
            }
            return;
        }
        let ([n, y, column], [ys, xs]) = (taps.at, &taps.inside);
        let image = n * self.image_len() + channel;
        let (y0, x0) = (y * self.strides[0], column * self.strides[1]);
        for i in 0..self.kernel[0] {
            let line = (y0 + i * self.dilations[0]).wrapping_sub(self.before[0]);
            for j in 0..self.kernel[1] {
                let Some(to) = places.next() else { return };
                *to = if ys.contains(&i) && xs.contains(&j) {
                    let column = x0 + j * self.dilations[1] - self.before[1];
                    offset(image + (line * self.image[1] + column) * self.channels)
                } else {
                    offset(x.len())
                };
            }
        }
    }

    /// Whether all taps are inside of the image.
    fn contains(&self, Taps { inside: [ys, xs], .. }: &Taps) -> bool {
        ys.len() == self.kernel[0] && xs.len() == self.kernel[1]
    }

    /// Offsets of a window's rows, `rows` apart, if it is inside of the image.
    fn each_row(&self, taps: &Taps, rows: usize, offsets: &mut [u32]) -> bool {
        let inside = self.contains(taps);
        if inside {
            let mut at = self.origin(taps.at);
            for to in offsets.iter_mut().step_by(rows).take(self.kernel[0]) {
                *to = offset(at);
                at += self.dilations[0] * self.image[1] * self.channels;
            }
        }
        inside
    }

    /// Copies a window of undilated columns, zeros for its padding.
    fn copy(&self, x: &[f32], taps: &Taps, copy: &mut [f32]) {
        let ([n, y, column], [ys, xs]) = (taps.at, &taps.inside);
        let line_len = self.kernel[1] * self.channels;
        for (i, line) in copy.chunks_exact_mut(line_len).enumerate() {
            line.fill(0.0);
            if ys.contains(&i) && !xs.is_empty() {
                let row = y * self.strides[0] + i * self.dilations[0] - self.before[0];
                let pixel =
                    row * self.image[1] + column * self.strides[1] + xs.start - self.before[1];
                let from = n * self.image_len() + pixel * self.channels;
                let part = &mut line[xs.start * self.channels..xs.end * self.channels];
                part.copy_from_slice(&x[from..from + part.len()]);
            }
        }
    }
}

/// What [`Window::locate`] found besides offsets.
#[derive(Clone, Copy, Debug)]
pub struct Located<'a> {
    /// What stands behind the images: offsets beyond their end count on here.
    pub edge: &'a [f32],
    /// Numbers between a window and the next, if they are equally far apart and inside of an image.
    pub step: Option<usize>,
}

/// A place of a window and its taps that are inside of the image.
struct Taps {
    /// Image, row and column.
    at: [usize; 3],
    inside: [Range<usize>; 2],
}

/// A place as `locate` tells it.
#[expect(clippy::cast_possible_truncation, reason = "`locate` has compared lengths with the most")]
fn offset(at: usize) -> u32 {
    at as u32
}

#[cfg(test)]
pub(crate) mod tests;
