//! ONNX files with one thing wrong: wire format, sizes, types, names, paths and nesting.

use super::{Case, Reader, case};
use crate::raw::Proto;

pub(super) fn new() -> Proto {
    Proto::default()
}

/// A file with this graph.
fn file(graph: Proto) -> Proto {
    new().int(1, 10).message(7, graph).message(8, new().int(2, 18))
}

/// A graph with one initialiser.
fn with_tensor(tensor: Proto) -> Proto {
    file(new().message(5, tensor))
}

/// The head of a tensor named `w`.
fn tensor(ty: i64, dims: &[i64]) -> Proto {
    dims.iter().fold(new().bytes(8, "w").int(2, ty), |tensor, &dim| tensor.int(1, dim))
}

/// A tensor of one float in another file, with these settings.
fn external(settings: &[(&str, &str)]) -> Proto {
    let tensor = settings.iter().fold(tensor(1, &[1]).int(14, 1), |tensor, (key, value)| {
        tensor.message(13, new().bytes(1, key).bytes(2, value))
    });
    with_tensor(tensor)
}

/// A graph with one node of these fields.
fn with_node(node: Proto) -> Proto {
    file(new().message(1, node))
}

/// A node with one attribute.
fn with_attribute(attribute: Proto) -> Proto {
    with_node(new().bytes(4, "Op").message(5, attribute))
}

fn o(name: &'static str, file: Proto, want: &'static str) -> Case {
    case(name, Reader::Onnx, file.0, want)
}

/// Wire format and the model's head (C1, C6, C9).
pub(super) fn wire() -> Vec<Case> {
    let raw =
        |name, bytes: &[u8], want| o(name, new().int(1, 10).raw(bytes).message(7, new()), want);
    let deep_groups = new().int(1, 10).raw(&[0x83, 0x01].repeat(65));
    vec![
        o("c6_empty", new(), "the file is empty"),
        o("c6_web_page", new().raw(b"<!DOCTYPE html>"), "web page"),
        o("c6_gguf", new().raw(b"GGUF\x03\0\0\0"), "GGUF"),
        o("c7_graph_missing", new().int(1, 10), "graph of ModelProto: must be there"),
        o("c6_ir_version_missing", new().message(7, new()), "ir_version of ModelProto"),
        o("c6_ir_version_negative", new().int(1, -1).message(7, new()), "must be 1 or higher"),
        o("c6_opset_0", file(new()).message(8, new().int(2, 0)), "version of ModelProto"),
        o("c6_opset_negative", file(new()).message(8, new().int(2, -4)), "is -4"),
        o(
            "c5_opset_twice",
            file(new()).message(8, new().int(2, 17)),
            "operator set `` occurs twice",
        ),
        o(
            "c1_graph_longer_than_file",
            new().int(1, 10).raw(b"\x3a\xff\xff\xff\xff\x0f"),
            "needs 4294967295 bytes from there",
        ),
        o(
            "c1_graph_length_all_ones",
            new().int(1, 10).raw(b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
            "needs 18446744073709551615 bytes",
        ),
        o("c1_node_longer_than_graph", file(new().raw(b"\x0a\x7f\x22")), "must be at most"),
        o(
            "c1_initializer_longer_than_graph",
            file(new().raw(b"\x2a\xff\xff\xff\xff\x07")),
            "is 2147483647 bytes long",
        ),
        raw(
            "c1_varint_11_bytes",
            &[0x28, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            "does not end",
        ),
        raw(
            "c2_varint_over_64_bits",
            &[0x28, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
            "does not end",
        ),
        raw("c3_field_0", &[0x00, 0x00], "a field from 1"),
        raw("c1_field_2_29", &[0x80, 0x80, 0x80, 0x80, 0x10, 0], "a field from 1"),
        raw("c6_wire_type_6", &[0x0e], "wire type 6"),
        raw("c6_wire_type_7", &[0x0f], "wire type 7"),
        raw("c7_end_without_group", &[0x0c], "an end without its group"),
        raw("c7_group_ends_another", &[0x83, 0x01, 0x8c, 0x01], "the end of its group"),
        o("c7_group_without_end", new().int(1, 10).raw(&[0x83, 0x01]), "a group that ends"),
        o("c9_groups_65", deep_groups, "nesting of groups"),
        o("c6_version_as_text", new().bytes(1, "10").message(7, new()), "must be a varint"),
        o("c6_graph_as_number", new().int(1, 10).int(7, 3), "bytes with a length"),
        o("c6_name_as_number", with_node(new().int(4, 3)), "bytes with a length"),
    ]
}

/// Graphs, nodes, attributes, types and functions (C1, C5, C6, C7, C9, C10, C13, C17).
pub(super) fn graphs() -> Vec<Case> {
    let nested = |depth: usize| {
        let inner = |graph, _| {
            let attribute = new().bytes(1, "body").int(20, 5).message(6, graph);
            new().message(1, new().bytes(4, "If").message(5, attribute))
        };
        file((0..depth).fold(new(), inner))
    };
    let sequence = |depth: usize| {
        let ty = (0..depth).fold(new().message(1, new().int(1, 1)), |ty, _| {
            new().message(4, new().message(1, ty))
        });
        file(new().message(11, new().bytes(1, "x").message(2, ty)))
    };
    let shape = |rank: usize| {
        let dims = (0..rank).fold(new(), |shape, _| shape.message(1, new().int(1, 2)));
        let ty = new().message(1, new().int(1, 1).message(2, dims));
        file(new().message(11, new().bytes(1, "x").message(2, ty)))
    };
    let long = "n".repeat(4097);
    let empty_nodes = |count: usize| file(new().raw(&[0x0a, 0x00].repeat(count)));
    let scalar = || tensor(1, &[]).bytes(9, [0; 4]);
    vec![
        o("c9_graphs_65", nested(65), "nesting of graphs at byte"),
        o("c9_graphs_2000", nested(2000), "65 is over the limit of 64"),
        o("c9_types_65", sequence(65), "nesting of types"),
        o("c9_types_5000", sequence(5000), "65 is over the limit of 64"),
        o("c10_nodes_over_limit", empty_nodes((1 << 20) + 1), "1048577 is over the limit"),
        o("c10_nodes_of_two_bytes", empty_nodes(300_000), "memory for the file's tables"),
        o(
            "c10_inputs_of_two_bytes",
            with_node(new().raw(&[0x0a, 0x00].repeat(1 << 21))),
            "memory for the file's tables",
        ),
        o(
            "c10_initializers_of_two_bytes",
            file(new().raw(&[0x2a, 0x00].repeat(1 << 20))),
            "memory",
        ),
        o(
            "c7_op_type_missing",
            with_node(new().bytes(3, "node\x1b[31m")),
            "op_type of node `node\\u{1b}",
        ),
        o("c17_op_type_no_utf8", with_node(new().bytes(4, b"\xff\xfe")), "must be UTF-8 text"),
        o(
            "c1_op_type_too_long",
            with_node(new().bytes(4, &long)),
            "4097 is over the limit of 4096",
        ),
        o(
            "c1_input_too_long",
            with_node(new().bytes(1, &long).bytes(4, "A")),
            "input of NodeProto",
        ),
        o(
            "c17_output_no_utf8",
            with_node(new().bytes(2, b"a\x80").bytes(4, "A")),
            "output of NodeProto",
        ),
        o(
            "c7_attribute_without_name",
            with_attribute(new().int(20, 2).int(3, 1)),
            "name of AttributeProto",
        ),
        o(
            "c7_attribute_without_value",
            with_attribute(new().bytes(1, "a")),
            "type of attribute `a`",
        ),
        o(
            "c6_attribute_kind_15",
            with_attribute(new().bytes(1, "a").int(20, 15)),
            "a code from 1 to 14",
        ),
        o("c6_attribute_kind_negative", with_attribute(new().bytes(1, "a").int(20, -1)), "is -1"),
        o(
            "c7_attribute_tensor_missing",
            with_attribute(new().bytes(1, "a").int(20, 4)),
            "must be TensorProto",
        ),
        o(
            "c7_attribute_graph_missing",
            with_attribute(new().bytes(1, "a").int(20, 5)),
            "must be GraphProto",
        ),
        o(
            "c6_attribute_int_as_bytes",
            with_attribute(new().bytes(1, "a").int(20, 2).bytes(3, "1")),
            "must be a varint",
        ),
        o(
            "c1_attribute_ints_end_inside",
            with_attribute(new().bytes(1, "a").int(20, 7).bytes(8, [1, 0x80])),
            "a list of whole numbers",
        ),
        o(
            "c1_attribute_floats_of_5_bytes",
            with_attribute(new().bytes(1, "a").int(20, 6).bytes(7, [0; 5])),
            "a list of whole numbers",
        ),
        o(
            "c10_attribute_ints_of_one_byte",
            with_attribute(new().bytes(1, "a").int(20, 7).bytes(8, vec![0; 8 << 20])),
            "memory for the file's tables",
        ),
        o(
            "c5_attribute_twice",
            with_node(
                new()
                    .bytes(4, "A")
                    .message(5, new().bytes(1, "a").int(3, 1))
                    .message(5, new().bytes(1, "a").int(3, 2)),
            ),
            "attribute `a` occurs twice",
        ),
        o(
            "c5_initializer_twice",
            file(new().message(5, scalar()).message(5, scalar())),
            "initializer `w` occurs twice",
        ),
        o(
            "c6_value_type_99",
            file(new().message(12, new().message(2, new().message(1, new().int(1, 99))))),
            "element type 99",
        ),
        o("c1_value_rank_17", shape(17), "17 is over the limit of 16"),
        o("c1_value_rank_100000", shape(100_000), "number of dimensions"),
        o("c7_function_without_name", file(new()).message(25, new()), "name of FunctionProto"),
        o(
            "c9_function_graphs_65",
            file(new()).message(
                25,
                new().bytes(1, "F").message(
                    7,
                    new().bytes(4, "If").message(5, {
                        let graph = (0..64).fold(new(), |graph, _| {
                            let attribute = new().bytes(1, "body").int(20, 5).message(6, graph);
                            new().message(1, new().bytes(4, "If").message(5, attribute))
                        });
                        new().bytes(1, "body").int(20, 5).message(6, graph)
                    }),
                ),
            ),
            "nesting of graphs",
        ),
        o(
            "c1_property_key_too_long",
            file(new()).message(14, new().bytes(1, &long)),
            "key of StringStringEntryProto",
        ),
    ]
}

/// Tensors: sizes, types and lists (C1, C2, C3, C6, C7).
pub(super) fn tensors() -> Vec<Case> {
    let t = |name, tensor, want| o(name, with_tensor(tensor), want);
    let floats = |count: usize| tensor(1, &[2]).bytes(4, vec![0; 4 * count]);
    let sparse = |parts: Proto| file(new().message(15, parts));
    let values = || tensor(1, &[2]).bytes(9, [0; 8]);
    vec![
        t("c1_4_gib_in_1_kb", tensor(1, &[1 << 30]).bytes(9, [0; 900]), "must be 4294967296 bytes"),
        t(
            "c2_dims_wrap",
            tensor(1, &[1 << 32, 1 << 32]).bytes(9, []),
            "must be at most 1099511627776 elements",
        ),
        t("c1_dims_over_limit", tensor(2, &[(1 << 40) + 1]), "dims of tensor `w`"),
        t("c2_dims_all_ones", tensor(1, &[i64::MAX, 2]), "dims of tensor"),
        t("c2_dim_negative", tensor(1, &[-1]).bytes(9, [0; 4]), "must be 0 or higher, is -1"),
        t("c1_rank_17", tensor(1, &[1; 17]).bytes(9, [0; 4]), "17 is over the limit of 16"),
        t("c1_raw_one_short", tensor(1, &[2]).bytes(9, [0; 7]), "as float32 [2] needs, is 7 bytes"),
        t("c7_raw_one_long", tensor(1, &[2]).bytes(9, [0; 9]), "must be 8 bytes"),
        t("c7_no_elements", tensor(1, &[2]), "data of tensor `w`"),
        t("c7_int4_half_missing", tensor(22, &[3]).bytes(9, [0]), "must be 2 bytes"),
        t("c6_type_0", tensor(0, &[]).bytes(9, [0]), "element type 0 is not supported"),
        t("c6_type_29", tensor(29, &[]).bytes(9, [0]), "element type 29"),
        t("c6_type_negative", tensor(-1, &[]), "element type -1"),
        t("c6_type_2_40", tensor(1 << 40, &[]), "element type 1099511627776"),
        t("c7_list_and_raw", floats(2).bytes(9, [0; 8]), "must be in one field"),
        t("c7_two_lists", floats(2).bytes(7, [0, 0]), "must be in one field"),
        t(
            "c6_list_of_another_type",
            tensor(7, &[2]).bytes(4, [0; 8]),
            "in field 7, where int64 is",
        ),
        t("c1_list_too_short", floats(1), "must be 2 numbers for 2 elements, is 1"),
        t("c1_list_too_long", floats(3), "is 3 or more"),
        t("c1_list_of_6_bytes", tensor(1, &[2]).bytes(4, [0; 6]), "a list of whole numbers"),
        t("c2_int8_300", tensor(3, &[1]).int(5, 300), "must be a number of 8 bits, is 300"),
        t("c2_int8_minus_129", tensor(3, &[1]).int(5, -129), "is -129"),
        t("c2_float16_2_16", tensor(10, &[1]).int(5, 1 << 16), "a number of 16 bits"),
        t("c2_uint32_2_32", tensor(12, &[1]).int(11, 1 << 32), "a number of 32 bits"),
        t(
            "c1_varint_list_ends_inside",
            tensor(7, &[1]).bytes(7, [0x80]),
            "a list of whole numbers",
        ),
        t(
            "c1_varint_list_11_bytes",
            tensor(7, &[1]).bytes(7, [0xff; 10].into_iter().chain([1]).collect::<Vec<_>>()),
            "numbers of 64 bits",
        ),
        t(
            "c6_complex_one_part",
            tensor(14, &[1]).bytes(4, [0; 4]),
            "must be 2 numbers for 1 elements",
        ),
        t("c6_segment", tensor(1, &[1]).bytes(3, []).bytes(9, [0; 4]), "a tensor in parts"),
        t("c1_strings_missing", tensor(8, &[2]).bytes(6, "a"), "must be 2 strings, is 1"),
        t("c1_strings_2_40", tensor(8, &[1 << 40]).bytes(6, "a"), "strings, is 1"),
        t("c7_strings_as_raw", tensor(8, &[1]).bytes(9, "a"), "where strings are"),
        t(
            "c13_control_in_name",
            tensor(1, &[1]).bytes(8, "\x1b]0;x\x07").bytes(9, []),
            "`\\u{1b}]0;x\\u{7}`",
        ),
        o("c7_sparse_without_values", sparse(new().int(3, 4)), "values of SparseTensorProto"),
        o(
            "c7_sparse_without_indices",
            sparse(new().message(1, values()).int(3, 4)),
            "indices of SparseTensorProto",
        ),
        o(
            "c7_sparse_one_index",
            sparse(new().message(1, values()).message(2, tensor(7, &[1]).int(7, 0)).int(3, 4)),
            "must be int64 places of 2 values",
        ),
        o(
            "c6_sparse_float_indices",
            sparse(new().message(1, values()).message(2, values()).int(3, 4)),
            "is float32 [2]",
        ),
        o(
            "c2_sparse_dims_wrap",
            sparse(
                new()
                    .message(1, values())
                    .message(2, tensor(7, &[2]).bytes(7, [0, 1]))
                    .int(3, 1 << 40)
                    .int(3, 1 << 40),
            ),
            "dims of SparseTensorProto",
        ),
    ]
}

/// Names of other files (C2, C14).
pub(super) fn external_files() -> Vec<Case> {
    let at = |name, location: &str, want| o(name, external(&[("location", location)]), want);
    let long = "x".repeat(256);
    vec![
        at("c14_parent", "../weights", "without `.` and `..`"),
        at("c14_parent_inside", "a/../../b", "without `.` and `..`"),
        at("c14_absolute", "/etc/passwd", "not an absolute one"),
        at("c14_here", "./a", "plain names"),
        at("c14_backslash", "..\\a", "backslashes"),
        at("c14_drive", "C:/a", "colons"),
        at("c14_stream", "a:b", "colons"),
        at("c14_share", "//host/share", "absolute"),
        at("c13_nul", "a\0b", "control characters"),
        at("c13_newline", "a\nb", "control characters"),
        at("c14_empty", "", "plain names"),
        at("c14_empty_part", "a//b", "plain names"),
        at("c14_too_long", &long, "256 is over the limit of 255"),
        at("c14_memory_marker", "*/_ORT_MEM_ADDR_/*", "another program's memory"),
        o("c7_location_missing", external(&[("offset", "0")]), "location of tensor `w`"),
        o(
            "c16_offset_no_number",
            external(&[("location", "a"), ("offset", "x")]),
            "a number of bytes",
        ),
        o("c16_offset_negative", external(&[("location", "a"), ("offset", "-1")]), "is \"-1\""),
        o("c16_offset_signed", external(&[("location", "a"), ("offset", "+1")]), "is \"+1\""),
        o(
            "c2_offset_over_64_bits",
            external(&[("location", "a"), ("offset", "18446744073709551616")]),
            "a number of bytes",
        ),
        o(
            "c2_extent_wraps",
            external(&[("location", "a"), ("offset", "18446744073709551615")]),
            "extent of tensor `w`",
        ),
        o(
            "c7_length_other",
            external(&[("location", "a"), ("length", "8")]),
            "must be 4, what the tensor",
        ),
        o("c6_location_2", with_tensor(tensor(1, &[1]).int(14, 2)), "0 (here) or 1 (external)"),
    ]
}
