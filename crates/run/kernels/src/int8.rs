//! Integer networks: products, windows and tables over bytes, with sums scaled in registers.
//!
//! Arrays are `[…, channels]`. Bytes are signed or unsigned codes; what is multiplied is first
//! copied, with its border, into bytes that [`Simd::dot4`] takes, so that
//! no kernel knows borders or signs. Zero points of the operand become part of the bias; sums are
//! 32-bit integers that wrap, hence exact in any order, and [`scale`] rounds them as other
//! runtimes do. Every instruction set gives the same bytes.
//!
//! Follows Dukhan 2019 ("The Indirect Convolution Algorithm") in reading windows where they lie,
//! but for its table of pointers: rows of a window are contiguous in a copy that has the border.

pub mod scale;
pub mod product;
pub mod depthwise;
pub mod pool;
pub mod codes;

pub use depthwise::Depthwise;
pub use product::Product;
pub use scale::{Rounding, Scale, Word};

use crate::isa::{LANES, Simd};
use scale::write;

/// What 16 neighbouring channels add to their sums and how they scale them.
///
/// `words[0]` is added; the next are [`Word`]s: factors, shifts and masks. `words[4]` and
/// `words[5]` are what is known of each channel's [`Weights`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Params {
    words: [[i32; LANES]; 6],
}

impl Params {
    /// Nothing added, nothing scaled.
    pub const NONE: Self = Self { words: [[0; LANES]; 6] };

    /// Sets what channel `lane` adds, how it is scaled, and what its weights take from sums.
    ///
    /// # Panics
    /// If there is no such lane.
    pub fn set(&mut self, lane: usize, bias: i32, word: Word, weights: Weights) {
        let Weights { zero, total } = weights;
        let all = [bias, word.factor, word.shift, word.mask(), zero, total];
        for (words, value) in self.words.iter_mut().zip(all) {
            words[lane] = value;
        }
    }
}

/// What zero points of operands take from a channel's sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weights {
    /// The weights' own zero point.
    pub zero: i32,
    /// The sum of the weights, less their zero points: so often is the other operand's zero point
    /// taken, if it is not part of the bias.
    pub total: i32,
}

/// Where and how the sums of up to 16 channels of some positions are stored.
#[derive(Clone, Copy)]
struct Finish<'a> {
    scale: &'a Scale,
    params: &'a Params,
    /// Zero point of the bytes that were multiplied, unless it is part of the bias.
    x_zero: i32,
    /// Bytes from one position's result to the next.
    step: usize,
    /// Channels that are stored.
    lanes: usize,
}

impl Finish<'_> {
    /// Scales sums, and stores those of position `t` at `t * step`.
    #[inline(always)]
    fn store<S: Simd>(self, s: S, sums: &[[i32; LANES]], out: &mut [u8]) {
        let [bias, factor, shift, mask, _, total] = &self.params.words;
        let mut bias = s.load_i(bias);
        if self.x_zero != 0 {
            bias = s.sub_i(bias, s.mul_i(s.load_i(total), s.splat_i(self.x_zero)));
        }
        let word = [s.load_i(factor), s.load_i(shift), s.load_i(mask)];
        let width = self.lanes * self.scale.to.bytes();
        // What a network has most of is decided once, not for every sixteen sums.
        if let Some(way) = self.scale.steps(s) {
            for t in 0..sums.len() {
                let sum = s.add_i(s.load_i(&sums[t]), bias);
                let out = &mut out[t * self.step..][..width];
                write(s, self.scale.to, way.numbers(s, sum, word), out);
            }
            return;
        }
        for t in 0..sums.len() {
            let sum = s.add_i(s.load_i(&sums[t]), bias);
            let out = &mut out[t * self.step..][..width];
            self.scale.store(s, sum, word, out);
        }
    }
}

#[cfg(test)]
mod tests;
