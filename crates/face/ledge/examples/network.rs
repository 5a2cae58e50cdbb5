//! Runs a network on arrays: a file of your own with its inputs as zeros, or a small one inside.
#![expect(clippy::print_stdout, reason = "examples print")]

use ledge::{Array, Network};
use std::error::Error;

/// `sum = Add(a, b)` over arrays of any length, as an ONNX file.
const ADD: &[u8] =
    b"\x08\x08:O\x0a\x10\x0a\x01a\x0a\x01b\x12\x03sum\x22\x03Add\x12\x03addZ\x10\x0a\x01a\
    \x12\x0b\x0a\x09\x08\x01\x12\x05\x0a\x03\x12\x01nZ\x10\x0a\x01b\x12\x0b\x0a\x09\x08\
    \x01\x12\x05\x0a\x03\x12\x01nb\x12\x0a\x03sum\x12\x0b\x0a\x09\x08\x01\x12\x05\x0a\
    \x03\x12\x01nB\x04\x0a\x00\x10\x11";

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(path) = std::env::args().nth(1) {
        let network = ledge::open(&path)?;
        for input in network.inputs() {
            println!("takes {} {:?}", input.name, input.dims);
        }
        return Ok(());
    }
    let network = Network::from_bytes(ADD.to_vec())?;
    // The extents are bound by what is given; other lengths are bound anew.
    for (a, b) in [(&[1.5, 2.5, 3.5][..], &[2.0, 4.0, 6.0][..]), (&[7.0], &[0.25])] {
        let a = Array::from_f32(&[a.len() as u64], a)?;
        let b = Array::from_f32(&[b.len() as u64], b)?;
        for (name, array) in network.run(&[("a", a.view()), ("b", b.view())])? {
            println!("{name} {}: {:?}", array.shape(), array.to_f32());
        }
    }
    Ok(())
}
