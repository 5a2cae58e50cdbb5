//! Natural logarithms in whole numbers: the power of two, and a table of 128 steps between two.

use super::bits;

/// Fraction bits.
const BITS: u32 = 16;
/// Steps of the table, as a power of two.
const SEGMENTS: u32 = 7;
/// Bits by which results are moved up.
const SHIFT: u32 = 6;
/// `ln 2` in 16 bits.
const LN_2: u64 = 45_426;

/// `log2(1 + i / 128) - i / 128` in 16 bits.
fn bend(i: u32) -> i64 {
    let x = f64::from(i) / 128.0;
    #[expect(clippy::cast_possible_truncation, reason = "below 2^13")]
    let bend = (((1.0 + x).log2() - x) * 65536.0).round() as i64;
    bend
}

/// `64 · ln x`, at most 2^16 - 1; 0 of 0 and 1.
pub(super) fn scaled(x: u32) -> u16 {
    if x <= 1 {
        return 0;
    }
    let power = bits(x.into()) - 1;
    let above = u64::from(x) - (1 << power);
    let part = if power < BITS { above << (BITS - power) } else { above >> (power - BITS) };
    let segment = super::low32(part >> (BITS - SEGMENTS));
    let begin = u64::from(segment) << (BITS - SEGMENTS);
    let slope = bend(segment + 1) - bend(segment);
    let moved = (slope * (part - begin).cast_signed()) >> BITS;
    let fraction = part.cast_signed() + bend(segment) + moved;
    let log2 = (u64::from(power) << BITS) + fraction.unsigned_abs();
    let half = 1 << (BITS - 1);
    let natural = (LN_2 * log2 + half) >> BITS;
    let result = ((natural << SHIFT) + half) >> BITS;
    u16::try_from(result).unwrap_or(u16::MAX)
}
