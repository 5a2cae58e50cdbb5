//! Text from files and from stdin.
//!
//! Text must be UTF-8; what is not is refused with the place of the first bad byte. `-` is stdin.

use crate::failure::{Failure, Result};
use std::{
    fs, io,
    io::{IsTerminal as _, Read as _},
    path::Path,
};

/// The most text that is read.
const TEXT_BYTES_MAX: u64 = 1 << 30;

/// Reads a file of text, or stdin for `-`.
pub(crate) fn read(path: &Path) -> Result<String> {
    if path == Path::new("-") {
        return stdin();
    }
    let failed = |error: &io::Error| Failure::reading(path, error);
    let found = fs::metadata(path).map_err(|error| failed(&error))?;
    if found.is_dir() {
        return Err(failed(&io::Error::from(io::ErrorKind::IsADirectory)));
    }
    let file = fs::File::open(path).map_err(|error| failed(&error))?;
    let mut bytes = Vec::new();
    file.take(TEXT_BYTES_MAX).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    decoded(bytes, &path.display().to_string())
}

/// Reads stdin to its end.
pub(crate) fn stdin() -> Result<String> {
    let mut bytes = Vec::new();
    let read = io::stdin().lock().take(TEXT_BYTES_MAX).read_to_end(&mut bytes);
    read.map_err(|error| Failure::reading(Path::new("stdin"), &error))?;
    decoded(bytes, "stdin")
}

/// A word of the command line, or stdin for `-`; without a word stdin too, unless it is a
/// terminal.
pub(crate) fn word_or_stdin(word: Option<&String>) -> Result<String> {
    match word.map(String::as_str) {
        Some("-") => stdin(),
        Some(word) => Ok(word.to_owned()),
        None if io::stdin().is_terminal() => Err(Failure::usage("there is no text")
            .hint("give one as an argument, or `-` to read stdin")),
        None => stdin(),
    }
}

fn decoded(bytes: Vec<u8>, place: &str) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::usage(format!("not UTF-8 text: byte {at} begins no character"))
            .at(place)
            .hint("convert it, such as with `iconv -t UTF-8`")
    })
}
