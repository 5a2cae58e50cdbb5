//! Where results go: stdout, or a file that appears whole or not at all.
//!
//! A regular file is written beside its place and renamed at the end; a device, a FIFO or a link
//! is written to and never replaced. What is not finished with [`Output::finish`] is removed.

use crate::failure::{Failure, Result};
use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process,
};

/// A place for results.
#[derive(Debug)]
pub(crate) struct Output {
    writer: BufWriter<Target>,
    name: String,
    part: Option<Part>,
}

#[derive(Debug)]
enum Target {
    Stdout(io::Stdout),
    File(File),
}

/// A file that is not in its place yet.
#[derive(Debug)]
struct Part {
    here: PathBuf,
    there: PathBuf,
}

impl Drop for Part {
    fn drop(&mut self) {
        // Gone already where the file took its place; then there is nothing to remove.
        drop(fs::remove_file(&self.here));
    }
}

impl Output {
    /// Stdout.
    pub(crate) fn stdout() -> Self {
        let writer = BufWriter::new(Target::Stdout(io::stdout()));
        Self { writer, name: "stdout".to_owned(), part: None }
    }

    /// A file, or stdout without one or for `-`.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else {
            return Ok(Self::stdout());
        };
        let name = path.display().to_string();
        let failed = |error: &io::Error| Failure::writing(&name, error);
        let existing = fs::symlink_metadata(path);
        let (file, part) = match existing {
            Ok(there) if there.is_dir() => {
                return Err(failed(&io::Error::from(io::ErrorKind::IsADirectory)));
            }
            Ok(there) if !there.is_file() => {
                let file = OpenOptions::new().write(true).truncate(true).open(path);
                (file.map_err(|error| failed(&error))?, None)
            }
            _ => {
                let part = Part { here: part_of(path), there: path.to_owned() };
                let file = OpenOptions::new().write(true).create_new(true).open(&part.here);
                (file.map_err(|error| failed(&error))?, Some(part))
            }
        };
        Ok(Self { writer: BufWriter::new(Target::File(file)), name, part })
    }

    /// Writes text.
    pub(crate) fn write(&mut self, text: &str) -> Result<()> {
        self.bytes(text.as_bytes())
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, text: &str) -> Result<()> {
        self.write(text)?;
        self.write("\n")
    }

    /// Writes bytes.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.writer.write_all(bytes).map_err(|error| Failure::writing(&self.name, &error))
    }

    /// Shows what was written so far.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.writer.flush().map_err(|error| Failure::writing(&self.name, &error))
    }

    /// Puts the file in its place.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.flush()?;
        let Some(part) = self.part.take() else { return Ok(()) };
        let failed = |error: &io::Error| Failure::writing(&self.name, error);
        if let Target::File(file) = self.writer.get_ref() {
            file.sync_all().map_err(|error| failed(&error))?;
        }
        fs::rename(&part.here, &part.there).map_err(|error| failed(&error))?;
        if let Some(folder) = part.there.parent()
            && let Ok(folder) =
                File::open(if folder == Path::new("") { Path::new(".") } else { folder })
        {
            // The data is safe; some systems cannot sync a folder, and that is no failure.
            drop(folder.sync_all());
        }
        Ok(())
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(stdout) => stdout.write(bytes),
            Self::File(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush(),
            Self::File(file) => file.flush(),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// `.name.pid.part` beside the file.
fn part_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    path.with_file_name(format!(".{name}.{}.part", process::id()))
}

/// Says something to the person on stderr, whoever still reads.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    drop(writeln!(io::stderr().lock(), "{line}"));
}

/// A number of things: `1 step`, `2 steps`.
pub(crate) fn counted(count: impl fmt::Display, what: &str) -> String {
    let count = count.to_string();
    let many = if count == "1" { "" } else { "s" };
    format!("{count} {what}{many}")
}

/// Prints a last line to stdout, whoever still reads.
pub(crate) fn last_words(line: &str) {
    let mut stdout = Output::stdout();
    drop(stdout.line(line).and_then(|()| stdout.flush()));
}
