//! Memory that the tables of one file may take, so that a small file cannot ask for much.
//!
//! Everything a reader of networks allocates is charged here first; what is charged is never
//! given back, so the sum bounds the peak. The bound is 4 × the file + 16 MiB ([`crate::limits`]).

use std::cell::Cell;

use crate::{FormatError, Place, limits, memory};

/// What is left for the tables of one file.
#[derive(Debug)]
pub(crate) struct Budget {
    left: Cell<u64>,
    whole: u64,
}

impl Budget {
    /// The budget of a file of `len` bytes.
    pub(crate) fn for_file(len: usize) -> Self {
        let whole =
            (len as u64).saturating_mul(limits::MEMORY_FACTOR).saturating_add(limits::MEMORY_BYTES);
        Self { left: Cell::new(whole), whole }
    }

    /// Takes `bytes` from the budget.
    ///
    /// # Errors
    /// [`FormatError::Limit`] if less is left.
    pub(crate) fn charge(&self, bytes: usize) -> Result<(), FormatError> {
        let bytes = bytes as u64;
        match self.left.get().checked_sub(bytes) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(FormatError::Limit {
                place: Place::named(format_args!("memory for the file's tables")),
                got: self.whole.saturating_sub(self.left.get()).saturating_add(bytes),
                limit: self.whole,
            }),
        }
    }

    /// An empty vector with room for exactly `count` elements.
    pub(crate) fn table<T>(&self, count: usize) -> Result<Vec<T>, FormatError> {
        self.charge(count.saturating_mul(size_of::<T>()))?;
        memory::table(count)
    }

    /// `value` on the heap.
    pub(crate) fn boxed<T>(&self, value: T) -> Result<Box<T>, FormatError> {
        self.charge(size_of::<T>())?;
        Ok(Box::new(value))
    }
}
