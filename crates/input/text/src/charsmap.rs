//! SentencePiece's compiled table of replacements (NFKC and more), read in place.
//!
//! Four bytes of length, a double array that maps prefixes to places, then the replacements, each
//! ended by a zero byte. Every index is checked when it is used, so a table made to mislead can
//! only replace wrongly. Follows darts-clone's unit layout (`darts.h`) and SentencePiece's
//! `normalizer.cc`.

use unicode_segmentation::UnicodeSegmentation;

use crate::error::VocabularyError;

/// Longest replacement, in bytes: NFKC's own longest is 33.
const REPLACEMENT_BYTES_MAX: usize = 1024;

/// The table.
#[derive(Clone, Debug)]
pub(crate) struct Charsmap {
    units: Box<[u32]>,
    replacements: Box<str>,
}

/// Which prefix is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prefixes {
    /// The longest one, place by place: SentencePiece and llama.cpp.
    Longest,
    /// One for each user-perceived character of less than six bytes, else for each code point,
    /// and the shortest prefix at that: Hugging Face's reading of the same table.
    Graphemes,
}

impl Charsmap {
    /// Reads a table; an empty one changes nothing.
    ///
    /// # Errors
    /// [`VocabularyError::Broken`] with the offset in the table.
    pub(crate) fn new(bytes: &[u8]) -> Result<Option<Self>, VocabularyError> {
        let broken = |what, offset| VocabularyError::Broken { what, offset };
        if bytes.is_empty() {
            return Ok(None);
        }
        let (length, rest) =
            bytes.split_first_chunk::<4>().ok_or(broken("precompiled charsmap: no length", 0))?;
        let length = u32::from_le_bytes(*length) as usize;
        if length > rest.len() || !length.is_multiple_of(4) || length == 0 {
            return Err(broken("precompiled charsmap: the length is wrong", 0));
        }
        let (trie, text) = rest.split_at(length);
        let (units, _) = trie.as_chunks::<4>();
        let replacements = std::str::from_utf8(text).map_err(|error| {
            broken(
                "precompiled charsmap: a replacement is no UTF-8",
                4 + length + error.valid_up_to(),
            )
        })?;
        let mut at = 4 + length;
        for replacement in replacements.split('\0') {
            if replacement.len() > REPLACEMENT_BYTES_MAX {
                return Err(broken("precompiled charsmap: a replacement above 1024 bytes", at));
            }
            at += replacement.len() + 1;
        }
        Ok(Some(Self {
            units: units.iter().map(|unit| u32::from_le_bytes(*unit)).collect(),
            replacements: replacements.into(),
        }))
    }

    /// Walks the double array and calls `found` with the length and place of every prefix.
    fn prefixes(&self, text: &[u8], mut found: impl FnMut(usize, u32) -> bool) {
        let offset = |unit: u32| (unit >> 10) << ((unit & (1 << 9)) >> 6);
        let Some(&root) = self.units.first() else { return };
        let mut node = offset(root);
        for (taken, &byte) in (1..).zip(text) {
            if byte == 0 {
                return;
            }
            node ^= u32::from(byte);
            let Some(&unit) = self.units.get(node as usize) else { return };
            if unit & ((1 << 31) | 0xFF) != u32::from(byte) {
                return;
            }
            node ^= offset(unit);
            if unit >> 8 & 1 == 1 {
                let Some(&leaf) = self.units.get(node as usize) else { return };
                if !found(taken, leaf & ((1 << 31) - 1)) {
                    return;
                }
            }
        }
    }

    fn replacement(&self, place: u32) -> Option<&str> {
        self.replacements.get(place as usize..)?.split('\0').next()
    }

    fn longest(&self, text: &str) -> Option<(usize, &str)> {
        let mut best = None;
        self.prefixes(text.as_bytes(), |taken, place| {
            best = Some((taken, place));
            true
        });
        let (taken, place) = best?;
        // A key that ends inside a character replaces nothing.
        let replacement = self.replacement(place).filter(|_| text.is_char_boundary(taken))?;
        Some((taken, replacement))
    }

    fn shortest(&self, text: &str) -> Option<&str> {
        let mut best = None;
        self.prefixes(text.as_bytes(), |_, place| {
            best = Some(place);
            false
        });
        self.replacement(best?)
    }

    /// Replaces what the table knows, until the result would exceed `limit` bytes; what is left
    /// of the text then stays as it is.
    pub(crate) fn apply(&self, which: Prefixes, text: &str, limit: usize) -> String {
        let mut out = String::with_capacity(text.len() + text.len() / 8);
        match which {
            Prefixes::Longest => {
                let mut rest = text;
                while let Some(c) = rest.chars().next() {
                    let replaced = self.longest(rest).filter(|_| out.len() < limit);
                    let (taken, new) = replaced.unwrap_or_else(|| {
                        (c.len_utf8(), rest.get(..c.len_utf8()).unwrap_or_default())
                    });
                    out.push_str(new);
                    rest = rest.get(taken..).unwrap_or_default();
                }
            }
            Prefixes::Graphemes => {
                for grapheme in text.graphemes(true) {
                    if out.len() >= limit {
                        out.push_str(grapheme);
                        continue;
                    }
                    if grapheme.len() < 6
                        && let Some(new) = self.shortest(grapheme)
                    {
                        out.push_str(new);
                        continue;
                    }
                    for c in grapheme.chars() {
                        let mut buffer = [0; 4];
                        match self.shortest(c.encode_utf8(&mut buffer)) {
                            Some(new) => out.push_str(new),
                            None => out.push(c),
                        }
                    }
                }
            }
        }
        out
    }

    /// Bytes of memory that it holds.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.units.len() * 4 + self.replacements.len()
    }
}
