//! Operators on rows of floats: shares, norms, reductions, responses.

use super::facts::Known;
use super::{Operands, Worker};
use crate::layout::index;
use crate::pool::{Parts, Split, Tiles};
use kernels::norm::{self, Affine};
use kernels::reduce::{self, Statistic};
use kernels::response::{Response, SIZE_MAX};
use plan::array::{Reduce, ReduceKind};

/// Elements below which dividing work costs more than it saves.
const SMALL: usize = 1 << 13;

/// What is done with each row.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rows {
    /// Shares of `width` numbers, or their logarithms.
    Softmax { width: usize, log: bool },
    /// A norm over `width` numbers, with a scale and a bias of as many where they are there.
    Normalise { width: usize, eps: f32, rms: bool },
    /// `[outer][reduced][inner]` to `[outer][inner]`.
    Reduce { statistic: Statistic, reduced: usize, inner: usize },
    /// `[outer][channels][inner]`, each channel over what its neighbours amount to.
    Response { response: Response, channels: usize, inner: usize },
}

impl Rows {
    /// Shares along `axis`, if it is the last.
    pub(super) fn softmax(axis: u8, log: bool, out: &Known) -> Option<Self> {
        let last = usize::from(axis) + 1 == out.dims.len() && out.len() > 0;
        last.then(|| Self::Softmax { width: index(out.dims.last()), log })
    }

    /// A norm over the dimensions from `axis` on, if scale and bias have a number for each element.
    pub(super) fn normalise(
        axis: u8,
        eps: f32,
        rms: bool,
        others: [Option<Known>; 2],
        out: &Known,
    ) -> Option<Self> {
        let width = index(out.dims[usize::from(axis)..].iter().product());
        let fits = |known: &Option<Known>| known.is_none_or(|known| known.len() == width);
        let fits = others.iter().all(fits) && width > 0;
        fits.then_some(Self::Normalise { width, eps, rms })
    }

    /// A local response normalisation over the channels along `axis`, if few of them count.
    pub(super) fn response(response: Response, axis: u8, x: &Known) -> Option<Self> {
        let axis = usize::from(axis);
        let (channels, inner) = (index(x.dims[axis]), index(x.dims[axis + 1..].iter().product()));
        let fits = (1..=SIZE_MAX).contains(&response.size) && x.len() > 0;
        fits.then_some(Self::Response { response, channels, inner })
    }

    /// A reduction, if its axes follow each other.
    pub(super) fn reduce(op: Reduce, x: &Known, out: &Known) -> Option<Self> {
        let statistic = match op.kind {
            ReduceKind::Sum => Statistic::Sum,
            ReduceKind::Mean => Statistic::Mean,
            ReduceKind::Min => Statistic::Least,
            ReduceKind::Max => Statistic::Greatest,
            ReduceKind::L2 => Statistic::L2,
            ReduceKind::SumSquare => Statistic::SumSquare,
            ReduceKind::Product
            | ReduceKind::L1
            | ReduceKind::LogSum
            | ReduceKind::LogSumExp
            | ReduceKind::Any
            | ReduceKind::All => return None,
        };
        let is_reduced = |d: usize| op.axes >> d & 1 == 1;
        let first = (0..x.dims.len()).find(|&d| is_reduced(d) && x.dims[d] != 1)?;
        let last = (0..x.dims.len()).rfind(|&d| is_reduced(d) && x.dims[d] != 1)?;
        let whole = (first..=last).all(|d| is_reduced(d) || x.dims[d] == 1);
        let size = |dims: &[u64]| index(dims.iter().product());
        let (reduced, inner) = (size(&x.dims[first..=last]), size(&x.dims[last + 1..]));
        (whole && out.len() > 0 && x.len() > 0).then_some(Self::Reduce {
            statistic,
            reduced,
            inner,
        })
    }

    /// Operands whose place the result may take.
    pub(super) fn over(&self) -> Vec<usize> {
        match self {
            Self::Softmax { .. } | Self::Normalise { .. } => vec![0],
            Self::Reduce { .. } | Self::Response { .. } => vec![],
        }
    }

    pub(super) fn run(&self, worker: &mut Worker<'_, '_>, operands: Operands<'_>, out: &mut [f32]) {
        let (x, isa): (&[f32], _) = (operands.elements(0), worker.isa);
        let there = operands.over == Some(0);
        let split = if x.len().max(out.len()) < SMALL { Split::Caller } else { Split::Runs(1) };
        let (row, piece) = match *self {
            Self::Softmax { width, .. } | Self::Normalise { width, .. } => (width, width),
            Self::Response { channels, inner, .. } => (channels * inner, channels * inner),
            Self::Reduce { inner: 1, .. } => (1, 1),
            // Some columns of the inner dimension, as there may be few outer ones.
            Self::Reduce { inner, .. } => (inner, 64),
        };
        let mut tiles = [Tiles::new(out, row, 1, piece)];
        let (scale, bias): (&[f32], &[f32]) = (operands.elements(1), operands.elements(2));
        worker.team.tiles(&mut tiles, &Parts::none(), split, |_, _, mut tile| {
            let columns = tile.columns();
            for i in tile.rows() {
                let out = tile.row(i);
                match *self {
                    Self::Softmax { width, log } => {
                        if !there {
                            out.copy_from_slice(&x[i * width..][..width]);
                        }
                        reduce::softmax(isa, out, width, log);
                    }
                    Self::Normalise { width, eps, rms } => {
                        if !there {
                            out.copy_from_slice(&x[i * width..][..width]);
                        }
                        let some = |x: &'_ [f32]| !x.is_empty();
                        let affine = Affine {
                            weight: some(scale).then_some(scale),
                            offset: 0.0,
                            bias: some(bias).then_some(bias),
                        };
                        if rms {
                            norm::rms(isa, out, eps, affine);
                        } else {
                            norm::layer(isa, out, eps, affine);
                        }
                    }
                    Self::Response { response, channels, inner } => {
                        let x = &x[i * channels * inner..][..channels * inner];
                        response.divide(isa, x, inner, out);
                    }
                    Self::Reduce { statistic, reduced, inner } => {
                        let x = &x[i * reduced * inner..][..reduced * inner];
                        reduce::reduce(isa, statistic, x, inner, columns.start, out);
                    }
                }
            }
        });
    }
}
