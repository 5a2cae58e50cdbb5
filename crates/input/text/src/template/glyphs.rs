//! Strings whose characters know where they come from: the template or the caller.
//!
//! A glyph is a character and one bit of origin. Everything that a template does to a string
//! (joining, slicing, splitting, changing case) carries the bit along, and nothing can see it:
//! comparison, search and order look at the character alone. So a rendered prompt tells exactly
//! which characters the template wrote, whatever it did with the caller's.

use std::cmp::Ordering;
use std::sync::Arc;

/// A character and its origin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Glyph(u32);

/// A string of glyphs; cheap to copy.
pub(super) type Text = Arc<[Glyph]>;

const CALLER: u32 = 1 << 31;

/// Who wrote a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The template, or a value that stands for it (the begin token, a role's name).
    Scaffold,
    /// The conversation.
    Caller,
}

impl Glyph {
    pub(super) fn new(character: char, origin: Origin) -> Self {
        let bit = if origin == Origin::Caller { CALLER } else { 0 };
        Self(u32::from(character) | bit)
    }

    pub(super) fn character(self) -> char {
        char::from_u32(self.0 & !CALLER).unwrap_or(char::REPLACEMENT_CHARACTER)
    }

    pub(super) fn origin(self) -> Origin {
        if self.0 & CALLER == 0 { Origin::Scaffold } else { Origin::Caller }
    }

    /// Another character in this one's place.
    pub(super) fn with(self, character: char) -> Self {
        Self(u32::from(character) | (self.0 & CALLER))
    }

    /// What Python's `str.isspace` says.
    pub(super) fn is_space(self) -> bool {
        is_space(self.character())
    }
}

impl PartialEq for Glyph {
    fn eq(&self, other: &Self) -> bool {
        self.character() == other.character()
    }
}

impl Eq for Glyph {}

impl PartialOrd for Glyph {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Glyph {
    fn cmp(&self, other: &Self) -> Ordering {
        self.character().cmp(&other.character())
    }
}

pub(super) fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

/// Glyphs of one origin.
pub(super) fn glyphs(text: &str, origin: Origin) -> impl Iterator<Item = Glyph> {
    text.chars().map(move |character| Glyph::new(character, origin))
}

/// Text written by the template or by Ledge.
pub(super) fn scaffold(text: &str) -> Text {
    glyphs(text, Origin::Scaffold).collect()
}

/// The characters alone.
pub(super) fn plain(text: &[Glyph]) -> String {
    text.iter().map(|glyph| glyph.character()).collect()
}

/// Where `needle` first stands in `text`, at or after `from`.
pub(super) fn find(text: &[Glyph], needle: &[Glyph], from: usize) -> Option<usize> {
    if needle.is_empty() {
        return (from <= text.len()).then_some(from);
    }
    let windows = text.get(from..)?.windows(needle.len());
    windows.into_iter().position(|window| window == needle).map(|place| place + from)
}

/// Where `needle` last stands in `text`.
pub(super) fn rfind(text: &[Glyph], needle: &[Glyph]) -> Option<usize> {
    if needle.is_empty() {
        return Some(text.len());
    }
    text.windows(needle.len()).rposition(|window| window == needle)
}

/// The text between the given characters (or whitespace) at both ends that `sides` names.
pub(super) fn strip<'a>(text: &'a [Glyph], of: Option<&[Glyph]>, sides: Sides) -> &'a [Glyph] {
    let goes = |glyph: &Glyph| of.map_or_else(|| glyph.is_space(), |of| of.contains(glyph));
    let mut text = text;
    if sides != Sides::Right {
        while let [first, rest @ ..] = text
            && goes(first)
        {
            text = rest;
        }
    }
    if sides != Sides::Left {
        while let [rest @ .., last] = text
            && goes(last)
        {
            text = rest;
        }
    }
    text
}

/// Which ends of a string are stripped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sides {
    Both,
    Left,
    Right,
}
