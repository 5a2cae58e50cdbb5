//! Products of matrices: exact for integers, in double precision for floats.

use crate::number::{Numbers, Wide, by_domain};
use crate::walk::{Out, Strides, dense, place, repeated, size};
use crate::{Inputs, dtype};
use core::ops::{Add, Mul, Sub};
use tensor::TensorRef;
use tensor::shape::RANK_MAX;

pub(crate) fn matmul(inputs: &Inputs<'_, '_>, out: &mut Out<'_>) {
    let (a, b) = (inputs.at(0), inputs.at(1));
    by_domain!(dtype(&a), W => product::<W>(a, b, inputs, out));
}

fn product<W: Wide + Add<Output = W> + Sub<Output = W> + Mul<Output = W>>(
    a: TensorRef<'_>,
    b: TensorRef<'_>,
    inputs: &Inputs<'_, '_>,
    out: &mut Out<'_>,
) {
    let rank = out.dims.len();
    let k = size(a.shape().last());
    let n = size(b.shape().last());
    let (a_steps, b_steps) = (steps(&a, rank, 1), steps(&b, rank, 2));
    let (az, bz) = (inputs.get(2), inputs.get(3));
    let zero_steps =
        |z: Option<TensorRef<'_>>| z.map_or([0; RANK_MAX], |z| repeated(&z.shape(), &out.dims));
    let all = [a_steps, b_steps, zero_steps(az), zero_steps(bz)];
    let (a, b): (Numbers<'_, W>, Numbers<'_, W>) = (Numbers::of(a), Numbers::of(b));
    let (az, bz): (Option<Numbers<'_, W>>, Option<Numbers<'_, W>>) =
        (az.map(Numbers::of), bz.map(Numbers::of));
    out.fill(&all, |[row, column, za, zb]| {
        let (row, column) = (place(row), place(column));
        let za = az.map_or(W::ZERO, |z| z.at(place(za)));
        let zb = bz.map_or(W::ZERO, |z| z.at(place(zb)));
        (0..k).fold(W::ZERO, |sum, i| sum + (a.at(row + i) - za) * (b.at(column + i * n) - zb))
    });
}

/// Steps of an operand in the result; its reduced dimension, counted from the last, stands still.
fn steps(x: &TensorRef<'_>, rank: usize, reduced: usize) -> Strides {
    let dims = x.shape();
    let dense = dense(&dims);
    let mut steps = [0; RANK_MAX];
    for (d, &dim) in dims.iter().enumerate() {
        if d + reduced != dims.len() && dim > 1 {
            steps[rank - dims.len() + d] = dense[d];
        }
    }
    steps
}
