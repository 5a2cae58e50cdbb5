//! Plans written as layers; where the library is (`LEDGE_OPENVINO` names its folder), results beside
//! the processor's.

use super::*;
use cpu::CpuBackend;
use plan::{ReadError, Uncontrolled, Weight};

/// Graphs, and what their layers must be.
const CASES: [(&str, &[&str]); 5] = [
    (
        "weight w0 \"w\" F32 [6, 4, 3, 3]\nweight w1 \"b\" F32 [6]\ninput v0 \"x\" F32 [1, 4, 9, 8]\n\
         v1 = conv(v0, w0, w1) kernel=[3,3] strides=[2,1] dilations=[1,1] before=[1,1] after=[1,1] groups=1\n\
         v2 = map(v1) fn=relu\n\
         v3 = pool(v2) fn=max kernel=[2,2] strides=[2,2] dilations=[1,1] before=[0,0] after=[0,0] groups=1 \
         output=[2,4] channels=first\noutput v3 \"y\"\n",
        &["Convolution", "ReLU", "MaxPool"],
    ),
    (
        "weight w0 \"w\" F32 [4, 2, 3, 3]\ninput v0 \"x\" F32 [2, 4, 5, 5]\n\
         v1 = conv(v0, w0) kernel=[3,3] strides=[1,1] dilations=[1,1] before=[1,1] after=[1,1] groups=2\n\
         v2 = map(v1) fn=hard_swish\nv3 = zip(v2, v0) fn=add\noutput v3 \"y\"\n",
        &["GroupConvolution", "HSwish", "Add"],
    ),
    (
        "weight w0 \"w\" F32 [8, 5]\ninput v0 \"x\" F32 [3, 8]\nv1 = matmul(v0, w0)\n\
         v2 = map(v1) fn=sigmoid\nv3 = softmax(v2) axis=1 log=false\noutput v3 \"y\"\n",
        &["MatMul", "Sigmoid", "SoftMax"],
    ),
    (
        "input v0 \"x\" F32 [2, 3, 4]\nv1 = view(v0) dims=[2,4,3] strides=[12,1,4] offset=0\n\
         v2 = reshape(v1) dims=[8,3]\nv3 = concat(v2, v2) axis=1\noutput v3 \"y\"\n",
        &["Transpose", "Concat"],
    ),
    (
        "weight w0 \"w\" F32 [6, 3, 3, 4]\nweight w1 \"b\" F32 [6]\ninput v0 \"x\" F32 [1, 9, 8, 4]\n\
         v1 = conv_last(v0, w0, w1) kernel=[3,3] strides=[1,1] dilations=[1,1] before=[1,1] after=[1,1] \
         groups=1 activation=relu requant=none\noutput v1 \"y\"\n",
        &["Transpose", "Convolution", "Add", "ReLU"],
    ),
];

/// Weights whose elements count up.
struct Counting;

impl WeightSource for Counting {
    fn read_rows(&self, _: &Weight, _: u64, out: &mut [u8]) -> Result<(), ReadError> {
        for (place, chunk) in (0u16..).zip(out.chunks_exact_mut(4)) {
            chunk.copy_from_slice(&(f32::from(place % 7) / 4.0 - 0.75).to_le_bytes());
        }
        Ok(())
    }
}

fn planned(text: &str) -> Plan {
    let graph = graph::text::parse(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    graph::compile(graph).unwrap()
}

#[test]
fn regions_are_written_as_layers() {
    for (text, kinds) in CASES {
        let plan = planned(text);
        for step in &plan.steps {
            assert_eq!(ir::check(step, &plan), Ok(()), "{text}");
        }
        let model = ir::write(&plan, &Counting).unwrap();
        for kind in kinds {
            assert!(model.xml.contains(&format!("type=\"{kind}\"")), "{kind}: {}", model.xml);
        }
        let weights: u64 = plan.weights.iter().map(|weight| weight.stored_bytes().0).sum();
        assert!(model.weights.len() as u64 >= weights);
    }
}

#[test]
fn what_has_no_counterpart_is_refused_with_a_reason() {
    for (text, why) in [
        (
            "input v0 \"x\" F32 [4]\nv1 = view(v0) dims=[2] strides=[2] offset=0\noutput v1 \"y\"\n",
            "leave out",
        ),
        ("input v0 \"x\" I64 [4]\nv1 = zip(v0, v0) fn=add\noutput v1 \"y\"\n", "I64"),
        ("input v0 \"x\" F32 [4]\nv1 = map(v0) fn=sin\noutput v1 \"y\"\n", "Sin"),
    ] {
        let plan = planned(text);
        let reason = ir::check(&plan.steps[0], &plan).unwrap_err();
        assert!(reason.contains(why), "{reason}");
    }
}

#[test]
fn a_folder_without_the_library_is_told() {
    let error = OpenVino::open(Some(Path::new("/nowhere")), None).unwrap_err();
    assert_eq!(error, OpenError::Missing("/nowhere".into()));
    assert!(error.to_string().contains("/nowhere: has no libopenvino_c.so"));
}

/// Outputs of a plan on a backend, whose input counts up.
fn run(text: &str, backend: &dyn Backend) -> Vec<f32> {
    let mut plan = planned(text);
    plan.place(backend).unwrap();
    let mut grant = Grant::new(plan.promise().total());
    let program = backend.load(plan, Arc::new(Counting), &mut grant, &Uncontrolled).unwrap();
    let mut grant = Grant::new(program.plan().promise().total());
    let mut state = program.state(&mut grant).unwrap();
    for (place, chunk) in (0u16..).zip(state.input(0).chunks_exact_mut(4)) {
        chunk.copy_from_slice(&(f32::from(place % 11) / 8.0 - 0.5).to_le_bytes());
    }
    state.run(&[], &Uncontrolled).unwrap();
    let bytes = state.output(0).as_chunks::<4>().0;
    bytes.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test that needs a library finds it this way")]
fn results_are_the_processors() {
    let Some(folder) = std::env::var_os("LEDGE_OPENVINO") else {
        return;
    };
    let openvino = OpenVino::open(Some(Path::new(&folder)), NonZeroUsize::new(1)).unwrap();
    let cpu = CpuBackend::new(NonZeroUsize::MIN).unwrap();
    for (text, _) in CASES {
        let (got, want) = (run(text, &openvino), run(text, &cpu));
        assert!(got.len() <= want.len() && !got.is_empty());
        for (a, b) in got.iter().zip(&want) {
            // Sums in another order.
            assert!((a - b).abs() <= 1e-5 * b.abs().max(1.0), "{a} {b}: {text}");
        }
    }
}
