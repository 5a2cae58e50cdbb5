use super::*;
use crate::isa::scalar::fma;
use crate::samples::noise;
use crate::window::tests::windows;
use std::vec::Vec;

/// Element `c` at a place, as [`Statistic`] says it.
fn expected(window: &Window, statistic: Statistic<'_>, x: &[f32], at: [usize; 3], c: usize) -> f32 {
    let taps = (0..window.len()).map(|tap| (tap, [tap / window.kernel[1], tap % window.kernel[1]]));
    let found: Vec<(usize, f32)> =
        taps.filter_map(|(tap, place)| Some((tap, x[window.pixel(at, place)? + c]))).collect();
    match statistic {
        Statistic::Weighted { weights, bias, low, high } => {
            let first = bias.get(c).copied().unwrap_or(0.0);
            let add =
                |sum, &(tap, x): &(usize, f32)| fma(x, weights[tap * window.channels + c], sum);
            found.iter().fold(first, add).max(low).min(high)
        }
        Statistic::Largest => found.iter().fold(f32::NEG_INFINITY, |max, &(_, x)| max.max(x)),
        Statistic::Mean { count_padding } => {
            let padded = window.padded_taps(0, at[1]) * window.padded_taps(1, at[2]);
            let count = if count_padding { padded } else { found.len().max(1) };
            found.iter().fold(0.0, |sum, (_, x)| sum + x) / count as f32
        }
    }
}

#[test]
fn every_channel_has_its_own_windows_on_every_instruction_set() {
    for channels in [1, 7, 16, 40] {
        for window in windows(channels) {
            let x = noise(1, 2 * window.image_len());
            let weights = noise(2, window.len() * channels);
            let bias = noise(3, channels);
            let plain = Statistic::Weighted {
                weights: &weights,
                bias: &[],
                low: f32::NEG_INFINITY,
                high: f32::INFINITY,
            };
            let all = Statistic::Weighted { weights: &weights, bias: &bias, low: 0.0, high: 0.75 };
            let mean = |count_padding| Statistic::Mean { count_padding };
            for statistic in [plain, all, Statistic::Largest, mean(true), mean(false)] {
                let [h, w] = window.output;
                let elements = (0..2 * h * w * channels).map(|i| {
                    let at = i / channels;
                    expected(&window, statistic, &x, [at / w / h, at / w % h, at % w], i % channels)
                });
                let want: Vec<f32> = elements.collect();
                for isa in Isa::fused() {
                    let mut out = vec![f32::NAN; want.len()];
                    let (some, rest) = out.split_at_mut(w * channels);
                    slide(isa, &window, statistic, &x, 0, some);
                    slide(isa, &window, statistic, &x, 1, rest);
                    assert_eq!(out, want, "{isa} {window:?} {statistic:?}");
                }
            }
        }
    }
}

#[test]
fn the_largest_of_what_is_no_number_is_none() {
    let window = Window {
        image: [1, 3],
        channels: 2,
        kernel: [1, 3],
        strides: [1, 1],
        dilations: [1, 1],
        before: [0, 0],
        after: [0, 0],
        output: [1, 1],
    };
    for x in [[f32::NAN, 1.0, 2.0, 3.0, 4.0, f32::NAN], [1.0, f32::NAN, f32::NAN, 0.0, 1.0, 2.0]] {
        for isa in Isa::fused() {
            let mut out = [0.0; 2];
            slide(isa, &window, Statistic::Largest, &x, 0, &mut out);
            assert!(out.iter().all(|x| x.is_nan()), "{isa} {out:?}");
        }
    }
}
