//! What `config.json` says about positions and windows becomes settings.

use super::*;
use crate::Family;
use serde_json::json;

/// Settings of a small model with these keys besides.
fn settings(model_type: &str, extra: &Value) -> Settings {
    let mut config = json!({
        "hidden_size": 2048, "num_hidden_layers": 4, "num_attention_heads": 32, "vocab_size": 100,
        "intermediate_size": 64, "max_position_embeddings": 131_072, "rms_norm_eps": 1e-5,
        "rope_theta": 500_000.0, "head_dim": 64,
    });
    let keys = config.as_object_mut().unwrap();
    keys.extend(extra.as_object().unwrap().clone());
    from_config(Family::of_folder(model_type).unwrap(), &config).unwrap()
}

#[test]
fn llama3_divisors_keep_short_waves_and_stretch_long_ones() {
    // Llama 3.2 1B; numbers by the formula in double precision (docs/families.md §6).
    let scaling = json!({
        "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    });
    for extra in [json!({ "rope_scaling": scaling }), {
        let mut nested = scaling.clone();
        nested["rope_theta"] = 500_000.0.into();
        json!({ "rope_parameters": nested, "rope_theta": null })
    }] {
        let RopeFactors::Given(factors) = settings("llama", &extra).rope.factors else {
            panic!("llama3 gives divisors");
        };
        let mut want = [[1.0; 16], [32.0; 16]].concat();
        want[15..18].copy_from_slice(&[1.651_33, 3.292_26, 9.666_73]);
        let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-4;
        assert!(factors.len() == 32 && factors.iter().zip(&want).all(near), "{factors:?}");
    }
}

#[test]
fn windows_are_where_each_family_has_them() {
    let window = json!({ "sliding_window": 16 });
    let some = |list: [bool; 4]| Some(list.to_vec());
    let types = ["full_attention", "sliding_attention", "full_attention", "full_attention"];
    for (model_type, extra, size, layers) in [
        ("mistral", window.clone(), Some(16), None),
        ("mistral", json!({ "sliding_window": null }), None, None),
        ("llama", window.clone(), None, None),
        ("qwen2", window.clone(), None, some([false; 4])),
        (
            "qwen2",
            json!({ "sliding_window": 16, "use_sliding_window": true, "max_window_layers": 3 }),
            Some(16),
            some([false, false, false, true]),
        ),
        (
            "qwen3",
            json!({ "sliding_window": 16, "use_sliding_window": true, "layer_types": types }),
            Some(16),
            some([false, true, false, false]),
        ),
        ("gemma2", window.clone(), Some(16), None),
        ("phi3", window.clone(), Some(16), None),
    ] {
        let settings = settings(model_type, &extra);
        assert_eq!((settings.window, settings.windowed), (size, layers), "{model_type} {extra}");
    }
}

#[test]
fn rotated_dims_may_be_a_part_of_the_head() {
    for extra in [
        json!({ "partial_rotary_factor": 0.75 }),
        json!({ "rope_parameters": { "partial_rotary_factor": 0.75, "rope_type": "default" } }),
    ] {
        assert_eq!(settings("phi3", &extra).rope.dims, 48, "{extra}");
    }
}
