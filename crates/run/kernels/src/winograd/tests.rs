use super::*;
use crate::samples::noise;
use std::vec::Vec;

/// Results as they are.
const PLAIN: Ending<'_> =
    Ending { bias: &[], residual: Residual::Absent, low: f32::NEG_INFINITY, high: f32::INFINITY };

/// A convolution by the sums that define it, with the sums of their magnitudes.
fn expected(window: &Window, x: &[f32], filters: &[f32], count: usize) -> Vec<[f64; 2]> {
    let [height, width] = window.output;
    let channels = window.channels;
    let mut all = Vec::new();
    for at in 0..height * width {
        for filter in filters.chunks_exact(9 * channels).take(count) {
            let mut sums = [0.0; 2];
            for (tap, weights) in filter.chunks_exact(channels).enumerate() {
                let y = (at / width + tap / 3).checked_sub(window.before[0]);
                let column = (at % width + tap % 3).checked_sub(window.before[1]);
                let (Some(y), Some(column)) = (y, column) else { continue };
                if y >= window.image[0] || column >= window.image[1] {
                    continue;
                }
                let pixel = &x[(y * window.image[1] + column) * channels..][..channels];
                for (a, b) in pixel.iter().zip(weights) {
                    let product = f64::from(*a) * f64::from(*b);
                    sums = [sums[0] + product, sums[1] + product.abs()];
                }
            }
            all.push(sums);
        }
    }
    all
}

/// A convolution by squares.
fn convolve(isa: Isa, squares: &Squares, x: &[f32], filters: &[f32], count: usize) -> Vec<f32> {
    let Squares { window, square } = *squares;
    let channels = window.channels;
    let [across, down] = squares.extents();
    let all = across * down;
    let pitch = all * channels + LANES;
    let mut values = vec![f32::NAN; square.points() * pitch];
    for first in 0..all {
        let rows = values.chunks_exact_mut(pitch);
        let mut rows: Vec<&mut [f32]> =
            rows.map(|row| &mut row[first * channels..][..channels]).collect();
        squares.spread(isa, x, first, &mut rows);
    }
    let panel = square.points() * channels * LANES;
    let mut panels = vec![f32::NAN; count.div_ceil(LANES) * panel];
    let pieces = filters.chunks(LANES * 9 * channels);
    for (panel, filters) in panels.chunks_exact_mut(panel).zip(pieces) {
        pack_filters(isa, square, filters, channels, panel);
    }
    let [height, width] = window.output;
    let mut out = vec![f32::NAN; height * width * count];
    for first in (0..count).step_by(PANELS * LANES) {
        let columns = (count - first).min(PANELS * LANES);
        let (own, next) = panels[first / LANES * panel..].split_at(columns / LANES * panel);
        let product =
            Product { square, channels, values: &values, pitch, count: all, panels: own, next };
        let each = square.points() * columns;
        let mut sums = vec![f32::NAN; all * each];
        multiply(isa, &product, &mut sums);
        for (i, sums) in sums.chunks_exact(each).enumerate() {
            let side = square.side();
            let mut results = vec![vec![0.0; columns]; side * side];
            let mut rows: Vec<&mut [f32]> = results.iter_mut().map(Vec::as_mut_slice).collect();
            gather(isa, square, sums, &PLAIN, &mut rows);
            for (j, result) in results.iter().enumerate() {
                let y = i / across * side + j / side;
                let column = i % across * side + j % side;
                if y < height && column < width {
                    let to = (y * width + column) * count + first;
                    out[to..to + columns].copy_from_slice(result);
                }
            }
        }
    }
    out
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn squares_give_the_sums_within_their_tolerance_on_every_instruction_set() {
    for (image, before, channels, count) in
        [([5, 9], [1, 1], 16, 48), ([8, 8], [0, 0], 48, 16), ([13, 6], [2, 1], 32, 32)]
    {
        let output = [image[0] + 2 * before[0] - 2, image[1] + 2 * before[1] - 2];
        let window = Window {
            image,
            channels,
            kernel: [3; 2],
            strides: [1; 2],
            dilations: [1; 2],
            before,
            after: before,
            output,
        };
        let (x, filters) = (noise(1, window.image_len()), noise(2, count * 9 * channels));
        let want = expected(&window, &x, &filters, count);
        for (square, loss) in [(Square::Two, 4e-7), (Square::Four, 4e-6)] {
            let squares = Squares { window, square };
            let all = convolve(Isa::SCALAR, &squares, &x, &filters, count);
            for (i, (have, [want, magnitude])) in all.iter().zip(&want).enumerate() {
                let error = (f64::from(*have) - want).abs();
                assert!(error <= loss * magnitude, "{square:?} {i}: {have} for {want}");
            }
            for isa in Isa::fused() {
                let same = convolve(isa, &squares, &x, &filters, count);
                assert_eq!(bits(&same), bits(&all), "{isa} {square:?}");
            }
        }
    }
}

#[test]
fn endings_and_borders_are_those_of_products() {
    let sums = noise(3, 36 * 32);
    let (bias, residual) = (noise(4, 32), noise(5, 16 * 32));
    let residual: Vec<&[f32]> = residual.chunks(32).collect();
    for isa in Isa::fused() {
        let mut plain = vec![[0.0; 32]; 16];
        let mut rows: Vec<&mut [f32]> = plain.iter_mut().map(|row| &mut row[..]).collect();
        gather(isa, Square::Four, &sums, &PLAIN, &mut rows);
        for there in [false, true] {
            let mut ended = vec![[7.0; 32]; 16];
            if there {
                for (row, residual) in ended.iter_mut().zip(&residual) {
                    row.copy_from_slice(residual);
                }
                ended[5] = [7.0; 32];
            }
            let mut rows: Vec<&mut [f32]> = ended.iter_mut().map(|row| &mut row[..]).collect();
            rows[5] = &mut [];
            let added = if there { Residual::There } else { Residual::Rows(&residual) };
            let ending = Ending { bias: &bias, residual: added, low: 0.0, high: 2.0 };
            gather(isa, Square::Four, &sums, &ending, &mut rows);
            for (i, (plain, ended)) in plain.iter().zip(&ended).enumerate() {
                for c in 0..32 {
                    let whole = (plain[c] + bias[c] + residual[i][c]).clamp(0.0, 2.0);
                    let want = if i == 5 { 7.0 } else { whole };
                    assert_eq!(ended[c].to_bits(), want.to_bits(), "{isa} {i} {c} {there}");
                }
            }
        }
    }
}
