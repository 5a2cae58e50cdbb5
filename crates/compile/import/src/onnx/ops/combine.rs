//! Operators that newer opsets define by a few others.

use super::super::call::{Call, Outputs, one};
use crate::network::Builder;
use plan::array::Map;

pub(super) fn swiglu(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let alpha = call.float("alpha", 1.0)?;
    let gate = b.map(Map::Swish { alpha }, call.tensor(0)?)?;
    one(b.mul(&gate, call.tensor(1)?)?)
}
