//! Files made to break the reader: each gives an error that names the place, none a panic.

use std::fs;

use ledge_text::{SourceIds, Special, TOKEN_BYTES_MAX, TokenId, Tokenizer, VocabularySource};

use super::golden;

fn bpe<'a>() -> VocabularySource<'a> {
    VocabularySource {
        model: "gpt2",
        pre: Some("gpt-2"),
        tokens: vec!["a", "b", "ab", "<s>"],
        types: Some(&[1, 1, 1, 3]),
        merges: Some(vec!["a b"]),
        ..VocabularySource::default()
    }
}

fn llama<'a>() -> VocabularySource<'a> {
    VocabularySource {
        model: "llama",
        tokens: vec!["<unk>", "<s>", "</s>", "a", "b", "ab", "▁"],
        types: Some(&[2, 3, 3, 1, 1, 1, 1]),
        scores: Some(&[0.0, 0.0, 0.0, -1.0, -2.0, -3.0, -4.0]),
        ..VocabularySource::default()
    }
}

#[test]
fn vocabularies_of_gguf_that_contradict_themselves_are_refused() {
    let long = "x".repeat(TOKEN_BYTES_MAX + 1);
    let ids = |ids: SourceIds| VocabularySource { ids, ..bpe() };
    let none = SourceIds::default();
    let cases: Vec<(VocabularySource<'_>, &str)> = vec![
        (VocabularySource { model: "rwkv7", ..bpe() }, "tokenizer model `rwkv7` is not known"),
        (VocabularySource { model: "", ..bpe() }, "tokenizer model `` is not known"),
        (
            VocabularySource { pre: Some("klingon"), ..bpe() },
            "pre-tokenizer `klingon` is not known",
        ),
        (VocabularySource { tokens: vec![], ..bpe() }, "`tokenizer.ggml.tokens` is missing"),
        (VocabularySource { merges: None, ..bpe() }, "`tokenizer.ggml.merges` is missing"),
        (VocabularySource { scores: None, ..llama() }, "`tokenizer.ggml.scores` is missing"),
        (
            VocabularySource { types: Some(&[1, 1]), ..bpe() },
            "`tokenizer.ggml.token_type` has 2 entries, the vocabulary has 4 tokens",
        ),
        (
            VocabularySource { scores: Some(&[0.0; 9]), ..llama() },
            "`tokenizer.ggml.scores` has 9 entries, the vocabulary has 7 tokens",
        ),
        (
            VocabularySource {
                scores: Some(&[0.0, 0.0, 0.0, f32::NAN, -2.0, -3.0, -4.0]),
                ..llama()
            },
            "score of token 3 is NaN",
        ),
        (
            VocabularySource { tokens: vec!["a", "b", "a", "<s>"], ..bpe() },
            "token `a` has the ids 0 and 2",
        ),
        (
            VocabularySource {
                tokens: vec!["<s>", "b", "a", "<s>"],
                types: Some(&[3, 1, 1, 3]),
                ..bpe()
            },
            "token `<s>` has the ids 0 and 3",
        ),
        (
            VocabularySource { tokens: vec!["a", "b", &long, "<s>"], ..bpe() },
            "bytes in a token: 65537, the limit is 65536",
        ),
        (
            ids(SourceIds { bos: Some(4), ..none }),
            "`bos_token_id` is 4, the vocabulary has 4 tokens",
        ),
        (ids(SourceIds { eos: Some(1 << 31), ..none }), "`eos_token_id` is 2147483648"),
        (
            VocabularySource { add_bos: Some(true), ..bpe() },
            "`tokenizer.ggml.bos_token_id` is missing",
        ),
        (
            VocabularySource { pattern: Some("(?<=a)"), ..bpe() },
            "this kind of group is not supported",
        ),
        (
            VocabularySource { model: "t5", charsmap: Some(&[255, 255, 255, 255, 0]), ..llama() },
            "precompiled charsmap: the length is wrong at byte 0",
        ),
        (
            VocabularySource { model: "t5", charsmap: Some(&[1, 2]), ..llama() },
            "precompiled charsmap: no length at byte 0",
        ),
        (
            VocabularySource {
                model: "t5",
                charsmap: Some(&[4, 0, 0, 0, 1, 2, 3, 4, 0xFF]),
                ..llama()
            },
            "precompiled charsmap: a replacement is no UTF-8 at byte 8",
        ),
    ];
    for (source, want) in cases {
        let error = Tokenizer::from_gguf(&source).expect_err(want).to_string();
        assert!(error.contains(want), "{error}, wanted {want}");
    }
}

#[test]
fn odd_vocabularies_still_work() {
    // Merges in a circle, of unknown tokens, of nothing, twice; a byte without a token.
    let merges = vec!["a b", "ab a", "a ab", "b a", "zz q", "", " ", "a", "a b", "ab ab"];
    let source = VocabularySource {
        tokens: vec!["a", "b", "ab", "aba", "aab", "ba", "<s>"],
        types: None,
        merges: Some(merges),
        ids: SourceIds { padding: Some(u32::MAX), ..SourceIds::default() },
        ..bpe()
    };
    let tokenizer = Tokenizer::from_gguf(&source).unwrap();
    assert_eq!(tokenizer.special_ids().padding, None);
    assert_eq!(tokenizer.decode(&tokenizer.encode("abaab?ab", Special::Parse)), b"abaabab");
    // Ids beyond the vocabulary write nothing.
    assert_eq!(tokenizer.decode(&[TokenId(0), TokenId(u32::MAX), TokenId(7)]), b"a");
    assert_eq!(tokenizer.piece(TokenId(999)), "");
    // A table of replacements full of ones replaces nothing and ends.
    let map = [vec![16, 0, 0, 0], vec![255; 16], b"x\0y\0".to_vec()].concat();
    let source = VocabularySource { model: "t5", charsmap: Some(&map), ..llama() };
    let tokenizer = Tokenizer::from_gguf(&source).unwrap();
    assert_eq!(tokenizer.encode("ab", Special::Text), [TokenId(5)]);
    // No token of bytes, no unknown token: nothing is left of what is not known.
    let source = VocabularySource {
        tokens: vec!["x", "<s>", "</s>", "a", "b", "ab", "▁"],
        ids: SourceIds { unknown: Some(u32::MAX), ..SourceIds::default() },
        ..llama()
    };
    let tokenizer = Tokenizer::from_gguf(&source).unwrap();
    assert_eq!(tokenizer.decode(&tokenizer.encode("aéb", Special::Text)), b"ab");
}

#[test]
fn json_that_is_no_tokenizer_is_refused() {
    let model = |model: &str| format!(r#"{{"model":{model}}}"#);
    let with = |part: &str| {
        format!(r#"{{"model":{{"type":"BPE","vocab":{{"a":0}},"merges":[]}},{part}}}"#)
    };
    let nested = format!(
        r#"{}{{"type":"NFC"}}{}"#,
        r#"{"type":"Sequence","normalizers":["#.repeat(20),
        "]}".repeat(20)
    );
    let cases = [
        (String::new(), "EOF while parsing"),
        ("<!DOCTYPE html>".into(), "expected value at line 1"),
        ("[]".into(), "tokenizer.json: "),
        ("{}".into(), "missing field `model`"),
        (model("{}"), "missing field `vocab`"),
        (model(r#"{"type":"BPE","vocab":{},"merges":[]}"#), "`model.vocab` is missing"),
        (model(r#"{"type":"Neural","vocab":{"a":0}}"#), "tokenizer model `Neural` is not known"),
        (model(r#"{"type":"BPE","vocab":{"a":-1},"merges":[]}"#), "invalid value"),
        (model(r#"{"type":"BPE","vocab":{"a":4294967295},"merges":[]}"#), "the limit is 4194304"),
        (
            model(r#"{"type":"BPE","vocab":{"a":4194303},"merges":[]}"#),
            "ids without a token: 4194303, the limit is 65536",
        ),
        (format!(r#"{{"model":"{}"}}"#, "x".repeat(10_000)), "xxx… at line 1 column"),
        (model(r#"{"type":"BPE","vocab":{"a":0,"b":0},"merges":[]}"#), "has the ids 0 and 0"),
        (
            model(r#"{"type":"BPE","vocab":{"a":0,"a":1},"merges":[]}"#),
            "token `a` has the ids 0 and 1",
        ),
        (model(r#"{"type":"BPE","vocab":{"a":0},"merges":[["a"]]}"#), "fewer than two tokens"),
        (model(r#"{"type":"BPE","vocab":{"a":0},"vocab":{"a":0}}"#), "duplicate field `vocab`"),
        (model(r#"{"type":"Unigram","vocab":[["a",0.0]],"unk_id":7}"#), "`model.unk_id` is 7"),
        (model(r#"{"type":"Unigram","vocab":[["a",0.0]]}"#), "`model.unk_id` is missing"),
        (model(r#"{"type":"Unigram","vocab":[["a",1e999]],"unk_id":0}"#), "out of range"),
        (
            model(r#"{"type":"WordPiece","vocab":{"a":0},"unk_token":"[UNK]"}"#),
            "`model.unk_token` is missing",
        ),
        (with(r#""normalizer":{"type":"Rot13"}"#), "normalizer: `Rot13` is not supported"),
        (
            with(r#""pre_tokenizer":{"type":"UnicodeScripts"}"#),
            "pre_tokenizer: `UnicodeScripts` is not",
        ),
        (with(r#""decoder":{"type":"CTC"}"#), "decoder: `CTC` is not supported"),
        (
            with(r#""post_processor":{"type":"BertProcessing","cls":["x",9],"sep":["y",0]}"#),
            "is 9, the vocabulary has 1",
        ),
        (with(&format!(r#""normalizer":{nested}"#)), "nested sequences: 9, the limit is 8"),
        (
            with(r#""normalizer":{"type":"Precompiled","precompiled_charsmap":"?"}"#),
            "precompiled_charsmap: no base64 at byte 0",
        ),
        (
            with(
                r#""pre_tokenizer":{"type":"Split","pattern":{"Regex":"(a*)*"},"behavior":"Isolated"}"#,
            ),
            "a repetition of what may be nothing",
        ),
        (with(r#""added_tokens":[{"id":0,"content":"b"}]"#), "token `b` has the ids 0 and 0"),
        (
            with(&format!(r#""normalizer":{{"type":"Prepend","prepend":"{}"}}"#, "x".repeat(65))),
            "bytes that a normalizer puts in: 65, the limit is 64",
        ),
        ("[".repeat(100_000), "tokenizer.json: "),
        (
            with("\"normalizer\":{\"type\":\"NFC\u{7f}\"}"),
            "normalizer: `NFC\\u{7f}` is not supported",
        ),
        (model(r#"{"type":"\u001b[2J","vocab":{"a":0}}"#), "model `\\u{1b}[2J` is not known"),
    ];
    for (file, want) in cases {
        let error = Tokenizer::from_tokenizer_json(file.as_bytes()).expect_err(want).to_string();
        assert!(error.contains(want), "{error}, wanted {want}");
        assert!(!error.contains(char::is_control), "{error:?}");
    }
}

#[test]
fn chains_of_replacements_are_no_bombs() {
    let steps: Vec<String> = (0..40)
        .map(|_| r#"{"type":"Replace","pattern":{"String":"a"},"content":"aaaaaaaa"}"#.to_owned())
        .collect();
    let file = format!(
        r#"{{"normalizer":{{"type":"Sequence","normalizers":[{}]}},
            "model":{{"type":"BPE","vocab":{{"a":0}},"merges":[]}}}}"#,
        steps.join(",")
    );
    let tokenizer = Tokenizer::from_tokenizer_json(file.as_bytes()).unwrap();
    let ids = tokenizer.encode(&"a".repeat(100), Special::Text);
    assert!(ids.len() < 100 * 64 + 8192, "{}", ids.len());
}

#[test]
fn broken_sentencepiece_models_name_the_byte() {
    let cases: [(&[u8], &str); 7] = [
        (b"", "`tokenizer.model: pieces` is missing"),
        (b"<html>", "unknown wire type"),
        (&[0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F], "a field is longer than the file at byte 6"),
        (&[0x0A, 0x03, 0x0A, 0x01, 0xFF], "a piece is no UTF-8 at byte 4"),
        (&[0x0A, 0x05, 0x0A, 0x01, b'a', 0x18, 0x63], "a piece of unknown type at byte 2"),
        (&[0x80; 11], "a number of more than ten bytes"),
        (
            &[0x0A, 0x03, 0x0A, 0x01, b'a', 0x12, 0x03, 0xC0, 0x02, 0x07],
            "`unk_id` is 7, the vocabulary has 1 tokens",
        ),
    ];
    for (bytes, want) in cases {
        let error = Tokenizer::from_sentencepiece(bytes).expect_err(want).to_string();
        assert!(error.contains(want), "{error}, wanted {want}");
    }
}

/// Every file cut short, and with every so many bytes changed, gives a tokenizer or an error.
#[test]
fn damaged_files_never_panic() {
    for name in ["bytes.json", "unigram.json", "sp-bpe.model", "sp-unigram.model"] {
        let whole = fs::read(golden(name)).unwrap();
        let read = |bytes: &[u8]| {
            if let Ok(tokenizer) = super::read(name, bytes) {
                let ids = tokenizer.encode("The tide, light ﬁn é <|end|>\u{3000}x", Special::Parse);
                assert!(ids.iter().all(|id| id.index() < tokenizer.n_tokens()), "{name}");
                tokenizer.decode(&ids);
            }
        };
        for cut in (0..whole.len()).step_by(whole.len() / 40 + 1) {
            read(&whole[..cut]);
        }
        for (round, at) in (0..whole.len()).step_by(whole.len() / 150 + 1).enumerate() {
            let mut damaged = whole.clone();
            damaged[at] ^= [0x01, 0x80, 0xFF, 0x20][round % 4];
            read(&damaged);
        }
    }
}
