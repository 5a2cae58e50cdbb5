//! A number of bytes. Sums and products of sizes stay in this type, so that elements and bytes
//! cannot be mixed up, and every arithmetic step that could overflow is checked.

use core::{fmt, iter::Sum, str::FromStr};

/// A size in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

impl Bytes {
    /// No bytes.
    pub const ZERO: Self = Self(0);

    /// `n` kibibytes.
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// `n` mebibytes.
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// `n` gibibytes.
    pub const fn gib(n: u64) -> Self {
        Self(n << 30)
    }

    /// The sum, or `None` if it does not fit.
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(n) => Some(Self(n)),
            None => None,
        }
    }

    /// The difference, or zero where `other` is larger.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The next multiple of `align`, which is a power of two; saturates at the largest multiple.
    #[must_use]
    pub const fn align_up(self, align: u64) -> Self {
        debug_assert!(align.is_power_of_two());
        let mask = align - 1;
        match self.0.checked_add(mask) {
            Some(n) => Self(n & !mask),
            None => Self(!mask),
        }
    }

    /// The size as an index, or `None` where the platform's addresses are too short.
    pub fn to_usize(self) -> Option<usize> {
        usize::try_from(self.0).ok()
    }
}

impl Sum for Bytes {
    fn sum<I: Iterator<Item = Self>>(sizes: I) -> Self {
        Self(sizes.fold(0, |sum, size| sum.saturating_add(size.0)))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.0 as f64;
        match self.0 {
            0..0x400 => f.pad(&alloc::format!("{} B", self.0)),
            0x400..0x10_0000 => f.pad(&alloc::format!("{:.1} KiB", n / 1024.0)),
            0x10_0000..0x4000_0000 => f.pad(&alloc::format!("{:.1} MiB", n / 1_048_576.0)),
            _ => f.pad(&alloc::format!("{:.2} GiB", n / 1_073_741_824.0)),
        }
    }
}

/// Why a size could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a size: write a number with B, KiB, MiB, GiB, KB, MB or GB, such as 900MiB")]
pub struct ParseBytesError;

impl FromStr for Bytes {
    type Err = ParseBytesError;

    /// Reads `1234`, `900MiB`, `1.5 GiB`, `2GB` (decimal) or `2G` (binary), in any case.
    fn from_str(text: &str) -> Result<Self, ParseBytesError> {
        let text = text.trim();
        let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let unit = unit.trim();
        let factor: u64 = [
            ("", 1),
            ("b", 1),
            ("k", 1 << 10),
            ("kib", 1 << 10),
            ("kb", 1_000),
            ("m", 1 << 20),
            ("mib", 1 << 20),
            ("mb", 1_000_000),
            ("g", 1 << 30),
            ("gib", 1 << 30),
            ("gb", 1_000_000_000),
            ("t", 1 << 40),
            ("tib", 1 << 40),
            ("tb", 1_000_000_000_000),
        ]
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))
        .map(|&(_, factor)| factor)
        .ok_or(ParseBytesError)?;
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(factor).map(Self).ok_or(ParseBytesError);
        }
        let fraction = number.parse::<f64>().map_err(|_| ParseBytesError)? * factor as f64;
        if fraction.is_finite() && (0.0..9.0e18).contains(&fraction) {
            #[expect(clippy::cast_possible_truncation, reason = "the range was checked above")]
            return Ok(Self(fraction as u64));
        }
        Err(ParseBytesError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn sizes_are_read_and_printed_with_their_units() {
        for (text, bytes) in [
            ("0", 0),
            ("1234", 1234),
            ("900MiB", 900 << 20),
            ("1.5 GiB", 3 << 29),
            ("2gb", 2_000_000_000),
            ("64k", 65536),
        ] {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
        for text in ["", "MiB", "-1", "1 parsec", "99999999999999999999", "1e9", "nan"] {
            assert_eq!(text.parse::<Bytes>(), Err(ParseBytesError), "{text}");
        }
        assert_eq!(Bytes(512).to_string(), "512 B");
        assert_eq!(Bytes::mib(900).to_string(), "900.0 MiB");
    }

    #[test]
    fn rounding_up_never_wraps() {
        assert_eq!(Bytes(1).align_up(64), Bytes(64));
        assert_eq!(Bytes(64).align_up(64), Bytes(64));
        assert_eq!(Bytes(u64::MAX).align_up(64), Bytes(u64::MAX - 63));
    }
}
