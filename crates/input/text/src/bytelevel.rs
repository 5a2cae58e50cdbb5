//! GPT-2's way to write bytes as characters, so that a vocabulary of bytes is a list of words.
//!
//! The 188 bytes that print stand for themselves (as Latin-1); the other 68 stand, in order, for
//! U+0100 and up. A space is `Ġ`, a line feed `Ċ`. Follows `bytes_to_unicode` of Radford et al.
//! 2019 (GPT-2's published encoder).

/// Whether a byte stands for itself.
const fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF)
}

/// The character of each byte.
#[expect(clippy::cast_possible_truncation, reason = "a loop over 256 bytes")]
pub(crate) const CHARS: [char; 256] = {
    let mut chars = ['\0'; 256];
    let (mut byte, mut next) = (0_usize, 0x100_u16);
    while byte < 256 {
        if is_plain(byte as u8) {
            chars[byte] = byte as u8 as char;
        } else {
            chars[byte] = match char::from_u32(next as u32) {
                Some(c) => c,
                None => '\0',
            };
            next += 1;
        }
        byte += 1;
    }
    chars
};

/// The byte of each character below U+0144; 0x100 is none.
#[expect(clippy::cast_possible_truncation, reason = "a loop over 256 bytes")]
const BYTES: [u16; 0x144] = {
    let mut bytes = [0x100_u16; 0x144];
    let mut byte = 0_usize;
    while byte < 256 {
        bytes[CHARS[byte] as usize] = byte as u16;
        byte += 1;
    }
    bytes
};

/// Appends the bytes that a word stands for; `false` (and nothing appended) where a character
/// stands for none.
pub(crate) fn decode_into(word: &str, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    for c in word.chars() {
        match BYTES.get(c as usize) {
            Some(&byte) if byte < 0x100 => out.push((byte & 0xFF) as u8),
            _ => {
                out.truncate(start);
                return false;
            }
        }
    }
    true
}

/// The word for some bytes.
pub(crate) fn encode(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| CHARS[usize::from(byte)]).collect()
}
