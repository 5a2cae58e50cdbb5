//! Tokenizers from the values that GGUF keeps under `tokenizer.ggml`.
//!
//! This crate reads no file: whoever does fills a [`VocabularySource`]. Defaults, the end-of-turn
//! tokens known by name and the white space around special tokens follow llama.cpp's
//! `llama-vocab.cpp` (2026-11); the list of models is `gpt2`, `llama`, `gemma4`, `bert`, `t5`.

use crate::added::{Added, AddedTokens};
use crate::bytelevel;
use crate::charsmap::{Charsmap, Prefixes};
use crate::cut::Cut;
use crate::decode::Decoder;
use crate::error::{VocabularyError, shorten};
use crate::models::bpe::{Alphabet, Bpe, BpeSettings, merge_halves};
use crate::models::scored::Scored;
use crate::models::unigram::Unigram;
use crate::models::wordpiece::WordPiece;
use crate::normalize::{Bert, BertFlavour, Normalize, Toggle};
use crate::pattern::Pattern;
use crate::pretokenizers;
use crate::token::TokenId;
use crate::tokenizer::{Model, SpecialIds, Tokenizer};
use crate::vocab::{TOKEN_BYTES_MAX, TokenKind, Vocab};

/// The models that are known.
const MODELS: &str = "gpt2, llama, gemma4, bert, t5";

/// What a file says about its vocabulary; `None` where it says nothing.
#[derive(Clone, Debug, Default)]
pub struct VocabularySource<'a> {
    /// `tokenizer.ggml.model`.
    pub model: &'a str,
    /// `tokenizer.ggml.pre`.
    pub pre: Option<&'a str>,
    /// A regular expression that cuts words instead of the one that `pre` names.
    pub pattern: Option<&'a str>,
    /// `general.name`: Phi-3's special tokens take the white space behind them along.
    pub name: Option<&'a str>,
    /// `tokenizer.ggml.tokens`.
    pub tokens: Vec<&'a str>,
    /// `tokenizer.ggml.token_type`, in GGUF's numbers: 1 normal, 2 unknown, 3 control,
    /// 4 user-defined, 5 unused, 6 byte.
    pub types: Option<&'a [i32]>,
    /// `tokenizer.ggml.scores`.
    pub scores: Option<&'a [f32]>,
    /// `tokenizer.ggml.merges`.
    pub merges: Option<Vec<&'a str>>,
    /// `tokenizer.ggml.precompiled_charsmap`.
    pub charsmap: Option<&'a [u8]>,
    /// The `…_token_id` keys.
    pub ids: SourceIds,
    /// `tokenizer.ggml.add_bos_token`.
    pub add_bos: Option<bool>,
    /// `tokenizer.ggml.add_eos_token`.
    pub add_eos: Option<bool>,
    /// `tokenizer.ggml.add_sep_token`.
    pub add_sep: Option<bool>,
    /// `tokenizer.ggml.add_space_prefix`.
    pub add_space_prefix: Option<bool>,
    /// `tokenizer.ggml.remove_extra_whitespaces`.
    pub remove_extra_whitespaces: Option<bool>,
    /// `tokenizer.ggml.normalizer.lowercase`.
    pub lowercase: Option<bool>,
    /// `tokenizer.ggml.normalizer.strip_accents`.
    pub strip_accents: Option<bool>,
}

/// Ids of special tokens as a file gives them: `tokenizer.ggml.bos_token_id` and so on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the keys")]
pub struct SourceIds {
    pub bos: Option<u32>,
    pub eos: Option<u32>,
    pub eot: Option<u32>,
    pub eom: Option<u32>,
    pub unknown: Option<u32>,
    pub separator: Option<u32>,
    pub padding: Option<u32>,
    pub mask: Option<u32>,
}

/// Texts of tokens that end a turn; the first that the vocabulary has is taken.
const END_OF_TURN: &[&str] = &[
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "<｜end▁of▁sentence｜>",
    "<end_of_utterance>",
];
/// Texts of tokens that end generation.
const END_OF_GENERATION: &[&str] = &[
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
    // Code models: padding, the next file, the next repository.
    "<|fim_pad|>",
    "<fim-pad>",
    "<fim_pad>",
    "<PAD>",
    "[PAD]",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<fim-repo>",
    "<REPO>",
    "<reponame>",
    "<|file_sep|>",
];
/// Tokens that are text to be shown, whatever the file calls them.
const SHOWN: &[&str] = &["<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"];

impl Tokenizer {
    /// Makes the tokenizer that a GGUF file describes.
    ///
    /// # Errors
    /// [`VocabularyError`] for an unknown model or pre-tokenizer, lists of different lengths,
    /// ids outside the vocabulary, tokens that stand twice and scores that are no numbers.
    pub fn from_gguf(source: &VocabularySource<'_>) -> Result<Self, VocabularyError> {
        check(source)?;
        match source.model {
            "gpt2" | "gemma4" => byte_pairs(source),
            "llama" => sentencepiece(source),
            "bert" => wordpiece(source),
            "t5" => unigram(source),
            other => Err(VocabularyError::UnknownModel { got: shorten(other), known: MODELS }),
        }
    }
}

/// Checks everything that does not depend on the model.
fn check(source: &VocabularySource<'_>) -> Result<(), VocabularyError> {
    let want = source.tokens.len();
    if want == 0 {
        return Err(VocabularyError::Missing { key: "tokenizer.ggml.tokens" });
    }
    let lengths = [
        ("tokenizer.ggml.token_type", source.types.map(<[i32]>::len)),
        ("tokenizer.ggml.scores", source.scores.map(<[f32]>::len)),
    ];
    for (key, got) in lengths {
        if let Some(got) = got.filter(|&got| got != want) {
            return Err(VocabularyError::Length { key, got, want });
        }
    }
    if let Some(long) = source.tokens.iter().map(|token| token.len()).max()
        && long > TOKEN_BYTES_MAX
    {
        return Err(VocabularyError::Limit {
            what: "bytes in a token",
            got: long,
            limit: TOKEN_BYTES_MAX,
        });
    }
    for (id, &score) in (0_u32..).zip(source.scores.unwrap_or_default()) {
        if !score.is_finite() {
            return Err(VocabularyError::Score { id, got: f64::from(score) });
        }
    }
    Ok(())
}

/// What the file calls a token.
fn kind_of(source: &VocabularySource<'_>, idx: usize) -> TokenKind {
    match source.types.map(|types| types[idx]) {
        None | Some(1) => TokenKind::Normal,
        Some(2) => TokenKind::Unknown,
        Some(3) => TokenKind::Control,
        Some(4) => TokenKind::UserDefined,
        Some(6) => TokenKind::Byte,
        // 0 is undefined, 5 unused; llama.cpp takes all others for undefined.
        Some(_) => TokenKind::Unused,
    }
}

/// Kinds of all tokens, with what the names of special tokens say about them.
fn kinds(source: &VocabularySource<'_>) -> Vec<TokenKind> {
    let ends = [END_OF_TURN, END_OF_GENERATION].concat();
    source
        .tokens
        .iter()
        .enumerate()
        .map(|(idx, text)| {
            let kind = kind_of(source, idx);
            // Names begin with a bracket, one of them with an underscore.
            if !text.starts_with(['<', '[', '_']) {
                kind
            } else if SHOWN.contains(text) {
                TokenKind::UserDefined
            } else if ends.contains(text) {
                TokenKind::Control
            } else {
                kind
            }
        })
        .collect()
}

/// Reads the special ids; `defaults` stand where the file says nothing and the vocabulary is
/// large enough.
fn special_ids(
    source: &VocabularySource<'_>,
    defaults: SourceIds,
) -> Result<SpecialIds, VocabularyError> {
    let mut special = source.ids.checked(source.tokens.len(), defaults)?;
    special.detect_ends((0_u32..).zip(source.tokens.iter().copied()));
    Ok(special)
}

impl SourceIds {
    /// The ids, each checked to be in a vocabulary of so many tokens.
    fn checked(self, tokens: usize, d: Self) -> Result<SpecialIds, VocabularyError> {
        let given = |key: &'static str, id: Option<u32>, default: Option<u32>| match id {
            // −1 is how some converters write "none".
            Some(u32::MAX) => Ok(None),
            Some(id) if id as usize >= tokens => {
                Err(VocabularyError::Id { key, got: id.into(), tokens })
            }
            Some(id) => Ok(Some(TokenId(id))),
            None => Ok(default.filter(|&id| (id as usize) < tokens).map(TokenId)),
        };
        Ok(SpecialIds {
            bos: given("bos_token_id", self.bos, d.bos)?,
            eos: given("eos_token_id", self.eos, d.eos)?,
            eot: given("eot_token_id", self.eot, d.eot)?,
            eom: given("eom_token_id", self.eom, d.eom)?,
            unknown: given("unknown_token_id", self.unknown, d.unknown)?,
            separator: given("seperator_token_id", self.separator, d.separator)?,
            padding: given("padding_token_id", self.padding, d.padding)?,
            mask: given("mask_token_id", self.mask, d.mask)?,
            end_of_generation: Vec::new(),
        })
    }
}

impl Tokenizer {
    /// Sets ids that another file knows better (`config.json`, `generation_config.json`): those
    /// that are given replace those that the vocabulary told, and all of `ends` end generation.
    ///
    /// # Errors
    /// [`VocabularyError::Id`] for an id outside the vocabulary.
    pub fn set_special_ids(
        &mut self,
        ids: SourceIds,
        ends: &[TokenId],
    ) -> Result<(), VocabularyError> {
        let tokens = self.n_tokens();
        let new = ids.checked(tokens, SourceIds::default())?;
        if let Some(id) = ends.iter().find(|id| id.index() >= tokens) {
            return Err(VocabularyError::Id { key: "eos_token_id", got: id.0.into(), tokens });
        }
        let old = &mut self.ids;
        let pairs = [
            (&mut old.bos, new.bos),
            (&mut old.eos, new.eos),
            (&mut old.eot, new.eot),
            (&mut old.eom, new.eom),
            (&mut old.unknown, new.unknown),
            (&mut old.separator, new.separator),
            (&mut old.padding, new.padding),
            (&mut old.mask, new.mask),
        ];
        for (old, new) in pairs {
            *old = new.or(*old);
        }
        old.end_of_generation.extend(ends);
        old.end_of_generation.extend([new.eos, new.eot, new.eom].into_iter().flatten());
        old.end_of_generation.sort_unstable();
        old.end_of_generation.dedup();
        Ok(())
    }
}

impl SpecialIds {
    /// Fills the ends of turn and generation from the texts of tokens.
    pub(crate) fn detect_ends<'a>(&mut self, tokens: impl Iterator<Item = (u32, &'a str)>) {
        let mut ends: Vec<(u32, &str)> = Vec::new();
        let mut turn: Option<(usize, u32)> = None;
        for (id, text) in tokens {
            if !text.starts_with(['<', '[', '_']) {
                continue;
            }
            if let Some(place) = END_OF_TURN.iter().position(|name| *name == text)
                && turn.is_none_or(|(best, _)| place < best)
            {
                turn = Some((place, id));
            }
            if text == "<|eom_id|>" && self.eom.is_none() {
                self.eom = Some(TokenId(id));
            }
            if END_OF_GENERATION.contains(&text) {
                ends.push((id, text));
            }
        }
        if self.eot.is_none() {
            self.eot = turn.map(|(_, id)| TokenId(id));
        }
        let has = |name| ends.iter().any(|&(_, text)| text == name);
        let channels = (has("<|return|>") && has("<|call|>"))
            || (has("<|flush|>") && (has("<|call|>") || has("<|calls|>")));
        let tool_response = has("<|tool_response>");
        // Two families use these names for other ends.
        ends.retain(|&(_, text)| {
            !((channels && text == "<|end|>") || (tool_response && text == "</s>"))
        });
        let is_dropped = |id: TokenId| channels && !ends.iter().any(|&(end, _)| end == id.0);
        let named = [self.eos, self.eot.filter(|&id| !is_dropped(id)), self.eom];
        self.end_of_generation = ends.iter().map(|&(id, _)| TokenId(id)).collect();
        self.end_of_generation.extend(named.into_iter().flatten());
        self.end_of_generation.sort_unstable();
        self.end_of_generation.dedup();
    }
}

/// The tokens that are cut out before the model sees a text.
fn added(
    source: &VocabularySource<'_>,
    kinds: &[TokenKind],
) -> Result<AddedTokens, VocabularyError> {
    let phi3 = source.name.is_some_and(|name| {
        let name = name.to_ascii_lowercase();
        name.contains("phi-3") || name.contains("phi3")
    });
    let jina = source.pre.is_some_and(|pre| {
        ["jina-v2-de", "jina-v2-es", "jina-v2-code"].iter().any(|name| pre.contains(name))
    });
    let modern_bert = source.name.is_some_and(|n| n.to_ascii_lowercase().contains("modern-bert"));
    let tokens = (0_u32..)
        .zip(source.tokens.iter().zip(kinds))
        .filter(|(_, (_, kind))| {
            matches!(kind, TokenKind::Control | TokenKind::Unknown | TokenKind::UserDefined)
        })
        .map(|(id, (text, kind))| {
            let mut token = Added::new(text, TokenId(id), *kind != TokenKind::UserDefined);
            token.strip_right = phi3 && !matches!(*text, "<unk>" | "<s>" | "<|endoftext|>");
            token.strip_left = (jina && *text == "<mask>") || (modern_bert && *text == "[MASK]");
            token
        });
    AddedTokens::new(tokens.collect())
}

/// Ids before and behind a text.
fn around(
    add_bos: bool,
    end: Option<TokenId>,
    ids: &SpecialIds,
) -> Result<(Vec<TokenId>, Vec<TokenId>), VocabularyError> {
    let prefix = match (add_bos, ids.bos) {
        (false, _) => vec![],
        (true, Some(bos)) => vec![bos],
        (true, None) => {
            return Err(VocabularyError::Missing { key: "tokenizer.ggml.bos_token_id" });
        }
    };
    Ok((prefix, end.into_iter().collect()))
}

/// `gpt2` and `gemma4`: a list of merges.
fn byte_pairs(source: &VocabularySource<'_>) -> Result<Tokenizer, VocabularyError> {
    let pre_name = if source.model == "gemma4" { Some("gemma4") } else { source.pre };
    let mut pre = pretokenizers::named(pre_name)?;
    if let Some(pattern) = source.pattern {
        pre.cuts = vec![Cut::isolated(Pattern::new(pattern)?)];
    }
    let merges =
        source.merges.as_ref().ok_or(VocabularyError::Missing { key: "tokenizer.ggml.merges" })?;
    let kinds = kinds(source);
    let alphabet =
        if pre.spaces { Alphabet::Chars { byte_fallback: true } } else { Alphabet::Bytes };
    let vocab = byte_level_vocab(&source.tokens, &kinds, alphabet)?;
    let defaults = if source.model == "gemma4" {
        SourceIds::default()
    } else {
        SourceIds { bos: Some(11), eos: Some(11), ..SourceIds::default() }
    };
    let ids = special_ids(source, defaults)?;
    let settings = BpeSettings {
        alphabet,
        whole: pre.whole,
        unknown: None,
        fuse_unknown: false,
        continuing: None,
        ending: None,
    };
    let model = Bpe::new(&vocab, merges.iter().map(|line| merge_halves(line)), settings)?;
    let add_bos = source.add_bos.unwrap_or(pre.add_bos) || pre_name == Some("gemma4");
    let add_sep = source.add_sep.unwrap_or(pre.add_sep);
    let end =
        if source.add_eos == Some(true) { ids.eos } else { ids.separator.filter(|_| add_sep) };
    let (prefix, suffix) = around(add_bos, end, &ids)?;
    let (normalize, decoder) = if pre.spaces {
        let escape = Normalize::Replace { from: " ".into(), to: "▁".into() };
        (vec![escape], Decoder::Spaces { strip_first: false, replacement: '▁' })
    } else {
        (vec![], Decoder::Bytes)
    };
    Ok(Tokenizer {
        added: added(source, &kinds)?,
        vocab,
        model: Model::Bpe(model),
        normalize,
        cuts: pre.cuts,
        decoder,
        unescape_user_defined: false,
        prefix,
        suffix,
        ids,
    })
}

/// A vocabulary whose tokens are spelled in GPT-2's characters, or as they are.
///
/// Control and unknown tokens are not found by their bytes, so no text can make them. Tokens that
/// the alphabet cannot spell keep their text and are not found either.
pub(crate) fn byte_level_vocab(
    tokens: &[&str],
    kinds: &[TokenKind],
    alphabet: Alphabet,
) -> Result<Vocab, VocabularyError> {
    let mut vocab =
        Vocab::with_capacity(tokens.len(), tokens.iter().map(|token| token.len()).sum())?;
    let mut later = Vec::new();
    for ((id, text), &kind) in (0_u32..).zip(tokens).zip(kinds) {
        let id = TokenId(id);
        let is_text = !matches!(kind, TokenKind::Control | TokenKind::Unknown);
        let spelled = is_text
            && alphabet == Alphabet::Bytes
            && bytelevel::decode_into(text, vocab.pool_mut());
        if !spelled {
            vocab.pool_mut().extend_from_slice(text.as_bytes());
        }
        vocab.finish(kind);
        let findable = is_text && !text.is_empty() && (spelled || alphabet != Alphabet::Bytes);
        if findable && kind == TokenKind::Normal {
            vocab.index_unique(id)?;
        } else if findable {
            later.push(id);
        }
    }
    // Added tokens give way to normal ones that spell the same bytes.
    for id in later {
        vocab.index(id);
    }
    Ok(vocab)
}

/// `llama`: SentencePiece's BPE.
fn sentencepiece(source: &VocabularySource<'_>) -> Result<Tokenizer, VocabularyError> {
    let scores = source.scores.ok_or(VocabularyError::Missing { key: "tokenizer.ggml.scores" })?;
    let kinds = kinds(source);
    let vocab = plain_vocab(&source.tokens, &kinds)?;
    let defaults =
        SourceIds { bos: Some(1), eos: Some(2), unknown: Some(0), ..SourceIds::default() };
    let ids = special_ids(source, defaults)?;
    let model = Scored::new(&vocab, scores, ids.unknown);
    let (prefix, suffix) = around(
        source.add_bos.unwrap_or(true),
        ids.eos.filter(|_| source.add_eos == Some(true)),
        &ids,
    )?;
    let space_prefix = source.add_space_prefix.unwrap_or(true);
    let mut normalize = Vec::new();
    if space_prefix {
        normalize.push(Normalize::Prepend(" ".into()));
    }
    normalize.push(Normalize::Replace { from: " ".into(), to: "▁".into() });
    Ok(Tokenizer {
        added: added(source, &kinds)?,
        cuts: if model.cuts_at_spaces() { vec![Cut::BeforeSpaces] } else { vec![] },
        vocab,
        model: Model::Scored(model),
        normalize,
        decoder: Decoder::Spaces { strip_first: space_prefix, replacement: '▁' },
        unescape_user_defined: false,
        prefix,
        suffix,
        ids,
    })
}

/// `bert`: WordPiece with `▁` before words.
fn wordpiece(source: &VocabularySource<'_>) -> Result<Tokenizer, VocabularyError> {
    let kinds = kinds(source);
    let vocab = plain_vocab(&source.tokens, &kinds)?;
    let defaults = SourceIds {
        bos: Some(101),
        unknown: Some(100),
        separator: Some(102),
        padding: Some(0),
        mask: Some(103),
        ..SourceIds::default()
    };
    let ids = special_ids(source, defaults)?;
    let unknown =
        ids.unknown.ok_or(VocabularyError::Missing { key: "tokenizer.ggml.unknown_token_id" })?;
    let findable = |id| is_text(vocab.kind(id));
    let model = WordPiece::new(&vocab, "▁", "", unknown, usize::MAX, findable);
    let lowercase = source.lowercase.unwrap_or(true);
    let rules = Bert {
        flavour: BertFlavour::Ggml,
        clean: Toggle::On,
        space_ideographs: Toggle::On,
        strip_accents: source.strip_accents.unwrap_or(lowercase).into(),
        lowercase: lowercase.into(),
    };
    // The file's flags for begin and end do not count for this model.
    let (prefix, suffix) = around(ids.bos.is_some(), ids.separator, &ids)?;
    Ok(Tokenizer {
        added: added(source, &kinds)?,
        vocab,
        model: Model::WordPiece(model),
        normalize: vec![Normalize::Bert(rules)],
        cuts: vec![Cut::Bert(BertFlavour::Ggml)],
        decoder: Decoder::Spaces { strip_first: true, replacement: '▁' },
        unescape_user_defined: false,
        prefix,
        suffix,
        ids,
    })
}

/// `t5`: unigram.
fn unigram(source: &VocabularySource<'_>) -> Result<Tokenizer, VocabularyError> {
    let scores = source.scores.ok_or(VocabularyError::Missing { key: "tokenizer.ggml.scores" })?;
    let kinds = kinds(source);
    let vocab = plain_vocab(&source.tokens, &kinds)?;
    let defaults =
        SourceIds { eos: Some(1), unknown: Some(2), padding: Some(0), ..SourceIds::default() };
    let ids = special_ids(source, defaults)?;
    let unknown =
        ids.unknown.ok_or(VocabularyError::Missing { key: "tokenizer.ggml.unknown_token_id" })?;
    let scores = scores.iter().map(|&score| f64::from(score)).collect();
    let model = Unigram::new(&vocab, scores, unknown, false, |id| is_text(vocab.kind(id)));
    let (prefix, suffix) = around(
        source.add_bos.unwrap_or(false),
        ids.eos.filter(|_| source.add_eos.unwrap_or(true)),
        &ids,
    )?;
    let collapse = source.remove_extra_whitespaces.unwrap_or(false);
    let space_prefix = source.add_space_prefix.unwrap_or(false) || collapse;
    let mut normalize = Vec::new();
    if let Some(map) = Charsmap::new(source.charsmap.unwrap_or_default())? {
        normalize.push(Normalize::Charsmap { map, prefixes: Prefixes::Longest });
    }
    if collapse {
        normalize.push(Normalize::CollapseSpaces);
    }
    if space_prefix {
        normalize.push(Normalize::Prepend(" ".into()));
    }
    normalize.push(Normalize::Replace { from: " ".into(), to: "▁".into() });
    Ok(Tokenizer {
        added: added(source, &kinds)?,
        vocab,
        model: Model::Unigram(model),
        normalize,
        cuts: vec![],
        decoder: Decoder::Spaces { strip_first: space_prefix, replacement: '▁' },
        unescape_user_defined: false,
        prefix,
        suffix,
        ids,
    })
}

/// Whether text may become a token of this kind.
fn is_text(kind: TokenKind) -> bool {
    matches!(kind, TokenKind::Normal | TokenKind::UserDefined | TokenKind::Unused)
}

/// A vocabulary of texts as they are; control, unknown and byte tokens are not found by text.
pub(crate) fn plain_vocab(tokens: &[&str], kinds: &[TokenKind]) -> Result<Vocab, VocabularyError> {
    let mut vocab =
        Vocab::with_capacity(tokens.len(), tokens.iter().map(|token| token.len()).sum())?;
    for ((id, text), &kind) in (0_u32..).zip(tokens).zip(kinds) {
        vocab.push(text.as_bytes(), kind);
        if is_text(kind) && !text.is_empty() {
            vocab.index_unique(TokenId(id))?;
        }
    }
    Ok(vocab)
}

impl Tokenizer {
    /// Whether a token's bytes were spelled in GPT-2's characters.
    pub(crate) fn is_spelled_bytes(&self, id: TokenId) -> bool {
        // What the alphabet cannot spell keeps its text and is not found by it.
        !matches!(self.vocab.kind(id), TokenKind::Control | TokenKind::Unknown)
            && self.vocab.find(self.vocab.bytes(id)).is_some()
    }
}
