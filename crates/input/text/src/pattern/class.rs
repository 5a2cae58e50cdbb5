//! Character classes: one bit for each ASCII character, rules for the others.
//!
//! Negation and case are folded into the ASCII mask when the class is made, so that the common
//! character costs one shift.

use crate::unicode::{Categories, is_word};

/// A set of characters.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Class {
    /// Bit `c` says whether ASCII character `c` is in the set; valid after `seal`.
    ascii: u128,
    items: Items,
    negated: bool,
    /// Only characters that are also in this one.
    and: Option<Box<Class>>,
}

/// What the brackets list, before negation.
#[expect(clippy::struct_excessive_bools, reason = "each is one item that brackets may list")]
#[derive(Clone, Debug, PartialEq, Default)]
struct Items {
    categories: Categories,
    ranges: Vec<(char, char)>,
    space: bool,
    not_space: bool,
    word: bool,
    not_word: bool,
}

impl Items {
    fn has(&self, c: char) -> bool {
        (self.space && c.is_whitespace())
            || (self.categories != Categories::NONE && self.categories.has(c))
            || self.ranges.iter().any(|&(low, high)| low <= c && c <= high)
            || (self.not_space && !c.is_whitespace())
            || (self.word && is_word(c))
            || (self.not_word && !is_word(c))
    }
}

impl Class {
    /// The class of one character.
    pub(super) fn of_char(c: char, fold_case: bool) -> Self {
        let mut class = Self::default();
        class.add_range(c, c, fold_case);
        class.sealed()
    }

    /// Every character but line feeds: the dot.
    pub(super) fn dot() -> Self {
        let mut class = Self::default();
        class.add_range('\n', '\n', false);
        class.negate();
        class.sealed()
    }

    /// Adds characters from `low` to `high`, in both cases if `fold_case`.
    pub(super) fn add_range(&mut self, low: char, high: char, fold_case: bool) {
        self.items.ranges.push((low, high));
        if !fold_case {
            return;
        }
        for c in 'a'..='z' {
            let upper = c.to_ascii_uppercase();
            for (from, to) in [(c, upper), (upper, c)] {
                if low <= from && from <= high {
                    self.items.ranges.push((to, to));
                }
            }
        }
        // The two characters beyond ASCII that fold to ASCII letters.
        for (letter, other) in [('s', '\u{17F}'), ('k', '\u{212A}')] {
            let upper = letter.to_ascii_uppercase();
            if (low <= letter && letter <= high) || (low <= upper && upper <= high) {
                self.items.ranges.push((other, other));
            }
        }
    }

    /// Adds the characters of some categories.
    pub(super) fn add_categories(&mut self, categories: Categories) {
        self.items.categories = self.items.categories.union(categories);
    }

    /// Adds `\s` or, negated, `\S`.
    pub(super) fn add_space(&mut self, negated: bool) {
        *(if negated { &mut self.items.not_space } else { &mut self.items.space }) = true;
    }

    /// Adds `\w` or, negated, `\W`.
    pub(super) fn add_word(&mut self, negated: bool) {
        *(if negated { &mut self.items.not_word } else { &mut self.items.word }) = true;
    }

    /// Adds the Han ideographs.
    pub(super) fn add_han(&mut self) {
        self.items.ranges.extend(crate::unicode::HAN);
    }

    /// Turns the listed characters into all others.
    pub(super) fn negate(&mut self) {
        self.negated = true;
    }

    /// Keeps only what `other` has too.
    pub(super) fn intersect(&mut self, other: Self) {
        self.and = Some(Box::new(match self.and.take() {
            None => other,
            Some(former) => {
                let mut both = other;
                both.intersect(*former);
                both.sealed()
            }
        }));
    }

    /// Computes the ASCII mask; nothing is added afterwards.
    pub(super) fn sealed(mut self) -> Self {
        self.ascii = 0;
        for byte in 0..128_u8 {
            if self.rule(char::from(byte)) {
                self.ascii |= 1 << byte;
            }
        }
        self
    }

    fn rule(&self, c: char) -> bool {
        self.items.has(c) != self.negated && self.and.as_ref().is_none_or(|and| and.rule(c))
    }

    /// The ASCII characters of the set.
    pub(super) fn ascii(&self) -> u128 {
        self.ascii
    }

    /// Whether the set has a character beyond ASCII.
    pub(super) fn has_beyond(&self, c: char) -> bool {
        self.rule(c)
    }
}
