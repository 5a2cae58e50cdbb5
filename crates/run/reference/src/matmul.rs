//! Products of matrices: exact for integers, in double precision for floats.

use crate::ending::Ending;
use crate::number::{Numbers, Wide, by_domain};
use crate::walk::{Out, Strides, dense, place, repeated, size};
use crate::{Inputs, dtype};
use core::ops::{Add, Mul, Sub};
use plan::array::Epilogue;
use tensor::TensorRef;
use tensor::shape::RANK_MAX;

pub(crate) fn matmul(inputs: &Inputs<'_, '_>, out: &mut Out<'_>) {
    let (a, b) = (inputs.at(0), inputs.at(1));
    let optional = [None, inputs.get(2), inputs.get(3)];
    by_domain!(dtype(&a), W => product::<W>(a, b, optional, &Ending::none(), out));
}

pub(crate) fn fused(epilogue: &Epilogue, inputs: &Inputs<'_, '_>, out: &mut Out<'_>) {
    let (a, b) = (inputs.at(0), inputs.at(1));
    let optional = [2, 4, 5].map(|i| inputs.get(i));
    by_domain!(dtype(&a), W => {
        let ending = Ending::new(epilogue, inputs, [3, 6]);
        product::<W>(a, b, optional, &ending, out);
    });
}

fn product<W: Wide + Add<Output = W> + Sub<Output = W> + Mul<Output = W>>(
    a: TensorRef<'_>,
    b: TensorRef<'_>,
    [bias, az, bz]: [Option<TensorRef<'_>>; 3],
    ending: &Ending<'_, W>,
    out: &mut Out<'_>,
) {
    let rank = out.dims.len();
    let k = size(a.shape().last());
    let n = size(b.shape().last());
    let (a_steps, b_steps) = (steps(&a, rank, 1), steps(&b, rank, 2));
    let zero_steps =
        |z: Option<TensorRef<'_>>| z.map_or([0; RANK_MAX], |z| repeated(&z.shape(), &out.dims));
    let mut along = [0; RANK_MAX];
    along[rank - 1] = 1;
    let all = [a_steps, b_steps, zero_steps(az), zero_steps(bz), dense(&out.dims), along];
    let (a, b): (Numbers<'_, W>, Numbers<'_, W>) = (Numbers::of(a), Numbers::of(b));
    let [bias, az, bz] = [bias, az, bz].map(|x| -> Option<Numbers<'_, W>> { x.map(Numbers::of) });
    out.fill(&all, |[row, column, za, zb, element, n_at]| {
        let n_at = place(n_at);
        let (row, column) = (place(row), place(column));
        let za = az.map_or(W::ZERO, |z| z.at(place(za)));
        let zb = bz.map_or(W::ZERO, |z| z.at(place(zb)));
        let bias = bias.map_or(W::ZERO, |bias| bias.at(n_at));
        let sum =
            (0..k).fold(bias, |sum, i| sum + (a.at(row + i) - za) * (b.at(column + i * n) - zb));
        ending.of(place(element), n_at, sum)
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
