//! TFLite networks of one operator give what `LiteRT`'s reference kernels give, run after run.
//!
//! `goldens/tflite` holds them; `goldens.toml` there says how they were made.

use crate::quantised::pattern;
use ledge_engine::network::{Network, Profile};
use serde_json::Value;
use std::path::Path;

/// Beside the largest number of a result: sums of floats come in another order.
const RTOL: f64 = 1e-4;

#[test]
fn runs_give_what_litert_gives() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/tflite");
    let outputs = std::fs::read_to_string(folder.join("outputs.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&outputs).unwrap();
    assert!(cases.len() >= 15);
    let list = |value: &Value| -> Vec<f64> {
        value.as_array().unwrap().iter().map(|n| n.as_f64().unwrap()).collect()
    };
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let dims = case["dims"].as_array().unwrap().iter();
        let dims: Vec<u64> = dims.map(|n| n.as_u64().unwrap()).collect();
        let mut network = Network::open(&folder.join(format!("{name}.tflite"))).unwrap();
        network.set_profile(Profile::Reference);
        let input = network.inputs()[0].name.clone();
        let mut stream = network.stream();
        for (run, want) in (0..).zip(case["runs"].as_array().unwrap()) {
            let want = list(want);
            let out = stream.run(&[(&input, pattern(&dims, run).view())]).unwrap();
            let have = out[0].1.to_f32().unwrap();
            assert_eq!(have.len(), want.len(), "{name}");
            let largest = want.iter().fold(0.0f64, |most, n| most.max(n.abs()));
            for (i, (have, want)) in have.iter().zip(&want).enumerate() {
                let near = (f64::from(*have) - want).abs() <= RTOL * largest;
                assert!(near, "{name} in run {run} at {i}: {have}, not {want}");
            }
        }
    }
}
