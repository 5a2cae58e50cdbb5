//! Bands of an image: the lines that some lines of a result read, with their border, as the
//! kernels want their bytes.
//!
//! A band is copied into scratch that stays in a near cache. Where there is no border and bytes
//! need no change, the image itself is read.

use super::layer::Layer;
use core::ops::Range;
use kernels::int8::codes::{Border, flip};

/// Bytes of a band, if one line of the result needs no more.
const CACHED: usize = 24 << 10;

/// Bytes that kernels may read behind a band.
const BEHIND: usize = 64;

/// How a layer's image is cut.
#[derive(Debug)]
pub(super) struct Bands {
    /// Lines of the result in an image of it.
    lines: usize,
    /// Bytes of an image.
    image: usize,
    stride: usize,
    before: usize,
    border: Border,
    /// Lines of the result of a band.
    band: usize,
    /// Bytes of a band of that many lines.
    bytes: usize,
    /// Whether the image itself is read.
    in_place: bool,
    /// Whether bands are the image's lines, one behind the other.
    plain: bool,
}

impl Bands {
    /// The bands of a layer whose bytes change by `flip`.
    pub(super) fn new(layer: &Layer, flip: u8) -> Self {
        let width = layer.width() * layer.channels;
        let lines = layer.out[0];
        let most = (CACHED / width.max(1)).saturating_sub(layer.height(1)) / layer.strides[0] + 1;
        // Tiles are of eight positions.
        let tile = 8usize.div_ceil(layer.out[1]);
        let band = if most > tile { most / tile * tile } else { most }.min(lines);
        let border = Border {
            lines: layer.image[0],
            line: layer.image[1] * layer.channels,
            left: layer.before[1] * layer.channels,
            width,
            flip,
        };
        let bytes = layer.height(band) * width;
        let plain = layer.is_inside() && border.line == width;
        Self {
            lines,
            image: layer.image[0] * border.line,
            stride: layer.strides[0],
            before: layer.before[0],
            border,
            band,
            bytes,
            in_place: false,
            plain,
        }
    }

    /// Reads the image itself where nothing has to change; `whole` says that no kernel reads
    /// behind it.
    pub(super) fn in_place(mut self, layer: &Layer, whole: bool) -> Self {
        self.in_place = whole && layer.is_inside() && self.border.flip == 0;
        if self.in_place {
            self.band = self.lines;
        }
        self
    }

    /// Bytes from a line of a band to the next.
    pub(super) fn line(&self) -> usize {
        if self.in_place { self.border.line } else { self.border.width }
    }

    /// Scratch of a thread.
    pub(super) fn scratch(&self) -> usize {
        (self.bytes + BEHIND).next_multiple_of(64)
    }

    /// Calls `job(band, first, count)` for bands of lines `lines` of all images' results: `count`
    /// lines from `first` on, counted from the beginning of `lines`. The border holds `fill`.
    pub(super) fn each(
        &self,
        (x, fill): (&[u8], u8),
        scratch: &mut [u8],
        lines: Range<usize>,
        mut job: impl FnMut(&[u8], usize, usize),
    ) {
        let mut line = lines.start;
        while line < lines.end {
            // A division takes longer than a small product.
            let (image, y) =
                if line < self.lines { (0, line) } else { (line / self.lines, line % self.lines) };
            let count = self.band.min(self.lines - y).min(lines.end - line);
            let image = &x[image * self.image..];
            let first = line - lines.start;
            line += count;
            if self.in_place {
                job(&image[y * self.stride * self.border.line..], first, count);
                continue;
            }
            let rows = self.bytes / self.border.width - (self.band - count) * self.stride;
            let (band, _) = scratch.split_at_mut(rows * self.border.width + BEHIND);
            let top = (y * self.stride).cast_signed() - self.before.cast_signed();
            let (copied, _) = band.split_at_mut(rows * self.border.width);
            if self.plain {
                let from = y * self.stride * self.border.width;
                flip(&image[from..from + copied.len()], self.border.flip, copied);
            } else {
                self.border.copy(&image[..self.image], top, fill, copied);
            }
            job(band, first, count);
        }
    }
}
