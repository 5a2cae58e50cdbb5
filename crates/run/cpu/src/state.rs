//! One sequence: its values, caches and scratch, and the loop that runs the tasks.
//!
//! A run checks everything that can be wrong with its inputs before it changes anything, then goes
//! through the schedule. Positions are counted up only at its end, so an error leaves them as they
//! were; what was written beyond them is never read.

use crate::backend::CpuProgram;
use crate::layout::{View, index, numbers, numbers_mut};
use crate::memory::Region;
use crate::pool::Tracing;
use crate::steps::{Frame, Work};
use core::ops::Range;
use plan::{Control, Plan, Port, RunError, Slot, State, Who};
use std::{fmt, sync::Arc, time::Instant};

/// A sequence on the processor's cores.
pub(crate) struct CpuState {
    program: Arc<CpuProgram>,
    values: Region,
    kv: Region,
    scratch: Region,
    positions: u64,
    /// Ids that must be below a bound, in the order of the steps that use them.
    checks: Vec<Check>,
    /// Places of ports in bytes.
    inputs: Vec<Range<usize>>,
    outputs: Vec<Range<usize>>,
}

/// Ids that index a table or the rows of a value.
#[derive(Debug)]
struct Check {
    ids: View,
    input: String,
    table: Table,
}

/// What ids point into.
#[derive(Debug)]
enum Table {
    Rows(u64),
    Value(View),
}

impl CpuState {
    pub(crate) fn new(
        program: Arc<CpuProgram>,
        values: Region,
        kv: Region,
        scratch: Region,
    ) -> Self {
        let view = |slot: &Slot| program.layout.view(slot, &program.plan.symbols);
        let inputs: Vec<View> = program.plan.inputs.iter().map(|port| view(&port.slot)).collect();
        let name = |ids: View| {
            let port = inputs.iter().position(|&input| input == ids);
            port.map_or_else(|| "ids".into(), |port| program.plan.inputs[port].name.clone())
        };
        let checks = program
            .tasks
            .iter()
            .filter_map(|task| {
                let (ids, table) = match &task.work {
                    Work::Embed(embed) => (embed.ids, Table::Rows(embed.table_rows())),
                    Work::Select(select) => (select.index, Table::Value(select.x)),
                    _ => return None,
                };
                Some(Check { ids, input: name(ids), table })
            })
            .collect();
        let bytes = |port: &Port| program.layout.bytes(&port.slot, &program.plan.symbols);
        let inputs = program.plan.inputs.iter().map(bytes).collect();
        let outputs = program.plan.outputs.iter().map(bytes).collect();
        Self { program, values, kv, scratch, positions: 0, checks, inputs, outputs }
    }

    /// Refuses ids outside their tables and sequences that do not fit.
    fn check(&self, extents: &[u64]) -> Result<(), RunError> {
        let plan = &self.program.plan;
        assert_eq!(extents.len(), plan.symbols.len(), "an extent for each symbol");
        for (extent, symbol) in extents.iter().zip(&plan.symbols) {
            let fits = (1..=symbol.max).contains(extent);
            assert!(fits, "{extent} for `{}` of at most {}", symbol.name, symbol.max);
        }
        let need = self.positions.saturating_add(extents.first().copied().unwrap_or(0));
        let caches = plan.states.iter().map(|cache| cache.positions);
        let tables = self.program.tasks.iter().filter_map(|task| match &task.work {
            Work::Positions(embed) => Some(embed.table_rows()),
            _ => None,
        });
        for have in caches.chain(tables) {
            if need > have {
                return Err(RunError::Full { need, have });
            }
        }
        let values: &[f32] = numbers(self.values.bytes());
        for check in &self.checks {
            let len = match check.table {
                Table::Rows(rows) => rows,
                Table::Value(view) => view.rows(extents) as u64,
            };
            for (row, id) in (0..).zip(&values[check.ids.range(extents)]) {
                let id = u64::from(id.to_bits());
                if id >= len {
                    return Err(RunError::Index { input: check.input.clone(), row, id, len });
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for CpuState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CpuState({} positions, {:?})", self.positions, self.program)
    }
}

impl State for CpuState {
    fn plan(&self) -> &Plan {
        &self.program.plan
    }

    fn input(&mut self, port: usize) -> &mut [u8] {
        let range = self.inputs[port].clone();
        &mut self.values.bytes_mut()[range]
    }

    #[expect(clippy::disallowed_methods, reason = "how many threads are best is a matter of time")]
    fn run(&mut self, extents: &[u64], control: &dyn Control) -> Result<(), RunError> {
        self.check(extents)?;
        let program = &*self.program;
        let mut team = program.pool.team();
        // Of one token the number of threads is found by trying.
        let token = !program.plan.states.is_empty() && extents.first() == Some(&1);
        let begin = token.then(|| {
            team.fix(program.tuner().threads());
            Instant::now()
        });
        let position = index(self.positions);
        let (tables, scratch) = self.scratch.bytes_mut().split_at_mut(program.tables.len_bytes());
        let tables = numbers_mut(tables);
        program.tables.fill(program.weights.bytes(), position, extents, tables);
        let mut frame = Frame {
            team: &mut team,
            isa: program.isa,
            source: &*program.source,
            plan: &program.plan,
            weights: program.weights.bytes(),
            values: numbers_mut(self.values.bytes_mut()),
            kv: self.kv.bytes_mut(),
            scratch,
            tables,
            extents,
            position,
        };
        let trace = control.trace();
        let mut layer = None;
        let total = program.tasks.len() as u64;
        for (done, task) in (0..).zip(&program.tasks) {
            if task.layer != layer || done == 0 {
                layer = task.layer;
                if control.cancelled() {
                    return Err(RunError::Cancelled);
                }
                control.progress(done, total);
            }
            let Some(trace) = trace else {
                task.work.run(&mut frame)?;
                continue;
            };
            let first = &program.plan.steps[task.steps.start];
            let unit = u32::try_from(done).unwrap_or(u32::MAX);
            let rows = first.output.rows(extents);
            let tracing = Tracing { trace, unit, rows, position: self.positions };
            frame.team.trace(Some(tracing));
            let begin = trace.now();
            task.work.run(&mut frame)?;
            tracing.note(Who::All, begin);
        }
        if let Some(begin) = begin {
            program.tuner().ran(begin.elapsed());
        }
        if !program.plan.states.is_empty() {
            self.positions += extents.first().copied().unwrap_or(0);
        }
        Ok(())
    }

    fn output(&self, port: usize) -> &[u8] {
        let range = self.outputs[port].clone();
        &self.values.bytes()[range]
    }

    fn positions(&self) -> u64 {
        self.positions
    }

    fn truncate(&mut self, positions: u64) {
        self.positions = self.positions.min(positions);
    }
}
