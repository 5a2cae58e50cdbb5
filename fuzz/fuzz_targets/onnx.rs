//! ONNX networks: read, and everything that is decoded on demand decoded.
#![no_main]

use formats::onnx::{Contents, Model, Tensor};
use ledge_fuzz::{bounded, printable};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    let model = match bounded(file, Model::parse) {
        Ok(model) => model,
        Err(error) => return printable(&error),
    };
    model.for_each_tensor(&mut |tensor| match &tensor.contents {
        Contents::Bytes(_) | Contents::Typed(_) => {
            let bytes = tensor.bytes().expect("it is here");
            assert_eq!(Some(bytes.len() as u64), tensor.byte_len());
        }
        Contents::Strings(strings) => assert_eq!(strings.len() as u64, tensor.elements()),
        Contents::External(external) => {
            let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
            assert!(external.location.split('/').all(plain), "{:?}", external.location);
            assert!(external.offset.checked_add(external.length).is_some());
        }
    });
    assert_eq!(model.external().len() as u64, {
        let mut count = 0;
        model.for_each_tensor(&mut |tensor| {
            count += u64::from(matches!(tensor.contents, Contents::External(_)));
        });
        count
    });
    // The same bytes as a tensor of a test suite.
    let _ = bounded(file, Tensor::parse).inspect_err(|error| printable(error));
});
