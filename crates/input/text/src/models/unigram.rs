//! Unigram: the segmentation whose tokens have the highest sum of log-probabilities.
//!
//! One pass over the characters keeps the best way to reach each place (Viterbi); a character
//! without a token costs ten less than the worst token. Sums are in f64, like the references'.
//! Follows Kudo 2018 (subword regularization, §3.2) and SentencePiece's `EncodeOptimized`.

use super::bpe::byte_tokens;
use super::trie::SortedTokens;
use crate::token::TokenId;
use crate::vocab::{TokenKind, Vocab};

const NO_TOKEN: u32 = u32::MAX;
/// How much worse than the worst token a character without one is.
const UNKNOWN_PENALTY: f64 = 10.0;

/// The model.
#[derive(Clone, Debug)]
pub(crate) struct Unigram {
    tokens: SortedTokens,
    scores: Box<[f64]>,
    bytes: Option<Box<[u32; 256]>>,
    unknown: TokenId,
    unknown_score: f64,
}

/// The best way to a place.
#[derive(Clone, Copy, Debug)]
struct Best {
    score: f64,
    id: u32,
    from: u32,
}

impl Unigram {
    /// Sorts the vocabulary; there is one finite score for each token.
    ///
    /// `findable` says which tokens text may become; user-defined ones score so well that they
    /// are always taken.
    pub(crate) fn new(
        vocab: &Vocab,
        mut scores: Box<[f64]>,
        unknown: TokenId,
        byte_fallback: bool,
        findable: impl Fn(TokenId) -> bool,
    ) -> Self {
        let worst = vocab
            .ids()
            .filter(|&id| vocab.kind(id) == TokenKind::Normal)
            .map(|id| scores[id.index()])
            .fold(0.0, f64::min);
        for id in vocab.ids().filter(|&id| vocab.kind(id) == TokenKind::UserDefined) {
            scores[id.index()] = 0.0;
        }
        Self {
            tokens: SortedTokens::new(vocab, findable),
            scores,
            bytes: byte_fallback.then(|| byte_tokens(vocab)),
            unknown,
            unknown_score: worst - UNKNOWN_PENALTY,
        }
    }

    /// Appends the ids of a piece of text.
    pub(crate) fn word(&self, vocab: &Vocab, word: &str, out: &mut Vec<TokenId>) {
        let text = word.as_bytes();
        let unreached = Best { score: f64::NEG_INFINITY, id: NO_TOKEN, from: 0 };
        let mut best = vec![unreached; text.len() + 1];
        best[0].score = 0.0;
        for (start, c) in word.char_indices() {
            let from = u32::try_from(start).unwrap_or(u32::MAX);
            let reached = best[start].score;
            let mut improve = |end: usize, id: u32, score: f64| {
                if score > best[end].score {
                    best[end] = Best { score, id, from };
                }
            };
            let mut has_char = false;
            let mut walk = self.tokens.walk();
            for (end, &byte) in (start + 1..).zip(&text[start..]) {
                match self.tokens.step(vocab, walk, byte) {
                    Some(further) => walk = further,
                    None => break,
                }
                if let Some(id) = self.tokens.token(vocab, walk) {
                    has_char |= end - start == c.len_utf8();
                    improve(end, id.0, reached + self.scores[id.index()]);
                }
            }
            if !has_char {
                improve(start + c.len_utf8(), NO_TOKEN, reached + self.unknown_score);
            }
        }
        self.collect(text, &best, out);
    }

    /// Walks back from the end and appends what was taken, in order.
    fn collect(&self, text: &[u8], best: &[Best], out: &mut Vec<TokenId>) {
        let first = out.len();
        let mut end = text.len();
        while end > 0 {
            let Best { id, from, .. } = best[end];
            let start = from as usize;
            let bytes = self.bytes.as_deref().filter(|bytes| {
                text[start..end].iter().all(|&byte| bytes[usize::from(byte)] != NO_TOKEN)
            });
            match (id, bytes) {
                (NO_TOKEN, Some(bytes)) => {
                    let ids = text[start..end].iter().rev();
                    out.extend(ids.map(|&byte| TokenId(bytes[usize::from(byte)])));
                }
                // Unknown characters in a row are one token.
                (NO_TOKEN, None) => {
                    if out.len() == first || out.last() != Some(&self.unknown) {
                        out.push(self.unknown);
                    }
                }
                (id, _) => out.push(TokenId(id)),
            }
            end = start;
        }
        out[first..].reverse();
    }

    /// Bytes of memory that it holds.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.tokens.heap_bytes() + self.scores.len() * 8 + 1024
    }
}
