//! Codes by themselves: copies with a border, tables, and whole arrays of numbers scaled.
//!
//! What is copied changes its sign bit on the way, which makes signed codes of unsigned ones and
//! the other way round.

use super::{Scale, Word};
use crate::isa::{Isa, Kernel, LANES, Simd};

/// Copies bytes, each with the bits of `flip` turned.
///
/// # Panics
/// If the slices differ in length.
pub fn flip(x: &[u8], flip: u8, out: &mut [u8]) {
    assert_eq!(x.len(), out.len(), "as many bytes");
    if flip == 0 {
        out.copy_from_slice(x);
    } else {
        for (out, x) in out.iter_mut().zip(x) {
            *out = x ^ flip;
        }
    }
}

/// An image's lines with a border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Border {
    /// Lines of the image.
    pub lines: usize,
    /// Bytes of a line.
    pub line: usize,
    /// Bytes before a line.
    pub left: usize,
    /// Bytes of a line with its borders; what does not fit is left out.
    pub width: usize,
    /// What stands in the border.
    pub fill: u8,
    /// Bits that are turned in what is copied.
    pub flip: u8,
}

impl Border {
    /// Copies lines from `first` on, counted from the image's first, as many as `out` has whole.
    ///
    /// # Panics
    /// If `image` is shorter than its lines.
    pub fn copy(&self, image: &[u8], first: isize, out: &mut [u8]) {
        let inside = self.line.min(self.width.saturating_sub(self.left));
        for (y, out) in (first..).zip(out.chunks_exact_mut(self.width.max(1))) {
            let Some(y) = usize::try_from(y).ok().filter(|&y| y < self.lines) else {
                out.fill(self.fill);
                continue;
            };
            let (before, rest) = out.split_at_mut(self.left.min(self.width));
            let (middle, after) = rest.split_at_mut(inside);
            before.fill(self.fill);
            flip(&image[y * self.line..][..inside], self.flip, middle);
            after.fill(self.fill);
        }
    }
}

/// Bytes by a table of as many bytes.
///
/// # Panics
/// If the slices differ in length.
pub fn lookup(x: &[u8], flip: u8, table: &[u8; 256], out: &mut [u8]) {
    assert_eq!(x.len(), out.len(), "as many bytes");
    for (out, x) in out.iter_mut().zip(x) {
        *out = table[usize::from(x ^ flip)];
    }
}

/// Bytes by a table of words.
///
/// # Panics
/// If there are not as many words as bytes.
pub fn lookup_words(x: &[u8], flip: u8, table: &[[u8; 4]; 256], out: &mut [u8]) {
    let (out, _) = out.as_chunks_mut::<4>();
    assert_eq!(x.len(), out.len(), "as many words");
    for (out, x) in out.iter_mut().zip(x) {
        *out = table[usize::from(x ^ flip)];
    }
}

/// 32-bit integers scaled one by one: `[rows, channels]`, channel c by word c, or all by one word.
#[derive(Debug)]
pub struct Scaling<'a> {
    /// The integers, little-endian.
    pub x: &'a [u8],
    /// How they become numbers.
    pub scale: &'a Scale,
    /// A word for each channel, or one for all.
    pub words: &'a [Word],
    /// The numbers.
    pub out: &'a mut [u8],
}

impl Scaling<'_> {
    /// Computes it.
    ///
    /// # Panics
    /// If the slices do not fit each other.
    pub fn run(self, isa: Isa) {
        assert!(!self.words.is_empty(), "a word at least");
        assert_eq!(self.x.len() / 4 * self.scale.to.bytes(), self.out.len(), "as many numbers");
        isa.run(self);
    }
}

impl Kernel for Scaling<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (x, _) = self.x.as_chunks::<4>();
        let width = self.scale.to.bytes();
        let row = if self.words.len() == 1 { x.len() } else { self.words.len() };
        for (x, out) in x.chunks(row.max(1)).zip(self.out.chunks_mut(row.max(1) * width)) {
            let all = x.chunks(LANES).zip(out.chunks_mut(LANES * width));
            for (i, (x, out)) in all.enumerate() {
                let mut sums = [0; LANES];
                for (sum, x) in sums.iter_mut().zip(x) {
                    *sum = i32::from_le_bytes(*x);
                }
                let (mut factor, mut shift, mut mask) = ([0; LANES], [0; LANES], [0; LANES]);
                for lane in 0..x.len() {
                    let at = if self.words.len() == 1 { 0 } else { i * LANES + lane };
                    let word = self.words[at];
                    (factor[lane], shift[lane], mask[lane]) =
                        (word.factor, word.shift, word.mask());
                }
                let word = [s.load_i(&factor), s.load_i(&shift), s.load_i(&mask)];
                self.scale.store(s, s.load_i(&sums), word, out);
            }
        }
    }
}
