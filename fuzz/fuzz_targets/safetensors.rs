//! safetensors headers, and what is written of those that are accepted.
//!
//! The last byte says how much longer the file is than the input.
#![no_main]

use formats::{
    FormatError,
    safetensors::{Safetensors, Writer},
};
use ledge_fuzz::{bounded, printable, disjoint};
use libfuzzer_sys::fuzz_target;
use tensor::Bytes;

fuzz_target!(|input: &[u8]| {
    let Some((&longer, file)) = input.split_last() else { return };
    let length = file.len() as u64 + (1u64 << (longer & 63)) - 1;
    let read = match bounded(file, |file| Safetensors::parse(file, Bytes(length))) {
        Ok(read) => read,
        Err(FormatError::NeedMore { at_least }) => {
            assert!((file.len() as u64) < at_least.0 && at_least.0 <= length);
            return;
        }
        Err(error) => return printable(&error),
    };
    disjoint(read.tensors(), length);
    let mut writer = Writer::new();
    for (key, text) in read.metadata() {
        writer = writer.metadata(key, text);
    }
    for tensor in read.tensors() {
        writer.tensor(&tensor.name, tensor.ty, tensor.shape).expect("it was just read");
    }
    let layout = writer.layout().expect("what was read can be written");
    assert_eq!(layout.tensors().len(), read.tensors().len());
});
