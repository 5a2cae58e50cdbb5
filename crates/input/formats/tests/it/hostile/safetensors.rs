//! safetensors files with one thing wrong.

use super::{Case, Reader::Safetensors as S, case};
use crate::{raw, samples};

pub(super) fn cases() -> Vec<Case> {
    let s = |name, header: &str, want| case(name, S, raw::safetensors(header, 8), want);
    let one = |ty: &str, shape: &str, extent: &str| {
        format!("{{\"a\":{{\"dtype\":\"{ty}\",\"shape\":{shape},\"data_offsets\":{extent}}}}}")
    };
    let a =
        |name, ty: &str, shape: &str, extent: &str, want| s(name, &one(ty, shape, extent), want);
    let two = |a: &str, b: &str| {
        let tensor =
            |extent: &str| format!("{{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":{extent}}}");
        format!("{{\"a\":{},\"b\":{}}}", tensor(a), tensor(b))
    };
    let length = |n: u64| [&n.to_le_bytes()[..], b"{\"a\":1}"].concat();
    let good = "\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]";
    vec![
        case(
            "c1_header_length_all_ones",
            S,
            length(u64::MAX),
            "18446744073709551615 is over the limit of 100000000",
        ),
        case("c1_header_length_over_limit", S, length(100_000_001), "100000001 is over the limit"),
        case(
            "c1_header_longer_than_file",
            S,
            length(8),
            "header at byte 8: needs 8 bytes from there, the file has 7",
        ),
        case("c3_header_length_0", S, length(0), "must be a JSON object"),
        case("c4_length_cut", S, &length(7)[..5], "length of the header at byte 0"),
        s(
            "c4_gap_between_tensors",
            &two("[0,4]", "[5,9]"),
            "must be without a gap, is 1 bytes later",
        ),
        s("c4_gap_at_start", &one("U8", "[7]", "[1,8]"), "start of tensor `a`"),
        s("c4_bytes_behind_last_tensor", &one("U8", "[7]", "[0,7]"), "followed by 1 bytes"),
        s("c4_bytes_without_tensors", "{}", "followed by 8 bytes"),
        s("c10_same_extent_twice", &two("[0,4]", "[0,4]"), "overlaps tensor `a`"),
        s("c4_overlap_by_one", &two("[0,4]", "[3,7]"), "tensor `b` at byte"),
        a("c4_ends_behind_file", "U8", "[9]", "[0,9]", "needs 9 bytes from there, the file has 8"),
        a("c4_end_before_start", "U8", "[8]", "[8,0]", "data_offsets: 0 is before 8"),
        a(
            "c7_size_contradicts_shape",
            "F32",
            "[8]",
            "[0,8]",
            "F32 [8] needs 32 bytes, data_offsets give 8",
        ),
        a("c2_shape_wraps", "F32", "[4294967296,4294967296]", "[0,0]", "no size below 2^64"),
        a("c2_bytes_wrap", "F64", "[2305843009213693953]", "[0,8]", "no size below 2^64"),
        a(
            "c2_offsets_all_ones",
            "U8",
            "[8]",
            "[18446744073709551607,18446744073709551615]",
            "start of tensor `a`",
        ),
        a("c2_offset_beyond_64_bits", "U8", "[8]", "[0,18446744073709551616]", "expected u64"),
        a("c3_negative_dimension", "U8", "[-8]", "[0,8]", "tensor"),
        a("c3_fractional_dimension", "U8", "[8.0]", "[0,8]", "expected u64"),
        a("c3_half_a_byte", "F4", "[15]", "[0,8]", "no size"),
        a("c1_rank_9", "U8", "[1,1,1,1,1,1,1,1,8]", "[0,8]", "more than 8 numbers"),
        a("c4_three_offsets", "U8", "[8]", "[0,4,8]", "more than 2 numbers"),
        a("c4_one_offset", "U8", "[8]", "[8]", "data_offsets must be two numbers"),
        a("c6_type_unknown", "F7", "[8]", "[0,8]", "dtype \"F7\" is no element type"),
        a("c6_type_without_decoder", "F8_E4M3", "[8]", "[0,8]", "tensor `a` has type F8_E4M3"),
        s("c6_type_is_a_number", "{\"a\":{\"dtype\":7}}", "the name of an element type"),
        s(
            "c6_type_missing",
            "{\"a\":{\"shape\":[8],\"data_offsets\":[0,8]}}",
            "tensor `a`: dtype is missing",
        ),
        s(
            "c6_shape_missing",
            "{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,8]}}",
            "shape is missing",
        ),
        s(
            "c6_offsets_missing",
            "{\"a\":{\"dtype\":\"U8\",\"shape\":[8]}}",
            "data_offsets is missing",
        ),
        s(
            "c5_tensor_twice",
            &format!("{{\"a\":{{{good}}},\"a\":{{{good}}}}}"),
            "overlaps tensor `a`",
        ),
        s(
            "c5_empty_tensor_twice",
            "{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]}}",
            "tensor `a` occurs twice",
        ),
        s(
            "c5_field_twice",
            &format!("{{\"a\":{{{good},\"dtype\":\"I8\"}}}}"),
            "a field occurs twice",
        ),
        s(
            "c5_field_unknown",
            &format!("{{\"a\":{{{good},\"exec\":\"x\"}}}}"),
            "unknown field `exec`",
        ),
        s(
            "c5_metadata_twice",
            "{\"__metadata__\":{},\"__metadata__\":{}}",
            "key \"__metadata__\" occurs twice",
        ),
        s(
            "c5_metadata_key_twice",
            "{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}",
            "key \"a\" occurs twice",
        ),
        s("c6_metadata_is_nested", "{\"__metadata__\":{\"a\":{}}}", "expected a string"),
        s("c6_header_is_array", "[1,2,3]", "must be a JSON object"),
        s("c6_space_before_object", " {}", "must be a JSON object"),
        s("c5_polyglot_behind_object", "{}PK", "trailing characters"),
        s(
            "c9_nested_100000_deep",
            &format!("{{\"a\":{}", "[".repeat(100_000)),
            "expected an object with dtype",
        ),
        s("c17_name_not_utf8", "{\"\\ud800\":{}}", "hex escape"),
        s("c17_nul_in_name", &format!("{{\"a\\u0000\":{{{good}}}}}"), r#""a\u{0}" is no name"#),
        s("c17_empty_name", &format!("{{\"\":{{{good}}}}}"), "is no name of a tensor"),
        s(
            "c1_name_over_limit",
            &format!("{{\"{}\":{{{good}}}}}", "n".repeat(256)),
            "256 is over the limit of 255",
        ),
        case(
            "c17_header_not_utf8",
            S,
            [&7u64.to_le_bytes()[..], b"{\"\xff\":1}"].concat(),
            "safetensors header",
        ),
        case(
            "c15_pickle_as_safetensors",
            S,
            &b"\x80\x04\x95\x10\x00\x00\x00\x00"[..],
            "not a safetensors file: it is a Python pickle",
        ),
        case(
            "c15_gguf_as_safetensors",
            S,
            samples::gguf_file(),
            "not a safetensors file: a GGUF model",
        ),
        case("c15_html_as_safetensors", S, &b"<html><head>"[..], "web page"),
    ]
}
