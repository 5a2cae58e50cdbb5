//! Elements as numbers that are wide enough: doubles for floats, 128 bits for integers.
//!
//! A double holds sums and products of singles so that rounding once more gives the single's own
//! result; 128 bits hold those of 64-bit integers, signed or not. Bytes are little endian and need
//! no alignment.

use crate::dtype;
use tensor::{BF16, DType, F8E4M3, F8E5M2, F16, TensorRef};

/// A number that is computed with.
pub(crate) trait Wide: Copy + PartialOrd + 'static {
    const ZERO: Self;
    fn of_float(x: f64) -> Self;
    fn of_integer(x: i128) -> Self;
    fn float(self) -> f64;
    fn integer(self) -> i128;
}

impl Wide for f64 {
    const ZERO: Self = 0.0;

    fn of_float(x: f64) -> Self {
        x
    }

    fn of_integer(x: i128) -> Self {
        x as Self
    }

    fn float(self) -> f64 {
        self
    }

    #[expect(clippy::cast_possible_truncation, reason = "casts truncate and saturate")]
    fn integer(self) -> i128 {
        self as i128
    }
}

impl Wide for i128 {
    const ZERO: Self = 0;

    #[expect(clippy::cast_possible_truncation, reason = "casts truncate and saturate")]
    fn of_float(x: f64) -> Self {
        x as Self
    }

    fn of_integer(x: i128) -> Self {
        x
    }

    fn float(self) -> f64 {
        self as f64
    }

    fn integer(self) -> i128 {
        self
    }
}

/// Reads element `i`.
pub(crate) type Load<W> = fn(&[u8], usize) -> W;

/// Writes element `i`.
pub(crate) type Store<W> = fn(&mut [u8], usize, W);

#[inline]
fn at<const N: usize>(bytes: &[u8], i: usize) -> [u8; N] {
    bytes[i * N..][..N].try_into().expect("N bytes")
}

#[inline]
fn put<const N: usize>(bytes: &mut [u8], i: usize, x: [u8; N]) {
    bytes[i * N..][..N].copy_from_slice(&x);
}

/// A double as the single that rounds on as the double would: odd where it is inexact.
#[expect(clippy::cast_possible_truncation, reason = "narrowing is the purpose")]
#[expect(clippy::float_cmp, reason = "asks whether it is exact")]
pub(crate) fn narrow(x: f64) -> f32 {
    let near = x as f32;
    if f64::from(near) == x || near.is_nan() {
        return near;
    }
    let bits = near.to_bits();
    let below = if f64::from(near).abs() > x.abs() { bits - 1 } else { bits };
    f32::from_bits(below | 1)
}

/// How elements of a type are read.
pub(crate) fn load<W: Wide>(dtype: DType) -> Load<W> {
    match dtype {
        DType::F32 => |b, i| W::of_float(f32::from_le_bytes(at(b, i)).into()),
        DType::F16 => |b, i| W::of_float(F16::from_le_bytes(at(b, i)).to_f32().into()),
        DType::BF16 => |b, i| W::of_float(BF16::from_le_bytes(at(b, i)).to_f32().into()),
        DType::F8E4M3 => |b, i| W::of_float(F8E4M3(b[i]).to_f32().into()),
        DType::F8E5M2 => |b, i| W::of_float(F8E5M2(b[i]).to_f32().into()),
        DType::F64 => |b, i| W::of_float(f64::from_le_bytes(at(b, i))),
        DType::I8 => |b, i| W::of_integer(i8::from_le_bytes(at(b, i)).into()),
        DType::U8 => |b, i| W::of_integer(b[i].into()),
        DType::I16 => |b, i| W::of_integer(i16::from_le_bytes(at(b, i)).into()),
        DType::U16 => |b, i| W::of_integer(u16::from_le_bytes(at(b, i)).into()),
        DType::I32 => |b, i| W::of_integer(i32::from_le_bytes(at(b, i)).into()),
        DType::U32 => |b, i| W::of_integer(u32::from_le_bytes(at(b, i)).into()),
        DType::I64 => |b, i| W::of_integer(i64::from_le_bytes(at(b, i)).into()),
        DType::U64 => |b, i| W::of_integer(u64::from_le_bytes(at(b, i)).into()),
        DType::Bool => |b, i| W::of_integer((b[i] != 0).into()),
    }
}

/// How elements of a type are written: floats rounded to nearest even, integers wrapped.
#[expect(clippy::cast_possible_truncation, reason = "integers wrap, singles round")]
pub(crate) fn store<W: Wide>(dtype: DType) -> Store<W> {
    match dtype {
        DType::F32 => |b, i, x| put(b, i, (x.float() as f32).to_le_bytes()),
        DType::F16 => |b, i, x| put(b, i, F16::from_f32(narrow(x.float())).to_le_bytes()),
        DType::BF16 => |b, i, x| put(b, i, BF16::from_f32(narrow(x.float())).to_le_bytes()),
        DType::F8E4M3 => |b, i, x| b[i] = F8E4M3::from_f32(narrow(x.float())).0,
        DType::F8E5M2 => |b, i, x| b[i] = F8E5M2::from_f32(narrow(x.float())).0,
        DType::F64 => |b, i, x| put(b, i, x.float().to_le_bytes()),
        DType::I8 | DType::U8 => |b, i, x| b[i] = x.integer() as u8,
        DType::I16 | DType::U16 => |b, i, x| put(b, i, (x.integer() as u16).to_le_bytes()),
        DType::I32 | DType::U32 => |b, i, x| put(b, i, (x.integer() as u32).to_le_bytes()),
        DType::I64 | DType::U64 => |b, i, x| put(b, i, (x.integer() as u64).to_le_bytes()),
        DType::Bool => |b, i, x| b[i] = u8::from(x != W::ZERO),
    }
}

/// Whether a type is computed with in doubles.
pub(crate) fn is_float(dtype: DType) -> bool {
    dtype.is_float() || matches!(dtype, DType::F8E4M3 | DType::F8E5M2)
}

/// The least and the greatest value of an integer type.
pub(crate) fn limits(dtype: DType) -> (i128, i128) {
    if dtype == DType::Bool {
        return (0, 1);
    }
    let bits = 8 * dtype.bytes();
    if dtype.is_signed_integer() {
        (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    } else {
        (0, (1 << bits) - 1)
    }
}

/// An operand that is read as numbers.
#[derive(Clone, Copy)]
pub(crate) struct Numbers<'a, W> {
    bytes: &'a [u8],
    load: Load<W>,
}

impl<'a, W: Wide> Numbers<'a, W> {
    pub(crate) fn of(x: TensorRef<'a>) -> Self {
        Self { bytes: x.bytes(), load: load(dtype(&x)) }
    }

    #[inline]
    pub(crate) fn at(&self, i: usize) -> W {
        (self.load)(self.bytes, i)
    }
}

/// Calls `$f` with the numbers that elements of `$dtype` are computed in.
macro_rules! by_domain {
    ($dtype:expr, $w:ident => $body:expr) => {
        if $crate::number::is_float($dtype) {
            type $w = f64;
            $body
        } else {
            type $w = i128;
            $body
        }
    };
}
pub(crate) use by_domain;
