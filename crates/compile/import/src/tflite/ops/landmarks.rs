//! `MediaPipe`'s operators of the attention mesh: parts of an image cut out where landmarks are, and
//! landmarks of such parts put back into the whole.
//!
//! A place is `matrix · [x, y, 0, 1]`. The formulas are those of the second versions in
//! google-ai-edge/mediapipe, `util/tflite/operations`; settings are `FlexBuffers`.

use super::{
    super::value::{Array, Layout},
    Call, Outputs, one,
};
use crate::network::{Builder, Fault, Tensor};
use formats::flexbuffer::{self, Flex};
use plan::{
    ArrayOp,
    array::{GridPadding, Interpolation, Map, ReduceKind, Zip},
};
use tensor::DType;

/// Settings by name.
struct Settings<'a>(Vec<(&'a str, Flex)>);

impl<'a> Settings<'a> {
    fn of(call: &Call<'a>) -> Result<Self, Fault> {
        let map = flexbuffer::map(call.operator.custom_options);
        map.map(Self).ok_or_else(|| Fault::invalid("its settings are no map"))
    }

    fn find(&self, name: &str) -> Result<&Flex, Fault> {
        let found = self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value);
        found.ok_or_else(|| Fault::invalid(format!("the setting `{name}` is missing")))
    }

    #[expect(clippy::cast_precision_loss, reason = "settings are small")]
    fn float(&self, name: &str) -> Result<f64, Fault> {
        match self.find(name)? {
            Flex::Float(value) => Ok(*value),
            Flex::Int(value) => Ok(*value as f64),
            Flex::Ints(_) => Err(Fault::invalid(format!("the setting `{name}` is no number"))),
        }
    }

    /// A whole number within these bounds.
    fn int(&self, name: &str, low: i64, high: i64) -> Result<i64, Fault> {
        match self.find(name)? {
            Flex::Int(value) if (low..=high).contains(value) => Ok(*value),
            other => Err(Fault::invalid(format!("the setting `{name}` is {other:?}"))),
        }
    }
}

/// Extents of an image that is cut out.
const SIDE_MAX: i64 = 1 << 12;

/// Rows of `[…, n, width]` by their numbers, as `[rows, width]`.
fn rows(b: &mut Builder<'_>, x: &Tensor, numbers: &[i64]) -> Result<Tensor, Fault> {
    let width = x.dims.last();
    let flat = b.reshape(x, &[x.elements() / width.max(1), width])?;
    let index = b.integers(&[numbers.len() as u64], numbers)?;
    b.gather(&flat, &index, 0)
}

/// Column `i` of `[n, width]`, as `[n]`.
fn column(b: &mut Builder<'_>, x: &Tensor, i: i64) -> Result<Tensor, Fault> {
    let index = b.integers(&[], &[i])?;
    b.gather(x, &index, 1)
}

/// `x: [1, n, 3]` landmarks → `[1, 4, 4]`: the box around some of them, turned upright, as places of
/// an image of `output_width` by `output_height`.
pub(super) fn to_matrix(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(b, 0)?;
    let &[_, count, 3] = &*x.dims else {
        return Err(Fault::invalid(format!("landmarks of {}", x.dims)));
    };
    let settings = Settings::of(call)?;
    let last = i64::try_from(count).unwrap_or(i64::MAX) - 1;
    let [left, right] =
        ["left_rotation_idx", "right_rotation_idx"].map(|name| settings.int(name, 0, last));
    let [height, width] =
        ["output_height", "output_width"].map(|name| settings.int(name, 1, SIDE_MAX));
    let (height, width) = (height? as f64, width? as f64);
    let Flex::Ints(subset) = settings.find("subset_idxs")? else {
        return Err(Fault::invalid("`subset_idxs` are no numbers"));
    };
    if subset.is_empty() || subset.iter().any(|i| !(0..=last).contains(i)) {
        return Err(Fault::invalid(format!("`subset_idxs` name landmarks outside of {count}")));
    }
    let ends = rows(b, &x, &[left?, right?])?;
    let (xs, ys) = (column(b, &ends, 0)?, column(b, &ends, 1)?);
    let difference = |b: &mut Builder<'_>, of: &Tensor| {
        let [from, to] = [0, 1].map(|i| b.slice(of, 0, i, 1, 1));
        b.sub(&to?, &from?)
    };
    let (dx, dy) = (difference(b, &xs)?, difference(b, &ys)?);
    let angle = b.zip(Zip::Atan2, &dy, &dx)?;
    let target = b.scalar(DType::F32, settings.float("target_rotation_radians")?);
    let angle = b.sub(&target, &angle)?;
    let (cos, sin) = (b.map(Map::Cos, &angle)?, b.map(Map::Sin, &angle)?);
    // Turned by the angle.
    let points = rows(b, &x, subset)?;
    let (xs, ys) = (column(b, &points, 0)?, column(b, &points, 1)?);
    let turn = |b: &mut Builder<'_>, (x, y): (&Tensor, &Tensor), sin: &Tensor| {
        let (xc, ys) = (b.mul(x, &cos)?, b.mul(y, sin)?);
        let (xs, yc) = (b.mul(x, sin)?, b.mul(y, &cos)?);
        Ok::<_, Fault>((b.sub(&xc, &ys)?, b.add(&xs, &yc)?))
    };
    let (xs, ys) = turn(b, (&xs, &ys), &sin)?;
    let span = |b: &mut Builder<'_>, of: &Tensor| {
        let high = b.reduce(ReduceKind::Max, of, &[0], true)?;
        let low = b.reduce(ReduceKind::Min, of, &[0], true)?;
        let (sum, size) = (b.add(&high, &low)?, b.sub(&high, &low)?);
        Ok::<_, Fault>((b.with(Zip::Divide, &sum, 2.0)?, size))
    };
    let ((x, wide), (y, tall)) = (span(b, &xs)?, span(b, &ys)?);
    // The middle turned back.
    let back = b.map(Map::Negate, &sin)?;
    let (x, y) = turn(b, (&x, &y), &back)?;
    let wide = b.with(Zip::Multiply, &wide, settings.float("scale_x")? / width)?;
    let tall = b.with(Zip::Multiply, &tall, settings.float("scale_y")? / height)?;
    // Shift · rotation back · scale · shift by half of the image.
    let across = [b.mul(&cos, &wide)?, b.mul(&sin, &tall)?];
    let down = [b.mul(&back, &wide)?, b.mul(&cos, &tall)?];
    let shifted = |b: &mut Builder<'_>, [p, q]: &[Tensor; 2], to: &Tensor| {
        let p = b.with(Zip::Multiply, p, width / 2.0)?;
        let q = b.with(Zip::Multiply, q, height / 2.0)?;
        let both = b.add(&p, &q)?;
        b.sub(to, &both)
    };
    let (x, y) = (shifted(b, &across, &x)?, shifted(b, &down, &y)?);
    let zero = b.numbers(DType::F32, &[1], &[0.0])?;
    let rest = b.numbers(DType::F32, &[8], &[0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0])?;
    let ([a, c], [d, e]) = (across, down);
    let all = b.concat(&[a, c, zero.clone(), x, d, e, zero, y, rest], 0)?;
    one(b.reshape(&all, &[1, 4, 4])?)
}

/// `matrix · [x, y, 0, 1]` for `points: [n, 2]`, as two of `[n]`.
fn places(b: &mut Builder<'_>, matrix: &Tensor, points: &Tensor) -> Result<[Tensor; 2], Fault> {
    if matrix.elements() != 16 {
        return Err(Fault::invalid(format!("a matrix of {}", matrix.dims)));
    }
    let flat = b.reshape(matrix, &[16])?;
    let (x, y) = (column(b, points, 0)?, column(b, points, 1)?);
    let row = |b: &mut Builder<'_>, start: u64| {
        let [p, q, shift] = [0, 1, 3].map(|i| b.slice(&flat, 0, start + i, 1, 1));
        let (p, q) = (b.mul(&x, &p?)?, b.mul(&y, &q?)?);
        let both = b.add(&p, &q)?;
        b.add(&both, &shift?)
    };
    Ok([row(b, 0)?, row(b, 4)?])
}

/// `(x: [1, h, w, c], matrix: [1, 4, 4]) → [1, output_height, output_width, c]`: two samples along each
/// dimension where the centre of an element comes from, zero where that is outside of `x`.
pub(super) fn sample(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (x, matrix) = (call.array(0)?.first(b)?, call.tensor(b, 1)?);
    let &[1, channels, height, width] = &*x.dims else {
        return Err(Fault::invalid(format!("an image of {}", x.dims)));
    };
    let settings = Settings::of(call)?;
    let [rows, columns] =
        ["output_height", "output_width"].map(|name| settings.int(name, 1, SIDE_MAX));
    let (rows, columns) = (rows?.cast_unsigned(), columns?.cast_unsigned());
    b.room(rows * columns * 2, DType::F64)?;
    let centre = |i: u64| i as f64 + 0.5;
    let points: Vec<f64> = (0..rows)
        .flat_map(|row| (0..columns).flat_map(move |column| [centre(column), centre(row)]))
        .collect();
    let points = b.numbers(DType::F32, &[rows * columns, 2], &points)?;
    let mut grid = Vec::new();
    let mut inside: Option<Tensor> = None;
    for (place, extent) in places(b, &matrix, &points)?.iter().zip([width, height]) {
        let place = b.with(Zip::Subtract, place, 0.5)?;
        let edge = extent as f64 - 1.0;
        let low = b.with(Zip::GreaterOrEqual, &place, 0.0)?;
        let high = b.with(Zip::LessOrEqual, &place, edge)?;
        let both = b.zip(Zip::And, &low, &high)?;
        inside = Some(match inside {
            Some(other) => b.zip(Zip::And, &other, &both)?,
            None => both,
        });
        // From -1 to 1 between the centres of the outermost elements.
        let unit = b.with(Zip::Multiply, &place, 2.0 / edge.max(1.0))?;
        let unit = b.with(Zip::Subtract, &unit, 1.0)?;
        grid.push(b.reshape(&unit, &[rows * columns, 1])?);
    }
    let grid = b.concat(&grid, 1)?;
    let grid = b.reshape(&grid, &[1, rows, columns, 2])?;
    let (mode, padding) = (Interpolation::Linear, GridPadding::Border);
    let op = ArrayOp::GridSample { mode, padding, align_corners: true };
    let taken = b.apply(op, &[Some(&x), Some(&grid)])?;
    let inside = inside.ok_or_else(|| Fault::invalid("an image without extents"))?;
    let inside = b.reshape(&inside, &[1, 1, rows, columns])?;
    let nothing = b.filled(DType::F32, &[1, channels, rows, columns], 0.0)?;
    let taken = b.select(&inside, &taken, &nothing)?;
    one(Array::new(Layout::First, taken))
}

/// `(x: [1, n, 2 or 3], matrix: [1, 4, 4]) → like x`: places of landmarks; depths stay.
pub(super) fn transform(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (x, matrix) = (call.tensor(b, 0)?, call.tensor(b, 1)?);
    let &[_, count, width @ (2 | 3)] = &*x.dims else {
        return Err(Fault::invalid(format!("landmarks of {}", x.dims)));
    };
    let count = count.saturating_mul(x.dims.first().copied().unwrap_or(1));
    let flat = b.reshape(&x, &[count, width])?;
    let mut columns = Vec::new();
    for place in places(b, &matrix, &flat)? {
        columns.push(b.reshape(&place, &[count, 1])?);
    }
    if width == 3 {
        let depth = column(b, &flat, 2)?;
        columns.push(b.reshape(&depth, &[count, 1])?);
    }
    let all = b.concat(&columns, 1)?;
    one(b.reshape(&all, &x.dims)?)
}
