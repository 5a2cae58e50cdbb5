use super::*;
use crate::isa::scalar::fma;
use crate::samples::noise;
use std::vec::Vec;

/// The product as this module's head says it.
fn expected(product: &Product<'_>, b: &[f32], columns: usize, rows: usize) -> Vec<Vec<f32>> {
    let read = |at: usize| match at.checked_sub(product.x.len()) {
        Some(at) => product.edge[at],
        None => product.x[at],
    };
    let element = |r: usize, n: usize| {
        let mut sum = product.bias.get(n).copied().unwrap_or(0.0);
        for (i, offsets) in product.offsets.chunks_exact(rows).enumerate() {
            for j in 0..product.piece {
                let k = i * product.piece + j;
                sum = fma(read(offsets[r] as usize + j), b[k * columns + n], sum);
            }
        }
        let sum = match product.residual {
            Residual::Rows(rows) => sum + rows[r][n],
            Residual::Absent | Residual::There => sum,
        };
        sum.max(product.low).min(product.high)
    };
    (0..rows).map(|r| (0..columns).map(|n| element(r, n)).collect()).collect()
}

#[test]
fn halves_become_the_singles_that_they_are() {
    let halves: Vec<F16> = (0..=u16::MAX).map(F16).filter(|half| !half.to_f32().is_nan()).collect();
    let halves = &halves[..halves.len() / LANES * LANES];
    let want: Vec<f32> = halves.iter().map(|half| half.to_f32()).collect();
    for isa in Isa::available() {
        let mut singles = vec![f32::NAN; halves.len()];
        widen(isa, halves, &mut singles);
        assert_eq!(singles, want, "{isa}");
    }
}

#[test]
fn products_are_the_chains_that_are_promised_on_every_instruction_set() {
    let x = noise(1, 700);
    let edge = [[0.0; 40], [1.5; 40]].concat();
    for (columns, pieces, piece) in
        [(1, 1, 1), (16, 1, 7), (17, 3, 5), (32, 9, 16), (47, 1, 64), (100, 2, 33), (160, 4, 0)]
    {
        let k = pieces * piece;
        let b = noise(2, k * columns);
        let mut panels = vec![f32::NAN; packed_len(columns, k)];
        pack_rows(&b, columns, &mut panels);
        let transposed: Vec<f32> =
            (0..columns * k).map(|i| b[i % k.max(1) * columns + i / k.max(1)]).collect();
        let mut same = vec![f32::NAN; panels.len()];
        pack_columns(&transposed, k, &mut same);
        assert_eq!(panels, same);
        let bias = noise(3, columns);
        let residual = noise(4, ROWS_MAX * columns);
        for isa in Isa::fused() {
            for rows in 1..=isa.rows() {
                let residual: Vec<&[f32]> = residual.chunks(columns).take(rows).collect();
                let places: Vec<u32> = (0..pieces * rows)
                    .map(|i| u32::try_from(if i % 4 == 1 { 690 + i % 40 } else { i * 31 % 600 }))
                    .map(|at| at.map(|at| if at >= 690 { at + 10 } else { at }).unwrap())
                    .collect();
                let apart = |step: u32| -> Vec<u32> {
                    let one = |i: usize| u32::try_from(i / rows * 31 % 150).unwrap();
                    let row = |i: usize| u32::try_from(i % rows).unwrap();
                    (0..pieces * rows).map(|i| one(i) + row(i) * step).collect()
                };
                let (near, far) = (apart(3), apart(40));
                for (plain, places, step) in [
                    (true, &places, None),
                    (false, &places, None),
                    (true, &near, Some(3)),
                    (false, &far, Some(40)),
                ] {
                    let product = Product {
                        x: &x,
                        edge: &edge,
                        offsets: places,
                        step,
                        piece,
                        panels: &panels,
                        bias: if plain { &[] } else { &bias },
                        residual: if plain { Residual::Absent } else { Residual::Rows(&residual) },
                        low: if plain { f32::NEG_INFINITY } else { -0.25 },
                        high: if plain { f32::INFINITY } else { 0.5 },
                        ahead: if plain { &[] } else { panels.as_chunks().0 },
                    };
                    let want = expected(&product, &b, columns, rows);
                    let mut out = vec![vec![f32::NAN; columns]; rows];
                    let mut rest: Vec<&mut [f32]> = out.iter_mut().map(Vec::as_mut_slice).collect();
                    if pieces > 0 {
                        multiply(isa, &product, &mut rest);
                    }
                    assert_eq!(out, want, "{isa} {rows}x{columns}, {pieces} pieces of {piece}");
                    if !plain && pieces > 0 {
                        let product = Product { residual: Residual::There, ..product };
                        let mut out: Vec<Vec<f32>> =
                            residual.iter().map(|row| row.to_vec()).collect();
                        let mut rest: Vec<&mut [f32]> =
                            out.iter_mut().map(Vec::as_mut_slice).collect();
                        multiply(isa, &product, &mut rest);
                        assert_eq!(out, want, "{isa} {rows}x{columns} in place");
                    }
                }
            }
        }
    }
}
