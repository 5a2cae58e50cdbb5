//! Every kernel on every instruction set against plain loops, every way of rounding against its
//! definition in wide integers.
#![expect(clippy::cast_possible_truncation, reason = "random bits are cut to size")]

use super::{
    codes::{Border, Scaling},
    depthwise::Line,
    pool::{Statistic, Window},
    product::{Places, Runs, pack},
    scale::{To, exact},
    *,
};
use crate::{isa::Isa, samples::Bits};

const WAYS: [Rounding; 6] = [
    Rounding::Double,
    Rounding::DoubleUp,
    Rounding::SingleAway,
    Rounding::Fp32Even,
    Rounding::Q8,
    Rounding::Reduced,
];

const TYPES: [To; 4] = [To::I8, To::U8, To::I16, To::I32];

/// A factor of the size that trained networks have, or an awkward one.
fn factor(bits: &mut Bits) -> f64 {
    let awkward =
        [0.5, 0.25, 1.0, 2.0, 3.5, 0.0, 0.75, 1e-12, 1e-9, 1e6, 0.999_999_999_9, f64::INFINITY];
    match bits.next() % 4 {
        0 => bits.pick(&awkward),
        1 => f64::from(bits.unit().abs()),
        _ => f64::from(bits.unit().abs()) / 512.0,
    }
}

fn sum(bits: &mut Bits) -> i32 {
    let awkward = [0, 1, -1, 2, -2, 3, -3, i32::MAX, i32::MIN, i32::MIN + 1, 1 << 30];
    match bits.next() % 3 {
        0 => bits.pick(&awkward),
        1 => (bits.next() as i32) >> 12,
        _ => bits.next() as i32,
    }
}

fn scale(bits: &mut Bits, way: Rounding) -> Scale {
    let to = bits.pick(&TYPES);
    let (low, high, zero) = match to {
        To::I8 => (-128, 127, (bits.next() as i8).into()),
        To::U8 => (0, 255, (bits.next() as u8).into()),
        To::I16 => (-32_768, 32_767, 0),
        To::I32 => (i32::MIN, i32::MAX, 0),
    };
    let held = bits.pick(&[(low, high), (low.max(zero), high), (low / 2, high / 3)]);
    Scale::new(way, zero, held, to)
}

/// A number's bytes.
fn put(to: To, number: i32, out: &mut Vec<u8>) {
    out.extend_from_slice(&number.to_le_bytes()[..to.bytes()]);
}

#[test]
fn ties_go_where_each_way_sends_them() {
    use Rounding::{Double, DoubleUp, Fp32Even, SingleAway};
    let cases = [
        (3, 0.5, [2, 2, 2, 2]),
        (-3, 0.5, [-1, -1, -2, -2]),
        (1, 0.5, [1, 1, 1, 0]),
        (-1, 0.5, [0, 0, -1, 0]),
        (5, 0.25, [2, 2, 1, 1]),
        (6, 0.25, [2, 2, 2, 2]),
        (-6, 0.25, [-2, -1, -2, -2]),
        (7, 3.0, [21, 21, 21, 21]),
        (100, 0.0, [0, 0, 0, 0]),
    ];
    for (x, factor, want) in cases {
        let word = |way| Word::new(way, factor);
        let got = [Double, DoubleUp, SingleAway, Fp32Even].map(|way| exact(way, x, word(way)));
        assert_eq!(got, want, "{x} * {factor}");
    }
    assert_eq!(exact(Rounding::Q8, 10, Word::new(Rounding::Q8, 0.55)), 6);
}

#[test]
fn sums_are_scaled_alike_in_lanes_and_one_by_one() {
    let mut bits = Bits(7);
    for case in 0..3000 {
        let way = WAYS[case % WAYS.len()];
        let count = bits.pick(&[1, 5, 16, 24]);
        let words: Vec<Word> = (0..count).map(|_| Word::new(way, factor(&mut bits))).collect();
        let scale = scale(&mut bits, way).of(words.iter().copied());
        let rows = 3;
        let sums: Vec<i32> = (0..rows * words.len()).map(|_| sum(&mut bits)).collect();
        let mut want = Vec::new();
        for (i, &x) in sums.iter().enumerate() {
            put(scale.to(), scale.number(x.into(), words[i % words.len()]), &mut want);
        }
        let x: Vec<u8> = sums.iter().flat_map(|x| x.to_le_bytes()).collect();
        for isa in Isa::available() {
            let mut out = vec![0; want.len()];
            Scaling { x: &x, scale: &scale, words: &words, out: &mut out }.run(isa);
            assert_eq!(out, want, "{isa}, case {case}: {scale:?} {words:?} {sums:?}");
        }
    }
}

/// A convolution over an image of bytes with its border, written out.
struct Image {
    lines: usize,
    columns: usize,
    channels: usize,
    bytes: Vec<u8>,
}

impl Image {
    fn new(bits: &mut Bits, lines: usize, columns: usize, channels: usize) -> Self {
        let bytes = (0..lines * columns * channels).map(|_| bits.next() as u8).collect();
        Self { lines, columns, channels, bytes }
    }

    fn at(&self, y: usize, x: usize, c: usize) -> u8 {
        self.bytes[(y * self.columns + x) * self.channels + c]
    }
}

fn parameters(bits: &mut Bits, way: Rounding, channels: usize, w_zero: bool) -> Vec<Channel> {
    let make = |_| {
        let word = Word::new(way, factor(bits));
        let w_zero = if w_zero { (bits.next() as i8).into() } else { 0 };
        Channel { bias: (bits.next() as i32) >> 14, word, w_zero }
    };
    (0..channels).map(make).collect()
}

struct Channel {
    bias: i32,
    word: Word,
    w_zero: i32,
}

impl Channel {
    /// What zero points take, of so many weights with this sum.
    fn weights(&self, sum: i32, count: usize) -> Weights {
        let count = i32::try_from(count).expect("a small window");
        Weights { zero: self.w_zero, total: sum - self.w_zero * count }
    }
}

fn params(channels: &[Channel], sum: impl Fn(usize) -> i32, count: usize) -> Vec<Params> {
    let mut params = vec![Params::NONE; channels.len().div_ceil(LANES)];
    for (c, channel) in channels.iter().enumerate() {
        let weights = channel.weights(sum(c), count);
        params[c / LANES].set(c % LANES, channel.bias, channel.word, weights);
    }
    params
}

#[test]
fn products_are_those_of_plain_loops() {
    let mut bits = Bits(3);
    for case in 0..400 {
        let (kh, kw) = bits.pick(&[(1, 1), (1, 1), (3, 3), (2, 1), (1, 5)]);
        let step = bits.pick(&[1, 2]);
        let channels = bits.pick(&[1, 2, 3, 4, 8, 17]);
        let outputs = bits.pick(&[1, 4, 16, 20, 32, 40]);
        let (h, w) = bits.pick(&[(1, 1), (1, 3), (2, 2), (3, 3), (5, 4)]);
        let image = Image::new(&mut bits, (h - 1) * step + kh, (w - 1) * step + kw, channels);
        let run = kw * channels;
        let weights: Vec<i8> = (0..outputs * kh * run).map(|_| bits.next() as i8).collect();
        let way = WAYS[case % WAYS.len()];
        let is_scaled = !bits.next().is_multiple_of(5);
        let has_w_zero = bits.next().is_multiple_of(3);
        let list = parameters(&mut bits, way, outputs, has_w_zero);
        let x_zero = if case % 3 == 0 { i32::from(bits.next() as u8) - 128 } else { 0 };
        let scale = scale(&mut bits, way).of(list.iter().map(|channel| channel.word));
        let scale = if is_scaled { scale } else { Scale::SUMS };
        let line = image.columns * channels;
        let at: Vec<u32> = (0..kh).map(|y| (y * line) as u32).collect();
        for isa in Isa::available() {
            let signed = |byte: u8| {
                if isa.shift() == 0 { i32::from(byte.cast_signed()) } else { byte.into() }
            };
            let mut want = Vec::new();
            for (y, x) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
                for (m, channel) in list.iter().enumerate() {
                    let mut sum = channel.bias;
                    for (i, j) in (0..kh).flat_map(|i| (0..run).map(move |j| (i, j))) {
                        let (column, c) = (x * step + j / channels, j % channels);
                        let weight = i32::from(weights[(m * kh + i) * run + j]) - channel.w_zero;
                        sum += (signed(image.at(y * step + i, column, c)) - x_zero) * weight;
                    }
                    put(scale.to(), scale.number(sum.into(), channel.word), &mut want);
                }
            }
            let panel = Runs::panel_bytes(kh, run);
            let mut panels = vec![0; panel * outputs.div_ceil(LANES)];
            for (p, panel) in panels.chunks_mut(panel).enumerate() {
                let first = p * LANES;
                pack(panel, LANES.min(outputs - first), (kh, run), |lane, i, j| {
                    weights[((first + lane) * kh + i) * run + j]
                });
            }
            let mut x = image.bytes.clone();
            x.extend([0xaa; 4]);
            let of_channel = |m: usize| &weights[m * kh * run..][..kh * run];
            let sum = |m| of_channel(m).iter().map(|&weight| i32::from(weight)).sum();
            let mut out = vec![0; want.len()];
            Product {
                x: &x,
                places: Places { count: h * w, width: w, step: step * channels, line: step * line },
                runs: Runs { at: &at, len: run },
                panels: &panels,
                params: &params(&list, sum, kh * run),
                x_zero,
                scale: &scale,
                has_w_zero,
                channels: outputs,
                step: outputs * scale.to().bytes(),
                out: &mut out,
            }
            .run(isa);
            assert_eq!(out, want, "{isa}, case {case}: {kh}x{kw} of {channels} to {outputs}");
        }
    }
}

#[test]
fn channels_by_themselves_are_those_of_plain_loops() {
    let mut bits = Bits(5);
    for case in 0..300 {
        let (kh, kw) = bits.pick(&[(1, 1), (3, 3), (2, 5), (9, 1)]);
        let channels = bits.pick(&[1, 3, 8, 16, 24, 40]);
        let (h, w) = bits.pick(&[(1, 1), (2, 3), (1, 11), (3, 20)]);
        let step = bits.pick(&[1, 1, 2]);
        let image = Image::new(&mut bits, h - 1 + kh, (w - 1) * step + kw, channels);
        let weights: Vec<i32> =
            (0..channels * kh * kw).map(|_| (bits.next() % 511) as i32 - 255).collect();
        let way = WAYS[case % WAYS.len()];
        let list = parameters(&mut bits, way, channels, case % 2 == 0);
        let x_zero = if case % 3 == 0 { i32::from(bits.next() as i8) } else { 0 };
        let scale = scale(&mut bits, way).of(list.iter().map(|channel| channel.word));
        let mut want = Vec::new();
        for (y, x, c) in
            (0..h).flat_map(|y| (0..w).flat_map(move |x| (0..channels).map(move |c| (y, x, c))))
        {
            let mut sum = list[c].bias;
            for (i, j) in (0..kh).flat_map(|i| (0..kw).map(move |j| (i, j))) {
                let byte = image.at(y + i, x * step + j, c).cast_signed();
                let weight = weights[(i * kw + j) * channels + c] - list[c].w_zero;
                sum += (i32::from(byte) - x_zero) * weight;
            }
            put(scale.to(), scale.number(sum.into(), list[c].word), &mut want);
        }
        // Where windows are one element apart, channels follow each other without end.
        let round = if step == 1 && !channels.is_multiple_of(LANES) {
            (1..=LANES).map(|n| n * channels).find(|n| n % LANES == 0).expect("a common multiple")
        } else {
            channels
        };
        let count = round.div_ceil(LANES);
        let mut packed = Vec::new();
        let mut all = vec![Params::NONE; count];
        for panel in 0..count {
            for tap in 0..kh * kw {
                packed.push(core::array::from_fn(|lane| {
                    let c = panel * LANES + lane;
                    if c < round { weights[tap * channels + c % channels] } else { 0 }
                }));
            }
            for lane in 0..LANES.min(round - panel * LANES) {
                let channel = &list[(panel * LANES + lane) % channels];
                let sum = packed[panel * kh * kw..].iter().map(|weights| weights[lane]).sum();
                let weights = channel.weights(sum, kh * kw);
                all[panel].set(lane, channel.bias, channel.word, weights);
            }
        }
        let line = image.columns * channels;
        let taps: Vec<u32> =
            (0..kh).flat_map(|i| (0..kw).map(move |j| (i * line + j * channels) as u32)).collect();
        let mut x = image.bytes.clone();
        x.extend([0x55; LANES]);
        for isa in Isa::available() {
            let mut out = vec![0; want.len()];
            Depthwise {
                x: &x,
                taps: &taps,
                weights: &packed,
                params: &all,
                x_zero,
                scale: &scale,
                line: Line { len: w * channels, round, step: step * round },
                x_line: line,
                out: &mut out,
            }
            .run(isa);
            assert_eq!(out, want, "{isa}, case {case}: {kh}x{kw} of {channels}, {h}x{w} by {step}");
        }
        assert_eq!(image.lines, h - 1 + kh);
    }
}

#[test]
fn windows_give_the_largest_and_the_mean_away_from_zero() {
    let mut bits = Bits(9);
    for case in 0..200 {
        let channels = bits.pick(&[1, 4, 16, 19, 48]);
        let image = Image::new(&mut bits, 3, 7, channels);
        let (lines, columns) = bits.pick(&[(1, 1), (3, 7), (2, 2), (1, 3)]);
        let signed = bits.next().is_multiple_of(2);
        let value = |byte: u8| if signed { i32::from(byte.cast_signed()) } else { byte.into() };
        let count = i32::try_from(lines * columns).expect("a small window");
        for mean in [false, true] {
            let want: Vec<u8> = (0..channels)
                .map(|c| {
                    let all = (0..lines).flat_map(|y| (0..columns).map(move |x| (y, x)));
                    let all = all.map(|(y, x)| value(image.at(y, x, c)));
                    if !mean {
                        return all.max().expect("a window has an element") as u8;
                    }
                    let sum: i32 = all.sum();
                    ((sum + sum.signum() * (count / 2)) / count) as u8
                })
                .collect();
            for isa in Isa::available() {
                let mut out = vec![0; channels];
                Window {
                    x: &image.bytes,
                    signed,
                    lines: (lines, image.columns * channels),
                    columns: (columns, channels),
                    statistic: if mean {
                        Statistic::Mean(count.unsigned_abs())
                    } else {
                        Statistic::Largest
                    },
                    out: &mut out,
                }
                .run(isa);
                assert_eq!(out, want, "{isa}, case {case}");
            }
        }
    }
}

#[test]
fn an_image_is_copied_with_its_border() {
    let border = Border { lines: 2, line: 3, left: 1, width: 6, flip: 0x80 };
    let mut out = [0; 24];
    border.copy(&[1, 2, 3, 4, 5, 6], -1, 9, &mut out);
    let rows: [&[u8]; 4] =
        [&[9; 6], &[9, 0x81, 0x82, 0x83, 9, 9], &[9, 0x84, 0x85, 0x86, 9, 9], &[9; 6]];
    assert_eq!(out.chunks(6).collect::<Vec<_>>(), rows);
    // A line that is longer than what is read of it.
    let border = Border { left: 0, width: 2, flip: 0, ..border };
    let mut out = [0; 2];
    border.copy(&[1, 2, 3, 4, 5, 6], 1, 9, &mut out);
    assert_eq!(out, [4, 5]);
}

#[test]
fn singles_become_codes_and_back() {
    let mut bits = Bits(21);
    for case in 0..200 {
        let to = bits.pick(&[To::I8, To::U8, To::I16]);
        let (low, high) = match to {
            To::I8 => (-128, 127),
            To::U8 => (0, 255),
            To::I16 | To::I32 => (-32_768, 32_767),
        };
        let zero = bits.pick(&[0, 3, low, high]);
        let nearest = bits.pick(&[codes::Nearest::Even, codes::Nearest::Away]);
        let (unit, is_factor) = (bits.pick(&[0.5, 0.017, 3.0]), bits.next().is_multiple_of(2));
        let special = [f32::NAN, f32::INFINITY, -f32::INFINITY, 0.0, -0.0, 1e30, 0.249_999_99];
        let x: Vec<f32> = (0..37)
            .map(|i| match i % 4 {
                0 => bits.pick(&special),
                1 => f32::from(bits.next() as i8) / 4.0,
                _ => bits.unit() * 300.0,
            })
            .collect();
        let mut want = Vec::new();
        for &x in &x {
            let value = if is_factor { x * unit } else { x / unit };
            let rounded = match nearest {
                codes::Nearest::Even => value.round_ties_even(),
                codes::Nearest::Away => value.round(),
            };
            put(to, (rounded as i32).saturating_add(zero).clamp(low, high), &mut want);
        }
        let x: Vec<u8> = x.iter().flat_map(|x| x.to_le_bytes()).collect();
        for isa in Isa::available() {
            let mut out = vec![0; want.len()];
            let bounds = (low, high);
            codes::Quantising { x: &x, unit, is_factor, nearest, zero, bounds, to, out: &mut out }
                .run(isa);
            assert_eq!(out, want, "{isa}, case {case}");
        }
        let signed = to != To::U8;
        for isa in Isa::available() {
            let mut out = vec![0; 4 * want.len()];
            codes::Dequantising { x: &want, signed, zero, unit, out: &mut out }.run(isa);
            for (&code, out) in want.iter().zip(out.as_chunks().0) {
                let code = if signed { code.cast_signed().into() } else { i32::from(code) };
                let real = (code - zero) as f32 * unit;
                assert_eq!(f32::from_le_bytes(*out).to_bits(), real.to_bits(), "{isa}");
            }
        }
    }
}

#[test]
fn pairs_wrap_and_repeat() {
    let bytes = |list: &[i32]| -> Vec<u8> { list.iter().flat_map(|x| x.to_le_bytes()).collect() };
    let a = [1, -2, i32::MAX, 4];
    for (pair, b, want) in [
        (codes::Pair::Sum, &[10, 20][..], [11, 18, i32::MIN + 9, 24]),
        (codes::Pair::Difference, &[1], [0, -3, i32::MAX - 1, 3]),
        (codes::Pair::Product, &[3, 3, 2, -1], [3, -6, -2, -4]),
    ] {
        let mut out = [0; 16];
        codes::pairs(pair, &bytes(&a), &bytes(b), &mut out);
        assert_eq!(out.to_vec(), bytes(&want), "{pair:?}");
    }
}
