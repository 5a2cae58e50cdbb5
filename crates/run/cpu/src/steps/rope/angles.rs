//! Angles of rotary positions (Su et al. 2021) and tables of their cosines and sines.
//!
//! Angles are computed in double precision once for each position of a run and stored in single
//! precision, so that a position's rotation never depends on the chunk it came in. Frequencies may
//! be divided by factors, interpolated linearly (Chen et al. 2023) or by YaRN (Peng et al. 2023).

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

    /// The angle of pair `pair` at position 1.
    fn frequency(&self, pair: u32, factor: f32) -> f64 {
        let dims = f64::from(self.dims);
        let base = f64::from(self.base);
        let kept = base.powf(-2.0 * f64::from(pair) / dims) / f64::from(factor);
        let interpolated = kept * f64::from(self.scale);
        let Some(yarn) = self.yarn else { return interpolated };
        // The pair whose frequency makes `rotations` turns in the original positions.
        let pair_of = |rotations: f32| {
            let turns = f64::from(yarn.original_positions) / (f64::from(rotations) * 2.0 * PI);
            dims * turns.ln() / (2.0 * base.ln())
        };
        let low = pair_of(yarn.beta_fast).floor().max(0.0);
        let high = pair_of(yarn.beta_slow).ceil().min(dims - 1.0);
        let ramp = (f64::from(pair) - low) / (high - low).max(0.001);
        let share = (1.0 - ramp.clamp(0.0, 1.0)) * f64::from(yarn.mix);
        interpolated * (1.0 - share) + kept * share
    }

    /// Fills `table`, `[rows, dims]`: row t has the cosines, then the sines of position
    /// `first + t`.
    ///
    /// # Panics
    /// If `table` is no whole number of rows, or there are factors but not one a pair.
    #[expect(clippy::cast_possible_truncation, reason = "the table is in single precision")]
    pub(crate) fn fill(&self, first: u64, factors: Option<&[f32]>, table: &mut [f32]) {
        let pairs = self.dims / 2;
        assert!(factors.is_none_or(|f| f.len() == pairs as usize), "a factor for each pair");
        assert!(table.len().is_multiple_of(self.width()), "whole rows");
        for pair in 0..pairs {
            let at = pair as usize;
            let frequency = self.frequency(pair, factors.map_or(1.0, |factors| factors[at]));
            for (t, row) in table.chunks_exact_mut(self.width()).enumerate() {
                let (sin, cos) = ((first + t as u64) as f64 * frequency).sin_cos();
                let (cosines, sines) = row.split_at_mut(pairs as usize);
                cosines[at] = cos as f32 * self.magnitude;
                sines[at] = sin as f32 * self.magnitude;
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
        let kept = |pair: u32| 10000f64.powf(-2.0 * f64::from(pair) / 64.0);
        assert!((angles.frequency(0, 1.0) - kept(0)).abs() < 1e-12);
        assert!((angles.frequency(31, 1.0) - 0.25 * kept(31)).abs() < 1e-12);
        let between = angles.frequency(16, 1.0) / kept(16);
        assert!((0.25..1.0).contains(&between), "{between}");
    }
}
