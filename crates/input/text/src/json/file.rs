//! The shape of `tokenizer.json`, with strings that borrow from the file where they can.
//!
//! The vocabulary is a list of pairs here, never a map, so a token that stands twice is seen.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// The whole file.
#[derive(Debug, Deserialize)]
pub(super) struct File<'a> {
    #[serde(borrow, default)]
    pub(super) added_tokens: Vec<AddedJson<'a>>,
    #[serde(default)]
    pub(super) normalizer: Option<Value>,
    #[serde(default)]
    pub(super) pre_tokenizer: Option<Value>,
    #[serde(default)]
    pub(super) post_processor: Option<Value>,
    #[serde(default)]
    pub(super) decoder: Option<Value>,
    #[serde(borrow)]
    pub(super) model: ModelJson<'a>,
}

/// An added token.
#[expect(clippy::struct_excessive_bools, reason = "the file has them so")]
#[derive(Debug, Deserialize)]
pub(super) struct AddedJson<'a> {
    pub(super) id: u32,
    #[serde(borrow)]
    pub(super) content: Cow<'a, str>,
    #[serde(default)]
    pub(super) single_word: bool,
    #[serde(default)]
    pub(super) lstrip: bool,
    #[serde(default)]
    pub(super) rstrip: bool,
    #[serde(default)]
    pub(super) normalized: bool,
    #[serde(default)]
    pub(super) special: bool,
}

/// The model, whichever it is.
#[derive(Debug, Deserialize)]
pub(super) struct ModelJson<'a> {
    #[serde(borrow, default, rename = "type")]
    pub(super) name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) vocab: VocabJson<'a>,
    #[serde(borrow, default)]
    pub(super) merges: Option<Vec<MergeJson<'a>>>,
    #[serde(default)]
    pub(super) dropout: Option<f64>,
    #[serde(borrow, default)]
    pub(super) unk_token: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(super) unk_id: Option<u32>,
    #[serde(borrow, default)]
    pub(super) continuing_subword_prefix: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) end_of_word_suffix: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(super) max_input_chars_per_word: Option<usize>,
    #[serde(default)]
    pub(super) fuse_unk: bool,
    #[serde(default)]
    pub(super) byte_fallback: bool,
    #[serde(default)]
    pub(super) ignore_merges: bool,
}

/// A string that borrows where it has no escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Cow<'de, str>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }
        deserializer.deserialize_str(Reader).map(Text)
    }
}

/// The vocabulary: ids by text, or texts with scores in order.
#[derive(Debug)]
pub(super) enum VocabJson<'a> {
    Ids(Vec<(Cow<'a, str>, u32)>),
    Scores(Vec<(Cow<'a, str>, f64)>),
}

impl<'de: 'a, 'a> Deserialize<'de> for VocabJson<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = VocabJson<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of ids or a list of scores")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut ids = Vec::new();
                while let Some((Text(text), id)) = map.next_entry()? {
                    ids.push((text, id));
                }
                Ok(VocabJson::Ids(ids))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut scores = Vec::new();
                while let Some((Text(text), score)) = seq.next_element()? {
                    scores.push((text, score));
                }
                Ok(VocabJson::Scores(scores))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// A merge: two tokens in one string with a space between, or in two.
#[derive(Debug)]
pub(super) enum MergeJson<'a> {
    Line(Cow<'a, str>),
    Pair(Cow<'a, str>, Cow<'a, str>),
}

impl<'de: 'a, 'a> Deserialize<'de> for MergeJson<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = MergeJson<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a merge: a string or two")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(MergeJson::Line(Cow::Borrowed(text)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(MergeJson::Line(Cow::Owned(text.to_owned())))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let missing = || A::Error::custom("a merge of fewer than two tokens");
                let Text(left) = seq.next_element()?.ok_or_else(missing)?;
                let Text(right) = seq.next_element()?.ok_or_else(missing)?;
                if seq.next_element::<Text<'_>>()?.is_some() {
                    return Err(A::Error::custom("a merge of more than two tokens"));
                }
                Ok(MergeJson::Pair(left, right))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}
