//! Networks that onnxruntime quantised give its codes, in integers as they do in floats.
//!
//! `goldens/quantised` holds them; `goldens.toml` there says how they were made and what may differ.

use ledge_engine::network::{Array, Network};
use serde_json::Value;
use std::path::Path;

/// The input that the script makes: the top bits of products.
pub(crate) fn pattern(dims: &[u64], place: u64) -> Array {
    let element = |i: u64| {
        let i = i + 100_003 * place;
        let mut bits = (i * 2_654_435_761) & 0xffff_ffff;
        bits ^= bits >> 15;
        bits = bits.wrapping_mul(2_246_822_519) & 0xffff_ffff;
        (bits >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let elements: Vec<f32> = (1..=dims.iter().product()).map(element).collect();
    Array::from_f32(dims, &elements).unwrap()
}

fn numbers(case: &Value, key: &str) -> Vec<i64> {
    case[key].as_array().unwrap().iter().map(|n| n.as_i64().unwrap()).collect()
}

#[test]
#[expect(clippy::cast_possible_truncation, reason = "codes are small")]
fn codes_are_those_of_onnxruntime() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/quantised");
    let outputs = std::fs::read_to_string(folder.join("outputs.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&outputs).unwrap();
    assert_eq!(cases.len(), 12, "three networks in four ways");
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let dims: Vec<u64> = numbers(case, "dims").iter().map(|n| n.cast_unsigned()).collect();
        let (fused, plain) = (numbers(case, "fused"), numbers(case, "plain"));
        let step = case["step"].as_f64().unwrap();
        for off in [&[][..], &["integers"]] {
            let mut network = Network::open(&folder.join(format!("{name}.onnx"))).unwrap();
            network.set_passes_off(off).unwrap();
            if off.is_empty() {
                let planned = network.plan(&[]).unwrap();
                assert!(planned.fired.iter().any(|fired| fired.pass == "integers"), "{name}");
            }
            let out = network.run(&[("x", pattern(&dims, 0).view())]).unwrap();
            let codes = out[0].1.to_f32().unwrap();
            assert_eq!(codes.len(), plain.len(), "{name}");
            for (i, &real) in codes.iter().enumerate() {
                let code = (f64::from(real) / step).round() as i64;
                let name = format!("{name} without {off:?} at {i}: {code}");
                assert!((code - plain[i]).abs() <= 1, "{name}, not {}", plain[i]);
                let moved = (plain[i] - fused[i]).abs().max(1);
                assert!((code - fused[i]).abs() <= moved, "{name}, not {}", fused[i]);
            }
        }
    }
}
