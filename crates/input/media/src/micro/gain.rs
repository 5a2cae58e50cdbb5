//! Gain control per channel: the louder the noise, the less a signal counts.

use super::{CHANNELS, CORRECTION_BITS, bits};

const GAIN_BITS: u32 = 21;
const SNR_BITS: u32 = 12;
const OUTPUT_BITS: u32 = 6;
const STRENGTH: f32 = 0.95;
const OFFSET: f32 = 80.0;
/// Fraction bits of the noise.
const INPUT_BITS: u32 = 10 - CORRECTION_BITS;

/// The gain over the noise: for each power of two a parabola.
#[derive(Clone, Debug)]
pub(super) struct Gain {
    /// Of 0 and 1.
    least: [i16; 2],
    /// From 2 on: value at the beginning, and two slopes.
    pieces: Vec<[i16; 3]>,
}

fn gain(noise: u32) -> i16 {
    let x = noise as f32 / (1 << INPUT_BITS) as f32 + OFFSET;
    let power = super::single(f64::from(x).powf(-f64::from(STRENGTH)));
    let gain = (1u32 << GAIN_BITS) as f32 * power;
    super::whole((gain + 0.5).into())
}

impl Gain {
    pub(super) fn new() -> Self {
        let piece = |interval: u32| {
            let begin = 1u32 << (interval - 1);
            let end = if interval == 32 { begin + (begin - 1) } else { 2 * begin };
            let first = i32::from(gain(begin));
            let half = i32::from(gain(begin + (begin >> 1))) - first;
            let whole = i32::from(gain(end)) - first;
            let slope = 4 * half - whole;
            [first, slope, whole - slope].map(super::low16)
        };
        Self { least: [gain(0), gain(1)], pieces: (2..=32).map(piece).collect() }
    }

    fn of(&self, noise: u32) -> u32 {
        if let Some(gain) = usize::try_from(noise).ok().and_then(|noise| self.least.get(noise)) {
            return i32::from(*gain).cast_unsigned();
        }
        let interval = bits(noise.into());
        let [first, slope, bend] = self.pieces[interval as usize - 2];
        // Of two, the beginning of its piece is all there is.
        if noise == 2 {
            return i32::from(first).cast_unsigned();
        }
        let part = if interval < 11 { noise << (11 - interval) } else { noise >> (interval - 11) };
        let part = (part & 0x3ff).cast_signed();
        let mut result = (i32::from(bend) * part) >> 5;
        result = result.wrapping_add(i32::from(slope) << 5);
        result = result.wrapping_mul(part);
        result = result.wrapping_add(1 << 14) >> 15;
        i32::from(super::low16(result + i32::from(first))).cast_unsigned()
    }

    pub(super) fn apply(&self, channels: &mut [u32; CHANNELS], noise: &[u32; CHANNELS]) {
        for (signal, noise) in channels.iter_mut().zip(noise) {
            let wide = u64::from(*signal).wrapping_mul(self.of(*noise).into());
            let ratio = super::low32(wide >> (GAIN_BITS - CORRECTION_BITS - SNR_BITS));
            *signal = if ratio < 2 << SNR_BITS {
                ratio.wrapping_mul(ratio) >> (2 + 2 * SNR_BITS - OUTPUT_BITS)
            } else {
                (ratio >> (SNR_BITS - OUTPUT_BITS)) - (1 << OUTPUT_BITS)
            };
        }
    }
}
