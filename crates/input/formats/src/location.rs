//! Names of files that stand in another file: paths below the folder of the file that names them.
//!
//! A path that is accepted is relative and made of plain names, so that joining it to the folder
//! cannot leave it, on any system. Whoever opens the file checks that no part of it is a link.

use crate::{FormatError, Label, Place, limits};

/// A path that stays in its folder on every system.
pub(crate) fn check<'a>(
    bytes: &'a [u8],
    place: &dyn Fn() -> Place,
) -> Result<&'a str, FormatError> {
    let wrong = |want: &'static str| {
        let got = Label::from_bytes(bytes);
        FormatError::invalid(place(), want, format_args!("\"{got}\""))
    };
    let path = str::from_utf8(bytes).map_err(|_| wrong("UTF-8 text"))?;
    let (got, limit) = (path.len() as u64, limits::FILE_NAME_BYTES as u64);
    if got > limit {
        return Err(FormatError::Limit { place: place(), got, limit });
    }
    if path.starts_with('/') {
        return Err(wrong("a path below the model's folder, not an absolute one"));
    }
    // A colon begins a drive or a stream on Windows, a backslash divides parts there.
    if path.chars().any(|c| c.is_control() || matches!(c, '\\' | ':')) {
        return Err(wrong("a path without control characters, colons and backslashes"));
    }
    let plain = |part: &str| !part.is_empty() && part.chars().any(|c| !matches!(c, '.' | ' '));
    if !path.split('/').all(plain) {
        return Err(wrong("a path of plain names, without `.` and `..`"));
    }
    // What ONNX Runtime writes there for weights that it holds in memory.
    if path.split('/').any(|part| part.contains("_ORT_MEM_ADDR_")) {
        return Err(wrong("a file's name, not a place in another program's memory"));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_below_the_folder_are_accepted() {
        let place = || Place::named(format_args!("location"));
        for good in ["weights.bin", "a/b.data", "model.onnx_data", "ä.bin", "..a", "a.."] {
            assert_eq!(check(good.as_bytes(), &place).ok(), Some(good));
        }
        let long = "x".repeat(256);
        for bad in [
            "",
            ".",
            "..",
            "../a",
            "a/../b",
            "a/..",
            "/etc/passwd",
            "./a",
            "a//b",
            "a/",
            "a\\b",
            "..\\a",
            "C:a",
            "c:/a",
            "a\0b",
            "a\nb",
            "\\\\host\\share",
            ". .",
            ".. ",
            &long,
            "*/_ORT_MEM_ADDR_/*",
        ] {
            assert!(check(bad.as_bytes(), &place).is_err(), "{bad:?}");
        }
        assert!(check(b"\xff", &place).is_err());
    }
}
