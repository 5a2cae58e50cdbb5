//! What products do with their sums before they store them.
//!
//! Everything happens in the wide type of the sums, so that a fused product rounds once where the
//! operators that it stands for would round after each step. Integers are exact either way.

use crate::number::{Numbers, Wide};
use crate::{Inputs, apply, quant};
use core::ops::Add;
use plan::array::{Epilogue, Map, Requant};

/// An epilogue with its operands.
pub(crate) struct Ending<'a, W> {
    residual: Option<Numbers<'a, W>>,
    activation: Option<Map>,
    scaling: Option<Scaling<'a>>,
}

struct Scaling<'a> {
    op: Requant,
    factors: Numbers<'a, f64>,
    /// Whether all columns share the first factor.
    one: bool,
}

impl<'a, W: Wide + Add<Output = W>> Ending<'a, W> {
    /// Nothing is done.
    pub(crate) fn none() -> Self {
        Self { residual: None, activation: None, scaling: None }
    }

    /// The epilogue with these operands: a residual and factors.
    pub(crate) fn new(
        epilogue: &Epilogue,
        inputs: &Inputs<'a, '_>,
        [residual, factor]: [usize; 2],
    ) -> Self {
        let scaling = epilogue.requant.map(|op| {
            let factors = inputs.at(factor);
            Scaling { op, factors: Numbers::of(factors), one: factors.shape().is_empty() }
        });
        Self {
            residual: inputs.get(residual).map(Numbers::of),
            activation: epilogue.activation,
            scaling,
        }
    }

    /// What becomes of the sum of element `i`, which stands in `column` of the last dimension.
    pub(crate) fn of(&self, i: usize, column: usize, sum: W) -> W {
        let sum = self.residual.map_or(sum, |residual| sum + residual.at(i));
        let sum = self.activation.map_or(sum, |map| W::of_float(apply(map, sum.float())));
        self.scaling.as_ref().map_or(sum, |Scaling { op, factors, one }| {
            let factor = factors.at(if *one { 0 } else { column });
            W::of_integer(quant::code(op, sum.integer(), factor))
        })
    }
}

#[cfg(test)]
mod tests;
