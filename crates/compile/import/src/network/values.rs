//! Elements of constants as numbers, and numbers as elements. Small tensors such as shapes, axes
//! and scalars go through here; nothing large does.

use super::Fault;
use tensor::{BF16, DType, F8E4M3, F8E5M2, F16};

/// Elements that are known, decoded on demand.
#[derive(Clone, Copy, Debug)]
pub struct Numbers<'a> {
    /// Their type.
    pub dtype: DType,
    /// Their bytes, little endian.
    pub bytes: &'a [u8],
}

fn each<const N: usize, T>(bytes: &[u8], decode: fn([u8; N]) -> T) -> Vec<T> {
    let (chunks, _) = bytes.as_chunks::<N>();
    chunks.iter().map(|chunk| decode(*chunk)).collect()
}

impl Numbers<'_> {
    /// All elements as whole numbers.
    ///
    /// # Errors
    /// If they are of a type that is none, or beyond 63 bits.
    pub fn ints(&self) -> Result<Vec<i64>, Fault> {
        let bytes = self.bytes;
        Ok(match self.dtype {
            DType::I64 => each(bytes, i64::from_le_bytes),
            DType::I32 => each(bytes, |b| i64::from(i32::from_le_bytes(b))),
            DType::U32 => each(bytes, |b| i64::from(u32::from_le_bytes(b))),
            DType::I16 => each(bytes, |b| i64::from(i16::from_le_bytes(b))),
            DType::U16 => each(bytes, |b| i64::from(u16::from_le_bytes(b))),
            DType::I8 => each(bytes, |b| i64::from(i8::from_le_bytes(b))),
            DType::U8 | DType::Bool => bytes.iter().map(|&b| i64::from(b)).collect(),
            DType::U64 => {
                let list = each(bytes, u64::from_le_bytes);
                let fits =
                    |n| i64::try_from(n).map_err(|_| Fault::invalid(format!("{n} is too large")));
                list.into_iter().map(fits).collect::<Result<_, _>>()?
            }
            _ => {
                return Err(Fault::invalid(format!(
                    "{} where whole numbers are needed",
                    self.dtype
                )));
            }
        })
    }

    /// All elements in double precision.
    pub fn floats(&self) -> Vec<f64> {
        let bytes = self.bytes;
        match self.dtype {
            DType::F64 => each(bytes, f64::from_le_bytes),
            DType::F32 => each(bytes, |b| f64::from(f32::from_le_bytes(b))),
            DType::F16 => each(bytes, |b| f64::from(F16::from_le_bytes(b).to_f32())),
            DType::BF16 => each(bytes, |b| f64::from(BF16::from_le_bytes(b).to_f32())),
            DType::U64 => each(bytes, |b| u64::from_le_bytes(b) as f64),
            DType::F8E4M3 => each(bytes, |[b]| f64::from(F8E4M3(b).to_f32())),
            DType::F8E5M2 => each(bytes, |[b]| f64::from(F8E5M2(b).to_f32())),
            _ => self
                .ints()
                .map(|list| list.into_iter().map(|n| n as f64).collect())
                .unwrap_or_default(),
        }
    }
}

/// The bytes of one number of this type, rounded to nearest and clamped to the type's range; the
/// tail is zero.
#[expect(clippy::cast_possible_truncation, reason = "`as` clamps, which is what is wanted")]
pub(super) fn encode(dtype: DType, value: f64) -> [u8; 8] {
    let mut out = [0; 8];
    let mut put = |bytes: &[u8]| out[..bytes.len()].copy_from_slice(bytes);
    match dtype {
        DType::F64 => put(&value.to_le_bytes()),
        DType::F32 => put(&(value as f32).to_le_bytes()),
        DType::F16 => put(&F16::from_f32(value as f32).to_le_bytes()),
        DType::BF16 => put(&BF16::from_f32(value as f32).to_le_bytes()),
        DType::I8 => put(&(value as i8).to_le_bytes()),
        DType::U8 => put(&(value as u8).to_le_bytes()),
        DType::I16 => put(&(value as i16).to_le_bytes()),
        DType::U16 => put(&(value as u16).to_le_bytes()),
        DType::I32 => put(&(value as i32).to_le_bytes()),
        DType::U32 => put(&(value as u32).to_le_bytes()),
        DType::I64 => put(&(value as i64).to_le_bytes()),
        DType::U64 => put(&(value as u64).to_le_bytes()),
        DType::Bool => put(&[u8::from(value != 0.0)]),
        DType::F8E4M3 => put(&[F8E4M3::from_f32(value as f32).0]),
        DType::F8E5M2 => put(&[F8E5M2::from_f32(value as f32).0]),
    }
    out
}
