//! Codes by themselves: tables, sums scaled, singles to codes and back, pairs of whole numbers.
//!
//! All go element by element; large ones are shared out in rows of their leading dimensions.

use super::{Constant, Operands, Place, Worker, bytes, extents, scaling, to};
use crate::layout::index;
use crate::pool::{Parts, Split, Tiles};
use crate::steps::Maker;
use crate::steps::array::elementwise::Broadcast;
use crate::steps::array::facts::Known;
use crate::steps::array::{Source, row};
use kernels::int8::codes::{
    self as bytewise, Dequantising, Nearest, Pair, Quantising, lookup, lookup_words, pairs,
};
use kernels::int8::scale::To;
use kernels::int8::{self, Scale, Word};
use plan::array::{CodePairs, Requant, Rounding, Zip};
use plan::{Operand, Plan, Step};
use tensor::DType;

/// Elements below which dividing work costs more than it saves.
const SMALL: usize = 1 << 15;

/// Bytes by a table.
#[derive(Debug)]
pub(crate) struct Lookup {
    signed: bool,
    /// Bytes of an element of the table.
    width: usize,
    /// Elements of a row.
    row: usize,
}

impl Lookup {
    pub(super) fn new(step: &Step, out: &Place) -> Option<Self> {
        let Operand::Slot(x) = step.input(0) else { return None };
        let signed = match x.dtype {
            DType::I8 => true,
            DType::U8 => false,
            _ => return None,
        };
        let width = index(out.dtype.bytes());
        matches!(width, 1 | 4).then(|| Self { signed, width, row: row(&out.dims).max(1) })
    }

    pub(super) fn run(&self, worker: &mut Worker<'_, '_>, operands: Operands<'_>, out: &mut [u8]) {
        let (x, table) = (bytes(&operands, 0), bytes(&operands, 1));
        // The table begins with the least code.
        let flip = if self.signed { 0x80 } else { 0 };
        let some = |x: &[u8], out: &mut [u8]| {
            if self.width == 1 {
                lookup(x, flip, table.first_chunk().expect("a table of all codes"), out);
            } else {
                let (words, _) = table.as_chunks::<4>();
                lookup_words(x, flip, words.first_chunk().expect("a table of all codes"), out);
            }
        };
        if x.len() < SMALL {
            return some(x, out);
        }
        let Self { row, width, .. } = *self;
        worker.team.rows(out, row * width, &Parts::none(), |_, first, out| {
            some(&x[first * row..][..out.len() / width], out);
        });
    }
}

/// Sums scaled.
#[derive(Debug)]
pub(crate) struct Scaling {
    scale: Scale,
    words: Vec<Word>,
    /// Elements of a row, a whole number of times all channels.
    row: usize,
}

impl Scaling {
    pub(super) fn new(maker: &Maker<'_>, step: &Step, op: &Requant, out: &Place) -> Option<Self> {
        let Operand::Slot(x) = step.input(0) else { return None };
        let factors = Constant::of(maker, step, 1)?;
        let last = usize::from(op.axis) + 1 == out.dims.len();
        if x.dtype != DType::I32 || factors.len() != 1 && !last {
            return None;
        }
        let (scale, words) = scaling(op, factors, factors.len())?;
        let row = row(&out.dims).next_multiple_of(words.len());
        let row = if index(out.dims.elements()?).is_multiple_of(row.max(1)) { row } else { 0 };
        Some(Self { scale, words, row })
    }

    pub(super) fn run(&self, worker: &mut Worker<'_, '_>, operands: Operands<'_>, out: &mut [u8]) {
        let x = bytes(&operands, 0);
        let (scale, words, isa) = (&self.scale, &self.words[..], worker.isa);
        if x.len() / 4 < SMALL || self.row == 0 {
            return int8::codes::Scaling { x, scale, words, out }.run(isa);
        }
        let width = scale.to().bytes();
        worker.team.rows(out, self.row * width, &Parts::none(), |_, first, out| {
            let x = &x[first * self.row * 4..][..out.len() / width * 4];
            int8::codes::Scaling { x, scale, words, out }.run(isa);
        });
    }
}

/// The scale and the zero point of a whole array of codes.
#[derive(Clone, Copy, Debug)]
enum Unit {
    /// Constants.
    Constant(f32, i32),
    /// Operands 1 and 2, the latter perhaps absent.
    Computed,
}

impl Unit {
    /// Operands 1 and 2 of a step, if they are of types that kernels know.
    fn of(maker: &Maker<'_>, step: &Step) -> Option<Self> {
        let one = |i: usize, is_known: fn(DType) -> bool| match step.input(i) {
            Operand::Absent => i == 2,
            Operand::Slot(slot) => {
                let dims = extents(step, i, maker.plan).unwrap_or_default();
                is_known(slot.dtype) && dims.iter().all(|&dim| dim == 1)
            }
            Operand::Weight(_) => Constant::of(maker, step, i)
                .is_some_and(|constant| is_known(constant.dtype) && constant.len() == 1),
            Operand::State(_) => false,
        };
        let is_byte = |dtype| matches!(dtype, DType::I8 | DType::U8);
        if !one(1, |dtype| dtype == DType::F32) || !one(2, is_byte) {
            return None;
        }
        let unit = Constant::of(maker, step, 1);
        let zero = Constant::of(maker, step, 2);
        Some(match (unit, zero, step.input(2)) {
            (Some(unit), Some(zero), _) => {
                Self::Constant(f32::from_le_bytes(unit.at(0)), zero.integer(0))
            }
            (Some(unit), None, Operand::Absent) => {
                Self::Constant(f32::from_le_bytes(unit.at(0)), 0)
            }
            _ => Self::Computed,
        })
    }

    /// Both for this run.
    fn now(self, operands: &Operands<'_>) -> (f32, i32) {
        match self {
            Self::Constant(unit, zero) => (unit, zero),
            Self::Computed => {
                let zero = operands
                    .get(2)
                    .map_or(0, |(place, bytes)| Constant { dtype: place.dtype, bytes }.integer(0));
                (operands.elements(1)[0], zero)
            }
        }
    }
}

/// Singles as codes.
#[derive(Debug)]
pub(crate) struct Quantise {
    unit: Unit,
    is_factor: bool,
    nearest: Nearest,
    bounds: (i32, i32),
    to: To,
    row: usize,
}

impl Quantise {
    /// Singles scaled by one factor.
    #[expect(clippy::cast_possible_truncation, reason = "the product is one of singles")]
    pub(super) fn scaled(
        maker: &Maker<'_>,
        step: &Step,
        op: &Requant,
        out: &Place,
    ) -> Option<Self> {
        let Operand::Slot(x) = step.input(0) else { return None };
        let factor = Constant::of(maker, step, 1).filter(|factor| factor.len() == 1)?;
        let (to, least, most) = limits(op.to)?;
        let within = least <= op.low && op.low <= op.high && op.high <= most;
        let small = (-32_768..=65_535).contains(&op.zero);
        if x.dtype != DType::F32 || !within || !small {
            return None;
        }
        let nearest = match op.rounding {
            Rounding::Fp32Even => Nearest::Even,
            Rounding::Double
            | Rounding::DoubleUp
            | Rounding::SingleAway
            | Rounding::Q8
            | Rounding::Reduced => Nearest::Away,
        };
        let unit = Unit::Constant(factor.double(0) as f32, op.zero);
        let row = row(&out.dims).max(1);
        Some(Self { unit, is_factor: true, nearest, bounds: (op.low, op.high), to, row })
    }

    /// Singles divided by one scale.
    pub(super) fn divided(maker: &Maker<'_>, step: &Step, out: &Place) -> Option<Self> {
        let Operand::Slot(x) = step.input(0) else { return None };
        let unit = Unit::of(maker, step)?;
        let (to, least, most) = limits(out.dtype)?;
        (x.dtype == DType::F32).then(|| Self {
            unit,
            is_factor: false,
            nearest: Nearest::Even,
            bounds: (least, most),
            to,
            row: row(&out.dims).max(1),
        })
    }

    pub(super) fn run(&self, worker: &mut Worker<'_, '_>, operands: Operands<'_>, out: &mut [u8]) {
        let x = bytes(&operands, 0);
        let &Self { unit, is_factor, nearest, bounds, to, row } = self;
        let (unit, zero) = unit.now(&operands);
        let isa = worker.isa;
        let some = |x: &[u8], out: &mut [u8]| {
            Quantising { x, unit, is_factor, nearest, zero, bounds, to, out }.run(isa);
        };
        if x.len() / 4 < SMALL {
            return some(x, out);
        }
        let width = to.bytes();
        worker.team.rows(out, row * width, &Parts::none(), |_, first, out| {
            some(&x[first * row * 4..][..out.len() / width * 4], out);
        });
    }
}

/// A type of codes, with its least and greatest.
fn limits(dtype: DType) -> Option<(To, i32, i32)> {
    let to = to(dtype)?;
    match to {
        To::I8 => Some((to, -128, 127)),
        To::U8 => Some((to, 0, 255)),
        To::I16 => Some((to, -32_768, 32_767)),
        To::I32 => None,
    }
}

/// Codes as singles.
#[derive(Debug)]
pub(crate) struct Dequantise {
    signed: bool,
    unit: Unit,
    row: usize,
}

impl Dequantise {
    pub(super) fn new(maker: &Maker<'_>, step: &Step, out: &Place) -> Option<Self> {
        let Operand::Slot(x) = step.input(0) else { return None };
        let signed = match x.dtype {
            DType::I8 => true,
            DType::U8 => false,
            _ => return None,
        };
        let unit = Unit::of(maker, step)?;
        let row = row(&out.dims).max(1);
        (out.dtype == DType::F32).then_some(Self { signed, unit, row })
    }

    pub(super) fn run(&self, worker: &mut Worker<'_, '_>, operands: Operands<'_>, out: &mut [u8]) {
        let x = bytes(&operands, 0);
        let &Self { signed, unit, row } = self;
        let (unit, zero) = unit.now(&operands);
        let isa = worker.isa;
        if x.len() < SMALL {
            return Dequantising { x, signed, zero, unit, out }.run(isa);
        }
        worker.team.rows(out, 4 * row, &Parts::none(), |_, first, out| {
            let x = &x[first * row..][..out.len() / 4];
            Dequantising { x, signed, zero, unit, out }.run(isa);
        });
    }
}

/// Whole numbers as singles, rounded to nearest even.
#[derive(Debug)]
pub(crate) struct Singles {
    from: DType,
    row: usize,
}

impl Singles {
    pub(super) fn new(step: &Step, out: &Place) -> Option<Self> {
        let Operand::Slot(x) = step.input(0) else { return None };
        let is_known = matches!(x.dtype, DType::I8 | DType::U8 | DType::I32);
        let row = row(&out.dims).max(1);
        (is_known && out.dtype == DType::F32).then_some(Self { from: x.dtype, row })
    }

    pub(super) fn run(&self, worker: &mut Worker<'_, '_>, operands: Operands<'_>, out: &mut [u8]) {
        match self.from {
            DType::I8 => self.each(worker, operands.elements(0), out, |x: i8| x.into()),
            DType::U8 => self.each(worker, operands.elements(0), out, |x: u8| x.into()),
            #[expect(clippy::cast_precision_loss, reason = "the operator rounds")]
            _ => self.each(worker, operands.elements(0), out, |x: i32| x as f32),
        }
    }

    fn each<T: Copy + Sync>(
        &self,
        worker: &mut Worker<'_, '_>,
        x: &[T],
        out: &mut [u8],
        single: impl Fn(T) -> f32 + Sync,
    ) {
        let some = |x: &[T], out: &mut [u8]| {
            for (out, &x) in out.as_chunks_mut().0.iter_mut().zip(x) {
                *out = single(x).to_le_bytes();
            }
        };
        if x.len() < SMALL {
            return some(x, out);
        }
        worker.team.rows(out, 4 * self.row, &Parts::none(), |_, first, out| {
            some(&x[first * self.row..], out);
        });
    }
}

/// Pairs of 32-bit integers, the second of which may repeat.
#[derive(Debug)]
pub(crate) struct Pairs {
    pair: Pair,
    /// Whether the operands change places.
    swapped: bool,
}

impl Pairs {
    pub(super) fn new(zip: Zip, inputs: &[Source], out: &Place) -> Option<Self> {
        let pair = match zip {
            Zip::Add => Pair::Sum,
            Zip::Subtract => Pair::Difference,
            Zip::Multiply => Pair::Product,
            _ => return None,
        };
        let [Source::Value(a) | Source::Weight(a), Source::Value(b) | Source::Weight(b)] = inputs
        else {
            return None;
        };
        if [a, b, out].iter().any(|place| place.dtype != DType::I32) {
            return None;
        }
        let repeats = |whole: &Place, part: &Place| {
            let leading = part.dims.iter().take_while(|&&dim| dim == 1).count();
            let own = &part.dims[leading..];
            *whole.dims == *out.dims && out.dims.ends_with(own) && !part.bytes.is_empty()
        };
        if repeats(a, b) {
            return Some(Self { pair, swapped: false });
        }
        (repeats(b, a) && pair != Pair::Difference).then_some(Self { pair, swapped: true })
    }

    pub(super) fn run(&self, operands: Operands<'_>, out: &mut [u8]) {
        let (a, b) = (bytes(&operands, 0), bytes(&operands, 1));
        if self.swapped { pairs(self.pair, b, a, out) } else { pairs(self.pair, a, b, out) }
    }
}

/// Codes of pairs of bytes, either of which may repeat.
#[derive(Debug)]
pub(crate) struct Codes {
    pair: Pair,
    op: CodePairs,
    signed: [bool; 2],
    to: To,
    blocks: Broadcast<2>,
}

/// Codes that one thread takes at a time.
const CHUNK: usize = 1 << 14;

impl Codes {
    pub(super) fn new(step: &Step, op: &CodePairs, plan: &Plan) -> Option<Self> {
        let pair = match op.zip {
            Zip::Add => Pair::Sum,
            Zip::Subtract => Pair::Difference,
            Zip::Multiply => Pair::Product,
            _ => return None,
        };
        let [a, b] = [0, 1].map(|i| Known::of(step.input(i), plan));
        let (a, b) = (a?, b?);
        let out = Known::of_slot(&step.output, plan);
        let signed = [a.dtype == DType::I8, b.dtype == DType::I8];
        let blocks = Broadcast::new([&a, &b], &out);
        Some(Self { pair, op: *op, signed, to: to(op.to)?, blocks })
    }

    pub(super) fn run(&self, worker: &mut Worker<'_, '_>, operands: Operands<'_>, out: &mut [u8]) {
        let (a, b) = (bytes(&operands, 0), bytes(&operands, 1));
        let &Self { pair, op, signed, to, .. } = self;
        let unit = |of: plan::array::Scaled| bytewise::Unit { unit: of.scale, zero: of.zero };
        let isa = worker.isa;
        let split = if out.len() < SMALL { Split::Caller } else { Split::Runs(1) };
        let mut tiles = [Tiles::new(out, self.blocks.block, 1, self.blocks.piece(CHUNK))];
        worker.team.tiles(&mut tiles, &Parts::none(), split, |_, _, mut tile| {
            let columns = tile.columns();
            for row in tile.rows() {
                let [a_part, b_part] = self.blocks.parts(row, &columns);
                bytewise::CodePairs {
                    pair,
                    operands: [&a[a_part], &b[b_part]],
                    signed,
                    units: op.operands.map(unit),
                    result: unit(op.result),
                    bounds: (op.low, op.high),
                    to,
                    out: tile.row(row),
                }
                .run(isa);
            }
        });
    }
}
