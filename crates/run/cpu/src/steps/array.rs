//! Operators on dense arrays: by kernels of their own, or by `reference` over parts of the result.
//!
//! Every extent is a number, so places are byte ranges that are fixed when the schedule is made, and
//! so is the kernel of each step ([`Choice`]). What has none is divided into rows of the result's
//! leading dimensions where each of its elements is computed by itself; the other operators run on
//! the caller.

mod facts;
mod int8;
mod moves;
mod packing;
mod product;
mod squares;
mod matrices;
mod slide;
mod elementwise;
mod plain;
mod rows;
mod resize;
mod spread;
mod recurrent;

pub(crate) use packing::Packing;

use facts::{Choice, Facts};

use super::{Frame, Maker};
use crate::layout::{index, numbers, numbers_mut};
use crate::pool::{Parts, Team};
use core::ops::Range;
use kernels::{Isa, gemm::Residual};
use plan::{ArrayOp, Freedom, Operand, Part, Plan, RunError, Slot, Step};
use reference::Out;
use std::sync::{Mutex, PoisonError};
use tensor::cast::Number;
use tensor::{Bytes, DType, Shape, TensorRef, TensorType, cast};

/// Most operands of an operator, but for `Concat`, whose operands are copied one by one.
const OPERANDS_MAX: usize = 8;

/// Elementary operations below which dividing work costs more than it saves.
const SMALL: u64 = 1 << 14;

/// A dense array in one of a state's regions.
#[derive(Clone, Debug)]
struct Place {
    bytes: Range<usize>,
    dtype: DType,
    dims: Shape,
}

/// Where an operand is.
#[derive(Clone, Debug)]
enum Source {
    Value(Place),
    Weight(Place),
    Absent,
}

/// An operator with the places of its operands.
#[derive(Debug)]
pub(crate) struct Array {
    op: ArrayOp,
    inputs: Vec<Source>,
    out: Place,
    kernel: Choice,
    /// What computes it where it is on bytes, or only moves elements.
    quick: Option<Quick>,
    /// Elements of a row that one thread computes at a time by `reference`, if rows are computed
    /// apart.
    row: Option<usize>,
    /// The operand whose place the result takes.
    over: Option<usize>,
    /// Elements from each run of the result's last dimension to the next, if they lie apart.
    pitch: Option<usize>,
}

/// Kernels that do without floats.
#[derive(Debug)]
enum Quick {
    /// An operator on bytes.
    Int8(Box<int8::Int8>),
    /// Elements moved to other places.
    Moves(moves::Moves),
    /// Whole numbers, truth values.
    Plain(plain::Plain),
}

/// Scratch of a step.
pub(super) fn scratch(step: &Step, op: &ArrayOp, plan: &Plan, threads: usize) -> Bytes {
    if let Some(bytes) = int8::scratch(step, plan, threads) {
        return bytes;
    }
    match Facts::of(step, plan).map(|facts| facts.choice()) {
        Some(Choice::Product(product)) => product.scratch(threads),
        Some(Choice::Squares(squares)) => squares.scratch(threads),
        Some(Choice::Matrices(matrices)) => matrices.scratch(threads),
        Some(Choice::Cells(cells)) => cells.scratch(),
        Some(Choice::Resized(resized)) => resized.scratch(threads),
        Some(Choice::Spread(spread)) => spread.scratch(threads),
        Some(Choice::Slide(_) | Choice::Map(_) | Choice::Zip(_) | Choice::Rows(_)) => Bytes::ZERO,
        Some(Choice::Reference) | None => Bytes(reference::scratch_bytes(op)),
    }
}

/// Where a step's result may lie.
pub(super) fn freedom(step: &Step, plan: &Plan) -> Freedom {
    let choice = Facts::of(step, plan).map(|facts| facts.choice());
    let part = match &choice {
        Some(Choice::Product(product)) if product.is_one() => Part::Columns,
        Some(Choice::Squares(_)) => Part::Columns,
        _ => Part::Whole,
    };
    let over = match choice {
        // The residual, of which each element is read before its sum is stored.
        Some(Choice::Product(_) | Choice::Squares(_) | Choice::Matrices(_) | Choice::Spread(_)) => {
            vec![3]
        }
        Some(Choice::Map(_)) => vec![0],
        Some(Choice::Zip(zipped)) => zipped.over(),
        Some(Choice::Rows(rows)) => rows.over(),
        Some(Choice::Slide(_) | Choice::Cells(_) | Choice::Resized(_) | Choice::Reference)
        | None => vec![],
    };
    Freedom { over, part }
}

/// Who computes a step, on what.
struct Worker<'a, 'p> {
    team: &'a mut Team<'p>,
    isa: Isa,
    scratch: &'a mut [u8],
}

/// The operands of a step while its result is written.
#[derive(Clone, Copy)]
struct Operands<'a> {
    sources: &'a [Source],
    /// Values before the result.
    before: &'a [u8],
    /// Values behind it, which begin at `shift`.
    after: &'a [u8],
    shift: usize,
    weights: &'a [u8],
    /// The operand in whose place the result is written: it is read there alone.
    over: Option<usize>,
    /// Elements from each run of the result's last dimension to the next, if they lie apart.
    pitch: Option<usize>,
}

impl<'a> Operands<'a> {
    /// The bytes of operand `i`, with its place; none of one in whose place the result is written.
    fn get(&self, i: usize) -> Option<(&'a Place, &'a [u8])> {
        Some(match self.sources.get(i)? {
            Source::Absent => return None,
            Source::Value(_) if self.over == Some(i) => return None,
            Source::Weight(place) => (place, &self.weights[place.bytes.clone()]),
            Source::Value(place) if place.bytes.end <= self.before.len() => {
                (place, &self.before[place.bytes.clone()])
            }
            Source::Value(place) if place.bytes.is_empty() => (place, &[][..]),
            Source::Value(place) => {
                let bytes = place.bytes.start - self.shift..place.bytes.end - self.shift;
                (place, &self.after[bytes])
            }
        })
    }

    /// The elements of operand `i`; none where it is absent.
    fn elements<T: Number>(&self, i: usize) -> &'a [T] {
        self.get(i).map_or(&[], |(_, bytes)| numbers(bytes))
    }

    /// What is added to some rows of sums, where it has these rows if it has rows.
    fn residual<'r>(&self, rows: &'r [&'r [f32]]) -> Residual<'r> {
        match self.sources.get(3) {
            Some(Source::Value(_)) if self.over == Some(3) => Residual::There,
            Some(Source::Value(_) | Source::Weight(_)) => Residual::Rows(rows),
            Some(Source::Absent) | None => Residual::Absent,
        }
    }

    /// Operand `i` as an array.
    fn tensor(&self, i: usize) -> Option<TensorRef<'a>> {
        let (place, bytes) = self.get(i)?;
        let tensor = TensorRef::new(place.dtype.into(), place.dims, bytes);
        Some(tensor.expect("places are as large as their arrays"))
    }
}

impl Array {
    pub(super) fn new(maker: &Maker<'_>, step: &Step, op: ArrayOp) -> Self {
        let value = |slot: &Slot| {
            let dims: Vec<u64> = slot.dims.iter().map(|dim| dim.max(&maker.plan.symbols)).collect();
            Place {
                bytes: maker.layout.bytes(slot, &maker.plan.symbols),
                dtype: slot.dtype,
                dims: Shape::new(&dims).expect("the graph's rules bound ranks"),
            }
        };
        let source = |(i, input): (usize, &Operand)| match input {
            Operand::Slot(slot) => Source::Value(value(slot)),
            Operand::Weight(id) => Source::Weight(Place {
                bytes: match Packing::of(step, i, maker.plan) {
                    Some(packing) => maker.placement.packed(*id, packing),
                    None => maker.placement.raw(*id),
                },
                dtype: dtype(maker.plan, *id),
                dims: maker.plan.weights[id.0 as usize].shape,
            }),
            Operand::State(_) | Operand::Absent => Source::Absent,
        };
        let inputs: Vec<Source> = step.inputs.iter().enumerate().map(source).collect();
        let out = value(&step.output);
        let is_over = |source: &Source| match source {
            Source::Value(place) => !place.bytes.is_empty() && place.bytes == out.bytes,
            Source::Weight(_) | Source::Absent => false,
        };
        let over = inputs.iter().position(is_over);
        let kernel = Facts::of(step, maker.plan).map_or(Choice::Reference, |facts| facts.choice());
        let divides = reference::divides(&op) && work(&op, &inputs, &out) >= SMALL;
        let row = divides.then(|| row(&out.dims));
        let quick = int8::Int8::new(maker, step, &op, (&inputs, &out));
        let quick = quick.map(|kernel| Quick::Int8(Box::new(kernel)));
        let moves = || moves::Moves::new(&op, &inputs, &out).map(Quick::Moves);
        let plain = || {
            let facts = Facts::of(step, maker.plan).filter(|_| matches!(kernel, Choice::Reference));
            facts.and_then(|facts| plain::Plain::new(&facts)).map(Quick::Plain)
        };
        let quick = quick.or_else(moves).or_else(plain);
        let pitch = step.output.pitch.map(index);
        Self { op, inputs, out, kernel, quick, row, over, pitch }
    }

    pub(super) fn run(&self, frame: &mut Frame<'_, '_>) -> Result<(), RunError> {
        if self.out.bytes.is_empty() {
            return Ok(());
        }
        let values = cast::to_bytes_mut(frame.values);
        let (before, rest) = values.split_at_mut(self.out.bytes.start);
        let (out, after) = rest.split_at_mut(self.out.bytes.len());
        let operands = Operands {
            sources: &self.inputs,
            before,
            after,
            shift: self.out.bytes.end,
            weights: frame.weights,
            over: self.over,
            pitch: self.pitch,
        };
        let worker = &mut Worker { team: frame.team, isa: frame.isa, scratch: frame.scratch };
        match &self.quick {
            Some(Quick::Int8(kernel)) => {
                kernel.run(worker, operands, out);
                return Ok(());
            }
            Some(Quick::Moves(moves)) => {
                moves.run(worker, operands, out);
                return Ok(());
            }
            Some(Quick::Plain(plain)) => {
                plain.run(worker, operands, out);
                return Ok(());
            }
            None => {}
        }
        match &self.kernel {
            Choice::Product(product) => product.run(worker, operands, numbers_mut(out)),
            Choice::Squares(squares) => squares.run(worker, operands, numbers_mut(out)),
            Choice::Matrices(product) => product.run(worker, operands, numbers_mut(out)),
            Choice::Slide(slide) => slide.run(worker, operands, numbers_mut(out)),
            Choice::Map(function) => {
                elementwise::map(*function, worker, operands, numbers_mut(out));
            }
            Choice::Zip(zipped) => zipped.run(worker, operands, numbers_mut(out)),
            Choice::Rows(rows) => rows.run(worker, operands, numbers_mut(out)),
            Choice::Cells(cells) => cells.run(worker, operands, numbers_mut(out)),
            Choice::Resized(resized) => resized.run(worker, operands, out),
            Choice::Spread(spread) => spread.run(worker, operands, numbers_mut(out)),
            Choice::Reference => return self.refer(worker, operands, out),
        }
        Ok(())
    }

    /// Computes the result by `reference`.
    fn refer(
        &self,
        worker: &mut Worker<'_, '_>,
        operands: Operands<'_>,
        out: &mut [u8],
    ) -> Result<(), RunError> {
        if let ArrayOp::Concat { axis } = self.op {
            let mut at = 0;
            for x in (0..self.inputs.len()).filter_map(|i| operands.tensor(i)) {
                at += reference::copy_along(axis, self.out.dims, at, &x, out);
            }
            return Ok(());
        }
        let mut inputs = [None; OPERANDS_MAX];
        for (i, input) in inputs[..self.inputs.len()].iter_mut().enumerate() {
            *input = operands.tensor(i);
        }
        let inputs = &inputs[..self.inputs.len()];
        let (dtype, dims) = (self.out.dtype, self.out.dims);
        let fault = Mutex::new(None);
        let note = |result: Result<(), reference::Fault>| {
            if let Err(error) = result {
                *fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
        };
        if let Some(row) = self.row {
            let width = row * index(dtype.bytes());
            worker.team.rows(out, width, &Parts::none(), |_, first, bytes| {
                let mut out = Out::part(dtype, dims, first * row, bytes);
                note(reference::run(&self.op, inputs, &mut out, &mut []));
            });
        } else {
            let mut out = Out::whole(dtype, dims, out);
            note(reference::run(&self.op, inputs, &mut out, worker.scratch));
        }
        let fault = fault.into_inner().unwrap_or_else(PoisonError::into_inner);
        fault.map_or(Ok(()), |fault| Err(self.error(fault)))
    }

    fn error(&self, fault: reference::Fault) -> RunError {
        match fault {
            reference::Fault::Index { index, extent } => {
                RunError::Outside { op: self.op.name(), index, extent }
            }
            other => unreachable!("{other} is not found while running"),
        }
    }
}

/// The element type of a weight of an array operator.
fn dtype(plan: &Plan, id: plan::WeightId) -> DType {
    match plan.weights[id.0 as usize].ty {
        TensorType::Plain(dtype) => dtype,
        TensorType::Block(block) => unreachable!("the graph's rules refuse {block}"),
    }
}

/// Elements of the trailing dimensions behind at least 64 leading rows, or as many as there are.
fn row(dims: &[u64]) -> usize {
    let mut rows = 1;
    let leading = dims.iter().position(|&dim| {
        rows *= dim;
        rows >= 64
    });
    let behind = leading.map_or(dims.len(), |last| last + 1);
    index(dims[behind..].iter().product())
}

/// About how many elementary operations a step takes.
fn work(op: &ArrayOp, inputs: &[Source], out: &Place) -> u64 {
    let operand = |i: usize| match inputs.get(i) {
        Some(Source::Value(place) | Source::Weight(place)) => place.dims,
        Some(Source::Absent) | None => Shape::SCALAR,
    };
    let elements = |dims: &Shape| dims.elements().unwrap_or(u64::MAX);
    let each = match op {
        ArrayOp::MatMul | ArrayOp::MatMulFused(_) => operand(0).last(),
        ArrayOp::Conv(_)
        | ArrayOp::ConvLast { .. }
        | ArrayOp::ConvTranspose { .. }
        | ArrayOp::ConvTransposeLast { .. }
        | ArrayOp::DeformConv { .. } => operand(1).iter().skip(1).product(),
        ArrayOp::Pool(pool) => pool.conv.kernel.iter().map(|&k| u64::from(k)).product(),
        ArrayOp::Reduce(_) | ArrayOp::ArgReduce { .. } => {
            elements(&operand(0)) / elements(&out.dims).max(1)
        }
        _ => 1,
    };
    elements(&out.dims).saturating_mul(each.max(1))
}
