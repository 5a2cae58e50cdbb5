//! Where values lie in a state's memory.
//!
//! All arena, input and output buffers of a plan stand in one region, seen as 32-bit numbers; a
//! [`View`] is a slot's place there. Values never overlap while they live (the planner's promise),
//! so a step's result and operands can be borrowed side by side.

use core::ops::Range;
use plan::{Buffer, BufferKind, Dim, Plan, Slot, Symbol};
use tensor::Bytes;
use tensor::cast::Number;

/// Places of a plan's buffers in the region of values.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// First byte of each buffer; meaningless for buffers of other kinds.
    bases: Vec<u64>,
    /// Bytes of all of them.
    pub(crate) bytes: Bytes,
}

/// Whether a buffer holds values of a run.
pub(crate) fn holds_values(buffer: &Buffer) -> bool {
    matches!(buffer.kind, BufferKind::Arena | BufferKind::Io)
}

impl Layout {
    /// Puts the plan's value buffers one after the other.
    pub(crate) fn of(plan: &Plan) -> Self {
        let mut end = Bytes::ZERO;
        let mut bases = Vec::with_capacity(plan.buffers.len());
        for buffer in &plan.buffers {
            bases.push(end.0);
            if holds_values(buffer) {
                end = Bytes(end.0.saturating_add(buffer.bytes.0)).align_up(64);
            }
        }
        Self { bases, bytes: end }
    }

    /// The bytes of a slot, with every symbol at its bound; of columns, all that they stand in.
    ///
    /// # Panics
    /// As [`Layout::view`].
    pub(crate) fn bytes(&self, slot: &Slot, symbols: &[Symbol]) -> Range<usize> {
        let start = index(self.bases[slot.buffer.0 as usize] + slot.offset);
        let elements: u64 = slot.dims.iter().map(|dim| dim.max(symbols)).product();
        let columns = slot.dims.last().map_or(1, |dim| dim.max(symbols));
        let elements = match slot.pitch {
            Some(pitch) => (elements.checked_div(columns).unwrap_or(1) - 1) * pitch + columns,
            None => elements,
        };
        start..start + index(elements * slot.dtype.bytes())
    }

    /// The place of a slot.
    ///
    /// # Panics
    /// If the slot does not fit an address (the planner's sizes do).
    pub(crate) fn view(&self, slot: &Slot, symbols: &[Symbol]) -> View {
        let rows = slot.dims.first().copied().unwrap_or(Dim::Fixed(1));
        View {
            start: index((self.bases[slot.buffer.0 as usize] + slot.offset) / 4),
            width: index(slot.width()),
            rows,
            rows_max: index(rows.max(symbols)),
        }
    }
}

/// A size that is known to fit the memory it was planned for.
///
/// # Panics
/// If it does not fit an address: whoever calls has allocated that much.
pub(crate) fn index(n: u64) -> usize {
    usize::try_from(n).expect("planned sizes fit addresses")
}

/// A region's bytes as numbers.
///
/// # Panics
/// If they are no whole, aligned numbers (regions and their parts are).
pub(crate) fn numbers<T: Number>(bytes: &[u8]) -> &[T] {
    tensor::cast::from_bytes(bytes).expect("parts of regions are aligned and whole")
}

/// A region's bytes as numbers to write.
///
/// # Panics
/// As [`numbers`].
pub(crate) fn numbers_mut<T: Number>(bytes: &mut [u8]) -> &mut [T] {
    tensor::cast::from_bytes_mut(bytes).expect("parts of regions are aligned and whole")
}

/// A value's place among the numbers of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct View {
    start: usize,
    /// Numbers of one row.
    pub(crate) width: usize,
    /// Rows, known at each run.
    rows: Dim,
    /// Rows that there is room for.
    pub(crate) rows_max: usize,
}

impl View {
    /// Whether another has the same extents.
    pub(crate) fn is_like(self, other: Self) -> bool {
        self == Self { start: self.start, ..other }
    }

    /// Rows in this run.
    pub(crate) fn rows(&self, extents: &[u64]) -> usize {
        index(self.rows.at(extents))
    }

    /// The numbers of this run's rows.
    pub(crate) fn range(&self, extents: &[u64]) -> Range<usize> {
        self.start..self.start + self.rows(extents) * self.width
    }
}

/// Borrows some ranges to write and others to read.
///
/// # Panics
/// If a range that is written overlaps another (the planner guarantees that none does).
pub(crate) fn borrow<'a, const W: usize, const R: usize>(
    values: &'a mut [f32],
    write: &[Range<usize>; W],
    read: &[Range<usize>; R],
) -> ([&'a mut [f32]; W], [&'a [f32]; R]) {
    // Cut the region at the borders of what is written; what is read lies between.
    let mut order: [usize; W] = core::array::from_fn(|i| i);
    order.sort_unstable_by_key(|&i| write[i].start);
    let mut written: [&mut [f32]; W] = core::array::from_fn(|_| Default::default());
    let mut found: [&[f32]; R] = [&[]; R];
    let mut rest = values;
    let mut at = 0;
    for border in 0..=W {
        let end = order.get(border).map_or(at + rest.len(), |&i| write[i].start);
        let (between, from) = rest.split_at_mut(end - at);
        let between = &*between;
        for (range, found) in read.iter().zip(&mut found) {
            if range.start >= at && range.end <= end && !range.is_empty() {
                *found = &between[range.start - at..range.end - at];
            }
        }
        rest = from;
        at = end;
        if let Some(&i) = order.get(border) {
            let (out, from) = core::mem::take(&mut rest).split_at_mut(write[i].len());
            written[i] = out;
            rest = from;
            at = write[i].end;
        }
    }
    for (range, found) in read.iter().zip(&found) {
        assert_eq!(range.len(), found.len(), "a value that is read must not be written");
    }
    (written, found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_borrowed_side_by_side() {
        let mut values: Vec<f32> = (0..10u8).map(f32::from).collect();
        let ([a, b], [c, d, e]) = borrow(&mut values, &[6..8, 1..3], &[3..6, 8..10, 3..6]);
        assert_eq!((&*a, &*b), (&[6.0, 7.0][..], &[1.0, 2.0][..]));
        assert_eq!((c, d, e), (&[3.0, 4.0, 5.0][..], &[8.0, 9.0][..], &[3.0, 4.0, 5.0][..]));
        let ([], [a, b]) = borrow(&mut values, &[], &[0..10, 0..0]);
        assert_eq!((a.len(), b.len()), (10, 0));
    }

    #[test]
    fn reading_what_is_written_is_a_fault() {
        let mut values = [0.0; 8];
        let caught = std::panic::catch_unwind(move || {
            borrow(&mut values, &[2..4, 6..7], &[3..5, 0..1]);
        });
        assert!(caught.is_err());
    }
}
