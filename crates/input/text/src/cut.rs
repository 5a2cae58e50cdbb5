//! Pre-tokenizers: cutting a text into words that the model sees one at a time.
//!
//! A pre-tokenizer is a list of [`Cut`]s; each cuts every piece of the one before, as if that
//! piece were the whole text. No cut loses or changes a byte but those that say so.

use std::borrow::Cow;

use crate::normalize::BertFlavour;
use crate::pattern::{Pattern, Piece};
use crate::unicode::old::was_punctuation;
use crate::unicode::{is_punctuation, is_word};

/// What becomes of the matches of a pattern (`SplitDelimiterBehavior` of `tokenizer.json`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Matches {
    /// Each is a piece of its own.
    Isolated,
    /// They are dropped.
    Removed,
    /// Each is the end of the piece before it.
    WithPrevious,
    /// Each is the beginning of the piece behind it.
    WithNext,
    /// Matches in a row are one piece.
    Contiguous,
}

/// One step of a pre-tokenizer.
#[derive(Clone, Debug)]
pub(crate) enum Cut {
    /// By a pattern; `invert` swaps matches and gaps.
    Pattern { pattern: Pattern, matches: Matches, invert: bool },
    /// Digits in threes from the right.
    DigitGroups(DigitGroups),
    /// Before each `▁` that follows another character.
    BeforeSpaces,
    /// Spaces become `▁`; one is put in front where `prepend` says so; words are cut before each
    /// if `split`.
    Metaspace { replacement: char, prepend: Prepend, split: bool },
    /// A space in front of a piece that does not begin with white space.
    PrefixSpace,
    /// At white space, which is dropped; every punctuation mark is a piece.
    Bert(BertFlavour),
    /// Runs of word characters, runs of other characters; white space is dropped.
    Words,
    /// At white space, which is dropped.
    Space,
}

/// Where a space is put in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prepend {
    Always,
    /// Only where the text begins.
    First,
    Never,
}

/// Which digits are grouped in threes from the right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DigitGroups {
    /// Every run of category N.
    Numbers,
    /// Runs of decimal digits that end a word; others are left alone.
    AtWordEnd,
}

impl Cut {
    /// A pattern whose matches and gaps are pieces.
    pub(crate) fn isolated(pattern: Pattern) -> Self {
        Self::Pattern { pattern, matches: Matches::Isolated, invert: false }
    }
}

/// Cuts a text by all steps; `is_first` says whether it begins where the whole text begins.
pub(crate) fn cut(cuts: &[Cut], text: &str, is_first: bool, word: &mut dyn FnMut(&str)) {
    if text.is_empty() {
        return;
    }
    let Some((step, rest)) = cuts.split_first() else {
        word(text);
        return;
    };
    let mut piece = |start: usize, end: usize| {
        cut(rest, text.get(start..end).unwrap_or_default(), is_first && start == 0, word);
    };
    match step {
        Cut::Pattern { pattern, matches: Matches::Isolated, .. } => {
            pattern.split(text, &mut |start, end, _| piece(start, end));
        }
        Cut::Pattern { pattern, matches, invert } => {
            by_pattern(pattern, *matches, *invert, text, &mut piece);
        }
        Cut::DigitGroups(which) => digit_groups(*which, text, &mut piece),
        Cut::BeforeSpaces => before_spaces('▁', text, &mut piece),
        Cut::Metaspace { replacement, prepend, split } => {
            let mut spaced = Cow::Borrowed(text);
            if text.contains(' ') {
                let mut buffer = [0; 4];
                spaced = Cow::Owned(text.replace(' ', replacement.encode_utf8(&mut buffer)));
            }
            let wants = match prepend {
                Prepend::Always => true,
                Prepend::First => is_first,
                Prepend::Never => false,
            };
            if wants && !spaced.starts_with(*replacement) {
                spaced.to_mut().insert(0, *replacement);
            }
            let spaced: &str = &spaced;
            if *split {
                each_space(*replacement, spaced, &mut |start, end| {
                    let piece = spaced.get(start..end).unwrap_or_default();
                    cut(rest, piece, is_first && start == 0, word);
                });
            } else {
                cut(rest, spaced, is_first, word);
            }
        }
        Cut::PrefixSpace => {
            if text.starts_with(' ') {
                cut(rest, text, is_first, word);
            } else {
                cut(rest, &format!(" {text}"), is_first, word);
            }
        }
        Cut::Bert(flavour) => {
            let alone = |c| is_bert_punctuation(*flavour, c);
            runs(text, |c| (c.is_whitespace(), alone(c)), &mut piece);
        }
        Cut::Words => words(text, &mut piece),
        Cut::Space => runs(text, |c| (c.is_whitespace(), false), &mut piece),
    }
}

/// Punctuation as BERT means it: ASCII's own idea of it and category P.
fn is_bert_punctuation(flavour: BertFlavour, c: char) -> bool {
    c.is_ascii_punctuation()
        || match flavour {
            BertFlavour::HuggingFace => was_punctuation(c),
            BertFlavour::Ggml => is_punctuation(c),
        }
}

fn by_pattern(
    pattern: &Pattern,
    matches: Matches,
    invert: bool,
    text: &str,
    piece: &mut dyn FnMut(usize, usize),
) {
    // A piece that may still grow.
    let mut open: Option<(usize, usize)> = None;
    let mut last_was_match = false;
    pattern.split(text, &mut |start, end, what| {
        let is_match = (what == Piece::Match) != invert;
        let joins = match matches {
            Matches::Isolated | Matches::Removed => false,
            Matches::WithPrevious => is_match && open.is_some() && !last_was_match,
            Matches::WithNext => !is_match && last_was_match,
            Matches::Contiguous => is_match == last_was_match,
        };
        let from = match open.take() {
            Some((from, _)) if joins => from,
            Some((from, to)) => {
                piece(from, to);
                start
            }
            None => start,
        };
        if !(is_match && matches == Matches::Removed) {
            open = Some((from, end));
        }
        last_was_match = is_match;
    });
    if let Some((from, to)) = open {
        piece(from, to);
    }
}

/// Cuts so that each replacement character begins a piece.
fn each_space(space: char, text: &str, piece: &mut dyn FnMut(usize, usize)) {
    let mut start = 0;
    for (at, c) in text.char_indices() {
        if c == space && at > start {
            piece(start, at);
            start = at;
        }
    }
    piece(start, text.len());
}

fn before_spaces(space: char, text: &str, piece: &mut dyn FnMut(usize, usize)) {
    let mut start = 0;
    let mut in_space = true;
    for (at, c) in text.char_indices() {
        let is_space = c == space;
        if is_space && !in_space {
            piece(start, at);
            start = at;
        }
        in_space = is_space;
    }
    piece(start, text.len());
}

fn digit_groups(which: DigitGroups, text: &str, piece: &mut dyn FnMut(usize, usize)) {
    let is_digit = |c: char| match which {
        DigitGroups::Numbers => crate::unicode::is_number(c),
        DigitGroups::AtWordEnd => crate::unicode::is_decimal(c),
    };
    let mut gap = 0;
    let mut at = 0;
    let mut ends = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some(&(start, c)) = chars.peek() {
        if !is_digit(c) {
            chars.next();
            continue;
        }
        ends.clear();
        while let Some(&(_, c)) = chars.peek() {
            if !is_digit(c) {
                break;
            }
            chars.next();
            at = chars.peek().map_or(text.len(), |&(at, _)| at);
            ends.push(at);
        }
        let ends_word = chars.peek().is_none_or(|&(_, c)| !is_word(c));
        if which == DigitGroups::AtWordEnd && !ends_word {
            continue;
        }
        if gap < start {
            piece(gap, start);
        }
        let mut from = start;
        for (idx, &end) in ends.iter().enumerate() {
            // So many digits are left that they are whole groups.
            if (ends.len() - idx - 1).is_multiple_of(3) {
                piece(from, end);
                from = end;
            }
        }
        gap = at;
    }
    if gap < text.len() {
        piece(gap, text.len());
    }
}

/// Runs of characters; `rule` says of each whether it is dropped and whether it stands alone.
fn runs(text: &str, rule: impl Fn(char) -> (bool, bool), piece: &mut dyn FnMut(usize, usize)) {
    let mut start = 0;
    for (at, c) in text.char_indices() {
        let (dropped, alone) = rule(c);
        if dropped || alone {
            if start < at {
                piece(start, at);
            }
            start = at + c.len_utf8();
            if alone {
                piece(at, start);
            }
        }
    }
    if start < text.len() {
        piece(start, text.len());
    }
}

fn words(text: &str, piece: &mut dyn FnMut(usize, usize)) {
    let kind = |c: char| (c.is_whitespace(), is_word(c));
    let mut start = 0;
    let mut last: Option<(bool, bool)> = None;
    for (at, c) in text.char_indices() {
        let now = kind(c);
        if last != Some(now) {
            if last.is_some_and(|(space, _)| !space) && start < at {
                piece(start, at);
            }
            start = at;
        }
        last = Some(now);
    }
    if last.is_some_and(|(space, _)| !space) {
        piece(start, text.len());
    }
}
