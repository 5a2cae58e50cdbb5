//! The cases are sound: seeded bytes are the goldens' bytes, and comparisons tell near from far.

use super::{Case, Distance, Metric, Rows, Stored};

#[test]
fn seeded_models_are_byte_for_byte_those_of_the_goldens() {
    let folder = Case::folder();
    for name in Case::names(&folder).unwrap() {
        let case = Case::read(&folder, &name).unwrap();
        assert!(case.has_golden_bytes().unwrap(), "{name}");
    }
}

#[test]
fn distance_tells_near_from_far() {
    let rows = |values: &[f32]| Rows { width: 3, values: values.to_vec() };
    let golden = rows(&[1.0, 0.0, -1.0, 0.0, 2.0, 0.0]);
    let measure = |metric, tolerance, other: &[f32]| {
        Distance::measure(metric, tolerance, 0.5, &golden, &rows(other))
    };
    let near = [1.001, 0.0, -1.0, 0.0, 2.0, 0.001];
    let far = [0.0, 1.0, -1.0, 0.0, 2.0, 0.0];
    let nan = [f32::NAN, 0.0, -1.0, 0.0, 2.0, 0.0];
    for (metric, other, passes) in [
        (Metric::Spread, near, true),
        (Metric::Spread, far, false),
        (Metric::Spread, nan, false),
        (Metric::Divergence, near, true),
        (Metric::Divergence, far, false),
        (Metric::Divergence, nan, false),
    ] {
        let distance = measure(metric, 1e-3, &other);
        assert_eq!(distance.passes(), passes, "{other:?}: {distance}");
    }
    assert!(!measure(Metric::Spread, 1.0, &far).passes(), "another token is chosen");
    assert!(!measure(Metric::Spread, 1.0, &near[..3]).passes(), "a row is missing");
}

#[test]
fn imported_families_compute_what_llama_cpp_does() {
    let folder = Case::folder();
    for name in Case::names(&folder).unwrap() {
        let case = Case::read(&folder, &name).unwrap();
        // 66 positions pass every window and keep the test short; encoders see the whole prompt.
        let tokens = if case.is_encoder() { 300 } else { 66 };
        if case.is_exact() {
            for stored in Stored::all(&case).unwrap() {
                let distance = stored.interpreted(&case, tokens).unwrap();
                assert!(distance.passes(), "{name} ({}): {distance}", stored.form);
            }
        }
    }
}

#[test]
fn families_on_the_processor_give_what_llama_cpp_does() {
    // One of each kind; `cargo xtask conformance families` runs all.
    for name in ["bert", "gemma2", "llama-q4_1", "mixtral-q4_0", "phi3-long", "qwen3-q4_k_m"] {
        let case = Case::read(&Case::folder(), name).unwrap();
        for stored in Stored::all(&case).unwrap() {
            let form = stored.form;
            let distance = stored.processed(&case, 64, 2).unwrap();
            assert!(distance.passes(), "{name} ({form}): {distance}");
        }
    }
}
