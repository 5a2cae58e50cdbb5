//! GGUF files with wrong sizes, and the constants of all GGUF cases.

use super::{Case, Reader, case};
use crate::raw::Gguf as Raw;

pub(super) const F32: u32 = 0;
pub(super) const Q8_0: u32 = 8;

/// A GGUF file, finished from its builder.
pub(super) fn g(name: &'static str, raw: Raw, want: &'static str) -> Case {
    case(name, Reader::Gguf, raw.bytes(), want)
}

/// Counts, lengths and sizes (C1, C2, C3).
pub(super) fn sizes() -> Vec<Case> {
    const MAX: u64 = u64::MAX;
    let far = |case: Case| Case { file: Some(1 << 50), ..case };
    vec![
        g("c1_tensor_count_all_ones", Raw::counts(MAX, 0), "tensor_count at byte"),
        g("c1_tensor_count_2_63", Raw::counts(1 << 63, 0), "needs 18446744073709551615 bytes"),
        g(
            "c1_tensor_count_one_too_many",
            Raw::counts(2, 0).tensor("a", &[8], F32, 0),
            "name of tensor 1",
        ),
        far(g(
            "c1_tensor_count_over_limit",
            Raw::counts(262_145, 0),
            "262145 is over the limit of 262144",
        )),
        g("c1_key_count_all_ones", Raw::counts(0, MAX), "metadata_kv_count at byte"),
        g("c1_key_count_2_32", Raw::counts(0, 1 << 32), "metadata_kv_count"),
        g("c1_key_count_one_too_many", Raw::counts(0, 2).u32("k", 1), "metadata_kv_count"),
        far(g(
            "c10_key_count_over_limit",
            Raw::counts(0, 65_537),
            "65537 is over the limit of 65536",
        )),
        g("c1_key_length_all_ones", Raw::counts(0, 1).u64s(&[MAX]).zeros(64), "key 0 at byte 32"),
        g("c1_key_length_2_63", Raw::counts(0, 1).u64s(&[1 << 63]).zeros(64), "key 0"),
        far(g(
            "c1_key_length_over_limit",
            Raw::counts(0, 1).u64s(&[65_536]).zeros(64),
            "65536 is over the limit of 65535",
        )),
        g(
            "c1_string_length_all_ones",
            Raw::counts(0, 1).key("k", 8).u64s(&[MAX]).zeros(64),
            "`k` at byte",
        ),
        g(
            "c1_string_length_one_too_long",
            Raw::counts(0, 1).key("k", 8).u64s(&[65]).zeros(64),
            "needs 65 bytes from there, the file has 64",
        ),
        far(g(
            "c1_string_length_over_limit",
            Raw::counts(0, 1).key("k", 8).u64s(&[(16 << 20) + 1]),
            "over the limit of 16777216",
        )),
        g(
            "c1_array_length_all_ones",
            Raw::counts(0, 1).key("k", 9).u32s(&[0]).u64s(&[MAX]).zeros(64),
            "length of `k`",
        ),
        g(
            "c2_array_length_times_8_wraps_to_64",
            Raw::counts(0, 1).key("k", 9).u32s(&[12]).u64s(&[(1 << 61) + 8]).zeros(64),
            "length of `k`",
        ),
        g(
            "c1_array_of_strings_2_60",
            Raw::counts(0, 1).key("k", 9).u32s(&[8]).u64s(&[1 << 60]).zeros(64),
            "length of `k`",
        ),
        g(
            "c1_array_of_strings_too_short",
            Raw::counts(0, 1).key("k", 9).u32s(&[8]).u64s(&[2, 40]).zeros(40),
            "`k`[1]",
        ),
        far(g(
            "c1_array_over_metadata_limit",
            Raw::counts(0, 1).key("k", 9).u32s(&[12]).u64s(&[1 << 26]),
            "over the limit of 268435456",
        )),
        g(
            "c1_tensor_name_length_2_40",
            Raw::counts(1, 0).u64s(&[1 << 40]).zeros(64),
            "name of tensor 0",
        ),
        g(
            "c1_tensor_name_over_limit",
            Raw::counts(1, 0).tensor(&"n".repeat(256), &[8], F32, 0),
            "256 is over the limit of 255",
        ),
        g(
            "c1_rank_5",
            Raw::counts(1, 0).tensor("a", &[1, 1, 1, 1, 1], F32, 0),
            "5 is over the limit of 4",
        ),
        g(
            "c1_rank_all_ones",
            Raw::counts(1, 0).str("a").u32s(&[u32::MAX]).zeros(64),
            "number of dimensions of tensor `a`",
        ),
        g(
            "c2_elements_wrap_to_zero",
            Raw::counts(1, 0).tensor("a", &[1 << 32, 1 << 32], F32, 0),
            "shape of tensor `a`",
        ),
        g(
            "c2_elements_wrap_to_8",
            Raw::counts(1, 0).tensor("a", &[8, (1 << 61) + 1], F32, 0),
            "size below 2^64",
        ),
        g(
            "c2_bytes_wrap",
            Raw::counts(1, 0).tensor("a", &[(1 << 62) + 8], F32, 0),
            "size below 2^64",
        ),
        g(
            "c2_blocks_wrap",
            Raw::counts(1, 0).tensor("a", &[1 << 63, 2], Q8_0, 0),
            "size below 2^64",
        ),
        g(
            "c2_four_dims_wrap",
            Raw::counts(1, 0).tensor("a", &[1 << 16, 1 << 16, 1 << 16, 1 << 16], F32, 0),
            "size below 2^64",
        ),
        g("c2_dim_minus_one", Raw::counts(1, 0).tensor("a", &[MAX], F32, 0), "size below 2^64"),
        g(
            "c2_offset_plus_start_wraps",
            Raw::counts(1, 0).tensor("a", &[8], F32, MAX - 31),
            "offset of tensor `a`",
        ),
        g(
            "c2_offset_plus_size_wraps",
            Raw::counts(1, 0).tensor("a", &[(MAX - 3) / 4], F32, 32),
            "tensor `a` at byte",
        ),
        g(
            "c3_zero_dimension",
            Raw::counts(1, 0).tensor("a", &[4, 0], F32, 0),
            "dimension 1 of tensor `a` at byte",
        ),
        g(
            "c3_zero_dimension_of_blocks",
            Raw::counts(1, 0).tensor("a", &[0], Q8_0, 0),
            "must be at least 1, is 0",
        ),
        g(
            "c3_row_is_no_whole_block",
            Raw::counts(1, 0).tensor("a", &[33, 2], Q8_0, 0),
            "rows of whole blocks of 32",
        ),
        g(
            "c3_row_shorter_than_superblock",
            Raw::counts(1, 0).tensor("a", &[128, 2], 12, 0),
            "rows of whole blocks of 256",
        ),
        g(
            "c3_alignment_0",
            Raw::counts(0, 1).u32("general.alignment", 0),
            "must be a power of two, is 0",
        ),
        g(
            "c3_alignment_3",
            Raw::counts(0, 1).u32("general.alignment", 3),
            "must be a power of two, is 3",
        ),
        g(
            "c2_alignment_2_31",
            Raw::counts(0, 1).u32("general.alignment", 1 << 31),
            "over the limit of 1048576",
        ),
    ]
}
