//! Constants that passes want computed from others: a turned filter, a folded scale.
//!
//! They are computed when a backend reads them, some rows at a time and straight into its memory, so that
//! no second copy of a weight exists. Most are products with a factor a row, or rows whose elements
//! change places; what is neither goes through `reference`, in rows where the operator keeps to them.

use super::constants::Held;
use import::network::HostError;
use plan::{
    ArrayOp,
    array::{View, Zip},
};
use std::{
    borrow::Cow,
    hash::{DefaultHasher, Hash as _},
    sync::{Mutex, PoisonError},
};
use tensor::{DType, Shape, TensorRef};

/// Bytes of an operand that are held at once, where rows are computed apart: they stay in a near cache,
/// and the allocator need not ask the system for them each time.
const ROWS_BYTES: usize = 64 << 10;

/// Rows of a matrix that are turned together: the elements of a cache line.
const TURNED: usize = 16;

/// A constant that is computed when it is read.
#[derive(Debug)]
pub(super) struct Derived {
    op: ArrayOp,
    operands: Vec<Option<Operand>>,
    dtype: DType,
    dims: Shape,
    way: Way,
    /// How many constants are read or computed for this one, through whatever it is computed from.
    steps: usize,
    /// All bytes, where they are computed at once: whoever reads some will read the others.
    whole: Mutex<Option<Vec<u8>>>,
}

/// A constant that another is computed from.
type Operand = (Held, DType, Shape);

/// How rows along the first dimension are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Singles of the first operand, each row times its factor of the second one.
    Scaled,
    /// Elements of the first operand's same row in another order.
    Moved,
    /// Columns of the first operand, a matrix.
    Turned,
    /// The operands' rows, one operand after the other.
    Joined,
    /// From the same rows of each operand that has as many.
    Rows,
    /// All at once.
    Whole,
}

impl Derived {
    /// What `op` gives for these constants.
    pub(super) fn new(
        op: ArrayOp,
        operands: Vec<Option<Operand>>,
        dtype: DType,
        dims: Shape,
    ) -> Self {
        let way = Way::of(&op, &operands, dims);
        let steps = operands.iter().flatten().map(|(held, ..)| match held {
            Held::Derived(derived) => derived.steps,
            Held::Piece(_) | Held::Bytes(_) | Held::Splat(_) => 1,
        });
        let steps = steps.fold(1, usize::saturating_add);
        Self { op, operands, dtype, dims, way, steps, whole: Mutex::default() }
    }

    /// How many constants are read or computed for this one.
    pub(super) const fn steps(&self) -> usize {
        self.steps
    }

    /// All bytes.
    pub(super) fn all(&self) -> Result<Vec<u8>, HostError> {
        let (rows, row) = self.split();
        let mut bytes = vec![0; rows.saturating_mul(row)];
        self.read(0, &mut bytes)?;
        Ok(bytes)
    }

    /// Fills `out` from byte `start` on; computes no more than the rows that hold it, where rows are
    /// computed apart.
    pub(super) fn read(&self, start: usize, out: &mut [u8]) -> Result<(), HostError> {
        let (rows, row) = self.split();
        if out.is_empty() || row == 0 {
            return Ok(());
        }
        let (first, last) = (start / row, (start + out.len()).div_ceil(row).min(rows));
        if start.is_multiple_of(row) && out.len().is_multiple_of(row) {
            return self.rows(first, out);
        }
        let mut some = vec![0; (last - first) * row];
        self.rows(first, &mut some)?;
        out.copy_from_slice(&some[start - first * row..][..out.len()]);
        Ok(())
    }

    /// Fills `out` with columns from `first` on, if these are rows of what it is computed from.
    pub(super) fn read_columns(&self, first: usize, out: &mut [u8]) -> Result<bool, HostError> {
        let (Way::Turned, [Some((x, dtype, dims))]) = (self.way, &self.operands[..]) else {
            return Ok(false);
        };
        let start = first.checked_mul(split(*dims).1 * width(*dtype));
        let start = start.ok_or_else(|| HostError::Read("a column behind its end".into()))?;
        x.read(*dtype, start, out)?;
        Ok(true)
    }

    /// Tells `state` what is computed from what.
    pub(super) fn identify(&self, state: &mut DefaultHasher) {
        (format!("{:?}", self.op), self.dtype, self.dims).hash(state);
        for operand in &self.operands {
            operand.is_some().hash(state);
            if let Some((held, dtype, dims)) = operand {
                (dtype, dims).hash(state);
                held.identify(state);
            }
        }
    }

    /// How many rows there are along the first dimension, and the bytes of one.
    fn split(&self) -> (usize, usize) {
        let (rows, elements) = split(self.dims);
        (rows, elements * width(self.dtype))
    }

    /// Fills `out` with whole rows from `first` on.
    fn rows(&self, first: usize, out: &mut [u8]) -> Result<(), HostError> {
        let (rows, row) = self.split();
        match (self.way, &self.operands[..], &self.op) {
            (Way::Scaled, [Some(x), Some(by)], _) => {
                let factors = by.0.all(by.1, by.2)?;
                x.0.read(x.1, first * row, out)?;
                let factors = factors.as_chunks().0.iter().skip(first);
                for (row, factor) in out.chunks_exact_mut(row).zip(factors) {
                    let factor = f32::from_le_bytes(*factor);
                    for x in row.as_chunks_mut().0 {
                        *x = (f32::from_le_bytes(*x) * factor).to_le_bytes();
                    }
                }
                Ok(())
            }
            (Way::Moved, [Some(x)], ArrayOp::View(view)) => {
                let from = split(x.2).1 * width(x.1);
                let some = (ROWS_BYTES / from.max(1)).max(1);
                let mut held = vec![0; from * some.min(out.len() / row)];
                for (i, out) in out.chunks_mut(row * some).enumerate() {
                    let count = out.len() / row;
                    let held = &mut held[..count * from];
                    x.0.read(x.1, (first + i * some) * from, held)?;
                    for (x, out) in held.chunks_exact(from).zip(out.chunks_exact_mut(row)) {
                        moved(view, width(self.dtype), x, out);
                    }
                }
                Ok(())
            }
            (Way::Turned, [Some(x)], _) => turned(x, first, out),
            (Way::Joined, operands, _) => {
                let (mut first, mut out) = (first, out);
                for (held, dtype, dims) in operands.iter().flatten() {
                    let (lines, _) = split(*dims);
                    let count = lines.saturating_sub(first).min(out.len() / row);
                    let (part, rest) = out.split_at_mut(count * row);
                    if count > 0 {
                        held.read(*dtype, first * row, part)?;
                    }
                    (first, out) = (first.saturating_sub(lines), rest);
                }
                Ok(())
            }
            (Way::Rows, _, _) => {
                let some = (ROWS_BYTES / row).max(1);
                for (i, out) in out.chunks_mut(row * some).enumerate() {
                    let first = first + i * some;
                    out.copy_from_slice(&self.evaluate(first, out.len() / row)?);
                }
                Ok(())
            }
            _ => {
                let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
                let whole = match &mut *whole {
                    Some(whole) => whole,
                    none => none.insert(self.evaluate(0, rows)?),
                };
                out.copy_from_slice(&whole[first * row..][..out.len()]);
                Ok(())
            }
        }
    }

    /// Some rows by `reference`; all of them unless they are computed apart.
    fn evaluate(&self, first: usize, count: usize) -> Result<Vec<u8>, HostError> {
        let fault = |fault: reference::Fault| HostError::Evaluate(fault.to_string());
        let all = count == split(self.dims).0;
        let mut held = Vec::with_capacity(self.operands.len());
        for operand in &self.operands {
            let Some((constant, dtype, dims)) = operand else {
                held.push(None);
                continue;
            };
            let follows = dims.len() == self.dims.len() && dims.first() == self.dims.first();
            held.push(Some(if all || !follows {
                (constant.all(*dtype, *dims)?, *dtype, *dims)
            } else {
                let row = split(*dims).1 * width(*dtype);
                let mut bytes = vec![0; count * row];
                constant.read(*dtype, first * row, &mut bytes)?;
                (Cow::Owned(bytes), *dtype, part(*dims, count))
            }));
        }
        let mut refs = Vec::with_capacity(held.len());
        for operand in &held {
            refs.push(match operand {
                Some((bytes, dtype, dims)) => {
                    let view = TensorRef::new((*dtype).into(), *dims, bytes);
                    Some(view.map_err(|_| fault(reference::Fault::Size(*dims)))?)
                }
                None => None,
            });
        }
        let dims = part(self.dims, count);
        reference::evaluate(&self.op, &refs, self.dtype, dims).map_err(fault)
    }
}

impl Way {
    fn of(op: &ArrayOp, operands: &[Option<Operand>], dims: Shape) -> Self {
        match (op, operands) {
            (ArrayOp::Zip(Zip::Multiply), [Some(x), Some(by)]) => {
                let single = x.1 == DType::F32 && by.1 == DType::F32;
                let each = by.2.len() == dims.len() && by.2.elements() == dims.first().copied();
                let each = each && by.2.first() == dims.first();
                if single && each && x.2 == dims { Self::Scaled } else { Self::Rows }
            }
            (ArrayOp::Map(_) | ArrayOp::Zip(_) | ArrayOp::Cast { .. }, _) if !dims.is_empty() => {
                Self::Rows
            }
            (ArrayOp::Concat { axis: 0 }, _) => Self::Joined,
            (ArrayOp::View(view), [Some((_, _, from))]) => {
                let (_, row) = split(*from);
                let step = |n: i64| usize::try_from(n).ok();
                let steps: Option<Vec<usize>> = view.strides.iter().map(|&n| step(n)).collect();
                let Some(steps) = steps.filter(|_| view.offset == 0) else { return Self::Whole };
                if from.len() == 2 && view.dims.len() == 2 && steps == [1, row] {
                    let [n, k] = [view.dims[0], view.dims[1]];
                    return if **from == [k, n] { Self::Turned } else { Self::Whole };
                }
                let reach = view.dims.iter().zip(&steps).skip(1);
                let reach =
                    reach.map(|(&dim, step)| dim.saturating_sub(1).saturating_mul(*step as u64));
                let inside = reach.fold(0, u64::saturating_add) < row as u64;
                let same = from.len() == dims.len() && from.first() == dims.first();
                if inside && same && steps.first() == Some(&row) {
                    Self::Moved
                } else {
                    Self::Whole
                }
            }
            _ => Self::Whole,
        }
    }
}

/// Rows along the first dimension, and the elements of one.
fn split(dims: Shape) -> (usize, usize) {
    let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let row = dims.iter().skip(1).copied().fold(1, u64::saturating_mul);
    (dims.first().copied().map_or(1, size), size(row))
}

/// The extents with another first one.
fn part(dims: Shape, count: usize) -> Shape {
    let mut dims = dims.to_vec();
    if let Some(first) = dims.first_mut() {
        *first = count as u64;
    }
    Shape::new(&dims).unwrap_or(Shape::SCALAR)
}

fn width(dtype: DType) -> usize {
    usize::try_from(dtype.bytes()).unwrap_or(8)
}

/// Columns of a matrix as rows, from column `first` on.
fn turned((x, dtype, dims): &Operand, first: usize, out: &mut [u8]) -> Result<(), HostError> {
    let (lines, line) = split(*dims);
    let (width, row) = (width(*dtype), lines * width(*dtype));
    let part = out.len() / row * width;
    let mut held = vec![0; TURNED * part];
    for start in (0..lines).step_by(TURNED) {
        let count = TURNED.min(lines - start);
        for (i, held) in held.chunks_exact_mut(part).take(count).enumerate() {
            x.read(*dtype, ((start + i) * line + first) * width, held)?;
        }
        for (column, row) in out.chunks_exact_mut(row).enumerate() {
            let to = row[start * width..].chunks_exact_mut(width).take(count);
            for (to, held) in to.zip(held.chunks_exact(part)) {
                to.copy_from_slice(&held[column * width..][..width]);
            }
        }
    }
    Ok(())
}

/// One row of a view whose steps stay inside the operand's row.
fn moved(view: &View, width: usize, x: &[u8], out: &mut [u8]) {
    match width {
        1 => moved_by::<1>(view, x, out),
        2 => moved_by::<2>(view, x, out),
        4 => moved_by::<4>(view, x, out),
        _ => moved_by::<8>(view, x, out),
    }
}

/// The same for elements of `W` bytes.
fn moved_by<const W: usize>(view: &View, x: &[u8], out: &mut [u8]) {
    let size = |n: u64| usize::try_from(n).expect("the view's rows are in memory");
    let dims: Vec<usize> = view.dims.iter().skip(1).map(|&dim| size(dim)).collect();
    let steps = view.strides.iter().skip(1);
    let steps: Vec<usize> = steps.map(|&step| size(step.unsigned_abs())).collect();
    let (Some((&inner, outer)), Some((&step, steps))) = (dims.split_last(), steps.split_last())
    else {
        out.copy_from_slice(&x[..out.len()]);
        return;
    };
    let (x, out) = (x.as_chunks::<W>().0, out.as_chunks_mut::<W>().0);
    let mut at = vec![0; outer.len()];
    let mut place = 0;
    for out in out.chunks_exact_mut(inner.max(1)) {
        match step {
            0 => out.fill(x[place]),
            1 => out.copy_from_slice(&x[place..place + inner]),
            _ => {
                for (out, x) in out.iter_mut().zip(x[place..].iter().step_by(step)) {
                    *out = *x;
                }
            }
        }
        for ((at, &dim), &step) in at.iter_mut().zip(outer).zip(steps).rev() {
            *at += 1;
            place += step;
            if *at < dim {
                break;
            }
            place -= step * dim;
            *at = 0;
        }
    }
}

#[cfg(test)]
mod tests;
