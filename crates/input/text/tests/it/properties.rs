//! What holds for every text: round trips, streams, work that stays in bounds.

use ledge_text::{Controls, Part, Special, StreamDecoder, TokenId};
use proptest::prelude::*;

use super::tokenizer;

/// Texts that look like what tokenizers trip over, and any others.
fn texts() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        "\\PC{0,8}",
        "[a-z ]{0,12}",
        "[ \t\r\n]{1,6}",
        "[0-9.,]{1,9}",
        Just("<|end|>".to_owned()),
        Just("light".to_owned()),
        any::<String>(),
    ];
    prop::collection::vec(pieces, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn bytes_come_back_as_they_were(text in texts()) {
        let tokenizer = tokenizer("bytes.json");
        let ids = tokenizer.encode(&text, Special::Text);
        prop_assert_eq!(tokenizer.decode(&ids), text.as_bytes());
        let end = tokenizer.find("<|end|>").unwrap();
        prop_assert!(!ids.contains(&end));
        let parsed = tokenizer.encode(&text, Special::Parse);
        prop_assert_eq!(tokenizer.decode_with(&parsed, Controls::Show), text.as_bytes());
    }

    #[test]
    fn borders_between_parts_of_text_leave_no_trace(text in texts(), cut in any::<prop::sample::Index>()) {
        let tokenizer = tokenizer("bytes.json");
        let mut at = cut.index(text.len() + 1);
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        let (left, right) = text.split_at(at);
        let part = |text| Part { text, special: Special::Text };
        let parts = tokenizer.encode_parts(&[part(left), part(right)]);
        prop_assert_eq!(parts, tokenizer.encode(&text, Special::Text));
    }

    #[test]
    fn a_stream_is_the_whole_in_pieces(
        name in prop::sample::select(vec![
            "bytes.json", "fallback.json", "unigram.json", "wordpiece.json", "pieces.json",
            "sp-bpe.model", "sp-unigram.model",
        ]),
        ids in prop::collection::vec(0_u32..520, 0..40),
        show in any::<bool>(),
    ) {
        let tokenizer = tokenizer(name);
        let ids: Vec<TokenId> = ids.into_iter().map(TokenId).collect();
        let controls = if show { Controls::Show } else { Controls::Hide };
        let whole = tokenizer.decode_with(&ids, controls);
        let mut stream = StreamDecoder::new(controls);
        let mut shown = String::new();
        for &id in &ids {
            shown.push_str(stream.push(&tokenizer, id));
        }
        shown.push_str(stream.finish());
        prop_assert_eq!(shown, String::from_utf8_lossy(&whole));
    }

    #[test]
    fn every_text_has_ids_inside_the_vocabulary(
        name in prop::sample::select(vec![
            "fallback.json", "unigram.json", "wordpiece.json", "pieces.json", "sp-bpe.model",
            "sp-unigram.model",
        ]),
        text in texts(),
    ) {
        let tokenizer = tokenizer(name);
        for special in [Special::Text, Special::Parse] {
            for id in tokenizer.encode(&text, special) {
                prop_assert!(id.index() < tokenizer.n_tokens());
            }
        }
    }
}

#[test]
fn long_runs_of_anything_take_their_time_once() {
    let texts = ["a", " ", "\n", "7", "é", "灯", "e\u{301}", "<|", "👩‍🚀", "\0", "A", "= "];
    for name in ["bytes.json", "fallback.json", "unigram.json", "wordpiece.json", "sp-bpe.model"] {
        let tokenizer = tokenizer(name);
        for text in texts {
            let long = text.repeat(20_000 / text.len());
            // Quadratic work would take minutes here.
            assert!(
                tokenizer.encode(&long, Special::Parse).len() <= long.len() + 8,
                "{name}: {text}"
            );
        }
    }
}
