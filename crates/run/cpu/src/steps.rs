//! The schedule: a plan's steps as tasks whose places are all resolved, one module a kind.
//!
//! Tasks run one after the other; inside a task the work is divided over the threads, and small
//! work stays with the caller. Nothing here allocates, locks or compares names while a plan runs.

mod array;
mod attention;
mod elementwise;
mod embed;
mod experts;
mod linear;
mod norm;
mod rope;
mod select;

pub(crate) use array::Packing;
pub(crate) use rope::Tables;

use crate::backend::NAME;
use crate::layout::{Layout, View, numbers_mut};
use crate::matrix;
use crate::pool::{Parts, Team};
use crate::weights::{self, Placement, Use};
use kernels::Isa;
use plan::{Freedom, Op, Operand, Plan, Refusal, RunError, Slot, Step, WeightSource};
use std::ops::Range;
use tensor::{Bytes, DType};

/// What a task works on.
pub(crate) struct Frame<'a, 'p> {
    pub(crate) team: &'a mut Team<'p>,
    pub(crate) isa: Isa,
    pub(crate) source: &'a dyn WeightSource,
    pub(crate) plan: &'a Plan,
    pub(crate) weights: &'a [u8],
    pub(crate) values: &'a mut [f32],
    pub(crate) kv: &'a mut [u8],
    pub(crate) scratch: &'a mut [u8],
    pub(crate) tables: &'a [f32],
    pub(crate) extents: &'a [u64],
    /// Positions in the caches before this run.
    pub(crate) position: usize,
}

/// One unit of the schedule.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) work: Work,
    pub(crate) layer: Option<u32>,
    /// The steps of the plan that it does.
    pub(crate) steps: Range<usize>,
}

/// What a task does.
#[derive(Debug)]
pub(crate) enum Work {
    Embed(embed::Embed),
    Positions(embed::Positions),
    Norm(norm::Norm),
    Linear(linear::Linear),
    Rope(rope::Rope),
    Attention(attention::Attention),
    Elementwise(elementwise::Elementwise),
    Experts(experts::Experts),
    Select(select::Select),
    Array(Box<array::Array>),
}

impl Work {
    /// Does it.
    pub(crate) fn run(&self, frame: &mut Frame<'_, '_>) -> Result<(), RunError> {
        match self {
            Self::Embed(task) => task.run(frame)?,
            Self::Positions(task) => task.run(frame)?,
            Self::Norm(task) => task.run(frame),
            Self::Linear(task) => task.run(frame),
            Self::Rope(task) => task.run(frame),
            Self::Attention(task) => task.run(frame),
            Self::Elementwise(task) => task.run(frame),
            Self::Experts(task) => task.run(frame),
            Self::Select(task) => task.run(frame),
            Self::Array(task) => task.run(frame)?,
        }
        Ok(())
    }
}

/// What is known when tasks are made.
pub(crate) struct Maker<'a> {
    plan: &'a Plan,
    layout: &'a Layout,
    placement: &'a Placement,
    tables: &'a Tables,
    /// All weights, packed.
    weights: &'a [u8],
    isa: Isa,
}

impl Maker<'_> {
    fn view(&self, slot: &Slot) -> View {
        self.layout.view(slot, &self.plan.symbols)
    }

    fn input(&self, step: &Step, i: usize) -> View {
        self.view(step.slot(i))
    }

    fn output(&self, step: &Step) -> View {
        self.view(&step.output)
    }

    /// Whether no step but `reader` reads what `steps` write, nor the caller.
    fn are_read_once(&self, steps: &Range<usize>, reader: usize) -> bool {
        let Plan { steps: all, outputs, .. } = self.plan;
        let bytes = |slot: &Slot| self.layout.bytes(slot, &self.plan.symbols);
        let meet = |a: &Range<usize>, b: &Range<usize>| a.start < b.end && b.start < a.end;
        all[steps.clone()].iter().all(|step| {
            let own = bytes(&step.output);
            if outputs.iter().any(|port| meet(&bytes(&port.slot), &own)) {
                return false;
            }
            for later in &all[reader + 1..] {
                let reads = later.inputs.iter().any(|input| match input {
                    Operand::Slot(slot) => meet(&bytes(slot), &own),
                    Operand::Weight(_) | Operand::State(_) | Operand::Absent => false,
                });
                if reads {
                    return false;
                }
                // From here on its place holds something else, so it has been read.
                if meet(&bytes(&later.output), &own) {
                    return true;
                }
            }
            true
        })
    }

    fn work(&self, step: &Step) -> Work {
        match step.op {
            Op::Embed { scale } => Work::Embed(embed::Embed::new(self, step, scale)),
            Op::EmbedPositions => Work::Positions(embed::Positions::new(self, step)),
            Op::Norm(norm) => Work::Norm(norm::Norm::new(self, step, norm)),
            Op::Linear => Work::Linear(linear::Linear::new(self, step)),
            Op::Rope(rope) => Work::Rope(rope::Rope::new(self, step, rope)),
            Op::Attention(op) => Work::Attention(attention::Attention::new(self, step, op)),
            Op::Unary(_)
            | Op::Binary(_)
            | Op::Gated { .. }
            | Op::Scale { .. }
            | Op::SoftCap { .. } => Work::Elementwise(elementwise::Elementwise::new(self, step)),
            Op::Experts(op) => Work::Experts(experts::Experts::new(self, step, op)),
            Op::SelectRows => Work::Select(select::Select::new(self, step)),
            Op::Array(op) => Work::Array(Box::new(array::Array::new(self, step, op))),
        }
    }
}

/// The schedule of a plan; neighbouring products of the same input become one task, and so does
/// what is done with their result alone.
pub(crate) fn tasks(
    plan: &Plan,
    layout: &Layout,
    placement: &Placement,
    tables: &Tables,
    (weights, isa): (&[u8], Isa),
) -> Vec<Task> {
    let maker = Maker { plan, layout, placement, tables, weights, isa };
    let mut tasks: Vec<Task> = Vec::with_capacity(plan.steps.len());
    for (i, step) in plan.steps.iter().enumerate() {
        let work = maker.work(step);
        if let (Some(Task { work: Work::Linear(last), steps, .. }), Work::Linear(next)) =
            (tasks.last_mut(), &work)
            && last.join(next)
        {
            steps.end = i + 1;
            continue;
        }
        if let (Some(Task { work: Work::Linear(last), steps, .. }), Work::Elementwise(next)) =
            (tasks.last_mut(), &work)
            && maker.are_read_once(steps, i)
            && last.end_with(next)
        {
            steps.end = i + 1;
            continue;
        }
        tasks.push(Task { work, layer: step.layer, steps: i..i + 1 });
    }
    tasks
}

/// Whether a step can be run here.
pub(crate) fn check(step: &Step, plan: &Plan) -> Result<(), Refusal> {
    let refuse =
        |reason: String| Err(Refusal::Op { backend: NAME.into(), op: step.op.name(), reason });
    if let Op::Array(_) = step.op {
        return Ok(());
    }
    for input in &step.inputs {
        if let Operand::Slot(slot) = input
            && !matches!(slot.dtype, DType::F32 | DType::U32)
        {
            return refuse(format!("values of type {} are not computed with", slot.dtype));
        }
    }
    for (id, want) in weights::uses(step, plan) {
        let weight = &plan.weights[id.0 as usize];
        if want == Use::Matrix && !matrix::has_panels(weight.ty) {
            return Err(weight.refuse(NAME));
        }
    }
    Ok(())
}

/// Where a step's result may lie.
pub(crate) fn freedom(step: &Step, plan: &Plan) -> Freedom {
    if let Op::Array(_) = step.op { array::freedom(step, plan) } else { Freedom::default() }
}

/// Scratch of a step, all threads together.
pub(crate) fn scratch(step: &Step, plan: &Plan, threads: usize) -> Bytes {
    match step.op {
        Op::Array(ref op) => array::scratch(step, op, plan, threads),
        Op::Embed { .. } | Op::EmbedPositions => embed::scratch(step, plan),
        Op::Linear => linear::scratch(step, plan),
        Op::Attention(op) => attention::scratch(step, plan, op, threads),
        Op::Experts(op) => experts::scratch(step, plan, op),
        Op::Norm(_)
        | Op::Rope(_)
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Gated { .. }
        | Op::Scale { .. }
        | Op::SoftCap { .. }
        | Op::SelectRows => Bytes::ZERO,
    }
}

/// Numbers below which dividing work costs more than it saves.
const SMALL: usize = 4096;

/// Numbers that stay in the first-level cache while a job goes over them several times.
const CACHED: usize = 4096;

/// Calls `job(first_row, rows)` for all rows of `out`, by all threads where there are many; few
/// rows at a time, which stay cached.
pub(crate) fn by_rows(
    team: &mut Team<'_>,
    out: &mut [f32],
    width: usize,
    job: impl Fn(usize, &mut [f32]) + Sync,
) {
    if out.len() == width || out.len() < SMALL {
        job(0, out);
    } else {
        let some = (CACHED / width).max(1);
        team.rows(out, width, &Parts::none(), |_, first, rows| {
            for (i, rows) in rows.chunks_mut(some * width).enumerate() {
                job(first + i * some, rows);
            }
        });
    }
}

/// Scratch bytes as numbers.
pub(crate) fn floats(bytes: &mut [u8]) -> &mut [f32] {
    let whole = bytes.len() / 4 * 4;
    numbers_mut(&mut bytes[..whole])
}

/// Bytes of so many numbers, a multiple of 64.
pub(crate) fn float_bytes(len: usize) -> usize {
    (len * 4).next_multiple_of(64)
}
