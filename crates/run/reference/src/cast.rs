//! From one element type to another, and to and from quantised codes.

use crate::number::{Numbers, Wide, by_domain, is_float, limits, narrow};
use crate::walk::{Out, Strides, dense, each, place, size};
use crate::{Inputs, dtype};
use tensor::shape::RANK_MAX;
use tensor::{DType, F8E4M3, F8E5M2, TensorRef};

pub(crate) fn cast(saturate: bool, inputs: &Inputs<'_, '_>, out: &mut Out<'_>) {
    let x = inputs.at(0);
    let steps = [dense(&out.dims)];
    if let Some(encode) = float8(out.dtype, saturate) {
        let x: Numbers<'_, f64> = Numbers::of(x);
        let (first, count) = (out.first, out.len());
        return each(&out.dims, &steps, [0], first, count, |i, [at]| {
            out.bytes[i] = encode(narrow(x.at(place(at))));
        });
    }
    by_domain!(dtype(&x), W => {
        let x: Numbers<'_, W> = Numbers::of(x);
        out.fill(&steps, |[i]| x.at(place(i)));
    });
}

/// How a single becomes a float of 8 bits, if `dtype` is one.
fn float8(dtype: DType, saturate: bool) -> Option<fn(f32) -> u8> {
    match (dtype, saturate) {
        (DType::F8E4M3, true) => Some(|x| F8E4M3::saturating(x).0),
        (DType::F8E4M3, false) => Some(|x| F8E4M3::from_f32(x).0),
        (DType::F8E5M2, true) => Some(|x| F8E5M2::saturating(x).0),
        (DType::F8E5M2, false) => Some(|x| F8E5M2::from_f32(x).0),
        _ => None,
    }
}

/// Where the scale of each element stands.
struct Scales {
    strides: Strides,
    axis: usize,
    /// Elements along `axis` that share a scale.
    block: usize,
}

impl Scales {
    fn of(scale: &TensorRef<'_>, dims: &[u64], axis: u8, block: u32) -> Self {
        let mut strides = [0; RANK_MAX];
        let axis = usize::from(axis);
        match (&*scale.shape(), block) {
            ([] | [1], 0) => {}
            (_, 0) => strides[axis] = 1,
            (own, _) => strides = dense(own),
        }
        let block = if block == 0 { 1 } else { size(block.into()) };
        debug_assert!(axis < RANK_MAX && dims.len() <= RANK_MAX);
        Self { strides, axis, block }
    }

    fn at(&self, at: &[usize; RANK_MAX]) -> usize {
        (0..RANK_MAX)
            .map(|d| {
                let at = if d == self.axis { at[d] / self.block } else { at[d] };
                at * place(self.strides[d])
            })
            .sum()
    }
}

pub(crate) fn quantize(
    axis: u8,
    block: u32,
    saturate: bool,
    inputs: &Inputs<'_, '_>,
    out: &mut Out<'_>,
) {
    let (x, scale, zero) = (inputs.at(0), inputs.at(1), inputs.get(2));
    let scales = Scales::of(&scale, &out.dims, axis, block);
    let steps = dense(&out.dims);
    let x: Numbers<'_, f64> = Numbers::of(x);
    let scale: Numbers<'_, f64> = Numbers::of(scale);
    let zero: Option<Numbers<'_, f64>> = zero.map(Numbers::of);
    let code = |at: &[usize; RANK_MAX]| {
        let i: usize = at.iter().zip(steps).map(|(&at, step)| at * place(step)).sum();
        let s = scales.at(at);
        // The quotient is a single's, as the specification has it: ties depend on it.
        let quotient = narrow_near(x.at(i)) / narrow_near(scale.at(s));
        (f64::from(quotient), zero.map_or(0.0, |zero| zero.at(s)))
    };
    if let Some(encode) = float8(out.dtype, saturate) {
        for i in 0..out.len() {
            let at = crate::walk::coordinates(&out.dims, out.first + i);
            let (quotient, zero) = code(&at);
            out.bytes[i] = encode(narrow(quotient + zero));
        }
        return;
    }
    let (low, high) = limits(out.dtype);
    out.fill_at(|at| {
        let (quotient, zero) = code(at);
        i128::of_float(quotient.round_ties_even())
            .clamp(-1 << 64, 1 << 64)
            .saturating_add(i128::of_float(zero))
            .clamp(low, high)
    });
}

/// The nearest single.
#[expect(clippy::cast_possible_truncation, reason = "narrowing is the purpose")]
fn narrow_near(x: f64) -> f32 {
    x as f32
}

pub(crate) fn dequantize(axis: u8, block: u32, inputs: &Inputs<'_, '_>, out: &mut Out<'_>) {
    let (x, scale, zero) = (inputs.at(0), inputs.at(1), inputs.get(2));
    let scales = Scales::of(&scale, &out.dims, axis, block);
    let steps = dense(&out.dims);
    debug_assert!(is_float(out.dtype));
    let x: Numbers<'_, f64> = Numbers::of(x);
    let scale: Numbers<'_, f64> = Numbers::of(scale);
    let zero: Option<Numbers<'_, f64>> = zero.map(Numbers::of);
    out.fill_at(|at| {
        let i: usize = at.iter().zip(steps).map(|(&at, step)| at * place(step)).sum();
        let s = scales.at(at);
        (x.at(i) - zero.map_or(0.0, |zero| zero.at(s))) * scale.at(s)
    });
}
