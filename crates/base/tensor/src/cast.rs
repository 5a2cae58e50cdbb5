//! Slices of bytes seen as slices of numbers and back, without copies.
//!
//! A cast succeeds only where length and alignment fit, so the result is always valid; numbers are
//! in the machine's byte order, which must be the files' little endian (checked when compiled).
#![expect(unsafe_code, reason = "reinterprets memory; the only module of this crate that may")]

use crate::half::{BF16, F16};

const _: () = assert!(u16::from_ne_bytes([1, 0]) == 1, "weights are little endian in memory");

mod sealed {
    /// Keeps [`Number`](super::Number) to the types listed here.
    pub trait Sealed {}
}

/// A number whose every bit pattern is a value and which has no padding.
pub trait Number: sealed::Sealed + Copy + 'static {}

macro_rules! numbers {
    ($($number:ty),*) => {
        $(
            impl sealed::Sealed for $number {}
            impl Number for $number {}
        )*
    };
}

numbers!(u8, i8, u16, i16, u32, i32, u64, i64, f32, f64, F16, BF16);

/// Why bytes cannot be seen as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CastError {
    /// The bytes are no whole number of elements.
    #[error("{bytes} bytes are no whole number of {element}-byte elements")]
    Length {
        /// Bytes given.
        bytes: usize,
        /// Bytes of one element.
        element: usize,
    },
    /// The bytes begin at an address that the element's alignment does not allow.
    #[error("the bytes are not aligned to {align}")]
    Align {
        /// The alignment that is needed, in bytes.
        align: usize,
    },
}

/// The error of bytes that do not divide into elements of type `T` without rest.
fn refuse<T: Number>(bytes: usize) -> CastError {
    if bytes.is_multiple_of(size_of::<T>()) {
        CastError::Align { align: align_of::<T>() }
    } else {
        CastError::Length { bytes, element: size_of::<T>() }
    }
}

/// Bytes as numbers.
///
/// # Errors
/// If the length is no multiple of the element's size, or the address not aligned to it.
pub fn from_bytes<T: Number>(bytes: &[u8]) -> Result<&[T], CastError> {
    // SAFETY: every bit pattern is a `Number`.
    let (before, numbers, after) = unsafe { bytes.align_to() };
    if before.is_empty() && after.is_empty() { Ok(numbers) } else { Err(refuse::<T>(bytes.len())) }
}

/// Bytes as numbers that can be written.
///
/// # Errors
/// If the length is no multiple of the element's size, or the address not aligned to it.
pub fn from_bytes_mut<T: Number>(bytes: &mut [u8]) -> Result<&mut [T], CastError> {
    let len = bytes.len();
    // SAFETY: every bit pattern is a `Number` and, having no padding, every `Number` is bytes.
    let (before, numbers, after) = unsafe { bytes.align_to_mut() };
    if before.is_empty() && after.is_empty() { Ok(numbers) } else { Err(refuse::<T>(len)) }
}

/// Numbers as their bytes.
pub fn to_bytes<T: Number>(numbers: &[T]) -> &[u8] {
    // SAFETY: a `Number` has no padding, and bytes need no alignment.
    unsafe { core::slice::from_raw_parts(numbers.as_ptr().cast(), size_of_val(numbers)) }
}

/// Numbers as their bytes, which can be written.
pub fn to_bytes_mut<T: Number>(numbers: &mut [T]) -> &mut [u8] {
    let len = size_of_val(numbers);
    // SAFETY: a `Number` has no padding and takes any bit pattern; bytes need no alignment; the
    // borrow is exclusive.
    unsafe { core::slice::from_raw_parts_mut(numbers.as_mut_ptr().cast(), len) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn casts_check_length_and_alignment() {
        let numbers = [1.0f32, -2.5];
        let bytes = to_bytes(&numbers);
        assert_eq!(bytes[..4], 1.0f32.to_le_bytes());
        assert_eq!(from_bytes::<f32>(bytes), Ok(&numbers[..]));
        assert_eq!(from_bytes::<f32>(&bytes[1..5]), Err(CastError::Align { align: 4 }));
        let short = CastError::Length { bytes: 7, element: 4 };
        assert_eq!(from_bytes::<u32>(&bytes[..7]), Err(short));
        assert_eq!(from_bytes::<i8>(&bytes[1..4]).map(<[i8]>::len), Ok(3));
        assert_eq!(from_bytes::<f32>(&[]).map(<[f32]>::len), Ok(0));
    }

    #[test]
    fn written_bytes_are_the_numbers() {
        let mut words = [0u32; 2];
        to_bytes_mut(&mut words)[4] = 7;
        assert_eq!(words, [0, 7]);
        from_bytes_mut::<u16>(to_bytes_mut(&mut words)).unwrap()[1] = 1;
        assert_eq!(words, [1 << 16, 7]);
    }
}
