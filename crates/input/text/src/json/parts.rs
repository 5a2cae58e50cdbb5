//! The small parts of `tokenizer.json`: what happens before and behind the model.
//!
//! Each part is an object with a `type`; sequences nest at most eight deep. Options that are not
//! read have no influence on ids.

use serde_json::Value;

use crate::charsmap::{Charsmap, Prefixes};
use crate::cut::{Cut, Matches, Prepend};
use crate::decode::Decoder;
use crate::error::{VocabularyError, shorten};
use crate::normalize::{Bert, BertFlavour, Form, Normalize};
use crate::pattern::Pattern;
use crate::token::TokenId;

/// Deepest nesting of sequences.
const DEPTH_MAX: usize = 8;
/// Most steps of normaliser and pre-tokenizer together.
const STEPS_MAX: usize = 64;
/// Longest text that a step puts in front, and in place of another.
const PREPENDED_BYTES_MAX: usize = 64;
const REPLACEMENT_BYTES_MAX: usize = 1024;

/// GPT-2's own pattern, which `ByteLevel` uses unless told otherwise.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// What is done before the model.
#[derive(Debug, Default)]
pub(super) struct Before {
    pub(super) normalize: Vec<Normalize>,
    pub(super) cuts: Vec<Cut>,
    /// Whether the model sees bytes in GPT-2's characters.
    pub(super) bytes: bool,
}

/// Reads normaliser and pre-tokenizer.
pub(super) fn before(
    normalizer: Option<&Value>,
    pre_tokenizer: Option<&Value>,
) -> Result<Before, VocabularyError> {
    let mut before = Before::default();
    if let Some(value) = normalizer.filter(|value| !value.is_null()) {
        before.normalizer(value, 0)?;
    }
    if let Some(value) = pre_tokenizer.filter(|value| !value.is_null()) {
        before.pre_tokenizer(value, 0)?;
    }
    let steps = before.normalize.len() + before.cuts.len();
    if steps > STEPS_MAX {
        return Err(VocabularyError::Limit {
            what: "steps of normalizer and pre_tokenizer",
            got: steps,
            limit: STEPS_MAX,
        });
    }
    Ok(before)
}

fn name(value: &Value) -> &str {
    value["type"].as_str().unwrap_or_default()
}

fn unsupported<T>(place: &'static str, value: &Value) -> Result<T, VocabularyError> {
    let got = match value["type"].as_str() {
        Some(name) => shorten(name),
        None => shorten(&value.to_string()),
    };
    Err(VocabularyError::Unsupported { place, got })
}

fn deeper(depth: usize) -> Result<usize, VocabularyError> {
    if depth >= DEPTH_MAX {
        return Err(VocabularyError::Limit {
            what: "nested sequences",
            got: depth + 1,
            limit: DEPTH_MAX,
        });
    }
    Ok(depth + 1)
}

fn flag(value: &Value, key: &str, default: bool) -> bool {
    value[key].as_bool().unwrap_or(default)
}

fn text<'v>(value: &'v Value, key: &'static str) -> Result<&'v str, VocabularyError> {
    value[key].as_str().ok_or(VocabularyError::Missing { key })
}

/// A text that every piece of a prompt may bring along.
fn short(text: &str, limit: usize) -> Result<Box<str>, VocabularyError> {
    if text.len() > limit {
        return Err(VocabularyError::Limit {
            what: "bytes that a normalizer puts in",
            got: text.len(),
            limit,
        });
    }
    Ok(text.into())
}

fn list<'v>(value: &'v Value, key: &'static str) -> Result<&'v [Value], VocabularyError> {
    match value[key].as_array() {
        Some(list) => Ok(list),
        None => Err(VocabularyError::Missing { key }),
    }
}

/// A pattern that is given as text or as a regular expression.
fn pattern(value: &Value, place: &'static str) -> Result<Pattern, VocabularyError> {
    match (value["String"].as_str(), value["Regex"].as_str()) {
        (Some(text), _) => Pattern::literal(text),
        (None, Some(source)) => Pattern::new(source),
        (None, None) => unsupported(place, value),
    }
}

impl Before {
    fn normalizer(&mut self, value: &Value, depth: usize) -> Result<(), VocabularyError> {
        let step = match name(value) {
            "Sequence" => {
                for part in list(value, "normalizers")? {
                    self.normalizer(part, deeper(depth)?)?;
                }
                return Ok(());
            }
            "ByteLevel" => {
                self.bytes = true;
                return Ok(());
            }
            "BertNormalizer" => {
                let lowercase = flag(value, "lowercase", true);
                Normalize::Bert(Bert {
                    flavour: BertFlavour::HuggingFace,
                    clean: flag(value, "clean_text", true).into(),
                    space_ideographs: flag(value, "handle_chinese_chars", true).into(),
                    strip_accents: flag(value, "strip_accents", lowercase).into(),
                    lowercase: lowercase.into(),
                })
            }
            "NFC" => Normalize::Form(Form::Nfc),
            "NFD" => Normalize::Form(Form::Nfd),
            "NFKC" => Normalize::Form(Form::Nfkc),
            "NFKD" => Normalize::Form(Form::Nfkd),
            "Lowercase" => Normalize::Lowercase,
            "Strip" => Normalize::Strip {
                left: flag(value, "strip_left", true).into(),
                right: flag(value, "strip_right", true).into(),
            },
            "StripAccents" => Normalize::StripMarks,
            "Nmt" => Normalize::Nmt,
            "Prepend" => Normalize::Prepend(short(text(value, "prepend")?, PREPENDED_BYTES_MAX)?),
            "Replace" => {
                let to = short(text(value, "content")?, REPLACEMENT_BYTES_MAX)?;
                match value["pattern"]["String"].as_str() {
                    Some(from) => Normalize::Replace { from: from.into(), to },
                    None => Normalize::ReplacePattern {
                        pattern: pattern(&value["pattern"], "normalizer.pattern")?,
                        to,
                    },
                }
            }
            "Precompiled" => {
                let blob = base64(text(value, "precompiled_charsmap")?)?;
                match Charsmap::new(&blob)? {
                    Some(map) => Normalize::Charsmap { map, prefixes: Prefixes::Graphemes },
                    None => return Ok(()),
                }
            }
            _ => return unsupported("normalizer", value),
        };
        self.normalize.push(step);
        Ok(())
    }

    fn pre_tokenizer(&mut self, value: &Value, depth: usize) -> Result<(), VocabularyError> {
        let isolated = |source: &str| Pattern::new(source).map(Cut::isolated);
        let cut = match name(value) {
            "Sequence" => {
                for part in list(value, "pretokenizers")? {
                    self.pre_tokenizer(part, deeper(depth)?)?;
                }
                return Ok(());
            }
            "ByteLevel" => {
                self.bytes = true;
                if flag(value, "add_prefix_space", true) {
                    self.cuts.push(Cut::PrefixSpace);
                }
                if !flag(value, "use_regex", true) {
                    return Ok(());
                }
                isolated(GPT2)?
            }
            "Metaspace" => metaspace(value)?,
            "Split" => Cut::Pattern {
                pattern: pattern(&value["pattern"], "pre_tokenizer.pattern")?,
                matches: behavior(value, None)?,
                invert: flag(value, "invert", false),
            },
            "Digits" if flag(value, "individual_digits", false) => isolated(r"\p{N}")?,
            "Digits" => isolated(r"\p{N}+")?,
            "Punctuation" => Cut::Pattern {
                pattern: Pattern::new(r"[\p{P}$+<=>^`|~]")?,
                matches: behavior(value, Some(Matches::Isolated))?,
                invert: false,
            },
            "CharDelimiterSplit" => Cut::Pattern {
                pattern: Pattern::literal(text(value, "delimiter")?)?,
                matches: Matches::Removed,
                invert: false,
            },
            "BertPreTokenizer" => Cut::Bert(BertFlavour::HuggingFace),
            "Whitespace" => Cut::Words,
            "WhitespaceSplit" => Cut::Space,
            _ => return unsupported("pre_tokenizer", value),
        };
        self.cuts.push(cut);
        Ok(())
    }
}

fn behavior(value: &Value, default: Option<Matches>) -> Result<Matches, VocabularyError> {
    match (value["behavior"].as_str(), default) {
        (Some("Isolated"), _) => Ok(Matches::Isolated),
        (Some("Removed"), _) => Ok(Matches::Removed),
        (Some("MergedWithPrevious"), _) => Ok(Matches::WithPrevious),
        (Some("MergedWithNext"), _) => Ok(Matches::WithNext),
        (Some("Contiguous"), _) => Ok(Matches::Contiguous),
        (None, Some(default)) => Ok(default),
        _ => unsupported("pre_tokenizer.behavior", &value["behavior"]),
    }
}

fn replacement(value: &Value) -> char {
    value["replacement"].as_str().and_then(|text| text.chars().next()).unwrap_or('▁')
}

/// Where `Metaspace` puts a space in front; files before version 0.15 have a flag instead.
fn prepend(value: &Value) -> Result<Prepend, VocabularyError> {
    match value["prepend_scheme"].as_str() {
        Some("always") => Ok(Prepend::Always),
        Some("first") => Ok(Prepend::First),
        Some("never") => Ok(Prepend::Never),
        Some(_) => unsupported("prepend_scheme", &value["prepend_scheme"]),
        None if flag(value, "add_prefix_space", true) => Ok(Prepend::Always),
        None => Ok(Prepend::Never),
    }
}

fn metaspace(value: &Value) -> Result<Cut, VocabularyError> {
    Ok(Cut::Metaspace {
        replacement: replacement(value),
        prepend: prepend(value)?,
        split: flag(value, "split", true),
    })
}

/// Reads the decoder.
pub(super) fn decoder(value: Option<&Value>, bytes: bool) -> Result<Decoder, VocabularyError> {
    let Some(value) = value.filter(|value| !value.is_null()) else {
        return Ok(if bytes { Decoder::Bytes } else { Decoder::Plain });
    };
    let spaces = |strip_first, replacement| Decoder::Spaces { strip_first, replacement };
    match name(value) {
        "ByteLevel" => Ok(Decoder::Bytes),
        "Metaspace" => Ok(spaces(prepend(value)? != Prepend::Never, replacement(value))),
        "WordPiece" => Ok(Decoder::WordPiece {
            prefix: value["prefix"].as_str().unwrap_or("##").into(),
            cleanup: flag(value, "cleanup", true),
        }),
        "BPEDecoder" => {
            Ok(Decoder::Suffix { suffix: value["suffix"].as_str().unwrap_or("</w>").into() })
        }
        "ByteFallback" | "Fuse" => Ok(Decoder::Plain),
        // Llama's: `▁` to space, bytes, one string, one space off the front.
        "Sequence" => {
            let mut decoder = Decoder::Plain;
            for part in list(value, "decoders")? {
                match (name(part), &mut decoder) {
                    ("ByteFallback" | "Fuse", _) => {}
                    ("Replace", Decoder::Plain)
                        if part["content"] == " " && part["pattern"]["String"].is_string() =>
                    {
                        let from = part["pattern"]["String"].as_str().unwrap_or_default();
                        let mut chars = from.chars();
                        let (Some(replacement), None) = (chars.next(), chars.next()) else {
                            return unsupported("decoder", part);
                        };
                        decoder = spaces(false, replacement);
                    }
                    ("Strip", Decoder::Spaces { strip_first, .. }) if part["content"] == " " => {
                        *strip_first = part["start"].as_u64().unwrap_or(0) > 0;
                    }
                    ("ByteLevel" | "Metaspace" | "WordPiece" | "BPEDecoder", Decoder::Plain) => {
                        decoder = self::decoder(Some(part), bytes)?;
                    }
                    _ => return unsupported("decoder", part),
                }
            }
            Ok(decoder)
        }
        _ => unsupported("decoder", value),
    }
}

/// The ids that a post-processor puts before and behind one text.
pub(super) fn around(
    value: Option<&Value>,
    tokens: usize,
) -> Result<(Vec<TokenId>, Vec<TokenId>), VocabularyError> {
    let mut found = (Vec::new(), Vec::new());
    if let Some(value) = value.filter(|value| !value.is_null()) {
        around_at(value, tokens, 0, &mut found)?;
    }
    Ok(found)
}

fn around_at(
    value: &Value,
    tokens: usize,
    depth: usize,
    found: &mut (Vec<TokenId>, Vec<TokenId>),
) -> Result<(), VocabularyError> {
    let checked = |id: Option<u64>| {
        let got = id.ok_or(VocabularyError::Missing { key: "post_processor: id" })?;
        match u32::try_from(got) {
            Ok(id) if (id as usize) < tokens => Ok(TokenId(id)),
            _ => Err(VocabularyError::Id { key: "post_processor", got, tokens }),
        }
    };
    match name(value) {
        "Sequence" => {
            for part in list(value, "processors")? {
                around_at(part, tokens, deeper(depth)?, found)?;
            }
        }
        "ByteLevel" => {}
        "BertProcessing" | "RobertaProcessing" => {
            found.0.push(checked(value["cls"][1].as_u64())?);
            found.1.push(checked(value["sep"][1].as_u64())?);
        }
        "TemplateProcessing" => {
            let mut is_behind = false;
            for part in list(value, "single")? {
                if !part["Sequence"].is_null() {
                    is_behind = true;
                    continue;
                }
                let name = part["SpecialToken"]["id"].as_str().unwrap_or_default();
                for id in list(&value["special_tokens"][name], "ids")? {
                    let side = if is_behind { &mut found.1 } else { &mut found.0 };
                    side.push(checked(id.as_u64())?);
                }
            }
        }
        _ => return unsupported("post_processor", value),
    }
    Ok(())
}

/// Bytes that are written in base64 (RFC 4648 §4).
fn base64(text: &str) -> Result<Vec<u8>, VocabularyError> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0_u32);
    for (offset, byte) in text.trim_end_matches('=').bytes().enumerate() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => {
                let what = "precompiled_charsmap: no base64";
                return Err(VocabularyError::Broken { what, offset });
            }
        };
        bits = bits << 6 | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count & 0xFF) as u8);
        }
    }
    Ok(out)
}
