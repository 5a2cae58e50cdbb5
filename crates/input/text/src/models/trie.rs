//! Which tokens begin a text: the vocabulary sorted by bytes, narrowed one byte at a time.
//!
//! A list of ids and a table by the first byte, nothing else: a quarter of a million tokens cost
//! one megabyte and one sort, where a trie of nodes would cost ten.

use crate::token::TokenId;
use crate::vocab::Vocab;

/// Tokens sorted by their bytes.
#[derive(Clone, Debug)]
pub(crate) struct SortedTokens {
    ids: Vec<TokenId>,
    /// Where the tokens with each first byte begin; the last entry is their number.
    starts: Box<[u32; 257]>,
}

/// Tokens that share the bytes walked so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk {
    low: u32,
    high: u32,
    depth: u32,
}

impl SortedTokens {
    /// Sorts those tokens that `wanted` accepts; no two may have the same bytes.
    pub(crate) fn new(vocab: &Vocab, wanted: impl Fn(TokenId) -> bool) -> Self {
        let mut ids: Vec<TokenId> =
            vocab.ids().filter(|&id| wanted(id) && !vocab.bytes(id).is_empty()).collect();
        ids.sort_unstable_by(|&a, &b| vocab.bytes(a).cmp(vocab.bytes(b)));
        let mut starts = Box::new([0; 257]);
        for (byte, start) in (0_usize..).zip(starts.iter_mut()) {
            let before = ids.partition_point(|&id| usize::from(vocab.bytes(id)[0]) < byte);
            *start = u32::try_from(before).unwrap_or(u32::MAX);
        }
        Self { ids, starts }
    }

    /// All tokens, before any byte.
    pub(crate) fn walk(&self) -> Walk {
        Walk { low: 0, high: self.starts[256], depth: 0 }
    }

    /// Goes one byte further; `None` where no token goes on so.
    pub(crate) fn step(&self, vocab: &Vocab, walk: Walk, byte: u8) -> Option<Walk> {
        if walk.depth == 0 {
            let (low, high) = (self.starts[usize::from(byte)], self.starts[usize::from(byte) + 1]);
            return (low < high).then_some(Walk { low, high, depth: 1 });
        }
        let depth = walk.depth as usize;
        let range = &self.ids[walk.low as usize..walk.high as usize];
        // Tokens that end here stand first and have no next byte.
        let next = |id: TokenId| vocab.bytes(id).get(depth).copied();
        let below = range.partition_point(|&id| next(id).is_none_or(|b| b < byte));
        let rest = &range[below..];
        let count = rest.partition_point(|&id| next(id).is_some_and(|b| b == byte));
        let low = walk.low + u32::try_from(below).unwrap_or(0);
        let high = low + u32::try_from(count).unwrap_or(0);
        (low < high).then_some(Walk { low, high, depth: walk.depth + 1 })
    }

    /// The token that ends at the bytes walked so far.
    pub(crate) fn token(&self, vocab: &Vocab, walk: Walk) -> Option<TokenId> {
        let first = *self.ids.get(walk.low as usize)?;
        (vocab.bytes(first).len() == walk.depth as usize).then_some(first)
    }

    /// The longest token that begins `text` behind `walk`, and how many bytes of `text` it takes
    /// (at least one).
    pub(crate) fn longest(
        &self,
        vocab: &Vocab,
        mut walk: Walk,
        text: &[u8],
    ) -> Option<(TokenId, usize)> {
        let mut best = None;
        for (taken, &byte) in (1..).zip(text) {
            match self.step(vocab, walk, byte) {
                Some(further) => walk = further,
                None => break,
            }
            if let Some(id) = self.token(vocab, walk) {
                best = Some((id, taken));
            }
        }
        best
    }

    /// Bytes of memory that it holds.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.ids.capacity() * 4 + 257 * 4
    }
}
