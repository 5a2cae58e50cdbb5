//! TFLite networks: read, constants expanded, settings of every operator read as several kinds.
#![no_main]

use formats::tflite::{Model, options};
use ledge_fuzz::{bounded, printable};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    let model = match bounded(file, Model::parse) {
        Ok(model) => model,
        Err(error) => return printable(&error),
    };
    for graph in &model.subgraphs {
        for tensor in &graph.tensors {
            assert_eq!(tensor.dims().len(), tensor.shape.len());
            match model.expand(tensor) {
                Ok(Some(bytes)) => {
                    let need = tensor.ty.packed_bytes(tensor.elements());
                    assert!(need.is_none_or(|need| need == bytes.len() as u64));
                }
                Ok(None) => {}
                Err(error) => printable(&error),
            }
        }
        for operator in &graph.operators {
            let tensors = graph.tensors.len();
            let known = |idx: &Option<u32>| idx.is_none_or(|idx| (idx as usize) < tensors);
            assert!(operator.inputs.iter().chain(&operator.outputs).all(known));
            let _ = model.code(operator).to_string();
            let settings = &operator.options;
            let _ = options::Conv2d::read(settings).inspect_err(|error| printable(error));
            let _ = options::Lstm::read(settings).inspect_err(|error| printable(error));
            let _ = options::Cast::read(settings).inspect_err(|error| printable(error));
            let _ = options::variable(settings).inspect_err(|error| printable(error));
            let _ = options::reshape(settings).map(|shape| shape.iter().count());
        }
    }
});
