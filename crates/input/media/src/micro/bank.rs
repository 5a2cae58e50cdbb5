//! A bank of triangular filters on the mel scale, in 12-bit weights, and the roots of what they
//! gather.

use super::{CHANNELS, bits};

/// Fraction bits of a weight.
const BITS: u32 = 12;

/// The filters.
#[derive(Clone, Debug)]
pub(super) struct Bank {
    /// For each filter and the one behind the last: the first line of the spectrum, and for each
    /// line what rises here and what falls in the filter before.
    bands: Vec<(usize, Vec<[i16; 2]>)>,
}

fn mel(hertz: f32) -> f32 {
    1127.0 * (hertz / 700.0).ln_1p()
}

fn fixed(weight: f64) -> i16 {
    super::whole((weight * f64::from(1 << BITS) + 0.5).floor())
}

impl Bank {
    pub(super) fn new(rate: u32, lines: usize, channels: usize, [low, high]: [f32; 2]) -> Self {
        let width = rate as f32 / 2.0 / (lines as f32 - 1.0);
        let (bottom, top) = (mel(low), mel(high));
        let step = (top - bottom) / (channels + 1) as f32;
        let centre = |i: usize| bottom + step * (i + 1) as f32;
        let mut line = 1;
        // The constant part is never gathered.
        while line as f32 <= low / width + 0.5 {
            line += 1;
        }
        let mut bands = Vec::new();
        for i in 0..=channels {
            let first = line;
            let before = if i == 0 { bottom } else { centre(i - 1) };
            let mut weights = Vec::new();
            while mel(line as f32 * width) <= centre(i) {
                let weight = (centre(i) - mel(line as f32 * width)) / (centre(i) - before);
                let rest = 1.0 - f64::from(weight);
                weights.push([fixed(weight.into()), fixed(rest)]);
                line += 1;
            }
            bands.push((first, weights));
        }
        Self { bands }
    }

    /// What each filter gathers of the energies, as amplitudes before the shift.
    pub(super) fn apply(&self, energies: &[i32], shift: u32) -> [u32; CHANNELS] {
        let mut sums = [0u64; CHANNELS + 1];
        let mut falling = 0u64;
        for (sum, (first, weights)) in sums.iter_mut().zip(&self.bands) {
            let mut rising = falling;
            falling = 0;
            for ([weight, rest], energy) in weights.iter().zip(&energies[*first..]) {
                // A sum of squares that fills 32 bits counts as negative, as there.
                let energy = i64::from(*energy).cast_unsigned();
                rising =
                    rising.wrapping_add(i64::from(*weight).cast_unsigned().wrapping_mul(energy));
                falling =
                    falling.wrapping_add(i64::from(*rest).cast_unsigned().wrapping_mul(energy));
            }
            *sum = rising;
        }
        let mut out = [0; CHANNELS];
        for (out, sum) in out.iter_mut().zip(&sums[1..]) {
            *out = root(*sum) >> shift;
        }
        out
    }
}

/// The nearest whole root; below 2^32 at most 2^16 - 1.
fn root(x: u64) -> u32 {
    let root = x.isqrt();
    let most = if bits(x) <= 32 { 0xffff } else { 0xffff_ffff };
    let up = x - root * root > root && root != most;
    super::low32(root + u64::from(up))
}
