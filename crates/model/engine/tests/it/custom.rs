//! Operators that a program registers: in ONNX by domain, in TFLite by name, with their faults.

use crate::{
    allocations::counted,
    onnx_file::{Proto, attribute, graph, model, node, value},
    raw::Flat,
};
use import::onnx::NetworkError;
use ledge_engine::{
    EngineError,
    network::{Array, Call, Network, Operand, Operator, OperatorError, Setting},
};
use std::sync::Arc;
use tensor::{Bytes, DType, Shape, TensorRef};

/// Adds `by` to each element of the first operand, and what the second one has; gives the sum and its
/// double. Codes stand for real numbers by their scale.
#[derive(Debug)]
struct Shift {
    scratch: Bytes,
    results: Option<Vec<(DType, Shape)>>,
    fails: bool,
}

fn shift() -> Shift {
    Shift { scratch: Bytes(64), results: None, fails: false }
}

fn floats(x: TensorRef<'_>, operand: &Operand) -> Vec<f32> {
    match (operand.dtype, operand.scale) {
        (DType::I8, Some(scale)) => {
            let real = |code: &u8| f32::from(code.cast_signed()) - scale.zero as f32;
            x.bytes().iter().map(|code| real(code) * scale.scale).collect()
        }
        _ => x.bytes().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
    }
}

impl Operator for Shift {
    fn results(&self, call: &Call) -> Result<Vec<(DType, Shape)>, OperatorError> {
        if let Some(results) = &self.results {
            return Ok(results.clone());
        }
        let Some(Some(x)) = call.operands.first() else { return Err("needs an operand".into()) };
        Ok(vec![(x.dtype, x.dims); call.results.len()])
    }

    fn scratch(&self, _: &Call) -> Bytes {
        self.scratch
    }

    fn run(
        &self,
        call: &Call,
        inputs: &[Option<TensorRef<'_>>],
        scratch: &mut [u8],
        outputs: &mut [&mut [u8]],
    ) -> Result<(), OperatorError> {
        if self.fails {
            return Err("has no luck today".into());
        }
        assert_eq!(scratch.len() as u64, self.scratch.0);
        let by = match (call.attributes.get("by"), call.options.first()) {
            (Some(Setting::Int(by)), _) => *by as f32,
            (_, Some(by)) => f32::from(*by),
            _ => 0.0,
        };
        let x = floats(inputs[0].unwrap(), call.operands[0].as_ref().unwrap());
        let more = match (inputs.get(1), call.operands.get(1)) {
            (Some(Some(more)), Some(Some(operand))) => floats(*more, operand),
            _ => vec![0.0; x.len()],
        };
        for (turn, (output, declared)) in outputs.iter_mut().zip(&call.results).enumerate() {
            for (place, (a, b)) in x.iter().zip(&more).enumerate() {
                let sum = (a + b + by) * (turn + 1) as f32;
                match declared.scale {
                    Some(scale) => {
                        let code = (sum / scale.scale).round() + scale.zero as f32;
                        #[expect(clippy::cast_possible_truncation, reason = "casts saturate")]
                        let code = code as i8;
                        output[place] = code.cast_unsigned();
                    }
                    None => output[place * 4..][..4].copy_from_slice(&sum.to_le_bytes()),
                }
            }
        }
        Ok(())
    }
}

/// `y = Relu(Shift(2 a, w)), z = its second result`, where `w` is a constant or left out.
fn onnx(operands: &[&str], domain: &str) -> Vec<u8> {
    let shift = node("turn", "Shift", operands, &["s", "z"], &[attribute("by", 3)]);
    let shift = shift.text(7, domain);
    let nodes = [
        node("twice", "Add", &["a", "a"], &["d"], &[]),
        shift,
        node("cut", "Relu", &["s"], &["y"], &[]),
    ];
    let elements: Vec<u8> = [1f32, 2.0, 3.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    let w = Proto::default().int(1, 3).int(2, 1).text(8, "w").bytes(9, &elements);
    let outputs = [value("y", 1, &[-1]), value("z", 1, &[-1])];
    model(17, &graph(&nodes, &[value("a", 1, &[-1])], &outputs).bytes(5, &w.0))
}

/// An error with its causes.
fn told(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(told).unwrap_or_default();
    format!("{error}: {cause}")
}

#[expect(clippy::unwrap_in_result, reason = "a test fails by panicking")]
fn run(network: &Network, a: &[f32]) -> Result<Vec<Vec<f32>>, EngineError> {
    let a = Array::from_f32(&[a.len() as u64], a).expect("a vector");
    let out = network.run(&[("a", a.view())])?;
    Ok(out.iter().map(|(_, array)| array.to_f32().expect("singles")).collect())
}

/// Operands of the node, what goes in, and what comes out.
type Sample = (&'static [&'static str], &'static [f32], [&'static [f32]; 2]);

#[test]
fn registered_operators_run_between_the_others() {
    let cases: [Sample; 3] = [
        (&["d", "w"], &[1.0, -9.0, 0.5], [&[6.0, 0.0, 7.0], &[12.0, -26.0, 14.0]]),
        (&["d", ""], &[1.0, -9.0], [&[5.0, 0.0], &[10.0, -30.0]]),
        // What comes first is an input itself.
        (&["a", "d"], &[2.0], [&[9.0], &[18.0]]),
    ];
    for (operands, a, want) in cases {
        let mut network = Network::from_bytes(onnx(operands, "test")).unwrap();
        network.register("test.Shift", Arc::new(shift()));
        assert!(network.unsupported().is_empty());
        for _ in 0..2 {
            assert_eq!(run(&network, a).unwrap(), want, "{operands:?}");
        }
        let given = Array::from_f32(&[a.len() as u64], a).unwrap();
        let given = [("a", given.view())];
        let count = counted(|| drop(network.lend(&given).unwrap()));
        assert_eq!(count, 2, "only the operator itself allocates");
        let planned = network.plan(&[("a", Shape::new(&[a.len() as u64]).unwrap())]).unwrap();
        assert_eq!(planned.pending, None);
        let buffers = || planned.stages.iter().flat_map(|plan| &plan.buffers);
        for (name, bytes) in [("test.Shift.out1", 4 * a.len() as u64), ("test.Shift.scratch", 64)] {
            assert!(
                buffers().any(|buffer| buffer.name == name && buffer.bytes.0 == bytes),
                "{name}"
            );
        }
        assert!(network.promise().unwrap().total() >= Bytes(64));
    }
}

#[test]
fn nobody_registered_it_and_the_error_says_how() {
    for (domain, name) in [("test", "test.Shift"), ("", "Shift")] {
        let mut network = Network::from_bytes(onnx(&["d", "w"], domain)).unwrap();
        assert_eq!(network.unsupported()[0].op, name);
        let error = run(&network, &[1.0, 2.0, 3.0]).unwrap_err();
        let EngineError::Network { source, .. } = error else { panic!("{error}") };
        let said = source.to_string();
        assert!(said.contains(name) && said.contains("`turn`"), "{said}");
        assert!(said.contains("`Network::register`"), "{said}");
        // Another one's registration does not help.
        network.register("Other", Arc::new(shift()));
        assert!(run(&network, &[1.0, 2.0, 3.0]).is_err());
        network.register(name, Arc::new(shift()));
        assert!(run(&network, &[1.0, 2.0, 3.0]).is_ok());
    }
}

#[test]
fn what_a_registered_operator_does_wrong_is_an_error_with_its_node() {
    let shape = |dims: &[u64]| Shape::new(dims).unwrap();
    let one = (DType::F32, shape(&[3]));
    let cases = [
        (Shift { fails: true, ..shift() }, "has no luck today"),
        (Shift { results: Some(vec![one]), ..shift() }, "gives 1 results, the file reads 2"),
        (Shift { results: Some(vec![one; 40]), ..shift() }, "at most 32"),
        (
            Shift { results: Some(vec![one, (DType::F64, shape(&[1 << 40, 1 << 20]))]), ..shift() },
            "larger than any memory",
        ),
    ];
    for (operator, why) in cases {
        let mut network = Network::from_bytes(onnx(&["d", "w"], "test")).unwrap();
        network.register("test.Shift", Arc::new(operator));
        let error = told(&run(&network, &[1.0, 2.0, 3.0]).unwrap_err());
        assert!(error.contains(why) && error.contains("turn"), "{error}");
    }
    // It refuses what it is given: here nothing at all.
    let mut network = Network::from_bytes(onnx(&["", "w"], "test")).unwrap();
    network.register("test.Shift", Arc::new(shift()));
    let error = run(&network, &[1.0, 2.0, 3.0]).unwrap_err();
    let EngineError::Network { source: NetworkError::Node { node, op, reason }, .. } = error else {
        panic!("{error}")
    };
    assert_eq!((&*node, &*op, &*reason), ("turn", "test.Shift", "needs an operand"));
}

/// A TFLite file of one custom operator over codes of bytes.
fn tflite() -> Vec<u8> {
    let new = Flat::default;
    let scaled = |scale: f32, zero: i64| {
        new().claim(2, 1, &scale.to_le_bytes()).claim(3, 1, &zero.to_le_bytes())
    };
    let tensor = |name: &str, scale: f32, zero: i64| {
        let tensor = new().ints(0, &[4]).byte(1, 9).int(2, 0).bytes(3, name);
        tensor.table(4, scaled(scale, zero))
    };
    let tensors = [tensor("a", 0.5, 2), tensor("y", 0.25, -4)];
    let operator = new().int(0, 0).ints(1, &[0]).ints(2, &[1]).bytes(5, [7]);
    let graph = new().tables(0, &tensors).ints(1, &[0]).ints(2, &[1]).tables(3, &[operator]);
    let code = new().byte(0, 32).bytes(1, "Shift").int(3, 32);
    new().int(0, 3).tables(1, &[code]).tables(2, &[graph]).tables(4, &[new()]).file()
}

#[test]
fn custom_operators_of_tflite_get_their_options_and_scales() {
    let mut network = Network::from_bytes(tflite()).unwrap();
    let codes = |list: &[i8]| list.iter().map(|code| code.cast_unsigned()).collect::<Vec<u8>>();
    let a = Array::new(DType::I8, &[4], codes(&[2, 4, -10, 127])).unwrap();
    let error = told(&network.run(&[("a", a.view())]).unwrap_err());
    assert!(error.contains("Shift") && error.contains("`Network::register`"), "{error}");
    network.register("Shift", Arc::new(shift()));
    let out = network.run(&[("a", a.view())]).unwrap();
    // (code - 2) / 2 + 7 in quarters, from -4 on.
    assert_eq!(out[0].1.bytes(), codes(&[24, 28, 0, 127]));
}
