//! Statistics along dimensions: sums in double precision or 128 bits, rounded or wrapped once.

use crate::number::{Numbers, Wide, by_domain, limits, load, store};
use crate::walk::{Out, Strides, dense, each, place, size};
use crate::{Inputs, dtype};
use plan::array::{Reduce, ReduceKind};
use tensor::shape::RANK_MAX;
use tensor::{DType, Shape};

pub(crate) fn reduce(op: Reduce, inputs: &Inputs<'_, '_>, out: &mut Out<'_>) {
    let x = inputs.at(0);
    let all = dense(&x.shape());
    // Dimensions that are walked for each result, and the steps to a result's first element.
    let (mut inner, mut steps, mut outer): (Vec8, Strides, Strides) =
        (Vec8::default(), [0; RANK_MAX], [0; RANK_MAX]);
    let mut kept = 0;
    for (d, &dim) in x.shape().iter().enumerate() {
        if op.axes >> d & 1 == 1 {
            steps[inner.len] = all[d];
            inner.push(dim);
            kept += usize::from(op.keep);
        } else {
            outer[kept] = all[d];
            kept += 1;
        }
    }
    let inner = inner.shape();
    let count = size(inner.elements().expect("the operand is in memory"));
    let from = dtype(&x);
    by_domain!(from, W => {
        let x: Numbers<'_, W> = Numbers::of(x);
        out.fill(&[outer], |[start]| {
            W::reduce(op.kind, from, count, |f| {
                each(&inner, &[steps], [start], 0, count, |_, [at]| f(x.at(place(at))));
            })
        });
    });
}

/// Up to eight extents in the making.
#[derive(Default)]
struct Vec8 {
    dims: [u64; RANK_MAX],
    len: usize,
}

impl Vec8 {
    fn push(&mut self, dim: u64) {
        self.dims[self.len] = dim;
        self.len += 1;
    }

    fn shape(&self) -> Shape {
        Shape::new(&self.dims[..self.len]).expect("at most eight")
    }
}

/// A domain's statistics; `visit` calls its argument with each of `count` elements.
trait Reduced: Wide {
    fn reduce(
        kind: ReduceKind,
        dtype: DType,
        count: usize,
        visit: impl Fn(&mut dyn FnMut(Self)),
    ) -> Self;
}

impl Reduced for f64 {
    fn reduce(
        kind: ReduceKind,
        _: DType,
        count: usize,
        visit: impl Fn(&mut dyn FnMut(Self)),
    ) -> Self {
        let fold = |start: Self, f: &dyn Fn(Self, Self) -> Self| {
            let mut all = start;
            visit(&mut |x| all = f(all, x));
            all
        };
        let sum = || fold(0.0, &|all, x| all + x);
        let max =
            || fold(Self::NEG_INFINITY, &|all, x| if x > all || x.is_nan() { x } else { all });
        match kind {
            ReduceKind::Sum => sum(),
            ReduceKind::Mean => sum() / count as Self,
            ReduceKind::Product => fold(1.0, &|all, x| all * x),
            ReduceKind::Min => {
                fold(Self::INFINITY, &|all, x| if x < all || x.is_nan() { x } else { all })
            }
            ReduceKind::Max => max(),
            ReduceKind::L1 => fold(0.0, &|all, x| all + x.abs()),
            ReduceKind::L2 => fold(0.0, &|all, x| all + x * x).sqrt(),
            ReduceKind::SumSquare => fold(0.0, &|all, x| all + x * x),
            ReduceKind::LogSum => sum().ln(),
            ReduceKind::LogSumExp => {
                let max = max();
                let shift = if max.is_finite() { max } else { 0.0 };
                shift + fold(0.0, &|all, x| all + (x - shift).exp()).ln()
            }
            ReduceKind::Any | ReduceKind::All => unreachable!("truth values are integers"),
        }
    }
}

impl Reduced for i128 {
    fn reduce(
        kind: ReduceKind,
        dtype: DType,
        count: usize,
        visit: impl Fn(&mut dyn FnMut(Self)),
    ) -> Self {
        let fold = |start: Self, f: &dyn Fn(Self, Self) -> Self| {
            let mut all = start;
            visit(&mut |x| all = f(all, x));
            all
        };
        let (least, greatest) = limits(dtype);
        match kind {
            ReduceKind::Sum => fold(0, &|all, x| all + x),
            ReduceKind::Mean => fold(0, &|all, x| all + x).checked_div(count as Self).unwrap_or(0),
            ReduceKind::Product => fold(1, &|all, x| all.wrapping_mul(x)),
            ReduceKind::Min | ReduceKind::All => fold(greatest, &|all, x| all.min(x)),
            ReduceKind::Max | ReduceKind::Any => fold(least, &|all, x| all.max(x)),
            ReduceKind::L1 => fold(0, &|all, x| all + x.abs()),
            ReduceKind::SumSquare => fold(0, &|all, x| all.wrapping_add(x.wrapping_mul(x))),
            ReduceKind::L2 | ReduceKind::LogSum | ReduceKind::LogSumExp => {
                let wide = |f: &mut dyn FnMut(f64)| visit(&mut |x| f(x as f64));
                Self::of_float(f64::reduce(kind, dtype, count, wide))
            }
        }
    }
}

/// Extents before, along and behind a dimension.
fn split(dims: &[u64], axis: u8) -> [usize; 3] {
    let product = |dims: &[u64]| dims.iter().map(|&dim| size(dim)).product();
    let axis = usize::from(axis);
    [product(&dims[..axis]), size(dims[axis]), product(&dims[axis + 1..])]
}

/// Which of several elements is looked for.
#[derive(Clone, Copy)]
pub(crate) struct Search {
    /// Largest instead of smallest.
    pub(crate) largest: bool,
    /// Last instead of first among equals.
    pub(crate) last: bool,
}

#[expect(clippy::float_cmp, reason = "ties are equal bit for bit")]
pub(crate) fn arg(search: Search, axis: u8, inputs: &Inputs<'_, '_>, out: &mut Out<'_>) {
    let x = inputs.at(0);
    let [_, n, inner] = split(&x.shape(), axis);
    let put = store::<i128>(DType::I64);
    by_domain!(dtype(&x), W => {
        let x: Numbers<'_, W> = Numbers::of(x);
        for i in 0..out.len() {
            let at = out.first + i;
            let start = at / inner * n * inner + at % inner;
            let mut best = 0;
            for j in 1..n {
                let (new, old) = (x.at(start + j * inner), x.at(start + best * inner));
                let better = if search.largest { new > old } else { new < old };
                if better || (search.last && new == old) {
                    best = j;
                }
            }
            put(out.bytes, i, best as i128);
        }
    });
}

/// How a running sum or product goes.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    /// Product instead of sum.
    pub(crate) product: bool,
    /// Elements leave themselves out.
    pub(crate) exclusive: bool,
    /// From the end.
    pub(crate) reverse: bool,
}

pub(crate) fn accumulate(
    Run { product, exclusive, reverse }: Run,
    axis: u8,
    inputs: &Inputs<'_, '_>,
    out: &mut Out<'_>,
) {
    let x = inputs.at(0);
    let [outer, n, inner] = split(&x.shape(), axis);
    by_domain!(out.dtype, W => {
        let x: Numbers<'_, W> = Numbers::of(x);
        let put = store::<W>(out.dtype);
        for start in (0..outer).flat_map(|o| (0..inner).map(move |i| o * n * inner + i)) {
            let mut all = W::of_integer(i128::from(product));
            for step in 0..n {
                let at = start + inner * if reverse { n - 1 - step } else { step };
                let next = W::join(product, all, x.at(at));
                put(out.bytes, at, if exclusive { all } else { next });
                all = next;
            }
        }
    });
}

/// Sums and products of a domain.
trait Joined: Wide {
    fn join(product: bool, a: Self, b: Self) -> Self;
}

impl Joined for f64 {
    fn join(product: bool, a: Self, b: Self) -> Self {
        if product { a * b } else { a + b }
    }
}

impl Joined for i128 {
    fn join(product: bool, a: Self, b: Self) -> Self {
        if product { a.wrapping_mul(b) } else { a.wrapping_add(b) }
    }
}

pub(crate) fn top_k(axis: u8, largest: bool, inputs: &Inputs<'_, '_>, out: &mut Out<'_>) {
    let x = inputs.at(0);
    let [outer, n, inner] = split(&x.shape(), axis);
    let k = size(out.dims[usize::from(axis)]);
    let (get, put) = (load::<i128>(DType::I64), store::<i128>(DType::I64));
    by_domain!(dtype(&x), W => {
        let x: Numbers<'_, W> = Numbers::of(x);
        for (o, i) in (0..outer).flat_map(|o| (0..inner).map(move |i| (o, i))) {
            let value = |j: usize| x.at((o * n + j) * inner + i);
            let slot = |rank: usize| (o * k + rank) * inner + i;
            // The best so far stand in order in the result itself; a later one goes behind equals.
            let mut found = 0;
            for j in 0..n {
                let behind = |rank: usize| {
                    let other = value(usize::try_from(get(out.bytes, slot(rank))).unwrap_or(0));
                    if largest { value(j) > other } else { value(j) < other }
                };
                if found == k && (k == 0 || !behind(k - 1)) {
                    continue;
                }
                let (mut low, mut high) = (0, found);
                while low < high {
                    let mid = usize::midpoint(low, high);
                    if behind(mid) { high = mid } else { low = mid + 1 }
                }
                found = k.min(found + 1);
                for rank in (low + 1..found).rev() {
                    let moved = get(out.bytes, slot(rank - 1));
                    put(out.bytes, slot(rank), moved);
                }
                put(out.bytes, slot(low), j as i128);
            }
        }
    });
}
