//! One file, or bytes in memory, read by position.

use std::{
    fs::{self, File, Metadata},
    hint, io,
    path::{Path, PathBuf},
    time::SystemTime,
};
use tensor::Bytes;

/// Why a model's bytes could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The system said no.
    #[error("{}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A directory, a device or a pipe where a file was needed.
    #[error("{}: is {kind}, not a file", .path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// The file is no longer the one that was opened.
    #[error("{}: changed while it was in use: {reason}", .path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// What is different.
        reason: String,
    },
}

/// A source of bytes with a fixed length.
#[derive(Debug)]
pub enum Origin {
    /// A regular file, open for reading.
    File {
        /// The open file.
        file: File,
        /// Where it was opened.
        path: PathBuf,
        /// Length when it was opened.
        bytes: Bytes,
        /// Time of its last change when it was opened.
        modified: Option<SystemTime>,
    },
    /// Bytes that are part of the program.
    Memory(&'static [u8]),
}

fn kind(metadata: &Metadata) -> &'static str {
    if metadata.is_dir() { "a directory" } else { "a device or a pipe" }
}

impl Origin {
    /// Opens a regular file.
    ///
    /// # Errors
    /// If it is missing, unreadable, or no regular file.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let io = |source| StoreError::Io { path: path.into(), source };
        // Looked at before it is opened: opening a FIFO would wait for a writer.
        let metadata = fs::metadata(path).map_err(io)?;
        if !metadata.is_file() {
            return Err(StoreError::NotAFile { path: path.into(), kind: kind(&metadata) });
        }
        let file = File::open(path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        if !metadata.is_file() {
            return Err(StoreError::NotAFile { path: path.into(), kind: kind(&metadata) });
        }
        let (bytes, modified) = (Bytes(metadata.len()), metadata.modified().ok());
        Ok(Self::File { file, path: path.into(), bytes, modified })
    }

    /// Length in bytes.
    pub fn bytes(&self) -> Bytes {
        match self {
            Self::File { bytes, .. } => *bytes,
            Self::Memory(memory) => Bytes(memory.len() as u64),
        }
    }

    /// Bytes of the program that are this model, each page of them now in memory, as they all are
    /// once it was read; `None` for a file.
    pub fn touched(&self) -> Option<Bytes> {
        // No page is smaller.
        const PAGE: usize = 4096;
        let Self::Memory(memory) = self else { return None };
        hint::black_box(memory.iter().step_by(PAGE).fold(0, |all, byte| all ^ byte));
        Some(self.bytes())
    }

    /// What messages call it.
    pub fn label(&self) -> String {
        match self {
            Self::File { path, .. } => path.display().to_string(),
            Self::Memory(_) => "the embedded model".into(),
        }
    }

    /// The first `bytes` bytes, or all if there are fewer.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn prefix(&self, bytes: Bytes) -> Result<Vec<u8>, StoreError> {
        let wanted = bytes.min(self.bytes()).to_usize().unwrap_or(usize::MAX);
        let mut prefix = Vec::new();
        prefix.try_reserve_exact(wanted).map_err(|_| {
            self.io(io::Error::new(io::ErrorKind::OutOfMemory, "the header does not fit memory"))
        })?;
        prefix.resize(wanted, 0);
        self.read_at(0, &mut prefix)?;
        Ok(prefix)
    }

    /// Fills `out` from `offset` on.
    ///
    /// # Errors
    /// If the file has become shorter, or the system fails to read it.
    pub fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<(), StoreError> {
        let end = offset.checked_add(out.len() as u64).filter(|end| *end <= self.bytes().0);
        if end.is_none() {
            let reason = format!("{} bytes at {offset} are behind its end", out.len());
            return Err(self.changed(reason));
        }
        match self {
            Self::File { file, .. } => read_exact_at(file, out, offset).map_err(|error| {
                if error.kind() == io::ErrorKind::UnexpectedEof {
                    self.changed(format!("it now ends before byte {}", end.unwrap_or(offset)))
                } else {
                    self.io(error)
                }
            }),
            Self::Memory(memory) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let source = memory.get(start..start.saturating_add(out.len()));
                out.copy_from_slice(source.expect("the end was checked above"));
                Ok(())
            }
        }
    }

    /// Compares length and time of change with those at opening.
    ///
    /// # Errors
    /// If the file was written to meanwhile.
    pub fn check_unchanged(&self) -> Result<(), StoreError> {
        let Self::File { file, path, bytes, modified } = self else { return Ok(()) };
        let io = |source| StoreError::Io { path: path.clone(), source };
        let now = file.metadata().map_err(io)?;
        if now.len() != bytes.0 {
            return Err(self.changed(format!("it had {}, now {}", bytes, Bytes(now.len()))));
        }
        if now.modified().ok() != *modified {
            return Err(self.changed("it was written to".into()));
        }
        Ok(())
    }

    fn io(&self, source: io::Error) -> StoreError {
        StoreError::Io { path: self.label().into(), source }
    }

    fn changed(&self, reason: String) -> StoreError {
        StoreError::Changed { path: self.label().into(), reason }
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, out: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut out: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !out.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, out, offset)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => {
                out = &mut out[n..];
                offset += n as u64;
            }
        }
    }
    Ok(())
}
