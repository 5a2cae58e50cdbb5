//! Runs a network with an operator of your own: `y = my.Swing(a)`, here as an ONNX file inside.
#![expect(clippy::print_stdout, reason = "examples print")]

use ledge::{
    Array, DType, Network, Operator, OperatorError, Shape, TensorRef,
    operator::{Call, Setting},
};
use std::{error::Error, sync::Arc};

/// `y = Swing(a)` of the domain `my`, with the attribute `by = 3`.
const SWING: &[u8] =
    b"\x08\x08:C\x0a\x1c\x0a\x01a\x12\x01y\x22\x05Swing*\x09\x0a\x02by\x18\x03\xa0\x01\x02\
    :\x02my\x12\x01gZ\x0f\x0a\x01a\x12\x0a\x0a\x08\x08\x01\x12\x04\x0a\x02\x08\x04b\x0f\
    \x0a\x01y\x12\x0a\x0a\x08\x08\x01\x12\x04\x0a\x02\x08\x04B\x04\x0a\x00\x10\x11B\x06\
    \x0a\x02my\x10\x01";

/// Alternates the sign of each element, scaled by the attribute `by`.
#[derive(Debug)]
struct Swing;

impl Operator for Swing {
    fn results(&self, call: &Call) -> Result<Vec<(DType, Shape)>, OperatorError> {
        match call.operands.as_slice() {
            [Some(x)] if x.dtype == DType::F32 => Ok(vec![(x.dtype, x.dims)]),
            _ => Err("takes one array of F32".into()),
        }
    }

    fn run(
        &self,
        call: &Call,
        inputs: &[Option<TensorRef<'_>>],
        _scratch: &mut [u8],
        outputs: &mut [&mut [u8]],
    ) -> Result<(), OperatorError> {
        let by = match call.attributes.get("by") {
            Some(Setting::Int(by)) => *by as f32,
            _ => 1.0,
        };
        let x = inputs.first().copied().flatten().ok_or("nothing is given")?;
        let (x, y) = (x.bytes().chunks_exact(4), outputs[0].chunks_exact_mut(4));
        for ((i, x), y) in x.enumerate().zip(y) {
            let x = f32::from_le_bytes([x[0], x[1], x[2], x[3]]) * by;
            y.copy_from_slice(&(if i % 2 == 0 { x } else { -x }).to_le_bytes());
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut network = Network::from_bytes(SWING.to_vec())?;
    network.register("my.Swing", Arc::new(Swing));
    let a = Array::from_f32(&[4], &[1.0, 2.0, 3.0, 4.0])?;
    for (name, array) in network.run(&[("a", a.view())])? {
        println!("{name} {}: {:?}", array.shape(), array.to_f32());
    }
    Ok(())
}
