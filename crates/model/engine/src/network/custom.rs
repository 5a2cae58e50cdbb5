//! Registered operators as they run: a stage whose program is the owner's code.
//!
//! Operands are copied into memory of the stage and results are read there, as with every other
//! stage; that memory and the operator's room are named in a plan, so the promise holds them.

use super::file::Folder;
use crate::error::EngineError;
use import::network::{
    Constant, Port,
    custom::{Call, Operand},
};
use plan::{
    BufferId, BufferKind, Control, Dim, Grant, LoadError, Plan, Program, ReadError, RunError, Slot,
    State, Unit,
};
use std::{collections::BTreeMap, fmt, ops::Range, sync::Arc};
use tensor::{Bytes, DType, Shape, TensorRef, TensorType};

/// Why an operator does not take what it is given, or cannot compute it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OperatorError(pub String);

impl From<&str> for OperatorError {
    fn from(reason: &str) -> Self {
        Self(reason.to_owned())
    }
}

impl From<String> for OperatorError {
    fn from(reason: String) -> Self {
        Self(reason)
    }
}

/// An operator that no format lists; [`super::Network::register`] adds it.
pub trait Operator: fmt::Debug + Send + Sync {
    /// Types and extents of the results, before a run.
    ///
    /// # Errors
    /// If the operator does not take these operands or settings.
    fn results(&self, call: &Call) -> Result<Vec<(DType, Shape)>, OperatorError>;

    /// Room that a run needs beside operands and results.
    fn scratch(&self, _call: &Call) -> Bytes {
        Bytes::ZERO
    }

    /// Computes the results: `outputs` has the bytes of each, little-endian and row-major, as
    /// [`Operator::results`] said. What they held before is not defined, and so with `scratch`.
    ///
    /// # Errors
    /// If the values do not allow it.
    fn run(
        &self,
        call: &Call,
        inputs: &[Option<TensorRef<'_>>],
        scratch: &mut [u8],
        outputs: &mut [&mut [u8]],
    ) -> Result<(), OperatorError>;
}

/// Operands and results that one use may have.
pub(super) const PORTS_MAX: usize = 32;

/// Registered operators by name.
pub(super) type Operators = BTreeMap<String, Arc<dyn Operator>>;

/// A call of an operator, ready to run.
#[derive(Debug)]
pub(super) struct Called {
    plan: Plan,
    operator: Arc<dyn Operator>,
    call: Call,
    /// Where each operand lies in the state's memory; none where it is left out.
    operands: Vec<Option<Range<usize>>>,
    /// Operands that are known, with their places in the memory.
    known: Vec<(Range<usize>, Arc<[u8]>)>,
    /// Operands that a run gives, in the order of the plan's inputs.
    live: Vec<Range<usize>>,
    results: Vec<usize>,
    scratch: usize,
}

impl Called {
    /// Plans a call; known operands are read out of `folder`.
    pub(super) fn new(
        operator: Arc<dyn Operator>,
        call: Call,
        ports: &[Option<Port>],
        results: &[(DType, Shape)],
        folder: &Folder,
    ) -> Result<Self, EngineError> {
        let mut plan = Plan::default();
        let (mut operands, mut known, mut live) = (Vec::new(), Vec::new(), Vec::new());
        let mut end = 0;
        for (place, (port, operand)) in ports.iter().zip(&call.operands).enumerate() {
            let (Some(port), Some(operand)) = (port, operand) else {
                operands.push(None);
                continue;
            };
            let slot =
                name(&mut plan, format!("{}.in{place}", call.name), operand.dtype, operand.dims);
            let range = end..end + size(operand.dtype, operand.dims);
            end = range.end;
            operands.push(Some(range.clone()));
            match port {
                Port::Live(_) => {
                    plan.inputs.push(plan::Port { name: format!("in{place}"), slot });
                    live.push(range);
                }
                Port::Constant(constant) => {
                    let bytes = read(constant, operand.dtype, range.len(), folder)?;
                    known.push((range, bytes));
                }
            }
        }
        for (place, &(dtype, dims)) in results.iter().enumerate() {
            let slot = name(&mut plan, format!("{}.out{place}", call.name), dtype, dims);
            plan.outputs.push(plan::Port { name: format!("out{place}"), slot });
        }
        let scratch = operator.scratch(&call);
        if scratch > Bytes::ZERO {
            plan.name(format!("{}.scratch", call.name), BufferKind::Scratch, scratch);
        }
        let results = results.iter().map(|&(dtype, dims)| size(dtype, dims)).collect();
        let scratch = scratch.to_usize().ok_or(LoadError::Memory { bytes: scratch })?;
        Ok(Self { plan, operator, call, operands, known, live, results, scratch })
    }
}

impl fmt::Display for Called {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, plan, .. } = self;
        let (operands, results) = (plan.inputs.len(), plan.outputs.len());
        writeln!(f, "# {} `{}`: {operands} operands, {results} results", call.name, call.node)
    }
}

/// A buffer for a value, and the value's slot there.
fn name(plan: &mut Plan, name: String, dtype: DType, dims: Shape) -> Slot {
    let bytes = Bytes(size(dtype, dims) as u64);
    let buffer: BufferId = plan.name(name, BufferKind::Arena, bytes);
    Slot {
        buffer,
        offset: 0,
        dtype,
        dims: dims.iter().map(|&n| Dim::Fixed(n)).collect(),
        pitch: None,
    }
}

/// Bytes of an array, which the importer has checked.
fn size(dtype: DType, dims: Shape) -> usize {
    let bytes = dims.elements().and_then(|n| n.checked_mul(dtype.bytes()));
    bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX)
}

/// The elements of a constant.
fn read(
    constant: &Constant,
    dtype: DType,
    len: usize,
    folder: &Folder,
) -> Result<Arc<[u8]>, EngineError> {
    Ok(match constant {
        Constant::Bytes(bytes) => Arc::clone(bytes),
        Constant::Splat(one) => {
            let width = usize::try_from(dtype.bytes()).unwrap_or(one.len());
            one[..width].iter().copied().cycle().take(len).collect()
        }
        Constant::Stored(stored) => {
            let whole = folder.find(stored).and_then(|piece| piece.whole());
            whole.map_err(|error| {
                let (tensor, reason) = ("operand".to_owned(), error.to_string());
                EngineError::Load(LoadError::Read(ReadError { tensor, reason }))
            })?
        }
    })
}

/// Memory of zeros, if the system has it.
fn zeros(len: usize) -> Result<Vec<u8>, LoadError> {
    let mut memory = Vec::new();
    let refused = memory.try_reserve_exact(len).is_err();
    if refused {
        return Err(LoadError::Memory { bytes: Bytes(len as u64) });
    }
    memory.resize(len, 0);
    Ok(memory)
}

impl Program for Called {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn units(&self) -> Vec<Unit> {
        Vec::new()
    }

    fn state(self: Arc<Self>, grant: &mut Grant) -> Result<Box<dyn State>, LoadError> {
        grant.take(self.plan.promise().total())?;
        let operands = self.operands.iter().flatten().map(|range| range.end).max();
        let mut memory = zeros(operands.unwrap_or(0))?;
        for (range, bytes) in &self.known {
            memory[range.clone()].copy_from_slice(bytes);
        }
        let results = self.results.iter().map(|&len| zeros(len)).collect::<Result<_, _>>()?;
        let scratch = zeros(self.scratch)?;
        Ok(Box::new(Calling { program: self, memory, results, scratch }))
    }
}

/// One run's memory of a call.
#[derive(Debug)]
struct Calling {
    program: Arc<Called>,
    memory: Vec<u8>,
    results: Vec<Vec<u8>>,
    scratch: Vec<u8>,
}

impl State for Calling {
    fn plan(&self) -> &Plan {
        &self.program.plan
    }

    fn input(&mut self, port: usize) -> &mut [u8] {
        &mut self.memory[self.program.live[port].clone()]
    }

    fn run(&mut self, _extents: &[u64], control: &dyn Control) -> Result<(), RunError> {
        if control.cancelled() {
            return Err(RunError::Cancelled);
        }
        let Called { operator, call, operands, .. } = &*self.program;
        let memory = &self.memory;
        let view = |(range, operand): (&Option<Range<usize>>, &Option<Operand>)| {
            let (range, operand) = (range.clone()?, operand.as_ref()?);
            let ty = TensorType::Plain(operand.dtype);
            Some(TensorRef::new(ty, operand.dims, &memory[range]).expect("it was sized for this"))
        };
        // A run allocates nothing.
        let mut inputs = [None; PORTS_MAX];
        for (input, given) in inputs.iter_mut().zip(operands.iter().zip(&call.operands)) {
            *input = view(given);
        }
        let mut outputs: [&mut [u8]; PORTS_MAX] = Default::default();
        for (output, result) in outputs.iter_mut().zip(&mut self.results) {
            *output = result;
        }
        let (inputs, outputs) =
            (&inputs[..operands.len()], &mut outputs[..self.program.results.len()]);
        operator.run(call, inputs, &mut self.scratch, outputs).map_err(|error| {
            let (op, node) = (call.name.clone(), call.node.clone());
            RunError::Custom { op, node, reason: error.0 }
        })
    }

    fn output(&self, port: usize) -> &[u8] {
        &self.results[port]
    }

    fn positions(&self) -> u64 {
        0
    }

    fn truncate(&mut self, _positions: u64) {}
}
