//! Rotary positions (Su et al. 2021): pairs of a head turn by an angle that grows with position.
//!
//! The angles come as a table of cosines and sines, one row a position, made by the caller; here
//! heads are turned by a row of it.

use crate::isa::{Isa, Kernel, Simd};

/// Which elements form a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairs {
    /// `(x[2i], x[2i + 1])`.
    Interleaved,
    /// `(x[i], x[i + dims / 2])`.
    Half,
}

/// Turns the pairs of every head of a row by a row of a table; what is beyond `dims` stays.
///
/// `row`: whole heads of `head_dim`; `turn`: `[dims]`, the cosines of all pairs, then their sines.
///
/// # Panics
/// If a head is shorter than the table's row.
pub fn turn(isa: Isa, pairs: Pairs, row: &mut [f32], head_dim: usize, turn: &[f32]) {
    assert!(turn.len() <= head_dim, "{} of {head_dim} elements", turn.len());
    isa.run(Turn { pairs, row, head_dim, angles: turn });
}

/// Arguments of [`turn`].
struct Turn<'a> {
    pairs: Pairs,
    row: &'a mut [f32],
    head_dim: usize,
    angles: &'a [f32],
}

impl Kernel for Turn<'_> {
    type Output = ();

    /// Plain products and sums, never fused: every compiler's vectors give the same bits.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let (cosines, sines) = self.angles.split_at(self.angles.len() / 2);
        let sines = &sines[..cosines.len()];
        for head in self.row.chunks_exact_mut(self.head_dim) {
            let head = &mut head[..self.angles.len()];
            match self.pairs {
                Pairs::Interleaved => {
                    let (pairs, _) = head.as_chunks_mut::<2>();
                    let pairs = &mut pairs[..cosines.len()];
                    for i in 0..cosines.len() {
                        let [a, b] = pairs[i];
                        pairs[i] = [a * cosines[i] - b * sines[i], a * sines[i] + b * cosines[i]];
                    }
                }
                Pairs::Half => {
                    let (low, high) = head.split_at_mut(cosines.len());
                    let high = &mut high[..low.len()];
                    for i in 0..cosines.len() {
                        let (a, b) = (low[i], high[i]);
                        low[i] = a * cosines[i] - b * sines[i];
                        high[i] = a * sines[i] + b * cosines[i];
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_turn_by_their_angles_on_every_instruction_set() {
        let angles = [0.5f32, 1.0, 2.0, -3.0];
        let table: [f32; 8] =
            core::array::from_fn(|i| if i < 4 { angles[i].cos() } else { angles[i - 4].sin() });
        for isa in Isa::available() {
            for (pairs, place) in [
                (Pairs::Half, [[0, 4], [1, 5], [2, 6], [3, 7]]),
                (Pairs::Interleaved, [[0, 1], [2, 3], [4, 5], [6, 7]]),
            ] {
                // Two heads of ten elements, of which eight turn.
                let row: [f32; 20] = core::array::from_fn(|i| [0.3, -1.0, 2.0, 5.0, 0.1][i % 5]);
                let mut turned = row;
                turn(isa, pairs, &mut turned, 10, &table);
                for head in [0, 10] {
                    for ([i, j], angle) in place.iter().zip(angles) {
                        let (a, b) = (row[head + i], row[head + j]);
                        let (sin, cos) = angle.sin_cos();
                        assert!((turned[head + i] - (a * cos - b * sin)).abs() < 1e-6);
                        assert!((turned[head + j] - (a * sin + b * cos)).abs() < 1e-6);
                    }
                    assert_eq!(turned[head + 8..head + 10], row[head + 8..head + 10]);
                }
            }
        }
    }
}
