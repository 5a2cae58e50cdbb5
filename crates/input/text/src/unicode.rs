//! Unicode's character classes, as the patterns of tokenizers name them.
//!
//! A set of general categories is a mask of 30 bits. The categories are those of Unicode 16 from
//! the crate `unicode-general-category`, white space and letters beyond them are the standard
//! library's; tokenizers were trained with Unicode 13 to 16, which differ in characters added.

pub(crate) mod old;

use unicode_general_category::{GeneralCategory as G, get_general_category};

/// A set of general categories: bit `category as u32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Categories(u32);

/// Every category by its two letters.
const NAMES: [(&str, G); 30] = [
    ("Lu", G::UppercaseLetter),
    ("Ll", G::LowercaseLetter),
    ("Lt", G::TitlecaseLetter),
    ("Lm", G::ModifierLetter),
    ("Lo", G::OtherLetter),
    ("Mn", G::NonspacingMark),
    ("Mc", G::SpacingMark),
    ("Me", G::EnclosingMark),
    ("Nd", G::DecimalNumber),
    ("Nl", G::LetterNumber),
    ("No", G::OtherNumber),
    ("Pc", G::ConnectorPunctuation),
    ("Pd", G::DashPunctuation),
    ("Ps", G::OpenPunctuation),
    ("Pe", G::ClosePunctuation),
    ("Pi", G::InitialPunctuation),
    ("Pf", G::FinalPunctuation),
    ("Po", G::OtherPunctuation),
    ("Sm", G::MathSymbol),
    ("Sc", G::CurrencySymbol),
    ("Sk", G::ModifierSymbol),
    ("So", G::OtherSymbol),
    ("Zs", G::SpaceSeparator),
    ("Zl", G::LineSeparator),
    ("Zp", G::ParagraphSeparator),
    ("Cc", G::Control),
    ("Cf", G::Format),
    ("Cs", G::Surrogate),
    ("Co", G::PrivateUse),
    ("Cn", G::Unassigned),
];

impl Categories {
    /// No category.
    pub(crate) const NONE: Self = Self(0);

    /// The set of a name: one letter (`L`), two (`Lu`).
    pub(crate) fn named(name: &str) -> Option<Self> {
        let mut bits = 0;
        for (two, category) in NAMES {
            if two == name || (name.len() == 1 && two.starts_with(name)) {
                bits |= 1 << (category as u32);
            }
        }
        (bits != 0).then_some(Self(bits))
    }

    /// Everything that is not in this set.
    pub(crate) fn complement(self) -> Self {
        Self(NAMES.iter().fold(0, |all, (_, category)| all | 1 << (*category as u32)) & !self.0)
    }

    /// Both sets together.
    pub(crate) fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the set has a character.
    pub(crate) fn has(self, c: char) -> bool {
        self.0 & (1 << (get_general_category(c) as u32)) != 0
    }
}

/// A mark that stands on its own in the decomposed form and takes no room.
pub(crate) fn is_nonspacing_mark(c: char) -> bool {
    get_general_category(c) == G::NonspacingMark
}

/// A mark of any kind.
pub(crate) fn is_mark(c: char) -> bool {
    matches!(get_general_category(c), G::NonspacingMark | G::SpacingMark | G::EnclosingMark)
}

/// Punctuation of any kind (category P).
pub(crate) fn is_punctuation(c: char) -> bool {
    matches!(
        get_general_category(c),
        G::ConnectorPunctuation
            | G::DashPunctuation
            | G::OpenPunctuation
            | G::ClosePunctuation
            | G::InitialPunctuation
            | G::FinalPunctuation
            | G::OtherPunctuation
    )
}

/// A number of any kind (category N).
pub(crate) fn is_number(c: char) -> bool {
    matches!(get_general_category(c), G::DecimalNumber | G::LetterNumber | G::OtherNumber)
}

/// Control, format and private characters.
pub(crate) fn is_control(c: char) -> bool {
    matches!(get_general_category(c), G::Control | G::Format | G::PrivateUse)
}

/// Regular expressions' `\w`: letters, marks, decimal digits, connectors and joiners.
pub(crate) fn is_word(c: char) -> bool {
    c.is_alphabetic()
        || is_mark(c)
        || matches!(get_general_category(c), G::DecimalNumber | G::ConnectorPunctuation)
        || matches!(c, '\u{200C}' | '\u{200D}')
}

/// Han characters as the patterns of Kimi mean them (the ideograph blocks).
pub(crate) const HAN: [(char, char); 9] = [
    ('\u{3400}', '\u{4DBF}'),
    ('\u{4E00}', '\u{9FFF}'),
    ('\u{F900}', '\u{FAFF}'),
    ('\u{20000}', '\u{2A6DF}'),
    ('\u{2A700}', '\u{2B73F}'),
    ('\u{2B740}', '\u{2B81F}'),
    ('\u{2B820}', '\u{2CEAF}'),
    ('\u{2CEB0}', '\u{2EBEF}'),
    ('\u{2F800}', '\u{2FA1F}'),
];

/// The character at a byte offset of valid UTF-8 and its length in bytes.
pub(crate) fn char_at(text: &str, at: usize) -> Option<(char, usize)> {
    let bytes = text.as_bytes();
    let first = *bytes.get(at)?;
    if first < 0x80 {
        return Some((char::from(first), 1));
    }
    let c = text.get(at..)?.chars().next()?;
    Some((c, c.len_utf8()))
}

/// A decimal digit of any script (regular expressions' `\d`).
pub(crate) fn is_decimal(c: char) -> bool {
    get_general_category(c) == G::DecimalNumber
}
