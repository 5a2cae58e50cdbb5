//! What a network takes beside its plans: the part of its file that is held, and the program itself.
//!
//! The program is what the process held when the file had been read, and what comes later: code that is
//! touched for the first time, tables of the import and of the schedule, stacks. How much that is was
//! measured over real networks; `cargo xtask conformance memory` holds the sum to their peaks.

use crate::device;
use plan::{Buffer, BufferKind, Plan, Weight};
use tensor::Bytes;

/// Code and tables that any network touches after its file was read.
const LATER: Bytes = Bytes::kib(4352);
/// What each thread adds.
const THREAD_LATER: Bytes = Bytes::kib(64);
/// Tables of each step, in the graph, the plan and the schedule.
const STEP: Bytes = Bytes::kib(2);

/// What there was when the file had been read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around {
    resident: Bytes,
    held: Bytes,
}

impl Around {
    /// Looks now, when so much of the file is held.
    pub(super) fn now(held: Bytes) -> Self {
        let resident = device::resident().map_or(Bytes::ZERO, |resident| resident.now);
        Self { resident, held }
    }

    /// The needs of these plans on so many threads. A weight is held as the file has it while it is
    /// packed, one at a time.
    pub(super) fn buffers<'p>(
        &self,
        plans: impl Iterator<Item = &'p Plan>,
        threads: usize,
    ) -> [Buffer; 3] {
        let (mut steps, mut reading) = (0, Bytes::ZERO);
        for plan in plans {
            steps += plan.steps.len();
            reading = plan.weights.iter().map(Weight::stored_bytes).fold(reading, Bytes::max);
        }
        let later = LATER.0 + THREAD_LATER.0 * threads as u64 + STEP.0 * steps as u64;
        let program = Bytes(self.resident.saturating_sub(self.held).0 + later);
        [("file", self.held), ("reading", reading), ("program", program)].map(|(name, bytes)| {
            Buffer { name: name.into(), kind: BufferKind::Program, bytes, align: 64 }
        })
    }
}
