//! Runs an imported model on the processor's backend, the prompt in chunks and then token by token.
//!
//! The weights come from the case's bytes in memory; everything else is what a user's run does:
//! the graph is compiled, the plan placed and loaded within exactly what it promises.

use std::{collections::HashMap, num::NonZeroUsize, sync::Arc};

use anyhow::{Context as _, ensure};
use cpu::CpuBackend;
use formats::TensorTable;
use import::{Imported, Model};
use plan::{Backend as _, Grant, ReadError, State, Uncontrolled, Weight, WeightSource};
use tensor::{Bytes, cast};

use super::Rows;

/// Tensors in memory.
#[derive(Debug)]
struct Memory {
    table: TensorTable,
    constants: HashMap<String, Vec<f32>>,
    file: Vec<u8>,
}

impl Memory {
    fn bytes(&self, weight: &Weight, row: u64, len: usize) -> Option<&[u8]> {
        if let Some(list) = self.constants.get(&weight.tensor) {
            return cast::to_bytes(list).get(..len);
        }
        let stored = self.table.get(&weight.tensor)?;
        let start = stored.offset + weight.ty.row_bytes(weight.first)? + row * weight.row_bytes();
        self.file.get(usize::try_from(start).ok()?..)?.get(..len)
    }
}

impl WeightSource for Memory {
    fn read_rows(&self, weight: &Weight, row: u64, out: &mut [u8]) -> Result<(), ReadError> {
        let missing = || ReadError { tensor: weight.tensor.clone(), reason: "not there".into() };
        out.copy_from_slice(self.bytes(weight, row, out.len()).ok_or_else(missing)?);
        Ok(())
    }
}

/// Rows of logits or hidden states: `prompt` in chunks of `chunk`, then one by one those of
/// `decode`, on `threads` threads.
pub(crate) fn run(
    model: &Model,
    imported: Imported,
    file: Vec<u8>,
    (prompt, decode): (&[u32], &[u32]),
    (chunk, threads): (usize, usize),
) -> anyhow::Result<Rows> {
    let backend = CpuBackend::new(NonZeroUsize::new(threads).context("no threads")?)?;
    let mut plan = graph::compile(imported.graph)?;
    plan.place(&backend)?;
    let mut grant = Grant::new(plan.promise().total());
    let constants = imported.constants.into_iter().collect();
    let memory = Memory { table: model.tensors.table().clone(), constants, file };
    let program = backend.load(plan, Arc::new(memory), &mut grant, &Uncontrolled)?;
    let mut state = program.state(&mut grant)?;
    ensure!(grant.left() == Bytes::ZERO, "{} were promised but not taken", grant.left());
    let mut values = Vec::new();
    for ids in prompt.chunks(chunk).chain(decode.chunks(1)) {
        step(&mut *state, ids, &mut values)?;
    }
    let width = values.len() / (prompt.len() + decode.len());
    Ok(Rows { width, values })
}

/// Runs `ids` and appends the rows of all of them.
fn step(state: &mut dyn State, ids: &[u32], rows: &mut Vec<f32>) -> anyhow::Result<()> {
    let all: Vec<u32> = (0..u32::try_from(ids.len())?).collect();
    for (port, numbers) in [(state.plan().input("tokens"), ids), (state.plan().input("rows"), &all)]
    {
        if let Some(port) = port {
            let bytes = cast::to_bytes(numbers);
            state.input(port)[..bytes.len()].copy_from_slice(bytes);
        }
    }
    let extents = vec![ids.len() as u64; state.plan().symbols.len()];
    state.run(&extents, &Uncontrolled)?;
    let width = usize::try_from(state.plan().outputs[0].slot.width())?;
    let out: &[f32] = cast::from_bytes(state.output(0))?;
    rows.extend_from_slice(&out[..ids.len() * width]);
    Ok(())
}
