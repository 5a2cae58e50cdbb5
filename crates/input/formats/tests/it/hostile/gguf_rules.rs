//! GGUF files that break a rule of the format: extents, repetition, types, versions.

use super::{
    Case, Reader, case,
    gguf::{F32, g},
};
use crate::{raw::Gguf as Raw, samples};

/// Extents, repetition, types, versions and contradictions (C4 to C7).
pub(super) fn rules() -> Vec<Case> {
    let two =
        |a: u64, b: u64| Raw::counts(2, 0).tensor("a", &[16], F32, a).tensor("b", &[16], F32, b);
    let good = samples::gguf_file();
    let header = |version: [u8; 4]| [&b"GGUF"[..], &version, &[0; 16]].concat();
    let gguf = |name, bytes: &[u8], want| case(name, Reader::Gguf, bytes, want);
    vec![
        g("c4_offset_behind_file", two(0, 1 << 20), "offset of tensor `b`"),
        g(
            "c4_tensor_ends_behind_file",
            Raw::counts(1, 0).tensor("a", &[1 << 20], F32, 0),
            "needs 4194304 bytes from there, the file has 256",
        ),
        g(
            "c4_tensor_misses_one_byte",
            Raw::counts(1, 0).tensor("a", &[64], F32, 0).cut(1),
            "needs 256 bytes from there, the file has 255",
        ),
        g("c4_same_extent_twice", two(0, 0), "tensor `b` at byte 96 overlaps tensor `a`"),
        g("c4_overlap_by_half", two(32, 0), "tensor `a` at byte 128 overlaps tensor `b`"),
        g(
            "c4_offset_not_aligned",
            two(0, 68),
            "offset of tensor `b`: must be a multiple of the alignment 32, is 68",
        ),
        gguf("c4_magic_only", b"GGUF", "version at byte 4"),
        gguf("c4_counts_missing", &good[..12], "tensor_count"),
        gguf("c4_cut_in_metadata", &good[..100], "at byte"),
        gguf("c4_cut_in_last_tensor", &good[..good.len() - 160], "tensor `blk.0.k`"),
        g("c5_key_twice", Raw::counts(0, 2).u32("k", 1).u32("k", 1), "key `k` occurs twice"),
        g(
            "c5_key_twice_with_other_type",
            Raw::counts(0, 2).u32("k", 1).key("k", 7).byte(1),
            "key `k` occurs twice",
        ),
        g(
            "c5_alignment_twice",
            Raw::counts(0, 2).u32("general.alignment", 32).u32("general.alignment", 64),
            "occurs twice",
        ),
        g(
            "c5_tensor_twice",
            Raw::counts(2, 0).tensor("a", &[8], F32, 0).tensor("a", &[8], F32, 32),
            "tensor `a` occurs twice",
        ),
        gguf("c6_version_0", &header([0, 0, 0, 0]), "GGUF version 0"),
        gguf("c6_version_1", &header([1, 0, 0, 0]), "convert the model again"),
        gguf(
            "c6_version_4",
            &header([4, 0, 0, 0]),
            "version at byte 4: GGUF version 4 is not supported",
        ),
        gguf("c6_version_of_big_endian", &header([0, 0, 0, 3]), "big-endian"),
        g(
            "c6_value_type_13",
            Raw::counts(0, 1).key("k", 13).zeros(64),
            "type of `k` at byte 33: must be a value type from 0 to 12, is 13",
        ),
        g("c6_value_type_all_ones", Raw::counts(0, 1).key("k", u32::MAX).zeros(64), "type of `k`"),
        g(
            "c6_element_type_13",
            Raw::counts(0, 1).key("k", 9).u32s(&[13]).u64s(&[1]).zeros(64),
            "element type of `k`",
        ),
        g(
            "c9_array_of_arrays",
            Raw::counts(0, 1).key("k", 9).u32s(&[9]).u64s(&[1]).zeros(64),
            "an array of arrays is not supported",
        ),
        g(
            "c6_bool_2",
            Raw::counts(0, 1).key("k", 7).byte(2).zeros(8),
            "`k` at byte 33: must be 0 or 1, is 2",
        ),
        g(
            "c6_bool_255_in_array",
            Raw::counts(0, 1).key("k", 9).u32s(&[7]).u64s(&[2]).byte(1).byte(255),
            "`k`[1] at byte 50: must be 0 or 1, is 255",
        ),
        g(
            "c6_alignment_is_i32",
            Raw::counts(0, 1).key("general.alignment", 5).u32s(&[32]),
            "must be a u32, is i32 32",
        ),
        g(
            "c6_alignment_is_string",
            Raw::counts(0, 1).key("general.alignment", 8).str("32"),
            "must be a u32, is string",
        ),
        g(
            "c6_ggml_type_43",
            Raw::counts(1, 0).tensor("a", &[256], 43, 0),
            "type of tensor `a` at byte 45: must be a ggml type from 0 to 42, is 43",
        ),
        g("c6_ggml_type_all_ones", Raw::counts(1, 0).tensor("a", &[256], u32::MAX, 0), "ggml type"),
        g(
            "c6_type_without_decoder",
            Raw::counts(1, 0).tensor("a", &[256], 16, 0),
            "tensor `a` has type IQ2_XXS, which is not supported",
        ),
        g(
            "c6_type_removed_by_ggml",
            Raw::counts(1, 0).tensor("a", &[32], 31, 0),
            "tensor `a` has type Q4_0_4_4",
        ),
        g(
            "c7_split_number_behind_count",
            Raw::counts(0, 2).u32("split.no", 3).u32("split.count", 3),
            "split.no: must be below 3, is 3",
        ),
        g(
            "c7_split_without_number",
            Raw::counts(0, 1).u32("split.count", 3),
            "`split.no` is missing",
        ),
        g(
            "c7_split_without_tensor_count",
            Raw::counts(0, 2).u32("split.no", 0).u32("split.count", 3),
            "`split.tensors.count` is missing",
        ),
        g(
            "c7_split_of_too_many_files",
            Raw::counts(0, 1).u32("split.count", 100_000),
            "over the limit of 99999",
        ),
        g(
            "c7_split_count_negative",
            Raw::counts(0, 1).key("split.count", 5).u32s(&[u32::MAX]),
            "is i32 -1",
        ),
    ]
}
