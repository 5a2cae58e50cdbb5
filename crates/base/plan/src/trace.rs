//! What a run did when: spans of time, and the units of a schedule that they belong to.
//!
//! A [`Trace`] is reached through [`Control::trace`](crate::Control::trace); where there is none, a run
//! takes no time for it. Neither side allocates: spans are small values that name a unit by number, and
//! what the units are is asked once, by [`Program::units`](crate::Program::units).

use crate::{ArrayOp, Dim, KvCache, Op, Operand, Plan, Slot, Step};
use alloc::{string::String, vec::Vec};
use core::{fmt::Write as _, ops::Range, time::Duration};
use tensor::{Bytes, DType, TensorType};

/// Takes note of spans; called from all threads of a run.
pub trait Trace: Sync {
    /// Time since some fixed moment.
    fn now(&self) -> Duration;

    /// Takes note of a span that has ended. Must not allocate or block.
    fn note(&self, span: Span);
}

/// Something that took time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Which unit of the schedule.
    pub unit: u32,
    /// Who did it.
    pub who: Who,
    /// When it began.
    pub begin: Duration,
    /// When it ended.
    pub end: Duration,
    /// Rows that the unit computed.
    pub rows: u64,
    /// Positions that the caches held before the run.
    pub position: u64,
}

/// Whose time a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The unit's, from beginning to end.
    All,
    /// One worker's part of it; the caller is worker 0. A unit may have several.
    Worker(u32),
}

/// One unit of a schedule: a step, or several that a backend runs as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// What it does, with the type and shape of its matrices: `linear Q4_0 960x576`, or of its
    /// weights and its result: `conv F32 64x3x7x7 -> 1x64x112x112`.
    pub name: String,
    /// The layer it belongs to.
    pub layer: Option<u32>,
    /// Rows that it computes in a run.
    pub rows: Dim,
    /// Bytes of weights as stored; read once in a run.
    pub weight_bytes: Bytes,
    /// Bytes of caches for each position held.
    pub position_bytes: Bytes,
    /// Multiplications with matrices for each row.
    pub row_macs: u64,
    /// Multiplications with caches for each row and position held.
    pub position_macs: u64,
    /// Bytes of the arrays that it reads and writes beside its weights.
    pub value_bytes: Bytes,
    /// What it multiplies.
    pub factors: Factors,
}

/// What is multiplied, as it decides how many multiplications a processor does in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factors {
    /// Bytes, or weights of blocks with activations of bytes.
    Bytes,
    /// Single-precision numbers.
    Singles,
}

impl Unit {
    /// Describes neighbouring steps of a plan that run as one.
    pub fn of(plan: &Plan, range: Range<usize>) -> Self {
        let steps = &plan.steps[range];
        let mut unit = Self {
            name: String::new(),
            layer: steps.first().and_then(|step| step.layer),
            rows: steps
                .first()
                .and_then(|step| step.output.dims.first().copied())
                .unwrap_or(Dim::Fixed(1)),
            weight_bytes: Bytes::ZERO,
            position_bytes: Bytes::ZERO,
            row_macs: 0,
            position_macs: 0,
            value_bytes: Bytes::ZERO,
            factors: Factors::Bytes,
        };
        if let [step] = steps
            && let Op::Array(op) = &step.op
        {
            unit.array(step, op, plan);
            return unit;
        }
        let mut ops: Vec<&'static str> = Vec::new();
        let (mut outputs, mut inputs, mut ty) = (0, 0, None);
        for step in steps {
            if ops.last() != Some(&step.op.name()) {
                ops.push(step.op.name());
            }
            for id in (0..step.inputs.len()).filter_map(|i| step.weight(i)) {
                let weight = &plan.weights[id.0 as usize];
                let looked_up = matches!(step.op, Op::Embed { .. } | Op::EmbedPositions);
                let dims = weight.shape.dims();
                if looked_up {
                    continue;
                }
                unit.weight_bytes.0 += weight.stored_bytes().0;
                if dims.len() == 2 {
                    unit.row_macs += weight.shape.elements().unwrap_or(0);
                    outputs += dims[0];
                    inputs = dims[1];
                    ty = Some(weight.ty);
                }
            }
            unit.caches(step, plan);
        }
        unit.name = ops.join("+");
        if let Some(ty) = ty {
            write!(unit.name, " {ty} {outputs}x{inputs}").expect("strings take everything");
        }
        unit
    }

    /// Adds what a step reads of its cache.
    fn caches(&mut self, step: &Step, plan: &Plan) {
        let Op::Attention(attention) = step.op else { return };
        let heads = u64::from(attention.heads);
        let widths = u64::from(attention.head_dim) + u64::from(attention.v_head_dim);
        self.position_macs += heads * widths;
        for input in &step.inputs {
            if let Operand::State(id) = input {
                let cache = &plan.states[id.0 as usize];
                let all = KvCache::bytes(cache).0;
                self.position_bytes.0 += all / cache.positions.max(1);
            }
        }
    }

    /// Describes an operator on arrays, whose extents are all numbers.
    fn array(&mut self, step: &Step, op: &ArrayOp, plan: &Plan) {
        let elements = |dims: &[u64]| dims.iter().fold(1, |n: u64, dim| n.saturating_mul(*dim));
        let of_slot = |slot: &Slot| -> Vec<u64> {
            slot.dims.iter().map(|dim| dim.max(&plan.symbols)).collect()
        };
        let bytes = |slot: &Slot| elements(&of_slot(slot)).saturating_mul(slot.dtype.bytes());
        self.value_bytes = Bytes(bytes(&step.output));
        let mut operands: Vec<(Vec<u64>, TensorType)> = Vec::new();
        for input in &step.inputs {
            operands.push(match input {
                Operand::Slot(slot) => {
                    self.value_bytes.0 = self.value_bytes.0.saturating_add(bytes(slot));
                    (of_slot(slot), slot.dtype.into())
                }
                Operand::Weight(id) => {
                    let weight = &plan.weights[id.0 as usize];
                    self.weight_bytes.0 =
                        self.weight_bytes.0.saturating_add(weight.stored_bytes().0);
                    (weight.shape.dims().to_vec(), weight.ty)
                }
                Operand::State(_) | Operand::Absent => continue,
            });
        }
        let out = of_slot(&step.output);
        let operand = |i: usize| operands.get(i).map_or(&[][..], |(dims, _)| dims.as_slice());
        let macs = op.macs(operand(0), operand(1), &out);
        // All rows of an array are one: its extents do not vary.
        self.rows = Dim::Fixed(1);
        self.row_macs = macs;
        let ty = operands.first().map_or(TensorType::Plain(step.output.dtype), |(_, ty)| *ty);
        if ty == TensorType::Plain(DType::F32) {
            self.factors = Factors::Singles;
        }
        write!(self.name, "{} {ty}", op.name()).expect("strings take everything");
        if macs > 0 {
            write!(self.name, " {} ->", extents(operand(1))).expect("strings take everything");
        }
        write!(self.name, " {}", extents(&out)).expect("strings take everything");
    }

    /// Bytes of weights, caches and arrays that a run of `rows` rows at `position` moves at least.
    pub fn bytes(&self, rows: u64, position: u64) -> Bytes {
        let caches = self.position_bytes.0.saturating_mul(position + rows);
        let all = self.weight_bytes.0.saturating_add(caches);
        Bytes(all.saturating_add(self.value_bytes.0))
    }

    /// Multiplications of such a run.
    pub fn macs(&self, rows: u64, position: u64) -> u64 {
        let rows = if let Dim::Fixed(own) = self.rows { own } else { rows };
        // A row sees itself and all before it.
        let seen = rows.saturating_mul(position).saturating_add(rows.saturating_mul(rows + 1) / 2);
        let products = self.row_macs.saturating_mul(rows);
        products.saturating_add(self.position_macs.saturating_mul(seen))
    }
}

/// Extents as in `1x64x112x112`; a single number has none.
fn extents(dims: &[u64]) -> String {
    let mut text = String::new();
    for (i, dim) in dims.iter().enumerate() {
        let cross = if i == 0 { "" } else { "x" };
        write!(text, "{cross}{dim}").expect("strings take everything");
    }
    if text.is_empty() { String::from("1") } else { text }
}
