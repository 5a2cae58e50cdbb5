//! The graph's passes on a stage, and the constants that they ask for.
//!
//! A constant that passes want computed from others (a turned filter, a folded scale) is small and
//! computed at once, or it is remembered as what it is computed from and computed when a backend
//! reads it, part by part: weights are never held twice for a pass.

use super::{
    constants::{Constants, Held},
    derived::Derived,
};
use graph::{
    Graph,
    ops::array::Array,
    passes::{self, Fired},
};
use import::network::Numbers;
use plan::{ArrayOp, Weight};
use std::sync::Arc;
use tensor::{DType, Shape, TensorType};

/// Results up to this size are computed at once.
const EAGER_BYTES: u64 = 64 << 10;

/// Constants that are read or computed for one at most: a file may chain thousands, or read each twice.
const STEPS_MAX: usize = 64;

/// Runs the passes but for those in `off`.
pub(super) fn run(graph: &mut Graph, constants: &mut Constants, off: &[&str]) -> Vec<Fired> {
    let fired = passes::run(graph, &mut Deriver { constants, made: 0 }, off);
    constants.keep(graph);
    fired
}

/// Serves the passes.
struct Deriver<'c> {
    constants: &'c mut Constants,
    made: usize,
}

impl Deriver<'_> {
    fn find(&self, weight: &Weight) -> Option<(Held, DType, Shape)> {
        let TensorType::Plain(dtype) = weight.ty else { return None };
        (weight.first == 0).then_some(())?;
        Some((self.constants.find(&weight.tensor)?, dtype, weight.shape))
    }
}

impl Deriver<'_> {
    /// A constant under a new name.
    fn add(&mut self, held: Held, Array { dtype, dims }: Array) -> Weight {
        let name = format!("~{}", self.made);
        self.made += 1;
        self.constants.insert(name.clone(), held);
        Weight { tensor: name, ty: TensorType::Plain(dtype), shape: dims, first: 0 }
    }
}

impl passes::Constants for Deriver<'_> {
    fn numbers(&mut self, weight: &Weight) -> Option<Vec<f64>> {
        let (held, dtype, dims) = self.find(weight)?;
        let bytes = held.all(dtype, dims).ok()?;
        Some(Numbers { dtype, bytes: &bytes }.floats())
    }

    fn number(&mut self, dtype: DType, value: f32) -> Option<Weight> {
        let mut one = [0; 8];
        match dtype {
            DType::F32 => one[..4].copy_from_slice(&value.to_le_bytes()),
            DType::F64 => one.copy_from_slice(&f64::from(value).to_le_bytes()),
            _ => return None,
        }
        Some(self.add(Held::Splat(one), Array { dtype, dims: Shape::SCALAR }))
    }

    fn codes(&mut self, dtype: DType) -> Option<Weight> {
        let all = match dtype {
            DType::I8 => (i8::MIN..=i8::MAX).map(i8::cast_unsigned).collect::<Vec<u8>>(),
            DType::U8 => (u8::MIN..=u8::MAX).collect(),
            _ => return None,
        };
        let array = Array { dtype, dims: Shape::new(&[256])? };
        Some(self.add(Held::Bytes(all.into()), array))
    }

    fn derive(
        &mut self,
        op: &ArrayOp,
        operands: &[Option<&Weight>],
        result: Array,
    ) -> Option<Weight> {
        let mut found = Vec::with_capacity(operands.len());
        for operand in operands {
            found.push(match operand {
                Some(weight) => Some(self.find(weight)?),
                None => None,
            });
        }
        let held = match (op, found.first()) {
            (ArrayOp::Reshape { .. }, Some(Some((held, ..)))) => held.clone(),
            (ArrayOp::View(_), Some(Some((Held::Splat(one), ..)))) => Held::Splat(*one),
            _ => {
                let Array { dtype, dims } = result;
                let derived = Derived::new(*op, found, dtype, dims);
                if derived.steps() > STEPS_MAX {
                    return None;
                }
                if dims.elements()?.checked_mul(dtype.bytes())? <= EAGER_BYTES {
                    Held::Bytes(derived.all().ok()?.into())
                } else {
                    Held::Derived(Arc::new(derived))
                }
            }
        };
        Some(self.add(held, result))
    }
}

#[cfg(test)]
mod tests;
