//! Functions of one element and of two, over floats; operands may be repeated along dimensions.
//!
//! How an operand is repeated is brought to as few dimensions as possible when the schedule is made:
//! blocks of the result in which an operand is whole, one number, or one row again and again, and
//! the places where each block's operands begin.

use super::facts::Known;
use super::{Operands, Worker};
use crate::layout::index;
use crate::pool::{Parts, Split, Tiles};
use core::array::from_fn;
use core::ops::Range;
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
    let (len, there) = (out.len(), operands.over == Some(0));
    let mut tiles = [Tiles::new(out, len, 1, CHUNK)];
    let split = if len < SMALL { Split::Caller } else { Split::Runs(1) };
    worker.team.tiles(&mut tiles, &Parts::none(), split, |_, _, mut tile| {
        let columns = tile.columns();
        if there {
            map::map(isa, function, tile.row(0));
        } else {
            map::map_to(isa, function, &x[columns], tile.row(0));
        }
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

/// How operands are repeated in a result, block by block.
#[derive(Clone, Debug)]
pub(super) struct Broadcast<const N: usize> {
    /// Elements of a block of the result.
    pub(super) block: usize,
    /// Elements of each operand that belong to a block: as many, or some that are repeated.
    own: [usize; N],
    /// Dimensions outside of the blocks, with the operands' steps along them.
    outer: Vec<(usize, [usize; N])>,
}

impl<const N: usize> Broadcast<N> {
    /// How operands of these extents are repeated.
    pub(super) fn new(operands: [&Known; N], out: &Known) -> Self {
        // Extents with which operands vary along them; neighbours of the same kind are one.
        let mut dims: Vec<(usize, [bool; N])> = Vec::new();
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
        let (mut block, mut own) = (1, [1; N]);
        if let Some((size, varies)) = dims.pop() {
            block = size;
            own = varies.map(|varies| if varies { size } else { 1 });
        }
        // A row that some operands repeat, of which others have many.
        if let Some(&(size, varies)) = dims.last()
            && own == [block; N]
            && varies != [false; N]
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
            outer.push((size, from_fn(|i| if varies[i] { steps[i] } else { 0 })));
            for (step, varies) in steps.iter_mut().zip(varies) {
                *step *= if varies { size } else { 1 };
            }
        }
        Self { block, own, outer }
    }

    /// Where the operands of block `number` begin.
    fn places(&self, number: usize) -> [usize; N] {
        let (mut rest, mut places) = (number, [0; N]);
        for &(size, steps) in &self.outer {
            let at = rest % size;
            rest /= size;
            for (place, step) in places.iter_mut().zip(steps) {
                *place += at * step;
            }
        }
        places
    }

    /// Elements that a block may be cut into, about `chunk`: multiples of what is repeated in it.
    pub(super) fn piece(&self, chunk: usize) -> usize {
        let least = self.own.into_iter().filter(|&own| own > 1).min().unwrap_or(1);
        if least == self.block { chunk } else { (chunk / least).max(1) * least }
    }

    /// The operands' elements for some columns of a block.
    pub(super) fn parts(&self, number: usize, columns: &Range<usize>) -> [Range<usize>; N] {
        let places = self.places(number);
        from_fn(|i| {
            if self.own[i] == self.block {
                places[i] + columns.start..places[i] + columns.end
            } else {
                places[i]..places[i] + self.own[i]
            }
        })
    }
}

/// A function of pairs of singles.
#[derive(Clone, Debug)]
pub(super) struct Zipped {
    function: Pairs,
    blocks: Broadcast<2>,
}

impl Zipped {
    /// Function `function` of operands of these extents.
    pub(super) fn new(function: Pairs, operands: [&Known; 2], out: &Known) -> Self {
        Self { function, blocks: Broadcast::new(operands, out) }
    }

    /// Operands whose place the result may take, of as many elements: the first, and the second
    /// where it may stand first.
    pub(super) fn over(&self) -> Vec<usize> {
        match self.function {
            Pairs::Add
            | Pairs::Multiply
            | Pairs::Minimum
            | Pairs::Maximum
            | Pairs::SquaredDifference => vec![0, 1],
            Pairs::Subtract | Pairs::Divide | Pairs::Prelu => vec![0],
        }
    }

    pub(super) fn run(&self, worker: &mut Worker<'_, '_>, operands: Operands<'_>, out: &mut [f32]) {
        let (function, isa) = (self.function, worker.isa);
        let (a, b): (&[f32], &[f32]) = (operands.elements(0), operands.elements(1));
        let split = if out.len() < SMALL { Split::Caller } else { Split::Runs(1) };
        let over = operands.over;
        let mut tiles = [Tiles::new(out, self.blocks.block, 1, self.blocks.piece(CHUNK))];
        worker.team.tiles(&mut tiles, &Parts::none(), split, |_, _, mut tile| {
            let columns = tile.columns();
            for row in tile.rows() {
                let [a_part, b_part] = self.blocks.parts(row, &columns);
                match over {
                    Some(0) => map::zip_into(isa, function, tile.row(row), &b[b_part]),
                    Some(_) => map::zip_into(isa, function, tile.row(row), &a[a_part]),
                    None => map::zip(isa, function, &a[a_part], &b[b_part], tile.row(row)),
                }
            }
        });
    }
}
