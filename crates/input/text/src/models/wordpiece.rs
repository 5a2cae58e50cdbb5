//! WordPiece: the longest token from the left, again and again; else the word is unknown.
//!
//! The first token of a word and those behind it are spelled apart: `word` and `##s` in BERT's
//! own files, `▁word` and `s` in GGUF. Follows Devlin et al. 2019 (BERT's `tokenization.py`).

use super::trie::{SortedTokens, Walk};
use crate::token::TokenId;
use crate::vocab::Vocab;

/// The model.
#[derive(Clone, Debug)]
pub(crate) struct WordPiece {
    tokens: SortedTokens,
    /// Behind the prefix of a word's first token; `None` where no token has it.
    first: Option<Walk>,
    /// Behind the prefix of the others.
    others: Option<Walk>,
    unknown: TokenId,
    chars_max: usize,
}

impl WordPiece {
    /// Sorts the vocabulary. Words of more than `chars_max` characters are unknown.
    pub(crate) fn new(
        vocab: &Vocab,
        first: &str,
        others: &str,
        unknown: TokenId,
        chars_max: usize,
        findable: impl Fn(TokenId) -> bool,
    ) -> Self {
        let tokens = SortedTokens::new(vocab, findable);
        let behind = |prefix: &str| {
            prefix.bytes().try_fold(tokens.walk(), |walk, byte| tokens.step(vocab, walk, byte))
        };
        let (first, others) = (behind(first), behind(others));
        Self { tokens, first, others, unknown, chars_max }
    }

    /// Appends the ids of a word.
    pub(crate) fn word(&self, vocab: &Vocab, word: &str, out: &mut Vec<TokenId>) {
        let start = out.len();
        let too_long = word.len() > self.chars_max && word.chars().count() > self.chars_max;
        let mut rest = word.as_bytes();
        let mut walk = self.first;
        while !rest.is_empty() && !too_long {
            let longest = walk.and_then(|walk| self.tokens.longest(vocab, walk, rest));
            let Some((id, taken)) = longest else { break };
            out.push(id);
            rest = &rest[taken..];
            walk = self.others;
        }
        if !rest.is_empty() {
            out.truncate(start);
            out.push(self.unknown);
        }
    }

    /// Bytes of memory that it holds.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.tokens.heap_bytes()
    }
}
