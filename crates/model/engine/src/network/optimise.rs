//! The graph's passes on a stage, and the constants that they ask for.
//!
//! A constant that passes want computed from others (a turned filter, a folded scale) is small and
//! computed at once, or it is remembered as what it is computed from and computed when a backend
//! reads it, part by part: weights are never held twice for a pass.

use super::constants::{Constants, Held};
use graph::{
    Graph,
    ops::array::Array,
    passes::{self, Fired},
};
use import::network::Numbers;
use plan::{
    ArrayOp, Weight,
    array::{View, Zip},
};
use reference::Fault;
use std::{borrow::Cow, sync::Arc};
use tensor::{DType, Shape, TensorRef, TensorType};

/// Results up to this size are computed at once.
const EAGER_BYTES: u64 = 64 << 10;

/// Runs the passes but for those in `off`.
pub(super) fn run(graph: &mut Graph, constants: &mut Constants, off: &[&str]) -> Vec<Fired> {
    let fired = passes::run(graph, &mut Deriver { constants, made: 0 }, off);
    constants.keep(graph);
    fired
}

/// A constant that is computed when it is read.
#[derive(Debug)]
pub(super) struct Derived {
    op: ArrayOp,
    operands: Vec<Option<(Held, DType, Shape)>>,
    dtype: DType,
    dims: Shape,
}

impl Derived {
    /// All bytes.
    pub(super) fn evaluate(&self) -> Result<Vec<u8>, Fault> {
        self.rows(0, self.dims.first().copied().unwrap_or(1))
    }

    /// The bytes from `start` on; computes no more than the rows that hold them.
    pub(super) fn read(&self, start: usize, out: &mut [u8]) -> Result<(), Fault> {
        let (rows, bytes) = self.split();
        let first = start as u64 / bytes.max(1);
        let last = ((start + out.len()) as u64).div_ceil(bytes.max(1)).min(rows);
        let part = self.rows(first, last - first)?;
        let skip = start - usize::try_from(first * bytes).unwrap_or(0);
        out.copy_from_slice(&part[skip..skip + out.len()]);
        Ok(())
    }

    /// How many rows there are along the first dimension, and the bytes of one.
    fn split(&self) -> (u64, u64) {
        let rows = self.dims.first().copied().unwrap_or(1);
        let row: u64 = self.dims.iter().skip(1).product();
        (rows, row.saturating_mul(self.dtype.bytes()))
    }

    /// Some rows: computed from the same rows of the operands, where the operator keeps to them.
    fn rows(&self, first: u64, count: u64) -> Result<Vec<u8>, Fault> {
        let (rows, _) = self.split();
        let all = count == rows;
        let part = |dims: Shape, count| {
            let mut dims = dims.to_vec();
            if let Some(first) = dims.first_mut() {
                *first = count;
            }
            Shape::new(&dims).unwrap_or(Shape::SCALAR)
        };
        let apart = !all && self.keeps_rows();
        let (from, taken) = if apart { (first, count) } else { (0, rows) };
        let mut held = Vec::with_capacity(self.operands.len());
        for operand in &self.operands {
            let Some((constant, dtype, dims)) = operand else {
                held.push(None);
                continue;
            };
            let follows = dims.len() == self.dims.len() && dims.first() == self.dims.first();
            held.push(Some(if apart && follows {
                let bytes = constant.range(*dtype, *dims, from, taken)?;
                (bytes, *dtype, part(*dims, taken))
            } else {
                (constant.bytes(*dtype, *dims)?, *dtype, *dims)
            }));
        }
        let mut refs = Vec::with_capacity(held.len());
        for operand in &held {
            refs.push(match operand {
                Some((bytes, dtype, dims)) => {
                    let view = TensorRef::new((*dtype).into(), *dims, bytes);
                    Some(view.map_err(|_| Fault::Size(*dims))?)
                }
                None => None,
            });
        }
        let dims = part(self.dims, taken);
        let op = match self.op {
            ArrayOp::View(view) => ArrayOp::View(View { dims: part(view.dims, taken), ..view }),
            op => op,
        };
        let bytes = match factors(&op, &refs, dims) {
            Some(bytes) => bytes,
            None => reference::evaluate(&op, &refs, self.dtype, dims)?,
        };
        if apart || all {
            return Ok(bytes);
        }
        let (_, row) = self.split();
        let at = |rows: u64| usize::try_from(rows * row).unwrap_or(usize::MAX);
        Ok(bytes[at(first)..at(first + count)].to_vec())
    }

    /// Whether a row of the result is computed from the same row of each operand that has as many.
    fn keeps_rows(&self) -> bool {
        match (&self.op, self.operands.first()) {
            (ArrayOp::Map(_) | ArrayOp::Zip(_), _) => true,
            (ArrayOp::View(view), Some(Some((_, _, dims)))) => {
                let row: u64 = dims.iter().skip(1).product();
                let reach = view.dims.iter().zip(view.strides.iter()).skip(1);
                let reach: Option<u64> = reach
                    .map(|(&dim, &stride)| {
                        Some(dim.saturating_sub(1) * u64::try_from(stride).ok()?)
                    })
                    .sum();
                dims.len() == self.dims.len()
                    && dims.first() == self.dims.first()
                    && view.offset == 0
                    && view.strides.first().is_some_and(|&s| u64::try_from(s) == Ok(row))
                    && reach.is_some_and(|reach| reach < row)
            }
            _ => false,
        }
    }
}

/// A product of singles with one factor a row, which is what most folded scales are.
fn factors(op: &ArrayOp, operands: &[Option<TensorRef<'_>>], dims: Shape) -> Option<Vec<u8>> {
    let (ArrayOp::Zip(Zip::Multiply), [Some(x), Some(by)]) = (op, operands) else { return None };
    let single = TensorType::Plain(DType::F32);
    let rows = *dims.first()?;
    let each = by.shape().len() == dims.len()
        && by.shape().elements() == Some(rows)
        && by.shape().first() == Some(&rows);
    if x.ty() != single || by.ty() != single || x.shape() != dims || !each || rows == 0 {
        return None;
    }
    let number = |bytes: &[u8; 4]| f32::from_le_bytes(*bytes);
    let row = x.bytes().len() / usize::try_from(rows).ok()?;
    let mut out = Vec::with_capacity(x.bytes().len());
    let by = by.bytes().as_chunks::<4>().0;
    for (row, by) in x.bytes().chunks_exact(row.max(1)).zip(by) {
        let by = number(by);
        let row = row.as_chunks::<4>().0.iter();
        out.extend(row.flat_map(|x| (number(x) * by).to_le_bytes()));
    }
    Some(out)
}

impl Held {
    /// All bytes of a constant of this type and these extents.
    pub(super) fn bytes(&self, dtype: DType, dims: Shape) -> Result<Cow<'_, [u8]>, Fault> {
        Ok(match self {
            Self::Piece(piece) => {
                let mut bytes = vec![0; piece.len()];
                piece.read(0, &mut bytes).map_err(|_| Fault::Size(dims))?;
                Cow::Owned(bytes)
            }
            Self::Bytes(bytes) => Cow::Borrowed(bytes),
            Self::Splat(one) => {
                let size = tensor::view::tensor_bytes(dtype.into(), dims);
                let size = size.ok().and_then(tensor::Bytes::to_usize);
                let width = usize::try_from(dtype.bytes()).unwrap_or(8);
                let size = size.ok_or(Fault::Size(dims))?;
                one[..width].iter().copied().cycle().take(size).collect()
            }
            Self::Derived(derived) => Cow::Owned(derived.evaluate()?),
        })
    }

    /// The bytes of some rows along the first dimension.
    fn range(
        &self,
        dtype: DType,
        dims: Shape,
        first: u64,
        count: u64,
    ) -> Result<Cow<'_, [u8]>, Fault> {
        let row = dims.iter().skip(1).product::<u64>().saturating_mul(dtype.bytes());
        let at = |rows: u64| usize::try_from(rows.saturating_mul(row)).unwrap_or(usize::MAX);
        let (start, end) = (at(first), at(first + count));
        Ok(match self {
            Self::Piece(piece) => {
                let mut out = vec![0; end - start];
                piece.read(start, &mut out).map_err(|_| Fault::Size(dims))?;
                Cow::Owned(out)
            }
            Self::Bytes(bytes) => Cow::Borrowed(bytes.get(start..end).ok_or(Fault::Size(dims))?),
            Self::Derived(derived) => {
                let mut out = vec![0; end - start];
                derived.read(start, &mut out)?;
                Cow::Owned(out)
            }
            Self::Splat(_) => Cow::Owned(self.bytes(dtype, dims)?[start..end].to_vec()),
        })
    }
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
        let bytes = held.bytes(dtype, dims).ok()?;
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
                let derived = Derived { op: *op, operands: found, dtype, dims };
                if dims.elements()?.checked_mul(dtype.bytes())? <= EAGER_BYTES {
                    Held::Bytes(derived.evaluate().ok()?.into())
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
