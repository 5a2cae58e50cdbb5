//! Patterns that cut text into words: the regular expressions of tokenizers, on an own matcher.
//!
//! Tokenizer files bring patterns with look-ahead, which the `regex` crate refuses, and a handful
//! of shapes make up all of them: alternatives of repeated character classes. So this is a small
//! backtracking matcher with three differences from the usual: a repeated class is one
//! instruction, alternatives are skipped by the next character, and no alternative recurses. The
//! work per text is bounded: a pattern that exceeds 64 steps a byte stops cutting, and the rest
//! of that text is one piece. Known patterns stay below 10.

mod class;
mod parse;
mod program;

use crate::error::VocabularyError;
use program::Program;

/// Longest pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 64 << 10;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(Program);

impl Pattern {
    /// Reads a pattern in the syntax that Oniguruma and the `regex` crate share.
    ///
    /// # Errors
    /// [`VocabularyError::Pattern`] for what cannot be read or is not supported (look-behind,
    /// back references, atomic groups), with the place.
    pub(crate) fn new(source: &str) -> Result<Self, VocabularyError> {
        let fail = |what, at| VocabularyError::Pattern {
            pattern: crate::error::shorten(source),
            what,
            at,
        };
        if source.len() > PATTERN_BYTES_MAX {
            return Err(fail("longer than 64 KiB", 0));
        }
        let tree = parse::parse(source).map_err(|(what, at)| fail(what, at))?;
        Program::compile(&tree).map(Self).map_err(|what| fail(what, 0))
    }

    /// A pattern that finds this text.
    pub(crate) fn literal(text: &str) -> Result<Self, VocabularyError> {
        let escaped: String = text
            .chars()
            .flat_map(|c| c.is_ascii_punctuation().then_some('\\').into_iter().chain([c]))
            .collect();
        Self::new(&escaped)
    }

    /// Calls `piece` with every match and every gap in between, in order, as byte ranges.
    ///
    /// A match of nothing cuts where it stands and gives no piece.
    pub(crate) fn split(&self, text: &str, piece: &mut dyn FnMut(usize, usize, Piece)) {
        let mut run = self.0.start(text);
        let (mut at, mut gap) = (0, 0);
        while at < text.len() {
            match run.match_at(at) {
                Some(end) if end > at => {
                    if gap < at {
                        piece(gap, at, Piece::Gap);
                    }
                    piece(at, end, Piece::Match);
                    (at, gap) = (end, end);
                }
                found => {
                    if run.is_spent() {
                        break;
                    }
                    if found.is_some() && gap < at {
                        piece(gap, at, Piece::Gap);
                        gap = at;
                    }
                    at += crate::unicode::char_at(text, at).map_or(1, |(_, length)| length);
                }
            }
        }
        if gap < text.len() {
            piece(gap, text.len(), Piece::Gap);
        }
    }
}

/// What a piece of a split text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// The pattern matched it.
    Match,
    /// It lies between matches.
    Gap,
}

#[cfg(test)]
mod tests;
