//! TFLite files with one thing wrong: offsets, vectors, indices, types, paths and sparse lists.

use super::{Case, Reader, case};
use crate::raw::Flat;

fn new() -> Flat {
    Flat::default()
}

/// A buffer with these bytes.
fn buffer(bytes: &[u8]) -> Flat {
    new().bytes(0, bytes)
}

/// A float tensor.
fn tensor(shape: &[i32]) -> Flat {
    new().ints(0, shape).int(2, 0).bytes(3, "t")
}

/// A constant of four bytes times three values.
fn constant(shape: &[i32]) -> Flat {
    tensor(shape).int(2, 1)
}

fn operator() -> Flat {
    new().int(0, 0).ints(1, &[0]).ints(2, &[0])
}

fn graph(tensors: &[Flat], operators: &[Flat]) -> Flat {
    new().tables(0, tensors).ints(1, &[0]).ints(2, &[0]).tables(3, operators)
}

/// A good model of one graph: `CONV_2D` codes, an empty buffer and one of twelve bytes.
fn model(graph: Flat) -> Flat {
    new()
        .int(0, 3)
        .tables(1, &[new().byte(0, 3)])
        .tables(2, &[graph])
        .tables(4, &[new(), buffer(&[1; 12])])
}

fn with_tensor(tensor: Flat) -> Flat {
    model(graph(&[tensor], &[]))
}

fn with_operator(operator: Flat) -> Flat {
    model(graph(&[tensor(&[1])], &[operator]))
}

fn f(name: &'static str, file: &Flat, want: &'static str) -> Case {
    case(name, Reader::Tflite, file.file(), want)
}

/// Offsets, vectors and the model's head (C1, C2, C6, C10).
pub(super) fn structure() -> Vec<Case> {
    let raw = |name, bytes: &[u8], want| case(name, Reader::Tflite, bytes, want);
    let good = with_tensor(tensor(&[1])).file();
    // The root stands behind its offsets: four bytes of head, two for each of five fields.
    let patched = |name, at: usize, bytes: &[u8], want| {
        let mut file = good.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        case(name, Reader::Tflite, file, want)
    };
    vec![
        raw("c6_empty", b"", "the file is empty"),
        raw("c6_web_page", b"<html>", "web page"),
        raw("c1_root_cut", b"\x08\0\0", "needs 4 bytes"),
        patched("c1_root_behind_file", 0, &[0xff; 4], "Model at byte 4294967295"),
        patched(
            "c1_root_at_last_byte",
            0,
            &[u8::try_from(good.len() - 1).unwrap_or(255), 0, 0, 0],
            "a table within the file",
        ),
        patched("c2_fields_before_file", 22, &[0xff, 0xff, 0xff, 0x7f], "a table within the file"),
        patched("c2_fields_behind_file", 22, &[0, 0, 0, 0x80], "a table within the file"),
        patched("c1_fields_longer_than_file", 8, &[0xff, 0xff], "a table within the file"),
        patched("c3_fields_of_two_bytes", 8, &[2, 0], "a table within the file"),
        patched("c1_table_longer_than_file", 10, &[0xff, 0xff], "a table within the file"),
        patched("c3_table_of_two_bytes", 10, &[2, 0], "a table within the file"),
        patched("c1_field_behind_table", 12, &[0xff, 0x7f], "within its table"),
        patched("c7_field_in_head", 12, &[2, 0], "within its table"),
        f("c6_version_missing", &new().tables(2, &[graph(&[], &[])]), "version 0 is not supported"),
        f("c6_version_4", &model(graph(&[], &[])).int(0, 4), "version 4"),
        f("c7_no_graph", &model(new()).tables(2, &[]), "subgraphs of Model"),
        f(
            "c1_graphs_all_ones",
            &model(new()).claim(2, 0xffff_ffff, &[]),
            "elements within the file",
        ),
        f(
            "c1_graphs_one_too_many",
            &model(new()).claim(2, 64, &[0; 16]),
            "elements within the file",
        ),
        f("c3_graph_offset_0", &model(new()).claim(2, 1, &[0; 4]), "an offset into the file"),
        f("c1_graph_offset_all_ones", &model(new()).claim(2, 1, &[0xff; 4]), "SubGraph 0 at byte"),
        f("c1_vector_offset_behind_file", &model(new()).int(2, 1 << 30), "field 2 of Model"),
        f("c3_vector_offset_0", &model(new()).int(2, 0), "an offset into the file"),
        f(
            "c17_description_behind_file",
            &model(graph(&[tensor(&[1])], &[])).int(3, 1 << 24),
            "field 3 of Model",
        ),
        f(
            "c10_one_tensor_a_million_times",
            &model(new().same(0, tensor(&[1]), 1 << 20)),
            "memory for the file's tables",
        ),
        f(
            "c10_operators_over_limit",
            &model(new().tables(0, &[tensor(&[1])]).same(3, operator(), (1 << 20) + 1)),
            "1048577 is over the limit",
        ),
        f(
            "c10_one_list_for_many_operators",
            &model(new().tables(0, &[tensor(&[1])]).same(3, operator().ints(1, &[0; 4000]), 4000)),
            "memory for the file's tables",
        ),
    ]
}

/// Tensors, buffers and quantisation (C1, C2, C6, C7, C14, C17).
pub(super) fn tensors() -> Vec<Case> {
    let t = |name, tensor, want| f(name, &with_tensor(tensor), want);
    let quantized = |parameters| tensor(&[1]).table(4, parameters);
    let with_buffer = |buffer| with_tensor(tensor(&[1])).tables(4, &[new(), buffer]);
    let outside = |tensor: Flat, group: &str, buffer: Flat| {
        with_tensor(tensor).tables(8, &[new().bytes(0, group)]).tables(9, &[buffer])
    };
    let range = || new().int(0, 7).long(2, 64).long(3, 4);
    vec![
        t("c6_type_23", tensor(&[1]).byte(1, 23), "type of tensor `t`"),
        t("c6_type_negative", tensor(&[1]).byte(1, 0xff), "element type -1"),
        t("c2_shape_negative", tensor(&[2, -1]), "must be 0 or higher, is -1"),
        t("c2_shape_wraps", tensor(&[i32::MAX; 5]), "must be at most 1099511627776 elements"),
        t("c1_rank_17", tensor(&[1; 17]), "17 is over the limit of 16"),
        t(
            "c7_signature_of_other_rank",
            tensor(&[1]).ints(7, &[-1, 1]),
            "of 1 dimensions, as the shape",
        ),
        t("c2_signature_minus_2", tensor(&[1]).ints(7, &[-2]), "must be -1 or higher"),
        t("c1_buffer_2", tensor(&[1]).int(2, 2), "must be one of 2 buffers, is 2"),
        t("c1_buffer_all_ones", tensor(&[1]).int(2, -1), "is 4294967295"),
        t("c1_4_gib_of_12_bytes", constant(&[1 << 30]), "must be 4294967296 bytes"),
        t("c1_constant_too_short", constant(&[4]), "16 bytes, as float32 [4] needs, is 12 bytes"),
        t("c7_constant_too_long", constant(&[2]), "must be 8 bytes"),
        t("c17_name_no_utf8", tensor(&[1]).bytes(3, b"\xff"), "must be UTF-8 text"),
        t("c1_name_too_long", tensor(&[1]).bytes(3, vec![b'n'; 4097]), "4097 is over the limit"),
        t(
            "c1_name_longer_than_file",
            tensor(&[1]).claim(3, 1 << 30, b"x"),
            "elements within the file",
        ),
        t("c13_control_in_name", tensor(&[-1]).bytes(3, "\x1b[2J"), "`\\u{1b}[2J`"),
        t("c7_dimension_negative", quantized(new().int(6, -1)), "quantized_dimension"),
        t("c6_details_4", quantized(new().byte(4, 4)), "kind 4 is not supported"),
        t(
            "c1_scales_longer_than_file",
            quantized(new().claim(2, 1 << 30, &[0; 4])),
            "1073741824 of 4 bytes",
        ),
        t("c2_zero_points_wrap", quantized(new().claim(3, (1 << 29) + 1, &[0; 8])), "of 8 bytes"),
        f(
            "c1_buffer_behind_file",
            &with_buffer(new().long(1, 1 << 40).long(2, 4)),
            "needs 4 bytes from there",
        ),
        f("c1_buffer_too_long", &with_buffer(new().long(1, 8).long(2, 1 << 20)), "bytes of Buffer"),
        f("c2_buffer_wraps", &with_buffer(new().long(1, u64::MAX).long(2, 2)), "bytes of Buffer"),
        f("c14_group_parent", &outside(tensor(&[1]), "../w", range()), "without `.` and `..`"),
        f("c14_group_absolute", &outside(tensor(&[1]), "/w", range()), "absolute"),
        f(
            "c3_external_id_0",
            &outside(tensor(&[1]), "w", range().int(0, 0)),
            "id of ExternalBuffer",
        ),
        f("c1_external_group_1", &outside(tensor(&[1]), "w", range().int(1, 1)), "one of 1 groups"),
        f(
            "c2_external_wraps",
            &outside(tensor(&[1]), "w", range().long(2, u64::MAX)),
            "below 2^64",
        ),
        f(
            "c7_external_unknown",
            &outside(tensor(&[1]).int(10, 8), "w", range()),
            "external_buffer of tensor",
        ),
        f(
            "c7_external_of_other_size",
            &outside(tensor(&[2]).int(10, 7), "w", range()),
            "must be 8 bytes",
        ),
        f(
            "c5_external_id_twice",
            &outside(tensor(&[1]), "w", range()).tables(9, &[range(), range()]),
            "external buffer `7` occurs twice",
        ),
    ]
}

/// Operators, signatures, metadata and settings (C1, C6, C7).
pub(super) fn operators() -> Vec<Case> {
    let p = |name, operator, want| f(name, &with_operator(operator), want);
    let settings = |kind, table| operator().byte(3, kind).table(4, table);
    let good = || with_tensor(tensor(&[1]));
    let named = |idx| new().bytes(0, "n").int(1, idx);
    vec![
        p("c1_code_1", operator().int(0, 1), "must be one of 1 operator codes"),
        p("c1_input_1", operator().ints(1, &[1]), "must be one of 1 tensors, is 1"),
        p("c1_input_minus_2", operator().ints(1, &[-2]), "is -2"),
        p("c1_output_minimum", operator().ints(2, &[i32::MIN]), "outputs of Operator"),
        p("c1_intermediate_9", operator().ints(8, &[9]), "intermediates of Operator"),
        p(
            "c1_inputs_longer_than_file",
            operator().claim(1, 1 << 29, &[0; 4]),
            "536870912 of 4 bytes",
        ),
        p(
            "c1_custom_options_behind_file",
            operator().long(9, 1 << 50).long(10, 1),
            "large_custom_options",
        ),
        p(
            "c2_custom_options_wrap",
            operator().long(9, u64::MAX).long(10, u64::MAX),
            "large_custom_options",
        ),
        p("c7_options_of_another", settings(8, new()), "must be Conv2d, is kind 8"),
        p("c6_padding_2", settings(1, new().byte(0, 2)), "code 2 is not supported"),
        p("c6_activation_6", settings(1, new().byte(3, 6)), "fused_activation_function"),
        p("c6_activation_negative", settings(1, new().byte(3, 0x80)), "code -128"),
        p("c1_stride_at_end_of_table", settings(1, new().byte(1, 1)), "within its table"),
        p("c1_options_behind_file", operator().byte(3, 1).int(4, 1 << 28), "field 4 of Operator"),
        f(
            "c1_graph_input_1",
            &model(graph(&[tensor(&[1])], &[]).ints(1, &[1])),
            "inputs of SubGraph",
        ),
        f(
            "c1_graph_output_minus_1",
            &model(graph(&[tensor(&[1])], &[]).ints(2, &[-1])),
            "outputs of SubGraph",
        ),
        f("c1_signature_graph_1", &good().tables(7, &[new().int(4, 1)]), "one of 1 sub-graphs"),
        f(
            "c1_signature_tensor_1",
            &good().tables(7, &[new().tables(0, &[named(1)])]),
            "tensor_index of input TensorMap",
        ),
        f("c1_metadata_buffer_2", &good().tables(6, &[named(2)]), "buffer of Metadata"),
        f(
            "c17_custom_code_no_utf8",
            &good().tables(1, &[new().byte(0, 32).bytes(1, b"\xc0")]),
            "custom_code",
        ),
    ]
}

/// Sparse constants (C1, C7, C10).
pub(super) fn sparsity() -> Vec<Case> {
    let dense = |size| new().int(1, size);
    let lists = |segments: &[u8], indices: &[u8]| {
        let list = |bytes: &[u8]| new().bytes(0, bytes);
        new().byte(0, 1).byte(2, 3).table(3, list(segments)).byte(4, 3).table(5, list(indices))
    };
    // [2, 4] of floats, three of which are stored.
    let s = |name, order: &[i32], dims: &[Flat], want| {
        let sparsity = new().ints(0, order).tables(2, dims);
        f(name, &with_tensor(constant(&[2, 4]).table(6, sparsity)), want)
    };
    let good = || [dense(2), lists(&[0, 1, 3], &[1, 0, 3])];
    let listed = |name, segments: &[u8], indices: &[u8], want| {
        s(name, &[0, 1], &[dense(2), lists(segments, indices)], want)
    };
    let blocked = |map: &[i32]| {
        let sparsity =
            new().ints(0, &[0, 1, 2]).ints(1, map).tables(2, &[dense(2), dense(2), dense(2)]);
        with_tensor(constant(&[2, 4]).table(6, sparsity))
    };
    let huge = new().ints(0, &[0]).tables(2, &[dense(3)]);
    // Every row lists all 200 rows of the next level, which are empty.
    let storm = new()
        .ints(0, &[0, 1, 2])
        .tables(2, &[dense(200), lists(&[0, 200].repeat(101), &[0; 200]), lists(&[0; 201], &[])]);
    vec![
        s("c5_order_repeats", &[0, 0], &good(), "a permutation"),
        s("c1_order_2", &[0, 2], &good(), "dimension 2 at 1"),
        s("c7_order_too_short", &[0], &good(), "must be of 2 dimensions"),
        s("c7_one_form_missing", &[0, 1], &good()[..1], "is 2 and 1"),
        s("c6_form_2", &[0, 1], &[dense(2), new().byte(0, 2)], "0 (dense) or 1 (CSR)"),
        s("c2_dense_negative", &[0, 1], &[dense(-1), dense(4)], "dense_size"),
        s(
            "c6_index_kind_4",
            &[0, 1],
            &[dense(2), new().byte(0, 1).byte(2, 4).table(3, new())],
            "kind of indices",
        ),
        s("c1_rank_over_limit", &[0; 17], &good(), "must be"),
        listed("c1_segments_too_short", &[0, 1], &[1, 0, 3], "lists that fit the shape"),
        listed("c1_index_4", &[0, 1, 3], &[1, 0, 4], "lists that fit the shape"),
        listed("c7_segment_ends_before_begin", &[2, 1, 3], &[1, 0, 3], "lists that fit the shape"),
        listed("c1_segment_behind_indices", &[0, 1, 9], &[1, 0, 3], "lists that fit the shape"),
        listed("c7_fewer_listed_than_stored", &[0, 1, 2], &[1, 0], "as many values as are listed"),
        listed("c7_more_listed_than_stored", &[0, 2, 4], &[0, 1, 2, 3], "lists that fit the shape"),
        s("c1_dense_beyond_shape", &[0, 1], &[dense(3), dense(1)], "lists that fit the shape"),
        f("c1_block_of_dimension_2", &blocked(&[2]), "one of 2 dimensions"),
        f("c7_block_of_other_size", &blocked(&[0]), "lists that fit the shape"),
        f(
            "c10_expands_too_far",
            &with_tensor(constant(&[1 << 20]).table(6, huge)),
            "4194304 is over the limit of 12288",
        ),
        f(
            "c10_rows_that_list_all_rows",
            &with_tensor(constant(&[2, 4, 8]).table(6, storm)),
            "lists that fit the shape",
        ),
        f(
            "c6_sparse_int4",
            &with_tensor(
                constant(&[2, 4]).byte(1, 17).table(6, new().ints(0, &[0, 1]).tables(2, &good())),
            ),
            "must be of whole bytes",
        ),
    ]
}
