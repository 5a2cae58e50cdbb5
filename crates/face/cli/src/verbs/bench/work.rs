//! What a run has to do at least: products of its matrices, bytes of its weights and caches.
//!
//! Counted from the plan, so that it is the model's work and not that of one way to do it. Models
//! with experts use some of their weights for each token; for these nothing is counted.

use plan::{BufferKind, Dim, KvCache, Op, Operand, Plan, Step, SymbolId};

/// The work of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Work {
    /// Multiplications for each token.
    token_macs: u64,
    /// Multiplications for each row whose logits are wanted.
    row_macs: u64,
    weight_bytes: u64,
    kv_bytes: u64,
    positions: u64,
    counted: bool,
}

impl Work {
    /// Counts.
    pub(super) fn of(plan: &Plan) -> Self {
        let (mut token_macs, mut row_macs, mut counted) = (0, 0, true);
        for step in &plan.steps {
            counted &= !matches!(step.op, Op::Experts(_));
            let macs = products(step, plan);
            match step.output.dims.first() {
                Some(Dim::Symbol(SymbolId(0))) => token_macs += macs,
                _ => row_macs += macs,
            }
        }
        Self {
            token_macs,
            row_macs,
            weight_bytes: plan.bytes_of(BufferKind::PackedWeights).0,
            kv_bytes: plan.states.iter().map(|cache| KvCache::bytes(cache).0).sum(),
            positions: plan.states.iter().map(|cache| cache.positions).max().unwrap_or(1),
            counted,
        }
    }

    /// Multiplications of a prompt with one row of logits.
    pub(super) fn macs(&self, tokens: u64) -> Option<u64> {
        self.counted.then_some(self.token_macs * tokens + self.row_macs)
    }

    /// Bytes that one more token behind `held` others reads.
    pub(super) fn bytes(&self, held: u64) -> Option<u64> {
        let kv = u128::from(self.kv_bytes) * u128::from(held) / u128::from(self.positions.max(1));
        self.counted.then_some(self.weight_bytes + u64::try_from(kv).unwrap_or(u64::MAX))
    }
}

/// Multiplications of a step's matrices with one row.
fn products(step: &Step, plan: &Plan) -> u64 {
    if matches!(step.op, Op::Embed { .. } | Op::EmbedPositions) {
        return 0;
    }
    let matrices = step.inputs.iter().filter_map(|input| match input {
        Operand::Weight(id) => Some(plan.weights[id.0 as usize].shape),
        _ => None,
    });
    let matrices = matrices.filter(|shape| shape.dims().len() == 2);
    matrices.map(|shape| shape.elements().unwrap_or(0)).sum()
}
