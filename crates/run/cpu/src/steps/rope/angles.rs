//! Angles of rotary positions (Su et al. 2021) and tables of their cosines and sines.
//!
//! A position's angles are multiplied up from pair to pair in single precision, as llama.cpp does
//! (decision 4: exact ones move logits by ten times as much as all other differences together, and
//! with it the rounding of activations); they never depend on the chunk that a position came in.
//! Frequencies may be divided by factors, interpolated linearly (Chen et al. 2023) or by YaRN
//! (Peng et al. 2023).

use core::f64::consts::PI;

/// How angles grow with position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Angles {
    /// Rotated elements of a head, even.
    pub(crate) dims: u32,
    /// Base of the geometric row of frequencies.
    pub(crate) base: f32,
    /// Factor on all frequencies, or the end of YaRN's blend.
    pub(crate) scale: f32,
    /// YaRN's blend, where used.
    pub(crate) yarn: Option<Blend>,
    /// Factor on cosine and sine.
    pub(crate) magnitude: f32,
}

/// YaRN's blend between original and interpolated frequencies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Blend {
    /// Weight of the original frequencies inside the ramp.
    pub(crate) mix: f32,
    /// Rotations above which a frequency is kept.
    pub(crate) beta_fast: f32,
    /// Rotations below which it is interpolated.
    pub(crate) beta_slow: f32,
    /// Positions that the model was trained on.
    pub(crate) original_positions: u32,
}

impl Angles {
    /// Elements of one row of a table: a cosine and a sine for each pair.
    pub(crate) fn width(&self) -> usize {
        self.dims as usize
    }

    /// The share of pair `pair`'s original frequency in its blend; the rest is interpolated.
    #[expect(clippy::cast_possible_truncation, reason = "blended in single precision")]
    fn kept(&self, pair: u32) -> f32 {
        let Some(yarn) = self.yarn else { return 0.0 };
        let dims = f64::from(self.dims);
        // The pair whose frequency makes `rotations` turns in the original positions.
        let pair_of = |rotations: f32| {
            let turns = f64::from(yarn.original_positions) / (f64::from(rotations) * 2.0 * PI);
            dims * turns.ln() / (2.0 * f64::from(self.base).ln())
        };
        let low = pair_of(yarn.beta_fast).floor().max(0.0);
        let high = pair_of(yarn.beta_slow).ceil().min(dims - 1.0);
        let ramp = (f64::from(pair) - low) / (high - low).max(0.001);
        (1.0 - ramp.clamp(0.0, 1.0)) as f32 * yarn.mix
    }

    /// Fills `table`, `[rows, dims]`: row t has the cosines, then the sines of position
    /// `first + t`.
    ///
    /// # Panics
    /// If `table` is no whole number of rows, or there are factors but not one a pair.
    #[expect(clippy::cast_possible_truncation, reason = "the table is in single precision")]
    pub(crate) fn fill(&self, first: u64, factors: Option<&[f32]>, table: &mut [f32]) {
        let pairs = self.dims as usize / 2;
        assert!(factors.is_none_or(|f| f.len() == pairs), "a factor for each pair");
        assert!(table.len().is_multiple_of(self.width()), "whole rows");
        let exponent = f64::from(-2.0 / self.dims as f32);
        let ratio = f64::from(self.base).powf(exponent) as f32;
        for (position, row) in (first..).zip(table.chunks_exact_mut(self.width())) {
            let (cosines, sines) = row.split_at_mut(pairs);
            let mut original = position as f32;
            for (at, (cosine, sine)) in cosines.iter_mut().zip(sines).enumerate() {
                let divided = original / factors.map_or(1.0, |factors| factors[at]);
                let interpolated = self.scale * divided;
                let angle = match self.kept(at as u32) {
                    0.0 => interpolated,
                    kept => interpolated * (1.0 - kept) + divided * kept,
                };
                // In double precision, so that every system's library gives the same bits.
                let (sin, cos) = f64::from(angle).sin_cos();
                *cosine = cos as f32 * self.magnitude;
                *sine = sin as f32 * self.magnitude;
                original *= ratio;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Angles = Angles { dims: 8, base: 10000.0, scale: 1.0, yarn: None, magnitude: 1.0 };

    fn table(angles: Angles, first: u64, rows: usize, factors: Option<&[f32]>) -> Vec<f32> {
        let mut table = vec![0.0; rows * angles.width()];
        angles.fill(first, factors, &mut table);
        table
    }

    #[test]
    fn angles_are_position_times_frequency() {
        let rows = table(PLAIN, 5, 3, None);
        assert_eq!(rows[8..16], table(PLAIN, 6, 1, None), "a row depends on its position only");
        for (pair, frequency) in [1.0f64, 0.1, 0.01, 0.001].into_iter().enumerate() {
            assert!((f64::from(rows[pair]) - (5.0 * frequency).cos()).abs() < 1e-7);
            assert!((f64::from(rows[4 + pair]) - (5.0 * frequency).sin()).abs() < 1e-7);
        }
    }

    #[test]
    fn factors_scale_and_magnitude_change_the_angles() {
        let factors = [1.0, 2.0, 4.0, 8.0];
        let angles = Angles { scale: 0.5, magnitude: 2.0, ..PLAIN };
        let row = table(angles, 16, 1, Some(&factors));
        assert!((row[1] - 2.0 * (16.0f32 * 0.1 / 2.0 * 0.5).cos()).abs() < 1e-6);
        assert!((row[4 + 3] - 2.0 * (16.0f32 * 0.001 / 8.0 * 0.5).sin()).abs() < 1e-6);
    }

    #[test]
    fn yarn_keeps_fast_pairs_and_interpolates_slow_ones() {
        let blend = Blend { mix: 1.0, beta_fast: 32.0, beta_slow: 1.0, original_positions: 4096 };
        let angles = Angles { dims: 64, scale: 0.25, yarn: Some(blend), ..PLAIN };
        assert!((angles.kept(0) - 1.0).abs() < 1e-6);
        assert!(angles.kept(31).abs() < 1e-6);
        assert!((0.1..0.9).contains(&angles.kept(16)), "{}", angles.kept(16));
        let row = table(angles, 1000, 1, None);
        let angle = |pair: u32| 1000.0 * 10000f64.powf(-2.0 * f64::from(pair) / 64.0);
        assert!((f64::from(row[0]) - angle(0).cos()).abs() < 1e-4);
        assert!((f64::from(row[31]) - (0.25 * angle(31)).cos()).abs() < 1e-6);
    }
}
