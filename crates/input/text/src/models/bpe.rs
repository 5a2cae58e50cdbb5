//! Byte-pair encoding by a list of merges: GPT-2's kind over bytes, Llama's kind over characters.
//!
//! A merge names two tokens and makes a third; the position in the list is the rank. The pairs
//! lie in one table of (left, right) → (rank, product), so a step of merging costs one probe and
//! compares no text. Merges that name a token which the vocabulary lacks are left out.

use super::merge::{NEVER, Pairs, Scratch, Symbol, merge};
use crate::bytelevel;
use crate::error::VocabularyError;
use crate::token::TokenId;
use crate::vocab::{TokenKind, Vocab, byte_of_piece, fold, random_seed, slot_of};

/// Most merges that a vocabulary may have.
const MERGES_MAX: usize = 1 << 23;
/// A symbol that is no token and never merges.
const NO_TOKEN: u32 = u32::MAX;

/// What the first symbols of a word are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alphabet {
    /// Single bytes.
    Bytes,
    /// Characters; those without a token become bytes (`<0x0A>`) where the vocabulary has them.
    Chars {
        /// Whether characters become bytes.
        byte_fallback: bool,
    },
}

/// What to do with a word that is itself a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WholeWord {
    /// Merge it like any other.
    Merge,
    /// Take the token.
    Take,
}

/// The model.
#[derive(Clone, Debug)]
pub(crate) struct Bpe {
    table: PairTable,
    alphabet: Alphabet,
    whole: WholeWord,
    /// The token of each byte.
    bytes: Box<[u32; 256]>,
    unknown: Option<TokenId>,
    fuse_unknown: bool,
    /// Written before every symbol of a word but the first (`##`).
    continuing: Option<Box<str>>,
    /// Written after the last symbol of a word (`</w>`).
    ending: Option<Box<str>>,
}

/// How a merge list is read and used.
#[derive(Clone, Debug)]
pub(crate) struct BpeSettings {
    pub(crate) alphabet: Alphabet,
    pub(crate) whole: WholeWord,
    pub(crate) unknown: Option<TokenId>,
    pub(crate) fuse_unknown: bool,
    pub(crate) continuing: Option<Box<str>>,
    pub(crate) ending: Option<Box<str>>,
}

impl Bpe {
    /// Reads the merges, given as the two halves in the file's own spelling.
    pub(crate) fn new<'a>(
        vocab: &Vocab,
        merges: impl ExactSizeIterator<Item = (&'a str, &'a str)>,
        settings: BpeSettings,
    ) -> Result<Self, VocabularyError> {
        if merges.len() > MERGES_MAX {
            return Err(VocabularyError::Limit {
                what: "merges",
                got: merges.len(),
                limit: MERGES_MAX,
            });
        }
        let mut table = PairTable::with_capacity(merges.len());
        let strip = settings.continuing.as_deref().map_or(0, str::len);
        let mut word = Vec::new();
        for (rank, (left, right)) in merges.enumerate() {
            word.clear();
            if !spell(settings.alphabet, left, &mut word) {
                continue;
            }
            let middle = word.len();
            if !spell(settings.alphabet, right, &mut word) {
                continue;
            }
            let (Some(first), Some(second)) =
                (vocab.find(&word[..middle]), vocab.find(&word[middle..]))
            else {
                continue;
            };
            if strip > 0 && word.len() - middle >= strip {
                word.drain(middle..middle + strip);
            }
            if let Some(product) = vocab.find(&word) {
                table.insert(first, second, u32::try_from(rank).unwrap_or(NEVER), product);
            }
        }
        let mut bytes = Box::new([NO_TOKEN; 256]);
        match settings.alphabet {
            Alphabet::Bytes => {
                for byte in 0..=255_u8 {
                    if let Some(id) = vocab.find(&[byte]) {
                        bytes[usize::from(byte)] = id.0;
                    }
                }
            }
            Alphabet::Chars { .. } => bytes = byte_tokens(vocab),
        }
        let BpeSettings { alphabet, whole, unknown, fuse_unknown, continuing, ending } = settings;
        Ok(Self { table, alphabet, whole, bytes, unknown, fuse_unknown, continuing, ending })
    }

    /// Appends the ids of one word.
    pub(crate) fn word(
        &self,
        vocab: &Vocab,
        word: &str,
        scratch: &mut Scratch,
        out: &mut Vec<TokenId>,
    ) {
        if self.whole == WholeWord::Take
            && let Some(id) = vocab.find(word.as_bytes())
        {
            out.push(id);
            return;
        }
        let first = out.len();
        scratch.symbols.clear();
        match self.alphabet {
            Alphabet::Bytes => {
                // One byte: nothing to merge.
                if let [byte] = word.as_bytes() {
                    self.emit(self.bytes[usize::from(*byte)], first, out);
                    return;
                }
                scratch.symbols.extend((0_u32..).zip(word.as_bytes()).map(|(at, &byte)| Symbol {
                    id: self.bytes[usize::from(byte)],
                    start: at,
                    len: 1,
                }));
            }
            Alphabet::Chars { byte_fallback } => {
                self.chars(vocab, word, byte_fallback, &mut scratch.symbols);
            }
        }
        merge(self, scratch);
        for symbol in &scratch.symbols {
            self.emit(symbol.id, first, out);
        }
    }

    /// Appends a symbol of the word whose ids begin at `first`.
    fn emit(&self, id: u32, first: usize, out: &mut Vec<TokenId>) {
        if id != NO_TOKEN {
            out.push(TokenId(id));
        } else if let Some(unknown) = self.unknown {
            let fuses = self.fuse_unknown && out.len() > first;
            if !(fuses && out.last() == Some(&unknown)) {
                out.push(unknown);
            }
        }
    }

    fn chars(&self, vocab: &Vocab, word: &str, byte_fallback: bool, symbols: &mut Vec<Symbol>) {
        let mut spelled = String::new();
        for (at, c) in word.char_indices() {
            let len = c.len_utf8();
            let is_last = at + len == word.len();
            let start = u32::try_from(at).unwrap_or(u32::MAX);
            spelled.clear();
            if at > 0 {
                spelled.push_str(self.continuing.as_deref().unwrap_or_default());
            }
            spelled.push(c);
            if is_last {
                spelled.push_str(self.ending.as_deref().unwrap_or_default());
            }
            if let Some(id) = vocab.find(spelled.as_bytes()) {
                let len = u32::try_from(len).unwrap_or(1);
                symbols.push(Symbol { id: id.0, start, len });
                continue;
            }
            let mut buffer = [0; 4];
            let bytes = c.encode_utf8(&mut buffer).as_bytes();
            let whole = bytes.iter().all(|&byte| self.bytes[usize::from(byte)] != NO_TOKEN);
            if byte_fallback && whole {
                symbols.extend((start..).zip(bytes).map(|(start, &byte)| Symbol {
                    id: self.bytes[usize::from(byte)],
                    start,
                    len: 1,
                }));
            } else {
                symbols.push(Symbol { id: NO_TOKEN, start, len: u32::try_from(len).unwrap_or(1) });
            }
        }
    }

    /// Bytes of memory that it holds.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.table.slots.capacity() * 16 + 1024
    }
}

impl Pairs for Bpe {
    fn pair(&self, left: Symbol, right: Symbol) -> (u32, u32) {
        self.table.find(left.id, right.id)
    }
}

/// A half of a merge in the vocabulary's spelling.
fn spell(alphabet: Alphabet, half: &str, out: &mut Vec<u8>) -> bool {
    match alphabet {
        Alphabet::Bytes => bytelevel::decode_into(half, out),
        Alphabet::Chars { .. } => {
            out.extend_from_slice(half.as_bytes());
            true
        }
    }
}

/// The tokens `<0x00>` … `<0xFF>` of a vocabulary.
pub(crate) fn byte_tokens(vocab: &Vocab) -> Box<[u32; 256]> {
    let mut bytes = Box::new([NO_TOKEN; 256]);
    for id in vocab.ids() {
        if matches!(vocab.kind(id), TokenKind::Byte | TokenKind::Normal)
            && let Some(byte) = byte_of_piece(vocab.bytes(id))
        {
            bytes[usize::from(byte)] = id.0;
        }
    }
    bytes
}

/// Splits a merge as GGUF and `tokenizer.json` write it: at the first space behind a character.
pub(crate) fn merge_halves(line: &str) -> (&str, &str) {
    let from = line.chars().next().map_or(0, char::len_utf8);
    let rest = line.get(from..).unwrap_or_default();
    match rest.find(' ') {
        Some(space) => (
            line.get(..from + space).unwrap_or_default(),
            rest.get(space + 1..).unwrap_or_default(),
        ),
        None => ("", ""),
    }
}

/// Pairs of tokens and what they make: an open-addressed table.
#[derive(Clone, Debug)]
struct PairTable {
    /// left, right, rank, product; a rank of `NEVER` is a free slot.
    slots: Vec<[u32; 4]>,
    seed: u64,
}

impl PairTable {
    fn with_capacity(pairs: usize) -> Self {
        // At most four fifths full, so that probes stay short.
        let slots = (pairs + pairs / 4 + 1).next_power_of_two();
        Self { slots: vec![[0, 0, NEVER, 0]; slots], seed: random_seed() }
    }

    fn slot(&self, left: u32, right: u32) -> usize {
        let hash = fold((u64::from(left) << 32 | u64::from(right)) ^ self.seed, self.seed | 1);
        slot_of(hash, self.slots.len())
    }

    /// Adds a pair; the first of equal pairs stays.
    fn insert(&mut self, left: TokenId, right: TokenId, rank: u32, product: TokenId) {
        let mut at = self.slot(left.0, right.0);
        loop {
            let slot = self.slots[at];
            if slot[2] == NEVER {
                break;
            }
            if slot[0] == left.0 && slot[1] == right.0 {
                return;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.slots[at] = [left.0, right.0, rank, product.0];
    }

    fn find(&self, left: u32, right: u32) -> (u32, u32) {
        let mut at = self.slot(left, right);
        loop {
            let slot = self.slots[at];
            if slot[2] == NEVER {
                return (NEVER, 0);
            }
            if slot[0] == left && slot[1] == right {
                return (slot[2], slot[3]);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }
}
