//! GGUF files whose text or numbers are none, and files that are no GGUF.

use super::{
    Case, Reader, case,
    gguf::{F32, Q8_0, g},
};
use crate::{raw::Gguf as Raw, samples};

/// Text, numbers that are none, and other kinds of files (C13 to C17).
pub(super) fn content() -> Vec<Case> {
    let gguf = |name, bytes: &[u8], want| case(name, Reader::Gguf, bytes, want);
    let strings = |parts: &[&[u8]]| {
        let raw = Raw::counts(0, 1).key("k", 9).u32s(&[8]).u64s(&[parts.len() as u64]);
        parts.iter().fold(raw, |raw, part| raw.u64s(&[part.len() as u64]).raw(part))
    };
    let float = |bits: u32| Raw::counts(0, 1).key("f32", 6).u32s(&[bits]);
    vec![
        g(
            "c13_escape_sequence_in_key",
            Raw::counts(0, 1).u32("a\x1b[2Jb", 1),
            r#"is "a\u{1b}[2Jb""#,
        ),
        g(
            "c13_right_to_left_in_tensor_name",
            Raw::counts(1, 0).tensor("a\u{202e}b", &[33], Q8_0, 0),
            r"`a\u{202e}b`",
        ),
        g("c17_nul_in_key", Raw::counts(0, 1).u32("a\0b", 1), "without control characters"),
        g("c17_empty_key", Raw::counts(0, 1).u32("", 1), "key 0 at byte 24"),
        g(
            "c17_key_not_utf8",
            Raw::counts(0, 1).u64s(&[2]).raw(b"\xff\xfe").u32s(&[4, 1]),
            "key 0 at byte 24: must be UTF-8 text",
        ),
        g(
            "c17_string_not_utf8",
            Raw::counts(0, 1).key("k", 8).u64s(&[2]).raw(b"\xc0\x80"),
            "`k` at byte 37: must be UTF-8 text",
        ),
        g(
            "c17_string_with_surrogate",
            Raw::counts(0, 1).key("k", 8).u64s(&[3]).raw(b"\xed\xa0\x80"),
            "`k` at byte",
        ),
        g("c17_token_not_utf8", strings(&[b"a", b"\xff", b"b"]), "`k`[1] at byte"),
        g("c17_tokens_cut_a_character", strings(&[b"a", b"\xe6\x97", b"\xa5"]), "`k`[1] at byte"),
        g("c17_last_token_is_half_a_character", strings(&[b"a", b"\xe6\x97"]), "`k`[1] at byte"),
        g(
            "c17_nul_in_tensor_name",
            Raw::counts(1, 0).tensor("a\0", &[8], F32, 0),
            "name of tensor 0",
        ),
        g("c17_empty_tensor_name", Raw::counts(1, 0).tensor("", &[8], F32, 0), "name of tensor 0"),
        g(
            "c17_tensor_name_not_utf8",
            Raw::counts(1, 0).u64s(&[1]).raw(b"\xff").zeros(64),
            "must be UTF-8 text",
        ),
        g("c16_nan", float(0x7fc0_0000), "key `f32`: must be a finite f32, is f32 NaN"),
        g("c16_infinity", float(0x7f80_0000), "is f32 inf"),
        g(
            "c16_double_too_large",
            Raw::counts(0, 1).key("f32", 12).u64s(&[1e300f64.to_bits()]),
            "must be a finite f32",
        ),
        g(
            "c16_nan_in_array",
            Raw::counts(0, 1).key("scores", 9).u32s(&[6]).u64s(&[2]).u32s(&[0, 0xffc0_0000]),
            "key `scores`",
        ),
        gguf("c15_pickle", b"\x80\x02}q\x00X\x01", "Python pickle, which could run code"),
        gguf("c15_zip", b"PK\x03\x04\x00\x00\x08\x08", "zip archive"),
        gguf("c15_html", b"\n <!DOCTYPE html><html>", "web page"),
        gguf(
            "c15_lfs_pointer",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
            "git lfs pull",
        ),
        gguf("c15_gzip", b"\x1f\x8b\x08\x00", "gzip"),
        gguf("c15_empty", b"", "empty"),
        gguf("c15_zeros", &[0; 64], "zeros"),
        gguf(
            "c15_safetensors",
            &samples::safetensors_file(),
            "not a GGUF file: a safetensors file",
        ),
        gguf("c15_old_ggml", b"tjgg\x03\x00\x00\x00", "before GGUF"),
        gguf("c15_other", b"hello", "no known format"),
    ]
}
