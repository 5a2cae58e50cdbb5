//! What is done to a text before it is cut: spaces made visible, characters made alike.
//!
//! Every step is a function of the text alone. Replacing stops at [`limit`] and no step follows
//! beyond it: what is left stays as it is, so that no chain of replacements is a bomb.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;

use crate::charsmap::{Charsmap, Prefixes};
use crate::pattern::{Pattern, Piece};
use crate::unicode::old::{was_control, was_nonspacing_mark};
use crate::unicode::{is_control, is_mark};

/// Unicode's normal forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Nfc,
    Nfd,
    Nfkc,
    Nfkd,
}

/// Whose BERT normaliser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BertFlavour {
    /// As the `tokenizers` library does it.
    HuggingFace,
    /// As llama.cpp does it: one character for one, all marks dropped.
    Ggml,
}

/// What BERT's normaliser does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bert {
    pub(crate) flavour: BertFlavour,
    pub(crate) clean: Toggle,
    pub(crate) space_ideographs: Toggle,
    pub(crate) strip_accents: Toggle,
    pub(crate) lowercase: Toggle,
}

/// Whether something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Toggle {
    On,
    Off,
}

impl From<bool> for Toggle {
    fn from(on: bool) -> Self {
        if on { Self::On } else { Self::Off }
    }
}

/// One step.
#[derive(Clone, Debug)]
pub(crate) enum Normalize {
    /// Text in front of a text that is not empty.
    Prepend(Box<str>),
    /// Text behind a text that is not empty.
    Append(Box<str>),
    /// Each occurrence of one text becomes another.
    Replace { from: Box<str>, to: Box<str> },
    /// Each match of a pattern becomes a text.
    ReplacePattern { pattern: Pattern, to: Box<str> },
    /// A compiled table.
    Charsmap { map: Charsmap, prefixes: Prefixes },
    /// Spaces in a row become one, those at the ends go.
    CollapseSpaces,
    /// A normal form.
    Form(Form),
    /// Lower case, character by character.
    Lowercase,
    /// White space goes at the ends.
    Strip { left: Toggle, right: Toggle },
    /// Combining marks go.
    StripMarks,
    /// Control characters go, odd spaces become spaces (`Nmt` of `tokenizer.json`).
    Nmt,
    /// BERT's.
    Bert(Bert),
}

/// Most bytes that a step makes of a text: no real one makes more than 11 times as many.
fn limit(bytes: usize) -> usize {
    bytes.saturating_mul(32).saturating_add(4096)
}

/// Applies all steps.
pub(crate) fn normalize<'t>(steps: &[Normalize], text: &'t str) -> Cow<'t, str> {
    let limit = limit(text.len());
    let mut current = Cow::Borrowed(text);
    for step in steps {
        if current.len() >= limit {
            break;
        }
        current = apply(step, current, limit);
    }
    current
}

fn apply<'t>(step: &Normalize, text: Cow<'t, str>, limit: usize) -> Cow<'t, str> {
    if text.is_empty() {
        return text;
    }
    match step {
        Normalize::Prepend(prefix) => Cow::Owned(format!("{prefix}{text}")),
        Normalize::Append(suffix) => Cow::Owned(format!("{text}{suffix}")),
        Normalize::Replace { from, to } => replace(&text, from, to, limit).map_or(text, Cow::Owned),
        Normalize::ReplacePattern { pattern, to } => {
            let mut out = String::with_capacity(text.len());
            pattern.split(&text, &mut |start, end, what| {
                if what == Piece::Match && out.len() < limit {
                    out.push_str(to);
                } else {
                    out.push_str(text.get(start..end).unwrap_or_default());
                }
            });
            Cow::Owned(out)
        }
        Normalize::Charsmap { map, prefixes } => Cow::Owned(map.apply(*prefixes, &text, limit)),
        Normalize::CollapseSpaces => collapse(&text),
        // Only characters beyond ASCII have other forms.
        Normalize::Form(_) if text.is_ascii() => text,
        Normalize::Form(form) => Cow::Owned(match form {
            Form::Nfc => text.nfc().collect(),
            Form::Nfd => text.nfd().collect(),
            Form::Nfkc => text.nfkc().collect(),
            Form::Nfkd => text.nfkd().collect(),
        }),
        Normalize::Lowercase => Cow::Owned(text.chars().flat_map(char::to_lowercase).collect()),
        Normalize::Strip { left, right } => {
            let mut rest: &str = &text;
            if *left == Toggle::On {
                rest = rest.trim_start();
            }
            if *right == Toggle::On {
                rest = rest.trim_end();
            }
            Cow::Owned(rest.to_owned())
        }
        Normalize::StripMarks => Cow::Owned(text.chars().filter(|&c| !is_mark(c)).collect()),
        Normalize::Nmt => Cow::Owned(text.chars().filter_map(nmt).collect()),
        Normalize::Bert(rules) => Cow::Owned(bert(*rules, &text)),
    }
}

fn replace(text: &str, from: &str, to: &str, limit: usize) -> Option<String> {
    if from.is_empty() || !text.contains(from) {
        return None;
    }
    let mut out = String::with_capacity(text.len() + text.len() / 2);
    let mut at = 0;
    for (start, found) in text.match_indices(from) {
        out.push_str(text.get(at..start).unwrap_or_default());
        out.push_str(if out.len() < limit { to } else { found });
        at = start + from.len();
    }
    out.push_str(text.get(at..).unwrap_or_default());
    Some(out)
}

fn collapse(text: &str) -> Cow<'static, str> {
    let mut out = String::with_capacity(text.len());
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    Cow::Owned(out)
}

/// A character under SentencePiece's rules for machine translation.
fn nmt(c: char) -> Option<char> {
    match c {
        '\u{1}'..='\u{8}' | '\u{B}' | '\u{E}'..='\u{1F}' | '\u{7F}' | '\u{8F}' | '\u{9F}' => None,
        '\t'
        | '\n'
        | '\u{C}'
        | '\r'
        | '\u{1680}'
        | '\u{200B}'..='\u{200F}'
        | '\u{2028}'
        | '\u{2029}'
        | '\u{2581}'
        | '\u{FEFF}'
        | '\u{FFFD}' => Some(' '),
        c => Some(c),
    }
}

/// Ideographs as BERT means them (one bound is the `tokenizers` library's own).
fn is_ideograph(c: char) -> bool {
    matches!(u32::from(c),
        0x4E00..=0x9FFF
        | 0x3400..=0x4DBF
        | 0x20000..=0x2A6DF
        | 0x2A700..=0x2B73F
        | 0x2B740..=0x2B81F
        | 0x2B920..=0x2CEAF
        | 0xF900..=0xFAFF
        | 0x2F800..=0x2FA1F)
}

fn bert(rules: Bert, text: &str) -> String {
    match rules.flavour {
        BertFlavour::HuggingFace => bert_huggingface(rules, text),
        BertFlavour::Ggml => bert_ggml(rules, text),
    }
}

fn bert_huggingface(rules: Bert, text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if rules.clean == Toggle::On {
            let is_space = matches!(c, '\t' | '\n' | '\r');
            if c == '\0' || c == '\u{FFFD}' || (!is_space && was_control(c)) {
                continue;
            }
            if c.is_whitespace() {
                out.push(' ');
                continue;
            }
        }
        if rules.space_ideographs == Toggle::On && is_ideograph(c) {
            out.extend([' ', c, ' ']);
        } else {
            out.push(c);
        }
    }
    if rules.strip_accents == Toggle::On {
        out = out.nfd().filter(|&c| !was_nonspacing_mark(c)).collect();
    }
    if rules.lowercase == Toggle::On {
        out = out.chars().flat_map(char::to_lowercase).collect();
    }
    out
}

fn bert_ggml(rules: Bert, text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for mut c in text.chars() {
        if rules.strip_accents == Toggle::On {
            c = c.nfd().next().unwrap_or(c);
        }
        if c.is_whitespace() {
            out.push(' ');
            continue;
        }
        let is_dropped = c == '\0'
            || c == '\u{FFFD}'
            || is_control(c)
            || (rules.strip_accents == Toggle::On && is_mark(c));
        if is_dropped {
            continue;
        }
        let shown = match rules.lowercase {
            Toggle::On => c.to_lowercase().next().unwrap_or(c),
            Toggle::Off => c,
        };
        if is_ideograph(c) {
            out.extend([' ', shown, ' ']);
        } else {
            out.push(shown);
        }
    }
    out
}

/// Bytes of memory that the steps hold.
pub(crate) fn heap_bytes(steps: &[Normalize]) -> usize {
    steps
        .iter()
        .map(|step| match step {
            Normalize::Charsmap { map, .. } => map.heap_bytes(),
            _ => 0,
        })
        .sum()
}
