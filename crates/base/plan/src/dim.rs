//! Extents that are known when a plan is made, or bounded then and known at each run. A bound is
//! what buffers are sized by; a run may use less, never more.

use alloc::string::String;
use core::fmt;

/// Names a [`Symbol`] of one graph or plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SymbolId(pub u32);

/// An extent that each run may choose anew, up to a bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// What it counts, such as `tokens`.
    pub name: String,
    /// The largest value that a run may use; memory is planned for it.
    pub max: u64,
}

/// One extent of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dim {
    /// Known when the plan is made.
    Fixed(u64),
    /// Known at each run, never above the symbol's bound.
    Symbol(SymbolId),
}

impl Dim {
    /// The largest extent that can occur.
    pub fn max(self, symbols: &[Symbol]) -> u64 {
        match self {
            Self::Fixed(n) => n,
            Self::Symbol(id) => symbols[id.0 as usize].max,
        }
    }

    /// The extent in a run with these values of the symbols.
    pub fn at(self, extents: &[u64]) -> u64 {
        match self {
            Self::Fixed(n) => n,
            Self::Symbol(id) => extents[id.0 as usize],
        }
    }
}

impl From<u64> for Dim {
    fn from(n: u64) -> Self {
        Self::Fixed(n)
    }
}

/// Prints `2048` or `%0`.
impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(n) => write!(f, "{n}"),
            Self::Symbol(id) => write!(f, "%{}", id.0),
        }
    }
}
