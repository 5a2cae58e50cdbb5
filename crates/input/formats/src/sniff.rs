//! What a file is, told by its first bytes and never by its name.
//!
//! Besides the formats that are read, it knows what people save under a model's name by
//! mistake, and says what to do about each. 64 bytes are enough for all but safetensors, which
//! has no magic number and is told by its first 16.

use std::fmt;

/// What the first bytes of a file look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A GGUF model of any version.
    Gguf,
    /// A safetensors file.
    Safetensors,
    /// An array written by NumPy.
    Npy,
    /// Probably an ONNX network (protobuf has no magic number).
    OnnxLike,
    /// A TFLite network.
    TfliteLike,
    /// JSON text, such as `config.json` or `tokenizer.json`.
    Json,
    /// No bytes at all.
    Empty,
    /// Zero bytes only: a download that reserved its space and never arrived.
    Zeros,
    /// A web page.
    Html,
    /// The text that git-LFS keeps in place of a large file.
    GitLfsPointer,
    /// A Python pickle, bare or in a zip: running it would run its code.
    Pickle,
    /// A zip archive.
    Zip,
    /// Data compressed with gzip.
    Gzip,
    /// Data compressed with xz, zstd or bzip2.
    Compressed,
    /// A ggml file from before GGUF (`ggml`, `ggjt`, `ggla` and so on).
    OldGgml,
    /// A GGUF file with its bytes in big-endian order, told by its version field.
    GgufBigEndian,
    /// Nothing that we know.
    Unknown,
}

impl Kind {
    /// Whether this is a format that some part of Ledge reads.
    pub const fn is_model(self) -> bool {
        matches!(self, Self::Gguf | Self::Safetensors | Self::OnnxLike | Self::TfliteLike)
    }
}

impl fmt::Display for Kind {
    /// What it is and, where it is not readable, what to do instead.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gguf => "a GGUF model",
            Self::Safetensors => "a safetensors file",
            Self::Npy => "a NumPy array",
            Self::OnnxLike => "an ONNX network, by its looks",
            Self::TfliteLike => "a TFLite network",
            Self::Json => "JSON text; give the folder that holds it and the weights",
            Self::Empty => "the file is empty; download it again",
            Self::Zeros => "it begins with zeros only, as unfinished downloads do; fetch it again",
            Self::Html => "it is a web page; download the file itself, not the page that shows it",
            Self::GitLfsPointer => {
                "it is a git-LFS pointer; run `git lfs pull` or download the file itself"
            }
            Self::Pickle => {
                "it is a Python pickle, which could run code; use the safetensors version"
            }
            Self::Zip => {
                "it is a zip archive (PyTorch files are, too); unpack it or use safetensors"
            }
            Self::Gzip => "it is compressed with gzip; unpack it first",
            Self::Compressed => "it is a compressed file; unpack it first",
            Self::OldGgml => "it is a ggml file from before GGUF; convert the model again",
            Self::GgufBigEndian => "it is a big-endian GGUF file; only little-endian ones are read",
            Self::Unknown => "its first bytes belong to no known format",
        })
    }
}

/// Tells what a file is by its first bytes; 64 are enough, fewer are fine.
pub fn sniff(prefix: &[u8]) -> Kind {
    let starts = |magic: &[u8]| prefix.starts_with(magic);
    if prefix.is_empty() {
        return Kind::Empty;
    }
    if let Some(after) = prefix.strip_prefix(b"GGUF") {
        // A version is small: in the other byte order its low half is zero.
        return match after.first_chunk() {
            Some([0, 0, _, _]) if after.get(..4) != Some(&[0; 4]) => Kind::GgufBigEndian,
            _ => Kind::Gguf,
        };
    }
    // Before the magic numbers: a header of 640 bytes begins like a pickle, of 35615 like gzip.
    if looks_like_safetensors(prefix) {
        return Kind::Safetensors;
    }
    if prefix.get(4..8) == Some(b"TFL3") {
        return Kind::TfliteLike;
    }
    let magics: [(&[u8], Kind); 18] = [
        (b"\x93NUMPY", Kind::Npy),
        (b"version https://git-lfs", Kind::GitLfsPointer),
        (b"PK\x03\x04", Kind::Zip),
        (b"PK\x05\x06", Kind::Zip),
        (b"\x1f\x8b", Kind::Gzip),
        (b"\xfd7zXZ\0", Kind::Compressed),
        (b"\x28\xb5\x2f\xfd", Kind::Compressed),
        (b"BZh", Kind::Compressed),
        (b"7z\xbc\xaf\x27\x1c", Kind::Compressed),
        (b"lmgg", Kind::OldGgml),
        (b"fmgg", Kind::OldGgml),
        (b"tjgg", Kind::OldGgml),
        (b"algg", Kind::OldGgml),
        // Pickle protocols 2 to 5 begin with PROTO and their number.
        (b"\x80\x02", Kind::Pickle),
        (b"\x80\x03", Kind::Pickle),
        (b"\x80\x04", Kind::Pickle),
        (b"\x80\x05", Kind::Pickle),
        // Its oldest container: a pickled long, its magic number.
        (b"\x8a\x0al\xfc\x9cF\xf9", Kind::Pickle),
    ];
    if let Some(&(_, kind)) = magics.iter().find(|(magic, _)| starts(magic)) {
        return kind;
    }
    if prefix.iter().all(|&byte| byte == 0) {
        return Kind::Zeros;
    }
    let text = prefix.trim_ascii_start();
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text).trim_ascii_start();
    let is_html = |tag: &[u8]| text.get(..tag.len()).is_some_and(|s| s.eq_ignore_ascii_case(tag));
    if [&b"<!doctype"[..], b"<html", b"<head", b"<?xml", b"<!--", b"<body"].into_iter().any(is_html)
    {
        return Kind::Html;
    }
    if matches!(text.first(), Some(b'{' | b'[')) {
        return Kind::Json;
    }
    if looks_like_onnx(prefix) {
        Kind::OnnxLike
    } else if looks_like_tflite(prefix) {
        Kind::TfliteLike
    } else {
        Kind::Unknown
    }
}

/// Fields of a `ModelProto` from the start on, its version of the format among them.
fn looks_like_onnx(prefix: &[u8]) -> bool {
    let mut rest = prefix;
    let mut has_version = false;
    while let Some((&tag, after)) = rest.split_first() {
        rest = match (tag, after) {
            // ir_version is small and has field number 1.
            (0x08, &[1..=63, ref after @ ..]) => {
                has_version = true;
                after
            }
            // model_version: any number.
            (0x28, after) => match after.iter().position(|&byte| byte < 0x80) {
                Some(last @ 0..10) => after.get(last.saturating_add(1)..).unwrap_or_default(),
                _ => return has_version,
            },
            // Texts, the graph, operator sets and settings: a length and that many bytes.
            (
                0x12 | 0x1a | 0x22 | 0x32 | 0x3a | 0x42 | 0x72,
                &[length @ 0..0x80, ref after @ ..],
            ) => match after.get(usize::from(length)..) {
                Some(after) => after,
                None => return has_version,
            },
            // Longer ones, and rare fields with two-byte tags, settle it.
            (0x12 | 0x1a | 0x22 | 0x32 | 0x3a | 0x42 | 0x72, _)
            | (0xa2 | 0xca | 0xd2, &[0x01, ..]) => return has_version,
            _ => return false,
        };
    }
    has_version && prefix.len() > 2
}

/// A root table in these bytes whose first field, the version of the schema, is 3: some writers
/// leave the magic number out.
fn looks_like_tflite(prefix: &[u8]) -> bool {
    let number = |at: usize| prefix.get(at..)?.first_chunk().copied().map(u32::from_le_bytes);
    let half = |at: usize| prefix.get(at..)?.first_chunk().copied().map(u16::from_le_bytes);
    let read = || {
        let root = usize::try_from(number(0)?).ok()?;
        // The table of fields stands before the root in what all writers make.
        let fields = root.checked_sub(usize::try_from(number(root)?).ok()?)?;
        let (fields_len, table_len) = (half(fields)?, half(fields.checked_add(2)?)?);
        let version_at = usize::from(half(fields.checked_add(4)?)?);
        let plausible = (6..=64).contains(&fields_len) && (8..=128).contains(&table_len);
        Some(plausible && version_at >= 4 && number(root.checked_add(version_at)?)? == 3)
    };
    read().unwrap_or(false)
}

/// A length below the limit, then the start of a JSON object.
fn looks_like_safetensors(prefix: &[u8]) -> bool {
    let Some((length, header)) = prefix.split_first_chunk() else { return false };
    let length = u64::from_le_bytes(*length);
    let mut text = header.iter();
    (2..=crate::limits::SAFETENSORS_HEADER_BYTES).contains(&length)
        && text.next() == Some(&b'{')
        && matches!(text.find(|byte| !byte.is_ascii_whitespace()), Some(b'"' | b'}') | None)
}

#[cfg(test)]
mod tests;
