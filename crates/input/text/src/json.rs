//! Hugging Face's `tokenizer.json`.
//!
//! The vocabulary is read without a copy of each token; the small parts (normaliser,
//! pre-tokenizer, decoder, post-processor) are read as JSON values and turned into this crate's
//! own steps in `parts`. What is not supported is refused by name, never skipped. Follows the
//! `tokenizers` library, version 0.22.

mod file;
mod parts;

use std::borrow::Cow;

use crate::added::{Added, AddedTokens};
use crate::decode::Decoder;
use crate::error::{VocabularyError, shorten};
use crate::gguf::byte_level_vocab;
use crate::models::bpe::{Alphabet, Bpe, BpeSettings, WholeWord, merge_halves};
use crate::models::unigram::Unigram;
use crate::models::wordpiece::WordPiece;
use crate::token::TokenId;
use crate::tokenizer::{Model, SpecialIds, Tokenizer};
use crate::vocab::{TOKEN_BYTES_MAX, TOKENS_MAX, TokenKind, Vocab, byte_of_piece};
use file::{AddedJson, File, MergeJson, ModelJson, VocabJson};

/// Models that are known.
const MODELS: &str = "BPE, Unigram, WordPiece";

/// Ids that may stand for no token, whatever the size of the vocabulary.
const UNUSED_MAX: usize = 1 << 16;

/// Texts that begin a text, in the order in which they are looked for.
const BEGINS: &[&str] = &["<s>", "<|begin_of_text|>", "<bos>", "<|startoftext|>"];
/// Texts that end a text.
const ENDS: &[&str] = &["</s>", "<|end_of_text|>", "<eos>", "<|endoftext|>", "<|im_end|>"];

impl Tokenizer {
    /// Makes the tokenizer that a `tokenizer.json` describes.
    ///
    /// The file does not name begin and end tokens; those that its post-processor or their
    /// customary spelling tells are taken, and [`Tokenizer::set_special_ids`] corrects them from
    /// the model's configuration.
    ///
    /// # Errors
    /// [`VocabularyError::Json`] for what is no such JSON, [`VocabularyError::Unsupported`] for
    /// parts that are not known, and others as for the values that it holds.
    pub fn from_tokenizer_json(bytes: &[u8]) -> Result<Self, VocabularyError> {
        let file: File<'_> = serde_json::from_slice(bytes)?;
        let words = Words::new(&file)?;
        let mut pre = parts::before(file.normalizer.as_ref(), file.pre_tokenizer.as_ref())?;
        let decoder = parts::decoder(file.decoder.as_ref(), pre.bytes)?;
        let alphabet = if pre.bytes {
            Alphabet::Bytes
        } else {
            Alphabet::Chars { byte_fallback: file.model.byte_fallback }
        };
        let texts: Vec<&str> = words.texts.iter().map(AsRef::as_ref).collect();
        let vocab = byte_level_vocab(&texts, &words.kinds, alphabet)?;
        let model = model(&file.model, &vocab, &words, alphabet)?;
        if matches!(model, Model::Bpe(_)) && file.model.dropout.is_some_and(|d| d > 0.0) {
            return Err(VocabularyError::Unsupported {
                place: "model.dropout",
                got: "above 0".to_owned(),
            });
        }
        let added = file.added_tokens.iter().map(|token| Added {
            text: token.content.as_ref().into(),
            id: TokenId(token.id),
            control: token.special,
            normalized: token.normalized && !token.special,
            strip_left: token.lstrip,
            strip_right: token.rstrip,
            single_word: token.single_word,
        });
        let around = parts::around(file.post_processor.as_ref(), vocab.len())?;
        let mut ids = SpecialIds { unknown: words.unknown, ..SpecialIds::default() };
        let named = |names: &[&str]| {
            names.iter().find_map(|name| {
                let token = file.added_tokens.iter().find(|token| token.content == **name)?;
                Some(TokenId(token.id))
            })
        };
        ids.bos = around.0.first().copied().or_else(|| named(BEGINS));
        ids.eos = named(ENDS).or_else(|| around.1.last().copied());
        ids.separator = named(&["[SEP]"]);
        ids.padding = named(&["[PAD]", "<pad>", "<|pad|>"]);
        ids.mask = named(&["[MASK]", "<mask>"]);
        ids.detect_ends(file.added_tokens.iter().map(|token| (token.id, token.content.as_ref())));
        let added = AddedTokens::new(added.collect())?;
        Ok(Self {
            added,
            vocab,
            model,
            normalize: std::mem::take(&mut pre.normalize),
            cuts: pre.cuts,
            unescape_user_defined: matches!(decoder, Decoder::Spaces { .. }),
            decoder,
            prefix: around.0,
            suffix: around.1,
            ids,
        })
    }
}

/// The vocabulary in order of ids.
struct Words<'a> {
    texts: Vec<Cow<'a, str>>,
    kinds: Vec<TokenKind>,
    scores: Vec<f64>,
    unknown: Option<TokenId>,
}

impl<'a> Words<'a> {
    fn new(file: &File<'a>) -> Result<Self, VocabularyError> {
        let listed: usize = match &file.model.vocab {
            VocabJson::Ids(ids) => ids.iter().map(|(_, id)| *id as usize + 1).max().unwrap_or(0),
            VocabJson::Scores(scores) => scores.len(),
        };
        let added = file.added_tokens.iter().map(|token| token.id as usize + 1).max();
        let count = listed.max(added.unwrap_or(0));
        if count == 0 {
            return Err(VocabularyError::Missing { key: "model.vocab" });
        }
        if count > TOKENS_MAX {
            return Err(VocabularyError::Limit {
                what: "tokens in the vocabulary",
                got: count,
                limit: TOKENS_MAX,
            });
        }
        // Ids without a token cost memory that no byte of the file pays for.
        let entries = file.added_tokens.len()
            + match &file.model.vocab {
                VocabJson::Ids(ids) => ids.len(),
                VocabJson::Scores(scores) => scores.len(),
            };
        let unused = count.saturating_sub(entries);
        if unused > entries.max(UNUSED_MAX) {
            return Err(VocabularyError::Limit {
                what: "ids without a token",
                got: unused,
                limit: entries.max(UNUSED_MAX),
            });
        }
        let mut words = Words {
            texts: vec![Cow::Borrowed(""); count],
            kinds: vec![TokenKind::Unused; count],
            scores: Vec::new(),
            unknown: None,
        };
        match &file.model.vocab {
            VocabJson::Ids(ids) => {
                for (text, id) in ids {
                    words.set(text, *id, TokenKind::Normal)?;
                }
            }
            VocabJson::Scores(scores) => {
                for (id, (text, score)) in (0..).zip(scores) {
                    if !score.is_finite() {
                        return Err(VocabularyError::Score { id, got: *score });
                    }
                    words.set(text, id, TokenKind::Normal)?;
                    words.scores.push(*score);
                }
                words.scores.resize(count, 0.0);
            }
        }
        for AddedJson { id, content, special, .. } in &file.added_tokens {
            let kind = if *special { TokenKind::Control } else { TokenKind::UserDefined };
            words.set(content, *id, kind)?;
        }
        words.unknown(&file.model)?;
        Ok(words)
    }

    /// Gives an id its text; a token may be listed twice only with the same text.
    #[expect(clippy::ptr_arg, reason = "a clone of the text still borrows from the file")]
    fn set(
        &mut self,
        text: &Cow<'a, str>,
        id: u32,
        kind: TokenKind,
    ) -> Result<(), VocabularyError> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(VocabularyError::Limit {
                what: "bytes in a token",
                got: text.len(),
                limit: TOKEN_BYTES_MAX,
            });
        }
        let at = id as usize;
        let is_taken = self.kinds[at] != TokenKind::Unused && self.texts[at] != *text;
        let is_repeated = kind == TokenKind::Normal && self.kinds[at] != TokenKind::Unused;
        if is_taken || is_repeated {
            return Err(VocabularyError::Duplicate { text: shorten(text), first: id, second: id });
        }
        self.texts[at].clone_from(text);
        self.kinds[at] = kind;
        Ok(())
    }

    fn unknown(&mut self, model: &ModelJson<'a>) -> Result<(), VocabularyError> {
        let tokens = self.texts.len();
        let id = if let Some(id) = model.unk_id {
            if id as usize >= tokens {
                return Err(VocabularyError::Id { key: "model.unk_id", got: id.into(), tokens });
            }
            Some(id)
        } else {
            model
                .unk_token
                .as_ref()
                .and_then(|text| self.texts.iter().position(|t| t == text))
                .and_then(|at| u32::try_from(at).ok())
        };
        self.unknown = id.map(TokenId);
        if let Some(id) = self.unknown
            && self.kinds[id.index()] == TokenKind::Normal
        {
            self.kinds[id.index()] = TokenKind::Unknown;
        }
        if model.byte_fallback {
            for (kind, text) in self.kinds.iter_mut().zip(&self.texts) {
                if *kind == TokenKind::Normal && byte_of_piece(text.as_bytes()).is_some() {
                    *kind = TokenKind::Byte;
                }
            }
        }
        Ok(())
    }
}

fn model(
    json: &ModelJson<'_>,
    vocab: &Vocab,
    words: &Words<'_>,
    alphabet: Alphabet,
) -> Result<Model, VocabularyError> {
    let findable =
        |id| matches!(vocab.kind(id), TokenKind::Normal | TokenKind::Byte | TokenKind::UserDefined);
    let name = json.name.as_deref().unwrap_or_else(|| guess(json));
    match name {
        "BPE" => {
            let text = |text: &Option<Cow<'_, str>>| {
                text.as_deref().filter(|text| !text.is_empty()).map(Into::into)
            };
            let settings = BpeSettings {
                alphabet,
                whole: if json.ignore_merges { WholeWord::Take } else { WholeWord::Merge },
                unknown: words.unknown,
                fuse_unknown: json.fuse_unk,
                continuing: text(&json.continuing_subword_prefix),
                ending: text(&json.end_of_word_suffix),
            };
            let merges =
                json.merges.as_ref().ok_or(VocabularyError::Missing { key: "model.merges" })?;
            let halves = merges.iter().map(|merge| match merge {
                MergeJson::Line(line) => merge_halves(line),
                MergeJson::Pair(left, right) => (left.as_ref(), right.as_ref()),
            });
            Ok(Model::Bpe(Bpe::new(vocab, halves, settings)?))
        }
        "Unigram" => {
            let unknown = words.unknown.ok_or(VocabularyError::Missing { key: "model.unk_id" })?;
            let scores = words.scores.clone().into_boxed_slice();
            if scores.is_empty() {
                return Err(VocabularyError::Missing { key: "model.vocab: scores" });
            }
            Ok(Model::Unigram(Unigram::new(vocab, scores, unknown, json.byte_fallback, findable)))
        }
        "WordPiece" => {
            let unknown =
                words.unknown.ok_or(VocabularyError::Missing { key: "model.unk_token" })?;
            let prefix = json.continuing_subword_prefix.as_deref().unwrap_or("##");
            let chars_max = json.max_input_chars_per_word.unwrap_or(100);
            let model = WordPiece::new(vocab, "", prefix, unknown, chars_max, findable);
            Ok(Model::WordPiece(model))
        }
        other => Err(VocabularyError::UnknownModel { got: shorten(other), known: MODELS }),
    }
}

/// Old files do not name their model.
fn guess(json: &ModelJson<'_>) -> &'static str {
    if json.merges.is_some() {
        "BPE"
    } else if matches!(json.vocab, VocabJson::Scores(_)) {
        "Unigram"
    } else {
        "WordPiece"
    }
}
