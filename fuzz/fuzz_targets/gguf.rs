//! GGUF headers: read, written again by our writer, and read again to the same table.
//!
//! The last byte says how much longer the file is than the input, so that files with large
//! tensors need not be there.
#![no_main]

use formats::{
    FormatError,
    gguf::{Gguf, Writer},
};
use ledge_fuzz::{bounded, printable, disjoint};
use libfuzzer_sys::fuzz_target;
use tensor::Bytes;

fuzz_target!(|input: &[u8]| {
    let Some((&longer, file)) = input.split_last() else { return };
    let length = file.len() as u64 + (1u64 << (longer & 63)) - 1;
    let gguf = match bounded(file, |file| Gguf::parse(file, Bytes(length))) {
        Ok(gguf) => gguf,
        Err(FormatError::NeedMore { at_least }) => {
            assert!((file.len() as u64) < at_least.0 && at_least.0 <= length);
            return;
        }
        Err(error) => return printable(&error),
    };
    disjoint(gguf.tensors(), length);
    let _ = gguf.split().inspect_err(|error| printable(error));
    let _ = Gguf::merge(vec![gguf.clone()]).inspect_err(|error| printable(error));
    for (key, _) in gguf.metadata().iter() {
        let get = gguf.metadata();
        let _ = get.get_u32(key).inspect_err(|error| printable(error));
        let _ = get.get_f32(key);
        let _ = get.get_i32_array(key);
        let _ = get.get_f32_array(key);
        let _ = get.get_str_array(key).map(|strings| strings.iter().for_each(drop));
    }
    let mut writer = Writer::new(gguf.metadata().clone()).version(gguf.version());
    for tensor in gguf.tensors() {
        writer.tensor(&tensor.name, tensor.ty, tensor.shape).expect("it was just read");
    }
    // Without the gaps that the file may have, it cannot be longer; with padding it may be.
    if let Ok(layout) = writer.layout() {
        let names = |table: &formats::TensorTable| {
            table.iter().map(|t| (t.name.clone(), t.ty, t.shape, t.bytes)).collect::<Vec<_>>()
        };
        assert_eq!(names(layout.tensors()), names(gguf.tensors()));
    }
});
