//! Tokens that are cut out of a text before the model sees it: special and added ones.
//!
//! The longest token at the leftmost place wins. Control tokens are found only where the caller
//! asked for it ([`Special::Parse`]); user-defined pieces of text are found always.

use crate::error::VocabularyError;
use crate::token::TokenId;
use crate::unicode::is_word;

/// Most added tokens of a vocabulary.
pub(crate) const ADDED_MAX: usize = 65_536;

/// Whether text that looks like a special token is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// It is: `<|im_end|>` becomes the token that ends a turn. For text that the program wrote.
    Parse,
    /// It stays text. For text that anybody else wrote.
    Text,
}

/// How a token is looked for.
#[expect(clippy::struct_excessive_bools, reason = "flags that have nothing to do with each other")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Added {
    pub(crate) text: Box<str>,
    pub(crate) id: TokenId,
    /// Only found under `Special::Parse`.
    pub(crate) control: bool,
    /// Looked for in normalised text.
    pub(crate) normalized: bool,
    /// Takes the white space before it along.
    pub(crate) strip_left: bool,
    /// Takes the white space behind it along.
    pub(crate) strip_right: bool,
    /// Not found inside a word.
    pub(crate) single_word: bool,
}

impl Added {
    /// A token that takes nothing along.
    pub(crate) fn new(text: &str, id: TokenId, control: bool) -> Self {
        Self {
            text: text.into(),
            id,
            control,
            normalized: false,
            strip_left: false,
            strip_right: false,
            single_word: false,
        }
    }
}

/// All added tokens, sorted by text.
#[derive(Clone, Debug, Default)]
pub(crate) struct AddedTokens {
    tokens: Vec<Added>,
    /// Where the tokens with each first byte begin; the last entry is their number.
    starts: Vec<u32>,
}

/// A place where an added token stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'a> {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) token: &'a Added,
}

impl AddedTokens {
    /// Sorts the tokens; empty ones are left out.
    pub(crate) fn new(mut tokens: Vec<Added>) -> Result<Self, VocabularyError> {
        tokens.retain(|token| !token.text.is_empty());
        if tokens.len() > ADDED_MAX {
            return Err(VocabularyError::Limit {
                what: "added tokens",
                got: tokens.len(),
                limit: ADDED_MAX,
            });
        }
        tokens.sort_by(|a, b| a.text.cmp(&b.text).then(a.id.cmp(&b.id)));
        for two in tokens.windows(2) {
            if two[0].text == two[1].text {
                return Err(VocabularyError::Duplicate {
                    text: crate::error::shorten(&two[1].text),
                    first: two[0].id.0,
                    second: two[1].id.0,
                });
            }
        }
        let starts = (0..=256_usize)
            .map(|byte| {
                let before = tokens.partition_point(|t| usize::from(t.text.as_bytes()[0]) < byte);
                u32::try_from(before).unwrap_or(u32::MAX)
            })
            .collect();
        Ok(Self { tokens, starts })
    }

    /// The leftmost longest token from `from` on that `wanted` accepts.
    pub(crate) fn find(
        &self,
        text: &str,
        from: usize,
        wanted: impl Fn(&Added) -> bool,
    ) -> Option<Found<'_>> {
        if self.tokens.is_empty() {
            return None;
        }
        let bytes = text.as_bytes();
        for start in from..bytes.len() {
            let byte = usize::from(bytes[start]);
            let (low, high) = (self.starts[byte] as usize, self.starts[byte + 1] as usize);
            if low == high {
                continue;
            }
            let longest = self.longest(&bytes[start..], low, high, |token| {
                wanted(token) && (!token.single_word || stands_alone(text, start, token.text.len()))
            });
            if let Some(token) = longest {
                return Some(Found { start, end: start + token.text.len(), token });
            }
        }
        None
    }

    fn longest(
        &self,
        bytes: &[u8],
        mut low: usize,
        mut high: usize,
        wanted: impl Fn(&Added) -> bool,
    ) -> Option<&Added> {
        let mut best = None;
        let mut depth = 1;
        // tokens[low..high] share their first `depth` bytes with the text; shortest first.
        while low < high {
            let first = &self.tokens[low];
            if high - low == 1 {
                if bytes.starts_with(first.text.as_bytes()) && wanted(first) {
                    best = Some(first);
                }
                break;
            }
            if first.text.len() == depth {
                if wanted(first) {
                    best = Some(first);
                }
                low += 1;
                continue;
            }
            let Some(&byte) = bytes.get(depth) else { break };
            let range = &self.tokens[low..high];
            let below = range.partition_point(|t| t.text.as_bytes()[depth] < byte);
            let above = range.partition_point(|t| t.text.as_bytes()[depth] <= byte);
            (low, high) = (low + below, low + above);
            depth += 1;
        }
        best
    }

    /// Bytes of memory that it holds.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.tokens.iter().map(|t| t.text.len() + size_of::<Added>()).sum::<usize>() + 1028
    }
}

fn stands_alone(text: &str, start: usize, length: usize) -> bool {
    let before = text.get(..start).and_then(|text| text.chars().next_back());
    let after = text.get(start + length..).and_then(|text| text.chars().next());
    !before.is_some_and(is_word) && !after.is_some_and(is_word)
}
