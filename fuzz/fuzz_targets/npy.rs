//! NumPy arrays: what is accepted is written again to the same header.
#![no_main]

use formats::npy::{self, Npy};
use ledge_fuzz::{bounded, printable};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    match bounded(file, |file| Npy::from_bytes(file).map(|(npy, bytes)| (npy, bytes.len()))) {
        Ok((npy, bytes)) => {
            assert_eq!(bytes as u64, npy.bytes.0);
            let mut written = Vec::new();
            npy::write_header(&mut written, npy.dtype, npy.shape).expect("it was just read");
            written.resize(written.len() + bytes, 0);
            let (again, _) = Npy::from_bytes(&written).expect("it was just written");
            assert_eq!((again.dtype, again.shape), (npy.dtype, npy.shape));
        }
        Err(error) => printable(&error),
    }
});
