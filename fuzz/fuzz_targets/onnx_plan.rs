//! ONNX networks from bytes to a plan: read, imported for the extents they declare, compiled.
#![no_main]

use formats::onnx::Model;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    let Ok(model) = Model::parse(file) else { return };
    match import::onnx::Network::new(file, &model) {
        Ok(network) => ledge_fuzz::network::plan(file, network.inputs(), |bound, host| {
            network.import(bound, host)
        }),
        Err(error) => ledge_fuzz::harmless(&error),
    }
});
