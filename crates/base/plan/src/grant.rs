//! Permission to take memory, given by the ledger and spent once. Taking more than was granted is
//! an error that names both numbers.

use tensor::Bytes;

/// Bytes that may still be taken.
#[derive(Debug)]
pub struct Grant {
    left: Bytes,
}

/// More was asked for than had been granted: a need that the plan did not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("needs {need}, but only {left} of the promised memory is left")]
pub struct Exceeded {
    /// What was asked for.
    pub need: Bytes,
    /// What was left.
    pub left: Bytes,
}

impl Grant {
    /// A permission for so many bytes. Only the holder of the budget makes one.
    pub fn new(bytes: Bytes) -> Self {
        Self { left: bytes }
    }

    /// Spends `need`.
    ///
    /// # Errors
    /// If less than `need` is left; nothing is spent then.
    pub fn take(&mut self, need: Bytes) -> Result<(), Exceeded> {
        let left = self.left;
        if need > left {
            return Err(Exceeded { need, left });
        }
        self.left = left.saturating_sub(need);
        Ok(())
    }

    /// What is left.
    pub fn left(&self) -> Bytes {
        self.left
    }
}
