//! The plan itself: steps, weights, states, buffers, and the promise that they sum to.

use crate::{
    Backend, Buffer, BufferId, BufferKind, KvCache, Promise, Refusal, Slot, Step, Symbol, Weight,
};
use alloc::{collections::BTreeMap, format, string::String, vec::Vec};
use tensor::Bytes;

/// A named input or output of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The name that callers use.
    pub name: String,
    /// Where the value lies, in an [`BufferKind::Io`] buffer.
    pub slot: Slot,
}

/// A frozen program: what to run, in which order, and all memory that it needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Extents that each run chooses, in the order in which runs give them.
    pub symbols: Vec<Symbol>,
    /// Constants of the model.
    pub weights: Vec<Weight>,
    /// Key and value caches.
    pub states: Vec<KvCache>,
    /// Steps in order.
    pub steps: Vec<Step>,
    /// What callers write before a run.
    pub inputs: Vec<Port>,
    /// What callers read after a run.
    pub outputs: Vec<Port>,
    /// Every need of memory, named.
    pub buffers: Vec<Buffer>,
}

impl Plan {
    /// Asks `backend` what each step needs and names it: packed weights, caches, scratch.
    ///
    /// # Errors
    /// The first step that the backend refuses.
    pub fn place(&mut self, backend: &dyn Backend) -> Result<(), Refusal> {
        let mut packed: BTreeMap<u32, Bytes> = BTreeMap::new();
        let (mut scratch, mut tables) = (Bytes::ZERO, Bytes::ZERO);
        for step in &self.steps {
            let needs = backend.accept(step, self)?;
            scratch = scratch.max(needs.scratch);
            tables = tables.max(needs.tables);
            for (weight, bytes) in needs.weights {
                let most = packed.entry(weight.0).or_default();
                *most = bytes.max(*most);
            }
        }
        for (id, bytes) in packed {
            let name = self.weights[id as usize].tensor.clone();
            self.name(name, BufferKind::PackedWeights, bytes);
        }
        for layer in 0..self.states.len() {
            let bytes = self.states[layer].bytes();
            self.name(format!("kv.{layer}"), BufferKind::Kv, bytes);
        }
        let scratch = Bytes(scratch.0.saturating_add(tables.0));
        if scratch > Bytes::ZERO {
            self.name(format!("{}.scratch", backend.name()), BufferKind::Scratch, scratch);
        }
        Ok(())
    }

    /// Adds a named need and gives its id.
    ///
    /// # Panics
    /// If there are 2^32 buffers already.
    pub fn name(&mut self, name: String, kind: BufferKind, bytes: Bytes) -> BufferId {
        let id = BufferId(u32::try_from(self.buffers.len()).expect("fewer than 2^32 buffers"));
        self.buffers.push(Buffer { name, kind, bytes, align: 64 });
        id
    }

    /// What running this plan takes.
    pub fn promise(&self) -> Promise {
        Promise::of(&self.buffers)
    }

    /// The sum of the buffers of one kind.
    pub fn bytes_of(&self, kind: BufferKind) -> Bytes {
        self.buffers.iter().filter(|buffer| buffer.kind == kind).map(|buffer| buffer.bytes).sum()
    }

    /// The place of the input with this name among [`Plan::inputs`].
    pub fn input(&self, name: &str) -> Option<usize> {
        self.inputs.iter().position(|port| port.name == name)
    }

    /// The place of the output with this name among [`Plan::outputs`].
    pub fn output(&self, name: &str) -> Option<usize> {
        self.outputs.iter().position(|port| port.name == name)
    }
}
