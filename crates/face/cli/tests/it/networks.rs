//! ONNX and TFLite networks: shown whatever operators they have.

use super::*;
use serde_json::Value;
use std::fs;

/// `sum = Add(a, b)` over arrays of any length, as an ONNX file.
const ADD: &[u8] =
    b"\x08\x08:O\x0a\x10\x0a\x01a\x0a\x01b\x12\x03sum\x22\x03Add\x12\x03addZ\x10\x0a\x01a\
    \x12\x0b\x0a\x09\x08\x01\x12\x05\x0a\x03\x12\x01nZ\x10\x0a\x01b\x12\x0b\x0a\x09\x08\
    \x01\x12\x05\x0a\x03\x12\x01nb\x12\x0a\x03sum\x12\x0b\x0a\x09\x08\x01\x12\x05\x0a\
    \x03\x12\x01nB\x04\x0a\x00\x10\x11";

/// A small network of the readers' tests.
fn golden(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../input/formats/tests/goldens");
    folder.join(name)
}

#[test]
fn a_network_is_shown_with_inputs_operators_and_files() {
    let text = good(&["inspect", words(&golden("network.onnx"))]);
    for line in [
        "format         ONNX",
        "inputs         x  float32 [n, 3]",
        "               any  float32 of any shape",
        "outputs        y  float32 of any shape",
        "external       weights/outside.bin (64 B)",
        "metadata       labels = cat,dog",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    let text = good(&["inspect", words(&golden("network.tflite"))]);
    for line in [
        "format         TFLite",
        "inputs         picture  int8 [?, 8, 8, 1]  scale 0.5, zero point -3",
        "signature      serving_default: picture, choice → result",
        "operators      4: 1 CONV_2D, 1 IF, 1 Odd, 1 VAR_HANDLE",
        "metadata       min_runtime_version = 1.14.0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[test]
fn the_same_is_there_for_scripts() {
    let object = |name: &str, more: &[&str]| -> Value {
        let path = golden(name);
        let text = good(&[&["inspect", words(&path), "--json"], more].concat());
        serde_json::from_str(&text).expect("it is JSON")
    };
    let onnx = object("network.onnx", &["--tensors"]);
    assert_eq!(onnx["opsets"]["ai.onnx"], 18);
    assert_eq!(onnx["inputs"][0]["shape"], serde_json::json!(["n", 3]));
    assert_eq!(onnx["inputs"][1]["shape"], serde_json::json!([null, 4]));
    assert_eq!(onnx["operators"]["test.other.Odd"], 1);
    assert_eq!(onnx["external"][0]["bytes"], 64);
    assert_eq!(onnx["tensors"][0]["name"], "w");
    let tflite = object("network.tflite", &[]);
    assert_eq!(tflite["inputs"][0]["quantization"]["zero_point"], -3);
    assert_eq!(tflite["signatures"][0]["outputs"], serde_json::json!(["result"]));
}

#[test]
fn a_networks_graph_is_a_line_for_each_operator() {
    let text = good(&["inspect", words(&golden("network.onnx")), "--graph"]);
    assert!(text.starts_with("h = Gemm(x, w, -)\n"), "{text}");
    assert!(text.contains("    else_branch:\n") || text.contains("  else_branch:\n"), "{text}");
}

#[test]
fn a_damaged_network_is_an_error_with_its_place() {
    let folder = scratch("damaged-network");
    let mut file = fs::read(golden("network.onnx")).expect("it is there");
    file.truncate(900);
    let path = folder.join("cut.onnx");
    fs::write(&path, file).expect("written");
    let output = ledge(&["inspect", words(&path)]);
    assert_eq!(output.status.code(), Some(3));
    let said = stderr(&output);
    assert!(said.contains("field 7 of ModelProto") && said.contains("cut.onnx"), "{said}");
}

#[test]
fn a_network_runs_on_arrays_and_shows_the_graph_that_is_run() {
    let folder = scratch("network-run");
    let (model, array) = (folder.join("add.onnx"), folder.join("a.npy"));
    fs::write(&model, ADD).expect("written");
    let mut file = Vec::new();
    let shape = tensor::Shape::new(&[3]).expect("one extent");
    formats::npy::write_header(&mut file, tensor::DType::F32, shape).expect("written");
    file.extend([1.5f32, 2.5, -3.0].iter().flat_map(|x| x.to_le_bytes()));
    fs::write(&array, file).expect("written");
    let (a, b) = (format!("a={}", words(&array)), format!("b={}", words(&array)));
    let given = ["run", words(&model), "--input", &a, "--input", &b];
    let text = good(&given);
    assert!(text.starts_with("sum  F32 [3]  3.000000 5.000000 -6.000000"), "{text}");
    let out = folder.join("out/");
    good(&[&given[..], &["--output", words(&out)]].concat());
    let written = fs::read(out.join("sum.npy")).expect("the output is there");
    assert!(written.ends_with(&(-6.0f32).to_le_bytes()));
    let shapes = ["--shape", "a=3", "--shape", "b=3"];
    let text = good(&[&["inspect", words(&model), "--graph", "after"], &shapes[..]].concat());
    assert!(text.contains("[3]"), "{text}");
    let text = good(&[&["plan", words(&model)], &shapes[..]].concat());
    assert!(text.contains("1 step in 1 stage") && text.contains("total"), "{text}");
    let output = ledge(&[&["plan", words(&model), "--no-pass", "nothing"], &shapes[..]].concat());
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(said.contains("`nothing`") && said.contains("layout, "), "{said}");
    let output = ledge(&given[..4]);
    assert_eq!(output.status.code(), Some(2), "an input is missing");
}

#[test]
fn a_networks_bench_tells_times_memory_and_operators() {
    let folder = scratch("bench-network");
    let path = folder.join("add.onnx");
    fs::write(&path, ADD).expect("written");
    let shapes = ["--shape", "a=64", "--shape", "b=64", "--repeat", "3", "--threads", "1"];
    let words = [&["bench", words(&path)], &shapes[..]].concat();
    let text = good(&[&words[..], &["--json"]].concat());
    let found: Value = serde_json::from_str(&text).expect("it is JSON");
    for key in ["p50_ms", "p90_ms", "p99_ms", "load_ms", "promised_bytes"] {
        assert!(found[key].as_f64().is_some_and(|x| x > 0.0), "{key}: {text}");
    }
    assert_eq!(found["runs"], 3);
    assert_eq!(found["operators"][0]["name"], "zip F32 64");
    let table = good(&words);
    assert!(table.contains("a [64], b [64], 1 thread"), "{table}");
    assert!(table.lines().any(|line| line.starts_with("zip F32 64")), "{table}");
    let output = ledge(&["bench", words[1]]);
    assert!(!output.status.success());
    assert!(stderr(&output).contains("--shape"), "{}", stderr(&output));
}

#[test]
fn without_another_runtime_a_network_is_measured_alone() {
    let folder = scratch("bench-alone");
    let path = folder.join("add.onnx");
    fs::write(&path, ADD).expect("written");
    let mut command = command(&["bench", words(&path), "--compare", "onnxruntime", "--json"]);
    command.args(["--input", "a=1", "--input", "b=2", "--shape", "a=4", "--shape", "b=4"]);
    let output = command.env("PATH", &folder).output().expect("it runs");
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("nothing to compare with"), "{}", stderr(&output));
}

#[test]
fn a_plan_that_does_not_fit_tells_extents_that_do() {
    let folder = scratch("plan-network");
    let path = folder.join("add.onnx");
    fs::write(&path, ADD).expect("written");
    let shapes = ["--shape", "a=8000000", "--shape", "b=8000000"];
    let plan =
        |memory: &str| ledge(&[&["plan", words(&path), "--memory", memory], &shapes[..]].concat());
    let large = plan("1GiB");
    assert!(large.status.success(), "{}", stderr(&large));
    assert!(stdout(&large).contains("program"), "{}", stdout(&large));
    let small = plan("140MiB");
    assert_eq!(small.status.code(), Some(4));
    assert!(stderr(&small).contains("--shape a=5"), "{}", stderr(&small));
    assert!(stderr(&small).contains("MiB"), "{}", stderr(&small));
}
