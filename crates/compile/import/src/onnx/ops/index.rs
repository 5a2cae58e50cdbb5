//! Elements by index. Operators whose extents depend on data (`NonZero`, `Compress`, `Unique`,
//! `NonMaxSuppression`) are computed here, on values that are known or were run for.

use super::super::call::{Call, Outputs, many, one};
use crate::network::{Builder, Fault, Tensor, emit::dim};
use plan::{ArrayOp, array::Combine};
use std::cmp::Ordering;
use tensor::DType;

pub(super) fn gather(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (x, index) = (call.tensor(0)?, call.tensor(1)?);
    let axis = x.axis(call.int("axis", 0)?)?;
    one(b.gather(x, index, axis)?)
}

pub(super) fn gather_elements(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    let op = ArrayOp::GatherElements { axis: dim(x.axis(call.int("axis", 0)?)?) };
    one(b.apply(op, &[Some(x), Some(call.tensor(1)?)])?)
}

pub(super) fn gather_nd(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let batch = call.int("batch_dims", 0)?;
    let batch = u8::try_from(batch).map_err(|_| Fault::invalid(format!("batch_dims {batch}")))?;
    one(b.apply(ArrayOp::GatherNd { batch }, &[Some(call.tensor(0)?), Some(call.tensor(1)?)])?)
}

fn combine(call: &Call<'_>) -> Result<Combine, Fault> {
    Ok(match call.text("reduction", "none")? {
        "none" => Combine::Replace,
        "add" => Combine::Add,
        "mul" => Combine::Multiply,
        "min" => Combine::Min,
        "max" => Combine::Max,
        other => return Err(Fault::unsupported(format!("reduction `{other}`"))),
    })
}

pub(super) fn scatter_elements(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    let axis = x.axis(call.int("axis", 0)?)?;
    one(b.scatter(x, call.tensor(1)?, call.tensor(2)?, axis, combine(call)?)?)
}

pub(super) fn scatter_nd(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let op = ArrayOp::ScatterNd { combine: combine(call)? };
    let operands = [Some(call.tensor(0)?), Some(call.tensor(1)?), Some(call.tensor(2)?)];
    one(b.apply(op, &operands)?)
}

pub(super) fn one_hot(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (index, values) = (call.tensor(0)?, call.tensor(2)?);
    let depth = b.floats(call.tensor(1)?)?.first().copied().unwrap_or(0.0);
    if !(1.0..1e12).contains(&depth) {
        return Err(Fault::invalid(format!("a depth of {depth}")));
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked above")]
    let depth = depth as u64;
    let axis = crate::network::emit::axis_of(call.int("axis", -1)?, index.rank() + 1)?;
    let index = if index.dtype.is_integer() { index.clone() } else { b.cast(index, DType::I64)? };
    let index = b.cast(&index, DType::I64)?;
    one(b.apply(ArrayOp::OneHot { axis: dim(axis), depth }, &[Some(&index), Some(values)])?)
}

pub(super) fn top_k(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    let axis = x.axis(call.int("axis", -1)?)?;
    let largest = call.flag("largest", true)?;
    call.flag("sorted", true)?;
    let k = match call.version {
        ..=9 => call.int("k", 0)?,
        _ => b.ints(call.tensor(1)?)?.first().copied().unwrap_or(0),
    };
    let k = u64::try_from(k).ok().filter(|&k| k <= x.dims[axis]);
    let k = k.ok_or_else(|| Fault::invalid(format!("k is out of range for {}", x.dims)))?;
    let index = b.apply(ArrayOp::TopK { axis: dim(axis), k, largest }, &[Some(x)])?;
    let op = ArrayOp::GatherElements { axis: dim(axis) };
    let values = b.apply(op, &[Some(x), Some(&index)])?;
    many([values, index])
}

pub(super) fn reverse_sequence(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (x, lengths) = (call.tensor(0)?, call.tensor(1)?);
    let time = x.axis(call.int("time_axis", 0)?)?;
    let batch = x.axis(call.int("batch_axis", 1)?)?;
    if time + batch != 1 {
        return Err(Fault::invalid("time and batch must be the first two dimensions"));
    }
    let lengths = b.ints(lengths)?;
    one(reverse(b, x, (time, batch), &lengths)?)
}

/// The leading `lengths[i]` elements of each sequence in reverse order.
pub(super) fn reverse(
    b: &mut Builder<'_>,
    x: &Tensor,
    (time, batch): (usize, usize),
    lengths: &[i64],
) -> Result<Tensor, Fault> {
    let (steps, rows) = (x.dims[time], x.dims[batch]);
    if lengths.len() as u64 != rows || lengths.iter().any(|&n| n < 0 || n.cast_unsigned() > steps) {
        return Err(Fault::invalid(format!("lengths {lengths:?} for {}", x.dims)));
    }
    b.room(rows.saturating_mul(steps), DType::I64)?;
    let mut index = Vec::new();
    for &len in lengths {
        for t in 0..steps.cast_signed() {
            index.push(if t < len { len - 1 - t } else { t });
        }
    }
    let index = b.integers(&[rows, steps], &index)?;
    let first = if batch == 0 { x.clone() } else { b.swap(x, 0, 1)? };
    let y = b.apply(ArrayOp::Gather { axis: 1, batch: 1 }, &[Some(&first), Some(&index)])?;
    if batch == 0 { Ok(y) } else { b.swap(&y, 0, 1) }
}

pub(super) fn non_zero(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    let values = b.floats(x)?;
    let rank = x.rank().max(1);
    let dims: Vec<u64> = if x.rank() == 0 { vec![1] } else { x.dims.to_vec() };
    let found: Vec<usize> = (0..values.len()).filter(|&i| values[i] != 0.0).collect();
    let mut out = vec![0; rank * found.len()];
    for (i, &place) in found.iter().enumerate() {
        let mut rest = place as u64;
        for d in (0..rank).rev() {
            out[d * found.len() + i] = (rest % dims[d]).cast_signed();
            rest /= dims[d];
        }
    }
    one(b.integers(&[x.rank() as u64, found.len() as u64], &out[..x.rank() * found.len()])?)
}

pub(super) fn compress(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (x, condition) = (call.tensor(0)?, call.tensor(1)?);
    let (x, axis) = match call.ints("axis")? {
        Some(axis) => (x.clone(), x.axis(axis.first().copied().unwrap_or(0))?),
        None => (b.reshape(x, &[x.elements()])?, 0),
    };
    let chosen: Vec<i64> =
        (0i64..).zip(b.ints(condition)?).filter(|(_, keep)| *keep != 0).map(|(i, _)| i).collect();
    let index = b.integers(&[chosen.len() as u64], &chosen)?;
    one(b.gather(&x, &index, axis)?)
}

pub(super) fn unique(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    let sorted = call.flag("sorted", true)?;
    let (x, axis) = match call.ints("axis")? {
        Some(axis) => (x.clone(), x.axis(axis.first().copied().unwrap_or(0))?),
        None => (b.reshape(x, &[x.elements()])?, 0),
    };
    let values = b.floats(&x)?;
    let count = usize::try_from(x.dims[axis]).unwrap_or(0);
    let inner = usize::try_from(x.span(axis + 1..x.rank())).unwrap_or(1);
    let outer = usize::try_from(x.span(0..axis)).unwrap_or(1);
    let row = |i: usize| {
        (0..outer)
            .flat_map(|o| values[(o * count + i) * inner..(o * count + i + 1) * inner].iter())
            .copied()
            .collect::<Vec<f64>>()
    };
    let rows: Vec<Vec<f64>> = (0..count).map(row).collect();
    let compare = |a: &Vec<f64>, b: &Vec<f64>| {
        let pairs = a.iter().zip(b).map(|(a, b)| a.total_cmp(b));
        pairs.fold(Ordering::Equal, Ordering::then)
    };
    // First occurrences, in order of value or of place.
    let mut first: Vec<usize> = Vec::new();
    for i in 0..count {
        if !first.iter().any(|&seen| rows[seen] == rows[i]) {
            first.push(i);
        }
    }
    if sorted {
        first.sort_by(|&i, &j| compare(&rows[i], &rows[j]));
    }
    let inverse: Vec<i64> = (0..count)
        .map(|i| {
            first
                .iter()
                .position(|&seen| rows[seen] == rows[i])
                .map_or(0, |p| p.cast_signed() as i64)
        })
        .collect();
    let mut counts = vec![0i64; first.len()];
    for &place in &inverse {
        counts[usize::try_from(place).unwrap_or(0)] += 1;
    }
    let first: Vec<i64> = first.into_iter().map(|i| i.cast_signed() as i64).collect();
    let index = b.integers(&[first.len() as u64], &first)?;
    let values = b.gather(&x, &index, axis)?;
    let inverse = b.integers(&[inverse.len() as u64], &inverse)?;
    let counts = b.integers(&[counts.len() as u64], &counts)?;
    many([values, index, inverse, counts])
}

/// A box with its corners in order.
#[derive(Clone, Copy)]
struct Corners {
    low: [f64; 2],
    high: [f64; 2],
}

impl Corners {
    fn new(b: &[f64], center: bool) -> Self {
        let (p, q) = if center {
            let (half_w, half_h) = (b[2] / 2.0, b[3] / 2.0);
            ([b[0] - half_w, b[1] - half_h], [b[0] + half_w, b[1] + half_h])
        } else {
            ([b[0], b[1]], [b[2], b[3]])
        };
        let pick = |f: fn(f64, f64) -> f64| [f(p[0], q[0]), f(p[1], q[1])];
        Self { low: pick(f64::min), high: pick(f64::max) }
    }

    fn area(self) -> f64 {
        (self.high[0] - self.low[0]) * (self.high[1] - self.low[1])
    }

    /// Shared area over covered area.
    fn overlap(self, other: Self) -> f64 {
        let side =
            |i: usize| (self.high[i].min(other.high[i]) - self.low[i].max(other.low[i])).max(0.0);
        let shared = side(0) * side(1);
        let covered = self.area() + other.area() - shared;
        if covered > 0.0 { shared / covered } else { 0.0 }
    }
}

pub(super) fn non_max_suppression(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (boxes, scores) = (call.tensor(0)?, call.tensor(1)?);
    let center = call.flag("center_point_box", false)?;
    let (&[batches, spots, 4], &[batches_too, classes, spots_too]) =
        (&boxes.dims[..], &scores.dims[..])
    else {
        return Err(Fault::invalid(format!("boxes {}, scores {}", boxes.dims, scores.dims)));
    };
    if (batches, spots) != (batches_too, spots_too) {
        return Err(Fault::invalid(format!("boxes {}, scores {}", boxes.dims, scores.dims)));
    }
    let mut number = |i: usize| match call.optional(i)? {
        Some(x) => Ok::<_, Fault>(b.floats(x)?.first().copied()),
        None => Ok(None),
    };
    let most = number(2)?.unwrap_or(0.0);
    let overlap = number(3)?.unwrap_or(0.0);
    let threshold = number(4)?;
    let (boxes, scores) = (b.floats(boxes)?, b.floats(scores)?);
    let count = |n: u64| usize::try_from(n).map_err(|_| Fault::invalid(format!("{n} boxes")));
    let (batches, classes, spots) = (count(batches)?, count(classes)?, count(spots)?);
    let mut chosen = Vec::new();
    for batch in 0..batches {
        let corners: Vec<Corners> = (0..spots)
            .map(|i| Corners::new(&boxes[(batch * spots + i) * 4..][..4], center))
            .collect();
        for class in 0..classes {
            let score = &scores[(batch * classes + class) * spots..][..spots];
            let mut order: Vec<usize> =
                (0..spots).filter(|&i| threshold.is_none_or(|least| score[i] > least)).collect();
            order.sort_by(|&i, &j| score[j].total_cmp(&score[i]));
            let mut kept: Vec<usize> = Vec::new();
            for i in order {
                if kept.len() as f64 >= most {
                    break;
                }
                if kept.iter().all(|&k| corners[i].overlap(corners[k]) <= overlap) {
                    kept.push(i);
                    chosen.extend([batch, class, i].map(|n| n as u64));
                }
            }
        }
    }
    let chosen: Vec<i64> = chosen.into_iter().map(u64::cast_signed).collect();
    one(b.integers(&[chosen.len() as u64 / 3, 3], &chosen)?)
}
