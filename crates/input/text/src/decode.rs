//! From ids back to bytes, and the stream that shows them without cutting a character in two.
//!
//! What a token writes can depend on where it stands: SentencePiece's first space is not part of
//! the text, WordPiece's words are joined by spaces. [`StreamDecoder`] keeps that state and the
//! bytes of an unfinished character; its pieces, put together, are what [`Tokenizer::decode`]
//! gives for the whole (with U+FFFD for bytes that are no UTF-8).

use crate::bytelevel;
use crate::token::TokenId;
use crate::tokenizer::Tokenizer;
use crate::vocab::{TokenKind, byte_of_piece};

/// How tokens are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decoder {
    /// Tokens are bytes.
    Bytes,
    /// `▁` is a space; the first one is dropped where `strip_first` says so.
    Spaces { strip_first: bool, replacement: char },
    /// Words are joined by spaces but for those that begin with the prefix.
    WordPiece { prefix: Box<str>, cleanup: bool },
    /// Tokens are text; a suffix of words becomes a space.
    Suffix { suffix: Box<str> },
    /// Tokens are text.
    Plain,
}

/// Where in a text a token stands, as far as that changes what it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spot {
    /// Nothing was written yet.
    Start,
    /// Behind something.
    Inside,
    /// Behind a word whose end is marked: a space is due if anything follows.
    WordEnd,
}

/// Whether control tokens are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Controls {
    /// They write nothing.
    #[default]
    Hide,
    /// They write their names.
    Show,
}

impl Tokenizer {
    /// The bytes that ids stand for; control tokens write nothing.
    ///
    /// Ids beyond the vocabulary write nothing.
    pub fn decode(&self, ids: &[TokenId]) -> Vec<u8> {
        self.decode_with(ids, Controls::Hide)
    }

    /// The bytes that ids stand for.
    pub fn decode_with(&self, ids: &[TokenId], controls: Controls) -> Vec<u8> {
        let mut out = Vec::with_capacity(ids.len() * 4);
        let mut spot = Spot::Start;
        for &id in ids {
            spot = self.write_token(id, controls, spot, &mut out);
        }
        out
    }

    /// The bytes of one token inside a text: with its leading space, without `##`.
    pub fn token_bytes(&self, id: TokenId) -> Vec<u8> {
        let mut out = Vec::new();
        self.write_token(id, Controls::Show, Spot::Inside, &mut out);
        out
    }

    /// The token as the vocabulary spells it (`Ġthe`, `▁the`, `##ing`, `<0x0A>`, `</s>`).
    pub fn piece(&self, id: TokenId) -> String {
        let bytes = self.vocab.bytes(id);
        if self.decoder == Decoder::Bytes && self.is_spelled_bytes(id) {
            return bytelevel::encode(bytes);
        }
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// Appends what a token writes and says where the next one stands.
    pub(crate) fn write_token(
        &self,
        id: TokenId,
        controls: Controls,
        spot: Spot,
        out: &mut Vec<u8>,
    ) -> Spot {
        let bytes = self.vocab.bytes(id);
        let kind = self.vocab.kind(id);
        if id.index() >= self.vocab.len()
            || (kind == TokenKind::Control && controls == Controls::Hide)
        {
            return spot;
        }
        let is_verbatim = match kind {
            TokenKind::Control => !matches!(self.decoder, Decoder::WordPiece { .. }),
            TokenKind::UserDefined => !self.unescape_user_defined,
            TokenKind::Normal | TokenKind::Unknown | TokenKind::Unused | TokenKind::Byte => false,
        };
        if spot == Spot::WordEnd {
            out.push(b' ');
        }
        let byte = (kind == TokenKind::Byte).then(|| byte_of_piece(bytes)).flatten();
        match (&self.decoder, byte) {
            (_, Some(byte)) => out.push(byte),
            (Decoder::Spaces { strip_first, replacement }, None) if !is_verbatim => {
                spaces(bytes, *replacement, *strip_first && spot == Spot::Start, out);
            }
            (Decoder::WordPiece { prefix, cleanup }, None) if !is_verbatim => {
                word_piece(bytes, prefix, *cleanup, spot, out);
            }
            (Decoder::Suffix { suffix }, None) => {
                if let Some(word) = bytes.strip_suffix(suffix.as_bytes()) {
                    out.extend_from_slice(word);
                    return Spot::WordEnd;
                }
                out.extend_from_slice(bytes);
            }
            _ => out.extend_from_slice(bytes),
        }
        Spot::Inside
    }
}

/// Writes a piece with spaces for their replacement, the first one dropped if `strip` says so.
fn spaces(bytes: &[u8], replacement: char, strip: bool, out: &mut Vec<u8>) {
    let mut buffer = [0; 4];
    let replacement = replacement.encode_utf8(&mut buffer).as_bytes();
    let mut rest = bytes;
    if strip {
        rest = rest.strip_prefix(replacement).unwrap_or(rest);
    }
    while let Some((first, behind)) = rest.split_first() {
        if let Some(behind) = rest.strip_prefix(replacement) {
            out.push(b' ');
            rest = behind;
        } else {
            out.push(*first);
            rest = behind;
        }
    }
}

/// Writes a piece of a word, or a word with a space before it.
fn word_piece(bytes: &[u8], prefix: &str, cleanup: bool, spot: Spot, out: &mut Vec<u8>) {
    if spot != Spot::Start {
        if let Some(rest) = bytes.strip_prefix(prefix.as_bytes()) {
            out.extend_from_slice(rest);
            return;
        }
        let joins = cleanup && matches!(bytes.first(), Some(b'.' | b'?' | b'!' | b','));
        if !joins {
            out.push(b' ');
        }
    }
    out.extend_from_slice(bytes);
}

/// Turns ids into text one at a time.
///
/// A character whose bytes come in several tokens is shown when it is whole; bytes that can
/// never become one are shown as U+FFFD.
#[derive(Clone, Debug)]
pub struct StreamDecoder {
    controls: Controls,
    spot: Spot,
    /// Bytes not yet shown: at most three that begin a character, but while `push` runs.
    pending: Vec<u8>,
    shown: String,
}

impl StreamDecoder {
    /// A stream that begins where a text begins: SentencePiece's first space is dropped.
    pub fn new(controls: Controls) -> Self {
        // Room for any usual token, so that a stream allocates nothing.
        let (pending, shown) = (Vec::with_capacity(1024), String::with_capacity(1024));
        Self { controls, spot: Spot::Start, pending, shown }
    }

    /// A stream that goes on where another text ended: the first space is kept.
    pub fn continuing(controls: Controls) -> Self {
        Self { spot: Spot::Inside, ..Self::new(controls) }
    }

    /// Takes the next id and gives the text that is whole now; often empty.
    pub fn push(&mut self, tokenizer: &Tokenizer, id: TokenId) -> &str {
        self.spot = tokenizer.write_token(id, self.controls, self.spot, &mut self.pending);
        self.shown.clear();
        let mut done = 0;
        for chunk in self.pending.utf8_chunks() {
            self.shown.push_str(chunk.valid());
            done += chunk.valid().len();
            let broken = chunk.invalid();
            // Only the last chunk can be a character that is still coming.
            let is_last = done + broken.len() == self.pending.len();
            if broken.is_empty() || (is_last && may_continue(broken)) {
                break;
            }
            self.shown.push('\u{FFFD}');
            done += broken.len();
        }
        self.pending.drain(..done);
        &self.shown
    }

    /// Ends the stream: what is left of an unfinished character is one U+FFFD.
    pub fn finish(&mut self) -> &str {
        self.shown.clear();
        if !self.pending.is_empty() {
            self.shown.push('\u{FFFD}');
            self.pending.clear();
        }
        &self.shown
    }
}

/// Whether bytes that are no UTF-8 are the beginning of a character.
///
/// `utf8_chunks` gives maximal prefixes of characters, so only the length has to be looked at.
fn may_continue(bytes: &[u8]) -> bool {
    let whole = match bytes.first() {
        Some(0xC2..=0xDF) => 2,
        Some(0xE0..=0xEF) => 3,
        Some(0xF0..=0xF4) => 4,
        _ => return false,
    };
    bytes.len() < whole
}
