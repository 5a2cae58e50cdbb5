//! Random numbers. They are drawn while importing, from a seed that the node gives or that its
//! output's name stands for: a binding has the same ones in every run, on every machine.

use super::{
    super::{
        call::{Call, Outputs, one},
        constant,
    },
    elementwise::code,
    shape::extents,
};
use crate::network::{Builder, Fault, Tensor};
use plan::array::Zip;
use std::f64::consts::TAU;
use tensor::DType;

/// Numbers that one node may draw.
const NUMBERS_MAX: u64 = 1 << 26;

/// `SplitMix64` (Steele, Lea and Flood 2014).
struct Source(u64);

impl Source {
    /// Seeded by the attribute, else by the name of what is drawn.
    fn new(call: &Call<'_>) -> Result<Self, Fault> {
        let own = call.attribute("seed").map(|_| call.float("seed", 0.0)).transpose()?;
        let name = call.node.outputs.first().copied().unwrap_or_default();
        // FNV-1a.
        let of_name = || {
            name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            })
        };
        Ok(Self(own.map_or_else(of_name, |seed| u64::from(seed.to_bits()))))
    }

    /// From 0 to below 1.
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Mean 0, deviation 1 (Box and Muller 1958).
    fn normal(&mut self) -> f64 {
        let (radius, angle) = (1.0 - self.uniform(), self.uniform());
        (-2.0 * radius.ln()).sqrt() * (TAU * angle).cos()
    }
}

fn draw(
    b: &mut Builder<'_>,
    dtype: DType,
    dims: &[u64],
    mut next: impl FnMut() -> f64,
) -> Result<Tensor, Fault> {
    let count = dims.iter().try_fold(1u64, |n, &dim| n.checked_mul(dim));
    let count = count.filter(|&n| n <= NUMBERS_MAX);
    let count = count.ok_or_else(|| Fault::invalid(format!("random numbers of {dims:?}")))?;
    b.room(count, DType::F64)?;
    let list: Vec<f64> = (0..count).map(|_| next()).collect();
    b.numbers(dtype, dims, &list)
}

/// Type and extents: those of the operand, if there is one, else of the attributes.
fn kind(call: &Call<'_>, like: Option<&Tensor>) -> Result<(DType, Vec<u64>), Fault> {
    let own = like.map(|x| x.dtype).filter(|dtype| dtype.is_float()).unwrap_or(DType::F32);
    let dtype = match call.int("dtype", 0)? {
        0 => own,
        wanted => constant::element(code(wanted)?)?.0,
    };
    let dims = match like {
        Some(x) => x.dims.to_vec(),
        None => extents(call.ints("shape")?.unwrap_or_default())?,
    };
    Ok((dtype, dims))
}

fn normal_of(b: &mut Builder<'_>, call: &Call<'_>, like: Option<&Tensor>) -> Outputs {
    let (dtype, dims) = kind(call, like)?;
    let (mean, scale) = (call.float("mean", 0.0)?, call.float("scale", 1.0)?);
    let mut source = Source::new(call)?;
    let next = || f64::from(mean) + f64::from(scale) * source.normal();
    one(draw(b, dtype, &dims, next)?)
}

fn uniform_of(b: &mut Builder<'_>, call: &Call<'_>, like: Option<&Tensor>) -> Outputs {
    let (dtype, dims) = kind(call, like)?;
    let (low, high) = (f64::from(call.float("low", 0.0)?), f64::from(call.float("high", 1.0)?));
    let mut source = Source::new(call)?;
    one(draw(b, dtype, &dims, || low + (high - low) * source.uniform())?)
}

pub(super) fn normal(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    normal_of(b, call, None)
}

pub(super) fn normal_like(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    normal_of(b, call, Some(call.tensor(0)?))
}

pub(super) fn uniform(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    uniform_of(b, call, None)
}

pub(super) fn uniform_like(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    uniform_of(b, call, Some(call.tensor(0)?))
}

/// One where a number that was drawn is below the operand.
pub(super) fn bernoulli(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    let to = match call.int("dtype", 0)? {
        0 => x.dtype,
        wanted => constant::element(code(wanted)?)?.0,
    };
    let mut source = Source::new(call)?;
    let drawn = draw(b, x.dtype, &x.dims, || source.uniform())?;
    let hit = b.zip(Zip::Less, &drawn, x)?;
    one(b.cast(&hit, to)?)
}
