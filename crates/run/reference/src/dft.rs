//! Discrete Fourier transforms in double precision, rounded once; short inverse ones of singles in
//! single precision, step by step (see [`single`]).
//!
//! Any length is divided into its prime factors (Cooley and Tukey 1965, decimation in time); a
//! prime is summed directly. Twiddle factors come from one table, computed where their angle is
//! smallest, so that sums which vanish do so to the last places of a double.

use crate::Inputs;
use crate::number::{Numbers, store};
use crate::walk::{Out, size};
use core::f64::consts::TAU;
use plan::array::Dft;
use tensor::{DType, cast};

mod single;

/// A table, an input, an output and room for one butterfly: four times `length` complex numbers.
pub(crate) fn scratch_bytes(op: &Dft) -> u64 {
    op.length.saturating_mul(4 * 16)
}

type Complex = [f64; 2];

fn times(a: Complex, b: Complex) -> Complex {
    [a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]]
}

fn plus(a: Complex, b: Complex) -> Complex {
    [a[0] + b[0], a[1] + b[1]]
}

pub(crate) fn dft(op: Dft, inputs: &Inputs<'_, '_>, out: &mut Out<'_>, scratch: &mut [u8]) {
    let x = inputs.at(0);
    let dims = x.shape();
    let axis = usize::from(op.axis);
    let product = |dims: &[u64]| dims.iter().map(|&dim| size(dim)).product::<usize>();
    let last = dims.len() - 1;
    let (outer, given, between) =
        (product(&dims[..axis]), size(dims[axis]), product(&dims[axis + 1..last]));
    let parts = size(dims[last]);
    let length = size(op.length);
    let scratch: &mut [f64] = cast::from_bytes_mut(&mut scratch[..size(scratch_bytes(&op))])
        .expect("scratch is aligned to 8");
    let (numbers, _) = scratch.as_chunks_mut::<2>();
    let (table, rest) = numbers.split_at_mut(length);
    let (from, rest) = rest.split_at_mut(length);
    let (to, room) = rest.split_at_mut(length);
    let sign = if op.inverse { 1.0 } else { -1.0 };
    for (k, twiddle) in table.iter_mut().enumerate() {
        *twiddle = root(k, length, sign);
    }
    let x: Numbers<'_, f64> = Numbers::of(x);
    let put = store::<f64>(out.dtype);
    let (points, out_parts) = (size(out.dims[axis]), size(out.dims[last]));
    let scale = if op.inverse { 1.0 / length as f64 } else { 1.0 };
    let singles = op.inverse && !op.onesided && out.dtype == DType::F32;
    for (o, b) in (0..outer).flat_map(|o| (0..between).map(move |b| (o, b))) {
        let read = |t: usize| -> Complex {
            if t >= given {
                return [0.0; 2];
            }
            let at = ((o * given + t) * between + b) * parts;
            [x.at(at), if parts == 2 { x.at(at + 1) } else { 0.0 }]
        };
        for (t, value) in from.iter_mut().enumerate() {
            // Half a spectrum of real numbers: the other half is its mirror image, conjugated.
            let mirror = op.inverse && op.onesided && t > length / 2;
            *value = if mirror {
                let [re, im] = read(length - t);
                [re, -im]
            } else {
                read(t)
            };
        }
        if !(singles && single::inverse(from, to)) {
            transform(from, 1, to, table, room);
            to.iter_mut().flatten().for_each(|value| *value *= scale);
        }
        for (k, value) in to.iter().enumerate().take(points) {
            let at = ((o * points + k) * between + b) * out_parts;
            for (part, value) in value.iter().enumerate().take(out_parts) {
                put(out.bytes, at + part, *value);
            }
        }
    }
}

/// `exp(sign * 2πi k / n)`, from an angle of at most an eighth of a turn.
fn root(k: usize, n: usize, sign: f64) -> Complex {
    let eighth = |k: usize| {
        let angle = TAU * k as f64 / (8.0 * n as f64);
        [angle.cos(), angle.sin()]
    };
    // In units of 1 / 8n of a turn.
    let at = 8 * (k % n);
    let (octant, rest) = (at / n, at % n);
    let [c, s] = if octant.is_multiple_of(2) { eighth(rest) } else { eighth(n - rest) };
    let [re, im] = match octant {
        0 => [c, s],
        1 => [s, c],
        2 => [-s, c],
        3 => [-c, s],
        4 => [-c, -s],
        5 => [-s, -c],
        6 => [s, -c],
        _ => [c, -s],
    };
    [re, sign * im]
}

/// Transforms `to.len()` numbers of `from`, `stride` apart, with every `table.len() / to.len()`-th
/// twiddle factor.
fn transform(
    from: &[Complex],
    stride: usize,
    to: &mut [Complex],
    table: &[Complex],
    room: &mut [Complex],
) {
    let n = to.len();
    let Some(radix) = (2..=n).find(|p| n.is_multiple_of(*p)) else {
        if let Some(only) = to.first_mut() {
            *only = from[0];
        }
        return;
    };
    let m = n / radix;
    for (j, part) in to.chunks_exact_mut(m).enumerate() {
        transform(&from[j * stride..], stride * radix, part, table, room);
    }
    let step = table.len() / n;
    for k in 0..m {
        let room = &mut room[..radix];
        for (j, value) in room.iter_mut().enumerate() {
            *value = to[j * m + k];
        }
        for q in 0..radix {
            let at = k + q * m;
            let term = |(j, &value): (usize, &Complex)| times(value, table[j * at % n * step]);
            to[at] = room.iter().enumerate().map(term).fold([0.0; 2], plus);
        }
    }
}
