//! Constants that list only what is not zero: block by block, dimension by dimension.
//!
//! A tensor of rank r with b blocked dimensions is stored as one of rank r + b: the outer
//! dimensions first, in units of blocks, then those inside a block. Each is dense or compressed
//! (the indices that are there, with where each row begins). Follows the `SparsityParameters` of
//! the schema, which follow Kjolstad et al. 2017 (TACO).

use std::borrow::Cow;

use super::{List, Reader, Tensor};
use crate::{FormatError, Label, Place, flatbuffer::Table, limits, memory};

/// How a constant is stored.
#[derive(Clone, Debug)]
pub struct Sparsity<'a> {
    /// The stored order of the dimensions, blocks' last: a permutation of `0..rank + blocks`.
    pub traversal_order: List<'a, i32>,
    /// Which dimension each block divides.
    pub block_map: List<'a, i32>,
    /// Each dimension's form, in the stored order.
    pub dims: Vec<Format<'a>>,
}

/// The form of one stored dimension.
#[derive(Clone, Copy, Debug)]
pub enum Format<'a> {
    /// All indices below this are there.
    Dense(u32),
    /// Only some indices are there.
    Compressed {
        /// Where each row's indices begin and where the last one's end.
        segments: IndexList<'a>,
        /// The indices that are there.
        indices: IndexList<'a>,
    },
}

/// Indices, stored in one, two or four bytes.
#[derive(Clone, Copy, Debug)]
pub enum IndexList<'a> {
    /// One byte each.
    U8(List<'a, u8>),
    /// Two bytes each.
    U16(List<'a, u16>),
    /// Four bytes each.
    I32(List<'a, i32>),
}

impl IndexList<'_> {
    /// Number of indices.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(list) => list.len(),
            Self::U16(list) => list.len(),
            Self::I32(list) => list.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The index at `at`; `None` behind the end, and if it is negative.
    pub fn get(&self, at: usize) -> Option<usize> {
        match self {
            Self::U8(list) => list.get(at).map(usize::from),
            Self::U16(list) => list.get(at).map(usize::from),
            Self::I32(list) => usize::try_from(list.get(at)?).ok(),
        }
    }
}

impl<'a> Sparsity<'a> {
    pub(super) fn read(
        table: &Table<'a>,
        rank: usize,
        reader: &Reader,
    ) -> Result<Self, FormatError> {
        let (traversal_order, block_map) = (table.list::<i32>(0)?, table.list::<i32>(1)?);
        let stored = rank.saturating_add(block_map.len());
        let (got, limit) = (stored as u64, limits::NETWORK_RANK as u64);
        if got > limit {
            let place = table.place("number of dimensions");
            return Err(FormatError::Limit { place, got, limit });
        }
        let place = |what: &str| table.place(what);
        let mut seen = [false; limits::NETWORK_RANK];
        for (at, dim) in traversal_order.iter().enumerate() {
            // Outer dimensions come first, each once; then those of blocks.
            let group = if at < rank { 0..rank } else { rank..stored };
            let slot = usize::try_from(dim).ok().filter(|dim| group.contains(dim));
            match slot.and_then(|dim| seen.get_mut(dim)) {
                Some(seen) if !*seen => *seen = true,
                _ => {
                    let got = format_args!("dimension {dim} at {at}");
                    return Err(FormatError::invalid(
                        place("traversal_order"),
                        "a permutation",
                        got,
                    ));
                }
            }
        }
        for dim in block_map.iter() {
            if usize::try_from(dim).ok().is_none_or(|dim| dim >= rank) {
                let want = format!("one of {rank} dimensions");
                return Err(FormatError::invalid(place("block_map"), want, format_args!("{dim}")));
            }
        }
        let dims = reader.each(table.tables(2, "DimensionMetadata")?, Format::read)?;
        if traversal_order.len() != stored || dims.len() != stored {
            let got = format_args!("{} and {}", traversal_order.len(), dims.len());
            let want = format!("of {stored} dimensions");
            return Err(FormatError::invalid(place("dimensions"), want, got));
        }
        Ok(Self { traversal_order, block_map, dims })
    }
}

impl<'a> Format<'a> {
    fn read(table: &Table<'a>) -> Result<Self, FormatError> {
        match table.scalar(0, 0i8)? {
            0 => {
                let size = table.scalar(1, 0i32)?;
                u32::try_from(size).map(Self::Dense).map_err(|_| {
                    let place = table.place("dense_size");
                    FormatError::invalid(place, "0 or higher", format_args!("{size}"))
                })
            }
            1 => Ok(Self::Compressed {
                segments: index_list(table, 2)?,
                indices: index_list(table, 4)?,
            }),
            other => {
                let place = table.place("format");
                Err(FormatError::invalid(place, "0 (dense) or 1 (CSR)", format_args!("{other}")))
            }
        }
    }
}

/// The union in fields `id` and `id + 1`.
fn index_list<'a>(table: &Table<'a>, id: usize) -> Result<IndexList<'a>, FormatError> {
    let kind = table.scalar(id, 0u8)?;
    let Some(vector) = table.table(id.saturating_add(1), "SparseIndexVector")? else {
        return Ok(IndexList::U8(List::default()));
    };
    Ok(match kind {
        1 => IndexList::I32(vector.list(0)?),
        2 => IndexList::U16(vector.list(0)?),
        3 => IndexList::U8(vector.list(0)?),
        _ => {
            let got = format_args!("{kind}");
            return Err(FormatError::invalid(table.place("kind of indices"), "1 to 3", got));
        }
    })
}

/// Expands a sparse constant: `out` is its dense bytes, zero where nothing is listed.
///
/// `values` are the bytes of the tensor's buffer. A tensor without sparsity is lent as it is.
///
/// # Errors
/// If the lists contradict the shape or each other, the elements have no whole bytes, or there
/// is no memory for `elements` of them.
pub(super) fn expand<'a>(
    tensor: &Tensor<'_>,
    values: &'a [u8],
) -> Result<Cow<'a, [u8]>, FormatError> {
    let place =
        || Place::at(format_args!("sparsity of tensor `{}`", Label::new(tensor.name)), tensor.at);
    let wrong =
        |want: &'static str, got: &str| FormatError::invalid(place(), want, format_args!("{got}"));
    let Some(sparsity) = &tensor.sparsity else { return Ok(Cow::Borrowed(values)) };
    let bits = tensor.ty.bits().filter(|bits| bits.is_multiple_of(8));
    let width = bits.and_then(|bits| usize::try_from(bits >> 3).ok());
    let width = width.ok_or_else(|| wrong("of whole bytes", tensor.ty.name()))?;
    let bytes = tensor.ty.packed_bytes(tensor.elements());
    let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
    let bytes = bytes.ok_or_else(|| wrong("a size of this machine", "larger"))?;
    let (got, limit) = (bytes as u64, limits::SPARSE_FACTOR.saturating_mul(values.len() as u64));
    if got > limit {
        return Err(FormatError::Limit { place: place(), got, limit });
    }
    let mut out = memory::table(bytes)?;
    out.resize(bytes, 0);
    let rank = tensor.shape.len();
    let mut steps = [(0usize, 0usize); limits::NETWORK_RANK];
    // A block's size multiplies the step of the dimension that it divides.
    let mut block = [1usize; limits::NETWORK_RANK];
    for (at, dim) in sparsity.block_map.iter().enumerate() {
        let stored = rank.saturating_add(at);
        let position =
            sparsity.traversal_order.iter().position(|dim| usize::try_from(dim) == Ok(stored));
        let size = position.and_then(|position| match sparsity.dims.get(position) {
            Some(Format::Dense(size)) => usize::try_from(*size).ok(),
            _ => None,
        });
        let slot = usize::try_from(dim).ok().and_then(|dim| block.get_mut(dim));
        match size.zip(slot) {
            Some((size @ 1.., slot)) => *slot = slot.saturating_mul(size),
            _ => return Err(wrong("dense inside blocks", "compressed or empty")),
        }
    }
    // For each stored dimension: which dimension it moves along, and how far a step goes.
    for (slot, dim) in steps.iter_mut().zip(sparsity.traversal_order.iter()) {
        let dim = usize::try_from(dim).unwrap_or(usize::MAX);
        *slot = match dim.checked_sub(rank) {
            None => (dim, block.get(dim).copied().unwrap_or(1)),
            Some(blocked) => {
                let dim = sparsity.block_map.get(blocked).and_then(|dim| usize::try_from(dim).ok());
                (dim.unwrap_or(usize::MAX), 1)
            }
        };
    }
    let mut walk = Walk {
        tensor,
        sparsity,
        steps: &steps,
        values: values.chunks_exact(width),
        width,
        out: &mut out,
        index: [0; limits::NETWORK_RANK],
        // No level of a list that fits visits more positions than there are elements.
        steps_left: tensor.elements().saturating_mul(sparsity.dims.len() as u64),
    };
    walk.level(0, 0).ok_or_else(|| wrong("lists that fit the shape", "others"))?;
    if walk.values.next().is_some() {
        return Err(wrong("as many values as are listed", "more"));
    }
    Ok(Cow::Owned(out))
}

/// Where an expansion stands.
struct Walk<'m, 'a> {
    tensor: &'m Tensor<'a>,
    sparsity: &'m Sparsity<'a>,
    steps: &'m [(usize, usize); limits::NETWORK_RANK],
    values: std::slice::ChunksExact<'m, u8>,
    width: usize,
    out: &'m mut Vec<u8>,
    /// The index along each dimension of the whole tensor.
    index: [usize; limits::NETWORK_RANK],
    /// Positions that may still be visited, so that lists that overlap come to an end.
    steps_left: u64,
}

impl Walk<'_, '_> {
    /// Walks one stored dimension; `row` counts the positions of the one above. `None` if a list
    /// does not fit.
    fn level(&mut self, level: usize, row: usize) -> Option<()> {
        let Some(&format) = self.sparsity.dims.get(level) else { return self.put() };
        let (dim, step) = *self.steps.get(level)?;
        let next = level.checked_add(1)?;
        match format {
            Format::Dense(size) => {
                let size = usize::try_from(size).ok()?;
                for idx in 0..size {
                    let row = row.checked_mul(size)?.checked_add(idx)?;
                    self.step(dim, step.checked_mul(idx)?, next, row)?;
                }
            }
            Format::Compressed { segments, indices } => {
                let (start, end) = (segments.get(row)?, segments.get(row.checked_add(1)?)?);
                // A list that ends before it begins is broken, not empty.
                end.checked_sub(start)?;
                for at in start..end {
                    self.step(dim, step.checked_mul(indices.get(at)?)?, next, at)?;
                }
            }
        }
        Some(())
    }

    fn step(&mut self, dim: usize, by: usize, level: usize, row: usize) -> Option<()> {
        self.steps_left = self.steps_left.checked_sub(1)?;
        let kept = *self.index.get(dim)?;
        *self.index.get_mut(dim)? = kept.checked_add(by)?;
        self.level(level, row)?;
        *self.index.get_mut(dim)? = kept;
        Some(())
    }

    /// Puts the next value where the index says.
    fn put(&mut self) -> Option<()> {
        let mut at = 0usize;
        for (&dim, &idx) in self.tensor.shape.iter().zip(&self.index) {
            let dim = usize::try_from(dim).ok()?;
            if idx >= dim {
                return None;
            }
            at = at.checked_mul(dim)?.checked_add(idx)?;
        }
        let value = self.values.next()?;
        let at = at.checked_mul(self.width)?;
        self.out.get_mut(at..)?.get_mut(..self.width)?.copy_from_slice(value);
        Some(())
    }
}
