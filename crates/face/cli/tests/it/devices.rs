//! Devices beside the processor, and networks run step by step.

use super::*;
use serde_json::Value;
use std::fs;

/// `sum = Add(a, b)` over arrays of any length, as an ONNX file.
const ADD: &[u8] =
    b"\x08\x08:O\x0a\x10\x0a\x01a\x0a\x01b\x12\x03sum\x22\x03Add\x12\x03addZ\x10\x0a\x01a\
    \x12\x0b\x0a\x09\x08\x01\x12\x05\x0a\x03\x12\x01nZ\x10\x0a\x01b\x12\x0b\x0a\x09\x08\
    \x01\x12\x05\x0a\x03\x12\x01nb\x12\x0a\x03sum\x12\x0b\x0a\x09\x08\x01\x12\x05\x0a\
    \x03\x12\x01nB\x04\x0a\x00\x10\x11";

fn npy(path: &Path, dims: &[u64], elements: &[f32]) {
    let mut file = Vec::new();
    let shape = tensor::Shape::new(dims).expect("few extents");
    formats::npy::write_header(&mut file, tensor::DType::F32, shape).expect("written");
    file.extend(elements.iter().flat_map(|x| x.to_le_bytes()));
    fs::write(path, file).expect("written");
}

#[test]
fn states_are_carried_from_step_to_step() {
    let folder = scratch("steps");
    let (model, a, b) = (folder.join("add.onnx"), folder.join("a.npy"), folder.join("b.npy"));
    fs::write(&model, ADD).expect("written");
    npy(&a, &[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    npy(&b, &[2], &[10.0, 20.0]);
    let (a, b) = (format!("a={}", words(&a)), format!("b={}", words(&b)));
    let steps = ["run", words(&model), "--steps", "--input", &a];
    // The same `b` in each step.
    let text = good(&[&steps[..], &["--input", &b]].concat());
    let want = "sum  F32 [3, 2]  11.000000 22.000000 13.000000 24.000000 15.000000 26.000000";
    assert!(text.starts_with(want), "{text}");
    let output = ledge(&["run", words(&model), "--steps", "--input", &b]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("no input holds steps"), "{}", stderr(&output));
    for (flag, said) in [("b=nothing", "no such output"), ("b", "names no output")] {
        let output = ledge(&[&steps[..], &["--state", flag]].concat());
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
    }
    let output = ledge(&["run", words(&model), "--input", &a, "--state", "b=sum"]);
    assert_eq!(output.status.code(), Some(2), "states need steps");
}

#[test]
fn a_device_that_is_not_there_is_said() {
    let folder = scratch("devices");
    let model = folder.join("add.onnx");
    fs::write(&model, ADD).expect("written");
    let shapes = ["--shape", "a=4096", "--shape", "b=4096"];
    let plan = [&["plan", words(&model)], &shapes[..]].concat();
    let found: Value = json(&good(&[&plan[..], &["--json"]].concat()));
    assert_eq!(found["placement"], serde_json::json!([]), "the processor alone needs no report");
    let mut command = command(&[&plan[..], &["--device", "openvino"]].concat());
    let output = command.env("LEDGE_OPENVINO", &folder).output().expect("it runs");
    let said = stderr(&output);
    if cfg!(feature = "openvino") {
        assert!(output.status.success(), "{said}");
        assert!(said.contains("the processor runs everything"), "{said}");
        assert!(said.contains("has no libopenvino_c.so"), "{said}");
    } else {
        assert_eq!(output.status.code(), Some(2));
        assert!(said.contains("--features openvino"), "{said}");
    }
    let output = ledge(&["run", "once", "--device", "openvino"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("openvino runs networks"), "{}", stderr(&output));
}

#[test]
#[cfg(feature = "openvino")]
#[expect(clippy::disallowed_methods, reason = "a test that needs a library finds it this way")]
fn openvino_runs_what_it_takes_and_says_why_not_more() {
    let Some(library) = std::env::var_os("LEDGE_OPENVINO") else { return };
    let folder = scratch("openvino");
    let model = folder.join("add.onnx");
    fs::write(&model, ADD).expect("written");
    let shapes = ["--shape", "a=4194304", "--shape", "b=4194304"];
    let words = [&["plan", words(&model), "--device", "openvino"], &shapes[..]].concat();
    let mut command = command(&words);
    let output = command.env("LEDGE_OPENVINO", &library).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", stderr(&output));
    // A sum is too little work for its hand-over: the reason is told.
    assert!(text.contains("not on openvino: 1 × parts: ") && text.contains("not worth"), "{text}");
}
