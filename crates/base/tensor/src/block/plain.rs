//! Rows of plain numbers. Each element is converted alone; nothing is scaled.

use crate::{BF16, DType, F16};

/// Decodes `dst.len()` plain numbers.
pub(super) fn decode(dtype: DType, src: &[u8], dst: &mut [f32]) {
    #[expect(clippy::cast_possible_truncation, reason = "a double is rounded to a single")]
    match dtype {
        DType::F32 => each(src, dst, f32::from_le_bytes),
        DType::F16 => each(src, dst, |bytes| F16::from_le_bytes(bytes).to_f32()),
        DType::BF16 => each(src, dst, |bytes| BF16::from_le_bytes(bytes).to_f32()),
        DType::F64 => each(src, dst, |bytes| f64::from_le_bytes(bytes) as f32),
        DType::I8 => each(src, dst, |bytes| f32::from(i8::from_le_bytes(bytes))),
        DType::U8 => each(src, dst, |bytes| f32::from(u8::from_le_bytes(bytes))),
        DType::I16 => each(src, dst, |bytes| f32::from(i16::from_le_bytes(bytes))),
        DType::U16 => each(src, dst, |bytes| f32::from(u16::from_le_bytes(bytes))),
        DType::I32 => each(src, dst, |bytes| i32::from_le_bytes(bytes) as f32),
        DType::U32 => each(src, dst, |bytes| u32::from_le_bytes(bytes) as f32),
        DType::I64 => each(src, dst, |bytes| i64::from_le_bytes(bytes) as f32),
        DType::U64 => each(src, dst, |bytes| u64::from_le_bytes(bytes) as f32),
        DType::Bool => each(src, dst, |[byte]| f32::from(u8::from(byte != 0))),
    }
}

/// Applies `convert` to every `N` bytes.
#[inline]
fn each<const N: usize>(src: &[u8], dst: &mut [f32], convert: impl Fn([u8; N]) -> f32) {
    for (bytes, out) in src.as_chunks().0.iter().zip(dst) {
        *out = convert(*bytes);
    }
}
