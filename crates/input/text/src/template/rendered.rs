//! A rendered prompt, and which of its characters the caller wrote.
//!
//! [`Rendered::pieces`] is what a tokenizer needs: special tokens that the template wrote, and
//! the text between them, in which nothing is special any more.

use std::ops::Range;

use super::glyphs::{Glyph, Origin};

/// A rendered prompt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    text: String,
    /// Byte ranges of what the caller wrote, ascending, not touching.
    caller: Vec<Range<usize>>,
}

/// A stretch of a prompt with one author.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// Written by the template: special tokens may stand in it.
    Scaffold(&'a str),
    /// Written by the caller: whatever it looks like, it is text.
    Caller(&'a str),
}

/// A stretch of a prompt as a tokenizer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A special token.
    Special(&'a str),
    /// Text without special tokens, whoever wrote it.
    Text(&'a str),
}

impl Rendered {
    pub(super) fn new(glyphs: &[Glyph]) -> Self {
        let mut rendered = Self::default();
        for glyph in glyphs {
            let begin = rendered.text.len();
            rendered.text.push(glyph.character());
            if glyph.origin() == Origin::Caller {
                let end = rendered.text.len();
                match rendered.caller.last_mut() {
                    Some(last) if last.end == begin => last.end = end,
                    _ => rendered.caller.push(begin..end),
                }
            }
        }
        rendered
    }

    /// The prompt.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The byte ranges of [`Self::text`] that the caller wrote, in ascending order.
    pub fn caller_ranges(&self) -> &[Range<usize>] {
        &self.caller
    }

    /// The prompt as stretches of one author each; together they are the text.
    pub fn parts(&self) -> Vec<Part<'_>> {
        let mut parts = Vec::with_capacity(2 * self.caller.len() + 1);
        let mut from = 0;
        for range in &self.caller {
            if from < range.start {
                parts.push(Part::Scaffold(self.cut(from..range.start)));
            }
            parts.push(Part::Caller(self.cut(range.clone())));
            from = range.end;
        }
        if from < self.text.len() {
            parts.push(Part::Scaffold(self.cut(from..self.text.len())));
        }
        parts
    }

    /// Cuts the prompt at the special tokens that the template wrote.
    ///
    /// Where several of `specials` begin at one place the longest counts. Text goes on across the
    /// border between template and caller, so that it is tokenised as if it were one.
    pub fn pieces<S: AsRef<str>>(&self, specials: &[S]) -> Vec<Piece<'_>> {
        let mut ordered: Vec<&str> = specials.iter().map(AsRef::as_ref).collect();
        ordered.retain(|special| !special.is_empty());
        ordered.sort_by(|a, b| {
            a.as_bytes().first().cmp(&b.as_bytes().first()).then(b.len().cmp(&a.len()))
        });
        let mut pieces = Vec::new();
        let mut text_from = 0;
        for part in self.scaffolds() {
            let mut place = part.start;
            while place < part.end {
                let rest = &self.text.as_bytes()[place..part.end];
                let first = ordered.partition_point(|special| special.as_bytes()[0] < rest[0]);
                let candidates = ordered[first..].iter();
                let found = candidates
                    .take_while(|special| special.as_bytes()[0] == rest[0])
                    .find(|special| rest.starts_with(special.as_bytes()));
                let Some(special) = found else {
                    place += 1;
                    continue;
                };
                if text_from < place {
                    pieces.push(Piece::Text(self.cut(text_from..place)));
                }
                place += special.len();
                pieces.push(Piece::Special(self.cut(place - special.len()..place)));
                text_from = place;
            }
        }
        if text_from < self.text.len() {
            pieces.push(Piece::Text(self.cut(text_from..self.text.len())));
        }
        pieces
    }

    /// The byte ranges that the template wrote.
    fn scaffolds(&self) -> Vec<Range<usize>> {
        let mut scaffolds = Vec::with_capacity(self.caller.len() + 1);
        let mut from = 0;
        for range in &self.caller {
            scaffolds.push(from..range.start);
            from = range.end;
        }
        scaffolds.push(from..self.text.len());
        scaffolds
    }

    fn cut(&self, range: Range<usize>) -> &str {
        self.text.get(range).expect("ranges begin and end at characters")
    }
}
