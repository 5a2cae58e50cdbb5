//! JSON texts and shard indexes with one thing wrong.

use super::{
    Case,
    Reader::{Index as I, Json as J},
    case,
};

pub(super) fn cases() -> Vec<Case> {
    let i = |name, file: &str, want| {
        let text = format!("{{\"weight_map\":{{\"a\":\"{file}\"}}}}");
        case(name, I, text, want)
    };
    let long = "a".repeat(256) + ".safetensors";
    vec![
        i(
            "c14_parent_folder",
            "../a.safetensors",
            "plain file name that ends in .safetensors, is \"../a.safetensors\"",
        ),
        i("c14_absolute", "/etc/a.safetensors", "plain file name"),
        i("c14_folder", "sub/a.safetensors", "plain file name"),
        i("c14_backslash", "..\\\\a.safetensors", "plain file name"),
        i("c14_drive", "C:a.safetensors", "plain file name"),
        i("c14_hidden", ".a.safetensors", "plain file name"),
        i("c14_nul_cuts_the_ending", "w.bin\\u0000.safetensors", "plain file name"),
        i("c14_empty", "", "plain file name"),
        i("c14_dots", "..", "plain file name"),
        i("c14_other_ending", "pytorch_model.bin", "ends in .safetensors"),
        i("c14_url", "https://x/a.safetensors", "plain file name"),
        i("c14_too_long", &long, "plain file name"),
        case(
            "c6_file_is_a_number",
            I,
            "{\"weight_map\":{\"a\":1}}",
            "expected the file name of tensor `a`",
        ),
        case("c6_map_is_an_array", I, "{\"weight_map\":[]}", "expected an object of file names"),
        case("c6_map_is_empty", I, "{\"weight_map\":{}}", "weight_map: must be an object"),
        case("c6_map_missing", I, "{\"metadata\":{}}", "`weight_map` is missing"),
        case(
            "c5_tensor_in_two_files",
            I,
            "{\"weight_map\":{\"a\":\"1.safetensors\",\"a\":\"2.safetensors\"}}",
            "tensor `a` occurs twice",
        ),
        case("c5_key_twice", J, "{\"n_head\": 8,\n \"n_head\": 9}", "line 2 column"),
        case("c5_key_twice_by_escape", J, "{\"a\": 8, \"\\u0061\": 9}", "key \"a\" occurs twice"),
        case("c5_key_twice_deep", J, "[{\"x\":{\"a\":1,\"a\":1}}]", "occurs twice"),
        case("c9_arrays_129_deep", J, "[".repeat(129) + &"]".repeat(129), "recursion limit"),
        case("c9_objects_1000000_deep", J, "{\"a\":".repeat(1_000_000), "recursion limit"),
        case("c10_empty_arrays", J, format!("[{}[]]", "[],".repeat(1_000_000)), "4 times its size"),
        case("c10_zeros", J, format!("[{}0]", "0,".repeat(1_000_000)), "4 times its size"),
        case(
            "c10_tiny_objects",
            J,
            format!("[{}1]", "{\"\":0},".repeat(300_000)),
            "4 times its size",
        ),
        case("c16_nan_literal", J, "{\"eps\": NaN}", "config.json: line 1 column"),
        case("c16_number_too_large", J, "{\"eps\": 1e999}", "number out of range"),
        case("c17_lone_surrogate", J, "{\"a\": \"\\ud83d\"}", "config.json"),
        case("c17_not_utf8", J, &b"{\"a\": \"\xff\"}"[..], "config.json"),
        case("c17_control_character", J, "{\"a\": \"\n\"}", "control character"),
        case("c17_byte_order_mark", J, "\u{feff}{}", "line 1 column 1"),
        case("c4_json_cut", J, "{\"a\": [1, 2", "EOF"),
        case("c4_json_empty", J, "", "EOF"),
        case("c5_two_texts", J, "{} {}", "trailing characters"),
    ]
}
