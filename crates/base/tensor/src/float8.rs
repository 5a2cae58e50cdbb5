//! Floats of 8 bits: `E4M3` without infinities and `E5M2` with them, after Micikevicius et al. 2022
//! ("FP8 formats for deep learning").
//!
//! Widening is exact; narrowing rounds to nearest, ties to even. What is beyond the largest finite
//! value becomes NaN (`E4M3`) or infinite (`E5M2`), or the largest where it is asked to saturate.

/// 4 exponent and 3 fraction bits, bias 7, largest 448; `0x7f` is NaN, there are no infinities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct F8E4M3(pub u8);

/// 5 exponent and 2 fraction bits, bias 15, largest 57344; as IEEE's formats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct F8E5M2(pub u8);

/// What distinguishes the two.
struct Format {
    fraction_bits: u32,
    bias: i32,
    /// Code of the largest finite magnitude.
    largest: u8,
    /// Code of what is beyond it.
    beyond: u8,
}

const E4M3: Format = Format { fraction_bits: 3, bias: 7, largest: 0x7e, beyond: 0x7f };
const E5M2: Format = Format { fraction_bits: 2, bias: 15, largest: 0x7b, beyond: 0x7c };

/// `2^e` for exponents of normal doubles.
fn power_of_two(e: i32) -> f64 {
    f64::from_bits(u64::from((e + 1023).unsigned_abs()) << 52)
}

impl Format {
    #[expect(clippy::cast_possible_truncation, reason = "few bits are exact in a single")]
    fn decode(&self, code: u8) -> f32 {
        let magnitude = code & 0x7f;
        if magnitude > self.largest {
            let infinite = self.beyond == 0x7c && magnitude == 0x7c;
            let value = if infinite { f32::INFINITY } else { f32::NAN };
            return if code >= 0x80 { -value } else { value };
        }
        let exponent = i32::from(magnitude >> self.fraction_bits);
        let fraction = u32::from(magnitude) & ((1 << self.fraction_bits) - 1);
        let significand =
            if exponent > 0 { fraction + (1 << self.fraction_bits) } else { fraction };
        let shift = exponent.max(1) - self.bias - self.fraction_bits.cast_signed();
        let value = (f64::from(significand) * power_of_two(shift)) as f32;
        if code >= 0x80 { -value } else { value }
    }

    #[expect(clippy::cast_possible_truncation, reason = "codes are below 256 where they are kept")]
    fn encode(&self, value: f32, beyond: u8) -> u8 {
        let sign = u8::from(value.is_sign_negative()) << 7;
        if value.is_nan() {
            return sign | 0x7f;
        }
        let magnitude = f64::from(value).abs();
        let exponent = ((magnitude.to_bits() >> 52) as i32 - 1023).max(1 - self.bias);
        if exponent > 127 {
            return sign | beyond;
        }
        // Whole steps of the last place; adding 2^52 rounds to even.
        let steps = magnitude * power_of_two(self.fraction_bits.cast_signed() - exponent);
        let steps = ((steps + power_of_two(52)) - power_of_two(52)) as u32;
        // A full fraction carries into the exponent; below the least normal it is 0 as it stands.
        let field = (exponent + self.bias - 1).unsigned_abs() << self.fraction_bits;
        let code = field + steps;
        sign | if code > self.largest.into() { beyond } else { code as u8 }
    }
}

macro_rules! float8 {
    ($type:ident, $format:ident) => {
        impl $type {
            /// The value, exactly.
            pub fn to_f32(self) -> f32 {
                $format.decode(self.0)
            }

            /// The nearest, ties to even; NaN or infinite beyond the largest.
            pub fn from_f32(value: f32) -> Self {
                Self($format.encode(value, $format.beyond))
            }

            /// The nearest, ties to even; the largest beyond it.
            pub fn saturating(value: f32) -> Self {
                Self($format.encode(value, $format.largest))
            }
        }
    };
}

float8!(F8E4M3, E4M3);
float8!(F8E5M2, E5M2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_the_way_through_f32() {
        for code in 0..=u8::MAX {
            let (a, b) = (F8E4M3(code).to_f32(), F8E5M2(code).to_f32());
            if !a.is_nan() {
                assert_eq!(F8E4M3::from_f32(a).0, code);
            }
            if !b.is_nan() {
                assert_eq!(F8E5M2::from_f32(b).0, code);
            }
        }
    }

    #[test]
    fn narrowing_rounds_to_even_and_knows_its_ends() {
        let code = |x: f32| F8E4M3::from_f32(x).0;
        let codes = [16.0, 17.0, 20.0, 19.0, 448.0, 464.0, 465.0, f32::INFINITY].map(code);
        assert_eq!(codes, [0x58, 0x58, 0x5a, 0x5a, 0x7e, 0x7e, 0x7f, 0x7f]);
        assert_eq!([2f32.powi(-10), 2f32.powi(-9), -0.0].map(code), [0, 1, 0x80]);
        assert_eq!(F8E4M3::saturating(-1e9).0, 0xfe);
        let code = |x: f32| F8E5M2::from_f32(x).0;
        assert_eq!([1e9, f32::INFINITY, 1.125, 1.375].map(code), [0x7c, 0x7c, 0x3c, 0x3e]);
        assert_eq!(F8E5M2::saturating(f32::INFINITY).0, 0x7b);
    }
}
