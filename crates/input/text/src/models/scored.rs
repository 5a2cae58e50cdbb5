//! SentencePiece's BPE: no merge list, the token that two neighbours spell tells its own rank.
//!
//! Neighbours merge when their text is a token, higher scores first. Text that merges to no token
//! becomes bytes (`<0x0A>`) or the unknown token. Scores are ranked once at load, so merging
//! compares whole numbers. Follows Kudo & Richardson 2018 and SentencePiece's `bpe_model.cc`.

use super::bpe::byte_tokens;
use super::merge::{NEVER, Pairs, Scratch, Symbol, merge};
use crate::token::TokenId;
use crate::vocab::{TokenKind, Vocab};

const NO_TOKEN: u32 = u32::MAX;

/// The model.
#[derive(Clone, Debug)]
pub(crate) struct Scored {
    /// Rank of each token among the scores, best first; equal scores have equal ranks.
    ranks: Box<[u32]>,
    bytes: Box<[u32; 256]>,
    unknown: Option<TokenId>,
    /// Whether no token holds a `▁` behind another character, so that text may be cut there.
    words: bool,
}

impl Scored {
    /// Ranks the scores; there is one for each token.
    pub(crate) fn new(vocab: &Vocab, scores: &[f32], unknown: Option<TokenId>) -> Self {
        let mut order: Vec<u32> = vocab.ids().map(|id| id.0).collect();
        order.sort_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]));
        let mut ranks = vec![0; order.len()].into_boxed_slice();
        let mut rank = 0;
        for (idx, &id) in order.iter().enumerate() {
            let before = idx.checked_sub(1).map(|idx| scores[order[idx] as usize]);
            // `>`, not bits: 0 and -0 are one score.
            if before.is_some_and(|before| before > scores[id as usize]) {
                rank += 1;
            }
            ranks[id as usize] = rank;
        }
        let words = vocab.ids().all(|id| {
            matches!(vocab.kind(id), TokenKind::Control | TokenKind::Unknown | TokenKind::Byte)
                || !has_inner_space(vocab.bytes(id))
        });
        Self { ranks, bytes: byte_tokens(vocab), unknown, words }
    }

    /// Whether text may be cut before a `▁` that follows another character.
    pub(crate) fn cuts_at_spaces(&self) -> bool {
        self.words
    }

    /// Appends the ids of a text with `▁` for spaces.
    pub(crate) fn word(
        &self,
        vocab: &Vocab,
        word: &str,
        scratch: &mut Scratch,
        out: &mut Vec<TokenId>,
    ) {
        let first = out.len();
        scratch.symbols.clear();
        for (at, c) in word.char_indices() {
            let len = c.len_utf8();
            let id = vocab.find(&word.as_bytes()[at..at + len]).map_or(NO_TOKEN, |id| id.0);
            scratch.symbols.push(Symbol {
                id,
                start: u32::try_from(at).unwrap_or(u32::MAX),
                len: u32::try_from(len).unwrap_or(1),
            });
        }
        merge(&Spelled { model: self, vocab, word: word.as_bytes() }, scratch);
        for symbol in &scratch.symbols {
            if symbol.id != NO_TOKEN {
                out.push(TokenId(symbol.id));
                continue;
            }
            let start = symbol.start as usize;
            for &byte in &word.as_bytes()[start..start + symbol.len as usize] {
                match (self.bytes[usize::from(byte)], self.unknown) {
                    // One unknown token for all characters in a row.
                    (NO_TOKEN, Some(unknown)) => {
                        if out.len() == first || out.last() != Some(&unknown) {
                            out.push(unknown);
                        }
                    }
                    (NO_TOKEN, None) => {}
                    (id, _) => out.push(TokenId(id)),
                }
            }
        }
    }

    /// Bytes of memory that it holds.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.ranks.len() * 4 + 1024
    }
}

/// Whether a `▁` follows another character.
fn has_inner_space(bytes: &[u8]) -> bool {
    const SPACE: &[u8] = "▁".as_bytes();
    let mut rest = bytes;
    while let Some(tail) = rest.strip_prefix(SPACE) {
        rest = tail;
    }
    rest.windows(SPACE.len()).any(|window| window == SPACE)
}

/// The model over one word.
struct Spelled<'a> {
    model: &'a Scored,
    vocab: &'a Vocab,
    word: &'a [u8],
}

impl Pairs for Spelled<'_> {
    fn pair(&self, left: Symbol, right: Symbol) -> (u32, u32) {
        let start = left.start as usize;
        let end = start + left.len as usize + right.len as usize;
        match self.vocab.find(&self.word[start..end]) {
            Some(id) => (self.model.ranks[id.index()], id.0),
            None => (NEVER, 0),
        }
    }
}
