//! What can be wrong with a vocabulary or a tokenizer's description.
//!
//! Text can never be wrong: every string has ids and every list of ids has bytes, so only the
//! constructors of [`crate::Tokenizer`] give errors. Each names the token, key or byte offset.

/// A vocabulary that cannot be used, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VocabularyError {
    /// The kind of tokenizer is not known here.
    #[error("tokenizer model `{got}` is not known; known are {known}")]
    UnknownModel {
        /// The name found.
        got: String,
        /// The names that would do.
        known: &'static str,
    },
    /// The way to split text into words is not known here.
    #[error("pre-tokenizer `{got}` is not known")]
    UnknownPreTokenizer {
        /// The name found.
        got: String,
    },
    /// A part of a `tokenizer.json` that is not supported.
    #[error("{place}: `{got}` is not supported")]
    Unsupported {
        /// Where in the file, as a path of keys.
        place: &'static str,
        /// What stands there.
        got: String,
    },
    /// A regular expression that cannot be read or is too large.
    #[error("pattern `{pattern}`: {what} at character {at}")]
    Pattern {
        /// The pattern, shortened.
        pattern: String,
        /// What is wrong.
        what: &'static str,
        /// Index of the character, from 0.
        at: usize,
    },
    /// A list that must be there is missing.
    #[error("`{key}` is missing")]
    Missing {
        /// The key or field.
        key: &'static str,
    },
    /// Two lists that belong together differ in length.
    #[error("`{key}` has {got} entries, the vocabulary has {want} tokens")]
    Length {
        /// The key or field.
        key: &'static str,
        /// Entries found.
        got: usize,
        /// Tokens in the vocabulary.
        want: usize,
    },
    /// A number is beyond what is allowed.
    #[error("{what}: {got}, the limit is {limit}")]
    Limit {
        /// What was counted.
        what: &'static str,
        /// The number found.
        got: usize,
        /// The largest that is allowed.
        limit: usize,
    },
    /// An id that the vocabulary does not have.
    #[error("`{key}` is {got}, the vocabulary has {tokens} tokens")]
    Id {
        /// The key or field.
        key: &'static str,
        /// The id found.
        got: u64,
        /// Tokens in the vocabulary.
        tokens: usize,
    },
    /// The same text stands twice in the vocabulary.
    #[error("token `{text}` has the ids {first} and {second}")]
    Duplicate {
        /// The text, shortened.
        text: String,
        /// The earlier id.
        first: u32,
        /// The later id.
        second: u32,
    },
    /// A score that is not a finite number.
    #[error("score of token {id} is {got}")]
    Score {
        /// The token.
        id: u32,
        /// The score.
        got: f64,
    },
    /// JSON that is broken or has the wrong shape.
    #[error("tokenizer.json: {}", json(.0))]
    Json(#[from] serde_json::Error),
    /// A binary file that ends too early or contradicts itself.
    #[error("{what} at byte {offset}")]
    Broken {
        /// What is wrong.
        what: &'static str,
        /// Where, from the start of the file or of the blob that is named.
        offset: usize,
    },
}

/// The first characters of a text from a file, for an error: safe to print, 60 at most.
pub(crate) fn shorten(text: &str) -> String {
    printable(text, 60)
}

/// What serde says, with a text from the file cut short; the place stays.
fn json(error: &serde_json::Error) -> String {
    let told = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let what = told.strip_suffix(&place).unwrap_or(&told);
    printable(what, 160) + &place
}

/// The text with control characters escaped, cut to `chars_max` characters and a mark.
fn printable(text: &str, chars_max: usize) -> String {
    let mut shown = String::new();
    let mut room = chars_max;
    for c in text.chars() {
        let escaped = if c.is_control() { c.escape_debug().len() } else { 1 };
        let Some(rest) = room.checked_sub(escaped) else {
            shown.push('…');
            break;
        };
        room = rest;
        if c.is_control() {
            shown.extend(c.escape_debug());
        } else {
            shown.push(c);
        }
    }
    shown
}
