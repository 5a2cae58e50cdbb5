//! Pictures: decoded, made to fit, and turned into the numbers that a network takes.
//!
//! Pixels are three bytes, red first, rows from the top; transparency is dropped, and a camera's
//! note of how it was held is followed. Resizing and grey follow Pillow to the byte, since that is
//! what most networks were trained behind. A file that claims more than 64 million pixels is
//! refused before they are made.

mod resize;

pub use resize::Filter;

use image::{DynamicImage, ImageDecoder as _, ImageReader, Limits};
use std::io::Cursor;

/// The largest side of a picture.
const SIDE_MAX: u32 = 1 << 16;
/// The most pixels of a picture.
const PIXELS_MAX: u64 = 1 << 26;

/// A picture in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    width: u32,
    height: u32,
    /// `[height, width, 3]`.
    pixels: Vec<u8>,
}

/// Why a picture cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PictureError {
    /// Not a JPEG or PNG file.
    #[error("is no picture: JPEG and PNG are read")]
    Other,
    /// The file is damaged, or holds what is not read.
    #[error("is damaged or cut short: {reason}")]
    Damaged {
        /// What the decoder says.
        reason: String,
    },
    /// More pixels than are read.
    #[error("has {width} × {height} pixels; at most 64 million are read")]
    TooLarge {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
}

/// Which numbers a pixel gives, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colours {
    /// Red, green, blue.
    #[default]
    Rgb,
    /// Blue, green, red.
    Bgr,
    /// One: how bright it is.
    Grey,
}

impl Colours {
    /// Numbers of a pixel.
    pub fn count(self) -> usize {
        match self {
            Self::Rgb | Self::Bgr => 3,
            Self::Grey => 1,
        }
    }
}

/// Where colours stand among a network's extents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `[colour, row, column]`.
    First,
    /// `[row, column, colour]`.
    Last,
}

/// How a picture of another shape is made to fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fit {
    /// Rows and columns are scaled each by its own factor.
    #[default]
    Stretch,
    /// Scaled until it covers everything; what stands over is cut off on both sides.
    Crop,
    /// Scaled until all of it is inside; the rest is black.
    Pad,
}

/// What becomes of a pixel's byte: `(byte * scale - mean) / deviation`, for each colour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalise {
    /// Applied first; 1/255 makes bytes numbers from 0 to 1.
    pub scale: f32,
    /// In the order of the colours that are given.
    pub mean: [f32; 3],
    /// In the order of the colours that are given.
    pub deviation: [f32; 3],
}

impl Default for Normalise {
    fn default() -> Self {
        Self { scale: 1.0 / 255.0, mean: [0.0; 3], deviation: [1.0; 3] }
    }
}

impl Picture {
    /// A picture of `[height, width, 3]` bytes, red first; none if there are not as many.
    pub fn new(width: u32, height: u32, pixels: Vec<u8>) -> Option<Self> {
        let bytes = u64::from(width) * u64::from(height) * 3;
        (width > 0 && height > 0 && pixels.len() as u64 == bytes).then_some(Self {
            width,
            height,
            pixels,
        })
    }

    /// Decodes a JPEG or PNG file.
    ///
    /// # Errors
    /// If it is none, damaged, or too large.
    pub fn decode(file: &[u8]) -> Result<Self, PictureError> {
        let damaged =
            |error: image::ImageError| PictureError::Damaged { reason: error.to_string() };
        let mut reader = ImageReader::new(Cursor::new(file))
            .with_guessed_format()
            .map_err(|error| PictureError::Damaged { reason: error.to_string() })?;
        if reader.format().is_none() {
            return Err(PictureError::Other);
        }
        let mut limits = Limits::default();
        limits.max_image_width = Some(SIDE_MAX);
        limits.max_image_height = Some(SIDE_MAX);
        limits.max_alloc = Some(PIXELS_MAX * 8);
        reader.limits(limits);
        let mut decoder = reader.into_decoder().map_err(|error| match error {
            image::ImageError::Unsupported(_) => PictureError::Other,
            other => damaged(other),
        })?;
        let (width, height) = decoder.dimensions();
        if u64::from(width) * u64::from(height) > PIXELS_MAX {
            return Err(PictureError::TooLarge { width, height });
        }
        let orientation = decoder.orientation().map_err(damaged)?;
        let mut decoded = DynamicImage::from_decoder(decoder).map_err(damaged)?;
        decoded.apply_orientation(orientation);
        let colours = decoded.into_rgb8();
        let (width, height) = colours.dimensions();
        Self::new(width, height, colours.into_raw())
            .ok_or_else(|| PictureError::Damaged { reason: "it has no pixels".into() })
    }

    /// Columns.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// `[height, width, 3]`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// As many columns and rows as are asked for.
    ///
    /// # Panics
    /// If one of them is 0 or above 2^16.
    #[must_use]
    pub fn fitted(&self, width: u32, height: u32, fit: Fit, filter: Filter) -> Self {
        assert!((1..=SIDE_MAX).contains(&width) && (1..=SIDE_MAX).contains(&height), "extents");
        let scaled = |by: f64, side: u32| -> u32 {
            #[expect(clippy::cast_possible_truncation, reason = "clamped to a side's range")]
            let scaled = (f64::from(side) * by).round().clamp(1.0, f64::from(SIDE_MAX)) as u32;
            scaled
        };
        let across = f64::from(width) / f64::from(self.width);
        let down = f64::from(height) / f64::from(self.height);
        match fit {
            Fit::Stretch => self.resized(width, height, filter),
            Fit::Crop => {
                let by = across.max(down);
                let (w, h) =
                    (scaled(by, self.width).max(width), scaled(by, self.height).max(height));
                self.resized(w, h, filter).window(width, height)
            }
            Fit::Pad => {
                let by = across.min(down);
                let (w, h) =
                    (scaled(by, self.width).min(width), scaled(by, self.height).min(height));
                self.resized(w, h, filter).window(width, height)
            }
        }
    }

    /// The shorter side made `side` long, the other in proportion, as torchvision's `Resize`.
    ///
    /// # Panics
    /// If `side` is 0 or above 2^16.
    #[must_use]
    pub fn shorter(&self, side: u32, filter: Filter) -> Self {
        assert!((1..=SIDE_MAX).contains(&side), "a side");
        let long = |long: u32, short: u32| {
            let long = u64::from(long) * u64::from(side) / u64::from(short);
            u32::try_from(long).unwrap_or(SIDE_MAX).clamp(1, SIDE_MAX)
        };
        let (width, height) = if self.width <= self.height {
            (side, long(self.height, self.width))
        } else {
            (long(self.width, self.height), side)
        };
        self.resized(width, height, filter)
    }

    /// The middle, or the whole with black around it.
    #[must_use]
    pub fn window(&self, width: u32, height: u32) -> Self {
        /// First places here and there, and how many are taken.
        fn span(from: u32, to: u32) -> (usize, usize, usize) {
            // Halves as torchvision's CenterCrop rounds them: to even.
            let half = |n: u32| (n / 2 + n % 2 * (n / 2 % 2)) as usize;
            if from >= to {
                (half(from - to), 0, to as usize)
            } else {
                (0, ((to - from) / 2) as usize, from as usize)
            }
        }
        let (left, x, across) = span(self.width, width);
        let (top, y, down) = span(self.height, height);
        let mut pixels = vec![0; width as usize * height as usize * 3];
        for row in 0..down {
            let from = ((top + row) * self.width as usize + left) * 3;
            let to = ((y + row) * width as usize + x) * 3;
            pixels[to..to + across * 3].copy_from_slice(&self.pixels[from..from + across * 3]);
        }
        Self { width, height, pixels }
    }

    /// The colours of each pixel as they are asked for, `[height, width, colours]`.
    pub fn bytes(&self, colours: Colours) -> Vec<u8> {
        let (pixels, _) = self.pixels.as_chunks::<3>();
        match colours {
            Colours::Rgb => self.pixels.clone(),
            Colours::Bgr => pixels.iter().flat_map(|&[r, g, b]| [b, g, r]).collect(),
            Colours::Grey => pixels.iter().map(|pixel| grey(*pixel)).collect(),
        }
    }

    /// Bytes in a network's layout; the picture is `[height, width, colours]` or
    /// `[colours, height, width]`.
    pub fn arranged(&self, colours: Colours, layout: Layout) -> Vec<u8> {
        let bytes = self.bytes(colours);
        let count = colours.count();
        match layout {
            Layout::First if count > 1 => (0..count)
                .flat_map(|colour| bytes.iter().skip(colour).step_by(count).copied())
                .collect(),
            _ => bytes,
        }
    }

    /// Numbers in a network's layout, as [`Picture::arranged`].
    pub fn numbers(&self, colours: Colours, layout: Layout, by: &Normalise) -> Vec<f32> {
        let bytes = self.arranged(colours, layout);
        let count = colours.count();
        let plane = (bytes.len() / count).max(1);
        let number = |(i, byte): (usize, &u8)| {
            let colour = match layout {
                Layout::First => i / plane,
                Layout::Last => i % count,
            };
            (f32::from(*byte) * by.scale - by.mean[colour]) / by.deviation[colour]
        };
        bytes.iter().enumerate().map(number).collect()
    }
}

/// How bright a pixel is, by the weights of ITU-R 601 in 16 bits.
fn grey([r, g, b]: [u8; 3]) -> u8 {
    let sum = u32::from(r) * 19_595 + u32::from(g) * 38_470 + u32::from(b) * 7_471 + 0x8000;
    (sum >> 16).to_le_bytes()[0]
}

#[cfg(test)]
mod tests;
