//! Why a file could not be read or written, with the place.
//!
//! Variants are told apart by what the caller can do: read more, fetch the file again, use
//! another file, or ask for another key. Text out of a file appears only inside a [`Label`],
//! which is short and free of control characters.

use std::{borrow::Cow, collections::TryReserveError, fmt, io};

use tensor::Bytes;

use crate::sniff::Kind;

/// Text out of a file, made fit to print: control characters escaped, cut to a length.
#[derive(Clone, PartialEq, Eq)]
pub struct Label(Box<str>);

/// Characters that a name or value shows at most.
const LABEL_CHARS: usize = 80;
/// Characters that a sentence of another parser shows at most.
const SENTENCE_CHARS: usize = 180;

impl Label {
    /// A printable form of a name or value, 80 characters at most.
    pub fn new(text: &str) -> Self {
        Self::cut(text, LABEL_CHARS)
    }

    /// A printable form of another parser's message, 180 characters at most.
    pub(crate) fn sentence(text: &str) -> Self {
        Self::cut(text, SENTENCE_CHARS)
    }

    fn cut(text: &str, chars_max: usize) -> Self {
        let mut shown = String::new();
        let mut count = 0usize;
        for c in text.chars() {
            if count >= chars_max {
                shown.push('…');
                break;
            }
            if c.is_control() || is_invisible(c) {
                let escaped = c.escape_default();
                count = count.saturating_add(escaped.len());
                shown.extend(escaped);
            } else {
                count = count.saturating_add(1);
                shown.push(c);
            }
        }
        Self(shown.into())
    }

    /// A printable form of bytes that may be no text.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        // Four bytes a character at most; the rest would not be shown.
        let start = bytes.get(..bytes.len().min(LABEL_CHARS.saturating_mul(4))).unwrap_or_default();
        Self::new(&String::from_utf8_lossy(start))
    }

    /// The printable text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Characters that change how the text around them looks without showing themselves.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Label {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<fmt::Arguments<'_>> for Label {
    fn from(text: fmt::Arguments<'_>) -> Self {
        text.as_str().map_or_else(|| Self::new(&text.to_string()), Self::new)
    }
}

/// What was read and where: `tensor_count at byte 8`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The field.
    pub what: Label,
    /// Offset from the start of the file, where the field was read from one.
    pub at: Option<u64>,
}

impl Place {
    /// A field at an offset of the file.
    pub fn at(what: fmt::Arguments<'_>, at: u64) -> Self {
        Self { what: what.into(), at: Some(at) }
    }

    /// A field that is told by its name alone.
    pub fn named(what: fmt::Arguments<'_>) -> Self {
        Self { what: what.into(), at: None }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some(at) => write!(f, "{} at byte {at}", self.what),
            None => write!(f, "{}", self.what),
        }
    }
}

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The header is longer than the bytes given: read more from the file and parse again.
    #[error("the header goes on: the first {} bytes of the file are needed", at_least.0)]
    NeedMore {
        /// Bytes from the file's start that are needed at least; no more than the file has.
        at_least: Bytes,
    },
    /// The file ends before what it announces; an unfinished download, mostly.
    #[error("{place}: needs {need} bytes from there, the file has {have}")]
    Truncated {
        /// What does not fit.
        place: Place,
        /// Bytes that it needs, from its offset on.
        need: u64,
        /// Bytes that the file has from there.
        have: u64,
    },
    /// A count or size is over one of our [`crate::limits`].
    #[error("{place}: {got} is over the limit of {limit}")]
    Limit {
        /// What is too large.
        place: Place,
        /// The value in the file.
        got: u64,
        /// The largest accepted.
        limit: u64,
    },
    /// A value breaks a rule of the format.
    #[error("{place}: must be {want}, is {got}")]
    Invalid {
        /// The value's place.
        place: Place,
        /// What the format asks for.
        want: Cow<'static, str>,
        /// What the file says.
        got: Label,
    },
    /// A name or key occurs twice, so that its meaning would depend on the reader.
    #[error("{what} `{name}` occurs twice")]
    Duplicate {
        /// What kind of name.
        what: &'static str,
        /// The name.
        name: Label,
    },
    /// Two tensors claim the same bytes of the file.
    #[error("tensor `{tensor}` at byte {at} overlaps tensor `{other}`")]
    Overlap {
        /// The later tensor.
        tensor: Label,
        /// The tensor whose bytes it takes.
        other: Label,
        /// Where the later tensor starts.
        at: u64,
    },
    /// The file is something else.
    #[error("not a {want} file: {kind}")]
    OtherKind {
        /// The format that was expected.
        want: &'static str,
        /// What the bytes look like.
        kind: Kind,
    },
    /// Correct as far as we can tell, but of a kind that is not read.
    #[error("{place}: {got} is not supported; {instead}")]
    Unsupported {
        /// The value's place.
        place: Place,
        /// What the file says.
        got: Label,
        /// What to do instead.
        instead: &'static str,
    },
    /// A tensor's element type has a name but no decoder.
    #[error("tensor `{tensor}` has type {ty}, which is not supported")]
    UnsupportedType {
        /// The tensor.
        tensor: Label,
        /// The type's name.
        ty: &'static str,
    },
    /// A key that was asked for is not there.
    #[error("key `{key}` is missing")]
    MissingKey {
        /// The key.
        key: Label,
    },
    /// A tensor that was asked for is not there.
    #[error("tensor `{tensor}` is missing")]
    MissingTensor {
        /// The tensor.
        tensor: Label,
    },
    /// A key holds another type than was asked for, or a number that does not fit it.
    #[error("key `{key}`: must be {want}, is {got}")]
    WrongType {
        /// The key.
        key: Label,
        /// The type that was asked for.
        want: &'static str,
        /// The type, or the value, in the file.
        got: Label,
    },
    /// JSON text is broken.
    #[error("{place}: line {line} column {column}: {why}")]
    Json {
        /// What the text is.
        place: Place,
        /// Line of the text, from 1.
        line: usize,
        /// Column, from 1; 0 where the line as a whole is meant.
        column: usize,
        /// What is wrong.
        why: Label,
    },
    /// The system has no memory for a table whose size was found acceptable.
    #[error("no memory for a table of {need}")]
    OutOfMemory {
        /// What was asked of the system.
        need: Bytes,
    },
    /// Writing failed.
    #[error("writing: {0}")]
    Io(#[from] io::Error),
}

impl FormatError {
    /// A rule of the format that a value at `place` breaks.
    pub(crate) fn invalid(
        place: Place,
        want: impl Into<Cow<'static, str>>,
        got: fmt::Arguments<'_>,
    ) -> Self {
        Self::Invalid { place, want: want.into(), got: got.into() }
    }

    /// A table of `bytes` that the system refused.
    pub(crate) fn no_memory(bytes: usize) -> impl FnOnce(TryReserveError) -> Self {
        move |_| Self::OutOfMemory { need: Bytes(bytes as u64) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_short_and_show_what_hides() {
        for (text, shown) in [
            ("blk.0", "blk.0"),
            ("a\x1b[31m\n", r"a\u{1b}[31m\n"),
            ("a\u{202e}b\u{feff}", r"a\u{202e}b\u{feff}"),
            ("日本", "日本"),
        ] {
            assert_eq!(Label::new(text).as_str(), shown);
        }
        assert_eq!(Label::new(&"x".repeat(1000)).as_str().chars().count(), LABEL_CHARS + 1);
        assert_eq!(Label::from_bytes(b"a\xffb").as_str(), "a\u{fffd}b");
    }
}
