//! NumPy files with one thing wrong.

use super::{Case, Reader::Npy as N, case};
use crate::raw;

pub(super) fn cases() -> Vec<Case> {
    let good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";
    let n = |name, header: &str, want| case(name, N, raw::npy(header, 8), want);
    let descr = |name, descr: &str, want| n(name, &good.replace("'<f4'", descr), want);
    let shape = |name, shape: &str, want| n(name, &good.replace("(2,)", shape), want);
    let file = raw::npy(good, 8);
    let patched = |at: usize, bytes: &[u8]| {
        let mut file = file.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    vec![
        case("c6_version_9", N, patched(6, &[9]), "version 9.0 is not supported"),
        case("c1_header_longer_than_file", N, patched(8, &[255, 255]), "header at byte 10"),
        case(
            "c1_header_over_limit",
            N,
            [&b"\x93NUMPY\x02\x00"[..], &u32::MAX.to_le_bytes()].concat(),
            "4294967295 is over the limit of 65535",
        ),
        case("c4_magic_only", N, &file[..6], "version at byte 6"),
        case(
            "c4_cut_by_one",
            N,
            &file[..file.len() - 1],
            "needs 8 bytes from there, the file has 7",
        ),
        case("c4_bytes_behind_array", N, raw::npy(good, 9), "followed by 1 more"),
        descr("c15_pickled_objects", "'|O'", "pickled objects, which could run code"),
        descr("c15_structure", "[('a', '<f4')]", "no structure"),
        descr("c15_call", "__import__('os')", "a string"),
        descr("c6_big_endian", "'>f4'", "little-endian"),
        descr("c6_text", "'<U4'", "save it as integers, floats or bools"),
        descr("c17_escape_in_string", "'\\x3cf4'", "without escapes"),
        descr("c17_string_not_closed", "'<f4", "descr"),
        shape("c3_negative_dimension", "(-2,)", "a dimension"),
        shape("c2_dimension_beyond_64_bits", "(18446744073709551616,)", "a dimension"),
        shape("c2_shape_wraps", "(4294967296, 4294967296)", "size below 2^64"),
        shape("c2_bytes_wrap", "(4611686018427387906,)", "size below 2^64"),
        shape("c1_rank_9", "(1, 1, 1, 1, 1, 1, 1, 1, 2)", "over the limit of 8"),
        shape("c6_shape_is_a_list", "[2]", "a tuple of dimensions"),
        shape("c6_no_comma", "(1 2)", "the end of the tuple"),
        n("c6_column_order", &good.replace("False", "True"), "ascontiguousarray"),
        n("c6_order_is_a_number", &good.replace("False", "0"), "True or False"),
        n(
            "c5_key_twice",
            &good.replace("'fortran_order': False", "'descr': '<f8'"),
            "key `descr` occurs twice",
        ),
        n("c5_key_unknown", &good.replace("fortran_order", "x"), "descr, fortran_order or shape"),
        n("c6_shape_missing", "{'descr': '<f4', 'fortran_order': False}", "`shape` is missing"),
        n("c6_no_dictionary", "['descr']", "a dictionary"),
        n("c5_text_behind_dictionary", &format!("{good} + 1"), "the end of the header"),
        n("c9_nested", &format!("{{'shape': {}", "(".repeat(10_000)), "a dimension"),
        case(
            "c17_header_not_text",
            N,
            raw::npy_bytes(b"\xff\xfe", 8),
            "header at byte 10: must be text",
        ),
        case("c15_zip_of_arrays", N, &b"PK\x03\x04"[..], "zip archive"),
    ]
}
