//! `FlexBuffers`: settings by name, as custom operators of TFLite have them.
//!
//! Reads what such settings are: one map of numbers and of vectors of whole numbers. Everything else
//! in it is left out, and bytes that are no map are `None`; every offset is checked against the bytes.
//! Follows the `FlexBuffers` internals of the `FlatBuffers` documentation: values before what leads to
//! them, offsets backwards, widths of 1 to 8 bytes.

/// A setting.
#[derive(Clone, Debug, PartialEq)]
pub enum Flex {
    /// A whole number, or 0 or 1.
    Int(i64),
    /// A number.
    Float(f64),
    /// Whole numbers.
    Ints(Vec<i64>),
}

/// Vectors longer than this are none that a setting needs.
const LEN_MAX: usize = 1 << 16;

/// The numbers of a map by name, in its order; `None` for bytes that are no map.
pub fn map(bytes: &[u8]) -> Option<Vec<(&str, Flex)>> {
    let end = bytes.len();
    let width = usize::from(*bytes.get(end.checked_sub(1)?)?);
    let kind = *bytes.get(end.checked_sub(2)?)?;
    let at = end.checked_sub(2)?.checked_sub(width)?;
    if kind >> 2 != 9 {
        return None;
    }
    let (map, width) = (back(bytes, at, width)?, 1usize << (kind & 3));
    let before = |n: usize| map.checked_sub(width.checked_mul(n)?);
    let len = length(bytes, before(1)?, width)?;
    let keys_width = usize::try_from(unsigned(bytes, before(2)?, width)?).ok()?;
    let keys = back(bytes, before(3)?, width)?;
    let mut found = Vec::new();
    for place in 0..len {
        let key = back(bytes, element(keys, place, keys_width)?, keys_width)?;
        let text = bytes.get(key..)?;
        let end = text.iter().position(|&byte| byte == 0)?;
        let key = str::from_utf8(text.get(..end)?).ok()?;
        let kind = *bytes.get(element(map, len, width)?.checked_add(place)?)?;
        if let Some(value) = value(bytes, element(map, place, width)?, width, kind) {
            found.push((key, value));
        }
    }
    Some(found)
}

/// A value of this kind, or what an offset of this width leads to.
fn value(bytes: &[u8], at: usize, width: usize, kind: u8) -> Option<Flex> {
    let inner = 1usize << (kind & 3);
    Some(match kind >> 2 {
        1 => Flex::Int(signed(bytes, at, width)?),
        2 | 26 => Flex::Int(i64::try_from(unsigned(bytes, at, width)?).ok()?),
        3 => Flex::Float(float(bytes, at, width)?),
        6 => Flex::Int(signed(bytes, back(bytes, at, width)?, inner)?),
        7 => Flex::Int(i64::try_from(unsigned(bytes, back(bytes, at, width)?, inner)?).ok()?),
        8 => Flex::Float(float(bytes, back(bytes, at, width)?, inner)?),
        kind @ (11 | 12) => {
            let start = back(bytes, at, width)?;
            let len = length(bytes, start.checked_sub(inner)?, inner)?;
            let number = |place| {
                let at = element(start, place, inner)?;
                if kind == 11 {
                    return signed(bytes, at, inner);
                }
                i64::try_from(unsigned(bytes, at, inner)?).ok()
            };
            Flex::Ints((0..len).map(number).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

fn element(start: usize, place: usize, width: usize) -> Option<usize> {
    start.checked_add(place.checked_mul(width)?)
}

fn length(bytes: &[u8], at: usize, width: usize) -> Option<usize> {
    usize::try_from(unsigned(bytes, at, width)?).ok().filter(|&len| len <= LEN_MAX)
}

/// Where an offset leads to.
fn back(bytes: &[u8], at: usize, width: usize) -> Option<usize> {
    at.checked_sub(usize::try_from(unsigned(bytes, at, width)?).ok()?)
}

fn eight(bytes: &[u8], at: usize, width: usize) -> Option<[u8; 8]> {
    if !matches!(width, 1 | 2 | 4 | 8) {
        return None;
    }
    let mut out = [0; 8];
    out.get_mut(..width)?.copy_from_slice(bytes.get(at..at.checked_add(width)?)?);
    Some(out)
}

fn unsigned(bytes: &[u8], at: usize, width: usize) -> Option<u64> {
    eight(bytes, at, width).map(u64::from_le_bytes)
}

fn signed(bytes: &[u8], at: usize, width: usize) -> Option<i64> {
    let [a, b, c, d, ..] = eight(bytes, at, width)?;
    Some(match width {
        1 => i8::from_le_bytes([a]).into(),
        2 => i16::from_le_bytes([a, b]).into(),
        4 => i32::from_le_bytes([a, b, c, d]).into(),
        _ => i64::from_le_bytes(eight(bytes, at, width)?),
    })
}

fn float(bytes: &[u8], at: usize, width: usize) -> Option<f64> {
    let [a, b, c, d, ..] = eight(bytes, at, width)?;
    match width {
        4 => Some(f32::from_le_bytes([a, b, c, d]).into()),
        8 => eight(bytes, at, width).map(f64::from_le_bytes),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{output_height: 16, output_width: 16}`, as `MediaPipe` wrote it.
    const TWO: &[u8] =
        b"output_height\0output_width\0\x02\x1c\x0f\x02\x01\x02\x10\x10\x04\x04\x04\x24\x01"
            .as_slice();

    #[test]
    fn a_map_of_numbers_is_read() {
        let found = map(TWO).expect("it is a map");
        assert_eq!(found, [("output_height", Flex::Int(16)), ("output_width", Flex::Int(16))]);
    }

    #[test]
    fn damaged_bytes_are_none_or_something_but_no_panic() {
        for at in 0..TWO.len() {
            assert!(map(&TWO[at + 1..]).is_none_or(|found| found.len() <= 2), "{at}");
            for bit in 0..8 {
                let mut bytes = TWO.to_vec();
                bytes[at] ^= 1 << bit;
                drop(map(&bytes));
            }
        }
        assert_eq!(map(&[]), None);
        assert_eq!(map(&[0x24, 1]), None);
        assert_eq!(map(&[0xff; 64]), None);
    }
}
