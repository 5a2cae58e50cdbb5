//! Tensors of a TFLite file: type, shape, quantisation and where constants have their bytes.
//!
//! `shape` holds 1 as a placeholder where `signature` says that an extent is free; a tensor
//! without either may be of any rank.

use std::fmt;

use tensor::DType;

use super::{Quantization, Scope, Sparsity, find_external};
use crate::{FormatError, Label, Place, flatbuffer::Table, limits};

/// A value of a graph.
#[derive(Clone, Debug)]
pub struct Tensor<'a> {
    /// Its name; not always unique.
    pub name: &'a str,
    /// Type of its elements.
    pub ty: TensorType,
    /// The extents, outermost first; 1 where an extent is free.
    pub shape: Vec<u64>,
    /// The extents with `None` for free ones, where the file tells; of the same rank.
    pub signature: Option<Vec<Option<u64>>>,
    /// Whether the number of dimensions is known: false tells an unknown rank from a single
    /// element, if `shape` is empty.
    pub has_rank: bool,
    /// The constant's bytes: an index into the model's buffers; 0 is none.
    pub buffer: usize,
    /// The constant's bytes in another file: an id of the model's external buffers.
    pub external: Option<u32>,
    /// Whether it keeps its value from one run to the next.
    pub is_variable: bool,
    /// How its numbers stand for real ones.
    pub quantization: Option<Box<Quantization<'a>>>,
    /// How a constant lists only what is not zero.
    pub sparsity: Option<Box<Sparsity<'a>>>,
    /// Offset of the tensor in the file, for errors.
    pub at: u64,
}

/// The type of a tensor's elements, in the order of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TensorType {
    /// IEEE single precision.
    Float32,
    /// IEEE half precision.
    Float16,
    /// Signed 32 bit.
    Int32,
    /// Unsigned 8 bit.
    Uint8,
    /// Signed 64 bit.
    Int64,
    /// Strings, packed in a form of their own.
    String,
    /// One byte: 0 or 1.
    Bool,
    /// Signed 16 bit.
    Int16,
    /// Two singles.
    Complex64,
    /// Signed 8 bit.
    Int8,
    /// IEEE double precision.
    Float64,
    /// Two doubles.
    Complex128,
    /// Unsigned 64 bit.
    Uint64,
    /// A variable or table that outlives a run.
    Resource,
    /// A value whose type is known when it runs.
    Variant,
    /// Unsigned 32 bit.
    Uint32,
    /// Unsigned 16 bit.
    Uint16,
    /// Signed 4 bit, the first of a pair in the low half of its byte.
    Int4,
    /// The upper half of a single.
    Bfloat16,
    /// Signed 2 bit, four a byte, the first in the lowest bits.
    Int2,
    /// Unsigned 4 bit, the first of a pair in the low half of its byte.
    Uint4,
    /// 8 bit: 4 exponent, 3 fraction bits, no infinities.
    Float8E4m3fn,
    /// 8 bit: 5 exponent, 2 fraction bits, as IEEE.
    Float8E5m2,
}

/// Types with their names and bits, in the order of their codes; no bits where elements have no
/// fixed size.
const TABLE: [(TensorType, &str, u64); 23] = {
    use TensorType as T;
    [
        (T::Float32, "float32", 32),
        (T::Float16, "float16", 16),
        (T::Int32, "int32", 32),
        (T::Uint8, "uint8", 8),
        (T::Int64, "int64", 64),
        (T::String, "string", 0),
        (T::Bool, "bool", 8),
        (T::Int16, "int16", 16),
        (T::Complex64, "complex64", 64),
        (T::Int8, "int8", 8),
        (T::Float64, "float64", 64),
        (T::Complex128, "complex128", 128),
        (T::Uint64, "uint64", 64),
        (T::Resource, "resource", 0),
        (T::Variant, "variant", 0),
        (T::Uint32, "uint32", 32),
        (T::Uint16, "uint16", 16),
        (T::Int4, "int4", 4),
        (T::Bfloat16, "bfloat16", 16),
        (T::Int2, "int2", 2),
        (T::Uint4, "uint4", 4),
        (T::Float8E4m3fn, "float8e4m3fn", 8),
        (T::Float8E5m2, "float8e5m2", 8),
    ]
};

impl TensorType {
    /// All types, in the order of their codes.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.0)
    }

    /// The type of a code of the schema.
    pub fn from_code(code: i8) -> Option<Self> {
        TABLE.get(usize::try_from(code).ok()?).map(|row| row.0)
    }

    /// The name that users see, such as `int8`.
    pub fn name(self) -> &'static str {
        TABLE.get(self as usize).map_or("", |row| row.1)
    }

    /// Bits of one element; `None` where elements have no fixed size.
    pub fn bits(self) -> Option<u64> {
        TABLE.get(self as usize).map(|row| row.2).filter(|&bits| bits > 0)
    }

    /// Bytes of `elements` packed without gaps; `None` where elements have no fixed size, and
    /// on overflow.
    pub fn packed_bytes(self, elements: u64) -> Option<u64> {
        Some(elements.checked_mul(self.bits()?)?.div_ceil(8))
    }

    /// The type that the rest of Ledge computes with, where there is one.
    pub fn dtype(self) -> Option<DType> {
        Some(match self {
            Self::Float32 => DType::F32,
            Self::Float16 => DType::F16,
            Self::Bfloat16 => DType::BF16,
            Self::Float64 => DType::F64,
            Self::Int8 => DType::I8,
            Self::Uint8 => DType::U8,
            Self::Int16 => DType::I16,
            Self::Uint16 => DType::U16,
            Self::Int32 => DType::I32,
            Self::Uint32 => DType::U32,
            Self::Int64 => DType::I64,
            Self::Uint64 => DType::U64,
            Self::Bool => DType::Bool,
            Self::String
            | Self::Complex64
            | Self::Complex128
            | Self::Resource
            | Self::Variant
            | Self::Int4
            | Self::Int2
            | Self::Uint4
            | Self::Float8E4m3fn
            | Self::Float8E5m2 => return None,
        })
    }

    /// The type of a code out of a file.
    pub(super) fn read(code: i8, place: impl FnOnce() -> Place) -> Result<Self, FormatError> {
        Self::from_code(code).ok_or_else(|| FormatError::Unsupported {
            place: place(),
            got: Label::from(format_args!("element type {code}")),
            instead: "types 0 to 22 of the schema are read",
        })
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl<'a> Tensor<'a> {
    pub(super) fn read(table: &Table<'a>, scope: &Scope<'_, 'a>) -> Result<Self, FormatError> {
        let budget = &scope.reader.budget;
        let name = table.name(3, "name")?;
        let place = |what: &str| {
            Place::at(format_args!("{what} of tensor `{}`", Label::new(name)), table.at())
        };
        let ty = TensorType::read(table.scalar(1, 0i8)?, || place("type"))?;
        let (shape, signature) = (table.list::<i32>(0)?, table.list::<i32>(7)?);
        let (rank, limit) = (shape.len().max(signature.len()) as u64, limits::NETWORK_RANK as u64);
        if rank > limit {
            let place = place("number of dimensions");
            return Err(FormatError::Limit { place, got: rank, limit });
        }
        let mut dims = budget.table(shape.len())?;
        for dim in shape.iter() {
            dims.push(u64::try_from(dim).map_err(|_| {
                FormatError::invalid(place("shape"), "0 or higher", format_args!("{dim}"))
            })?);
        }
        if !signature.is_empty() && signature.len() != dims.len() {
            let want = format!("of {} dimensions, as the shape", dims.len());
            let got = format_args!("of {}", signature.len());
            return Err(FormatError::invalid(place("shape_signature"), want, got));
        }
        let mut tensor = Self {
            name,
            ty,
            shape: dims,
            signature: None,
            has_rank: table.scalar(8, false)?,
            buffer: scope.buffer(table, "buffer", table.scalar(2, 0u32)?)?,
            external: Some(table.scalar(10, 0u32)?).filter(|&id| id != 0),
            is_variable: table.scalar(5, false)?,
            quantization: None,
            sparsity: None,
            at: table.at(),
        };
        if !signature.is_empty() {
            let mut dims = budget.table(signature.len())?;
            for dim in signature.iter() {
                dims.push(match dim {
                    -1 => None,
                    dim => Some(u64::try_from(dim).map_err(|_| {
                        let got = format_args!("{dim}");
                        FormatError::invalid(place("shape_signature"), "-1 or higher", got)
                    })?),
                });
            }
            tensor.signature = Some(dims);
        }
        let elements = tensor.checked_elements(|| place("shape"))?;
        if let Some(table) = table.table(4, "QuantizationParameters")? {
            let quantization = Quantization::read(&table)?;
            tensor.quantization = quantization.map(|found| budget.boxed(found)).transpose()?;
        }
        if let Some(table) = table.table(6, "SparsityParameters")? {
            let sparsity = Sparsity::read(&table, tensor.shape.len(), scope.reader)?;
            tensor.sparsity = Some(budget.boxed(sparsity)?);
        }
        tensor.check_constant(scope, elements, place)?;
        Ok(tensor)
    }

    /// Number of elements, where free extents count as 1.
    pub fn elements(&self) -> u64 {
        // Checked when it was read.
        self.shape.iter().fold(1, |product, &dim| product.saturating_mul(dim))
    }

    fn checked_elements(&self, place: impl FnOnce() -> Place) -> Result<u64, FormatError> {
        let limit = limits::NETWORK_ELEMENTS;
        let product = self.shape.iter().try_fold(1u64, |product, &dim| product.checked_mul(dim));
        product.filter(|&elements| elements <= limit).ok_or_else(|| {
            let want = format!("at most {limit} elements");
            FormatError::invalid(place(), want, format_args!("{:?}", self.shape))
        })
    }

    /// The extents, outermost first: `None` for free ones.
    pub fn dims(&self) -> impl ExactSizeIterator<Item = Option<u64>> {
        let free = |idx: usize| {
            self.signature.as_ref().and_then(|dims| dims.get(idx)).is_some_and(Option::is_none)
        };
        self.shape.iter().enumerate().map(move |(idx, &dim)| (!free(idx)).then_some(dim))
    }

    /// A constant must have the bytes that it claims.
    fn check_constant(
        &self,
        scope: &Scope<'_, '_>,
        elements: u64,
        place: impl Fn(&str) -> Place,
    ) -> Result<(), FormatError> {
        // Strings and resources have no fixed size; sparse constants are checked when expanded.
        let Some(need) = self.ty.packed_bytes(elements).filter(|_| self.sparsity.is_none()) else {
            return Ok(());
        };
        let here = || scope.buffers.get(self.buffer).map(|bytes| bytes.len() as u64);
        let have = if let Some(id) = self.external {
            let found = find_external(scope.external_buffers, id);
            let buffer = found.ok_or_else(|| {
                let place = place("external_buffer");
                FormatError::invalid(place, "an external buffer's id", format_args!("{id}"))
            })?;
            // Packed bytes are shorter than the tensor.
            buffer.packing.is_empty().then_some(buffer.length)
        } else {
            here().filter(|&len| len > 0)
        };
        match have {
            Some(have) if have != need => {
                let want = format!("{need} bytes, as {} {:?} needs", self.ty, self.shape);
                Err(FormatError::invalid(place("buffer"), want, format_args!("{have} bytes")))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_types_match() {
        for (code, ty) in (0i8..).zip(TensorType::all()) {
            assert_eq!((TensorType::from_code(code), ty as i8), (Some(ty), code));
            if let Some(dtype) = ty.dtype() {
                assert_eq!(ty.bits(), Some(dtype.bytes() * 8), "{ty}");
            }
        }
        assert_eq!((TensorType::from_code(-1), TensorType::from_code(23)), (None, None));
    }
}
