//! Resizing with an average over what each new pixel covers, first along rows, then along columns.
//!
//! Weights have 22 fraction bits and the picture between the passes has bytes, as in Pillow's
//! `Resample.c`, so that results are the same bytes; Pillow 13 takes some pictures that become less
//! high along columns first, where a byte may differ by one. Where both sides stay, so do all pixels.

use super::Picture;

/// How pixels are averaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Filter {
    /// The nearest pixel.
    Nearest,
    /// A triangle over two pixels on either side.
    #[default]
    Bilinear,
    /// Cubic pieces over four pixels on either side, sharper at edges.
    Bicubic,
}

const FRACTION_BITS: u32 = 22;

impl Filter {
    /// Pixels on either side that count.
    fn reach(self) -> f64 {
        match self {
            Self::Nearest => 0.0,
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    /// What a pixel at this distance weighs.
    fn weight(self, distance: f64) -> f64 {
        /// Sharpness of the cubic pieces.
        const A: f64 = -0.5;
        let x = distance.abs();
        match self {
            Self::Bilinear => (1.0 - x).max(0.0),
            Self::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            Self::Nearest | Self::Bicubic => 0.0,
        }
    }

    /// For each new place along a side, the first old one and the weights from there on.
    fn line(self, from: u32, to: u32) -> Vec<(usize, Vec<i32>)> {
        let scale = f64::from(from) / f64::from(to);
        (0..to)
            .map(|place| {
                let centre = (f64::from(place) + 0.5) * scale;
                if self == Self::Nearest {
                    return (whole(centre).min(from as usize - 1), vec![1 << FRACTION_BITS]);
                }
                let wide = scale.max(1.0);
                let reach = self.reach() * wide;
                let first = whole((centre - reach + 0.5).max(0.0));
                let end = whole(centre + reach + 0.5).min(from as usize);
                let weights: Vec<f64> = (first..end)
                    .map(|x| self.weight((x as f64 - centre + 0.5) * (1.0 / wide)))
                    .collect();
                let sum: f64 = weights.iter().sum();
                (first, weights.iter().map(|weight| fixed(weight / sum)).collect())
            })
            .collect()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "places within a side, cut as wanted")]
fn whole(x: f64) -> usize {
    x as usize
}

#[expect(clippy::cast_possible_truncation, reason = "weights are at most 2")]
fn fixed(weight: f64) -> i32 {
    (weight * f64::from(1 << FRACTION_BITS) + 0.5f64.copysign(weight)) as i32
}

/// A weighted sum as a byte.
fn byte(sum: i32) -> u8 {
    let byte = sum.wrapping_add(1 << (FRACTION_BITS - 1)) >> FRACTION_BITS;
    byte.clamp(0, 255).to_le_bytes()[0]
}

impl Picture {
    /// With other extents.
    pub(super) fn resized(&self, width: u32, height: u32, filter: Filter) -> Self {
        let mut pixels = self.pixels.clone();
        if width != self.width {
            let line = filter.line(self.width, width);
            pixels = pixels
                .chunks_exact(self.width as usize * 3)
                .flat_map(|row| {
                    line.iter().flat_map(move |(first, weights)| {
                        [0, 1, 2].map(|colour| {
                            let old = row[first * 3 + colour..].iter().step_by(3);
                            byte(old.zip(weights).map(|(&x, w)| i32::from(x) * w).sum())
                        })
                    })
                })
                .collect();
        }
        if height != self.height {
            let row = width as usize * 3;
            let line = filter.line(self.height, height);
            let mut rows = Vec::with_capacity(row * height as usize);
            for (first, weights) in &line {
                let mut sums = vec![0i32; row];
                for (old, weight) in pixels[first * row..].chunks_exact(row).zip(weights) {
                    for (sum, &x) in sums.iter_mut().zip(old) {
                        *sum += i32::from(x) * weight;
                    }
                }
                rows.extend(sums.into_iter().map(byte));
            }
            pixels = rows;
        }
        Self { width, height, pixels }
    }
}
