//! Token ids: positions in a model's vocabulary.
//!
//! An id is only meaningful together with the vocabulary that it belongs to; whoever reads ids
//! from a file checks them against that vocabulary once.

/// An id from a model's vocabulary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(pub u32);

impl TokenId {
    /// The row of the vocabulary that the id names.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl std::fmt::Display for TokenId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}
