//! What a network is measured on: arrays from files, one number throughout, or random elements.
//!
//! Random elements are the same in every run of the program: floats between -1 and 1, bytes of any
//! value, and 0 or 1 for wider integers, which usually are ids or masks.

use crate::{
    args::Bench,
    failure::{Failure, Result},
    verbs::network,
};
use engine::Network;
use import::onnx;
use ledge::Array;
use tensor::{DType, Shape};

/// An array for each of the network's inputs.
pub(super) fn inputs(args: &Bench, network: &Network) -> Result<Vec<(String, Array)>> {
    let (numbers, files): (Vec<_>, Vec<_>) =
        args.input.iter().partition(|flag| number(flag).is_some());
    let files: Vec<String> = files.into_iter().cloned().collect();
    let mut arrays = network::inputs(&files, network)?;
    let mut shapes: Vec<(&str, Shape)> =
        args.shape.iter().map(|(name, shape)| (name.as_str(), *shape)).collect();
    shapes.extend(arrays.iter().map(|(name, array)| (name.as_str(), array.shape())));
    let bound = network.bound(&shapes).map_err(|error| {
        Failure::from(error).hint("--shape NAME=1,3,224,224 gives an input's extents")
    })?;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for (declared, bound) in network.inputs().iter().zip(bound) {
        if arrays.iter().any(|(name, _)| *name == declared.name) {
            continue;
        }
        let onnx::Bound { dtype, dims } = bound;
        let fill = numbers.iter().find_map(|flag| {
            let (name, value) = number(flag)?;
            (name == declared.name).then_some(value)
        });
        let elements = dims.elements().and_then(|n| usize::try_from(n).ok());
        let too_large = || Failure::usage(format!("{dims} is too large")).at(&declared.name);
        let elements = elements.ok_or_else(too_large)?;
        let mut bytes = Vec::new();
        for _ in 0..elements {
            random.write(dtype, fill, &mut bytes);
        }
        let array = Array::new(dtype, dims.dims(), bytes);
        let array = array.map_err(|error| Failure::usage(crate::failure::chain(&error)))?;
        arrays.push((declared.name.clone(), array));
    }
    for (name, _) in numbers.iter().filter_map(|flag| number(flag)) {
        if network.inputs().iter().all(|declared| declared.name != name) {
            return Err(Failure::usage(format!("there is no input `{name}`")).at("--input"));
        }
    }
    Ok(arrays)
}

/// `NAME=NUMBER` in two.
fn number(flag: &str) -> Option<(&str, f64)> {
    let (name, value) = flag.split_once('=')?;
    Some((name, value.parse().ok()?))
}

/// Numbers that look random (Vigna 2014, "An experimental exploration of Marsaglia's xorshift
/// generators, scrambled"; xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// Appends an element, of this value if there is one.
    #[expect(clippy::cast_possible_truncation, reason = "what is drawn is cut to the type")]
    fn write(&mut self, dtype: DType, fill: Option<f64>, bytes: &mut Vec<u8>) {
        let drawn = self.next();
        let float = fill.unwrap_or_else(|| (drawn % (1 << 24)) as f64 / f64::from(1 << 23) - 1.0);
        let byte = fill.map_or(drawn as u8, |fill| fill as i64 as u8);
        let wide = fill.map_or((drawn % 2).cast_signed(), |fill| fill as i64);
        let half = |one: u16, minus: u16| if float < 0.0 { minus } else { one };
        match dtype {
            DType::F32 => bytes.extend((float as f32).to_le_bytes()),
            DType::F64 => bytes.extend(float.to_le_bytes()),
            // 0.5 and -0.5: what matters is that they are neither 0 nor large.
            DType::F16 => bytes.extend(half(0x3800, 0xb800).to_le_bytes()),
            DType::BF16 => bytes.extend(half(0x3f00, 0xbf00).to_le_bytes()),
            DType::Bool => bytes.push(u8::from(wide != 0)),
            DType::I8 | DType::U8 => bytes.push(byte),
            _ => {
                let width = usize::try_from(dtype.bytes()).unwrap_or(8);
                bytes.extend(&wide.to_le_bytes()[..width]);
            }
        }
    }
}
