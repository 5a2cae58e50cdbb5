//! Functions of one element and of two, over floats; operands may be repeated along dimensions.
//!
//! How an operand is repeated is brought to as few dimensions as possible when the schedule is made:
//! blocks of the result in which an operand is whole, one number, or one row again and again, and
//! the places where each block's operands begin.

use super::facts::Known;
use super::{Operands, Worker};
use crate::layout::index;
use crate::pool::{Parts, Split, Tiles};
use kernels::map::{self, Function, Pairs};
use plan::array::{Map, Zip};

/// Elements that one thread takes at a time.
const CHUNK: usize = 1 << 13;

/// Elements below which dividing work costs more than it saves.
const SMALL: usize = 1 << 14;

/// Applies a function to every element.
pub(super) fn map(
    function: Function,
    worker: &mut Worker<'_, '_>,
    operands: Operands<'_>,
    out: &mut [f32],
) {
    let (x, isa): (&[f32], _) = (operands.elements(0), worker.isa);
    let len = out.len();
    let mut tiles = [Tiles::new(out, len, 1, CHUNK)];
    let split = if len < SMALL { Split::Caller } else { Split::Runs(1) };
    worker.team.tiles(&mut tiles, &Parts::none(), split, |_, _, mut tile| {
        let columns = tile.columns();
        map::map_to(isa, function, &x[columns], tile.row(0));
    });
}

/// The function of an operator on one element, if there is a kernel for it.
pub(super) fn function(map: Map) -> Option<Function> {
    let elu = |alpha, gamma, width| Function::Elu { alpha, gamma, width };
    Some(match map {
        Map::Relu => Function::Clamp { low: 0.0, high: f32::INFINITY },
        Map::Relu6 => Function::Clamp { low: 0.0, high: 6.0 },
        Map::Clamp { low, high } => Function::Clamp { low, high },
        Map::Abs => Function::Abs,
        Map::Negate => Function::Negate,
        Map::Square => Function::Square,
        Map::Sqrt => Function::Sqrt,
        Map::Rsqrt => Function::Rsqrt,
        Map::Reciprocal => Function::Reciprocal,
        Map::Exp => Function::Exp,
        Map::Log => Function::Log,
        Map::Erf => Function::Erf,
        Map::Tanh => Function::Tanh,
        Map::Sigmoid => Function::Sigmoid,
        Map::Silu => Function::Swish { alpha: 1.0 },
        Map::Swish { alpha } => Function::Swish { alpha },
        Map::Gelu => Function::Gelu,
        Map::GeluTanh => Function::GeluTanh,
        Map::Softplus => Function::Softplus,
        Map::Mish => Function::Mish,
        Map::HardSwish => Function::HardSwish,
        Map::HardSigmoid { alpha, beta } => Function::HardSigmoid { alpha, beta },
        Map::LeakyRelu { alpha } => Function::LeakyRelu { alpha },
        Map::Elu { alpha } => elu(alpha, 1.0, 1.0),
        Map::Celu { alpha } => elu(alpha, 1.0, alpha),
        Map::Selu { alpha, gamma } => elu(alpha, gamma, 1.0),
        Map::Sign
        | Map::Ceil
        | Map::Floor
        | Map::Round
        | Map::Sin
        | Map::Cos
        | Map::Tan
        | Map::Asin
        | Map::Acos
        | Map::Atan
        | Map::Sinh
        | Map::Cosh
        | Map::Asinh
        | Map::Acosh
        | Map::Atanh
        | Map::Softsign
        | Map::Not
        | Map::BitNot
        | Map::IsNan
        | Map::IsInf { .. }
        | Map::ThresholdedRelu { .. }
        | Map::Shrink { .. } => return None,
    })
}

/// The function of an operator on two elements, if there is a kernel for it.
pub(super) fn pairs(zip: Zip) -> Option<Pairs> {
    Some(match zip {
        Zip::Add => Pairs::Add,
        Zip::Subtract => Pairs::Subtract,
        Zip::Multiply => Pairs::Multiply,
        Zip::Divide => Pairs::Divide,
        Zip::Minimum => Pairs::Minimum,
        Zip::Maximum => Pairs::Maximum,
        Zip::Prelu => Pairs::Prelu,
        Zip::SquaredDifference => Pairs::SquaredDifference,
        Zip::Power
        | Zip::Modulo
        | Zip::Remainder
        | Zip::And
        | Zip::Or
        | Zip::Xor
        | Zip::BitAnd
        | Zip::BitOr
        | Zip::BitXor
        | Zip::ShiftLeft
        | Zip::ShiftRight
        | Zip::Equal
        | Zip::NotEqual
        | Zip::Less
        | Zip::LessOrEqual
        | Zip::Greater
        | Zip::GreaterOrEqual
        | Zip::Atan2
        | Zip::FloorDivide => return None,
    })
}

/// A function of pairs, block by block.
#[derive(Clone, Debug)]
pub(super) struct Zipped {
    function: Pairs,
    /// Elements of a block of the result.
    block: usize,
    /// Elements of each operand that belong to a block: as many, or some that are repeated.
    own: [usize; 2],
    /// Dimensions outside of the blocks, with the operands' steps along them.
    outer: Vec<(usize, [usize; 2])>,
}

impl Zipped {
    /// Function `function` of operands of these extents.
    pub(super) fn new(function: Pairs, operands: [&Known; 2], out: &Known) -> Self {
        // Extents with which operands vary along them; neighbours of the same kind are one.
        let mut dims: Vec<(usize, [bool; 2])> = Vec::new();
        for (d, &dim) in out.dims.iter().enumerate().filter(|(_, dim)| **dim != 1) {
            let varies = operands.map(|known| {
                let lead = out.dims.len() - known.dims.len();
                d.checked_sub(lead).is_some_and(|own| known.dims[own] != 1)
            });
            match dims.last_mut() {
                Some((size, last)) if *last == varies => *size *= index(dim),
                _ => dims.push((index(dim), varies)),
            }
        }
        let (mut block, mut own) = (1, [1, 1]);
        if let Some((size, varies)) = dims.pop() {
            block = size;
            own = varies.map(|varies| if varies { size } else { 1 });
        }
        // A row that one operand repeats, of which the other has many.
        if let Some(&(size, varies)) = dims.last()
            && own == [block; 2]
            && varies != [false; 2]
        {
            dims.pop();
            for (own, varies) in own.iter_mut().zip(varies) {
                *own *= if varies { size } else { 1 };
            }
            block *= size;
        }
        let mut steps = own;
        let mut outer = Vec::with_capacity(dims.len());
        for (size, varies) in dims.into_iter().rev() {
            let step = |i: usize| if varies[i] { steps[i] } else { 0 };
            outer.push((size, [step(0), step(1)]));
            for (step, varies) in steps.iter_mut().zip(varies) {
                *step *= if varies { size } else { 1 };
            }
        }
        Self { function, block, own, outer }
    }

    /// Where the operands of block `number` begin.
    fn places(&self, number: usize) -> [usize; 2] {
        let (mut rest, mut places) = (number, [0, 0]);
        for &(size, steps) in &self.outer {
            let at = rest % size;
            rest /= size;
            for (place, step) in places.iter_mut().zip(steps) {
                *place += at * step;
            }
        }
        places
    }

    pub(super) fn run(&self, worker: &mut Worker<'_, '_>, operands: Operands<'_>, out: &mut [f32]) {
        let Self { function, block, own, .. } = *self;
        let (a, b): (&[f32], &[f32]) = (operands.elements(0), operands.elements(1));
        let isa = worker.isa;
        let split = if out.len() < SMALL { Split::Caller } else { Split::Runs(1) };
        // Blocks may be cut at multiples of what is repeated in them.
        let least = own.into_iter().filter(|&own| own > 1).min().unwrap_or(1);
        let piece = if least == block { CHUNK } else { (CHUNK / least).max(1) * least };
        let mut tiles = [Tiles::new(out, block, 1, piece)];
        worker.team.tiles(&mut tiles, &Parts::none(), split, |_, _, mut tile| {
            let columns = tile.columns();
            for row in tile.rows() {
                let places = self.places(row);
                let part = |x: &'_ [f32], i: usize| {
                    if own[i] == block {
                        places[i] + columns.start..places[i] + columns.end
                    } else {
                        debug_assert!(places[i] + own[i] <= x.len(), "inside of the operand");
                        places[i]..places[i] + own[i]
                    }
                };
                let (a, b) = (&a[part(a, 0)], &b[part(b, 1)]);
                map::zip(isa, function, a, b, tile.row(row));
            }
        });
    }
}
