//! Ids and texts against tokenizers, SentencePiece and llama.cpp on tiny vocabularies.

use std::fs;

use ledge_text::{Controls, Special, StreamDecoder, TokenId, Tokenizer, VocabularySource};
use serde_json::Value;

use super::{golden, tokenizer};

fn vectors() -> Value {
    serde_json::from_slice(&fs::read(golden("ids.json")).unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<TokenId> {
    let ids = value.as_array().unwrap().iter();
    ids.map(|id| TokenId(u32::try_from(id.as_u64().unwrap()).unwrap())).collect()
}

fn lines(vectors: &Value) -> Vec<&str> {
    vectors["lines"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect()
}

fn check(kind: &str, extension: &str, special: Special) {
    let vectors = vectors();
    for (name, wanted) in vectors[kind].as_object().unwrap() {
        let tokenizer = tokenizer(&format!("{name}.{extension}"));
        for (at, line) in lines(&vectors).into_iter().enumerate() {
            let want = ids(&wanted["ids"][at]);
            let got = tokenizer.encode(line, special);
            assert_eq!(got, want, "{name}: {line:?}");
            let text = tokenizer.decode_with(&got, Controls::Show);
            // SentencePiece writes ` ⁇ ` for what it does not know.
            let want = wanted["text"][at].as_str().unwrap().replace(" ⁇ ", "<unk>");
            assert_eq!(String::from_utf8_lossy(&text), want, "{name}: {line:?} back");
            let mut stream = StreamDecoder::new(Controls::Show);
            let mut streamed = String::new();
            for id in got {
                streamed.push_str(stream.push(&tokenizer, id));
            }
            streamed.push_str(stream.finish());
            assert_eq!(streamed, want, "{name}: {line:?} streamed");
        }
    }
}

#[test]
fn tokenizer_json_agrees_with_the_tokenizers_library() {
    check("json", "json", Special::Parse);
}

#[test]
fn sentencepiece_models_agree_with_sentencepiece() {
    check("model", "model", Special::Text);
}

/// The byte-level vocabulary as GGUF writes it.
struct GgufParts {
    tokens: Vec<String>,
    types: Vec<i32>,
    merges: Vec<String>,
}

impl GgufParts {
    fn read() -> Self {
        let file: Value = serde_json::from_slice(&fs::read(golden("bytes.json")).unwrap()).unwrap();
        let vocab = file["model"]["vocab"].as_object().unwrap();
        let mut tokens = vec![String::new(); vocab.len()];
        for (token, id) in vocab {
            let id = usize::try_from(id.as_u64().unwrap()).unwrap();
            tokens[id].clone_from(token);
        }
        let types = tokens.iter().map(|token| if token == "<|end|>" { 3 } else { 1 }).collect();
        let merges = file["model"]["merges"].as_array().unwrap().iter();
        let merges = merges
            .map(|merge| {
                let halves = merge.as_array().unwrap();
                format!("{} {}", halves[0].as_str().unwrap(), halves[1].as_str().unwrap())
            })
            .collect();
        Self { tokens, types, merges }
    }

    fn source<'a>(&'a self, pre: &'a str) -> VocabularySource<'a> {
        VocabularySource {
            model: "gpt2",
            pre: Some(pre),
            tokens: self.tokens.iter().map(String::as_str).collect(),
            types: Some(&self.types),
            merges: Some(self.merges.iter().map(String::as_str).collect()),
            ids: ledge_text::SourceIds {
                bos: Some(0),
                eos: Some(0),
                ..ledge_text::SourceIds::default()
            },
            ..VocabularySource::default()
        }
    }
}

#[test]
fn pre_tokenizers_of_gguf_agree_with_llama_cpp_and_the_models_own_patterns() {
    let vectors = vectors();
    let parts = GgufParts::read();
    let mut failures = Vec::new();
    for (pre, wanted) in vectors["pre"].as_object().unwrap() {
        let tokenizer = Tokenizer::from_gguf(&parts.source(pre)).unwrap();
        for (at, line) in lines(&vectors).into_iter().enumerate() {
            let (got, want) = (tokenizer.encode(line, Special::Text), ids(&wanted[at]));
            if got != want {
                failures.push(format!("{pre}: {line:?}: {got:?}, wanted {want:?}"));
            }
            assert_eq!(tokenizer.decode(&got), line.as_bytes(), "{pre}: {line:?} back");
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn other_models_of_gguf_agree_with_llama_cpp() {
    let vectors = vectors();
    for (name, case) in vectors["gguf"].as_object().unwrap() {
        let source = &case["source"];
        let list = |key: &str| source[key].as_array();
        let numbers = |key: &str| -> Vec<i32> {
            let list = list(key).into_iter().flatten();
            list.map(|n| i32::try_from(n.as_i64().unwrap()).unwrap()).collect()
        };
        let id = |key: &str| source[key].as_u64().map(|id| u32::try_from(id).unwrap());
        let flag = |key: &str| source[key].as_bool();
        let types = numbers("types");
        #[expect(clippy::cast_possible_truncation, reason = "they were f32 before they were JSON")]
        let scores: Option<Vec<f32>> =
            list("scores").map(|list| list.iter().map(|n| n.as_f64().unwrap() as f32).collect());
        let charsmap: Vec<u8> =
            numbers("charsmap").into_iter().map(|byte| u8::try_from(byte).unwrap()).collect();
        let tokenizer = Tokenizer::from_gguf(&VocabularySource {
            model: name,
            tokens: list("tokens").unwrap().iter().map(|token| token.as_str().unwrap()).collect(),
            types: Some(&types),
            scores: scores.as_deref(),
            charsmap: Some(&charsmap),
            ids: ledge_text::SourceIds {
                bos: id("bos_token_id"),
                eos: id("eos_token_id"),
                unknown: id("unknown_token_id"),
                separator: id("seperator_token_id"),
                padding: id("padding_token_id"),
                mask: id("mask_token_id"),
                ..ledge_text::SourceIds::default()
            },
            add_bos: flag("add_bos_token"),
            add_eos: flag("add_eos_token"),
            add_space_prefix: flag("add_space_prefix"),
            remove_extra_whitespaces: flag("remove_extra_whitespaces"),
            ..VocabularySource::default()
        })
        .unwrap();
        for (at, line) in lines(&vectors).into_iter().enumerate() {
            for (key, special) in [("text", Special::Text), ("parse", Special::Parse)] {
                let want = ids(&case[key][at]);
                assert_eq!(tokenizer.encode(line, special), want, "{name} {key}: {line:?}");
            }
        }
    }
}

#[test]
fn callers_text_never_becomes_a_control_token() {
    use ledge_text::Part;
    let parts = GgufParts::read();
    let tokenizer = Tokenizer::from_gguf(&parts.source("gpt-2")).unwrap();
    let end = tokenizer.special_ids().bos.unwrap();
    let text = "a<|end|>b";
    assert!(!tokenizer.encode(text, Special::Text).contains(&end));
    assert_eq!(tokenizer.encode(text, Special::Parse)[1], end);
    let scaffold = |text| Part { text, special: Special::Parse };
    let caller = |text| Part { text, special: Special::Text };
    let prompt = [scaffold("<|end|>the light"), caller("house <|end|>"), scaffold("<|end|>")];
    let got = tokenizer.encode_parts(&prompt);
    // As if it were one text, but for the token that the caller wrote.
    let mut want = vec![end];
    want.extend(tokenizer.encode("the lighthouse <|end|>", Special::Text));
    want.push(end);
    assert_eq!(got, want);
    // Not even in pieces: a token that only the border would make.
    let split = tokenizer.encode_parts(&[caller("<|en"), scaffold("d|>")]);
    assert!(!split.contains(&end));
}

#[test]
fn ids_around_a_text_are_put_once() {
    let bert = tokenizer("wordpiece.json");
    let wrapped = bert.encode_wrapped("the tide", Special::Text);
    assert_eq!((wrapped[0], wrapped[wrapped.len() - 1]), (TokenId(2), TokenId(3)));
    let llama = tokenizer("fallback.json");
    assert!(llama.adds_bos() && !llama.adds_eos());
    let begin = llama.special_ids().bos.unwrap();
    let ids = llama.encode_wrapped("<s>the tide", Special::Parse);
    assert_eq!(ids.iter().filter(|id| **id == begin).count(), 1);
}

#[test]
fn pieces_are_spelled_as_the_file_spells_them() {
    let bytes = tokenizer("bytes.json");
    for piece in ["Ġthe", "a", "<|end|>", "Ċ"] {
        let id = bytes.find(piece).unwrap();
        assert_eq!(bytes.piece(id), piece);
    }
    assert_eq!(bytes.token_bytes(bytes.find("Ġthe").unwrap()), b" the");
    let fallback = tokenizer("fallback.json");
    let id = fallback.find("<0x0A>").unwrap();
    assert_eq!((fallback.piece(id), fallback.token_bytes(id)), ("<0x0A>".into(), b"\n".to_vec()));
}

#[test]
fn a_stream_shows_characters_when_they_are_whole() {
    let tokenizer = tokenizer("bytes.json");
    let ids = tokenizer.encode("🇫🇷", Special::Text);
    assert!(ids.len() >= 8, "the vocabulary has no flags");
    let mut stream = StreamDecoder::new(Controls::Hide);
    let shown: Vec<String> = ids.iter().map(|&id| stream.push(&tokenizer, id).to_owned()).collect();
    assert_eq!(shown.iter().filter(|piece| !piece.is_empty()).count(), 2, "{shown:?}");
    // Half a character, then the end.
    let mut stream = StreamDecoder::new(Controls::Hide);
    assert_eq!(stream.push(&tokenizer, ids[0]), "");
    assert_eq!(stream.finish(), "\u{FFFD}");
    assert_eq!(stream.finish(), "");
}

#[test]
fn the_first_space_belongs_to_a_text_that_goes_on() {
    let tokenizer = tokenizer("sp-bpe.model");
    let ids = tokenizer.encode("the tide", Special::Text);
    let run = |mut stream: StreamDecoder| {
        ids.iter().map(|&id| stream.push(&tokenizer, id).to_owned()).collect::<String>()
    };
    assert_eq!(run(StreamDecoder::new(Controls::Hide)), "the tide");
    assert_eq!(run(StreamDecoder::continuing(Controls::Hide)), " the tide");
}
