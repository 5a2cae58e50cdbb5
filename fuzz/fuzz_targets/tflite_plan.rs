//! TFLite networks from bytes to a plan: read, imported for the extents they declare, compiled.
#![no_main]

use formats::tflite::Model;
use import::tflite::Profile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    let Ok(model) = Model::parse(file) else { return };
    let network = import::tflite::Network::new(file, &model);
    ledge_fuzz::network::plan(file, network.inputs(), |bound, host| {
        let variables = network.variables(host)?;
        network.import(bound, &variables, Profile::Tflm, host)
    });
});
