//! Rows woven into one: their first elements, then their second ones, and so on.
//!
//! This is how a few planes become pixels and how a few groups of channels are shuffled. Nothing is
//! computed; the loops are plain, and compiled with each instruction set's registers.

use crate::isa::{Isa, Kernel, Simd};

/// The most rows that are woven at once.
pub const ROWS_MAX: usize = 8;

/// Writes `out[i * rows + r] = rows[r][i]`, for elements of `W` bytes.
///
/// # Panics
/// If there are fewer than two rows or more than [`ROWS_MAX`], or rows and `out` do not have as
/// many elements.
pub fn weave<const W: usize>(isa: Isa, rows: &[&[[u8; W]]], out: &mut [[u8; W]]) {
    match rows.len() {
        2 => weave_of::<W, 2>(isa, rows, out),
        3 => weave_of::<W, 3>(isa, rows, out),
        4 => weave_of::<W, 4>(isa, rows, out),
        5 => weave_of::<W, 5>(isa, rows, out),
        6 => weave_of::<W, 6>(isa, rows, out),
        7 => weave_of::<W, 7>(isa, rows, out),
        8 => weave_of::<W, 8>(isa, rows, out),
        rows => panic!("{rows} rows are not woven"),
    }
}

fn weave_of<const W: usize, const R: usize>(isa: Isa, rows: &[&[[u8; W]]], out: &mut [[u8; W]]) {
    let (out, rest) = out.as_chunks_mut::<R>();
    assert!(rest.is_empty(), "whole turns");
    let rows: [&[[u8; W]]; R] = core::array::from_fn(|r| &rows[r][..out.len()]);
    isa.run(Weave { rows, out });
}

struct Weave<'a, 'o, const W: usize, const R: usize> {
    rows: [&'a [[u8; W]]; R],
    out: &'o mut [[[u8; W]; R]],
}

impl<const W: usize, const R: usize> Kernel for Weave<'_, '_, W, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { rows, out } = self;
        assert!(rows.iter().all(|row| row.len() == out.len()), "rows of one length");
        for i in 0..out.len() {
            for r in 0..R {
                out[i][r] = rows[r][i];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<const W: usize>(count: usize, len: usize) {
        let byte = |i: usize| u8::try_from(i % 251).expect("below 251");
        let rows: Vec<Vec<[u8; W]>> = (0..count)
            .map(|r| (0..len).map(|i| core::array::from_fn(|b| byte(r * 83 + i * W + b))).collect())
            .collect();
        let want: Vec<[u8; W]> =
            (0..len).flat_map(|i| rows.iter().map(move |row| row[i])).collect();
        let rows: Vec<&[[u8; W]]> = rows.iter().map(Vec::as_slice).collect();
        for isa in Isa::available() {
            let mut out = vec![[0; W]; len * count];
            weave(isa, &rows, &mut out);
            assert!(out == want, "{count} rows of {len} elements of {W} bytes, {isa}");
        }
    }

    #[test]
    fn rows_take_turns() {
        for count in 2..=ROWS_MAX {
            for len in [0, 1, 7, 16, 68, 333] {
                check::<1>(count, len);
                check::<2>(count, len);
                check::<4>(count, len);
            }
        }
    }
}
