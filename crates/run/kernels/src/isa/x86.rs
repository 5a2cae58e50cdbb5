//! The x86-64 sets: [`Avx2`] and [`AvxVnni`] with registers of two halves,
//! [`Avx512Vnni`] with whole ones.
//!
//! The only x86 code of the crate that is unsafe: each operation is a few intrinsics, allowed by
//! the token, and each set has one trampoline that compiles a kernel with its features. What an
//! operation must give is written at [`Simd`](super::Simd).
#![expect(unsafe_code, reason = "intrinsics; the token proves that the processor has them")]
#![expect(clippy::multiple_unsafe_ops_per_block, reason = "one token proves them all")]

mod avx2;
mod avxvnni;
mod avx512;

pub use avx2::Avx2;
pub use avx512::Avx512Vnni;
pub use avxvnni::AvxVnni;

/// Stamps methods of [`Simd`](super::Simd) whose body is a few intrinsics.
macro_rules! ops {
    ($(fn $name:ident($($arg:ident: $ty:ty),*) -> $out:ty { $value:expr })*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: $ty),*) -> $out {
            // SAFETY: the token exists, so detection saw every feature that this needs; loads and
            // stores stay within the arrays, whose sizes are their types.
            unsafe { $value }
        }
    )*};
}
use ops;

/// Four activation bytes, `4 · group` bytes into a token's block of 32.
#[inline(always)]
fn quad(x: &[u8; 32], group: usize) -> i32 {
    i32::from_le_bytes([x[4 * group], x[4 * group + 1], x[4 * group + 2], x[4 * group + 3]])
}
