//! SentencePiece's `tokenizer.model`: a protobuf message, read field by field.
//!
//! Only the fields that encoding needs are read (`sentencepiece_model.proto`: pieces, the kind of
//! model and its ids, the normaliser); others are skipped. Lengths are checked against what is
//! left before anything is taken.

use crate::added::{Added, AddedTokens};
use crate::charsmap::{Charsmap, Prefixes};
use crate::cut::Cut;
use crate::decode::Decoder;
use crate::error::{VocabularyError, shorten};
use crate::gguf::plain_vocab;
use crate::models::scored::Scored;
use crate::models::unigram::Unigram;
use crate::normalize::Normalize;
use crate::token::TokenId;
use crate::tokenizer::{Model, SpecialIds, Tokenizer};
use crate::vocab::{TOKEN_BYTES_MAX, TOKENS_MAX, TokenKind};

/// A message that is being read.
#[derive(Clone, Copy, Debug)]
struct Message<'a> {
    bytes: &'a [u8],
    /// Where `bytes` begins in the file.
    offset: usize,
}

/// The value of a field.
#[derive(Clone, Copy, Debug)]
enum Field<'a> {
    Number(u64),
    Float(f32),
    Bytes(Message<'a>),
}

impl<'a> Message<'a> {
    fn fail<T>(&self, what: &'static str) -> Result<T, VocabularyError> {
        Err(VocabularyError::Broken { what, offset: self.offset })
    }

    fn take(&mut self, count: usize) -> Result<Self, VocabularyError> {
        match self.bytes.split_at_checked(count) {
            Some((taken, rest)) => {
                let taken = Message { bytes: taken, offset: self.offset };
                self.bytes = rest;
                self.offset += count;
                Ok(taken)
            }
            None => self.fail("tokenizer.model: a field is longer than the file"),
        }
    }

    fn varint(&mut self) -> Result<u64, VocabularyError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?.bytes[0];
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        self.fail("tokenizer.model: a number of more than ten bytes")
    }

    /// The next field and its number.
    fn next(&mut self) -> Result<Option<(u64, Field<'a>)>, VocabularyError> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let field = match tag & 7 {
            0 => Field::Number(self.varint()?),
            1 => {
                self.take(8)?;
                Field::Number(0)
            }
            2 => {
                let length = self.varint()?;
                Field::Bytes(self.take(usize::try_from(length).unwrap_or(usize::MAX))?)
            }
            5 => {
                let taken = self.take(4)?;
                let mut four = [0; 4];
                four.copy_from_slice(taken.bytes);
                Field::Float(f32::from_le_bytes(four))
            }
            _ => return self.fail("tokenizer.model: unknown wire type, no SentencePiece model"),
        };
        Ok(Some((tag >> 3, field)))
    }
}

/// What the file says.
#[expect(clippy::struct_excessive_bools, reason = "flags that have nothing to do with each other")]
#[derive(Debug)]
struct Spec<'a> {
    pieces: Vec<&'a str>,
    scores: Vec<f32>,
    kinds: Vec<TokenKind>,
    model_type: u64,
    byte_fallback: bool,
    suffix_spaces: bool,
    /// unknown, begin, end, padding; negative where there is none.
    ids: [u64; 4],
    charsmap: &'a [u8],
    dummy_prefix: bool,
    collapse: bool,
    escape: bool,
}

impl<'a> Spec<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, VocabularyError> {
        let mut spec = Spec {
            pieces: Vec::new(),
            scores: Vec::new(),
            kinds: Vec::new(),
            model_type: 1,
            byte_fallback: false,
            suffix_spaces: false,
            ids: [0, 1, 2, u64::MAX],
            charsmap: &[],
            dummy_prefix: true,
            collapse: true,
            escape: true,
        };
        let mut file = Message { bytes, offset: 0 };
        while let Some((number, field)) = file.next()? {
            match (number, field) {
                (1, Field::Bytes(piece)) => spec.piece(piece)?,
                (2, Field::Bytes(trainer)) => spec.trainer(trainer)?,
                (3, Field::Bytes(normalizer)) => spec.normalizer(normalizer)?,
                _ => {}
            }
        }
        if spec.pieces.is_empty() {
            return Err(VocabularyError::Missing { key: "tokenizer.model: pieces" });
        }
        Ok(spec)
    }

    fn piece(&mut self, mut piece: Message<'a>) -> Result<(), VocabularyError> {
        let (mut text, mut score, mut kind) = ("", 0.0, TokenKind::Normal);
        let start = piece;
        while let Some((number, field)) = piece.next()? {
            match (number, field) {
                (1, Field::Bytes(bytes)) => match std::str::from_utf8(bytes.bytes) {
                    Ok(utf8) => text = utf8,
                    Err(_) => return bytes.fail("tokenizer.model: a piece is no UTF-8"),
                },
                (2, Field::Float(float)) => score = float,
                (3, Field::Number(number)) => {
                    kind = match number {
                        1 => TokenKind::Normal,
                        2 => TokenKind::Unknown,
                        3 => TokenKind::Control,
                        4 => TokenKind::UserDefined,
                        5 => TokenKind::Unused,
                        6 => TokenKind::Byte,
                        _ => return start.fail("tokenizer.model: a piece of unknown type"),
                    }
                }
                _ => {}
            }
        }
        let limits = [
            ("bytes in a token", text.len(), TOKEN_BYTES_MAX),
            ("tokens in the vocabulary", self.pieces.len() + 1, TOKENS_MAX),
        ];
        for (what, got, limit) in limits {
            if got > limit {
                return Err(VocabularyError::Limit { what, got, limit });
            }
        }
        if !score.is_finite() {
            let id = u32::try_from(self.pieces.len()).unwrap_or(u32::MAX);
            return Err(VocabularyError::Score { id, got: f64::from(score) });
        }
        self.pieces.push(text);
        self.scores.push(score);
        self.kinds.push(kind);
        Ok(())
    }

    fn trainer(&mut self, mut trainer: Message<'a>) -> Result<(), VocabularyError> {
        while let Some((number, field)) = trainer.next()? {
            let Field::Number(value) = field else { continue };
            match number {
                3 => self.model_type = value,
                24 => self.suffix_spaces = value != 0,
                35 => self.byte_fallback = value != 0,
                40 => self.ids[0] = value,
                41 => self.ids[1] = value,
                42 => self.ids[2] = value,
                43 => self.ids[3] = value,
                _ => {}
            }
        }
        Ok(())
    }

    fn normalizer(&mut self, mut normalizer: Message<'a>) -> Result<(), VocabularyError> {
        while let Some((number, field)) = normalizer.next()? {
            match (number, field) {
                (2, Field::Bytes(map)) => self.charsmap = map.bytes,
                (3, Field::Number(value)) => self.dummy_prefix = value != 0,
                (4, Field::Number(value)) => self.collapse = value != 0,
                (5, Field::Number(value)) => self.escape = value != 0,
                _ => {}
            }
        }
        Ok(())
    }

    fn special_ids(&self) -> Result<SpecialIds, VocabularyError> {
        let tokens = self.pieces.len();
        let keys = ["unk_id", "bos_id", "eos_id", "pad_id"];
        let mut ids = [None; 4];
        for ((key, &got), id) in keys.into_iter().zip(&self.ids).zip(&mut ids) {
            // A negative number is none; it is written as 64 bits.
            if got.cast_signed() < 0 {
                continue;
            }
            match u32::try_from(got) {
                Ok(got) if (got as usize) < tokens => *id = Some(TokenId(got)),
                _ => return Err(VocabularyError::Id { key, got, tokens }),
            }
        }
        let [unknown, bos, eos, padding] = ids;
        let mut special = SpecialIds { bos, eos, unknown, padding, ..SpecialIds::default() };
        special.detect_ends((0_u32..).zip(self.pieces.iter().copied()));
        Ok(special)
    }
}

impl Tokenizer {
    /// Makes the tokenizer of a SentencePiece model file (`tokenizer.model`).
    ///
    /// The file does not say whether the begin token is wanted; SentencePiece models want it, so
    /// [`Tokenizer::prefix`] has it where the vocabulary does.
    ///
    /// # Errors
    /// [`VocabularyError::Broken`] with the offset for what is no such file; others as for the
    /// values that it holds.
    pub fn from_sentencepiece(bytes: &[u8]) -> Result<Self, VocabularyError> {
        let spec = Spec::read(bytes)?;
        let vocab = plain_vocab(&spec.pieces, &spec.kinds)?;
        let ids = spec.special_ids()?;
        let (model, cuts) = match spec.model_type {
            1 => {
                let unknown = ids
                    .unknown
                    .ok_or(VocabularyError::Missing { key: "tokenizer.model: unk_id" })?;
                let scores = spec.scores.iter().map(|&score| f64::from(score)).collect();
                let findable =
                    |id| matches!(vocab.kind(id), TokenKind::Normal | TokenKind::UserDefined);
                let model = Unigram::new(&vocab, scores, unknown, spec.byte_fallback, findable);
                (Model::Unigram(model), vec![])
            }
            2 => {
                let model = Scored::new(&vocab, &spec.scores, ids.unknown);
                let cuts = if model.cuts_at_spaces() && !spec.suffix_spaces {
                    vec![Cut::BeforeSpaces]
                } else {
                    vec![]
                };
                (Model::Scored(model), cuts)
            }
            other => {
                return Err(VocabularyError::UnknownModel {
                    got: shorten(&format!("SentencePiece type {other}")),
                    known: "unigram (1), bpe (2)",
                });
            }
        };
        let tokens =
            (0_u32..).zip(spec.pieces.iter().zip(&spec.kinds)).filter_map(|(id, (text, kind))| {
                match kind {
                    TokenKind::Control | TokenKind::Unknown => {
                        Some(Added::new(text, TokenId(id), true))
                    }
                    // The unigram model takes them by their score.
                    TokenKind::UserDefined if spec.model_type == 2 => {
                        let mut token = Added::new(text, TokenId(id), false);
                        token.normalized = true;
                        Some(token)
                    }
                    TokenKind::UserDefined
                    | TokenKind::Normal
                    | TokenKind::Unused
                    | TokenKind::Byte => None,
                }
            });
        Ok(Self {
            added: AddedTokens::new(tokens.collect())?,
            vocab,
            model,
            normalize: normalizer(&spec)?,
            cuts,
            decoder: Decoder::Spaces { strip_first: spec.dummy_prefix, replacement: '▁' },
            unescape_user_defined: true,
            prefix: ids.bos.into_iter().collect(),
            suffix: vec![],
            ids,
        })
    }
}

fn normalizer(spec: &Spec<'_>) -> Result<Vec<Normalize>, VocabularyError> {
    let mut steps = Vec::new();
    if let Some(map) = Charsmap::new(spec.charsmap)? {
        steps.push(Normalize::Charsmap { map, prefixes: Prefixes::Longest });
    }
    if spec.collapse {
        steps.push(Normalize::CollapseSpaces);
    }
    if spec.dummy_prefix {
        steps.push(if spec.suffix_spaces {
            Normalize::Append(" ".into())
        } else {
            Normalize::Prepend(" ".into())
        });
    }
    if spec.escape {
        steps.push(Normalize::Replace { from: " ".into(), to: "▁".into() });
    }
    Ok(steps)
}
