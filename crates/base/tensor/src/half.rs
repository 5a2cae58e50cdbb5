//! Half precision and bfloat16 as bit patterns, with exact conversions from and to `f32`.
//!
//! Widening is exact for every pattern (NaN payloads included); narrowing rounds to nearest, ties
//! to even, overflows to infinity and keeps NaNs NaN. Follows IEEE 754-2019 §4.3.1 and §6.2; plain
//! integer code, so that every platform agrees on every bit.

/// An IEEE half: 1 sign, 5 exponent and 10 fraction bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct F16(pub u16);

/// The upper 16 bits of a single: 1 sign, 8 exponent and 7 fraction bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct BF16(pub u16);

/// Exponent bits of an infinite single.
const INFINITE: u32 = 0x7f80_0000;

impl F16 {
    /// The largest finite value, 65504.
    pub const MAX: Self = Self(0x7bff);

    /// Reads two little-endian bytes.
    pub const fn from_le_bytes(bytes: [u8; 2]) -> Self {
        Self(u16::from_le_bytes(bytes))
    }

    /// Two little-endian bytes.
    pub const fn to_le_bytes(self) -> [u8; 2] {
        self.0.to_le_bytes()
    }

    /// The value, exactly.
    #[inline]
    pub const fn to_f32(self) -> f32 {
        let sign = (self.0 as u32 & 0x8000) << 16;
        let exponent = (self.0 as u32 >> 10) & 0x1f;
        let fraction = self.0 as u32 & 0x3ff;
        let magnitude = match exponent {
            // A subnormal is a whole number of 2^-24; the product is exact.
            0 => (fraction as f32 * (1.0 / 16_777_216.0)).to_bits(),
            0x1f => INFINITE | (fraction << 13),
            _ => ((exponent + 112) << 23) | (fraction << 13),
        };
        f32::from_bits(sign | magnitude)
    }

    /// The nearest half, ties to even; 65520 and above become infinite, NaNs become quiet.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "each branch leaves 15 bits")]
    pub const fn from_f32(value: f32) -> Self {
        let bits = value.to_bits();
        let sign = ((bits >> 16) & 0x8000) as u16;
        let magnitude = bits & 0x7fff_ffff;
        let half = if magnitude > INFINITE {
            0x7e00 | ((magnitude >> 13) & 0x3ff) as u16
        } else if magnitude >= 0x4780_0000 {
            0x7c00
        } else if magnitude < 0x3880_0000 {
            // Below 2^-14 the step is 2^-24, which is the step of singles in [0.5, 1): adding 0.5
            // rounds as wanted and leaves the half in the low bits.
            ((f32::from_bits(magnitude) + 0.5).to_bits() - 0.5f32.to_bits()) as u16
        } else {
            let rebiased = magnitude - (112 << 23);
            ((rebiased + 0xfff + ((rebiased >> 13) & 1)) >> 13) as u16
        };
        Self(sign | half)
    }
}

impl BF16 {
    /// Reads two little-endian bytes.
    pub const fn from_le_bytes(bytes: [u8; 2]) -> Self {
        Self(u16::from_le_bytes(bytes))
    }

    /// Two little-endian bytes.
    pub const fn to_le_bytes(self) -> [u8; 2] {
        self.0.to_le_bytes()
    }

    /// The value, exactly.
    #[inline]
    pub const fn to_f32(self) -> f32 {
        f32::from_bits((self.0 as u32) << 16)
    }

    /// The nearest bfloat16, ties to even; NaNs become quiet.
    #[inline]
    pub const fn from_f32(value: f32) -> Self {
        let bits = value.to_bits();
        if bits & 0x7fff_ffff > INFINITE {
            return Self((bits >> 16) as u16 | 0x40);
        }
        // The largest finite pattern plus the rounding term stays below 2^32.
        Self(((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_survives_the_way_through_f32() {
        for bits in 0..=u16::MAX {
            let value = F16(bits).to_f32();
            let nan = bits & 0x7fff > 0x7c00;
            assert_eq!(value.is_nan(), nan, "{bits:04x}");
            let quiet = if nan { bits | 0x200 } else { bits };
            assert_eq!(F16::from_f32(value), F16(quiet), "{bits:04x}");
            let nan = bits & 0x7fff > 0x7f80;
            let quiet = if nan { bits | 0x40 } else { bits };
            assert_eq!(BF16::from_f32(BF16(bits).to_f32()), BF16(quiet), "{bits:04x}");
        }
    }

    #[test]
    fn narrowing_picks_the_nearest_and_breaks_ties_to_even() {
        // Between every two neighbours: just below the middle, the middle, just above.
        for bits in 0..0x7bffu16 {
            let (low, high) = (F16(bits).to_f32(), F16(bits + 1).to_f32());
            let middle = f32::midpoint(low, high);
            let even = if bits & 1 == 0 { bits } else { bits + 1 };
            for (value, want) in
                [(middle.next_down(), bits), (middle, even), (middle.next_up(), bits + 1)]
            {
                assert_eq!(F16::from_f32(value), F16(want), "{value:e}");
                assert_eq!(F16::from_f32(-value), F16(want | 0x8000), "-{value:e}");
            }
        }
        for (value, want) in [
            (65519.996, F16::MAX.0),
            (65520.0, 0x7c00),
            (f32::MAX, 0x7c00),
            (f32::INFINITY, 0x7c00),
            (f32::from_bits(1), 0),
            (-0.0, 0x8000),
        ] {
            assert_eq!(F16::from_f32(value), F16(want), "{value:e}");
        }
        for (bits, want) in [
            (0x3f80_8000, 0x3f80),
            (0x3f81_8000, 0x3f82),
            (0x3f80_8001, 0x3f81),
            (0x7f7f_ffff, 0x7f80),
            (0x0000_8001, 0x0001),
            (0xff80_0001, 0xffc0),
        ] {
            assert_eq!(BF16::from_f32(f32::from_bits(bits)), BF16(want), "{bits:08x}");
        }
    }
}
