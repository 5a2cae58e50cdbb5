use super::*;
use crate::samples::noise;
use std::vec::Vec;

/// Windows of all sorts over images of 5 by 6 and their like.
pub(crate) fn windows(channels: usize) -> Vec<Window> {
    let plain = Window {
        image: [5, 6],
        channels,
        kernel: [3, 3],
        strides: [1, 1],
        dilations: [1, 1],
        before: [1, 1],
        after: [1, 1],
        output: [5, 6],
    };
    vec![
        plain,
        Window { kernel: [1, 1], before: [0; 2], after: [0; 2], ..plain },
        Window { kernel: [1, 1], before: [0; 2], after: [0; 2], strides: [2, 2], ..plain },
        Window { strides: [2, 1], kernel: [5, 4], before: [3, 0], after: [1, 2], ..plain },
        Window { dilations: [2, 3], before: [4, 0], after: [0, 7], ..plain },
        Window { image: [1, 40], kernel: [1, 7], before: [0, 3], after: [0, 3], ..plain },
        Window { image: [3, 2], kernel: [7, 7], before: [3, 3], after: [3, 3], ..plain },
    ]
    .into_iter()
    .map(Window::fitted)
    .collect()
}

impl Window {
    /// The same with the output that its padding gives.
    fn fitted(mut self) -> Self {
        for d in 0..2 {
            let span = (self.kernel[d] - 1) * self.dilations[d] + 1;
            let room = self.image[d] + self.before[d] + self.after[d] - span;
            self.output[d] = room / self.strides[d] + 1;
        }
        self
    }

    /// What tap `[i, j]` of window `[n, y, x]` reads: its pixel's first number, or none in padding.
    pub(crate) fn pixel(&self, [n, y, x]: [usize; 3], [i, j]: [usize; 2]) -> Option<usize> {
        let line = (y * self.strides[0] + i * self.dilations[0]).checked_sub(self.before[0])?;
        let column = (x * self.strides[1] + j * self.dilations[1]).checked_sub(self.before[1])?;
        let inside = line < self.image[0] && column < self.image[1];
        let pixel = (n * self.image[0] + line) * self.image[1] + column;
        inside.then_some(pixel * self.channels)
    }
}

#[test]
fn windows_are_read_tap_by_tap_with_zeros_around() {
    for channels in [1, 3, 16] {
        for window in windows(channels) {
            let x = noise(1, 2 * window.image_len());
            let places = window.output[0] * window.output[1];
            for reading in [window.reading(channels), Reading::Taps] {
                let [piece, pieces] = window.pieces(reading, channels);
                for (first, rows) in [(0, 7), (places - 1, 7), (places + 1, 3)] {
                    let rows = rows.min(2 * places - first);
                    let mut offsets = vec![0; rows * pieces];
                    let mut copies = vec![f32::NAN; window.copies_len(reading, rows)];
                    let located =
                        window.locate(reading, &x, [first, rows], 0, &mut offsets, &mut copies);
                    let all = [&x, located.edge].concat();
                    for r in 0..rows {
                        let mut found = Vec::new();
                        for p in 0..pieces {
                            let at = match located.step {
                                Some(step) => offsets[p * rows] as usize + r * step,
                                None => offsets[p * rows + r] as usize,
                            };
                            found.extend_from_slice(&all[at..at + piece]);
                        }
                        let (at, [h, w]) = (first + r, window.output);
                        let at = [at / w / h, at / w % h, at % w];
                        let taps =
                            (0..window.len()).map(|t| [t / window.kernel[1], t % window.kernel[1]]);
                        let want: Vec<f32> = taps
                            .flat_map(|tap| match window.pixel(at, tap) {
                                Some(pixel) => x[pixel..pixel + channels].to_vec(),
                                None => vec![0.0; channels],
                            })
                            .collect();
                        assert_eq!(found, want, "{window:?} {reading:?} {at:?}");
                    }
                }
            }
        }
    }
}
