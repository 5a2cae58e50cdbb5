//! What one import may make and compute besides what its files hold.
//!
//! A file of a kilobyte can ask for loops in loops, arrays that double from node to node and
//! products of arrays of one repeated number. Everything of that kind is paid out of one
//! [`Budget`]; where folding would exceed it, the node is left for the run instead, and where
//! values are needed at once, the node is refused. What is really read out of files adds to it,
//! so that large models are folded as far as small ones.

use super::{Fault, Stored};
use std::{cell::Cell, collections::HashSet};

/// Bytes of constants that may be made beside those of the files.
const MADE_BYTES: u64 = 64 << 20;
/// And for each byte that was read: as double precision, and copies in another order.
const MADE_FACTOR: u64 = 16;
/// Operations that folding may do, and for each byte that was read.
const OPERATIONS: u64 = 1 << 28;
const OPERATIONS_FACTOR: u64 = 64;
/// Operators of one import: loops unrolled, functions and branches inlined.
const OPERATORS_MAX: u64 = 1 << 18;

/// The account of one import.
#[derive(Debug, Default)]
pub(super) struct Budget {
    /// Bytes that were made; shared references make some, too.
    made: Cell<u64>,
    operations: u64,
    operators: u64,
    seen: HashSet<Stored>,
    read: u64,
}

impl Budget {
    /// Counts bytes that were read out of a file, once each.
    pub(super) fn read(&mut self, stored: &Stored) {
        if self.seen.insert(stored.clone()) {
            self.read = self.read.saturating_add(stored.bytes);
        }
    }

    /// Counts an operator that is emitted or computed.
    pub(super) fn operator(&mut self) -> Result<(), Fault> {
        self.operators += 1;
        if self.operators > OPERATORS_MAX {
            let reason = format!("the network unrolls to more than {OPERATORS_MAX} operators");
            return Err(Fault::invalid(reason));
        }
        Ok(())
    }

    /// Whether so much may still be made and computed; it is spent if so.
    pub(super) fn affords(&mut self, bytes: u64, operations: u64) -> bool {
        let spent = self.operations.saturating_add(operations);
        let most = OPERATIONS.saturating_add(self.read.saturating_mul(OPERATIONS_FACTOR));
        let fits = spent <= most && self.make(bytes);
        if fits {
            self.operations = spent;
        }
        fits
    }

    /// Spends bytes for a constant that the importer makes itself.
    ///
    /// # Errors
    /// If they are more than what is left.
    pub(super) fn take(&self, bytes: u64) -> Result<(), Fault> {
        let error = || Fault::invalid(format!("{bytes} bytes of constants are too many to make"));
        self.make(bytes).then_some(()).ok_or_else(error)
    }

    fn make(&self, bytes: u64) -> bool {
        let spent = self.made.get().saturating_add(bytes);
        let fits = spent <= MADE_BYTES.saturating_add(self.read.saturating_mul(MADE_FACTOR));
        if fits {
            self.made.set(spent);
        }
        fits
    }
}
