//! The vocabulary: what stands for each id, and the way back from bytes to an id.
//!
//! All tokens lie in one pool of bytes and one open-addressed table finds them, so that 128,000
//! tokens are ready in milliseconds. The bytes are what the models compare: raw bytes for
//! byte-level vocabularies, text as written (`▁` for a space) for the others. The table's hash is
//! seeded at random, so that no file can be made whose tokens all collide.

use crate::error::{VocabularyError, shorten};
use crate::token::TokenId;

/// Most tokens that a vocabulary may have.
pub const TOKENS_MAX: usize = 1 << 22;
/// Longest token, in bytes as written in the file.
pub const TOKEN_BYTES_MAX: usize = 64 << 10;

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TokenKind {
    /// A piece of text.
    #[default]
    Normal,
    /// Stands for what the vocabulary lacks.
    Unknown,
    /// Steers the model (begin, end, roles) and is never made from a caller's text.
    Control,
    /// A piece of text that is cut out before anything else is looked at.
    UserDefined,
    /// In the table, but never made.
    Unused,
    /// One byte, written `<0x0A>`.
    Byte,
}

/// Two multiplied halves folded together: the mixing step of all hashes here.
#[expect(clippy::cast_possible_truncation, reason = "the two halves")]
pub(crate) fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ ((product >> 64) as u64)
}

/// A number that no file can foresee.
pub(crate) fn random_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish() | 1
}

/// The slot of a hash in a table with a power of two of slots.
#[expect(clippy::cast_possible_truncation, reason = "the mask is that of a length")]
pub(crate) fn slot_of(hash: u64, slots: usize) -> usize {
    (hash & (slots as u64 - 1)) as usize
}

const MIX: u64 = 0x9E37_79B9_7F4A_7C15;

/// Hash of a few bytes.
pub(crate) fn hash_bytes(seed: u64, bytes: &[u8]) -> u64 {
    let mut state = seed ^ (bytes.len() as u64).wrapping_mul(MIX);
    let (chunks, tail) = bytes.as_chunks::<8>();
    for chunk in chunks {
        state = fold(state ^ u64::from_le_bytes(*chunk), MIX);
    }
    let mut last = 0_u64;
    for &byte in tail {
        last = (last << 8) | u64::from(byte);
    }
    fold(state ^ last, seed | MIX)
}

/// Tokens by id and by bytes.
#[derive(Clone, Debug)]
pub(crate) struct Vocab {
    pool: Vec<u8>,
    /// `ends[i]` is where token `i` ends in the pool.
    ends: Vec<u32>,
    kinds: Vec<TokenKind>,
    /// Upper half of the hash and id; an id of `EMPTY` is a free slot.
    slots: Vec<(u32, u32)>,
    seed: u64,
    longest: usize,
}

const EMPTY: u32 = u32::MAX;

impl Vocab {
    /// An empty vocabulary with room for `tokens` tokens of `bytes` bytes in all.
    pub(crate) fn with_capacity(tokens: usize, bytes: usize) -> Result<Self, VocabularyError> {
        if tokens > TOKENS_MAX {
            return Err(VocabularyError::Limit {
                what: "tokens in the vocabulary",
                got: tokens,
                limit: TOKENS_MAX,
            });
        }
        if bytes > u32::MAX as usize {
            return Err(VocabularyError::Limit {
                what: "bytes in the vocabulary",
                got: bytes,
                limit: u32::MAX as usize,
            });
        }
        let slots = (tokens + tokens / 2 + 1).next_power_of_two();
        Ok(Self {
            pool: Vec::with_capacity(bytes),
            ends: Vec::with_capacity(tokens),
            kinds: Vec::with_capacity(tokens),
            slots: vec![(0, EMPTY); slots],
            seed: random_seed(),
            longest: 0,
        })
    }

    /// Adds the next token; it is not yet found by its bytes.
    pub(crate) fn push(&mut self, bytes: &[u8], kind: TokenKind) {
        self.pool.extend_from_slice(bytes);
        self.finish(kind);
    }

    /// The pool, to write the next token's bytes into; `finish` ends it.
    pub(crate) fn pool_mut(&mut self) -> &mut Vec<u8> {
        &mut self.pool
    }

    /// Ends the token whose bytes were written into the pool.
    pub(crate) fn finish(&mut self, kind: TokenKind) {
        self.ends.push(u32::try_from(self.pool.len()).unwrap_or(u32::MAX));
        self.kinds.push(kind);
    }

    /// Makes a token findable by its bytes. `Some` is an earlier token of the same bytes, which
    /// stays the one that is found.
    pub(crate) fn index(&mut self, id: TokenId) -> Option<TokenId> {
        let bytes = self.bytes(id);
        let length = bytes.len();
        let hash = hash_bytes(self.seed, bytes);
        let mut at = self.slot(hash);
        loop {
            let (tag, other) = self.slots[at];
            if other == EMPTY {
                break;
            }
            if tag == (hash >> 32) as u32 && self.bytes(TokenId(other)) == self.bytes(id) {
                return Some(TokenId(other));
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.slots[at] = ((hash >> 32) as u32, id.0);
        self.longest = self.longest.max(length);
        None
    }

    /// Like `index`, but a second token of the same bytes is an error.
    pub(crate) fn index_unique(&mut self, id: TokenId) -> Result<(), VocabularyError> {
        match self.index(id) {
            None => Ok(()),
            Some(first) => Err(self.duplicate(first, id)),
        }
    }

    /// The error for two tokens of the same bytes.
    pub(crate) fn duplicate(&self, first: TokenId, second: TokenId) -> VocabularyError {
        VocabularyError::Duplicate {
            text: shorten(&String::from_utf8_lossy(self.bytes(second))),
            first: first.0,
            second: second.0,
        }
    }

    /// The token of exactly these bytes.
    pub(crate) fn find(&self, bytes: &[u8]) -> Option<TokenId> {
        if bytes.len() > self.longest {
            return None;
        }
        let hash = hash_bytes(self.seed, bytes);
        let mut at = self.slot(hash);
        loop {
            let (tag, id) = self.slots[at];
            if id == EMPTY {
                return None;
            }
            if tag == (hash >> 32) as u32 && self.bytes(TokenId(id)) == bytes {
                return Some(TokenId(id));
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    fn slot(&self, hash: u64) -> usize {
        slot_of(hash, self.slots.len())
    }

    /// What stands for a token; empty where there is no such token.
    pub(crate) fn bytes(&self, id: TokenId) -> &[u8] {
        let start = match id.index().checked_sub(1) {
            Some(before) => self.ends.get(before).map_or(0, |&end| end as usize),
            None => 0,
        };
        match self.ends.get(id.index()) {
            Some(&end) => &self.pool[start..end as usize],
            None => &[],
        }
    }

    /// What a token is for.
    pub(crate) fn kind(&self, id: TokenId) -> TokenKind {
        self.kinds.get(id.index()).copied().unwrap_or(TokenKind::Unused)
    }

    /// Number of tokens.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// All ids.
    pub(crate) fn ids(&self) -> impl Iterator<Item = TokenId> + use<> {
        (0..u32::try_from(self.len()).unwrap_or(u32::MAX)).map(TokenId)
    }

    /// Bytes of memory that it holds.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.pool.capacity()
            + self.ends.capacity() * 4
            + self.kinds.capacity()
            + self.slots.capacity() * 8
    }
}

/// The byte that `<0x0A>` stands for.
pub(crate) fn byte_of_piece(piece: &[u8]) -> Option<u8> {
    let digits = piece.strip_prefix(b"<0x")?.strip_suffix(b">")?;
    let [high, low] = digits else { return None };
    let digit = |c: &u8| char::from(*c).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}
