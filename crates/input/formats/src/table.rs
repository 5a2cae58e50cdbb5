//! The tensors of a model: names, types, shapes and places in files.
//!
//! GGUF and safetensors both read into this table. Names are unique, and every extent was
//! checked against its file's length and against every other extent by the reader.

use std::{cmp::Ordering, fmt};

use tensor::{Bytes, Shape, TensorType, view};

use crate::{FormatError, Label, Place, memory};

/// How a tensor's elements are stored in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoredType {
    /// A type that we decode.
    Known(TensorType),
    /// A type that we know by name and size only.
    Foreign(ForeignType),
}

/// A type without a decoder: enough is known to list it and to check its extents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ForeignType {
    /// The name in the format's own words.
    pub name: &'static str,
    /// Elements that are stored together.
    pub block_elements: u64,
    /// Bits of `block_elements` elements.
    pub block_bits: u64,
}

impl StoredType {
    /// The name that users see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Known(ty) => ty.name(),
            Self::Foreign(ty) => ty.name,
        }
    }

    /// Elements that are stored together: 1 for plain types.
    pub const fn block_elements(self) -> u64 {
        match self {
            Self::Known(ty) => ty.block_elements(),
            Self::Foreign(ty) => ty.block_elements,
        }
    }

    /// Bytes of a tensor of this type, or `None` if its rows are no whole blocks or it overflows.
    pub fn tensor_bytes(self, shape: Shape) -> Option<Bytes> {
        match self {
            Self::Known(ty) => view::tensor_bytes(ty, shape).ok(),
            Self::Foreign(ty) => {
                let blocks = shape.last().checked_div(ty.block_elements)?;
                if blocks.checked_mul(ty.block_elements)? != shape.last() {
                    return None;
                }
                let bits = blocks.checked_mul(shape.rows()?)?.checked_mul(ty.block_bits)?;
                bits.is_multiple_of(8).then_some(Bytes(bits >> 3))
            }
        }
    }
}

impl<T: Into<TensorType>> From<T> for StoredType {
    fn from(ty: T) -> Self {
        Self::Known(ty.into())
    }
}

impl fmt::Display for StoredType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTensor {
    /// The name; unique in its table.
    pub name: Box<str>,
    /// How elements are stored.
    pub ty: StoredType,
    /// The extents, outermost first, whatever the file's own order is.
    pub shape: Shape,
    /// Offset of the first byte from the start of its file.
    pub offset: u64,
    /// Size; `offset + bytes` lies within the file.
    pub bytes: Bytes,
    /// Which file of a split or sharded model, from 0.
    pub file: u32,
}

impl StoredTensor {
    /// The element type, for whoever wants to decode the tensor.
    ///
    /// # Errors
    /// If the type is known by name only.
    pub fn tensor_type(&self) -> Result<TensorType, FormatError> {
        match self.ty {
            StoredType::Known(ty) => Ok(ty),
            StoredType::Foreign(ty) => {
                Err(FormatError::UnsupportedType { tensor: Label::new(&self.name), ty: ty.name })
            }
        }
    }

    /// The offset behind the last byte.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.bytes.0)
    }
}

/// All tensors of a model, in file order, found by name.
#[derive(Clone, Debug, Default)]
pub struct TensorTable {
    tensors: Vec<StoredTensor>,
    /// Indexes into `tensors`, sorted by name.
    by_name: Vec<u32>,
}

impl TensorTable {
    /// Builds the table.
    ///
    /// # Errors
    /// If a name occurs twice, two tensors of a file overlap, or there are too many.
    pub(crate) fn new(tensors: Vec<StoredTensor>) -> Result<Self, FormatError> {
        let count = tensors.len() as u64;
        let limit = crate::limits::TENSORS;
        if count > limit {
            let place = Place::named(format_args!("number of tensors"));
            return Err(FormatError::Limit { place, got: count, limit });
        }
        let mut order: Vec<u32> = memory::table(tensors.len())?;
        order.extend((0u32..).take(tensors.len()));
        let get = |idx: &u32| tensors.get(*idx as usize);
        let key = |idx: &u32| get(idx).map(|tensor| (tensor.file, tensor.offset, tensor.end()));
        order.sort_unstable_by_key(key);
        let pairs = || order.iter().zip(order.iter().skip(1));
        for (former, later) in pairs() {
            let (Some(former), Some(later)) = (get(former), get(later)) else { continue };
            if former.file == later.file && former.end() > later.offset {
                return Err(FormatError::Overlap {
                    tensor: Label::new(&later.name),
                    other: Label::new(&former.name),
                    at: later.offset,
                });
            }
        }
        let name = |idx: &u32| get(idx).map_or("", |tensor| &*tensor.name);
        order.sort_unstable_by(|a, b| name(a).cmp(name(b)));
        for (former, later) in order.iter().zip(order.iter().skip(1)) {
            if name(former) == name(later) {
                return Err(FormatError::Duplicate {
                    what: "tensor",
                    name: Label::new(name(later)),
                });
            }
        }
        Ok(Self { by_name: order, tensors })
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// All tensors in file order.
    pub fn iter(&self) -> std::slice::Iter<'_, StoredTensor> {
        self.tensors.iter()
    }

    /// The tensor of this name, if there is one.
    pub fn get(&self, name: &str) -> Option<&StoredTensor> {
        let order = |idx: &u32| {
            self.tensors.get(*idx as usize).map_or(Ordering::Less, |found| (*found.name).cmp(name))
        };
        let found = self.by_name.binary_search_by(order).ok()?;
        self.tensors.get(*self.by_name.get(found)? as usize)
    }

    /// The tensor of this name.
    ///
    /// # Errors
    /// [`FormatError::MissingTensor`] if there is none.
    pub fn require(&self, name: &str) -> Result<&StoredTensor, FormatError> {
        self.get(name).ok_or_else(|| FormatError::MissingTensor { tensor: Label::new(name) })
    }

    /// The tensors in file order, without the table.
    pub(crate) fn into_vec(self) -> Vec<StoredTensor> {
        self.tensors
    }
}

impl<'a> IntoIterator for &'a TensorTable {
    type Item = &'a StoredTensor;
    type IntoIter = std::slice::Iter<'a, StoredTensor>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::gguf::ggml_type;

    /// The same sum in numbers that cannot overflow.
    fn exact(ty: StoredType, dims: &[u64]) -> Option<u128> {
        let (elements, bits) = match ty {
            StoredType::Known(ty) => (ty.block_elements(), ty.block_bytes() * 8),
            StoredType::Foreign(ty) => (ty.block_elements, ty.block_bits),
        };
        let last = dims.last().copied().unwrap_or(1);
        let blocks = last.is_multiple_of(elements).then_some(u128::from(last / elements))?;
        let rows = dims.iter().rev().skip(1).try_fold(1u128, |n, &d| n.checked_mul(d.into()))?;
        Some(blocks.checked_mul(rows)?.checked_mul(bits.into())? / 8)
    }

    proptest! {
        #[test]
        fn sizes_are_exact_or_refused(
            id in 0..=ggml_type::LAST,
            dims in proptest::collection::vec(
                prop_oneof![1..9u64, (0..64u32).prop_map(|n| 1 << n), any::<u64>()], 0..5),
            whole in any::<bool>(),
        ) {
            let ty = ggml_type::from_id(id).unwrap();
            let mut dims = dims;
            if let (true, Some(last)) = (whole, dims.last_mut()) {
                *last = last.saturating_mul(ty.block_elements());
            }
            let got = ty.tensor_bytes(Shape::new(&dims).unwrap()).map(|bytes| u128::from(bytes.0));
            if let Some(got) = got {
                prop_assert_eq!(Some(got), exact(ty, &dims));
            } else {
                // Refused although it fits: only where an intermediate product does not.
                let fits = exact(ty, &dims).is_some_and(|n| n <= u128::from(u64::MAX) / 8);
                prop_assert!(!fits || dims.contains(&0));
            }
        }
    }
}
