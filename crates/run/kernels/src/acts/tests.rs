//! The rules of quantisation on known values, and every instruction set against the scalar one.
#![expect(clippy::cast_possible_truncation, reason = "quants are small")]

use super::*;
use crate::samples::{Bits, Contents, same, token, types};
use tensor::F16;

/// The scale and the quants of one block of 32 by the rule of `quantize_row_q8_0_ref`.
pub(crate) fn q8(x: &[f32]) -> (f32, Vec<i32>) {
    let magnitude = x.iter().fold(0.0f32, |m, v| if v.is_nan() { *v } else { m.max(v.abs()) });
    if x.iter().any(|v| !v.is_finite()) {
        let worst = if x.iter().any(|v| v.is_nan()) { f32::NAN } else { f32::INFINITY };
        return (worst, vec![0; x.len()]);
    }
    let scale = magnitude / 127.0;
    let inverse = if (1.0 / scale).is_finite() { 1.0 / scale } else { 0.0 };
    let quants = x.iter().map(|v| (v * inverse).round() as i32).collect();
    (F16::from_f32(scale).to_f32(), quants)
}

/// The sum that minimums are multiplied by, of a block of 32: rounded to a half where it can be.
pub(crate) fn q8_sum(x: &[f32]) -> f32 {
    let (rounded, quants) = q8(x);
    let magnitude = x.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    let scale = if rounded.is_finite() { magnitude / 127.0 } else { rounded };
    let sum = scale * quants.iter().sum::<i32>() as f32;
    let half = F16::from_f32(sum).to_f32();
    if half.is_finite() { half } else { sum }
}

/// The scale and the quants of one block of 256 by the rule of `quantize_row_q8_K_ref`.
pub(crate) fn q8k(x: &[f32]) -> (f32, Vec<i32>) {
    if x.iter().any(|v| !v.is_finite()) {
        let worst = if x.iter().any(|v| v.is_nan()) { f32::NAN } else { f32::INFINITY };
        return (worst, vec![0; x.len()]);
    }
    let extreme = x.iter().fold(0.0f32, |m, &v| if v.abs() > m.abs() { v } else { m });
    let inverse = -127.0 / extreme;
    if !inverse.is_finite() {
        return (0.0, vec![0; x.len()]);
    }
    let quants = x.iter().map(|v| (v * inverse).round_ties_even().min(127.0) as i32).collect();
    (1.0 / inverse, quants)
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn f32_at(bytes: &[u8], at: usize) -> f32 {
    f32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

#[test]
fn blocks_are_quantised_by_the_rules() {
    let mut bits = Bits(3);
    for round in 0..60 {
        let contents = bits.pick(&[Contents::Ordinary, Contents::Ends, Contents::Scales]);
        let mut x = token(256, contents, &mut bits);
        if round % 10 == 9 {
            x[40] = bits.pick(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY]);
        }
        if round % 10 == 8 {
            // Two extremes of equal magnitude: the first decides.
            (x[17], x[99]) = if round % 20 == 8 { (-50.0, 50.0) } else { (50.0, -50.0) };
        }
        for isa in Isa::available() {
            let kind = ActKind::Q8(Terms::Zero32(8));
            let mut bytes = vec![0xaa; kind.bytes(256, 1)];
            Acts::quantise(isa, kind, 256, &x, &mut bytes);
            for (block, record) in x.chunks(32).zip(bytes.chunks(40)) {
                let (scale, quants) = q8(block);
                let got: Vec<i32> =
                    record[..32].iter().map(|&q| i32::from(q.cast_signed())).collect();
                assert_eq!(got, quants, "{isa} round {round}");
                assert!(same(f32_at(record, 32), scale), "{isa} {scale:e} round {round}");
                let anchor = ANCHOR.to_bits().cast_signed();
                assert_eq!(i32_at(record, 36), anchor - 8 * quants.iter().sum::<i32>());
            }
            let kind = ActKind::Q8K(Terms::Zero16(32));
            let mut bytes = vec![0xaa; kind.bytes(256, 1)];
            Acts::quantise(isa, kind, 256, &x, &mut bytes);
            let (scale, quants) = q8k(&x);
            let got: Vec<i32> = bytes[..256].iter().map(|&q| i32::from(q.cast_signed())).collect();
            assert_eq!(got, quants, "{isa} round {round}");
            assert!(same(f32_at(&bytes, 256), scale), "{isa} {scale:e} round {round}");
            for (j, sixteen) in quants.chunks(16).enumerate() {
                assert_eq!(i32_at(&bytes, 260 + 4 * j), -32 * sixteen.iter().sum::<i32>());
            }
            let magnitudes = quants.chunks(16).map(|q| q.iter().map(|q| q.abs()).sum::<i32>());
            assert_eq!(Some(i32_at(&bytes, 260 + 64)), magnitudes.max());
            let kind = ActKind::Q8K(Terms::Pairs32);
            let mut bytes = vec![0xaa; kind.bytes(256, 1)];
            Acts::quantise(isa, kind, 256, &x, &mut bytes);
            let one_sided = |q: &[i32], sign: i32| q.iter().map(|q| (q * sign).max(0)).sum::<i32>();
            let sides = quants.chunks(32).map(|q| one_sided(q, 1).max(one_sided(q, -1)));
            assert_eq!(Some(i32_at(&bytes, 260 + 16)), sides.max());
        }
    }
}

#[test]
fn tiles_hold_the_tokens_in_order_whatever_the_set() {
    let mut bits = Bits(5);
    let k = 512;
    for ty in types() {
        let kind = ActKind::of(ty).unwrap();
        for tokens in [1, 2, 3, 4, 5, 7, 8, 11, 19] {
            let x: Vec<f32> =
                (0..tokens).flat_map(|_| token(k, Contents::Ordinary, &mut bits)).collect();
            for isa in Isa::available() {
                let mut bytes = vec![0; kind.bytes(k, tokens)];
                let acts = Acts::quantise(isa, kind, k, &x, &mut bytes);
                let mut seen = 0;
                for tile in acts.tiles() {
                    assert_eq!(tile.token, seen);
                    seen += tile.width;
                    // Each token as if it were alone on the scalar set, found in its places.
                    for t in 0..tile.width {
                        let mut alone = vec![0; kind.bytes(k, 1)];
                        let row = &x[(tile.token + t) * k..][..k];
                        Acts::quantise(Isa::SCALAR, kind, k, row, &mut alone);
                        let record = kind.record_bytes();
                        for (many, one) in
                            tile.bytes.chunks(record * tile.width).zip(alone.chunks(record))
                        {
                            let mut at = 0;
                            let quants = if kind == ActKind::F32 { 0 } else { kind.record_k() };
                            for i in 0..quants / 32 {
                                let from = (i * tile.width + t) * 32;
                                assert_eq!(many[from..from + 32], one[at..at + 32]);
                                at += 32;
                            }
                            while at < record {
                                let from = at * tile.width + 4 * t;
                                assert_eq!(many[from..from + 4], one[at..at + 4], "{isa} {kind:?}");
                                at += 4;
                            }
                        }
                    }
                }
                assert_eq!(seen, tokens);
            }
        }
    }
}
