//! Rows of plain numbers. Each element is converted alone; nothing is scaled.

use crate::{BF16, DType, F8E4M3, F8E5M2, F16};

/// Decodes `dst.len()` plain numbers.
pub(super) fn decode(dtype: DType, src: &[u8], dst: &mut [f32]) {
    #[expect(clippy::cast_possible_truncation, reason = "a double is rounded to a single")]
    match dtype {
        DType::F32 => each(src, dst, f32::from_le_bytes),
        DType::F16 => each(src, dst, |bytes| F16::from_le_bytes(bytes).to_f32()),
        DType::BF16 => each(src, dst, |bytes| BF16::from_le_bytes(bytes).to_f32()),
        DType::F64 => each(src, dst, |bytes| f64::from_le_bytes(bytes) as f32),
        DType::F8E4M3 => each(src, dst, |[byte]| F8E4M3(byte).to_f32()),
        DType::F8E5M2 => each(src, dst, |[byte]| F8E5M2(byte).to_f32()),
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

/// Encodes `src.len()` plain numbers.
pub(super) fn encode(dtype: DType, src: &[f32], dst: &mut [u8]) {
    #[expect(clippy::cast_possible_truncation, reason = "`as` saturates, which is wanted")]
    match dtype {
        DType::F32 => store(src, dst, f32::to_le_bytes),
        DType::F16 => store(src, dst, |v| F16::from_f32(v).to_le_bytes()),
        DType::BF16 => store(src, dst, |v| BF16::from_f32(v).to_le_bytes()),
        DType::F64 => store(src, dst, |v| f64::from(v).to_le_bytes()),
        DType::F8E4M3 => store(src, dst, |v| [F8E4M3::from_f32(v).0]),
        DType::F8E5M2 => store(src, dst, |v| [F8E5M2::from_f32(v).0]),
        DType::I8 => store(src, dst, |v| (whole(v) as i8).to_le_bytes()),
        DType::U8 => store(src, dst, |v| (whole(v) as u8).to_le_bytes()),
        DType::I16 => store(src, dst, |v| (whole(v) as i16).to_le_bytes()),
        DType::U16 => store(src, dst, |v| (whole(v) as u16).to_le_bytes()),
        DType::I32 => store(src, dst, |v| (whole(v) as i32).to_le_bytes()),
        DType::U32 => store(src, dst, |v| (whole(v) as u32).to_le_bytes()),
        DType::I64 => store(src, dst, |v| (whole(v) as i64).to_le_bytes()),
        DType::U64 => store(src, dst, |v| (whole(v) as u64).to_le_bytes()),
        DType::Bool => store(src, dst, |v| [u8::from(v != 0.0)]),
    }
}

/// The nearest whole number, ties to even; from 2^23 on all singles are whole.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "whole numbers below 2^23 are singles")]
fn whole(v: f32) -> f32 {
    // At 1.5 · 2^52 doubles are one apart, so that the addition rounds.
    const SHIFT: f64 = 6_755_399_441_055_744.0;
    if v.abs() < 8_388_608.0 { ((f64::from(v) + SHIFT) - SHIFT) as f32 } else { v }
}

/// Applies `convert` to every number.
#[inline]
fn store<const N: usize>(src: &[f32], dst: &mut [u8], convert: impl Fn(f32) -> [u8; N]) {
    for (v, out) in src.iter().zip(dst.as_chunks_mut().0) {
        *out = convert(*v);
    }
}
