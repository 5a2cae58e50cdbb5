use super::*;

#[test]
fn kinds_are_told_by_content() {
    let cases: &[(&[u8], Kind)] = &[
        (b"GGUF\x03\0\0\0", Kind::Gguf),
        (b"GGUF", Kind::Gguf),
        (b"GGUF\0\0\0\x03", Kind::GgufBigEndian),
        (b"GGUF\0\0\0\0", Kind::Gguf),
        (b"\x40\0\0\0\0\0\0\0{\"__metadata__\":", Kind::Safetensors),
        (b"\x02\0\0\0\0\0\0\0{}", Kind::Safetensors),
        (b"\x80\x02\0\0\0\0\0\0{\"a\":", Kind::Safetensors),
        (b"\x1f\x8b\0\0\0\0\0\0{ \"a\":", Kind::Safetensors),
        (b"\x93NUMPY\x01\0", Kind::Npy),
        (b"\x08\x07\x12\x07pytorch", Kind::OnnxLike),
        (b"\x08\x0a:\x05ab", Kind::OnnxLike),
        (b"\x12\x03abc\x08\x0a:\x80\x02", Kind::OnnxLike),
        (b"\x08\x07\x42\x02\x10\x11\x3a\x01\x00", Kind::OnnxLike),
        (b"\x08\x07", Kind::Unknown),
        (b"\x08\x07\x09", Kind::Unknown),
        (b"\x08\x00:\x05", Kind::Unknown),
        (b"Because of this", Kind::Unknown),
        (b"read the manual", Kind::Unknown),
        (b"\x1c\0\0\0TFL3", Kind::TfliteLike),
        (b"{\"hidden_size\": 4}", Kind::Json),
        (b" [1]", Kind::Json),
        (b"", Kind::Empty),
        (&[0; 64], Kind::Zeros),
        (b"\xef\xbb\xbf<!DOCTYPE HTML>", Kind::Html),
        (b"\r\n<html lang=en>", Kind::Html),
        (b"version https://git-lfs.github.com/spec/v1", Kind::GitLfsPointer),
        (b"\x80\x04\x95", Kind::Pickle),
        (b"PK\x03\x04", Kind::Zip),
        (b"\x1f\x8b\x08", Kind::Gzip),
        (b"\xfd7zXZ\0", Kind::Compressed),
        (b"tjgg\x01", Kind::OldGgml),
        (b"MZ\x90", Kind::Unknown),
        (b"<3", Kind::Unknown),
    ];
    for (prefix, kind) in cases {
        assert_eq!(sniff(prefix), *kind, "{}", prefix.escape_ascii());
    }
}

#[test]
fn every_refusal_says_what_to_do() {
    for kind in [
        Kind::Empty,
        Kind::Zeros,
        Kind::Html,
        Kind::GitLfsPointer,
        Kind::Pickle,
        Kind::Zip,
        Kind::Gzip,
        Kind::Compressed,
        Kind::OldGgml,
    ] {
        let text = kind.to_string();
        let advice = ["download", "fetch", "use", "unpack", "convert", "give"];
        assert!(advice.iter().any(|word| text.contains(word)), "{text}");
        assert!(!kind.is_model());
    }
}
