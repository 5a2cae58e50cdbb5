//! The tokenizer: text to ids and back, whatever kind of vocabulary a model brings.
//!
//! One struct for all kinds: normalise, cut into words, let the model encode each word. Encoding
//! cannot fail and is a function of the text alone. Constructors are in [`crate::gguf`] and
//! beside it; each checks every id, count and score of the file once.

use crate::added::{Added, AddedTokens, Special};
use crate::cut::{Cut, cut};
use crate::decode::Decoder;
use crate::models::bpe::Bpe;
use crate::models::merge::Scratch;
use crate::models::scored::Scored;
use crate::models::unigram::Unigram;
use crate::models::wordpiece::WordPiece;
use crate::normalize::{Normalize, normalize};
use crate::token::TokenId;
use crate::vocab::{TokenKind, Vocab, fold, slot_of};

/// The kind of model.
#[derive(Clone, Debug)]
pub(crate) enum Model {
    /// Byte-pair encoding by a list of merges.
    Bpe(Bpe),
    /// SentencePiece's BPE by scores.
    Scored(Scored),
    /// The likeliest tokens.
    Unigram(Unigram),
    /// The longest tokens from the left.
    WordPiece(WordPiece),
}

/// The ids that mean something to a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpecialIds {
    /// Begins a text.
    pub bos: Option<TokenId>,
    /// Ends a text.
    pub eos: Option<TokenId>,
    /// Ends a turn of a conversation.
    pub eot: Option<TokenId>,
    /// Ends a message that waits for a tool.
    pub eom: Option<TokenId>,
    /// Stands for what the vocabulary lacks.
    pub unknown: Option<TokenId>,
    /// Separates two texts.
    pub separator: Option<TokenId>,
    /// Fills a batch.
    pub padding: Option<TokenId>,
    /// Stands for what is to be guessed.
    pub mask: Option<TokenId>,
    /// All ids that end generation, ascending.
    pub end_of_generation: Vec<TokenId>,
}

/// A piece of a prompt, by who wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'t> {
    /// The text.
    pub text: &'t str,
    /// Whether special tokens in it are meant.
    pub special: Special,
}

/// A vocabulary with everything that turns text into its ids and back.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    pub(crate) vocab: Vocab,
    pub(crate) model: Model,
    pub(crate) normalize: Vec<Normalize>,
    pub(crate) cuts: Vec<Cut>,
    pub(crate) added: AddedTokens,
    pub(crate) decoder: Decoder,
    /// Whether user-defined tokens hold `▁` for spaces.
    pub(crate) unescape_user_defined: bool,
    pub(crate) prefix: Vec<TokenId>,
    pub(crate) suffix: Vec<TokenId>,
    pub(crate) ids: SpecialIds,
}

impl Tokenizer {
    /// Number of tokens; ids are below it.
    pub fn n_tokens(&self) -> usize {
        self.vocab.len()
    }

    /// The ids that mean something to a program.
    pub fn special_ids(&self) -> &SpecialIds {
        &self.ids
    }

    /// Whether an id ends generation.
    pub fn ends_generation(&self, id: TokenId) -> bool {
        self.ids.end_of_generation.binary_search(&id).is_ok()
    }

    /// What a token is for.
    pub fn kind(&self, id: TokenId) -> TokenKind {
        self.vocab.kind(id)
    }

    /// The ids that the model wants before a text (usually none or the begin token).
    pub fn prefix(&self) -> &[TokenId] {
        &self.prefix
    }

    /// The ids that the model wants behind a text (for encoders; usually none for others).
    pub fn suffix(&self) -> &[TokenId] {
        &self.suffix
    }

    /// Whether [`Tokenizer::encode_wrapped`] puts the begin token in front.
    pub fn adds_bos(&self) -> bool {
        self.ids.bos.is_some_and(|bos| self.prefix.first() == Some(&bos))
    }

    /// Whether [`Tokenizer::encode_wrapped`] puts an end token behind.
    pub fn adds_eos(&self) -> bool {
        !self.suffix.is_empty()
    }

    /// The id of a token as the vocabulary spells it, special ones included.
    pub fn find(&self, piece: &str) -> Option<TokenId> {
        let added = self.added.find(piece, 0, |token| token.text.len() == piece.len());
        if let Some(found) = added.filter(|found| found.end - found.start == piece.len()) {
            return Some(found.token.id);
        }
        let mut bytes = Vec::new();
        if self.decoder == Decoder::Bytes && crate::bytelevel::decode_into(piece, &mut bytes) {
            return self.vocab.find(&bytes);
        }
        self.vocab.find(piece.as_bytes())
    }

    /// Bytes of memory that the vocabulary holds.
    pub fn heap_bytes(&self) -> usize {
        let model = match &self.model {
            Model::Bpe(model) => model.heap_bytes(),
            Model::Scored(model) => model.heap_bytes(),
            Model::Unigram(model) => model.heap_bytes(),
            Model::WordPiece(model) => model.heap_bytes(),
        };
        let steps = crate::normalize::heap_bytes(&self.normalize);
        self.vocab.heap_bytes() + model + steps + self.added.heap_bytes()
    }

    /// The ids of a text, without those that the model wants around it.
    pub fn encode(&self, text: &str, special: Special) -> Vec<TokenId> {
        self.encode_parts(&[Part { text, special }])
    }

    /// The ids of a text with those that the model wants around it.
    pub fn encode_wrapped(&self, text: &str, special: Special) -> Vec<TokenId> {
        self.wrap(&self.encode(text, special))
    }

    /// Puts what the model wants before and behind a text around its ids; a begin token that is
    /// already there is not doubled.
    pub fn wrap(&self, ids: &[TokenId]) -> Vec<TokenId> {
        let has_prefix = !self.prefix.is_empty() && ids.starts_with(&self.prefix);
        let prefix = if has_prefix { &[] } else { self.prefix.as_slice() };
        [prefix, ids, &self.suffix].concat()
    }

    /// The ids of a text in parts, as if it were one, but that special tokens are only found in
    /// the parts that ask for it.
    ///
    /// So a template's scaffolding steers the model and what a caller wrote does not, and words
    /// that run across a border are still one word.
    pub fn encode_parts(&self, parts: &[Part<'_>]) -> Vec<TokenId> {
        let bytes: usize = parts.iter().map(|part| part.text.len()).sum();
        let mut encoder = Encoder::new(self, bytes);
        let mut run = String::new();
        let mut strip_next = false;
        for part in parts {
            let mut at = 0;
            while part.special == Special::Parse
                && let Some(found) = self.next_control(part.text, at)
            {
                let text = part.text.get(at..found.start).unwrap_or_default();
                append(&mut run, text, &mut strip_next);
                if found.token.strip_left {
                    run.truncate(run.trim_end().len());
                }
                encoder.run(&run);
                run.clear();
                encoder.out.push(found.token.id);
                encoder.is_first = false;
                strip_next = found.token.strip_right;
                at = found.end;
            }
            if at == 0 && parts.len() == 1 {
                // The common case, without a copy.
                encoder.run(part.text);
                return encoder.out;
            }
            append(&mut run, part.text.get(at..).unwrap_or_default(), &mut strip_next);
        }
        encoder.run(&run);
        encoder.out
    }

    /// The next control token; a user-defined piece that covers it hides it.
    fn next_control(&self, text: &str, mut at: usize) -> Option<crate::added::Found<'_>> {
        loop {
            let found = self.added.find(text, at, |token| !token.normalized)?;
            if found.token.control {
                return Some(found);
            }
            at = found.end;
        }
    }
}

/// Adds text to a run, without leading white space where a token took that along.
fn append(run: &mut String, text: &str, strip_next: &mut bool) {
    let text = if *strip_next { text.trim_start() } else { text };
    *strip_next &= text.is_empty();
    run.push_str(text);
}

/// Shortest text that is worth a table of words.
const CACHE_TEXT_MIN: usize = 512;
const CACHE_WORDS: usize = 2048;
const CACHE_WORD_BYTES: usize = 16;
const CACHE_IDS: usize = 3;

/// A word that was encoded before.
#[derive(Clone, Copy, Default)]
struct CachedWord {
    word: [u8; CACHE_WORD_BYTES],
    len: u8,
    count: u8,
    ids: [TokenId; CACHE_IDS],
}

/// What one call of `encode` keeps: output and memory that is used again for every word.
struct Encoder<'t> {
    tokenizer: &'t Tokenizer,
    out: Vec<TokenId>,
    scratch: Scratch,
    cache: Vec<CachedWord>,
    is_first: bool,
}

impl<'t> Encoder<'t> {
    fn new(tokenizer: &'t Tokenizer, bytes: usize) -> Self {
        let words = if bytes < CACHE_TEXT_MIN { 0 } else { CACHE_WORDS };
        Self {
            tokenizer,
            out: Vec::with_capacity(bytes / 3 + 4),
            scratch: Scratch::default(),
            cache: vec![CachedWord::default(); words],
            is_first: true,
        }
    }

    /// Encodes a text without control tokens.
    fn run(&mut self, text: &str) {
        self.pieces(text, false, &mut |encoder, piece| {
            let tokenizer = encoder.tokenizer;
            let normal = normalize(&tokenizer.normalize, piece);
            encoder.pieces(&normal, true, &mut |encoder, piece| {
                let is_first = std::mem::take(&mut encoder.is_first);
                cut(&tokenizer.cuts, piece, is_first, &mut |word| encoder.word(word));
            });
        });
    }

    /// Takes user-defined tokens out of a text and gives what lies between them to `rest`.
    fn pieces(&mut self, text: &str, normalized: bool, rest: &mut dyn FnMut(&mut Self, &str)) {
        let mut at = 0;
        let wanted = |token: &Added| !token.control && token.normalized == normalized;
        while let Some(found) = self.tokenizer.added.find(text, at, wanted) {
            let mut before = text.get(at..found.start).unwrap_or_default();
            if found.token.strip_left {
                before = before.trim_end();
            }
            if !before.is_empty() {
                rest(self, before);
            }
            self.out.push(found.token.id);
            self.is_first = false;
            at = found.end;
            if found.token.strip_right {
                let after = text.get(at..).unwrap_or_default();
                at += after.len() - after.trim_start().len();
            }
        }
        if let Some(last) = text.get(at..).filter(|last| !last.is_empty()) {
            rest(self, last);
        }
    }

    fn word(&mut self, word: &str) {
        if self.cache.is_empty() || word.len() > CACHE_WORD_BYTES {
            self.model(word);
            return;
        }
        let mut key = [0; CACHE_WORD_BYTES];
        key[..word.len()].copy_from_slice(word.as_bytes());
        let [low, high] = [0, 8]
            .map(|at| key[at..at + 8].iter().fold(0_u64, |all, &byte| all << 8 | u64::from(byte)));
        let hash = fold(low ^ 0x9E37_79B9_7F4A_7C15, high ^ 0xD1B5_4A32_D192_ED03);
        let slot = slot_of(hash, CACHE_WORDS);
        let cached = &self.cache[slot];
        // `len` is 0 in a free slot and never for a word.
        if usize::from(cached.len) == word.len() && cached.word == key {
            let ids = cached.ids;
            self.out.extend_from_slice(&ids[..usize::from(cached.count)]);
            return;
        }
        let start = self.out.len();
        self.model(word);
        let made = &self.out[start..];
        if made.len() <= CACHE_IDS {
            let mut ids = [TokenId::default(); CACHE_IDS];
            ids[..made.len()].copy_from_slice(made);
            let small = |count: usize| u8::try_from(count).unwrap_or(0);
            self.cache[slot] =
                CachedWord { word: key, len: small(word.len()), count: small(made.len()), ids };
        }
    }

    fn model(&mut self, word: &str) {
        let (vocab, scratch) = (&self.tokenizer.vocab, &mut self.scratch);
        match &self.tokenizer.model {
            Model::Bpe(model) => model.word(vocab, word, scratch, &mut self.out),
            Model::Scored(model) => model.word(vocab, word, scratch, &mut self.out),
            Model::Unigram(model) => model.word(vocab, word, &mut self.out),
            Model::WordPiece(model) => model.word(vocab, word, &mut self.out),
        }
    }
}
