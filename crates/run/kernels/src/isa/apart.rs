//! Rows of one slice that are equally far apart: one check for all of them.
//!
//! Kernels take many rows at a time and then read each through a slice of its own; where the rows
//! stand in steps, the last one is the only one that could end behind the slice.

/// `N` rows of `len` numbers each, whose beginnings are `step` apart; they may overlap.
///
/// # Panics
/// If a row ends behind `from`.
#[inline(always)]
#[expect(unsafe_code, reason = "one check stands for all rows")]
pub(crate) fn rows_apart<const N: usize>(from: &[f32], step: usize, len: usize) -> [&[f32]; N] {
    assert!(N <= 64 && (N <= 1 || step <= from.len()), "no sum overflows");
    let last = N.saturating_sub(1) * step;
    assert!(last <= from.len() && len <= from.len() - last, "rows inside of the slice");
    core::array::from_fn(|n| {
        // SAFETY: row `n` ends no later than the last one, which was just seen to end inside of
        // `from`; the numbers are initialised and borrowed as long as the row is.
        unsafe { core::slice::from_raw_parts(from.as_ptr().wrapping_add(n * step), len) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::noise;

    #[test]
    fn rows_begin_a_step_apart() {
        let from = noise(1, 40);
        for (step, len) in [(0, 40), (3, 5), (5, 3), (10, 10), (13, 1)] {
            let rows: [&[f32]; 4] = rows_apart(&from, step, len);
            for (n, row) in rows.iter().enumerate() {
                assert_eq!(*row, &from[n * step..][..len], "{step} {len}");
            }
        }
    }

    #[test]
    #[cfg(panic = "unwind")]
    fn rows_behind_the_end_are_refused() {
        for (step, len) in [(0, 41), (12, 5), (13, 2), (usize::MAX / 2, 0)] {
            let caught =
                std::panic::catch_unwind(|| rows_apart::<4>(&noise(1, 40), step, len).len());
            assert!(caught.is_err(), "{step} {len}");
        }
    }
}
